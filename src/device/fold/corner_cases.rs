//! What is documented at [`Op`], as values worked out by hand.

use half::{bf16, f16};

use super::{fold, split};
use crate::dtype::{Complex, Element, Located};
use crate::op::Op;

/// The reduction of one element per rank.
fn reduce<T: Element>(op: Op, elements: &[T]) -> T {
    let inputs: Vec<*const u8> = elements
        .iter()
        .map(|element| (element as *const T).cast())
        .collect();
    let mut result = elements[0];
    // SAFETY: each input is one element, and the output another.
    unsafe { fold(op, T::DTYPE, &inputs, (&raw mut result).cast(), 1) }.unwrap();
    result
}

const ARITHMETIC: [Op; 5] = [Op::Sum, Op::Prod, Op::Min, Op::Max, Op::Avg];

#[test]
fn the_canonical_order_splits_at_the_largest_power_of_two_below() {
    let splits = [
        (0, 0),
        (1, 0),
        (2, 1),
        (3, 2),
        (4, 2),
        (5, 4),
        (6, 4),
        (7, 4),
        (8, 4),
        (9, 8),
        (16, 8),
        (17, 16),
    ];
    for (inputs, left) in splits {
        assert_eq!(split(inputs), left, "{inputs} inputs");
    }
    assert_eq!(split(usize::MAX), 1 << (usize::BITS - 1));
}

#[test]
fn sums_are_rounded_in_the_canonical_order() {
    // Above 1e8 numbers of f32 are 8 apart, so that a lone 1 is lost.
    assert_eq!(reduce(Op::Sum, &[1e8f32, 1.0, -1e8, 1.0]), 0.0);
    assert_eq!(reduce(Op::Sum, &[1e8f32, 1.0, -1e8]), 0.0);
    assert_eq!(reduce(Op::Sum, &[1.0f32, 1e8, -1e8]), 0.0);
    assert_eq!(reduce(Op::Sum, &[1e8f32, -1e8, 1.0]), 1.0);
    // (a + b) + (c + d) comes before e, and e + f before both.
    assert_eq!(reduce(Op::Sum, &[1e8f32, 0.0, -1e8, 0.0, 1.0]), 1.0);
    assert_eq!(reduce(Op::Sum, &[1.0f32, 0.0, 0.0, 0.0, 1e8, -1e8]), 1.0);
    assert_eq!(reduce(Op::Sum, &[1.0f32, 0.0, 0.0, 0.0, 1e8, -1e8, 1.0]), 2.0);
    assert_eq!(reduce(Op::Sum, &[1.0f32, 0.0, 0.0, 0.0, 1e8, 1.0, -1e8]), 1.0);
}

#[test]
fn nan_results_are_canonical_on_any_number_of_ranks() {
    for op in ARITHMETIC {
        for (nan, other) in [
            (0xFFC1_2345, 1.0f32),
            (0x7F80_0001, f32::INFINITY),
            (0xFF80_0001, -0.0),
        ] {
            let nan = f32::from_bits(nan);
            for elements in [
                &[nan][..],
                &[nan, other],
                &[other, nan],
                &[other, other, nan],
                &[nan, nan, nan],
            ] {
                assert_eq!(
                    reduce(op, elements).to_bits(),
                    0x7FC0_0000,
                    "{op} of {elements:?}"
                );
            }
        }
        for nan in [
            0xFFF8_0000_0000_0000,
            0x7FF0_0000_0000_0001,
            0x7FFF_FFFF_FFFF_FFFF,
        ] {
            for elements in [
                &[f64::from_bits(nan)][..],
                &[f64::from_bits(nan), 1.0],
                &[1.0, f64::from_bits(nan)],
            ] {
                assert_eq!(
                    reduce(op, elements).to_bits(),
                    0x7FF8_0000_0000_0000,
                    "{op} of {elements:?}"
                );
            }
        }
        for nan in [0xFE00, 0x7C01, 0xFFFF].map(f16::from_bits) {
            for elements in [&[nan][..], &[nan, f16::ONE], &[f16::ONE, nan]] {
                assert_eq!(reduce(op, elements).to_bits(), 0x7E00, "{op} of {elements:?}");
            }
        }
        for nan in [0xFFC0, 0x7F81, 0xFFFF].map(bf16::from_bits) {
            for elements in [&[nan][..], &[nan, bf16::ONE], &[bf16::ONE, nan]] {
                assert_eq!(reduce(op, elements).to_bits(), 0x7FC0, "{op} of {elements:?}");
            }
        }
    }
    // Processors make a negative NaN of these.
    assert_eq!(
        reduce(Op::Sum, &[f32::INFINITY, f32::NEG_INFINITY]).to_bits(),
        0x7FC0_0000
    );
    assert_eq!(
        reduce(Op::Prod, &[f64::INFINITY, 0.0]).to_bits(),
        0x7FF8_0000_0000_0000
    );
    assert_eq!(
        reduce(Op::Avg, &[f16::INFINITY, f16::NEG_INFINITY]).to_bits(),
        0x7E00
    );

    let sum = reduce(
        Op::Sum,
        &[
            Complex::new(f32::INFINITY, 1.0),
            Complex::new(f32::NEG_INFINITY, 2.0),
        ],
    );
    assert_eq!((sum.re.to_bits(), sum.im), (0x7FC0_0000, 3.0));
    let alone = reduce(
        Op::MinLoc,
        &[Located::new(f64::from_bits(0xFFF0_0000_0000_0001), 3u64)],
    );
    assert_eq!((alone.value.to_bits(), alone.index), (0x7FF8_0000_0000_0000, 3));
}

