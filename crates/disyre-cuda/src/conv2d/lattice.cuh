// Convolutions as taps on one coarse grid, in tiles of 128 of its positions: see lattice.rs.
//
// A tile covers some images, rows and columns, each a power of two, so that small images fill it too. What it reads of one
// sub-grid of the input is a patch: the tile with a rim as wide as the taps reach, some channels deep, transformed once
// and then read by every tap.
#pragma once

#include "array.cuh"

constexpr int TILE = 128;
constexpr int MOST_TAPS = 16;
constexpr int MOST_GRIDS = 4;
// 8 images of 4x4 with a rim of one.
constexpr int MOST_PATCH = 8 * 6 * 6;
// Channels of a patch, in bytes.
constexpr int PATCH_DEPTH = 64;

// Images side by side in channels; the second has none if there is one.
struct Parts {
    Array arrays[2];
    int channels[2];
};

// Coefficients of z = scale * x + shift, (n, c) each; without, x stays as it is.
struct Transform {
    const float* scale;
    const float* shift;
    int silu;
    int unused;
};

struct Side {
    int grids_per_axis;
    int height;
    int width;
    int channels;
};

struct Tap {
    int matrix;
    int dy;
    int dx;
};

struct Lattice {
    int images;
    int height;
    int width;
    // Powers of two, as exponents.
    int tile_images;
    int tile_height;
    int tile_width;
    // First row and column of the patch relative to the tile, and its size.
    int patch_top;
    int patch_left;
    int patch_height;
    int patch_width;
    // Ordered by output sub-grid, then by input sub-grid: those of (to, from) begin at first_tap[to * MOST_GRIDS + from].
    Tap taps[MOST_TAPS];
    int first_tap[MOST_GRIDS * MOST_GRIDS + 1];
};

__device__ __forceinline__ int taps_between(const Lattice& lattice, int to, int from) {
    const int index = to * MOST_GRIDS + from;
    return lattice.first_tap[index + 1] - lattice.first_tap[index];
}

__device__ __forceinline__ int tiles_across(const Lattice& l) {
    return ceil_div(l.width, 1 << l.tile_width);
}

__device__ __forceinline__ int tiles_of_image(const Lattice& l) {
    return ceil_div(l.height, 1 << l.tile_height) * tiles_across(l);
}

// Where a tile begins.
struct Origin {
    int image;
    int y;
    int x;
};

__device__ __forceinline__ Origin tile_origin(const Lattice& l, int tile) {
    const int of_image = tile % tiles_of_image(l), across = tiles_across(l);
    return Origin{tile / tiles_of_image(l) << l.tile_images, of_image / across << l.tile_height,
                  of_image % across << l.tile_width};
}

// A position of the coarse grid.
struct Position {
    int image;
    int y;
    int x;
};

__device__ __forceinline__ Position position(const Lattice& l, const Origin& origin, int row) {
    return Position{origin.image + (row >> (l.tile_height + l.tile_width)),
                    origin.y + (row >> l.tile_width & ((1 << l.tile_height) - 1)),
                    origin.x + (row & ((1 << l.tile_width) - 1))};
}

// The pixel of a sub-grid at a position, counted over the batch; -1 outside.
__device__ __forceinline__ int pixel_of(const Lattice& l, const Side& side, int grid, const Position& at) {
    const int y = at.y * side.grids_per_axis + grid / side.grids_per_axis;
    const int x = at.x * side.grids_per_axis + grid % side.grids_per_axis;
    const bool inside = at.image < l.images && at.y >= 0 && at.x >= 0 && y < side.height && x < side.width;
    return inside ? (at.image * side.height + y) * side.width + x : -1;
}

// The pixel of the patch that a row of the tile reads through a tap without shift.
__device__ __forceinline__ int patch_pixel(const Lattice& l, int row) {
    const Position at = position(l, Origin{0, -l.patch_top, -l.patch_left}, row);
    return (at.image * l.patch_height + at.y) * l.patch_width + at.x;
}

__device__ __forceinline__ int tap_shift(const Lattice& l, const Tap& tap) {
    return tap.dy * l.patch_width + tap.dx;
}

