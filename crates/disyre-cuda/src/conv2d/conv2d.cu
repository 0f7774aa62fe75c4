// Convolutions and their gradients by the input: for every tile of output positions and block of output channels, the
// sum over all taps and input channels. See mod.rs.

#include "lattice.cuh"
#include "tensor_core.cuh"

constexpr int THREADS = 128;
constexpr int ROWS_OF_WARP = TILE / (THREADS / WARP);
// Rows that one thread joins to a partial sum: never of two images, since an image has at least 16 rows of a tile.
constexpr int RUN = 16;

// Of one channel of one image, over some pixels: how many, and moments (mean and sum of squared deviations) or two sums.
struct Partial {
    float count;
    float first;
    float second;
};

// How the result goes on through the SiLU of a normalisation to the gradient by z = scale * x + shift.
struct ThroughNorm {
    Parts x;
    Transform transform;
    // Of the normal x, rstd * x + offset.
    const float* rstd;
    const float* offset;
};

struct Convolution {
    Lattice lattice;
    Side from;
    Side to;
    Parts source;
    Transform transform;
    // (matrix, depth, columns), both filled up with zeros to multiples of what a block takes.
    const void* weights;
    int padded_depth;
    int padded_columns;
    // Null if there is none.
    const float* bias;
    // (n, by_image_width) from by_image_first on.
    Array by_image;
    int by_image_width;
    int by_image_first;
    Array addend;
    Array out;
    ThroughNorm through;
    // (n, part, c): a part for each tile of each sub-grid. Null if neither moments nor sums are asked for.
    Partial* partials;
};

struct PackWeights {
    const float* weights;
    void* out;
    int inputs;
    int outputs;
    int padded_depth;
    int padded_columns;
    int matrices;
    // Whether the depth is that of outputs.
    int transposed;
    // Kernel positions whose sum each matrix is.
    int sums[MOST_TAPS][4];
    int counts[MOST_TAPS];
};

template <class T>
__device__ __forceinline__ void pack_weights(const PackWeights& p) {
    const long long area = (long long)p.padded_depth * p.padded_columns;
    const long long at = (long long)blockIdx.x * 256 + threadIdx.x;
    if (at >= area) return;
    const int depth = int(at / p.padded_columns), column = int(at % p.padded_columns), matrix = blockIdx.y;
    const int input = p.transposed ? column : depth, output = p.transposed ? depth : column;
    float sum = 0.0f;
    if (input < p.inputs && output < p.outputs) {
        for (int i = 0; i < p.counts[matrix]; i++) {
            sum += p.weights[((long long)p.sums[matrix][i] * p.inputs + input) * p.outputs + output];
        }
    }
    static_cast<T*>(p.out)[matrix * area + at] = from_float<T>(sum);
}

KERNEL(pack_weights_f32, PackWeights, 256) { pack_weights<float>(p); }
KERNEL(pack_weights_bf16, PackWeights, 256) { pack_weights<bf16>(p); }

// Products of a warp's 32 rows on tensor cores.
template <int COLUMNS_>
struct OnTensorCores {
    using T = bf16;
    static constexpr int COLUMNS = COLUMNS_;
    static constexpr int STRIDE = COLUMNS + 8;

    float sums[2][COLUMNS / 8][4];
    const bf16* rows[2];

    __device__ __forceinline__ void start(const bf16* patch, const Lattice& l) {
        const int lane = threadIdx.x % WARP, first = threadIdx.x / WARP * ROWS_OF_WARP;
        for (int i = 0; i < 2; i++) {
            for (int j = 0; j < COLUMNS / 8; j++) {
                for (int k = 0; k < 4; k++) sums[i][j][k] = 0.0f;
            }
            const int pixel = patch_pixel(l, first + 16 * i + lane % 16);
            rows[i] = patch + pixel * Patch<T>::STRIDE + lane / 16 * 8;
        }
    }

    __device__ __forceinline__ void add(int shift, const bf16* weights) {
        const int lane = threadIdx.x % WARP;
#pragma unroll
        for (int k = 0; k < Patch<T>::CHANNELS; k += 16) {
            unsigned a[2][4];
            for (int i = 0; i < 2; i++) load_matrices<false>(a[i], rows[i] + shift * Patch<T>::STRIDE + k);
#pragma unroll
            for (int column = 0; column < COLUMNS; column += 16) {
                unsigned b[4];
                load_matrices<true>(b, weights + (k + lane % 16) * STRIDE + column + lane / 16 * 8);
                for (int i = 0; i < 2; i++) {
                    multiply_add(sums[i][column / 8], a[i], b[0], b[1]);
                    multiply_add(sums[i][column / 8 + 1], a[i], b[2], b[3]);
                }
            }
        }
    }

