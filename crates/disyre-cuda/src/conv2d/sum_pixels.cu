// Sums over the pixels of each image, for the gradients by what a convolution adds. See sum_pixels.rs.

#include "array.cuh"

// Pixels of one piece, and channels of one block.
constexpr int PIECE = 2048;
constexpr int CHANNELS = 32;
constexpr int ROWS = 8;

struct SumPixels {
    // (n, pixels, c).
    Array values;
    // (n, piece, c).
    double* out;
    int pixels;
    int pieces;
    int channels;
    int unused;
};

KERNEL(sum_pixels, SumPixels, 256) {
    SHARED(double, rows, CHANNELS * ROWS);
    const int row = threadIdx.x / CHANNELS, column = threadIdx.x % CHANNELS;
    const int piece = blockIdx.x, image = blockIdx.z, channel = blockIdx.y * CHANNELS + column;
    const int end = (piece + 1) * PIECE < p.pixels ? (piece + 1) * PIECE : p.pixels;
    double sum = 0.0;
    for (int pixel = piece * PIECE + row; channel < p.channels && pixel < end; pixel += ROWS) {
        sum += load(p.values, ((long long)image * p.pixels + pixel) * p.channels + channel);
    }
    rows[threadIdx.x] = sum;
    __syncthreads();
    if (row > 0 || channel >= p.channels) return;
    for (int i = 1; i < ROWS; i++) sum += rows[i * CHANNELS + column];
    p.out[((long long)image * p.pieces + piece) * p.channels + channel] = sum;
}

struct JoinPieces {
    // (n, piece, c).
    const double* pieces;
    // (c): the sum over all images.
    float* out;
    // (n, width) from `first` on: those of each image. Null if nobody asks.
    Array by_image;
    int images;
    int count;
    int channels;
    int width;
    int first;
    int unused;
};

// Sums the pieces of each channel in order.
KERNEL(join_pieces, JoinPieces, 256) {
    const int channel = blockIdx.x * 256 + threadIdx.x;
    if (channel >= p.channels) return;
    double all = 0.0;
    for (int image = 0; image < p.images; image++) {
        double sum = 0.0;
        for (int piece = 0; piece < p.count; piece++) {
            sum += p.pieces[((long long)image * p.count + piece) * p.channels + channel];
        }
        if (p.by_image.values) store(p.by_image, (long long)image * p.width + p.first + channel, float(sum));
        all += sum;
    }
    p.out[channel] = float(all);
}
