// The fold: up to 16 inputs are combined, element by element, in the canonical order of `Op` (src/op.rs), and the result
// is written to up to 16 outputs: so one kernel reads what p ranks contribute and writes what all of them get.
//
// One module per element type. The compiler is given
//     ELEMENT     the element type, by its name in ops.cuh;
//     FOLDS       the operations that it takes, as `FOLD(sum, Sum) FOLD(prod, Prod) ...`.
//
// The canonical order is a binary tree: n inputs are split at the largest power of two below n. Read from left to
// right that is a binary counter of subtrees: every fourth input completes a subtree of four, and completed
// subtrees of equal size are combined at once. A thread therefore walks over groups of four inputs and keeps two
// waiting subtrees at most, one of 4 and one of 8 inputs.
//
// An element is read and written by one thread, which reads it from all inputs before it writes. So an output may
// be one of the inputs exactly, and no pointer is `__restrict__`.

#include "ops.cuh"

// The parameter of a kernel, by value. Those from `count` on are not read.
struct Inputs {
    const void *address[16];
};

// Another parameter. Those from `copies` on are not written.
struct Outputs {
    void *address[16];
};

// What is the same in all threads.
struct Reduction {
    const Inputs &inputs;
    const Outputs &outputs;
    u32 count;
    // The outputs.
    u32 copies;
    // Bit i says that input i holds accumulators, as an earlier fold left them, and not elements.
    u32 partial_inputs;
    // The inputs of the whole reduction, of which this may be a subtree.
    u32 leaves;
    // Whether accumulators are written and not elements.
    bool partial_output;
};

// Neighbouring lanes in registers, packed as they are in memory.
template <class T, int lanes> struct Pack {
    static constexpr int bytes = lanes * sizeof(T);
    u32 word[bytes / 4];

    DEVICE T get(int lane) const {
        if constexpr (sizeof(T) < 4) {
            const int bit = lane * sizeof(T) * 8;
            using U = typename Choose<sizeof(T) == 1, u8, u16>::Type;
            return bit_cast<T>(U(word[bit / 32] >> bit % 32));
        } else {
            T value;
            memcpy(&value, &word[lane * sizeof(T) / 4], sizeof(T));
            return value;
        }
    }

    // Short lanes are set in ascending order, the first of a word clearing the others.
    DEVICE void set(int lane, T value) {
        if constexpr (sizeof(T) < 4) {
            const int bit = lane * sizeof(T) * 8;
            using U = typename Choose<sizeof(T) == 1, u8, u16>::Type;
            const u32 placed = u32(bit_cast<U>(value)) << bit % 32;
            word[bit / 32] = bit % 32 == 0 ? placed : word[bit / 32] | placed;
        } else {
            memcpy(&word[lane * sizeof(T) / 4], &value, sizeof(T));
        }
    }
};

// The elements from `first` on, where that is aligned to as much as an access takes, 16 bytes at most.
template <int lanes> struct Neighbours {
    u64 first;

    template <class T> DEVICE Pack<T, lanes> load(const void *base) const {
        Pack<T, lanes> pack;
        const auto *from = reinterpret_cast<const T *>(base) + first;
        if constexpr (pack.bytes == 8) {
            const uint2 pair = *reinterpret_cast<const uint2 *>(from);
            pack.word[0] = pair.x;
            pack.word[1] = pair.y;
        } else {
#pragma unroll
            for (int quad = 0; quad < pack.bytes / 16; quad++) {
                const uint4 four = reinterpret_cast<const uint4 *>(from)[quad];
                pack.word[4 * quad] = four.x;
                pack.word[4 * quad + 1] = four.y;
                pack.word[4 * quad + 2] = four.z;
                pack.word[4 * quad + 3] = four.w;
            }
        }
        return pack;
    }

    template <class T> DEVICE void store(void *base, Pack<T, lanes> pack) const {
        auto *to = reinterpret_cast<T *>(base) + first;
        if constexpr (pack.bytes == 8) {
            *reinterpret_cast<uint2 *>(to) = make_uint2(pack.word[0], pack.word[1]);
        } else {
#pragma unroll
            for (int quad = 0; quad < pack.bytes / 16; quad++) {
                reinterpret_cast<uint4 *>(to)[quad] = make_uint4(pack.word[4 * quad], pack.word[4 * quad + 1],
                                                                 pack.word[4 * quad + 2], pack.word[4 * quad + 3]);
            }
        }
    }
};

// Single elements, one grid apart, so that those of a warp are neighbours.
template <int lanes> struct Scattered {
    u64 index[lanes];
    // As many lanes, from the first, have an element.
    int live;

    template <class T> DEVICE Pack<T, lanes> load(const void *base) const {
        Pack<T, lanes> pack;
#pragma unroll
        for (int lane = 0; lane < lanes; lane++) {
            pack.set(lane, lane < live ? reinterpret_cast<const T *>(base)[index[lane]] : T());
        }
        return pack;
    }

    template <class T> DEVICE void store(void *base, Pack<T, lanes> pack) const {
#pragma unroll
        for (int lane = 0; lane < lanes; lane++) {
            if (lane < live) {
                reinterpret_cast<T *>(base)[index[lane]] = pack.get(lane);
            }
        }
    }
};

