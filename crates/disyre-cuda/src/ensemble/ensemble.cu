// Sums over the members of an ensemble: how far each is from what it restores, and the members. See mod.rs.

#include "array.cuh"

constexpr int THREADS = 256;

struct AddMember {
    Array x;
    Array y;
    float* distances;
    float* members;
    long long len;
    // Whether distances are squared.
    int squared;
    // Whether there are sums already.
    int onto;
};

KERNEL(add_member, AddMember, THREADS) {
    const long long step = (long long)gridDim.x * THREADS;
    for (long long at = (long long)blockIdx.x * THREADS + threadIdx.x; at < p.len; at += step) {
        const float y = load(p.y, at), difference = load(p.x, at) - y;
        const float distance = p.squared ? difference * difference : fabsf(difference);
        p.distances[at] = (p.onto ? p.distances[at] : 0.0f) + distance;
        p.members[at] = (p.onto ? p.members[at] : 0.0f) + y;
    }
}