#[test]
fn nan_wins_in_min_and_max() {
    for op in [Op::Min, Op::Max] {
        for other in [f32::NEG_INFINITY, -0.0, 5.0, f32::INFINITY] {
            assert!(reduce(op, &[other, f32::NAN]).is_nan());
            assert!(reduce(op, &[f32::NAN, other]).is_nan());
            assert!(reduce(op, &[-f32::NAN, other, other]).is_nan());
        }
    }
}

#[test]
fn min_and_max_are_not_each_other() {
    assert_eq!(
        (reduce(Op::Min, &[3i8, -5, 4]), reduce(Op::Max, &[3i8, -5, 4])),
        (-5, 4)
    );
    assert_eq!(
        (
            reduce(Op::Min, &[3u64, u64::MAX]),
            reduce(Op::Max, &[3u64, u64::MAX])
        ),
        (3, u64::MAX)
    );
    assert_eq!(
        (reduce(Op::Min, &[3.0, -5.0]), reduce(Op::Max, &[3.0, -5.0])),
        (-5.0, 3.0)
    );
    assert_eq!(
        (reduce(Op::Min, &[true, false]), reduce(Op::Max, &[true, false])),
        (false, true)
    );
    let (small, large) = (f16::from_f32(-2.0), f16::from_f32(6e-8));
    assert_eq!(
        (reduce(Op::Min, &[large, small]), reduce(Op::Max, &[large, small])),
        (small, large)
    );
}

#[test]
fn negative_zero_is_below_positive_zero() {
    for zeros in [[0.0f32, -0.0], [-0.0, 0.0]] {
        assert_eq!(reduce(Op::Min, &zeros).to_bits(), 0x8000_0000);
        assert_eq!(reduce(Op::Max, &zeros).to_bits(), 0);
        let zeros = zeros.map(f64::from);
        assert_eq!(reduce(Op::Min, &zeros).to_bits(), 1 << 63);
        assert_eq!(reduce(Op::Max, &zeros).to_bits(), 0);
        let zeros = zeros.map(bf16::from_f64);
        assert_eq!(reduce(Op::Min, &zeros).to_bits(), 0x8000);
        assert_eq!(reduce(Op::Max, &zeros).to_bits(), 0);
    }
    assert_eq!(reduce(Op::Sum, &[-0.0f32]).to_bits(), 0x8000_0000);
    assert_eq!(reduce(Op::Sum, &[-0.0f32, -0.0]).to_bits(), 0x8000_0000);
    assert_eq!(reduce(Op::Sum, &[-0.0f32, 0.0]).to_bits(), 0);
}

#[test]
fn integers_wrap() {
    assert_eq!(reduce(Op::Sum, &[127i8, 1]), -128);
    assert_eq!(reduce(Op::Sum, &[u8::MAX, 1, 1]), 1);
    assert_eq!(reduce(Op::Prod, &[200u8, 2]), 144);
    assert_eq!(reduce(Op::Prod, &[i64::MIN, -1]), i64::MIN);
    assert_eq!(reduce(Op::Sum, &[i32::MIN, i32::MIN]), 0);
    assert_eq!(reduce(Op::Prod, &[u16::MAX, u16::MAX]), 1);
}

#[test]
fn logical_operations_give_zero_or_one() {
    assert_eq!(reduce(Op::LogicalAnd, &[7i32]), 1);
    assert_eq!(reduce(Op::LogicalAnd, &[2i32, 4]), 1);
    assert_eq!(reduce(Op::LogicalAnd, &[2i32, 0, 4]), 0);
    assert_eq!(reduce(Op::LogicalOr, &[0u8, 128]), 1);
    assert_eq!(reduce(Op::LogicalXor, &[2i64, 4, 8]), 1);
    assert_eq!(reduce(Op::LogicalXor, &[2i64, 4, 8, 16]), 0);
    assert_eq!(reduce(Op::LogicalOr, &[0.0f32, f32::NAN]), 1.0);
    assert_eq!(reduce(Op::LogicalOr, &[-0.0f64, 0.0]).to_bits(), 0);
    assert_eq!(
        reduce(Op::LogicalAnd, &[f16::from_bits(1), f16::NEG_INFINITY]),
        f16::ONE
    );
    assert_eq!(reduce(Op::LogicalXor, &[bf16::NEG_ZERO]).to_bits(), 0);
    assert!(reduce(Op::LogicalXor, &[true, true, true]));
}

