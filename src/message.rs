//! What describes a message: its tag, its source, and the status of its receive.

use std::fmt;

use crate::dtype::Dtype;

/// The rank of nobody (`MPI_PROC_NULL`), to send to and to receive from.
///
/// Such a message is over at once: the buffer is left alone, and the status has this source,
/// [`Tag::ANY`] and a count of 0. So the ranks at an edge need no case of their own. The number is one that
/// arithmetic on ranks does not reach by accident: what wraps around below 0 is out of range.
///
/// MPI standard, section 3.11.
///
/// ```
/// use warpcomm::{Communicator, PROC_NULL, Tag};
///
/// let ghosts = Communicator::threads(3, |comm| {
///     let (rank, size) = (comm.rank(), comm.size());
///     let left = rank.checked_sub(1).unwrap_or(PROC_NULL);
///     let right = if rank + 1 < size { rank + 1 } else { PROC_NULL };
///     let mut ghost = 100;
///     comm.sendrecv(&(rank as i32), right, Tag(0), &mut ghost, left, Tag(0))?;
///     Ok::<i32, warpcomm::Error>(ghost)
/// })?;
/// assert_eq!(ghosts.into_iter().collect::<Result<Vec<_>, _>>()?, [100, 0, 1]);
/// # Ok::<(), warpcomm::Error>(())
/// ```
pub const PROC_NULL: usize = usize::MAX / 2;

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
    /// This rank, or nobody if it is [`PROC_NULL`].
    Rank(usize),
}

impl From<usize> for Source {
    fn from(rank: usize) -> Source {
        Source::Rank(rank)
    }
}

/// What a message holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Elements(Dtype),
    /// One value of any type, as bytes.
    Object,
}

impl Content {
    /// No type of elements has this code.
    const OBJECT: u8 = u8::MAX;

    /// The code in an envelope.
    #[inline]
    pub(crate) fn code(self) -> u8 {
        match self {
            Content::Elements(dtype) => dtype.code(),
            Content::Object => Self::OBJECT,
        }
    }

    #[inline]
    pub(crate) fn from_code(code: u8) -> Option<Content> {
        match code {
            Self::OBJECT => Some(Content::Object),
            code => Dtype::from_code(code).map(Content::Elements),
        }
    }

    /// The type of what is counted: an object is counted in bytes.
    #[inline]
    pub(crate) fn dtype(self) -> Dtype {
        match self {
            Content::Elements(dtype) => dtype,
            Content::Object => Dtype::U8,
        }
    }

    /// So many of it, in words.
    pub(crate) fn describe(self, count: usize) -> String {
        match self {
            Content::Elements(dtype) => format!("a message of {count} {dtype}"),
            Content::Object => format!("an object of {count} bytes"),
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Content::Elements(dtype) => dtype.fmt(f),
            Content::Object => f.write_str("an object"),
        }
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
    pub(crate) cancelled: bool,
}

impl Status {
    /// What a message from or to nobody is.
    pub(crate) fn null(dtype: Dtype) -> Status {
        Status {
            source: PROC_NULL,
            tag: Tag::ANY,
            count: 0,
            dtype,
            cancelled: false,
        }
    }

    /// What becomes of a receive that was cancelled.
    pub(crate) fn cancelled(dtype: Dtype) -> Status {
        Status {
            cancelled: true,
            ..Status::null(dtype)
        }
    }

    /// The rank that sent the message; of a send, the rank it went to. [`PROC_NULL`] where there was none.
    pub fn source(&self) -> usize {
        self.source
    }

    /// The tag of the message.
    pub fn tag(&self) -> Tag {
        self.tag
    }

    /// The elements of the message, which may be fewer than the receive buffer has; the bytes of an object.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The type of the elements; of an object, which is bytes, [`Dtype::U8`].
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Whether the receive was cancelled before a message matched it; see
    /// [`Request::cancel`](crate::Request::cancel).
    ///
    /// MPI standard, section 3.8.4 (`MPI_Test_cancelled`).
    pub fn is_cancelled(&self) -> bool {
        self.cancelled
    }
}