template <class F, class T, int lanes> DEVICE Pack<Accumulator<T>, lanes> accumulators(Pack<T, lanes> elements) {
    Pack<Accumulator<T>, lanes> result;
#pragma unroll
    for (int lane = 0; lane < lanes; lane++) {
        result.set(lane, F::load(elements.get(lane)));
    }
    return result;
}

template <class F, class A, int lanes> DEVICE Pack<A, lanes> combine(Pack<A, lanes> left, Pack<A, lanes> right) {
    using Lane = typename F::Lane;
    Pack<A, lanes> result;
    if constexpr (same<Lane, A>) {
#pragma unroll
        for (int lane = 0; lane < lanes; lane++) {
            result.set(lane, F::combine(left.get(lane), right.get(lane)));
        }
    } else {
#pragma unroll
        for (int word = 0; word < left.bytes / 4; word++) {
            result.word[word] = F::combine(left.word[word], right.word[word]);
        }
    }
    return result;
}

template <class F, class T, int lanes, class Place>
DEVICE void write(const Reduction &reduction, const Place &place, Pack<Accumulator<T>, lanes> result) {
    if (reduction.partial_output) {
#pragma unroll 1
        for (u32 copy = 0; copy < reduction.copies; copy++) {
            place.store(reduction.outputs.address[copy], result);
        }
        return;
    }
    Pack<T, lanes> elements;
#pragma unroll
    for (int lane = 0; lane < lanes; lane++) {
        elements.set(lane, F::finish(result.get(lane), reduction.leaves));
    }
#pragma unroll 1
    for (u32 copy = 0; copy < reduction.copies; copy++) {
        place.store(reduction.outputs.address[copy], elements);
    }
}

// An input as it was read: `lanes` elements or, where `mixed`, perhaps accumulators, which are longer then.
template <class F, class T, int lanes, bool mixed> struct Operand {
    using A = Accumulator<T>;
    Pack<typename Choose<mixed, A, T>::Type, lanes> raw;

    template <class Place> DEVICE void read(const Reduction &reduction, const Place &place, u32 input) {
        const void *base = reduction.inputs.address[input];
        if constexpr (mixed) {
            if (reduction.partial_inputs >> input & 1) {
                raw = place.template load<A>(base);
            } else {
                const Pack<T, lanes> elements = place.template load<T>(base);
#pragma unroll
                for (int word = 0; word < elements.bytes / 4; word++) {
                    raw.word[word] = elements.word[word];
                }
            }
        } else {
            raw = place.template load<T>(base);
        }
    }

    DEVICE Pack<A, lanes> accumulators(const Reduction &reduction, u32 input) const {
        if constexpr (mixed) {
            if (reduction.partial_inputs >> input & 1) {
                return raw;
            }
            Pack<T, lanes> elements;
#pragma unroll
            for (int word = 0; word < elements.bytes / 4; word++) {
                elements.word[word] = raw.word[word];
            }
            return ::accumulators<F>(elements);
        } else {
            return ::accumulators<F>(raw);
        }
    }
};

// Folds the elements at one place.
template <class F, class T, int lanes, bool mixed, class Place>
DEVICE void fold_at(const Reduction &reduction, const Place &place) {
    using A = Accumulator<T>;
    Pack<A, lanes> result, of_four, of_eight;
#pragma unroll 1
    for (u32 group = 0; 4 * group < reduction.count; group++) {
        const u32 inputs = reduction.count - 4 * group;
        // All of a group are on their way before the first is used.
        Operand<F, T, lanes, mixed> operand[4];
#pragma unroll
        for (u32 input = 0; input < 4; input++) {
            if (input < inputs) {
                operand[input].read(reduction, place, 4 * group + input);
            }
        }
        const auto get = [&](u32 input) { return operand[input].accumulators(reduction, 4 * group + input); };
        result = get(0);
        if (inputs > 1) {
            result = combine<F>(result, get(1));
        }
        if (inputs > 2) {
            Pack<A, lanes> right = get(2);
            if (inputs > 3) {
                right = combine<F>(right, get(3));
            }
            result = combine<F>(result, right);
        }

        if (group % 2 == 0) {
            of_four = result;
        } else {
            result = combine<F>(of_four, result);
        }
        if (group == 1) {
            of_eight = result;
        }
        if (group >= 2 && inputs <= 4) {
            result = combine<F>(of_eight, result);
        }
    }
    write<F, T>(reduction, place, result);
}

