// What the compiler calls at every access of kernels that it compiles with -fsanitize=thread, in the place of that
// sanitizer's own library: https://github.com/google/sanitizers/wiki/ThreadSanitizerAlgorithm.

#include "emulator.h"

#define ACCESS(name, bytes)                                                                       \
    extern "C" void __tsan_read##name(void* at) { emulator::look(at, bytes, false); }             \
    extern "C" void __tsan_write##name(void* at) { emulator::look(at, bytes, true); }
#define UNALIGNED(bytes)                                                                                \
    extern "C" void __tsan_unaligned_read##bytes(void* at) { emulator::look(at, bytes, false); }        \
    extern "C" void __tsan_unaligned_write##bytes(void* at) { emulator::look(at, bytes, true); }

ACCESS(1, 1)
ACCESS(2, 2)
ACCESS(4, 4)
ACCESS(8, 8)
ACCESS(16, 16)
UNALIGNED(2)
UNALIGNED(4)
UNALIGNED(8)
UNALIGNED(16)

extern "C" void __tsan_read_range(void* at, size_t bytes) { emulator::look(at, bytes, false); }
extern "C" void __tsan_write_range(void* at, size_t bytes) { emulator::look(at, bytes, true); }
extern "C" void __tsan_init() {}
extern "C" void __tsan_func_entry(void*) {}
extern "C" void __tsan_func_exit() {}
