//! The choices that there are: which operations can take several algorithms, and from which length on they take the
//! longer ones where nothing was measured.

use super::{Algorithm, Operation};

/// An algorithm that an operation can take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub algorithm: Algorithm,
    /// The bytes from which on it is taken where nothing was measured.
    pub from: usize,
    /// Among fewer ranks it would do what the first does, with more messages.
    pub least_ranks: usize,
}

/// Stamps the table of the choices into an enum. A row is the operation, the algorithm that any number of ranks can take
/// for any length, and those that follow it: from how many bytes on by default, and among how many ranks at least.
macro_rules! choices {
    ($($variant:ident: $first:ident $(, $next:ident from $from:literal KiB among $ranks:literal)+;)*) => {
        /// An operation that can take several algorithms.
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
                        Candidate { algorithm: Algorithm::$first, from: 0, least_ranks: 0 },
                        $(Candidate {
                            algorithm: Algorithm::$next,
                            from: $from << 10,
                            least_ranks: $ranks,
                        },)+
                    ],)*
                }
            }

            /// The name of the operation.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Choice::$variant => Operation::$variant.name(),)*
                }
            }
        }
    };
}

choices! {
    Bcast: Tree, Blocks from 256 KiB among 3;
    Reduce: Direct, Blocks from 16 KiB among 2, Levels from 64 KiB among 3;
    Allreduce: Direct, Blocks from 16 KiB among 2, Levels from 64 KiB among 3;
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

    pub(crate) fn of_name(name: &str) -> Option<Choice> {
        Choice::ALL.iter().copied().find(|choice| choice.name() == name)
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
            assert_eq!(Choice::of_name(choice.name()), Some(choice));
        }
        assert_eq!((Choice::from_code(99), Choice::of_name("gather")), (None, None));
    }

    #[test]
    fn the_first_works_always_and_the_others_come_later() {
        for choice in Choice::ALL {
            let candidates = choice.candidates();
            assert_eq!((candidates[0].from, candidates[0].least_ranks), (0, 0));
            assert!(candidates.windows(2).all(|pair| pair[0].from < pair[1].from));
        }
    }
}