    // To a tile of rows of COLUMNS + 8 numbers.
    __device__ __forceinline__ void finish(float* tile) const {
        const int lane = threadIdx.x % WARP, first = threadIdx.x / WARP * ROWS_OF_WARP;
        for (int i = 0; i < 2; i++) {
            for (int j = 0; j < COLUMNS / 8; j++) {
                for (int k = 0; k < 4; k++) {
                    const int row = first + 16 * i + lane / 4 + k / 2 * 8;
                    tile[row * (COLUMNS + 8) + 8 * j + lane % 4 * 2 + k % 2] = sums[i][j][k];
                }
            }
        }
    }
};

// The same in f32: every lane has 8 rows, four apart, and 4 columns, eight apart.
struct OnCores {
    using T = float;
    static constexpr int COLUMNS = 32;
    static constexpr int STRIDE = COLUMNS + 4;

    float sums[8][4];
    const float* rows[8];

    __device__ __forceinline__ void start(const float* patch, const Lattice& l) {
        const int lane = threadIdx.x % WARP, first = threadIdx.x / WARP * ROWS_OF_WARP;
        for (int i = 0; i < 8; i++) {
            for (int j = 0; j < 4; j++) sums[i][j] = 0.0f;
            rows[i] = patch + patch_pixel(l, first + lane / 8 + 4 * i) * Patch<T>::STRIDE;
        }
    }

    __device__ __forceinline__ void add(int shift, const float* weights) {
        const int lane = threadIdx.x % WARP;
#pragma unroll 4
        for (int k = 0; k < Patch<T>::CHANNELS; k++) {
            float b[4];
            for (int j = 0; j < 4; j++) b[j] = weights[k * STRIDE + lane % 8 + 8 * j];
            for (int i = 0; i < 8; i++) {
                const float a = rows[i][shift * Patch<T>::STRIDE + k];
                for (int j = 0; j < 4; j++) sums[i][j] = fmaf(a, b[j], sums[i][j]);
            }
        }
    }

    __device__ __forceinline__ void finish(float* tile) const {
        const int lane = threadIdx.x % WARP, first = threadIdx.x / WARP * ROWS_OF_WARP;
        for (int i = 0; i < 8; i++) {
            for (int j = 0; j < 4; j++) {
                tile[(first + lane / 8 + 4 * i) * (COLUMNS + 8) + lane % 8 + 8 * j] = sums[i][j];
            }
        }
    }
};

// Starts to bring the weights of one tap, block of depth and block of columns.
template <class Product>
__device__ __forceinline__ void load_weights(
    typename Product::T* to, const Convolution& p, int matrix, int depth, int column) {
    using T = typename Product::T;
    constexpr int IN_COPY = 16 / sizeof(T), COPIES = Product::COLUMNS / IN_COPY;
    const T* from = static_cast<const T*>(p.weights) +
                    ((long long)matrix * p.padded_depth + depth) * p.padded_columns + column;
    for (int i = threadIdx.x; i < Patch<T>::CHANNELS * COPIES; i += THREADS) {
        const int row = i / COPIES, at = i % COPIES * IN_COPY;
        copy_16_bytes(to + row * Product::STRIDE + at, from + (long long)row * p.padded_columns + at);
    }
    commit_copies();
}

// The sum over all taps and input channels; two buffers of weights take turns.
template <class Product>
__device__ __forceinline__ void sum_taps(
    Product& product, const Convolution& p, typename Product::T* patch, typename Product::T* weights,
    const Origin& origin, int grid, int column) {
    using T = typename Product::T;
    constexpr int DEPTH = Patch<T>::CHANNELS, BUFFER = DEPTH * Product::STRIDE;
    const Lattice& l = p.lattice;
    const int first = l.first_tap[grid * MOST_GRIDS], taps = l.first_tap[(grid + 1) * MOST_GRIDS] - first;
    const int steps = taps * (p.padded_depth / DEPTH);
    product.start(patch, l);
    load_weights<Product>(weights, p, l.taps[first].matrix, 0, column);
    int step = 0;
    for (int depth = 0; depth < p.padded_depth; depth += DEPTH) {
        for (int from = 0; from < p.from.grids_per_axis * p.from.grids_per_axis; from++) {
            const int start = l.first_tap[grid * MOST_GRIDS + from], count = taps_between(l, grid, from);
            if (count == 0) continue;
            __syncthreads();
            load_patch(patch, l, p.from, p.source, p.transform, from, origin, depth, THREADS);
            for (int tap = start; tap < start + count; tap++, step++) {
                wait_for_copies();
                __syncthreads();
                if (step + 1 < steps) {
                    const int next = (step + 1) % taps;
                    load_weights<Product>(weights + (step + 1) % 2 * BUFFER, p, l.taps[first + next].matrix,
                                          (step + 1) / taps * DEPTH, column);
                }
                product.add(tap_shift(l, l.taps[tap]), weights + step % 2 * BUFFER);
            }
        }
    }
}

