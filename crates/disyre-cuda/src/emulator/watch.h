// A look at every access to memory, for the faults that results do not show: two lanes at one place without a barrier
// between them, whichever comes first; numbers read before they are there; places outside all memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace emulator {

enum class Use { READ, WRITE, START_COPY, END_COPY };

// In the place of a lane, where a warp acts as one.
constexpr unsigned WARP_AT_ONCE = 0x7fff;

// What happened to two bytes, in phases: the times between barriers, counted from 1 over all blocks of a launch.
struct Cell {
    // The last write; 0 if there was none.
    unsigned written = 0;
    // The first and the last read.
    unsigned first_read = 0;
    unsigned read = 0;
    uint16_t writer = 0;
    // WARP_AT_ONCE if there were several in the last phase.
    uint16_t reader : 15;
    // Whether an asynchronous copy is on its way there.
    uint16_t awaited : 1;

    Cell() : reader(0), awaited(0) {}
};

// A run of memory; its cells are made when it is used.
struct Region {
    uintptr_t start;
    size_t bytes;
    std::vector<Cell> cells;

    bool holds(uintptr_t address) const { return address - start < bytes; }
};

class Watch {
public:
    // Lanes have their stacks to themselves, and nobody writes the parameters: neither is looked at.
    void start_launch(Region shared, Region stacks, Region parameters);
    void start_block();
    void pass_barrier() { phase++; }

    // Whether all is well.
    bool look(Use use, unsigned lane, const void* address, size_t bytes);
    // What was not.
    std::string fault;

private:
    Region* find(uintptr_t address);
    const char* wrong(Use use, unsigned lane, const Cell& cell, bool in_shared) const;
    bool is_beside(unsigned past, unsigned by, unsigned lane) const;
    void note(Use use, unsigned lane, Cell& cell) const;

    Region shared{}, stacks{}, parameters{};
    // The device's memory, in the order of addresses.
    std::vector<Region> memory;
    // What was used last.
    Region* recent = nullptr;
    unsigned phase = 0;
    unsigned first_phase_of_block = 0;
};

}  // namespace emulator
