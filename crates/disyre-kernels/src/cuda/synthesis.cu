// Training pairs from their drawings, one block for each pair. See synthesis.rs.
//
// Every operation on intensities is the processor's, in its order and with its roundings: the tissue of a voxel is decided
// by intensities, and the last bit may decide it.

#include "common.cuh"

constexpr int THREADS = 256;
// The farthest that a blur looks: 4 standard deviations of at most 1000 voxels.
constexpr int MOST_RADIUS = 4000;
constexpr int MOST_TISSUES = 256;

// Voxels along each axis: a place, or extents.
struct Voxels {
    int z, y, x;
};

// Standard deviations of a blur along each axis.
struct Sigma {
    double z, y, x;
};

struct Volume {
    const float* values;
    Voxels extents;
    int unused;
};

// One pair.
struct Drawn {
    Sigma blur;
    int volume;
    Voxels from;
    Voxels to;
    Voxels size;
    Voxels mirror;
    // Whether there is an anomaly, and its window's first voxel in the patch.
    int anomaly;
    Voxels origin;
    // The volume that the texture is cut from, or below 0.
    int texture;
    Voxels start;
    float severity;
    // 0 where there is no bias.
    float shift;
    int unused;
};

// Of `Normalisation`.
enum Rule { NONE, MEAN, STD, MIN_MAX };

struct Synthesise {
    const Volume* volumes;
    const Drawn* drawn;
    // (n, window).
    const float* shapes;
    // (n, patch): those that were made on the host.
    const float* patches;
    // (n, tissues).
    const double* selections;
    // Of each tissue where it ends, ascending; the last at infinity.
    const double* borders;
    // (levels).
    const float* levels;
    // (levels, width).
    const float* rows;
    // For each pair the mask, and twice as many numbers as lie around it.
    float* scratch;
    // (n, patch).
    float* corrupted;
    float* clean;
    // (n, z, width).
    float* conditions;
    // (n).
    float* severities;
    Sigma tissue_blur;
    double count_offset;
    Voxels patch;
    Voxels window;
    Voxels margin;
    // Voxels of the window and the whole margin.
    int around;
    int rule;
    int tissues;
    int level_count;
    int width;
};

// A box of voxels of the patch.
struct Box {
    Voxels start;
    Voxels extents;
};

// What a block works with.
struct Block {
    // Of a blur, by distance.
    float* weights;
    // One number of each warp.
    double* of_warps;
    // Of each tissue whether it is shifted.
    float* selected;
    // (window).
    float* mask;
    // Two fields, each of `around` voxels.
    float* fields[2];
    // Images of this pair.
    float* corrupted;
    const float* clean;
};

// Products and sums that the compiler does not fuse.
__device__ __forceinline__ float times(float a, float b) {
#ifdef __CUDACC__
    return __fmul_rn(a, b);
#else
    return a * b;
#endif
}

__device__ __forceinline__ float plus(float a, float b) {
#ifdef __CUDACC__
    return __fadd_rn(a, b);
#else
    return a + b;
#endif
}

__device__ __forceinline__ double times(double a, double b) {
#ifdef __CUDACC__
    return __dmul_rn(a, b);
#else
    return a * b;
#endif
}

__device__ __forceinline__ double plus(double a, double b) {
#ifdef __CUDACC__
    return __dadd_rn(a, b);
#else
    return a + b;
#endif
}

__device__ __forceinline__ float unit(float value) { return value < 0.0f ? 0.0f : value > 1.0f ? 1.0f : value; }

__device__ __forceinline__ int count(Voxels extents) { return extents.z * extents.y * extents.x; }

__device__ __forceinline__ Voxels operator+(Voxels a, Voxels b) { return Voxels{a.z + b.z, a.y + b.y, a.x + b.x}; }

__device__ __forceinline__ Voxels operator-(Voxels a, Voxels b) { return Voxels{a.z - b.z, a.y - b.y, a.x - b.x}; }

__device__ __forceinline__ bool inside(Voxels at, Voxels extents) {
    return unsigned(at.z) < unsigned(extents.z) && unsigned(at.y) < unsigned(extents.y) &&
           unsigned(at.x) < unsigned(extents.x);
}

__device__ __forceinline__ Voxels place_of(int index, Voxels extents) {
    const int row = index / extents.x;
    return Voxels{row / extents.y, row % extents.y, index % extents.x};
}

// For volumes of more voxels than an `int` counts.
__device__ __forceinline__ long long index_of(Voxels at, Voxels extents) {
    return ((long long)at.z * extents.y + at.y) * extents.x + at.x;
}

