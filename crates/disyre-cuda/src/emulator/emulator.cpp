#include "emulator.h"

#include "watch.h"

#include <setjmp.h>
#include <ucontext.h>

#include <memory>
#include <new>
#include <string>
#include <vector>

namespace emulator {
namespace {

constexpr unsigned WARP = 32;
constexpr size_t STACK_BYTES = 128 << 10;
// What a kernel may have without asking for more at its launch.
constexpr size_t SHARED_BYTES = 48 << 10;
constexpr unsigned MOST_LANES = 1024;

// As in mod.rs.
enum class Mode { FORWARD, REVERSED, WATCHED };

struct Barrier {
    unsigned arrived = 0;
    unsigned generation = 0;
};

struct Warp {
    Barrier barrier;
    void* brought[WARP];
};

struct Copy {
    void* to;
    const void* from;
    size_t bytes;
};

struct Lane {
    jmp_buf context;
    Index thread;
    bool done;
    const Barrier* awaited;
    unsigned generation;
    size_t shared_used;
    std::vector<Copy> open;
    std::vector<std::vector<Copy>> committed;
};

struct Launch {
    const Registration* kernel;
    const void* parameters;
    Index grid;
    unsigned threads;
    Mode mode;
};

// One for each thread of the host.
struct EmulatedGpu {
    std::vector<std::unique_ptr<Lane>> lanes;
    // Not written here, so that those of lanes that never are take no memory. One more, so that nothing else is near.
    std::unique_ptr<char[]> stacks{new char[(MOST_LANES + 1) * STACK_BYTES]};
    std::vector<Warp> warps;
    Barrier barrier;
    alignas(128) char shared[SHARED_BYTES];
    jmp_buf scheduler;
    Lane* current = nullptr;
    Index block;
    Launch launch;
    Watch watch;
    // Whether the running lane acts for its warp.
    bool for_warp = false;
    // Whether a lane had an exception.
    bool threw = false;
    std::string error;
};

thread_local std::unique_ptr<EmulatedGpu> emulated_gpu;
thread_local EmulatedGpu* gpu = nullptr;

// Back to the scheduler, until it resumes this lane.
void yield() {
    if (_setjmp(gpu->current->context) == 0) _longjmp(gpu->scheduler, 1);
}

void lane_body() {
    for (;;) {
        yield();
        // No exception may leave a lane's stack.
        try {
            gpu->launch.kernel->run(gpu->launch.parameters);
        } catch (...) {
            gpu->threw = true;
        }
        gpu->current->done = true;
    }
}

void resume(Lane& lane) {
    gpu->current = &lane;
    if (_setjmp(gpu->scheduler) == 0) _longjmp(lane.context, 1);
}

void add_lane() {
    auto lane = std::make_unique<Lane>();
    lane->thread = Index{unsigned(gpu->lanes.size()), 0, 0};
    ucontext_t start;
    getcontext(&start);
    start.uc_stack.ss_sp = gpu->stacks.get() + gpu->lanes.size() * STACK_BYTES;
    start.uc_stack.ss_size = STACK_BYTES;
    start.uc_link = nullptr;
    makecontext(&start, lane_body, 0);
    gpu->current = lane.get();
    gpu->lanes.push_back(std::move(lane));
    if (_setjmp(gpu->scheduler) == 0) setcontext(&start);
}

// Counts an arrival; says whether it was the last.
bool arrive(Barrier& barrier, unsigned expected) {
    if (++barrier.arrived < expected) return false;
    barrier.arrived = 0;
    barrier.generation++;
    return true;
}

void await(const Barrier& barrier, unsigned generation) {
    gpu->current->awaited = &barrier;
    gpu->current->generation = generation;
    yield();
    gpu->current->awaited = nullptr;
}

bool can_run(const Lane& lane) {
    return !lane.done && (!lane.awaited || lane.awaited->generation != lane.generation);
}

bool is_reversed() { return gpu->launch.mode == Mode::REVERSED; }
bool is_watched() { return gpu->launch.mode == Mode::WATCHED; }

void look_at(Use use, const void* address, size_t bytes) {
    const unsigned lane = gpu->for_warp ? WARP_AT_ONCE : gpu->current->thread.x;
    if (!gpu->watch.look(use, lane, address, bytes)) gpu->error = gpu->watch.fault;
}

void perform(const std::vector<Copy>& copies) {
    for (const Copy& copy : copies) {
        if (is_watched()) look_at(Use::END_COPY, copy.to, copy.bytes);
        std::memcpy(copy.to, copy.from, copy.bytes);
    }
}

void start_block() {
    std::memset(gpu->shared, 0xff, sizeof gpu->shared);
    if (is_watched()) gpu->watch.start_block();
    gpu->barrier = Barrier{};
    gpu->warps.assign(gpu->launch.threads / WARP, Warp{});
    for (unsigned i = 0; i < gpu->launch.threads; i++) {
        Lane& lane = *gpu->lanes[i];
        lane.done = false;
        lane.awaited = nullptr;
        lane.shared_used = 0;
        lane.open.clear();
        lane.committed.clear();
    }
}

// Runs all lanes to their ends; false if some wait for others that never come.
bool run_block() {
    start_block();
    const unsigned threads = gpu->launch.threads;
    for (unsigned left = threads; left > 0;) {
        bool progress = false;
        for (unsigned i = 0; i < threads; i++) {
            Lane& lane = *gpu->lanes[is_reversed() ? threads - 1 - i : i];
            if (!can_run(lane)) continue;
            resume(lane);
            progress = true;
            left -= lane.done;
        }
        if (!progress) return false;
    }
    return true;
}

bool run_grid() {
    const Index& grid = gpu->launch.grid;
    const size_t blocks = size_t(grid.x) * grid.y * grid.z;
    for (size_t i = 0; i < blocks; i++) {
        const size_t block = is_reversed() ? blocks - 1 - i : i, row = block / grid.x;
        gpu->block = Index{unsigned(block % grid.x), unsigned(row % grid.y), unsigned(row / grid.y)};
        gpu->threw = false;
        const bool ended = run_block();
        if (gpu->threw) {
            gpu->lanes.clear();
            throw std::bad_alloc();
        }
        if (!ended) {
            gpu->error = "lanes wait at a barrier that others never reach";
            // They would wait there still when the next kernel starts.
            gpu->lanes.clear();
            return false;
        }
        if (!gpu->error.empty()) return false;
    }
    return true;
}

void start_watch(size_t parameter_bytes) {
    auto region = [](const void* start, size_t bytes) {
        return Region{reinterpret_cast<uintptr_t>(start), bytes, {}};
    };
    gpu->watch.start_launch(region(gpu->shared, SHARED_BYTES),
                                region(gpu->stacks.get(), MOST_LANES * STACK_BYTES),
                                region(gpu->launch.parameters, parameter_bytes));
}

const Registration* find(const char* name, Mode mode) {
    const Registration* found = mode == Mode::WATCHED ? watched_kernels : plain_kernels;
    while (found && std::strcmp(found->name, name) != 0) found = found->next;
    return found;
}

}  // namespace

Index thread_index() { return gpu->current->thread; }
Index block_index() { return gpu->block; }
Index grid_size() { return gpu->launch.grid; }
unsigned block_size() { return gpu->launch.threads; }

void block_barrier() {
    const unsigned generation = gpu->barrier.generation;
    if (arrive(gpu->barrier, gpu->launch.threads)) {
        gpu->watch.pass_barrier();
    } else {
        await(gpu->barrier, generation);
    }
}

void collective(void* mine, void (*all)(void* const*)) {
    const unsigned thread = gpu->current->thread.x;
    Warp& warp = gpu->warps[thread / WARP];
    warp.brought[thread % WARP] = mine;
    const unsigned generation = warp.barrier.generation;
    if (arrive(warp.barrier, WARP)) {
        // On this lane's stack, which nobody watches.
        void* brought[WARP];
        std::memcpy(brought, warp.brought, sizeof brought);
        gpu->for_warp = true;
        all(brought);
        gpu->for_warp = false;
    } else {
        await(warp.barrier, generation);
    }
}

void* shared_bytes(size_t bytes) {
    size_t& used = gpu->current->shared_used;
    const size_t start = used;
    used += (bytes + 15) / 16 * 16;
    if (used > SHARED_BYTES) {
        gpu->error = "the kernel needs more shared memory than a block has";
        return gpu->shared;
    }
    return gpu->shared + start;
}

void copy_later(void* to, const void* from, size_t bytes) {
    const Copy copy{to, from, bytes};
    if (is_watched()) {
        look_at(Use::READ, from, bytes);
        look_at(Use::START_COPY, to, bytes);
    }
    if (is_reversed()) {
        perform({copy});
    } else {
        gpu->current->open.push_back(copy);
    }
}

void commit_copies() {
    Lane& lane = *gpu->current;
    lane.committed.push_back(std::move(lane.open));
    lane.open.clear();
}

void wait_for_copies(unsigned groups_left) {
    auto& groups = gpu->current->committed;
    while (groups.size() > groups_left) {
        perform(groups.front());
        groups.erase(groups.begin());
    }
}

void look(const void* address, size_t bytes, bool is_write) {
    // Most are on the lane's own stack, which is above this frame.
    const auto frame = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
    if (reinterpret_cast<uintptr_t>(address) - frame < STACK_BYTES) return;
    // Kernels announce themselves before anything runs.
    if (gpu) look_at(is_write ? Use::WRITE : Use::READ, address, bytes);
}

}  // namespace emulator

