// A block of CUDA threads on one thread of the host: what the kernels need of CUDA when the host's compiler compiles
// them. Every lane is a fiber; a barrier lets the others run until all have arrived.
//
// It is stricter than a GPU where that finds faults: shared memory starts as NaN, lanes may not leave while others wait,
// and the order of lanes and blocks, and when an asynchronous copy happens, can be reversed. Compiled a second time with
// a call at every access to memory, the kernels can be watched: watch.h.
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
Index thread_index();
Index block_index();
Index grid_size();
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

// At every access of kernels that are watched.
void look(const void* address, size_t bytes, bool is_write);

// A kernel, found by its name among those compiled with it.
struct Registration {
    const char* name;
    unsigned most_threads;
    size_t parameter_bytes;
    void (*run)(const void* parameters);
    const Registration* next;

    Registration(
        const Registration*& list, const char* name, unsigned most_threads, size_t bytes, void (*run)(const void*))
        : name(name), most_threads(most_threads), parameter_bytes(bytes), run(run), next(list) {
        list = this;
    }
};

// The last kernel of each way to compile them, defined where they are: so the linker keeps them.
extern const Registration* plain_kernels;
extern const Registration* watched_kernels;

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
        emulator::KERNELS, #name, threads, sizeof(Parameters),                                                            \
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