__device__ __forceinline__ float silu_slope(float z) {
    const float s = sigmoid(z);
    return s * (1.0f + z * (1.0f - s));
}

// What becomes of one number of the sum.
__device__ __forceinline__ float finished(
    const Convolution& p, float value, int image, int pixel, int channel, long long at) {
    if (p.bias) value += p.bias[channel];
    if (p.by_image.values) {
        value += load(p.by_image, (long long)image * p.by_image_width + p.by_image_first + channel);
    }
    if (p.addend.values) value += load(p.addend, at);
    if (p.through.rstd && p.through.transform.silu) {
        const int coefficient = image * p.to.channels + channel;
        const float x = load_channel(p.through.x, pixel, channel);
        value *= silu_slope(fmaf(p.through.transform.scale[coefficient], x, p.through.transform.shift[coefficient]));
    }
    return value;
}

// Adds what is to be added, and writes the result; the tile keeps it for the sums over pixels.
template <int COLUMNS>
__device__ __forceinline__ void write_tile(
    const Convolution& p, float* tile, const Origin& origin, int grid, int column) {
    const bool fours = p.to.channels % 4 == 0;
    for (int i = threadIdx.x; i < TILE * COLUMNS / 4; i += THREADS) {
        const int row = i / (COLUMNS / 4), first = column + i % (COLUMNS / 4) * 4;
        const Position place = position(p.lattice, origin, row);
        const int pixel = pixel_of(p.lattice, p.to, grid, place);
        if (pixel < 0 || first >= p.to.channels) continue;
        float* values = tile + row * (COLUMNS + 8) + first - column;
        const long long at = (long long)pixel * p.to.channels + first;
        const int count = p.to.channels - first < 4 ? p.to.channels - first : 4;
        for (int j = 0; j < count; j++) {
            const float value = finished(p, values[j], place.image, pixel, first + j, at + j);
            // Rounded as it is kept: moments belong to what the normalisation reads.
            values[j] = p.out.narrow ? to_float(from_float<bf16>(value)) : value;
        }
        if (fours) {
            store_four(p.out, at, Quad{{values[0], values[1], values[2], values[3]}});
        } else {
            for (int j = 0; j < count; j++) store(p.out, at + j, values[j]);
        }
    }
}

// Moments of one channel over a run of rows, in two passes.
template <int COLUMNS>
__device__ __forceinline__ Partial run_moments(
    const Convolution& p, const float* tile, const Origin& origin, int grid, int first, int column) {
    float count = 0.0f, sum = 0.0f, squares = 0.0f;
    for (int row = first; row < first + RUN; row++) {
        if (pixel_of(p.lattice, p.to, grid, position(p.lattice, origin, row)) < 0) continue;
        count += 1.0f;
        sum += tile[row * (COLUMNS + 8) + column];
    }
    const float mean = count > 0.0f ? sum / count : 0.0f;
    for (int row = first; row < first + RUN; row++) {
        if (pixel_of(p.lattice, p.to, grid, position(p.lattice, origin, row)) < 0) continue;
        const float deviation = tile[row * (COLUMNS + 8) + column] - mean;
        squares = fmaf(deviation, deviation, squares);
    }
    return Partial{count, mean, squares};
}

// Sums of one channel over a run of rows: of the gradient, and of it times the normal x.
template <int COLUMNS>
__device__ __forceinline__ Partial run_sums(
    const Convolution& p, const float* tile, const Origin& origin, int grid, int first, int column,
    int channel) {
    Partial found{0.0f, 0.0f, 0.0f};
    for (int row = first; row < first + RUN; row++) {
        const Position place = position(p.lattice, origin, row);
        const int pixel = pixel_of(p.lattice, p.to, grid, place);
        if (pixel < 0) continue;
        const int coefficient = place.image * p.to.channels + channel;
        const float x = load_channel(p.through.x, pixel, channel);
        const float normal = fmaf(p.through.rstd[coefficient], x, p.through.offset[coefficient]);
        const float value = tile[row * (COLUMNS + 8) + column];
        found.first += value;
        found.second = fmaf(value, normal, found.second);
    }
    return found;
}

// Both moments of two sets of pixels together (Chan, Golub and LeVeque, "Updating formulae", 1979), or both sums.
__device__ __forceinline__ Partial join(const Partial& a, const Partial& b, bool sums) {
    if (sums) return Partial{0.0f, a.first + b.first, a.second + b.second};
    const float count = a.count + b.count;
    if (count == 0.0f) return a;
    const float apart = b.first - a.first, share = b.count / count;
    return Partial{count, a.first + apart * share, a.second + b.second + apart * apart * a.count * share};
}

