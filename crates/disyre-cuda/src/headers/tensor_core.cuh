// Collective operations of a warp: products of small matrices, and the loads that feed them; asynchronous copies.
#pragma once

#include "common.cuh"

#ifdef __CUDACC__
__device__ __forceinline__ unsigned shared_address(const void* pointer) {
    return static_cast<unsigned>(__cvta_generic_to_shared(pointer));
}
#endif

// Four 8x8 matrices of bf16: lane 8·i + r brings the address of row r of matrix i and gets, of each matrix, the
// elements 2·(lane % 4) and the next of row lane / 4. Transposed: of column lane / 4.
template <bool TRANSPOSED>
__device__ __forceinline__ void load_matrices(unsigned (&out)[4], const bf16* row) {
#ifdef __CUDACC__
    if (TRANSPOSED) {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                     : "r"(shared_address(row))
                     : "memory");
    } else {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                     : "r"(shared_address(row))
                     : "memory");
    }
#else
    struct Slot {
        unsigned* out;
        const bf16* row;
    } slot{out, row};
    emulator::collective(&slot, [](void* const* lanes) {
        auto element = [lanes](int matrix, int row, int column) -> unsigned {
            return static_cast<Slot*>(lanes[8 * matrix + row])->row[column].bits;
        };
        for (int lane = 0; lane < WARP; lane++) {
            const int line = lane / 4, first = lane % 4 * 2;
            for (int m = 0; m < 4; m++) {
                const unsigned low = TRANSPOSED ? element(m, first, line) : element(m, line, first);
                const unsigned high =
                    TRANSPOSED ? element(m, first + 1, line) : element(m, line, first + 1);
                static_cast<Slot*>(lanes[lane])->out[m] = low | high << 16;
            }
        }
    });
#endif
}

// sum += a · b for 16x16, 16x8 and 16x8 matrices spread over the warp. With g = lane / 4 and t = lane % 4: `a` holds rows
// g and g + 8 of columns 2t and 2t + 1, then of 2t + 8 and 2t + 9; `b` rows 2t, 2t + 1, then 2t + 8, 2t + 9 of column g;
// `sum` columns 2t and 2t + 1 of row g, then of row g + 8.
__device__ __forceinline__ void multiply_add(
    float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
#ifdef __CUDACC__
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
    struct Slot {
        float* sum;
        const unsigned* a;
        unsigned b[2];
    } slot{sum, a, {b0, b1}};
    emulator::collective(&slot, [](void* const* lanes) {
        float a[16][16], b[16][8];
        auto value = [](unsigned pair, int which) {
            return __uint_as_float(which ? pair & 0xffff0000u : pair << 16);
        };
        for (int lane = 0; lane < WARP; lane++) {
            const Slot& slot = *static_cast<Slot*>(lanes[lane]);
            const int g = lane / 4, t = lane % 4;
            for (int i = 0; i < 2; i++) {
                for (int half = 0; half < 2; half++) {
                    const int k = 2 * t + i + 8 * half;
                    a[g][k] = value(slot.a[2 * half], i);
                    a[g + 8][k] = value(slot.a[2 * half + 1], i);
                    b[k][g] = value(slot.b[half], i);
                }
            }
        }
        for (int lane = 0; lane < WARP; lane++) {
            Slot& slot = *static_cast<Slot*>(lanes[lane]);
            for (int i = 0; i < 4; i++) {
                const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
                for (int k = 0; k < 16; k++) slot.sum[i] += a[row][k] * b[k][column];
            }
        }
    });
#endif
}

// Starts to copy 16 bytes to shared memory; both addresses are multiples of 16.
__device__ __forceinline__ void copy_16_bytes(void* to, const void* from) {
#ifdef __CUDACC__
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(to)), "l"(from) : "memory");
#else
    emulator::copy_later(to, from, 16);
#endif
}

// Ends a group of copies.
__device__ __forceinline__ void commit_copies() {
#ifdef __CUDACC__
    asm volatile("cp.async.commit_group;" ::: "memory");
#else
    emulator::commit_copies();
#endif
}

// Waits for all of this lane's copies.
__device__ __forceinline__ void wait_for_copies() {
#ifdef __CUDACC__
    asm volatile("cp.async.wait_group 0;" ::: "memory");
#else
    emulator::wait_for_copies(0);
#endif
}
