//! What ranks send and should get: elements that differ by rank and place, repeated after a prime number of them.
//!
//! So buffers of any length are filled and compared a period at a time, and an element that has come to a wrong place is
//! noticed, unless it is away by a multiple of the period.

use std::ops::Range;

use warpcomm::Op;

use super::element::{Sample, Seed};

/// A prime, so that no length of blocks or pieces is a multiple of it.
const PERIOD: usize = 4093;

/// What elements are made for.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub ranks: usize,
    pub op: Option<Op>,
    /// See [`Seed::wraps`].
    pub wraps: bool,
    /// How often buffers were filled.
    pub round: u64,
}

/// Consecutive elements of a buffer.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// Those of one rank as they are, or the reduction of those of several.
    pub of: Range<usize>,
    /// At which of their buffers' elements it starts.
    pub from: usize,
    pub elements: usize,
}

/// An element that is not what it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Wrong {
    pub element: usize,
    pub found: String,
    pub expected: String,
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Wrong {
            element,
            found,
            expected,
        } = self;
        write!(f, "element {element} is {found}, and should be {expected}")
    }
}

impl Kind {
    fn seed(&self, rank: usize, at: usize) -> Seed {
        let mixed = (at as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)
            ^ (rank as u64 + 1).wrapping_mul(0xD1B5_4A32_D192_ED03)
            ^ (self.round + 1).wrapping_mul(0x8CB9_2BA7_2F3D_8DD7);
        let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        Seed {
            bits: mixed ^ (mixed >> 32),
            ranks: self.ranks,
            is_chosen: at % self.ranks == rank,
            wraps: self.wraps,
        }
    }

    fn element<T: Sample>(&self, rank: usize, at: usize) -> T {
        let seed = self.seed(rank, at);
        match self.op {
            Some(op) => T::operand(op, seed),
            None => T::any(seed.bits),
        }
    }

    /// One period of a segment, from its first element on.
    fn period<T: Sample>(&self, segment: &Segment) -> Vec<T> {
        let places = (segment.from..).take(PERIOD.min(segment.elements));
        let places = places.map(|at| at % PERIOD);
        match (self.op, segment.of.len()) {
            (Some(op), 2..) => places
                .filter_map(|at| {
                    let operands: Vec<T> = segment.of.clone().map(|rank| self.element(rank, at)).collect();
                    T::reduce(op, &operands)
                })
                .collect(),
            // Of one operand too, a logical operation gives a truth.
            (Some(op), _) => places
                .filter_map(|at| T::reduce(op, &[self.element(segment.of.start, at)]))
                .collect(),
            (None, _) => places.map(|at| self.element(segment.of.start, at)).collect(),
        }
    }

    /// What a rank sends.
    pub fn sent<T: Sample>(&self, rank: usize, elements: usize) -> Vec<T> {
        let period: Vec<T> = (0..PERIOD.min(elements))
            .map(|at| self.element(rank, at))
            .collect();
        repeated(&period, elements).collect()
    }

    /// Other elements everywhere than there should be.
    pub fn spoiled<T: Sample>(&self, segments: &[Segment], elements: usize) -> Vec<T> {
        let mut all = Vec::with_capacity(elements);
        for segment in segments {
            let period: Vec<T> = self
                .period::<T>(segment)
                .into_iter()
                .map(Sample::another)
                .collect();
            all.extend(repeated(&period, segment.elements));
        }
        // Nothing is written behind them.
        let rest = elements.saturating_sub(all.len());
        all.extend((0..rest).map(|at| T::any(at as u64)));
        all
    }

    /// The first element of a buffer that is not what it should be.
    pub fn wrong<T: Sample>(&self, segments: &[Segment], found: &[T]) -> Option<Wrong> {
        let mut start = 0;
        for segment in segments {
            let period: Vec<T> = self.period(segment);
            let end = start + segment.elements;
            let Some(part) = found.get(start..end) else {
                return Some(Wrong {
                    element: found.len(),
                    found: "missing".to_owned(),
                    expected: format!("one of {end}"),
                });
            };
            for (number, chunk) in part.chunks(PERIOD).enumerate() {
                let expected = &period[..chunk.len().min(period.len())];
                if chunk == expected {
                    continue;
                }
                let at = (0..chunk.len()).find(|&at| expected.get(at) != Some(&chunk[at]))?;
                return Some(Wrong {
                    element: start + number * PERIOD + at,
                    found: format!("{:?}", chunk[at]),
                    expected: expected
                        .get(at)
                        .map_or_else(|| "none".to_owned(), |element| format!("{element:?}")),
                });
            }
            start = end;
        }
        None
    }
}

fn repeated<T: Copy>(period: &[T], elements: usize) -> impl Iterator<Item = T> {
    period.iter().copied().cycle().take(elements)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: Kind = Kind {
        ranks: 3,
        op: Some(Op::Sum),
        wraps: true,
        round: 0,
    };
    const COPY: Kind = Kind { op: None, ..SUM };

    #[test]
    fn each_wrong_element_is_found_where_it_is() {
        let segments = [
            Segment {
                of: 1..2,
                from: 5,
                elements: 9000,
            },
            Segment {
                of: 2..3,
                from: 0,
                elements: 3,
            },
        ];
        let mut right: Vec<u32> = COPY.sent::<u32>(1, 9005)[5..].to_vec();
        right.extend(COPY.sent::<u32>(2, 3));
        assert_eq!(COPY.wrong(&segments, &right), None);
        for at in [0, 1, 4092, 4093, 8999, 9000, 9002] {
            let mut tampered = right.clone();
            tampered[at] = tampered[at].another();
            let wrong = COPY.wrong(&segments, &tampered).unwrap();
            assert_eq!(wrong.element, at);
            assert_eq!(wrong.expected, right[at].to_string());
        }
        // Moved by an element, shortened, or of another round.
        assert!(
            COPY.wrong(&segments, &[&right[1..], &right[..1]].concat())
                .is_some()
        );
        assert_eq!(COPY.wrong(&segments, &right[..9001]).unwrap().found, "missing");
        let later = Kind { round: 1, ..COPY };
        assert!(later.wrong(&segments, &right).is_some());
    }

    #[test]
    fn what_is_spoiled_is_wrong_everywhere() {
        let segments = [Segment {
            of: 0..3,
            from: 4000,
            elements: 200,
        }];
        let spoiled: Vec<i16> = SUM.spoiled(&segments, 200);
        let reduced = |at: usize| {
            let operands: Vec<i16> = (0..3).map(|rank| SUM.sent::<i16>(rank, 4300)[at]).collect();
            i16::reduce(Op::Sum, &operands).unwrap()
        };
        let mut right: Vec<i16> = (4000..4200).map(reduced).collect();
        assert_eq!(SUM.wrong(&segments, &right), None);
        for at in 0..200 {
            let kept = std::mem::replace(&mut right[at], spoiled[at]);
            assert_eq!(SUM.wrong(&segments, &right).map(|wrong| wrong.element), Some(at));
            right[at] = kept;
        }
    }
}
