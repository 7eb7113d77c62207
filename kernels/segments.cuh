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

// The sums of one segment of some rows, in each thread of its group. `columns` is that of the segment.
template <class Terms, int rows, class Sum, class T>
DEVICE void sum_segment(Sum (&total)[rows], const T *const (&row)[rows], const T *vector, u32 columns, u32 thread,
                        u32 group) {
    const u32 step = 4 * group;
    const bool vector_is_aligned = is_aligned(vector);
    bool rows_are_aligned = true;
    Sum sum[rows][4] = {};
#pragma unroll
    for (int i = 0; i < rows; i++) {
        rows_are_aligned &= is_aligned(row[i]);
    }
    u32 at = 4 * thread;
    for (; at + (ahead - 1) * step + 4 <= columns; at += ahead * step) {
        Run<T> of_row[rows];
#pragma unroll
        for (int i = 0; i < rows; i++) {
            of_row[i] = load_run(row[i] + at, step, rows_are_aligned);
        }
        Run<T> of_vector = of_row[0];
        if constexpr (Terms::has_vector) {
            of_vector = load_run(vector + at, step, vector_is_aligned);
        }
#pragma unroll
        for (int k = 0; k < ahead; k++) {
#pragma unroll
            for (int i = 0; i < rows; i++) {
                add_four<Terms>(sum[i], of_row[i].four[k], of_vector.four[k]);
            }
        }
    }
#pragma unroll 1
    for (; at < columns; at += step) {
        Four<T> of_row[rows];
#pragma unroll
        for (int i = 0; i < rows; i++) {
            of_row[i] = load_last(row[i] + at, columns - at, rows_are_aligned);
        }
        Four<T> of_vector = of_row[0];
        if constexpr (Terms::has_vector) {
            of_vector = load_last(vector + at, columns - at, vector_is_aligned);
        }
#pragma unroll
        for (int i = 0; i < rows; i++) {
            add_four<Terms>(sum[i], of_row[i], of_vector);
        }
    }
#pragma unroll
    for (int i = 0; i < rows; i++) {
        total[i] = add(add(sum[i][0], sum[i][1]), add(sum[i][2], sum[i][3]));
    }
    for (u32 apart = group / 2; apart > 0; apart /= 2) {
#pragma unroll
        for (int i = 0; i < rows; i++) {
            total[i] = add(total[i], __shfl_xor_sync(0xFFFFFFFF, total[i], apart));
        }
    }
}

// Sums the segments of all rows: `store(index, sum)` is called once for each, `index` counting them row by row.
//
// Any number of blocks, of whole warps. A group of threads takes the same segment of `together` rows at once.
template <class Terms, int together, class Sum, class T, class Store>
DEVICE void sum_segments(const T *matrix, const T *vector, u64 rows, u64 columns, const Store &store) {
    const u64 segments = columns <= segment_columns ? 1 : (columns + (segment_columns - 1)) / segment_columns;
    const u64 shares = (rows + (together - 1)) / together * segments;
    u32 group = 1;
    while (group < warp_threads && 4 * group < columns) {
        group *= 2;
    }
    const u32 groups = warp_threads / group;
    const u32 lane = threadIdx.x % warp_threads;
    const u64 warp = (u64(blockIdx.x) * blockDim.x + threadIdx.x) / warp_threads;
    const u64 warps = u64(gridDim.x) * blockDim.x / warp_threads;

    // All threads of a warp stay in the loop together, those behind the last share with nothing to add.
    for (u64 first = warp * groups; first < shares; first += warps * groups) {
        const u64 share = first + lane / group;
        const u64 first_row = (segments == 1 ? share : share / segments) * together;
        const u64 segment = segments == 1 ? 0 : share - first_row / together * segments;
        const u64 column = segment * segment_columns;
        const u64 left = columns - column;
        const u32 mine = share >= shares ? 0 : left < segment_columns ? left : segment_columns;
        // A row that there is not is read as the one before it.
        const T *row[together];
#pragma unroll
        for (int i = 0; i < together; i++) {
            row[i] = matrix + ((first_row + i < rows ? first_row + i : first_row) * columns + column);
        }
        Sum sum[together];
        sum_segment<Terms>(sum, row, vector + column, mine, lane % group, group);
#pragma unroll
        for (int i = 0; i < together; i++) {
            if (first_row + i < rows && lane % group == 0) {
                store((first_row + i) * segments + segment, sum[i]);
            }
        }
    }
}
