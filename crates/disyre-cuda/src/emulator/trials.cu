// Small kernels, most of them wrong: what the emulator is tested with. No device runs them.

#include "array.cuh"
#include "tensor_core.cuh"

struct Trial {
    float* out;
    // As long as `out`.
    const float* in;
    int len;
    int unused;
};

constexpr int LANES = 64;

// Right: blocks count themselves.
KERNEL(trial_grid, Trial, LANES) {
    const int block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    const int at = block * LANES + threadIdx.x;
    if (at < p.len) p.out[at] = float(100 * blockIdx.z + 10 * blockIdx.y + blockIdx.x) + threadIdx.x / 100.0f;
}

// Right.
KERNEL(trial_exchange, Trial, LANES) { p.out[threadIdx.x] = exchange(p.in[threadIdx.x], 5); }

// Right.
KERNEL(trial_sum, Trial, LANES) {
    const float sum = block_sum(p.in[threadIdx.x], LANES);
    if (threadIdx.x == 0) p.out[0] = sum;
}

// Right: turns the numbers round through shared memory.
KERNEL(trial_turn, Trial, LANES) {
    SHARED(float, kept, LANES);
    kept[threadIdx.x] = p.in[threadIdx.x];
    __syncthreads();
    p.out[threadIdx.x] = kept[LANES - 1 - threadIdx.x];
}

// Right: the same through an asynchronous copy of 4 numbers by some lanes.
KERNEL(trial_copy, Trial, LANES) {
    SHARED(float, kept, LANES);
    if (threadIdx.x < LANES / 4) copy_16_bytes(kept + 4 * threadIdx.x, p.in + 4 * threadIdx.x);
    commit_copies();
    wait_for_copies();
    __syncthreads();
    p.out[threadIdx.x] = kept[LANES - 1 - threadIdx.x];
}

// Does not wait for its own copy.
KERNEL(trial_hasty_copy, Trial, LANES) {
    SHARED(float, kept, 4 * LANES);
    copy_16_bytes(kept + 4 * threadIdx.x, p.in + threadIdx.x / 4 * 4);
    commit_copies();
    p.out[threadIdx.x] = kept[4 * threadIdx.x];
    wait_for_copies();
}

// Waits for its own copy, but not for that of the others.
KERNEL(trial_copy_of_others, Trial, LANES) {
    SHARED(float, kept, LANES);
    if (threadIdx.x < LANES / 4) copy_16_bytes(kept + 4 * threadIdx.x, p.in + 4 * threadIdx.x);
    commit_copies();
    wait_for_copies();
    p.out[threadIdx.x] = kept[LANES - 1 - threadIdx.x];
}

// Half of the lanes leave while the others wait.
KERNEL(trial_lonely_barrier, Trial, LANES) {
    if (threadIdx.x < LANES / 2) __syncthreads();
    p.out[threadIdx.x] = 0.0f;
}

// Half of a warp takes part in its exchange.
KERNEL(trial_lonely_exchange, Trial, LANES) {
    if (threadIdx.x % 2 == 0) p.out[threadIdx.x] = exchange(p.in[threadIdx.x], 2);
}

// More than a block has.
KERNEL(trial_much_shared, Trial, LANES) {
    SHARED(float, kept, 12 << 10);
    SHARED(float, more, 1);
    p.out[threadIdx.x] = kept[threadIdx.x] = more[0] = 0.0f;
}

// As much as a block has.
KERNEL(trial_all_shared, Trial, LANES) {
    SHARED(float, kept, 12 << 10);
    for (int i = threadIdx.x; i < 12 << 10; i += LANES) kept[i] = p.in[threadIdx.x];
    p.out[threadIdx.x] = kept[(12 << 10) - LANES + threadIdx.x];
}

// Reads what nobody wrote.
KERNEL(trial_unwritten, Trial, LANES) {
    SHARED(float, kept, LANES);
    p.out[threadIdx.x] = kept[threadIdx.x];
}

KERNEL(trial_write_behind, Trial, LANES) {
    if (threadIdx.x == 0) p.out[p.len] = 0.0f;
}

KERNEL(trial_write_before, Trial, LANES) {
    if (threadIdx.x == 0) p.out[-1] = 0.0f;
}

KERNEL(trial_read_behind, Trial, LANES) { p.out[threadIdx.x] = p.in[p.len - LANES + 1 + threadIdx.x]; }

// The last lane wins.
KERNEL(trial_winner, Trial, LANES) { p.out[0] = threadIdx.x; }

// The last block wins.
KERNEL(trial_winning_block, Trial, LANES) { p.out[threadIdx.x] = blockIdx.x; }

// Reads numbers that another block writes, though the same as before.
KERNEL(trial_block_reads, Trial, LANES) {
    if (blockIdx.x != 1) p.out[LANES + threadIdx.x] = p.in[threadIdx.x];
    if (blockIdx.x == 1) const_cast<float*>(p.in)[threadIdx.x] = 0.0f;
}

// All lanes write the same, so that no order shows in the result.
KERNEL(trial_same_writes, Trial, LANES) {
    SHARED(float, kept, 1);
    kept[0] = 7.0f;
    __syncthreads();
    p.out[threadIdx.x] = kept[0];
}

// No barrier before numbers are written again, if only with what they are.
KERNEL(trial_written_again, Trial, LANES) {
    SHARED(float, kept, LANES);
    kept[threadIdx.x] = p.in[threadIdx.x];
    __syncthreads();
    if (threadIdx.x % 2 == 0) {
        p.out[threadIdx.x] = kept[threadIdx.x + 1];
    } else {
        kept[threadIdx.x] = p.in[threadIdx.x];
    }
}

// A warp loads matrices that its lanes wrote, with no barrier.
KERNEL(trial_matrices, Trial, LANES) {
    SHARED(bf16, rows, LANES * 8);
    for (int i = 0; i < 8; i++) rows[threadIdx.x * 8 + i] = from_float<bf16>(1.0f);
    exchange(0, 1);
    unsigned values[4];
    load_matrices<false>(values, rows + threadIdx.x * 8);
    p.out[threadIdx.x] = __uint_as_float(values[0] << 16);
}
