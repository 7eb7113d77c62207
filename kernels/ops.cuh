// Element types, their arithmetic, and one functor per reduction operation.
//
// What the operations mean is documented at `Op` in src/op.rs, and src/device/fold has them for the CPU; results
// are equal bit for bit. The names are those of src/dtype.rs and src/op.rs. There are no headers: the compiler is
// NVRTC alone.

#pragma once

using u8 = unsigned char;
using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long long;
using i8 = signed char;
using i16 = short;
using i32 = int;
using i64 = long long;
using f32 = float;
using f64 = double;

struct f16 {
    u16 bits;
};

struct bf16 {
    u16 bits;
};

template <class T> struct Complex {
    T re;
    T im;
};
using c32 = Complex<f32>;
using c64 = Complex<f64>;

template <class V, class I> struct Located {
    V value;
    I index;
};
using f32loc = Located<f32, u32>;
using f64loc = Located<f64, u64>;
using i32loc = Located<i32, u32>;
using i64loc = Located<i64, u64>;
using u32loc = Located<u32, u32>;
using u64loc = Located<u64, u64>;

#define DEVICE __device__ __forceinline__

template <class To, class From> DEVICE To bit_cast(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    memcpy(&to, &from, sizeof(To));
    return to;
}

template <bool condition, class Then, class Else> struct Choose {
    using Type = Then;
};
template <class Then, class Else> struct Choose<false, Then, Else> {
    using Type = Else;
};

template <class, class> constexpr bool same = false;
template <class T> constexpr bool same<T, T> = true;

// What is kept of a subtree, in registers and as a partial result in memory.
template <class T> struct Accumulate {
    using Type = T;
};
template <> struct Accumulate<f16> {
    using Type = f32;
};
template <> struct Accumulate<bf16> {
    using Type = f32;
};
template <class T> using Accumulator = typename Accumulate<T>::Type;

// An element as an accumulator.

template <class T> DEVICE T widen(T element) { return element; }

DEVICE f32 widen(f16 element) {
    f32 wide;
    asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(element.bits));
    return wide;
}

DEVICE f32 widen(bf16 element) { return bit_cast<f32>(u32(element.bits) << 16); }

// A NaN becomes the canonical one: positive, quiet, of payload zero.

template <class T> DEVICE T canonical(T integer) { return integer; }

DEVICE f32 canonical(f32 number) { return number != number ? bit_cast<f32>(0x7FC00000u) : number; }

DEVICE f64 canonical(f64 number) { return number != number ? bit_cast<f64>(0x7FF8000000000000ull) : number; }

template <class T> DEVICE Complex<T> canonical(Complex<T> number) {
    return {canonical(number.re), canonical(number.im)};
}

template <class V, class I> DEVICE Located<V, I> canonical(Located<V, I> pair) {
    return {canonical(pair.value), pair.index};
}

// The last accumulator as an element: rounded to the nearest, ties to even, and canonical.
template <class T> struct Round {
    static DEVICE T of(T accumulator) { return canonical(accumulator); }
};

template <> struct Round<f16> {
    static DEVICE f16 of(f32 accumulator) {
        u16 bits;
        asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(accumulator));
        return {accumulator != accumulator ? u16(0x7E00) : bits};
    }
};

template <> struct Round<bf16> {
    // The instruction for this exists from sm_80 on only.
    static DEVICE bf16 of(f32 accumulator) {
        const u32 bits = bit_cast<u32>(accumulator);
        const u32 last_bit_kept = bits >> 16 & 1;
        // A carry out of the fraction goes into the exponent, as it should.
        const u32 rounded = (bits + 0x7FFF + last_bit_kept) >> 16;
        return {accumulator != accumulator ? u16(0x7FC0) : u16(rounded)};
    }
};

// Sums and products. Signed integers wrap around as unsigned ones, which C++ leaves to those alone; the short ones
// would be multiplied as signed, had they not been widened.

template <class T> using Wrapping = typename Choose<sizeof(T) == 8, u64, u32>::Type;

template <class T> DEVICE T add(T left, T right) { return T(Wrapping<T>(left) + Wrapping<T>(right)); }

DEVICE f32 add(f32 left, f32 right) { return left + right; }

DEVICE f64 add(f64 left, f64 right) { return left + right; }

template <class T> DEVICE Complex<T> add(Complex<T> left, Complex<T> right) {
    return {left.re + right.re, left.im + right.im};
}

template <class T> DEVICE T multiply(T left, T right) { return T(Wrapping<T>(left) * Wrapping<T>(right)); }

DEVICE f32 multiply(f32 left, f32 right) { return left * right; }

DEVICE f64 multiply(f64 left, f64 right) { return left * right; }

template <class T> DEVICE Complex<T> multiply(Complex<T> left, Complex<T> right) {
    return {left.re * right.re - left.im * right.im, left.re * right.im + left.im * right.re};
}

template <class T> DEVICE T divide(T sum, u32 divisor) { return sum / T(divisor); }

template <class T> DEVICE Complex<T> divide(Complex<T> sum, u32 divisor) {
    return {divide(sum.re, divisor), divide(sum.im, divisor)};
}

// Smallest and largest value: a NaN wins, and -0 is below +0.

template <class T> struct Bits {};
template <> struct Bits<f32> {
    using Type = u32;
    using Signed = i32;
};
template <> struct Bits<f64> {
    using Type = u64;
    using Signed = i64;
};

// The same value twice, but for equal ones, which differ in the sign of zero at most, and for unordered ones, of
// which one is NaN and stays so whatever bits are set besides.
template <class T> DEVICE T smaller_float(T left, T right) {
    using U = typename Bits<T>::Type;
    const T first = left < right ? left : right;
    const T second = right < left ? right : left;
    return bit_cast<T>(bit_cast<U>(first) | bit_cast<U>(second));
}

