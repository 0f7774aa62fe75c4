// A block of CUDA threads on one thread of the host: what the kernels need of CUDA when the host's compiler compiles
// them. Every lane is a fiber; a barrier lets the others run until all have arrived.
//
// It is stricter than a GPU where that finds faults: shared memory starts as NaN, lanes may not leave while others wait,
// and the order of lanes and blocks, and when an asynchronous copy happens, can be reversed.
#pragma once

#include <math.h>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace emulator {

struct Index {
    unsigned x, y, z;
};

// Where the running lane is.
const Index& thread_index();
const Index& block_index();
const Index& grid_size();
unsigned block_size();

// Waits for all lanes of the block.
void block_barrier();

// Waits for all lanes of the warp; the last to arrive calls `all` with what each lane brought.
void collective(void* mine, void (*all)(void* const* lanes));

// Shared memory, the same for the same sequence of calls in every lane.
void* shared_bytes(size_t bytes);

template <class T>
T* shared(size_t count) {
    return static_cast<T*>(shared_bytes(count * sizeof(T)));
}

// Asynchronous copies: at once, or as late as the waiting for them allows.
void copy_later(void* to, const void* from, size_t bytes);
void commit_copies();
void wait_for_copies(unsigned groups_left);

// A kernel, found by its name.
struct Registration {
    const char* name;
    unsigned most_threads;
    size_t parameter_bytes;
    void (*run)(const void* parameters);
    const Registration* next;

    Registration(const char* name, unsigned most_threads, size_t bytes, void (*run)(const void*));
};

}  // namespace emulator

#define __device__
#define __forceinline__ inline
#define threadIdx (emulator::thread_index())
#define blockIdx (emulator::block_index())
#define gridDim (emulator::grid_size())
#define __syncthreads() emulator::block_barrier()

#define SHARED(Type, name, count) Type* const name = emulator::shared<Type>(count)
#define KERNEL(name, Parameters, threads)                                                              \
    static void name(const Parameters& p);                                                             \
    static const emulator::Registration registered_##name{                                             \
        #name, threads, sizeof(Parameters),                                                            \
        [](const void* parameters) { name(*static_cast<const Parameters*>(parameters)); }};            \
    static void name(const Parameters& p)

#define KERNEL_OF_FEW_BLOCKS KERNEL

inline unsigned __float_as_uint(float value) {
    unsigned bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

inline float __uint_as_float(unsigned bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}
