// Attention between the pixels of small images, one thread for each pixel of each head. See mod.rs.

#include "array.cuh"

constexpr int THREADS = 64;

struct Attention {
    // Queries, keys and values side by side, (n, pixels, 3c).
    Array qkv;
    // (n, pixels, c): the gradient by the result.
    Array gradient;
    // The result (n, pixels, c), or the gradient by qkv.
    Array out;
    // (n, head, pixel, 2): logarithm of the sum of exponentials, and the gradient along the result.
    float* statistics;
    int pixels;
    int channels;
    int head_channels;
    float scale;
};

template <int DEPTH>
struct Row {
    float v[DEPTH];

    __device__ __forceinline__ float dot(const float* other) const {
        float sum = 0.0f;
        for (int i = 0; i < DEPTH; i++) sum = fmaf(v[i], other[i], sum);
        return sum;
    }

    __device__ __forceinline__ void add(float factor, const float* other) {
        for (int i = 0; i < DEPTH; i++) v[i] = fmaf(factor, other[i], v[i]);
    }

    __device__ __forceinline__ void scale(float factor) {
        for (int i = 0; i < DEPTH; i++) v[i] *= factor;
    }
};

// Which of queries, keys and values.
enum Which { QUERIES, KEYS, VALUES };

__device__ __forceinline__ long long place(const Attention& p, int pixel, int which) {
    const long long of_batch = (long long)blockIdx.z * p.pixels + pixel;
    return (of_batch * 3 + which) * p.channels + blockIdx.y * p.head_channels;
}

__device__ __forceinline__ long long result_place(const Attention& p, int pixel) {
    return ((long long)blockIdx.z * p.pixels + pixel) * p.channels + blockIdx.y * p.head_channels;
}

template <int DEPTH>
__device__ __forceinline__ Row<DEPTH> load_row(const Attention& p, const Array& array, long long at, bool inside) {
    Row<DEPTH> row;
    for (int i = 0; i < DEPTH; i++) {
        row.v[i] = inside && i < p.head_channels ? load(array, at + i) : 0.0f;
    }
    return row;
}

template <int DEPTH>
__device__ __forceinline__ void store_row(const Attention& p, long long at, const Row<DEPTH>& row) {
    for (int i = 0; i < DEPTH; i++) {
        if (i < p.head_channels) store(p.out, at + i, row.v[i]);
    }
}

template <int DEPTH>
__device__ __forceinline__ void keep_row(float* rows, const Row<DEPTH>& row) {
    for (int i = 0; i < DEPTH; i++) rows[threadIdx.x * DEPTH + i] = row.v[i];
}

// Brings keys and values of up to 64 pixels to shared memory.
template <int DEPTH>
__device__ __forceinline__ void load_keys(const Attention& p, float* keys, float* values, int first) {
    const int pixel = first + threadIdx.x;
    const bool inside = pixel < p.pixels;
    __syncthreads();
    keep_row(keys, load_row<DEPTH>(p, p.qkv, place(p, pixel, KEYS), inside));
    keep_row(values, load_row<DEPTH>(p, p.qkv, place(p, pixel, VALUES), inside));
    __syncthreads();
}

__device__ __forceinline__ int in_block(const Attention& p, int first) {
    return p.pixels - first < THREADS ? p.pixels - first : THREADS;
}

// One query against all keys: the result, and the logarithm of the sum of exponentials. Softmax as keys come by
// (Milakov and Gimelshein, arXiv 1805.02867).
template <int DEPTH>
__device__ __forceinline__ Row<DEPTH> attend_query(
    const Attention& p, const Row<DEPTH>& query, float* keys, float* values, float& logarithm) {
    Row<DEPTH> sum{};
    float greatest = -INFINITY, total = 0.0f;
    for (int first = 0; first < p.pixels; first += THREADS) {
        load_keys<DEPTH>(p, keys, values, first);
        for (int j = 0; j < in_block(p, first); j++) {
            const float affinity = query.dot(keys + j * DEPTH) * p.scale;
            if (affinity > greatest) {
                const float shrink = expf(greatest - affinity);
                sum.scale(shrink);
                total *= shrink;
                greatest = affinity;
            }
            const float weight = expf(affinity - greatest);
            total += weight;
            sum.add(weight, values + j * DEPTH);
        }
    }
    sum.scale(1.0f / total);
    logarithm = greatest + logf(total);
    return sum;
}

