// Numbers in the memory of the device, as f32 or bf16.
#pragma once

#include "common.cuh"

struct Array {
    void* values;
    // Whether they are bf16, else f32.
    int narrow;
    int unused;
};

struct Quad {
    float v[4];
};

__device__ __forceinline__ float load(const Array& array, long long at) {
    return array.narrow ? to_float(static_cast<const bf16*>(array.values)[at])
                        : static_cast<const float*>(array.values)[at];
}

__device__ __forceinline__ void store(const Array& array, long long at, float value) {
    if (array.narrow) {
        static_cast<bf16*>(array.values)[at] = from_float<bf16>(value);
    } else {
        static_cast<float*>(array.values)[at] = value;
    }
}

struct alignas(8) Two {
    unsigned v[2];
};

struct alignas(16) Four {
    float v[4];
};

__device__ __forceinline__ Two pack(const Quad& values) {
    return Two{{pack_bf16(values.v[0], values.v[1]), pack_bf16(values.v[2], values.v[3])}};
}

// Four numbers in a row; `at` is a multiple of 4.
__device__ __forceinline__ Quad load_four(const Array& array, long long at) {
    if (array.narrow) {
        const Two two = static_cast<const Two*>(array.values)[at / 4];
        return Quad{{__uint_as_float(two.v[0] << 16), __uint_as_float(two.v[0] & 0xffff0000u),
                     __uint_as_float(two.v[1] << 16), __uint_as_float(two.v[1] & 0xffff0000u)}};
    }
    const Four four = static_cast<const Four*>(array.values)[at / 4];
    return Quad{{four.v[0], four.v[1], four.v[2], four.v[3]}};
}

__device__ __forceinline__ void store_four(const Array& array, long long at, const Quad& values) {
    if (array.narrow) {
        static_cast<Two*>(array.values)[at / 4] = pack(values);
    } else {
        static_cast<Four*>(array.values)[at / 4] = Four{{values.v[0], values.v[1], values.v[2], values.v[3]}};
    }
}
