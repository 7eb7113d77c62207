// The product of a matrix, row by row in memory, and a vector. An element of the product depends on its row, the vector
// and the number of columns only, however the rows are dealt out. Products are added as f64.
//
// `matvec_<dtype>(matrix, vector, product, rows, columns)` writes the product, if there are no more than 2,048 columns.
// Otherwise it writes ceil(columns / 2048) sums per row, as f64, row by row, and the caller has them added up by
// `matvec_finish_<dtype>(sums, product, rows, columns)`, whose `columns` is the number of sums per row. That writes
// the product or, again for more than 2,048 columns, sums of sums to be finished in turn. The order of the additions
// is told in segments.cuh. Without columns the product is zero.
//
// Any number of blocks, of whole warps, of 256 threads at most. Pointers are aligned to their elements; no buffer
// overlaps the one that is written.

#include "segments.cuh"

template <class T, class Terms, int together, class From>
DEVICE void multiply(const From *__restrict__ matrix, const From *__restrict__ vector, void *__restrict__ product,
                     u64 rows, u64 columns) {
    const bool is_last = columns <= segment_columns;
    sum_segments<Terms, together, f64>(matrix, vector, rows, columns, [=](u64 index, f64 sum) {
        if (is_last) {
            reinterpret_cast<T *>(product)[index] = T(sum);
        } else {
            reinterpret_cast<f64 *>(product)[index] = sum;
        }
    });
}

#define MATVEC(dtype, together)                                                                                        \
    extern "C" __global__ void __launch_bounds__(256, 2)                                                               \
        matvec_##dtype(const dtype *__restrict__ matrix, const dtype *__restrict__ vector, void *__restrict__ product, \
                       u64 rows, u64 columns) {                                                                        \
        multiply<dtype, Products, together>(matrix, vector, product, rows, columns);                                   \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(256, 3)                                                               \
        matvec_finish_##dtype(const f64 *__restrict__ sums, void *__restrict__ product, u64 rows, u64 columns) {       \
        multiply<dtype, Numbers, 1>(sums, sums, product, rows, columns);                                               \
    }

// Every element of an f32 vector is converted, which on many GPUs is slow: once for two rows. An f64 is not, and two
// rows of it would take too many registers.
MATVEC(f32, 2)
MATVEC(f64, 1)