// The voxel of a volume, 0 outside.
__device__ __forceinline__ float look_up(const Volume& volume, Voxels at) {
    return inside(at, volume.extents) ? volume.values[index_of(at, volume.extents)] : 0.0f;
}

struct Sum {
    __device__ double operator()(double a, double b) const { return a + b; }
};

struct Least {
    __device__ double operator()(double a, double b) const { return a < b ? a : b; }
};

struct Greatest {
    __device__ double operator()(double a, double b) const { return a > b ? a : b; }
};

// All numbers of the block in one, in every thread, always in the same order.
template <class Join>
__device__ __forceinline__ double over_block(double value, double* of_warps, Join join) {
    for (int mask = WARP / 2; mask > 0; mask /= 2) value = join(value, exchange(value, mask));
    if (threadIdx.x % WARP == 0) of_warps[threadIdx.x / WARP] = value;
    __syncthreads();
    double all = of_warps[0];
    for (int warp = 1; warp < THREADS / WARP; warp++) all = join(all, of_warps[warp]);
    __syncthreads();
    return all;
}

// The weights at distance 0, 1, ..., radius.
__device__ __forceinline__ void half_kernel(double sigma, int radius, const Block& block) {
    const auto weight = [sigma](int distance) {
        const double relative = distance / sigma;
        return exp(-0.5 * (relative * relative));
    };
    double tail = 0.0;
    for (int distance = 1 + threadIdx.x; distance <= radius; distance += THREADS) tail += weight(distance);
    const double sum = 1.0 + 2.0 * over_block(tail, block.of_warps, Sum());
    for (int distance = threadIdx.x; distance <= radius; distance += THREADS) {
        block.weights[distance] = float(weight(distance) / sum);
    }
    __syncthreads();
}

// The index that the border (d c b a | a b c d | d c b a) puts at `position`.
__device__ __forceinline__ int reflect(int position, int length) {
    if (position < 0) position = -1 - position;
    if (position >= 2 * length) position %= 2 * length;
    return position < length ? position : 2 * length - 1 - position;
}

__device__ __forceinline__ void blur_axis(
    const float* from, float* to, int voxels, int length, int stride, int radius, const float* weights) {
    for (int i = threadIdx.x; i < voxels; i += THREADS) {
        const int position = i / stride % length;
        const float* line = from + (i - position * stride);
        float sum = times(weights[0], from[i]);
        for (int distance = 1; distance <= radius; distance++) {
            const float before = line[reflect(position - distance, length) * stride];
            const float after = line[reflect(position + distance, length) * stride];
            sum = plus(sum, times(weights[distance], plus(before, after)));
        }
        to[i] = sum;
    }
    __syncthreads();
}

// Blurs a field, one of the block's or another; returns where the result is: where the field was if none is asked for.
__device__ __forceinline__ const float* blur(const float* field, Voxels extents, Sigma sigma, const Block& block) {
    const int voxels = count(extents);
    int stride = voxels;
#pragma unroll 1
    for (int axis = 0; axis < 3; axis++) {
        const int length = axis == 0 ? extents.z : axis == 1 ? extents.y : extents.x;
        const double width = axis == 0 ? sigma.z : axis == 1 ? sigma.y : sigma.x;
        const int radius = int(4.0 * width + 0.5);
        stride /= length;
        if (length == 1 || radius <= 0) continue;
        half_kernel(width, radius, block);
        float* to = field == block.fields[0] ? block.fields[1] : block.fields[0];
        blur_axis(field, to, voxels, length, stride, radius, block.weights);
        field = to;
    }
    return field;
}

// Cuts the patch out, or takes the one that was made, twice.
__device__ __forceinline__ void cut(const Synthesise& p, const Drawn& drawn, float* clean, float* corrupted) {
    const float* made = p.patches + (long long)blockIdx.x * count(p.patch);
    for (int i = threadIdx.x; i < count(p.patch); i += THREADS) {
        if (drawn.volume < 0) {
            clean[i] = corrupted[i] = made[i];
            continue;
        }
        Voxels at = place_of(i, p.patch);
        if (drawn.mirror.z) at.z = p.patch.z - 1 - at.z;
        if (drawn.mirror.y) at.y = p.patch.y - 1 - at.y;
        if (drawn.mirror.x) at.x = p.patch.x - 1 - at.x;
        at = at - drawn.to;
        const float value = inside(at, drawn.size) ? look_up(p.volumes[drawn.volume], at + drawn.from) : 0.0f;
        clean[i] = value;
        corrupted[i] = value;
    }
    __syncthreads();
}

// The voxel of the patch that a voxel of the window is.
__device__ __forceinline__ int in_patch(const Synthesise& p, const Drawn& drawn, int i) {
    return int(index_of(place_of(i, p.window) + drawn.origin, p.patch));
}