// Sums over the tile's pixels of each image, written as one part.
template <int COLUMNS>
__device__ __forceinline__ void write_partials(
    const Convolution& p, const float* tile, Partial* runs, const Origin& origin, int grid, int column) {
    const bool sums = p.through.rstd;
    for (int i = threadIdx.x; i < TILE / RUN * COLUMNS; i += THREADS) {
        const int first = i / COLUMNS * RUN, at = i % COLUMNS;
        if (column + at >= p.to.channels) continue;
        runs[i] = sums ? run_sums<COLUMNS>(p, tile, origin, grid, first, at, column + at)
                       : run_moments<COLUMNS>(p, tile, origin, grid, first, at);
    }
    __syncthreads();
    const Lattice& l = p.lattice;
    const int tiles = tiles_of_image(l), parts = tiles * p.to.grids_per_axis * p.to.grids_per_axis;
    const int part = grid * tiles + blockIdx.x % tiles, runs_of_image = (TILE / RUN) >> l.tile_images;
    for (int i = threadIdx.x; i < COLUMNS << l.tile_images; i += THREADS) {
        const int image = i / COLUMNS, at = i % COLUMNS;
        if (origin.image + image >= l.images || column + at >= p.to.channels) continue;
        Partial found = runs[image * runs_of_image * COLUMNS + at];
        for (int run = 1; run < runs_of_image; run++) {
            found = join(found, runs[(image * runs_of_image + run) * COLUMNS + at], sums);
        }
        const long long place = ((long long)(origin.image + image) * parts + part) * p.to.channels;
        p.partials[place + column + at] = found;
    }
}

template <class Product>
__device__ __forceinline__ void convolve(const Convolution& p) {
    using T = typename Product::T;
    constexpr int COLUMNS = Product::COLUMNS;
    constexpr int WEIGHTS = 2 * Patch<T>::CHANNELS * Product::STRIDE;
    constexpr int READ = (Patch<T>::SIZE + WEIGHTS) * int(sizeof(T));
    constexpr int FOUND = TILE * (COLUMNS + 8) * int(sizeof(float));
    constexpr int RUNS = TILE / RUN * COLUMNS * int(sizeof(Partial));
    // The result takes the place of what was read.
    SHARED(unsigned char, memory, (READ > FOUND + RUNS ? READ : FOUND + RUNS));
    T* patch = reinterpret_cast<T*>(memory);
    float* tile = reinterpret_cast<float*>(memory);
    const Origin origin = tile_origin(p.lattice, blockIdx.x);
    const int column = blockIdx.y * COLUMNS, grid = blockIdx.z;
    Product product;
    sum_taps(product, p, patch, patch + Patch<T>::SIZE, origin, grid, column);
    __syncthreads();
    product.finish(tile);
    __syncthreads();
    write_tile<COLUMNS>(p, tile, origin, grid, column);
    if (!p.partials) return;
    __syncthreads();
    write_partials<COLUMNS>(p, tile, reinterpret_cast<Partial*>(memory + FOUND), origin, grid, column);
}

KERNEL(convolve_f32, Convolution, THREADS) { convolve<OnCores>(p); }
KERNEL(convolve_bf16_32, Convolution, THREADS) { convolve<OnTensorCores<32>>(p); }
KERNEL(convolve_bf16_64, Convolution, THREADS) { convolve<OnTensorCores<64>>(p); }

struct JoinPartials {
    const Partial* partials;
    // (n, c), pairs.
    double* out;
    int images;
    int parts;
    int channels;
    // Whether they are sums, not moments.
    int sums;
};

// Joins the parts of each channel of each image in order.
KERNEL(join_partials, JoinPartials, 256) {
    const int at = blockIdx.x * 256 + threadIdx.x;
    if (at >= p.images * p.channels) return;
    const int image = at / p.channels, channel = at % p.channels;
    const Partial* partials = p.partials + (long long)image * p.parts * p.channels + channel;
    double count = 0.0, first = 0.0, second = 0.0;
    for (int part = 0; part < p.parts; part++) {
        const Partial found = partials[(long long)part * p.channels];
        if (p.sums) {
            first += found.first;
            second += found.second;
        } else if (found.count > 0.0f) {
            const double apart = found.first - first, all = count + found.count;
            second += found.second + apart * apart * count * found.count / all;
            first += apart * found.count / all;
            count = all;
        }
    }
    p.out[2 * at] = first;
    p.out[2 * at + 1] = second;
}