template <class T> DEVICE T larger_float(T left, T right) {
    using U = typename Bits<T>::Type;
    const T first = left > right ? left : right;
    const T second = right > left ? right : left;
    const T larger = bit_cast<T>(bit_cast<U>(first) & bit_cast<U>(second));
    return left != left || right != right ? left + right : larger;
}

template <class T> DEVICE T smaller(T left, T right) { return left < right ? left : right; }

DEVICE f32 smaller(f32 left, f32 right) { return smaller_float(left, right); }

DEVICE f64 smaller(f64 left, f64 right) { return smaller_float(left, right); }

template <class T> DEVICE T larger(T left, T right) { return left > right ? left : right; }

DEVICE f32 larger(f32 left, f32 right) { return larger_float(left, right); }

DEVICE f64 larger(f64 left, f64 right) { return larger_float(left, right); }

// An integer that orders as the value does, all NaNs being `nan`.

template <class T, class S> DEVICE T order(T integer, S) { return integer; }

template <class T> DEVICE typename Bits<T>::Signed order_float(T number, typename Bits<T>::Signed nan) {
    using S = typename Bits<T>::Signed;
    const S bits = bit_cast<S>(number);
    const S magnitude = S(~typename Bits<T>::Type(0) >> 1);
    return number != number ? nan : bits < 0 ? bits ^ magnitude : bits;
}

DEVICE i32 order(f32 number, i32 nan) { return order_float(number, nan); }

DEVICE i64 order(f64 number, i64 nan) { return order_float(number, nan); }

template <class I> struct Limits {};
template <> struct Limits<u32> {
    static constexpr i32 lowest = i32(0x80000000);
    static constexpr i32 highest = 0x7FFFFFFF;
};
template <> struct Limits<u64> {
    static constexpr i64 lowest = i64(0x8000000000000000);
    static constexpr i64 highest = 0x7FFFFFFFFFFFFFFF;
};

template <class V, class I> DEVICE Located<V, I> smaller(Located<V, I> left, Located<V, I> right) {
    const auto l = order(left.value, Limits<I>::lowest);
    const auto r = order(right.value, Limits<I>::lowest);
    return r < l || (r == l && right.index < left.index) ? right : left;
}

template <class V, class I> DEVICE Located<V, I> larger(Located<V, I> left, Located<V, I> right) {
    const auto l = order(left.value, Limits<I>::highest);
    const auto r = order(right.value, Limits<I>::highest);
    return r > l || (r == l && right.index < left.index) ? right : left;
}

// Truth.

template <class T> DEVICE bool is_true(T number) { return number != T(0); }

// Without the sign, no bit of zero is set, and of all else one is.

DEVICE bool is_true(f16 number) { return (number.bits & 0x7FFF) != 0; }

DEVICE bool is_true(bf16 number) { return (number.bits & 0x7FFF) != 0; }

// A functor has
//     Lane        what `combine` takes: the accumulator, or u32 for an operation on bits, which is then done on
//                 words, whatever the elements are;
//     load        makes an element an accumulator;
//     combine     need not commute: the left operand is of the lower ranks;
//     finish      the result, as an element, of so many leaves.

template <class T> struct Plain {
    using Lane = Accumulator<T>;
    static DEVICE Accumulator<T> load(T element) { return widen(element); }
    static DEVICE T finish(Accumulator<T> accumulator, u32) { return Round<T>::of(accumulator); }
};

template <class T> struct Sum : Plain<T> {
    using A = Accumulator<T>;
    static DEVICE A combine(A left, A right) { return add(left, right); }
};

template <class T> struct Prod : Plain<T> {
    using A = Accumulator<T>;
    static DEVICE A combine(A left, A right) { return multiply(left, right); }
};

template <class T> struct Avg : Sum<T> {
    static DEVICE T finish(Accumulator<T> sum, u32 leaves) { return Round<T>::of(divide(sum, leaves)); }
};

template <class T> struct BitAnd : Plain<T> {
    using Lane = u32;
    static DEVICE u32 combine(u32 left, u32 right) { return left & right; }
};

template <class T> struct BitOr : Plain<T> {
    using Lane = u32;
    static DEVICE u32 combine(u32 left, u32 right) { return left | right; }
};

template <class T> struct BitXor : Plain<T> {
    using Lane = u32;
    static DEVICE u32 combine(u32 left, u32 right) { return left ^ right; }
};

template <class T> struct Min : Plain<T> {
    using A = Accumulator<T>;
    static DEVICE A combine(A left, A right) { return smaller(left, right); }
};
template <> struct Min<bool> : BitAnd<bool> {};

template <class T> struct Max : Plain<T> {
    using A = Accumulator<T>;
    static DEVICE A combine(A left, A right) { return larger(left, right); }
};
template <> struct Max<bool> : BitOr<bool> {};

template <class T> struct MinLoc : Min<T> {};

template <class T> struct MaxLoc : Max<T> {};

// The accumulator is 0 or 1 of its type, so that logical operations are those on bits, of floats too. A bool is 0 or 1
// from the beginning, and so has `Min` and `Max` on bits as well.

template <class T, class OnBits> struct Logical : OnBits {
    static DEVICE Accumulator<T> load(T element) { return Accumulator<T>(is_true(element)); }
};
template <class OnBits> struct Logical<bool, OnBits> : OnBits {};

template <class T> struct LogicalAnd : Logical<T, BitAnd<T>> {};

template <class T> struct LogicalOr : Logical<T, BitOr<T>> {};

template <class T> struct LogicalXor : Logical<T, BitXor<T>> {};
