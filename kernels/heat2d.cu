// A step of the heat equation on a plate, by explicit differences, for the example heat2d.
//
// `heat2d_step(above, rows, below, next, count, columns, rate)` takes `count` whole rows, which lie one behind the other,
// and writes what they become. `above` and `below` are the rows before the first and behind the last; at an edge of the
// plate the caller gives the edge row itself, since no heat crosses it. The right and the left edge are seen to here.
//
// A grid of two dimensions, in blocks of one row of 256 threads at most; any number of blocks. `next` overlaps nothing.

#include "ops.cuh"

extern "C" __global__ void __launch_bounds__(256)
    heat2d_step(const f64 *__restrict__ above, const f64 *__restrict__ rows, const f64 *__restrict__ below,
                f64 *__restrict__ next, u64 count, u64 columns, f64 rate) {
    for (u64 row = blockIdx.y; row < count; row += gridDim.y) {
        const f64 *here = rows + row * columns;
        const f64 *up = row == 0 ? above : here - columns;
        const f64 *down = row + 1 == count ? below : here + columns;
        for (u64 column = u64(blockIdx.x) * blockDim.x + threadIdx.x; column < columns;
             column += u64(gridDim.x) * blockDim.x) {
            const f64 centre = here[column];
            const f64 left = here[column == 0 ? column : column - 1];
            const f64 right = here[column + 1 == columns ? column : column + 1];
            // The same operations in the same order as on the host, of which none are fused.
            const f64 vertical = (up[column] - centre) + (down[column] - centre);
            const f64 horizontal = (left - centre) + (right - centre);
            next[row * columns + column] = centre + rate * (vertical + horizontal);
        }
    }
}