// Folds the elements at `places` places of two inputs, at once: one place alone would not keep the memory busy.
template <class F, class T, int lanes, int places>
DEVICE void fold_two(const Reduction &reduction, const Neighbours<lanes> (&place)[places]) {
    Pack<T, lanes> left[places], right[places];
#pragma unroll
    for (int at = 0; at < places; at++) {
        left[at] = place[at].template load<T>(reduction.inputs.address[0]);
        right[at] = place[at].template load<T>(reduction.inputs.address[1]);
    }
#pragma unroll
    for (int at = 0; at < places; at++) {
        write<F, T>(reduction, place[at], combine<F>(accumulators<F>(left[at]), accumulators<F>(right[at])));
    }
}

// The elements that are folded in packs.
struct Middle {
    // How many come before.
    u64 head;
    u64 packs;
};

// Finds where packs of `lanes` elements are aligned in all buffers at once. There may be no such place.
template <class T, int lanes> DEVICE Middle middle(const Reduction &reduction, u64 elements) {
    const auto size = [](bool partial) { return u32(partial ? sizeof(Accumulator<T>) : sizeof(T)); };
    const auto behind = [&](const void *base, bool partial, u32 head) {
        const u32 access = lanes * size(partial) < 16 ? lanes * size(partial) : 16;
        return (u32(u64(base)) + head * size(partial)) & (access - 1);
    };
    const bool first_is_partial = reduction.partial_inputs & 1;
    const u32 first_behind = behind(reduction.inputs.address[0], first_is_partial, 0);
    const u32 head = first_behind == 0 ? 0 : lanes - first_behind / size(first_is_partial);
    u32 unaligned = 0;
#pragma unroll 1
    for (u32 copy = 0; copy < reduction.copies; copy++) {
        unaligned |= behind(reduction.outputs.address[copy], reduction.partial_output, head);
    }
#pragma unroll 1
    for (u32 input = 0; input < reduction.count; input++) {
        unaligned |= behind(reduction.inputs.address[input], reduction.partial_inputs >> input & 1, head);
    }
    if (unaligned != 0 || elements < head) {
        return {0, 0};
    }
    return {head, (elements - head) / lanes};
}

template <class F, class T> DEVICE void fold(const Reduction &reduction, u64 elements) {
    constexpr bool widens = sizeof(Accumulator<T>) != sizeof(T);
    constexpr int lanes = 16 / sizeof(T);
    const u64 threads = u64(gridDim.x) * blockDim.x;
    const u64 thread = u64(blockIdx.x) * blockDim.x + threadIdx.x;

    u64 head, folded;
    if (reduction.count == 2 && (!widens || reduction.partial_inputs == 0)) {
        const Middle whole = middle<T, lanes>(reduction, elements);
        const auto place = [&](u64 pack) { return Neighbours<lanes>{whole.head + pack * lanes}; };
        u64 pack = thread;
        for (; pack + threads < whole.packs; pack += 2 * threads) {
            fold_two<F, T, lanes, 2>(reduction, {place(pack), place(pack + threads)});
        }
        if (pack < whole.packs) {
            fold_two<F, T, lanes, 1>(reduction, {place(pack)});
        }
        head = whole.head;
        folded = whole.packs * lanes;
    } else {
        // Accumulators that are wider than elements take more registers.
        constexpr int lanes = 16 / sizeof(Accumulator<T>);
        const Middle whole = middle<T, lanes>(reduction, elements);
        for (u64 pack = thread; pack < whole.packs; pack += threads) {
            fold_at<F, T, lanes, widens>(reduction, Neighbours<lanes>{whole.head + pack * lanes});
        }
        head = whole.head;
        folded = whole.packs * lanes;
    }

    // What is left lies before and behind the packs, or is all.
    constexpr int few = lanes < 4 ? lanes : 4;
    const u64 rest = elements - folded;
    for (u64 first = thread; first < rest; first += few * threads) {
        Scattered<few> place;
        place.live = 0;
#pragma unroll
        for (int lane = 0; lane < few; lane++) {
            const u64 at = first + lane * threads;
            place.live += at < rest;
            place.index[lane] = at < head ? at : at + folded;
        }
        fold_at<F, T, few, widens>(reduction, place);
    }
}

// Folds `elements` elements of `count` inputs, 1 to 16, into `copies` outputs, 1 to 16, by any number of threads.
//
// Each pointer is aligned to its elements. An output is one of the inputs exactly or overlaps none, nor another output.
// An input whose bit in `partial_inputs` is set holds partial results: f32 for f16 and bf16, and for all other types the
// element type, logical results being 0 and 1 of that. They are the results of complete subtrees of the canonical order,
// written with `partial_output` other than zero. `leaves` is how many elements each of the finished output is made of.
#define FOLD(name, Functor)                                                                                            \
    extern "C" __global__ void __launch_bounds__(1024)                                                                 \
        fold_##name(const __grid_constant__ Inputs inputs, const __grid_constant__ Outputs outputs, u64 elements,      \
                    u32 count, u32 copies, u32 partial_inputs, u32 leaves, u32 partial_output) {                       \
        fold<Functor<ELEMENT>, ELEMENT>(                                                                               \
            {inputs, outputs, count, copies, partial_inputs, leaves, partial_output != 0}, elements);                  \
    }

FOLDS