template <int DEPTH>
__device__ __forceinline__ void attend(const Attention& p) {
    SHARED(float, keys, THREADS * DEPTH);
    SHARED(float, values, THREADS * DEPTH);
    const int pixel = blockIdx.x * THREADS + threadIdx.x;
    const bool inside = pixel < p.pixels;
    const Row<DEPTH> query = load_row<DEPTH>(p, p.qkv, place(p, pixel, QUERIES), inside);
    float logarithm;
    const Row<DEPTH> result = attend_query(p, query, keys, values, logarithm);
    if (inside) store_row(p, result_place(p, pixel), result);
}

// The gradient by queries, and what the one by keys and values needs of every query.
template <int DEPTH>
__device__ __forceinline__ void backward_queries(const Attention& p) {
    SHARED(float, keys, THREADS * DEPTH);
    SHARED(float, values, THREADS * DEPTH);
    const int pixel = blockIdx.x * THREADS + threadIdx.x;
    const bool inside = pixel < p.pixels;
    const Row<DEPTH> query = load_row<DEPTH>(p, p.qkv, place(p, pixel, QUERIES), inside);
    const Row<DEPTH> gradient = load_row<DEPTH>(p, p.gradient, result_place(p, pixel), inside);
    float logarithm;
    const float along = gradient.dot(attend_query(p, query, keys, values, logarithm).v);
    Row<DEPTH> sum{};
    for (int first = 0; first < p.pixels; first += THREADS) {
        load_keys<DEPTH>(p, keys, values, first);
        for (int j = 0; j < in_block(p, first); j++) {
            const float weight = expf(query.dot(keys + j * DEPTH) * p.scale - logarithm);
            sum.add(weight * (gradient.dot(values + j * DEPTH) - along) * p.scale, keys + j * DEPTH);
        }
    }
    if (!inside) return;
    store_row(p, place(p, pixel, QUERIES), sum);
    float* kept = p.statistics + 2 * (((long long)blockIdx.z * gridDim.y + blockIdx.y) * p.pixels + pixel);
    kept[0] = logarithm;
    kept[1] = along;
}

// The gradient by keys and values: every thread has one key and meets all queries.
template <int DEPTH>
__device__ __forceinline__ void backward_keys(const Attention& p) {
    SHARED(float, queries, THREADS * DEPTH);
    SHARED(float, gradients, THREADS * DEPTH);
    const int pixel = blockIdx.x * THREADS + threadIdx.x;
    const bool inside = pixel < p.pixels;
    const Row<DEPTH> key = load_row<DEPTH>(p, p.qkv, place(p, pixel, KEYS), inside);
    const Row<DEPTH> value = load_row<DEPTH>(p, p.qkv, place(p, pixel, VALUES), inside);
    const float* kept = p.statistics + 2 * ((long long)blockIdx.z * gridDim.y + blockIdx.y) * p.pixels;
    Row<DEPTH> by_key{}, by_value{};
    for (int first = 0; first < p.pixels; first += THREADS) {
        const int other = first + threadIdx.x;
        __syncthreads();
        keep_row(queries, load_row<DEPTH>(p, p.qkv, place(p, other, QUERIES), other < p.pixels));
        keep_row(gradients, load_row<DEPTH>(p, p.gradient, result_place(p, other), other < p.pixels));
        __syncthreads();
        for (int j = 0; j < in_block(p, first); j++) {
            const float* statistics = kept + 2 * (first + j);
            const float weight = expf(key.dot(queries + j * DEPTH) * p.scale - statistics[0]);
            by_value.add(weight, gradients + j * DEPTH);
            const float slope = value.dot(gradients + j * DEPTH) - statistics[1];
            by_key.add(weight * slope * p.scale, queries + j * DEPTH);
        }
    }
    if (!inside) return;
    store_row(p, place(p, pixel, KEYS), by_key);
    store_row(p, place(p, pixel, VALUES), by_value);
}

KERNEL(attend_8, Attention, THREADS) { attend<8>(p); }
KERNEL(attend_16, Attention, THREADS) { attend<16>(p); }
KERNEL(attend_32, Attention, THREADS) { attend<32>(p); }
KERNEL(backward_queries_8, Attention, THREADS) { backward_queries<8>(p); }
KERNEL(backward_queries_16, Attention, THREADS) { backward_queries<16>(p); }
KERNEL(backward_queries_32, Attention, THREADS) { backward_queries<32>(p); }
KERNEL(backward_keys_8, Attention, THREADS) { backward_keys<8>(p); }
KERNEL(backward_keys_16, Attention, THREADS) { backward_keys<16>(p); }
KERNEL(backward_keys_32, Attention, THREADS) { backward_keys<32>(p); }
