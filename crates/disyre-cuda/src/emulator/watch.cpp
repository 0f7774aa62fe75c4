#include "watch.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <mutex>

namespace emulator {
namespace {

constexpr size_t CELL_BYTES = 2;

// The memory of all emulated devices.
std::mutex memory_lock;
std::map<uintptr_t, size_t> all_memory;

}  // namespace

void Watch::start_launch(Region shared, Region stacks, Region parameters) {
    this->shared = std::move(shared);
    this->stacks = std::move(stacks);
    this->parameters = std::move(parameters);
    memory.clear();
    recent = nullptr;
    fault.clear();
    phase = 0;
    const std::lock_guard<std::mutex> locked(memory_lock);
    for (const auto& [start, bytes] : all_memory) memory.push_back(Region{start, bytes, {}});
}

void Watch::start_block() {
    first_phase_of_block = ++phase;
    shared.cells.assign(shared.bytes / CELL_BYTES, Cell{});
}

inline Region* Watch::find(uintptr_t address) {
    if (shared.holds(address)) return &shared;
    if (recent && recent->holds(address)) return recent;
    auto behind = std::upper_bound(memory.begin(), memory.end(), address,
                                   [](uintptr_t at, const Region& region) { return at < region.start; });
    if (behind == memory.begin() || !std::prev(behind)->holds(address)) return nullptr;
    recent = &*std::prev(behind);
    if (recent->cells.empty()) recent->cells.resize((recent->bytes + CELL_BYTES - 1) / CELL_BYTES);
    return recent;
}

// Whether nothing orders what was done in a phase before what a lane does now. Blocks run one after another here, but in
// no order on a device; shared memory is forgotten between them.
inline bool Watch::is_beside(unsigned past, unsigned by, unsigned lane) const {
    if (past == 0) return false;
    return past < first_phase_of_block || (past == phase && by != lane);
}

inline const char* Watch::wrong(Use use, unsigned lane, const Cell& cell, bool in_shared) const {
    if (use == Use::END_COPY) return nullptr;
    if (cell.awaited) return "is used before the copy to there was waited for";
    if (is_beside(cell.written, cell.writer, lane)) return "is used beside a write of another lane";
    if (use == Use::READ) {
        return in_shared && cell.written == 0 ? "is read before it is written" : nullptr;
    }
    const bool is_read = is_beside(cell.first_read, lane, lane) || is_beside(cell.read, cell.reader, lane);
    return is_read ? "is written beside a read of another lane" : nullptr;
}

inline void Watch::note(Use use, unsigned lane, Cell& cell) const {
    if (use == Use::READ) {
        if (cell.first_read == 0) cell.first_read = phase;
        const bool shares = cell.read == phase && cell.reader != lane;
        cell.reader = uint16_t(shares ? WARP_AT_ONCE : lane);
        cell.read = phase;
    } else {
        cell.written = phase;
        cell.writer = uint16_t(lane);
        cell.awaited = use == Use::START_COPY;
    }
}

bool Watch::look(Use use, unsigned lane, const void* pointer, size_t bytes) {
    const uintptr_t address = reinterpret_cast<uintptr_t>(pointer);
    if (!fault.empty() || parameters.holds(address) || stacks.holds(address)) return true;
    Region* region = find(address);
    const char* what = "is outside all memory";
    if (region && address + bytes <= region->start + region->bytes) {
        what = nullptr;
        const size_t last = (address + bytes - 1 - region->start) / CELL_BYTES;
        for (size_t i = (address - region->start) / CELL_BYTES; i <= last && !what; i++) {
            what = wrong(use, lane, region->cells[i], region == &shared);
            note(use, lane, region->cells[i]);
        }
    }
    if (!what) return true;
    const char* where = region == &shared ? " of shared memory " : " of memory ";
    const std::string who = lane == WARP_AT_ONCE ? "a warp" : "lane " + std::to_string(lane);
    const std::string byte = region ? "byte " + std::to_string(address - region->start) : "a byte";
    fault = byte + where + what + ": " + who;
    return false;
}

}  // namespace emulator

// Registers memory of a device; with no bytes when it is given back.
extern "C" void disyre_emulator_memory(const void* start, size_t bytes) {
    using namespace emulator;
    const std::lock_guard<std::mutex> locked(memory_lock);
    if (bytes > 0) {
        all_memory[reinterpret_cast<uintptr_t>(start)] = bytes;
    } else {
        all_memory.erase(reinterpret_cast<uintptr_t>(start));
    }
}