// Softens the shape to the mask; how many of its voxels are above 0.
__device__ __forceinline__ double soften(const Synthesise& p, const Drawn& drawn, const Block& block) {
    const int voxels = count(p.window);
    const float* shape = blur(p.shapes + (long long)blockIdx.x * voxels, p.window, drawn.blur, block);
    double covered = 0.0;
    for (int i = threadIdx.x; i < voxels; i += THREADS) {
        const float clipped = shape[i] < 1.0f ? shape[i] : 1.0f;
        const float m = block.clean[in_patch(p, drawn, i)] == 0.0f ? 0.0f : clipped;
        block.mask[i] = m;
        covered += m > 0.0f;
    }
    return over_block(covered, block.of_warps, Sum());
}

struct Statistics {
    double min, max, mean, std;
};

// Over the voxels of the mask, of which there are `covered`.
template <class Value>
__device__ __forceinline__ Statistics statistics(int voxels, double covered, const Block& block, Value value) {
    double min = INFINITY, max = -INFINITY, sum = 0.0, squares = 0.0;
    for (int i = threadIdx.x; i < voxels; i += THREADS) {
        if (!(block.mask[i] > 0.0f)) continue;
        const double v = value(i);
        min = v < min ? v : min;
        max = v > max ? v : max;
        sum += v;
        squares += v * v;
    }
    const double mean = over_block(sum, block.of_warps, Sum()) / covered;
    const double square = over_block(squares, block.of_warps, Sum()) / covered;
    const double variance = plus(square, -times(mean, mean));
    min = over_block(min, block.of_warps, Least());
    max = over_block(max, block.of_warps, Greatest());
    return Statistics{min, max, mean, sqrt(variance > 0.0 ? variance : 0.0)};
}

// What a texture is multiplied by, and what is then added.
struct Linear {
    float scale, shift;
};

__device__ __forceinline__ Linear linear(int rule, const Statistics& f, const Statistics& x) {
    // Keeps the divisions finite where a texture is constant.
    const double epsilon = 1e-3;
    const double scale = rule == MEAN  ? 1.0
                         : rule == STD ? x.std / (f.std + epsilon)
                                       : (x.max - x.min) / (f.max - f.min + epsilon);
    const double from = rule == MIN_MAX ? f.min : f.mean, to = rule == MIN_MAX ? x.min : x.mean;
    return Linear{float(scale), float(plus(to, -times(from, scale)))};
}

// Blends the texture in; the severity of that.
__device__ __forceinline__ float blend(const Synthesise& p, const Drawn& drawn, double covered, const Block& block) {
    const Volume volume = p.volumes[drawn.texture];
    const int voxels = count(p.window);
    const auto texture = [&](int i) { return look_up(volume, place_of(i, p.window) + drawn.start); };
    const auto image = [&](int i) { return block.corrupted[in_patch(p, drawn, i)]; };
    Linear rule{1.0f, 0.0f};
    if (p.rule != NONE) {
        const Statistics of_texture = statistics(voxels, covered, block, texture);
        rule = linear(p.rule, of_texture, statistics(voxels, covered, block, image));
    }
    float change = 0.0f;
    for (int i = threadIdx.x; i < voxels; i += THREADS) {
        const float m = block.mask[i];
        if (!(m > 0.0f)) continue;
        float& voxel = block.corrupted[in_patch(p, drawn, i)];
        float target = texture(i);
        if (p.rule != NONE) target = unit(plus(times(target, rule.scale), rule.shift));
        const float before = voxel;
        const float blended = unit(plus(before, times(times(drawn.severity, m), target - before)));
        change = fmaxf(change, fabsf(blended - before));
        voxel = blended;
    }
    return over_block(change, block.of_warps, Greatest()) > 0.0 ? drawn.severity : 0.0f;
}

// How many tissues end below an intensity.
__device__ __forceinline__ int tissue_of(const Synthesise& p, float value) {
    int tissue = 0;
    while (double(value) > p.borders[tissue]) tissue++;
    return tissue;
}

