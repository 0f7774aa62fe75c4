// What a device can do at most of what the other kernels do: multiply on tensor cores, multiply without, copy. See
// ceiling.rs.

#include "array.cuh"
#include "tensor_core.cuh"

constexpr int THREADS = 256;
// Sums that do not wait for each other.
constexpr int SUMS = 8;

struct Multiply {
    // One for each thread.
    float* out;
    int rounds;
    float factor;
};

KERNEL(multiply_bf16, Multiply, THREADS) {
    const unsigned pair = pack_bf16(p.factor, p.factor);
    const unsigned a[4] = {pair, pair, pair, pair};
    float sums[SUMS][4] = {};
    for (int round = 0; round < p.rounds; round++) {
        for (int i = 0; i < SUMS; i++) multiply_add(sums[i], a, pair, pair);
    }
    float total = 0.0f;
    for (int i = 0; i < SUMS; i++) total += sums[i][0] + sums[i][1] + sums[i][2] + sums[i][3];
    p.out[blockIdx.x * THREADS + threadIdx.x] = total;
}

KERNEL(multiply_f32, Multiply, THREADS) {
    float sums[2 * SUMS] = {};
#pragma unroll 4
    for (int round = 0; round < p.rounds; round++) {
        for (int i = 0; i < 2 * SUMS; i++) sums[i] = fmaf(sums[i], p.factor, p.factor);
    }
    float total = 0.0f;
    for (int i = 0; i < 2 * SUMS; i++) total += sums[i];
    p.out[blockIdx.x * THREADS + threadIdx.x] = total;
}

struct Copy {
    const Four* from;
    Four* to;
    long long count;
};

// Four numbers for each thread.
KERNEL(copy, Copy, THREADS) {
    const long long at = (long long)blockIdx.x * THREADS + threadIdx.x;
    if (at < p.count) p.to[at] = p.from[at];
}
