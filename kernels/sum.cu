// The sum of a vector, in an order that depends on its length only.
//
// `sum_<dtype>(numbers, sums, length)` adds up segments of 2,048 numbers and writes their ceil(length / 2048) sums,
// one at least: as f64 where the numbers are floating-point, as i64, which wraps around, where they are integers. While
// there is more than one, the caller has them summed in turn, by `sum_f64` or `sum_i64`, into another buffer. The order
// inside of a segment is told in segments.cuh.
//
// Any number of blocks, of whole warps, of 256 threads at most. Pointers are aligned to their elements.

#include "segments.cuh"

#define SUM(dtype, Sum)                                                                                                \
    extern "C" __global__ void __launch_bounds__(256, 3)                                                               \
        sum_##dtype(const dtype *__restrict__ numbers, Sum *__restrict__ sums, u64 length) {                           \
        sum_segments<Numbers, 1, Sum>(numbers, numbers, 1, length, [=](u64 index, Sum sum) { sums[index] = sum; });    \
    }

SUM(f32, f64)
SUM(f64, f64)
SUM(i32, i64)
SUM(i64, i64)
