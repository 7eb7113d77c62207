// Sums of the rows of a matrix, in an order that depends on the number of columns only: not on the grid, the rows
// or how the pointers are aligned.
//
// A row is cut into segments of `segment_columns` columns, of which each has one sum, until the sums of the segments
// are added by the same rule, as rows of a matrix themselves. Inside of a segment, a group of threads takes turns at
// four neighbours. The group is as large as the whole row needs, 32 threads at most:
//
//     sum[thread][i] = the terms 4 * (thread + group * k) + i, for k = 0, 1, 2, ...
//     sum[thread]    = (sum[thread][0] + sum[thread][1]) + (sum[thread][2] + sum[thread][3])
//
// and the threads' sums are added as a tree, first those half a group apart. Short rows share a warp.

#pragma once

#include "ops.cuh"

constexpr u32 segment_columns = 2048;
constexpr u32 warp_threads = 32;

// Four neighbours of a row.
template <class T> struct Four {
    T at[4];
};

template <class T> DEVICE bool is_aligned(const T *from) { return (u64(from) & 15) == 0; }

template <class T> DEVICE Four<T> load_aligned(const T *from) {
    Four<T> four;
#pragma unroll
    for (int quad = 0; quad < sizeof(four) / 16; quad++) {
        const uint4 words = reinterpret_cast<const uint4 *>(from)[quad];
        memcpy(&four.at[quad * (16 / sizeof(T))], &words, 16);
    }
    return four;
}

template <class T> DEVICE Four<T> load_singly(const T *from) { return {{from[0], from[1], from[2], from[3]}}; }

// As many of four neighbours as `left` says, and zeros.
template <class T> DEVICE Four<T> load_last(const T *from, u32 left, bool aligned) {
    if (left >= 4) {
        return aligned ? load_aligned(from) : load_singly(from);
    }
    Four<T> four;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        four.at[i] = i < left ? from[i] : T(0);
    }
    return four;
}

// As many fours of a thread, `step` elements apart, are on their way from memory at once.
constexpr int ahead = 4;
template <class T> struct Run {
    Four<T> four[ahead];
};

template <class T> DEVICE Run<T> load_run(const T *from, u32 step, bool aligned) {
    Run<T> run;
    if (aligned) {
#pragma unroll
        for (int k = 0; k < ahead; k++) {
            run.four[k] = load_aligned(from + k * step);
        }
    } else {
#pragma unroll
        for (int k = 0; k < ahead; k++) {
            run.four[k] = load_singly(from + k * step);
        }
    }
    return run;
}

// What is added up: the numbers of a row.
struct Numbers {
    static constexpr bool has_vector = false;

    template <class Sum, class T> static DEVICE Sum add(Sum sum, T number, T) { return ::add(sum, Sum(number)); }
};

// What is added up: the products of the numbers of a row with those of a vector.
struct Products {
    static constexpr bool has_vector = true;

    // A product of two f32 is exact in f64, and one of two f64 is not rounded before it is added.
    template <class T> static DEVICE f64 add(f64 sum, T number, T other) {
        return __fma_rn(f64(number), f64(other), sum);
    }
};

template <class Terms, class Sum, class T> DEVICE void add_four(Sum (&sum)[4], Four<T> row, Four<T> vector) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
        sum[i] = Terms::add(sum[i], row.at[i], vector.at[i]);
    }
}

// The sum of one segment, in each thread of its group. `columns` is that of the segment.
template <class Sum, class Terms, class T>
DEVICE Sum sum_segment(const T *row, const T *vector, u32 columns, u32 thread, u32 group) {
    const u32 step = 4 * group;
    const bool row_is_aligned = is_aligned(row);
    const bool vector_is_aligned = is_aligned(vector);
    Sum sum[4] = {};
    u32 at = 4 * thread;
    for (; at + (ahead - 1) * step + 4 <= columns; at += ahead * step) {
        const Run<T> of_row = load_run(row + at, step, row_is_aligned);
        Run<T> of_vector = of_row;
        if constexpr (Terms::has_vector) {
            of_vector = load_run(vector + at, step, vector_is_aligned);
        }
#pragma unroll
        for (int k = 0; k < ahead; k++) {
            add_four<Terms>(sum, of_row.four[k], of_vector.four[k]);
        }
    }
#pragma unroll 1
    for (; at < columns; at += step) {
        const Four<T> of_row = load_last(row + at, columns - at, row_is_aligned);
        Four<T> of_vector = of_row;
        if constexpr (Terms::has_vector) {
            of_vector = load_last(vector + at, columns - at, vector_is_aligned);
        }
        add_four<Terms>(sum, of_row, of_vector);
    }
    Sum total = add(add(sum[0], sum[1]), add(sum[2], sum[3]));
    for (u32 apart = group / 2; apart > 0; apart /= 2) {
        total = add(total, __shfl_xor_sync(0xFFFFFFFF, total, apart));
    }
    return total;
}

// Sums the segments of all rows: `store(index, sum)` is called once for each, row by row, `index` counting them.
//
// Any number of blocks, of whole warps.
template <class Sum, class Terms, class T, class Store>
DEVICE void sum_segments(const T *matrix, const T *vector, u64 rows, u64 columns, const Store &store) {
    const u64 segments = columns <= segment_columns ? 1 : (columns + (segment_columns - 1)) / segment_columns;
    u32 group = 1;
    while (group < warp_threads && 4 * group < columns) {
        group *= 2;
    }
    const u32 groups = warp_threads / group;
    const u32 lane = threadIdx.x % warp_threads;
    const u64 warp = (u64(blockIdx.x) * blockDim.x + threadIdx.x) / warp_threads;
    const u64 warps = u64(gridDim.x) * blockDim.x / warp_threads;

    // All threads of a warp stay in the loop together, those behind the last segment with nothing to add.
    for (u64 first = warp * groups; first < rows * segments; first += warps * groups) {
        const u64 index = first + lane / group;
        const bool live = index < rows * segments;
        const u64 row = segments == 1 ? index : index / segments;
        const u64 column = segments == 1 ? 0 : (index - row * segments) * segment_columns;
        const u64 left = columns - column;
        const u32 mine = !live ? 0 : left < segment_columns ? left : segment_columns;
        const Sum sum = sum_segment<Sum, Terms>(matrix + (row * columns + column), vector + column, mine,
                                                lane % group, group);
        if (live && lane % group == 0) {
            store(index, sum);
        }
    }
}
