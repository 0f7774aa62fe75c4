// Shared by all kernels. Compiled by nvcc, or by the host's compiler for the emulator.
#pragma once

#ifdef __CUDACC__
#define KERNEL(name, Parameters, threads) \
    extern "C" __global__ void __launch_bounds__(threads) name(const __grid_constant__ Parameters p)
// For few blocks: each may have all registers of its multiprocessor.
#define KERNEL_OF_FEW_BLOCKS(name, Parameters, threads) \
    extern "C" __global__ void __launch_bounds__(threads, 1) name(const __grid_constant__ Parameters p)
#define SHARED(Type, name, count) __shared__ __align__(16) Type name[count]
#else
#include "emulator/emulator.h"
#endif

constexpr int WARP = 32;

// The upper half of a float: 8 bits of exponent and 7 of fraction.
struct bf16 {
    unsigned short bits;
};

__device__ __forceinline__ float to_float(float value) { return value; }
__device__ __forceinline__ float to_float(bf16 value) { return __uint_as_float(unsigned(value.bits) << 16); }

// Two values rounded to nearest, even on ties, the first in the lower half.
__device__ __forceinline__ unsigned pack_bf16(float first, float second) {
#ifdef __CUDACC__
    unsigned packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(second), "f"(first));
    return packed;
#else
    auto round = [](float value) {
        const unsigned bits = __float_as_uint(value);
        return value != value ? 0x7fffu : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    };
    return round(first) | round(second) << 16;
#endif
}

template <class T>
__device__ __forceinline__ T from_float(float value);

template <>
__device__ __forceinline__ float from_float<float>(float value) {
    return value;
}

template <>
__device__ __forceinline__ bf16 from_float<bf16>(float value) {
    return bf16{static_cast<unsigned short>(pack_bf16(value, 0.0f))};
}

__device__ __forceinline__ float sigmoid(float z) { return 1.0f / (1.0f + expf(-z)); }

__device__ __forceinline__ int ceil_div(int a, int b) { return (a + b - 1) / b; }

// The value of the lane whose number differs in the bits of `mask`.
template <class T>
__device__ __forceinline__ T exchange(T value, int mask) {
#ifdef __CUDACC__
    return __shfl_xor_sync(0xffffffffu, value, mask);
#else
    struct Slot {
        T mine, other;
        int mask;
    } slot{value, value, mask};
    emulator::collective(&slot, [](void* const* lanes) {
        for (int lane = 0; lane < WARP; lane++) {
            Slot* own = static_cast<Slot*>(lanes[lane]);
            own->other = static_cast<Slot*>(lanes[lane ^ own->mask])->mine;
        }
    });
    return slot.other;
#endif
}

// The sum over the warp, in every lane, always in the same order.
template <class T>
__device__ __forceinline__ T warp_sum(T value) {
    for (int mask = WARP / 2; mask > 0; mask /= 2) value += exchange(value, mask);
    return value;
}

// The sum over a block of up to 1024 threads, in its first thread, always in the same order.
template <class T>
__device__ __forceinline__ T block_sum(T value, int threads) {
    SHARED(T, of_warps, WARP);
    value = warp_sum(value);
    const int thread = threadIdx.x;
    if (thread % WARP == 0) of_warps[thread / WARP] = value;
    __syncthreads();
    T sum = T(0);
    if (thread == 0) {
        for (int warp = 0; warp < threads / WARP; warp++) sum += of_warps[warp];
    }
    __syncthreads();
    return sum;
}
