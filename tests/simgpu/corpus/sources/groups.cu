// Cooperative groups.
#include <cooperative_groups.h>

namespace cg = cooperative_groups;

extern "C" __global__ void tiles(const int* in, int* out) {
    cg::thread_block block = cg::this_thread_block();
    cg::thread_block_tile<8> tile = cg::tiled_partition<8>(block);
    int value = in[block.thread_rank()];
    for (int distance = tile.size() / 2; distance > 0; distance /= 2) {
        value += tile.shfl_down(value, distance);
    }
    block.sync();
    out[block.thread_rank()] = tile.shfl(value, 0) + (int)tile.meta_group_rank();
}

extern "C" __global__ void coalesced(const int* in, int* out) {
    int value = in[threadIdx.x];
    out[threadIdx.x] = -1;
    if (value % 3 == 0) {
        cg::coalesced_group group = cg::coalesced_threads();
        out[threadIdx.x] = group.thread_rank() * 100 + group.size();
    }
}
