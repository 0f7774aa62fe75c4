// The gradient of a convolution by its weights: for every tap, block of input channels and block of output channels, the
// sum over all positions of input times gradient. See backward_filter.rs.

#include "lattice.cuh"
#include "tensor_core.cuh"

// Output channels of a block.
constexpr int OUTPUTS = 32;

struct BackwardFilter {
    Lattice lattice;
    Side from;
    Side to;
    Parts source;
    Transform transform;
    Array gradient;
    // (share, matrix, input, output).
    float* out;
    int tiles;
    // Blocks that the tiles are dealt out to.
    int shares;
    int matrices;
    // Warps that take turns with taps; the others with positions.
    int tap_groups;
};

// Products of one tap on tensor cores: 32 inputs, 32 outputs.
struct OnTensorCores {
    using T = bf16;
    static constexpr int STEP = 16;
    static constexpr int SUMS = 32;

    // Adds those of 16 positions from `row` on.
    static __device__ __forceinline__ void add(
        float (&sums)[SUMS], const Lattice& l, const bf16* patch, int shift, const bf16* gradient, int stride,
        int row) {
        const int lane = threadIdx.x % WARP;
        const int pixel = patch_pixel(l, row + lane % 8 + lane / 16 * 8) + shift;
        const bf16* from = patch + pixel * Patch<T>::STRIDE + lane / 8 % 2 * 8;
        unsigned a[2][4];
        for (int i = 0; i < 2; i++) load_matrices<true>(a[i], from + 16 * i);
        for (int j = 0; j < 2; j++) {
            unsigned b[4];
            load_matrices<true>(b, gradient + (row + lane % 16) * stride + 16 * j + lane / 16 * 8);
            for (int i = 0; i < 2; i++) {
                for (int half = 0; half < 2; half++) {
                    float(&sum)[4] = reinterpret_cast<float(&)[4]>(sums[4 * (4 * i + 2 * j + half)]);
                    multiply_add(sum, a[i], b[2 * half], b[2 * half + 1]);
                }
            }
        }
    }

    static __device__ __forceinline__ int input(int lane, int i) {
        return i / 16 * 16 + lane / 4 + i % 4 / 2 * 8;
    }

    static __device__ __forceinline__ int output(int lane, int i) {
        return i % 16 / 4 * 8 + lane % 4 * 2 + i % 2;
    }
};

// The same in f32: 16 inputs; every lane has 4 of them, four apart, and 4 outputs, eight apart.
struct OnCores {
    using T = float;
    static constexpr int STEP = 1;
    static constexpr int SUMS = 16;

    static __device__ __forceinline__ void add(
        float (&sums)[SUMS], const Lattice& l, const float* patch, int shift, const float* gradient, int stride,
        int row) {
        const int lane = threadIdx.x % WARP;
        const float* from = patch + (patch_pixel(l, row) + shift) * Patch<T>::STRIDE;
        for (int i = 0; i < 4; i++) {
            const float a = from[lane / 8 + 4 * i];
            for (int j = 0; j < 4; j++) {
                sums[4 * i + j] = fmaf(a, gradient[row * stride + lane % 8 + 8 * j], sums[4 * i + j]);
            }
        }
    }

    static __device__ __forceinline__ int input(int lane, int i) { return lane / 8 + i / 4 * 4; }
    static __device__ __forceinline__ int output(int lane, int i) { return lane % 8 + i % 4 * 8; }
};

// Writes the gradient at a tile's positions of one sub-grid, zeros outside the images.
template <class T>
__device__ __forceinline__ void load_gradient(
    T* to, int stride, const BackwardFilter& p, const Origin& origin, int grid, int first, int threads) {
    const Parts parts{{p.gradient, Array{}}, {p.to.channels, 0}};
    for (int i = threadIdx.x; i < TILE * OUTPUTS / 4; i += threads) {
        const int row = i / (OUTPUTS / 4), at = i % (OUTPUTS / 4) * 4;
        const int pixel = pixel_of(p.lattice, p.to, grid, position(p.lattice, origin, row));
        const Quad zeros{{0.0f, 0.0f, 0.0f, 0.0f}};
        put(to + row * stride + at, pixel < 0 ? zeros : load_channels(parts, pixel, first + at));
    }
}