#[test]
fn bitwise_operations_keep_the_bits() {
    assert_eq!(reduce(Op::BitAnd, &[0b1100u8, 0b1010]), 0b1000);
    assert_eq!(reduce(Op::BitOr, &[0b1100i16, 0b1010]), 0b1110);
    assert_eq!(reduce(Op::BitXor, &[0b1100u64, 0b1010, 0b0001]), 0b0111);
    assert!(!reduce(Op::BitXor, &[true, true]));
    assert_eq!(reduce(Op::BitAnd, &[6i32]), 6);
}

#[test]
fn halves_are_rounded_once() {
    // Above 2048 numbers of f16 are 2 apart, and above 256 those of bf16.
    assert_eq!(
        reduce(Op::Sum, &[2048.0, 1.0, 1.0].map(f16::from_f32)).to_f32(),
        2050.0
    );
    assert_eq!(
        reduce(Op::Sum, &[256.0, 1.0, 1.0].map(bf16::from_f32)).to_f32(),
        258.0
    );
    // Beyond 65504 there is no f16.
    assert_eq!(reduce(Op::Sum, &[f16::MAX, f16::MAX, f16::MIN]), f16::MAX);
    assert_eq!(
        reduce(Op::Prod, &[f16::MAX, f16::MAX, f16::ZERO, f16::ZERO]),
        f16::ZERO
    );
    // A tie goes to the even neighbour.
    assert_eq!(
        reduce(Op::Sum, &[2048.0, 1.0].map(f16::from_f32)).to_f32(),
        2048.0
    );
    assert_eq!(
        reduce(Op::Sum, &[2050.0, 1.0].map(f16::from_f32)).to_f32(),
        2052.0
    );
}

#[test]
fn avg_divides_before_it_rounds() {
    assert_eq!(
        reduce(Op::Avg, &[2048.0, 1.0, 0.0].map(f16::from_f32)).to_f32(),
        683.0
    );
    assert_eq!(reduce(Op::Avg, &[f16::MAX, f16::MAX]), f16::MAX);
    assert_eq!(reduce(Op::Avg, &[1.0f32, 2.0, 4.0]), 7.0 / 3.0);
    assert_eq!(reduce(Op::Avg, &[2.5f64]), 2.5);
    assert_eq!(
        reduce(Op::Avg, &[Complex::new(1.0f64, 2.0), Complex::new(2.0, -6.0)]),
        Complex::new(1.5, -2.0)
    );
}

#[test]
fn complex_numbers_multiply_by_the_schoolbook_formula() {
    assert_eq!(
        reduce(Op::Prod, &[Complex::new(1.0f32, 2.0), Complex::new(3.0, 4.0)]),
        Complex::new(-5.0, 10.0)
    );
    assert_eq!(
        reduce(Op::Prod, &[Complex::new(0.0f64, 1.0); 4]),
        Complex::new(1.0, 0.0)
    );
    // Not fused: the square of 1 + 2^-23 is rounded, to 1 + 2^-22, before the subtraction.
    let number = Complex::new(1.0 + f32::EPSILON, 1.0);
    assert_eq!(reduce(Op::Prod, &[number, number]).re, 2.0 * f32::EPSILON);
    // No repair of infinities as in Annex G of the C standard.
    let infinite = reduce(
        Op::Prod,
        &[Complex::new(f32::INFINITY, f32::INFINITY), Complex::new(1.0, 1.0)],
    );
    assert_eq!((infinite.re.to_bits(), infinite.im), (0x7FC0_0000, f32::INFINITY));
}

#[test]
fn locations_of_ties_are_the_lowest_and_nan_comes_first() {
    let located = |value: f32, index: u32| Located::new(value, index);
    assert_eq!(
        reduce(Op::MinLoc, &[located(2.0, 0), located(1.0, 9), located(1.0, 4)]),
        located(1.0, 4)
    );
    assert_eq!(
        reduce(Op::MaxLoc, &[located(2.0, 7), located(1.0, 1), located(2.0, 3)]),
        located(2.0, 3)
    );
    for op in [Op::MinLoc, Op::MaxLoc] {
        let elements = [
            located(-f32::NAN, 8),
            located(f32::INFINITY, 0),
            located(f32::NAN, 6),
            located(-1e9, 1),
        ];
        let nan = reduce(op, &elements);
        assert_eq!((nan.value.to_bits(), nan.index), (0x7FC0_0000, 6));
    }
    let zeros = [located(0.0, 1), located(-0.0, 2)];
    let (smallest, largest) = (reduce(Op::MinLoc, &zeros), reduce(Op::MaxLoc, &zeros));
    assert_eq!((smallest.value.to_bits(), smallest.index), (0x8000_0000, 2));
    assert_eq!((largest.value.to_bits(), largest.index), (0, 1));
    let wide = |value: i64, index: u64| Located::new(value, index);
    assert_eq!(
        reduce(Op::MinLoc, &[wide(i64::MAX, 2), wide(i64::MIN, u64::MAX)]),
        wide(i64::MIN, u64::MAX)
    );
    assert_eq!(
        reduce(Op::MaxLoc, &[wide(-1, u64::MAX), wide(-1, u64::MAX - 1)]),
        wide(-1, u64::MAX - 1)
    );
}
