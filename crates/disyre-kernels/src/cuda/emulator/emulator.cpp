#include "emulator.h"

#include <setjmp.h>
#include <ucontext.h>

#include <memory>
#include <string>
#include <vector>

namespace emulator {
namespace {

constexpr unsigned WARP = 32;
constexpr size_t STACK_BYTES = 128 << 10;
// What a kernel may have without asking for more at its launch.
constexpr size_t SHARED_BYTES = 48 << 10;

const Registration* registrations = nullptr;

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
    std::unique_ptr<char[]> stack;
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
    bool reversed;
};

// One for each thread of the host.
struct Machine {
    std::vector<std::unique_ptr<Lane>> lanes;
    std::vector<Warp> warps;
    Barrier barrier;
    alignas(128) char shared[SHARED_BYTES];
    jmp_buf scheduler;
    Lane* current = nullptr;
    Index block;
    Launch launch;
    std::string error;
};

thread_local std::unique_ptr<Machine> machine_of_thread;
thread_local Machine* machine = nullptr;

// Back to the scheduler, until it resumes this lane.
void yield() {
    if (_setjmp(machine->current->context) == 0) _longjmp(machine->scheduler, 1);
}

void lane_body() {
    for (;;) {
        yield();
        machine->launch.kernel->run(machine->launch.parameters);
        machine->current->done = true;
    }
}

void resume(Lane& lane) {
    machine->current = &lane;
    if (_setjmp(machine->scheduler) == 0) _longjmp(lane.context, 1);
}

void add_lane() {
    auto lane = std::make_unique<Lane>();
    lane->stack = std::make_unique<char[]>(STACK_BYTES);
    lane->thread = Index{unsigned(machine->lanes.size()), 0, 0};
    ucontext_t start;
    getcontext(&start);
    start.uc_stack.ss_sp = lane->stack.get();
    start.uc_stack.ss_size = STACK_BYTES;
    start.uc_link = nullptr;
    makecontext(&start, lane_body, 0);
    machine->current = lane.get();
    machine->lanes.push_back(std::move(lane));
    if (_setjmp(machine->scheduler) == 0) setcontext(&start);
}

// Counts an arrival; says whether it was the last.
bool arrive(Barrier& barrier, unsigned expected) {
    if (++barrier.arrived < expected) return false;
    barrier.arrived = 0;
    barrier.generation++;
    return true;
}

void await(const Barrier& barrier, unsigned generation) {
    machine->current->awaited = &barrier;
    machine->current->generation = generation;
    yield();
    machine->current->awaited = nullptr;
}

bool can_run(const Lane& lane) {
    return !lane.done && (!lane.awaited || lane.awaited->generation != lane.generation);
}

void perform(const std::vector<Copy>& copies) {
    for (const Copy& copy : copies) std::memcpy(copy.to, copy.from, copy.bytes);
}

void start_block() {
    std::memset(machine->shared, 0xff, sizeof machine->shared);
    machine->barrier = Barrier{};
    machine->warps.assign(machine->launch.threads / WARP, Warp{});
    for (unsigned i = 0; i < machine->launch.threads; i++) {
        Lane& lane = *machine->lanes[i];
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
    const unsigned threads = machine->launch.threads;
    for (unsigned left = threads; left > 0;) {
        bool progress = false;
        for (unsigned i = 0; i < threads; i++) {
            Lane& lane = *machine->lanes[machine->launch.reversed ? threads - 1 - i : i];
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
    const Index& grid = machine->launch.grid;
    const unsigned blocks = grid.x * grid.y * grid.z;
    for (unsigned i = 0; i < blocks; i++) {
        const unsigned block = machine->launch.reversed ? blocks - 1 - i : i;
        machine->block = Index{block % grid.x, block / grid.x % grid.y, block / grid.x / grid.y};
        if (!run_block()) {
            machine->error = "lanes wait at a barrier that others never reach";
            return false;
        }
        if (!machine->error.empty()) return false;
    }
    return true;
}

const Registration* find(const char* name) {
    const Registration* found = registrations;
    while (found && std::strcmp(found->name, name) != 0) found = found->next;
    return found;
}

}  // namespace

Registration::Registration(
    const char* name, unsigned most_threads, size_t bytes, void (*run)(const void*))
    : name(name), most_threads(most_threads), parameter_bytes(bytes), run(run), next(registrations) {
    registrations = this;
}

const Index& thread_index() { return machine->current->thread; }
const Index& block_index() { return machine->block; }
const Index& grid_size() { return machine->launch.grid; }
unsigned block_size() { return machine->launch.threads; }

void block_barrier() {
    const unsigned generation = machine->barrier.generation;
    if (!arrive(machine->barrier, machine->launch.threads)) await(machine->barrier, generation);
}

void collective(void* mine, void (*all)(void* const*)) {
    const unsigned thread = machine->current->thread.x;
    Warp& warp = machine->warps[thread / WARP];
    warp.brought[thread % WARP] = mine;
    const unsigned generation = warp.barrier.generation;
    if (arrive(warp.barrier, WARP)) {
        all(warp.brought);
    } else {
        await(warp.barrier, generation);
    }
}

void* shared_bytes(size_t bytes) {
    size_t& used = machine->current->shared_used;
    const size_t start = used;
    used += (bytes + 15) / 16 * 16;
    if (used > SHARED_BYTES) {
        machine->error = "the kernel needs more shared memory than a block has";
        return machine->shared;
    }
    return machine->shared + start;
}

void copy_later(void* to, const void* from, size_t bytes) {
    const Copy copy{to, from, bytes};
    if (machine->launch.reversed) {
        perform({copy});
    } else {
        machine->current->open.push_back(copy);
    }
}

void commit_copies() {
    Lane& lane = *machine->current;
    lane.committed.push_back(std::move(lane.open));
    lane.open.clear();
}

void wait_for_copies(unsigned groups_left) {
    auto& groups = machine->current->committed;
    while (groups.size() > groups_left) {
        perform(groups.front());
        groups.erase(groups.begin());
    }
}

}  // namespace emulator

// Runs a kernel; returns what is wrong, or null.
extern "C" const char* disyre_emulator_launch(
    const char* name, const unsigned* grid, unsigned threads, const void* parameters, size_t bytes,
    bool reversed) {
    using namespace emulator;
    if (!machine) {
        machine_of_thread = std::make_unique<Machine>();
        machine = machine_of_thread.get();
    }
    const Registration* kernel = find(name);
    machine->error.clear();
    if (!kernel) {
        machine->error = "there is no such kernel";
    } else if (threads == 0 || threads % WARP != 0 || threads > kernel->most_threads) {
        machine->error = "the block has threads that the kernel is not compiled for";
    } else if (bytes != kernel->parameter_bytes) {
        machine->error = "the parameters have another size than the kernel's";
    } else {
        while (machine->lanes.size() < threads) add_lane();
        machine->launch =
            Launch{kernel, parameters, Index{grid[0], grid[1], grid[2]}, threads, reversed};
        run_grid();
    }
    return machine->error.empty() ? nullptr : machine->error.c_str();
}
