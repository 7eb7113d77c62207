//! What describes a message: its tag, its source, and the status of its receive.

use std::fmt;

use crate::dtype::Dtype;

/// The number by which a receive chooses among messages: 0 to at least 32,767.
///
/// MPI standard, section 3.2.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag(pub i32);

impl Tag {
    /// Any tag, in a receive or probe (`MPI_ANY_TAG`).
    pub const ANY: Tag = Tag(-1);
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Tag::ANY => f.write_str("any tag"),
            Tag(tag) => write!(f, "tag {tag}"),
        }
    }
}

/// The rank that a receive takes its message from. A `usize` converts to [`Source::Rank`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Whichever rank's matching message comes first (`MPI_ANY_SOURCE`).
    Any,
    /// This rank.
    Rank(usize),
}

impl From<usize> for Source {
    fn from(rank: usize) -> Source {
        Source::Rank(rank)
    }
}

/// What a message turned out to be; of a send, what was sent and to whom.
///
/// MPI standard, section 3.2.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    pub(crate) source: usize,
    pub(crate) tag: Tag,
    pub(crate) count: u64,
    pub(crate) dtype: Dtype,
}

impl Status {
    /// The rank that sent the message; of a send, the rank it went to.
    pub fn source(&self) -> usize {
        self.source
    }

    /// The tag of the message.
    pub fn tag(&self) -> Tag {
        self.tag
    }

    /// The elements of the message, which may be fewer than the receive buffer has.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The type of the elements.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }
}