namespace {

using namespace emulator;

const char* launch(
    const char* name, const unsigned* grid, unsigned threads, const void* parameters, size_t bytes, unsigned mode) {
    if (!gpu) {
        emulated_gpu = std::make_unique<EmulatedGpu>();
        gpu = emulated_gpu.get();
    }
    const Registration* kernel = find(name, Mode(mode));
    gpu->error.clear();
    if (!kernel) {
        gpu->error = "there is no such kernel";
    } else if (threads == 0 || threads % WARP != 0 || threads > kernel->most_threads || threads > MOST_LANES) {
        gpu->error = "the block has threads that the kernel is not compiled for";
    } else if (bytes != kernel->parameter_bytes) {
        gpu->error = "the parameters have another size than the kernel's";
    } else {
        while (gpu->lanes.size() < threads) add_lane();
        gpu->launch = Launch{kernel, parameters, Index{grid[0], grid[1], grid[2]}, threads, Mode(mode)};
        if (is_watched()) start_watch(bytes);
        run_grid();
    }
    return gpu->error.empty() ? nullptr : gpu->error.c_str();
}

}  // namespace

// Runs a kernel; returns what is wrong, or null. No exception leaves it: memory that could not be had is an error, too.
extern "C" const char* disyre_emulator_launch(
    const char* name, const unsigned* grid, unsigned threads, const void* parameters, size_t bytes, unsigned mode) {
    try {
        return launch(name, grid, threads, parameters, bytes, mode);
    } catch (...) {
        return "the emulator failed, perhaps for want of memory";
    }
}
