//! The choices that there are: which operations can take several algorithms, and from which length on they take the
//! longer ones where nothing was measured.

use super::{Algorithm, Operation};

/// An algorithm that an operation can take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub algorithm: Algorithm,
    /// The bytes from which on it is taken where nothing was measured: by up to [`FEW_RANKS`], and by more.
    from: [usize; 2],
    /// Among fewer ranks it would do what the first does, with more messages.
    pub least_ranks: usize,
}

/// So many ranks may have another default than more of them.
const FEW_RANKS: usize = 4;

impl Candidate {
    /// The bytes from which on so many ranks take it where nothing was measured.
    pub(crate) fn from(&self, ranks: usize) -> usize {
        self.from[usize::from(ranks > FEW_RANKS)]
    }
}

/// Stamps the table of the choices into an enum. A row is the operation, the algorithm that any number of ranks can take
/// for any length, and those that follow it: from how many bytes on by default, of up to 4 ranks and of more, and among how
/// many ranks at least.
macro_rules! choices {
    ($($variant:ident of $operation:ident: $first:ident $(, $next:ident from $few:expr, $many:expr, among $ranks:literal)+;)*) => {
        /// An operation that can take several algorithms, under some circumstances.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Choice {
            $($variant,)*
        }

        impl Choice {
            pub(crate) const ALL: &'static [Choice] = &[$(Choice::$variant,)*];

            /// What there is to choose from, the one for the shortest data first.
            pub(crate) fn candidates(self) -> &'static [Candidate] {
                match self {
                    $(Choice::$variant => &[
                        Candidate { algorithm: Algorithm::$first, from: [0; 2], least_ranks: 0 },
                        $(Candidate {
                            algorithm: Algorithm::$next,
                            from: [$few, $many],
                            least_ranks: $ranks,
                        },)+
                    ],)*
                }
            }

            /// The name of the operation.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Choice::$variant => Operation::$operation.name(),)*
                }
            }
        }
    };
}

const KIB: usize = 1 << 10;

choices! {
    Bcast of Bcast: Tree, Blocks from 256 * KIB, 256 * KIB, among 3;
    Reduce of Reduce: Direct, Blocks from 16 * KIB, 16 * KIB, among 2, Levels from 64 * KIB, 64 * KIB, among 3;
    Allreduce of Allreduce: Direct, Blocks from 16 * KIB, 16 * KIB, among 2, Levels from 64 * KIB, 64 * KIB, among 3;
    // Where GPUs reach each other's memory.
    NeighboursReduce of Reduce: OneShot, TwoShot from 512 * KIB + 1, 256 * KIB + 1, among 3;
    NeighboursAllreduce of Allreduce: OneShot, TwoShot from 512 * KIB + 1, 256 * KIB + 1, among 3;
}

impl Choice {
    pub(crate) const COUNT: usize = Choice::ALL.len();

    /// The choice that an operation has, if it has one.
    #[inline]
    pub(crate) fn of(operation: Operation) -> Option<Choice> {
        match operation {
            // Objects are broadcast, and the result of their reduction is too.
            Operation::Bcast | Operation::BcastObject | Operation::AllreduceObject => Some(Choice::Bcast),
            Operation::Reduce => Some(Choice::Reduce),
            Operation::Allreduce => Some(Choice::Allreduce),
            _ => None,
        }
    }

    /// The choice that an operation has among ranks whose GPUs reach each other's memory, if it has one there: the others
    /// read every element once, and write it to one rank.
    pub(crate) fn of_neighbours(operation: Operation) -> Option<Choice> {
        match operation {
            Operation::Reduce => Some(Choice::NeighboursReduce),
            Operation::Allreduce => Some(Choice::NeighboursAllreduce),
            _ => None,
        }
    }

    /// The choice of the operation of this name that has such an algorithm.
    pub(crate) fn with(name: &str, algorithm: Algorithm) -> Option<Choice> {
        let has_it = |choice: &Choice| choice.name() == name && choice.candidate(algorithm).is_some();
        Choice::ALL.iter().copied().find(has_it)
    }

    /// Whether ranks that have two levels have more to choose from, if they do.
    pub(crate) fn with_levels(self, has_levels: bool) -> bool {
        has_levels && self.candidate(Algorithm::Levels).is_some()
    }

    /// Whether it is one of ranks whose GPUs reach each other's memory.
    pub(crate) fn is_of_neighbours(self) -> bool {
        self.candidate(Algorithm::OneShot).is_some()
    }

    pub(crate) fn from_code(code: u8) -> Option<Choice> {
        Choice::ALL.get(usize::from(code)).copied()
    }

    /// An algorithm among what there is to choose from.
    pub(crate) fn candidate(self, algorithm: Algorithm) -> Option<&'static Candidate> {
        self.candidates()
            .iter()
            .find(|candidate| candidate.algorithm == algorithm)
    }

    /// The algorithm that works for all lengths and any number of ranks.
    pub(crate) fn first(self) -> Algorithm {
        self.candidates()[0].algorithm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_are_read_as_they_are_written() {
        for (position, choice) in Choice::ALL.iter().copied().enumerate() {
            assert_eq!(choice as usize, position);
            assert_eq!(Choice::from_code(position as u8), Some(choice));
            for candidate in choice.candidates() {
                assert_eq!(Choice::with(choice.name(), candidate.algorithm), Some(choice));
            }
        }
        assert_eq!(Choice::from_code(99), None);
        assert_eq!(Choice::with("gather", Algorithm::Direct), None);
        assert_eq!(Choice::with("bcast", Algorithm::OneShot), None);
    }

    #[test]
    fn the_first_works_always_and_the_others_come_later() {
        for choice in Choice::ALL {
            let candidates = choice.candidates();
            assert_eq!(candidates[0].least_ranks, 0);
            for ranks in [2, FEW_RANKS, FEW_RANKS + 1] {
                assert_eq!(candidates[0].from(ranks), 0);
                assert!(
                    candidates
                        .windows(2)
                        .all(|pair| pair[0].from(ranks) < pair[1].from(ranks))
                );
            }
        }
    }
}
