// Group normalisation: from moments to coefficients, and its gradients. See mod.rs.

#include "array.cuh"

// (n, c) each: z = scale * x + shift, and the normal x is rstd * x + offset.
struct Coefficients {
    float* scale;
    float* shift;
    float* rstd;
    float* offset;
};

struct Normalise {
    // Mean and sum of squared deviations, (n, c) of each part.
    const double* moments[2];
    const float* weight;
    const float* bias;
    Coefficients out;
    double epsilon;
    int part_channels[2];
    int images;
    int groups;
    int pixels;
    int unused;
};

__device__ __forceinline__ const double* moments_of(const Normalise& p, int image, int channel) {
    const int first = p.part_channels[0];
    if (channel < first) return p.moments[0] + 2 * ((long long)image * first + channel);
    return p.moments[1] + 2 * ((long long)image * p.part_channels[1] + channel - first);
}

// One thread for each group of each image.
KERNEL(normalise, Normalise, 128) {
    const int at = blockIdx.x * 128 + threadIdx.x;
    if (at >= p.images * p.groups) return;
    const int channels = p.part_channels[0] + p.part_channels[1], count = channels / p.groups;
    const int image = at / p.groups, first = at % p.groups * count;
    double mean = 0.0, variance = 0.0;
    for (int i = 0; i < count; i++) mean += moments_of(p, image, first + i)[0] / count;
    for (int i = 0; i < count; i++) {
        const double* moments = moments_of(p, image, first + i);
        const double apart = moments[0] - mean;
        variance += (moments[1] + p.pixels * apart * apart) / (double(count) * p.pixels);
    }
    const double rstd = 1.0 / sqrt(variance + p.epsilon);
    for (int channel = first; channel < first + count; channel++) {
        const long long to = (long long)image * channels + channel;
        const double scale = p.weight[channel] * rstd;
        p.out.scale[to] = float(scale);
        p.out.shift[to] = float(p.bias[channel] - mean * scale);
        p.out.rstd[to] = float(rstd);
        p.out.offset[to] = float(-mean * rstd);
    }
}

struct NormGradients {
    // Of the gradient by z, and of it times the normal x, (n, c).
    const double* sums;
    const float* weight;
    const float* rstd;
    const float* offset;
    // (c).
    float* by_weight;
    float* by_bias;
    // (n, c, 3): factors of the gradient by z and of x, and a constant.
    float* out;
    int images;
    int channels;
    int groups;
    int pixels;
};

// One thread for each channel.
KERNEL(sum_images, NormGradients, 128) {
    const int channel = blockIdx.x * 128 + threadIdx.x;
    if (channel >= p.channels) return;
    double bias = 0.0, weight = 0.0;
    for (int image = 0; image < p.images; image++) {
        const double* sums = p.sums + 2 * ((long long)image * p.channels + channel);
        bias += sums[0];
        weight += sums[1];
    }
    p.by_bias[channel] = float(bias);
    p.by_weight[channel] = float(weight);
}

// One thread for each group of each image.
KERNEL(input_gradient, NormGradients, 128) {
    const int at = blockIdx.x * 128 + threadIdx.x;
    if (at >= p.images * p.groups) return;
    const int count = p.channels / p.groups, image = at / p.groups, first = at % p.groups * count;
    const double pixels = double(count) * p.pixels;
    double mean = 0.0, along = 0.0;
    for (int channel = first; channel < first + count; channel++) {
        const double* sums = p.sums + 2 * ((long long)image * p.channels + channel);
        mean += sums[0] * p.weight[channel] / pixels;
        along += sums[1] * p.weight[channel] / pixels;
    }
    for (int channel = first; channel < first + count; channel++) {
        const long long to = (long long)image * p.channels + channel;
        const double rstd = p.rstd[to], offset = p.offset[to];
        p.out[3 * to] = float(rstd * p.weight[channel]);
        p.out[3 * to + 1] = float(-rstd * rstd * along);
        p.out[3 * to + 2] = float(-rstd * (mean + offset * along));
    }
}

struct ApplyGradient {
    // One part of the input, and the gradient by it.
    Array x;
    Array out;
    // Of all parts.
    Array by_z;
    // Null if there is none.
    Array addend;
    // (n, c, 3), c over all parts.
    const float* coefficients;
    // Pixels of the batch, and of one image.
    long long pixels;
    int image_pixels;
    // Of the part, of all parts, and before the part.
    int channels;
    int all_channels;
    int first;
    // Whether `out` is added to.
    int add;
    int unused;
};

__device__ __forceinline__ float input_gradient_at(const ApplyGradient& p, long long pixel, int channel, float x) {
    const int of_all = p.first + channel;
    const float* c = p.coefficients + 3 * (pixel / p.image_pixels * p.all_channels + of_all);
    const long long at = pixel * p.all_channels + of_all;
    const float value = fmaf(c[0], load(p.by_z, at), fmaf(c[1], x, c[2]));
    return p.addend.values ? value + load(p.addend, at) : value;
}

KERNEL(apply_input_gradient, ApplyGradient, 256) {
    const long long total = p.pixels * p.channels, step = (long long)gridDim.x * 256;
    for (long long at = (long long)blockIdx.x * 256 + threadIdx.x; at < total; at += step) {
        const long long pixel = at / p.channels;
        float value = input_gradient_at(p, pixel, int(at % p.channels), load(p.x, at));
        if (p.add) value += load(p.out, at);
        store(p.out, at, value);
    }
}
