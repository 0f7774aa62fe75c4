// The norm of the gradient, and AdamW in one pass over memory. See mod.rs.

#include "common.cuh"

constexpr int THREADS = 256;
// Numbers of one block of a sum: fixed, so that the sum is always of the same parts.
constexpr int PIECE = 1 << 14;

struct Squares {
    const float* values;
    // One for each block.
    double* partials;
    long long len;
};

KERNEL(squares, Squares, THREADS) {
    const long long start = (long long)blockIdx.x * PIECE;
    const long long end = start + PIECE < p.len ? start + PIECE : p.len;
    double sum = 0.0;
    for (long long at = start + threadIdx.x; at < end; at += THREADS) {
        sum += double(p.values[at]) * p.values[at];
    }
    sum = block_sum(sum, THREADS);
    if (threadIdx.x == 0) p.partials[blockIdx.x] = sum;
}

// In memory, since a recording is repeated with other values.
struct Coefficients {
    double clip_norm;
    float keep;
    // 1 - beta1, beta2 and 1 - beta2.
    float share1;
    float beta2;
    float share2;
    float step_size;
    // One over the square root of the second moment's correction.
    float inverse_correction;
    float epsilon;
    float average_share;
};

struct Update {
    const Coefficients* coefficients;
    const double* norm;
    const double* loss;
    const float* gradient;
    float* weights;
    float* first;
    float* second;
    // Null if none is kept.
    float* average;
    long long len;
};

__device__ __forceinline__ float gradient_scale(const Coefficients& c, double norm) {
    const double clipped = c.clip_norm / (norm + 1e-6);
    return c.clip_norm > 0.0 && clipped < 1.0 ? float(clipped) : 1.0f;
}

KERNEL(update, Update, THREADS) {
    const double norm = *p.norm;
    // Where the step went wrong everything stays.
    if (!isfinite(norm) || !isfinite(*p.loss)) return;
    const Coefficients c = *p.coefficients;
    const float scale = gradient_scale(c, norm);
    const long long step = (long long)gridDim.x * THREADS;
    for (long long at = (long long)blockIdx.x * THREADS + threadIdx.x; at < p.len; at += step) {
        const float g = p.gradient[at] * scale;
        const float first = p.first[at] + c.share1 * (g - p.first[at]);
        const float second = c.beta2 * p.second[at] + c.share2 * g * g;
        const float weight = p.weights[at] * c.keep -
                             c.step_size * first / (sqrtf(second) * c.inverse_correction + c.epsilon);
        p.first[at] = first;
        p.second[at] = second;
        p.weights[at] = weight;
        if (p.average) p.average[at] += c.average_share * (weight - p.average[at]);
    }
}