// Finds which tissues are shifted; whether that is some, but not all.
__device__ __forceinline__ bool select(const Synthesise& p, const Drawn& drawn, double covered, const Block& block) {
    const double* selection = p.selections + (long long)blockIdx.x * p.tissues;
    const double total = covered + p.count_offset;
    // Voxels of this tissue and all later ones.
    double left = covered;
    int chosen = 0;
    for (int tissue = 0; tissue < p.tissues; tissue++) {
        double later = 0.0;
        for (int i = threadIdx.x; i < count(p.window); i += THREADS) {
            const double value = block.corrupted[in_patch(p, drawn, i)];
            later += block.mask[i] > 0.0f && value > p.borders[tissue];
        }
        later = over_block(later, block.of_warps, Sum());
        const bool is_chosen = selection[tissue] < (left - later) / total;
        if (threadIdx.x == 0) block.selected[tissue] = is_chosen ? 1.0f : 0.0f;
        chosen += is_chosen;
        left = later;
    }
    __syncthreads();
    return chosen > 0 && chosen < p.tissues;
}

// The window and its margin, as far as the patch reaches.
__device__ __forceinline__ Box widened(const Synthesise& p, Voxels origin) {
    const Voxels low = origin - p.margin, high = origin + p.window + p.margin;
    const Voxels start{low.z > 0 ? low.z : 0, low.y > 0 ? low.y : 0, low.x > 0 ? low.x : 0};
    const Voxels end{high.z < p.patch.z ? high.z : p.patch.z, high.y < p.patch.y ? high.y : p.patch.y,
                     high.x < p.patch.x ? high.x : p.patch.x};
    return Box{start, end - start};
}

// Shifts the selected tissues; the greatest change of a voxel.
__device__ __forceinline__ float shift(const Synthesise& p, const Drawn& drawn, double covered, const Block& block) {
    const bool some = select(p, drawn, covered, block);
    const Box box = widened(p, drawn.origin);
    const float* indicator = nullptr;
    if (some) {
        for (int i = threadIdx.x; i < count(box.extents); i += THREADS) {
            const long long at = index_of(place_of(i, box.extents) + box.start, p.patch);
            block.fields[0][i] = block.selected[tissue_of(p, block.corrupted[at])];
        }
        __syncthreads();
        indicator = blur(block.fields[0], box.extents, p.tissue_blur, block);
    }
    float change = 0.0f;
    for (int i = threadIdx.x; i < count(p.window); i += THREADS) {
        float weight = block.mask[i];
        if (!(weight > 0.0f)) continue;
        const Voxels at = place_of(i, p.window) + drawn.origin;
        if (some) {
            const float b = indicator[index_of(at - box.start, box.extents)];
            weight = times(weight, b < 1.0f ? b : 1.0f);
        }
        float& voxel = block.corrupted[index_of(at, p.patch)];
        const float before = voxel, shifted = unit(plus(before, times(drawn.shift, weight)));
        change = fmaxf(change, fabsf(shifted - before));
        voxel = shifted;
    }
    return float(over_block(change, block.of_warps, Greatest()));
}

// The first of the levels that are closest to a severity.
__device__ __forceinline__ int level_of(const Synthesise& p, float severity, const Block& block) {
    double least = INFINITY, first = p.level_count;
    for (int level = threadIdx.x; level < p.level_count; level += THREADS) {
        const double distance = fabsf(p.levels[level] - severity);
        if (distance < least) first = level;
        least = distance < least ? distance : least;
    }
    const double closest = over_block(least, block.of_warps, Least());
    return int(over_block(least == closest ? first : p.level_count, block.of_warps, Least()));
}

KERNEL_OF_FEW_BLOCKS(synthesise, Synthesise, THREADS) {
    SHARED(float, weights, MOST_RADIUS + 1);
    SHARED(double, of_warps, THREADS / WARP);
    SHARED(float, selected, MOST_TISSUES);
    const int pair = blockIdx.x, voxels = count(p.window);
    const Drawn& drawn = p.drawn[pair];
    float* const scratch = p.scratch + (long long)pair * (voxels + 2 * (long long)p.around);
    float* const clean = p.clean + (long long)pair * count(p.patch);
    float* const corrupted = p.corrupted + (long long)pair * count(p.patch);
    float* const fields = scratch + voxels;
    const Block block{weights, of_warps, selected, scratch, {fields, fields + p.around}, corrupted, clean};
    cut(p, drawn, clean, corrupted);
    float severity = 0.0f;
    const double covered = drawn.anomaly ? soften(p, drawn, block) : 0.0;
    if (covered > 0.0) {
        if (drawn.texture >= 0) severity = blend(p, drawn, covered, block);
        if (drawn.shift != 0.0f) severity = fmaxf(severity, shift(p, drawn, covered, block));
    }
    if (threadIdx.x == 0) p.severities[pair] = severity;
    const float* row = p.rows + (long long)level_of(p, severity, block) * p.width;
    float* const conditions = p.conditions + (long long)pair * p.patch.z * p.width;
    for (int i = threadIdx.x; i < p.patch.z * p.width; i += THREADS) conditions[i] = row[i % p.width];
}