__device__ __forceinline__ float load_channel(const Parts& parts, int pixel, int channel) {
    const int first = parts.channels[0];
    if (channel < first) return load(parts.arrays[0], (long long)pixel * first + channel);
    const int second = parts.channels[1];
    if (channel < first + second) {
        return load(parts.arrays[1], (long long)pixel * second + channel - first);
    }
    return 0.0f;
}

// Four channels of one pixel, from a multiple of 4 on; zeros behind the last.
__device__ __forceinline__ Quad load_channels(const Parts& parts, int pixel, int channel) {
    const int first = parts.channels[0], second = parts.channels[1];
    if ((first | second) % 4 != 0) {
        return Quad{{load_channel(parts, pixel, channel), load_channel(parts, pixel, channel + 1),
                     load_channel(parts, pixel, channel + 2), load_channel(parts, pixel, channel + 3)}};
    }
    if (channel < first) return load_four(parts.arrays[0], (long long)pixel * first + channel);
    if (channel < first + second) {
        return load_four(parts.arrays[1], (long long)pixel * second + channel - first);
    }
    return Quad{{0.0f, 0.0f, 0.0f, 0.0f}};
}

// Coefficients of four channels of one image, kept between pixels.
struct Coefficients {
    int image;
    Quad scale;
    Quad shift;
};

__device__ __forceinline__ void load_coefficients(
    Coefficients& kept, const Transform& transform, int image, int channel, int channels) {
    if (kept.image == image) return;
    kept.image = image;
    for (int i = 0; i < 4; i++) {
        const bool inside = channel + i < channels;
        kept.scale.v[i] = inside ? transform.scale[image * channels + channel + i] : 0.0f;
        kept.shift.v[i] = inside ? transform.shift[image * channels + channel + i] : 0.0f;
    }
}

__device__ __forceinline__ float transformed(float x, float scale, float shift, int silu) {
    const float z = fmaf(scale, x, shift);
    return silu ? z * sigmoid(z) : z;
}

__device__ __forceinline__ void put(float* to, const Quad& values) {
    *reinterpret_cast<Four*>(to) = Four{{values.v[0], values.v[1], values.v[2], values.v[3]}};
}

__device__ __forceinline__ void put(bf16* to, const Quad& values) {
    *reinterpret_cast<Two*>(to) = pack(values);
}

template <class T>
struct Patch {
    static constexpr int CHANNELS = PATCH_DEPTH / sizeof(T);
    // Sixteen bytes more than the channels need: rows of pixels then start in different banks.
    static constexpr int STRIDE = CHANNELS + 16 / sizeof(T);
    static constexpr int SIZE = MOST_PATCH * STRIDE;
};

// Writes the patch of one sub-grid and some channels, zeros outside the images; all threads of the block take part.
template <class T>
__device__ __forceinline__ void load_patch(
    T* patch, const Lattice& l, const Side& side, const Parts& parts, const Transform& transform, int grid,
    const Origin& origin, int first_channel, int threads) {
    constexpr int GROUPS = Patch<T>::CHANNELS / 4;
    const int area = l.patch_height * l.patch_width, size = area << l.tile_images;
    const int group = threadIdx.x % GROUPS, channel = first_channel + 4 * group;
    Coefficients kept{-1, {}, {}};
    for (int at = threadIdx.x / GROUPS; at < size; at += threads / GROUPS) {
        const int within = at % area;
        const Position place{origin.image + at / area, origin.y + l.patch_top + within / l.patch_width,
                             origin.x + l.patch_left + within % l.patch_width};
        const int pixel = pixel_of(l, side, grid, place);
        Quad values{{0.0f, 0.0f, 0.0f, 0.0f}};
        if (pixel >= 0) {
            values = load_channels(parts, pixel, channel);
            if (transform.scale) {
                load_coefficients(kept, transform, place.image, channel, side.channels);
                for (int i = 0; i < 4; i++) {
                    values.v[i] =
                        transformed(values.v[i], kept.scale.v[i], kept.shift.v[i], transform.silu);
                }
            }
        }
        put(patch + at * Patch<T>::STRIDE + 4 * group, values);
    }
}
