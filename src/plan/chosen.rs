//! Which algorithm was chosen, and why.

use std::fmt;

use super::table::{Ladders, Source};
use super::{Algorithm, DIRECT_FRAME_RANKS, FRAME_PAYLOAD_BYTES, Question};

/// Why an operation takes its algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The data are so short.
    Rides,
    /// There is no other.
    Only,
    /// The elements of all ranks are on one GPU.
    OneGpu,
    /// They are on GPUs that reach each other's memory.
    Neighbours,
    /// What the program says is for several nodes.
    OneLevel,
    /// What the data's length would choose is for more ranks.
    TooFew { wanted: Algorithm, least: usize },
    /// The length, which is at least the one and below the other, says so.
    Length {
        from: usize,
        below: Option<usize>,
        source: Source,
    },
}

const NEIGHBOURS: &str = "the ranks' GPUs reach each other's memory";

/// Who says so.
fn says(source: Source, ladders: &Ladders) -> String {
    let origin = ladders.table().origin();
    match source {
        Source::Default => format!("the default: {origin}"),
        Source::NotMeasured => format!("the default: {origin} has nothing for this"),
        Source::Measured { ranks } => format!("as measured with {ranks} ranks: {origin}"),
        Source::Program => "as the program says".to_owned(),
    }
}

/// Who folds so many bytes of elements on a GPU, and why.
fn folds(bytes: usize, ladders: &Ladders) -> String {
    let limit = ladders.host_fold();
    let (who, are) = match bytes <= limit.most {
        true => ("the host folds", "at most"),
        false => ("kernels fold", "more than"),
    };
    format!(
        "{who} {bytes} bytes, {are} {}, {}",
        limit.most,
        says(limit.source, ladders)
    )
}

/// An algorithm, and why it is this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub algorithm: Algorithm,
    pub reason: Reason,
}

/// The algorithm that an operation takes, and why; see
/// [`Communicator::explain`](crate::Communicator::explain).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChosenAlgorithm {
    algorithm: Algorithm,
    reason: String,
}

impl ChosenAlgorithm {
    pub(crate) fn new(question: Question, planned: Planned, ladders: &Ladders) -> ChosenAlgorithm {
        let Question {
            operation,
            ranks,
            bytes,
            on_device,
            ..
        } = question;
        let reason = match planned.reason {
            Reason::Rides => format!(
                "{bytes} bytes ride in the frames of the agreement, as up to {FRAME_PAYLOAD_BYTES} do among at most \
                 {DIRECT_FRAME_RANKS} ranks"
            ),
            Reason::Only => format!("{} has no other", operation.name()),
            Reason::OneGpu => "the elements of all ranks are on one GPU".to_owned(),
            Reason::Neighbours => NEIGHBOURS.to_owned(),
            Reason::OneLevel => format!(
                "{} is for several nodes of which one has all ranks of a subtree of several",
                Algorithm::Levels
            ),
            Reason::TooFew { wanted, least } => {
                format!("{wanted} is for {least} ranks or more, and there are {ranks}")
            }
            Reason::Length { from, below, source } => {
                let length = match (from, below) {
                    (0, None) => "at all lengths".to_owned(),
                    (0, Some(below)) => format!("{bytes} bytes are below {below}"),
                    (from, None) => format!("{bytes} bytes are at least {from}"),
                    (from, Some(below)) => format!("{bytes} bytes are at least {from} and below {below}"),
                };
                format!("{length}, {}", says(source, ladders))
            }
        };
        let reason = match (planned.algorithm, planned.reason) {
            (Algorithm::OneShot | Algorithm::TwoShot, Reason::Length { .. } | Reason::TooFew { .. }) => {
                format!("{NEIGHBOURS}, and {reason}")
            }
            (Algorithm::Direct | Algorithm::Blocks | Algorithm::Levels, _)
                if on_device && operation.folds() =>
            {
                format!("{reason}; {}", folds(bytes, ladders))
            }
            _ => reason,
        };
        ChosenAlgorithm {
            algorithm: planned.algorithm,
            reason,
        }
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Why it is this one, in a few words: by which length, and who says so.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for ChosenAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.algorithm, self.reason)
    }
}
