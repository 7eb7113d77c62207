//! The one error type of the crate.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::message::PROC_NULL;

/// A result whose error is an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, for programs that decide on it.
///
/// Every way to fail that this crate knows is one of these kinds; the [`Display`](fmt::Display)
/// text of the [`Error`] says the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument cannot be used: a rank, root or tag out of range, a buffer too short for what
    /// the caller asked for, blocks that overlap.
    InvalidArgument,
    /// The message holds more elements than the receive buffer. Nothing was written.
    Truncated,
    /// Ranks disagree about the operation they are in, or sender and receiver about the element
    /// type or the type of an object; what was received is no object at all.
    Mismatch,
    /// The operation exists, but not for this data type, placement, thread level or build.
    Unsupported,
    /// A device reported an error: the GPU or its driver, or the host that has no more memory.
    Device,
    /// The MPI library reported an error. Where it kept ranks from agreeing on a collective, the communicator is
    /// poisoned.
    Mpi,
    /// The deadline passed; the communicator is poisoned.
    Timeout,
    /// A peer reported an error of its own and could not do its part.
    PeerFailed,
    /// A peer is gone; the communicator is poisoned.
    PeerLost,
}

impl ErrorKind {
    /// All kinds, in the order of their codes on the wire.
    const ALL: [ErrorKind; 9] = [
        ErrorKind::InvalidArgument,
        ErrorKind::Truncated,
        ErrorKind::Mismatch,
        ErrorKind::Unsupported,
        ErrorKind::Device,
        ErrorKind::Mpi,
        ErrorKind::Timeout,
        ErrorKind::PeerFailed,
        ErrorKind::PeerLost,
    ];

    /// The code of this kind in an envelope or a frame.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    /// The kind behind a code from the wire, if there is one.
    pub(crate) fn from_code(code: u8) -> Option<ErrorKind> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// An error of an operation: its kind, the operation, this rank, the peer if there is one, the
/// sizes in question and the cause.
///
/// ```
/// use warpcomm::{Communicator, ErrorKind, Tag};
///
/// let errors = Communicator::threads(2, |comm| comm.send(&[1.0f32], 5, Tag(0)).unwrap_err())?;
/// assert_eq!(errors[0].kind(), ErrorKind::InvalidArgument);
/// assert_eq!(
///     errors[1].to_string(),
///     "send on rank 1 to rank 5: the communicator has 2 ranks, 0 to 1"
/// );
/// # Ok::<(), warpcomm::Error>(())
/// ```
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    operation: &'static str,
    rank: Option<usize>,
    communicator: Option<Arc<str>>,
    peer: Option<Peer>,
    message: String,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// Which side of the operation the peer is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    From(usize),
    FromAny,
    To(usize),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::From(PROC_NULL) => f.write_str("from nobody"),
            Peer::To(PROC_NULL) => f.write_str("to nobody"),
            Peer::From(rank) => write!(f, "from rank {rank}"),
            Peer::FromAny => f.write_str("from any rank"),
            Peer::To(rank) => write!(f, "to rank {rank}"),
        }
    }
}

impl Error {
    /// An error whose operation and ranks are filled in by [`at`](Self::at) where they are known.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error(Box::new(Inner {
            kind,
            operation: "",
            rank: None,
            communicator: None,
            peer: None,
            message: message.into(),
            source: None,
        }))
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::InvalidArgument, message)
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Unsupported, message)
    }

    pub(crate) fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Error {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// Names the operation, unless a deeper layer has done so: one that no rank in particular is in.
    pub(crate) fn of(mut self, operation: &'static str) -> Error {
        if self.0.operation.is_empty() {
            self.0.operation = operation;
        }
        self
    }

    /// Names the operation and this rank, unless a deeper layer has done so.
    pub(crate) fn at(self, operation: &'static str, rank: usize) -> Error {
        let mut error = self.of(operation);
        error.0.rank.get_or_insert(rank);
        error
    }

    /// Names the communicator, if it has a name.
    pub(crate) fn on(mut self, communicator: Option<&Arc<str>>) -> Error {
        if self.0.communicator.is_none() {
            self.0.communicator = communicator.cloned();
        }
        self
    }

    pub(crate) fn peer(mut self, peer: Peer) -> Error {
        self.0.peer.get_or_insert(peer);
        self
    }

    /// What went wrong, for programs that decide on it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The same error for a second owner.
    pub(crate) fn duplicate(&self) -> Error {
        Error(self.0.clone())
    }

    /// The text without operation and ranks, for reports that name them already.
    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            operation,
            rank,
            communicator,
            peer,
            message,
            ..
        } = &*self.0;
        if !operation.is_empty() {
            f.write_str(operation)?;
            if let Some(rank) = rank {
                write!(f, " on rank {rank}")?;
            }
            if let Some(communicator) = communicator {
                write!(f, " of {communicator:?}")?;
            }
            if let Some(peer) = peer {
                write!(f, " {peer}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)?;
        if let Some(source) = &self.0.source {
            write!(f, " ({source})")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// The longest prefix of at most `bytes` bytes that is whole characters: texts of errors and reports have limited room
/// on the wire.
pub(crate) fn shortened(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len()))
        .rev()
        .find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(shortened("aé", 2), "a");
        assert_eq!(shortened("aé", 3), "aé");
        assert_eq!(shortened("", 3), "");
    }

    #[test]
    fn codes_survive_the_wire() {
        for kind in ErrorKind::ALL {
            assert_eq!(ErrorKind::from_code(kind.code()), Some(kind));
        }
        assert_eq!(ErrorKind::from_code(ErrorKind::ALL.len() as u8), None);
    }

    #[test]
    fn names_operation_ranks_and_cause() {
        let error = Error::new(ErrorKind::Truncated, "8 f32 do not fit into 4")
            .at("recv", 2)
            .peer(Peer::From(1))
            .with_source(std::io::Error::other("cause"));
        assert_eq!(
            error.to_string(),
            "recv on rank 2 from rank 1: 8 f32 do not fit into 4"
        );
        assert_eq!(StdError::source(&error).unwrap().to_string(), "cause");
        assert_eq!(
            error.at("allreduce", 0).to_string(),
            "recv on rank 2 from rank 1: 8 f32 do not fit into 4"
        );
    }
}
