// A tile of a picture of the Mandelbrot set, for the example mandelbrot.
//
// `mandelbrot_tile(counts, first_column, first_row, columns, rows, left, top, step, limit)` writes, row by row, how many
// times z = z * z + c can be taken from z = 0 until |z| > 2, `limit` at most. The pixel in column x and row y of the
// picture, of which the tile begins at `first_column` and `first_row`, stands for c = (left + x * step, top - y * step).
//
// A grid of two dimensions, in blocks of one row of 256 threads at most; any number of blocks.

#include "ops.cuh"

extern "C" __global__ void __launch_bounds__(256)
    mandelbrot_tile(u32 *counts, u32 first_column, u32 first_row, u32 columns, u32 rows, f64 left, f64 top, f64 step,
                    u32 limit) {
    for (u32 row = blockIdx.y; row < rows; row += gridDim.y) {
        const f64 im = top - f64(first_row + row) * step;
        for (u32 column = blockIdx.x * blockDim.x + threadIdx.x; column < columns; column += gridDim.x * blockDim.x) {
            const f64 re = left + f64(first_column + column) * step;
            f64 x = 0;
            f64 y = 0;
            u32 count = 0;
            while (count < limit) {
                // The same operations in the same order as on the host, of which none are fused.
                const f64 xx = x * x;
                const f64 yy = y * y;
                if (xx + yy > 4) {
                    break;
                }
                const f64 xy = x * y;
                y = (xy + xy) + im;
                x = (xx - yy) + re;
                count += 1;
            }
            counts[u64(row) * columns + column] = count;
        }
    }
}
