//! Bytes between ranks, behind one private trait; a transport is one file here.
//!
//! | transport | carries messages | wraps |
//! |---|---|---|
//! | [`mpi`] | between processes, through MPI | |
//! | [`local`] | between threads of one process | |
//! | [`faulty`] | wrongly, on purpose, for tests | any other |

pub(crate) mod faulty;
pub(crate) mod local;
#[cfg(feature = "mpi")]
pub(crate) mod mpi;

use std::sync::Arc;

use crate::error::{Error, Result};

/// An isolated space of messages among a group of ranks.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// The transport's own name for it.
    pub handle: u64,
    /// This rank's number in the group.
    pub rank: usize,
    /// The members' ranks in the transport's world, in the order of their ranks in the group.
    pub group: Arc<[usize]>,
}

/// A send or receive that a transport has begun.
///
/// It is used up by the [`test`](Transport::test) that reports its end, or the
/// [`abandon`](Transport::abandon) whose outcome is not [`Tested::Pending`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ticket(pub u64);

/// How far a send or receive got when it was posted.
#[derive(Debug)]
pub(crate) enum Posted {
    Done(Delivery),
    Pending(Ticket),
}

/// What a completed send or receive moved; for a send, `source` is the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    pub source: usize,
    pub tag: i32,
    pub bytes: usize,
}

/// How far a send or receive is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tested {
    /// The transport may still read or write the memory; the ticket stays valid.
    Pending,
    /// Its message was moved.
    Completed(Delivery),
    /// It was taken back: nothing was moved, and the memory is free again.
    Released,
}

/// A new context, at once or when a ticket completes.
#[cfg_attr(
    not(feature = "mpi"),
    expect(dead_code, reason = "threads make contexts at once")
)]
pub(crate) enum Creation {
    Done(u64),
    Pending(Ticket),
}

/// What `split` is asked for on one rank, after all ranks have told each other theirs.
#[cfg_attr(
    not(feature = "mpi"),
    expect(dead_code, reason = "threads need no key: ranks are numbered above")
)]
pub(crate) struct Split {
    /// A number that only this split has, the same on all ranks.
    pub agreed: u64,
    /// The number of this rank's part, if it is in one.
    pub part: Option<u32>,
    /// Orders the ranks of a part.
    pub key: i32,
}

/// Bytes between ranks: matched by context, source and tag, in the order of MPI.
///
/// Messages from one rank to another in one context do not overtake each other, a receive takes
/// the earliest message that fits, and a message takes the earliest receive that fits (MPI
/// standard, section 3.5). Every call returns at once.
pub(crate) trait Transport: Send + Sync {
    /// The largest tag.
    fn tag_limit(&self) -> i32;

    /// The most bytes that one message may have.
    fn largest_message(&self) -> usize;

    /// Starts to send.
    ///
    /// # Safety
    /// `pointer` is valid for reading `bytes` bytes, and the memory is not written, until the
    /// send has completed or was released.
    unsafe fn isend(
        &self,
        context: &Context,
        dest: usize,
        tag: i32,
        pointer: *const u8,
        bytes: usize,
    ) -> Result<Posted>;

    /// Starts to receive from `source`, or any rank, a message with `tag`, or any tag.
    ///
    /// # Safety
    /// `pointer` is valid for writing `capacity` bytes, and nothing else reads or writes the
    /// memory, until the receive has completed or was released.
    unsafe fn irecv(
        &self,
        context: &Context,
        source: Option<usize>,
        tag: Option<i32>,
        pointer: *mut u8,
        capacity: usize,
    ) -> Result<Posted>;

    /// Starts to receive the earliest message of the context that no receive was posted for, if
    /// there is one.
    ///
    /// # Safety
    /// As for [`irecv`](Self::irecv).
    unsafe fn receive_unexpected(
        &self,
        context: &Context,
        pointer: *mut u8,
        capacity: usize,
    ) -> Result<Option<Posted>>;

    /// Says whether the operation is over, and drives it on; an error is an end too.
    fn test(&self, ticket: &Ticket) -> Result<Tested>;

    /// Takes back an operation, which is pending afterwards only where that is impossible or takes time.
    fn abandon(&self, ticket: &Ticket) -> Tested;

    /// Two numbers, this and the next, that no other call on any rank gives: for contexts.
    fn fresh(&self) -> u64;

    /// Starts to make a context with the same group; every member calls it with the same `agreed`,
    /// a fresh number.
    fn duplicate(&self, parent: &Context, agreed: u64) -> Result<Creation>;

    /// Says which context the creation behind a ticket made, once it is done.
    fn created(&self, ticket: &Ticket) -> Result<Option<u64>>;

    /// Makes a context for each part of a group; every member of the parent calls it, and may
    /// wait for the others inside.
    fn split(&self, parent: &Context, split: &Split) -> Result<Option<u64>>;

    /// Frees a context; every member calls it in the same order among frees, and may wait for the
    /// others inside.
    fn free(&self, context: &Context) -> Result<()>;

    /// Lets other threads run, for a thread that has looked for completions `rounds` times in
    /// vain.
    fn idle(&self, rounds: u32);

    /// Ends an [`idle`](Self::idle) of this rank early.
    fn wake(&self);

    /// Why no operation of this rank can complete any more, where that is known.
    fn lost(&self) -> Option<Error>;

    /// Sends what is held back, before the transport is taken down.
    fn flush(&self) {}

    /// Ends all ranks: the last resort where the transport still holds memory that its owner is
    /// about to take back.
    fn abort(&self) -> !;
}
