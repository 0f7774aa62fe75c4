// The mean squared error and its gradient. See mod.rs.

#include "array.cuh"

constexpr int THREADS = 256;
// Numbers of one block: fixed, so that the sum is always of the same parts.
constexpr int PIECE = 1 << 14;

struct SquaredError {
    Array y;
    Array target;
    // The gradient by y.
    Array slope;
    // One for each block.
    double* partials;
    long long len;
    // 2 / len.
    float factor;
    int unused;
};

KERNEL(squared_error, SquaredError, THREADS) {
    const long long start = (long long)blockIdx.x * PIECE;
    const long long end = start + PIECE < p.len ? start + PIECE : p.len;
    double sum = 0.0;
    for (long long at = start + threadIdx.x; at < end; at += THREADS) {
        const float error = load(p.y, at) - load(p.target, at);
        store(p.slope, at, p.factor * error);
        sum += double(error) * error;
    }
    sum = block_sum(sum, THREADS);
    if (threadIdx.x == 0) p.partials[blockIdx.x] = sum;
}

struct Total {
    const double* partials;
    double* out;
    double divisor;
    int count;
    // Whether the square root is asked for.
    int root;
};

// The sum of all partial sums, in order.
KERNEL(total, Total, THREADS) {
    double sum = 0.0;
    for (int i = threadIdx.x; i < p.count; i += THREADS) sum += p.partials[i];
    sum = block_sum(sum, THREADS) / p.divisor;
    if (threadIdx.x == 0) *p.out = p.root ? sqrt(sum) : sum;
}