// TAPS: those of one warp.
template <class Product, int TAPS>
__device__ __forceinline__ void backward_filter(const BackwardFilter& p, int threads) {
    using T = typename Product::T;
    constexpr int STRIDE = OUTPUTS + 16 / sizeof(T);
    SHARED(T, patch, Patch<T>::SIZE);
    SHARED(T, gradient, TILE * STRIDE);
    const Lattice& l = p.lattice;
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const int tap_group = warp % p.tap_groups, row_group = warp / p.tap_groups;
    const int row_groups = threads / WARP / p.tap_groups;
    const int inputs = blockIdx.x * Patch<T>::CHANNELS, outputs = blockIdx.y * OUTPUTS;
    const int grids_from = p.from.grids_per_axis * p.from.grids_per_axis, grids_to = p.to.grids_per_axis * p.to.grids_per_axis;
    float sums[TAPS][Product::SUMS];
#pragma unroll
    for (int slot = 0; slot < TAPS; slot++) {
        for (int i = 0; i < Product::SUMS; i++) sums[slot][i] = 0.0f;
    }
    for (int tile = blockIdx.z; tile < p.tiles; tile += p.shares) {
        const Origin origin = tile_origin(l, tile);
        for (int from = 0; from < grids_from; from++) {
            __syncthreads();
            load_patch(patch, l, p.from, p.source, p.transform, from, origin, inputs, threads);
            for (int to = 0; to < grids_to; to++) {
                // One side is coarse, so its only sub-grid is loaded once.
                if (to > 0) __syncthreads();
                if (from == 0) load_gradient(gradient, STRIDE, p, origin, to, outputs, threads);
                __syncthreads();
                const int first = l.first_tap[to * MOST_GRIDS + from], count = taps_between(l, to, from);
#pragma unroll
                for (int slot = 0; slot < TAPS; slot++) {
                    const int tap = slot * p.tap_groups + tap_group;
                    if (tap < first || tap >= first + count) continue;
                    const int shift = tap_shift(l, l.taps[tap]);
                    for (int row = row_group * Product::STEP; row < TILE; row += row_groups * Product::STEP) {
                        Product::add(sums[slot], l, patch, shift, gradient, STRIDE, row);
                    }
                }
            }
        }
    }
    const int share = blockIdx.z * row_groups + row_group;
#pragma unroll
    for (int slot = 0; slot < TAPS; slot++) {
        const int tap = slot * p.tap_groups + tap_group;
        if (tap >= p.matrices) continue;
        float* out = p.out + ((long long)share * p.matrices + l.taps[tap].matrix) * p.from.channels * p.to.channels;
#pragma unroll
        for (int i = 0; i < Product::SUMS; i++) {
            const int input = inputs + Product::input(lane, i), output = outputs + Product::output(lane, i);
            if (input < p.from.channels && output < p.to.channels) {
                out[(long long)input * p.to.channels + output] = sums[slot][i];
            }
        }
    }
}

KERNEL(backward_filter_f32_1, BackwardFilter, 128) { backward_filter<OnCores, 1>(p, 128); }
KERNEL(backward_filter_f32_3, BackwardFilter, 96) { backward_filter<OnCores, 3>(p, 96); }
KERNEL(backward_filter_f32_4, BackwardFilter, 128) { backward_filter<OnCores, 4>(p, 128); }
KERNEL(backward_filter_bf16_1, BackwardFilter, 128) { backward_filter<OnTensorCores, 1>(p, 128); }
KERNEL(backward_filter_bf16_3, BackwardFilter, 96) { backward_filter<OnTensorCores, 3>(p, 96); }
KERNEL(backward_filter_bf16_4, BackwardFilter, 128) { backward_filter<OnTensorCores, 4>(p, 128); }

struct JoinShares {
    const float* shares;
    float* out;
    int count;
    int matrices;
    // Of one matrix.
    int area;
    // Matrices that each position of the kernel is part of.
    int sums[9][4];
    int counts[9];
};

// Sums what the blocks found, in order, and the matrices that a weight is part of.
KERNEL(join_shares, JoinShares, 256) {
    const int at = blockIdx.x * 256 + threadIdx.x, weight = blockIdx.y;
    if (at >= p.area) return;
    float sum = 0.0f;
    for (int share = 0; share < p.count; share++) {
        for (int i = 0; i < p.counts[weight]; i++) {
            sum += p.shares[((long long)share * p.matrices + p.sums[weight][i]) * p.area + at];
        }
    }
    p.out[(long long)weight * p.area + at] = sum;
}
