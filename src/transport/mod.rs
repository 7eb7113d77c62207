//! Bytes between ranks, behind one private trait; a transport is one file here.
//!
//! | transport | carries messages | wraps |
//! |---|---|---|
//! | [`mpi`] | between processes, through MPI | |
//! | [`local`] | between threads of one process | |
//! | [`faulty`] | wrongly, on purpose, for tests | any other |
//! | [`devices`] | from and to the memory of GPUs | any other |

#[cfg(feature = "cuda")]
mod devices;
pub(crate) mod faulty;
pub(crate) mod local;
#[cfg(feature = "mpi")]
pub(crate) mod mpi;
mod pieces;
#[cfg_attr(not(feature = "mpi"), allow(dead_code, reason = "only MPI has such messages"))]
pub(crate) mod plain;
mod share;
mod waybill;

use std::sync::Arc;
#[cfg(all(feature = "mpi", feature = "cuda"))]
use std::{io, path::PathBuf};

#[cfg(all(feature = "mpi", feature = "cuda"))]
use crate::awareness::{Allocation, Verdict};
use crate::config::Config;
use crate::device::{Lane, Place};
use crate::error::{Error, ErrorKind, Result};
use crate::path::{ChosenPath, Path};
use faulty::Faulty;
pub(crate) use pieces::{Pieces, WINDOW};
pub(crate) use share::{Share, Task, Whereabouts};
pub(crate) use waybill::{Way, Waybill};

/// A transport between processes or threads, with everything around it that its rank needs.
pub(crate) fn complete(base: Arc<dyn Transport>, config: &Config, rank: usize) -> Arc<dyn Transport> {
    let transport = Faulty::wrap(base, &config.faults, rank);
    #[cfg(feature = "cuda")]
    let transport = devices::Devices::wrap(transport, config, rank);
    transport
}

/// An isolated space of messages among a group of ranks.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// The transport's own name for it.
    pub handle: u64,
    /// This rank's number in the group.
    pub rank: usize,
    /// The members' ranks in the transport's world, in the order of their ranks in the group.
    pub group: Arc<[usize]>,
    /// Whether only messages of the library travel in it, of which every receive names the source and the tag.
    #[cfg_attr(
        not(feature = "cuda"),
        expect(dead_code, reason = "no message waits for a copy")
    )]
    pub is_private: bool,
}

/// A send or receive that a transport has begun.
///
/// It is used up by the [`test`](Transport::test) that reports its end, or the
/// [`abandon`](Transport::abandon) whose outcome is not [`Tested::Pending`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    /// The transport's own name for it.
    pub number: u64,
    /// Whether it is of the transport that wraps another, and not of the other.
    pub is_outer: bool,
}

impl Ticket {
    pub(crate) fn new(number: u64) -> Ticket {
        Ticket {
            number,
            is_outer: false,
        }
    }
}

/// Elements of a message in the memory of a GPU.
#[cfg_attr(
    not(feature = "cuda"),
    expect(dead_code, reason = "there are no lanes, so there are no such elements")
)]
pub(crate) struct DeviceMemory<'a> {
    /// Orders the transport's copies.
    pub lane: &'a Arc<Lane>,
    pub address: usize,
    pub bytes: usize,
}

/// Elements of a long message that goes a way of its own.
#[cfg_attr(
    not(feature = "cuda"),
    expect(dead_code, reason = "there is no such way without GPUs")
)]
pub(crate) struct Body<'a> {
    /// Orders the transport's copies of elements in the memory of a GPU.
    pub lane: Option<&'a Arc<Lane>>,
    pub address: usize,
    pub bytes: usize,
}

/// The MPI library that a transport is.
#[cfg_attr(
    not(feature = "cuda"),
    expect(dead_code, reason = "only GPUs have elements that it may not take")
)]
#[derive(Clone, Debug)]
pub(crate) struct Library {
    /// Its name and version, in its own words.
    pub version: String,
    /// Whether it says that it takes addresses of memory of GPUs.
    pub says_cuda_aware: bool,
}

/// Where the sender of a message has the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub place: Place,
    /// Whether it gives MPI their addresses, if they are on a GPU.
    pub is_lent: bool,
}

/// The tags that a long message has for itself, in both directions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tags {
    /// Of what goes with the elements.
    pub body: i32,
    /// Of what goes the other way.
    #[cfg_attr(
        not(feature = "cuda"),
        expect(dead_code, reason = "only handshakes go both ways")
    )]
    pub answer: i32,
}

/// Which end of a message a rank is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum End {
    Sender,
    Receiver,
}

/// How elements get here.
#[cfg_attr(
    not(feature = "cuda"),
    expect(dead_code, reason = "without GPUs the way is known")
)]
pub(crate) enum Route {
    Known(Waybill),
    /// That is being found out.
    Pending,
    /// As soon as the lane of the receiver is idle: the way is not for those who wait.
    WhenIdle,
}

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
/// standard, section 3.5). In a private context that is promised of messages with one tag. Every call returns at once.
pub(crate) trait Transport: Send + Sync {
    /// The largest tag.
    fn tag_limit(&self) -> i32;

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

    /// Starts to send `head`, which may be used again at once, and behind it memory of a GPU, which may be
    /// written by what comes later in its lane once the send has completed.
    ///
    /// Fails at once as [`isend`](Self::isend) does. Where the memory cannot be read, `head` is sent alone, so
    /// that the receiver learns of it, and the error is the end of the operation.
    ///
    /// # Safety
    /// The memory is valid until the send has completed or was released, and not written meanwhile but by
    /// what its lane orders.
    unsafe fn isend_device(
        &self,
        _context: &Context,
        _dest: usize,
        _tag: i32,
        _head: &[u8],
        _body: &DeviceMemory<'_>,
    ) -> Result<Posted> {
        Err(no_device_memory())
    }

    /// Starts to receive from `source` a message with `tag` into memory of a GPU. When it has completed, what
    /// comes later in the lane finds the bytes there.
    ///
    /// Where the memory cannot be written, the message is received all the same, and the error is the end of
    /// the operation.
    ///
    /// # Safety
    /// As for [`isend_device`](Self::isend_device), and nothing reads the memory meanwhile.
    unsafe fn irecv_device(
        &self,
        _context: &Context,
        _source: usize,
        _tag: i32,
        _body: &DeviceMemory<'_>,
    ) -> Result<Posted> {
        Err(no_device_memory())
    }

    /// Whether a rank of a context is in the process of this one.
    #[cfg_attr(
        not(feature = "cuda"),
        allow(dead_code, reason = "without GPUs there is one path")
    )]
    fn shares_process(&self, context: &Context, peer: usize) -> bool {
        peer == context.rank
    }

    /// The MPI library that this transport is: it gets the addresses that are given here.
    #[cfg_attr(
        not(feature = "cuda"),
        allow(dead_code, reason = "without GPUs there is one path")
    )]
    fn library(&self) -> Option<Library> {
        None
    }

    /// Writes down what became of messages of such memory of a GPU of this model, where all ranks do so.
    #[cfg(all(feature = "mpi", feature = "cuda"))]
    fn record(&self, _gpu: &str, _allocation: Allocation, _verdict: &Verdict) -> io::Result<PathBuf> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Notes whether messages leave the node, once all ranks have told each other where they are; really leave it, whatever
    /// names the program has given to nodes.
    #[cfg_attr(not(feature = "mpi"), allow(dead_code, reason = "threads are on one node"))]
    fn spans(&self, _several_nodes: bool) {}

    /// Whether elements at an address in the memory of a lane's GPU may be sent from there by MPI itself.
    fn lends(&self, _lane: &Arc<Lane>, _address: usize) -> bool {
        false
    }

    /// How a message with elements from `origin` gets here from `source`, into memory at `address`, which the lane
    /// orders if it is of a GPU. Fails where it can take no path.
    fn route(
        &self,
        _context: &Context,
        _source: usize,
        _origin: Origin,
        _lane: Option<&Arc<Lane>>,
        _address: usize,
    ) -> Result<Route> {
        Ok(Route::Known(Waybill::along(Path::Host)))
    }

    /// Finds out with the peer, which does the same, what ways there are from the sender to the receiver; the
    /// receiver posts its side before it tells the sender. The body is to take one afterwards.
    ///
    /// Completes with no bytes where the sender [withholds](Self::withhold) the elements.
    fn handshake(
        &self,
        _context: &Context,
        _peer: usize,
        _end: End,
        _tags: Tags,
        _waybill: &Waybill,
        _body: &Body<'_>,
    ) -> Result<Posted> {
        Err(no_device_memory())
    }

    /// Notes that the sender does not hear of a handshake that the receiver has begun, which is given up then.
    fn call_off(&self, _context: &Context, _source: usize, _waybill: &Waybill) {}

    /// The path of the message with which a handshake was done. Fails where it can take none.
    fn found(&self, _context: &Context, _peer: usize, _end: End, _waybill: &Waybill) -> Result<Path> {
        Err(no_device_memory())
    }

    /// The path of long messages from this rank's GPU to a peer's, and why that, if it is known.
    fn chosen(&self, _context: &Context, _peer: usize) -> Result<Option<ChosenPath>> {
        let reason = "warpcomm was built without the feature cuda";
        Ok(Some(ChosenPath::new(Path::Host, reason)))
    }

    /// Starts to send elements in pieces to a rank that posts their receive, or has done so.
    ///
    /// Pieces that cannot be read are sent empty, and the error is the end of the operation.
    ///
    /// # Safety
    /// As for [`isend_device`](Self::isend_device) and [`isend`](Self::isend).
    unsafe fn isend_body(
        &self,
        _context: &Context,
        _dest: usize,
        _tags: Tags,
        _body: &Body<'_>,
        _pieces: Pieces,
        _waybill: &Waybill,
    ) -> Result<Posted> {
        Err(no_device_memory())
    }

    /// Starts to receive such pieces. When all have come, what comes later in the lane finds them there; fewer bytes
    /// than expected say that some were sent empty.
    ///
    /// Where the memory cannot be written, the pieces are received all the same, and the error is the end of
    /// the operation.
    ///
    /// # Safety
    /// As for [`irecv_device`](Self::irecv_device) and [`irecv`](Self::irecv).
    unsafe fn irecv_body(
        &self,
        _context: &Context,
        _source: usize,
        _tags: Tags,
        _body: &Body<'_>,
        _pieces: Pieces,
        _waybill: &Waybill,
    ) -> Result<Posted> {
        Err(no_device_memory())
    }

    /// Starts to tell the receiver of elements that would go through shared memory that none will come.
    fn withhold(&self, _context: &Context, _dest: usize, _tags: Tags, _waybill: &Waybill) -> Result<Posted> {
        Err(no_device_memory())
    }

    /// From where kernels of other ranks of a context reach this rank's elements.
    fn reach(&self, _context: &Context, _elements: &[DeviceMemory<'_>]) -> Whereabouts {
        Whereabouts::NOWHERE
    }

    /// Starts to fold the elements of all ranks, which are within [reach](Self::reach) of each other, by kernels of one or
    /// of all. When it has completed, the result is there, and the elements are free.
    ///
    /// Completes with no bytes where a rank cannot reach what it has to: nothing was written. An error of one rank is an
    /// error on all.
    ///
    /// # Safety
    /// As for [`isend_device`](Self::isend_device) with the elements and for [`irecv_device`](Self::irecv_device) with
    /// the result. What a task reads of the elements is within them, and what it writes fits into the result. Where they
    /// overlap, a task writes to where it reads exactly, and what a later one reads is not overwritten before.
    unsafe fn fold_together(&self, _context: &Context, _share: Share<'_>) -> Result<Posted> {
        Err(no_device_memory())
    }

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

    /// Makes a context of some members of a parent, in this order; these ranks alone call it, with the same `agreed`, a
    /// fresh number, and may wait for each other inside.
    fn create(&self, parent: &Context, members: &[usize], agreed: u64) -> Result<u64>;

    /// Frees a context; every member calls it in the same order among frees, and may wait for the
    /// others inside.
    fn free(&self, context: &Context) -> Result<()>;

    /// Lets other threads run, for a thread that has looked for completions `rounds` times in
    /// vain.
    fn idle(&self, rounds: u32);

    /// Ends an [`idle`](Self::idle) of this rank early.
    fn wake(&self);

    /// Names who drives what goes on though nobody holds a ticket for it.
    fn driven_by(&self, _driver: Box<dyn Driver>) {}

    /// Does what can be done now of what goes on though nobody holds a ticket for it.
    fn go_on(&self) {}

    /// Why no operation of this rank can complete any more, where that is known.
    fn lost(&self) -> Option<Error>;

    /// Sends what is held back, before the transport is taken down.
    fn flush(&self) {}

    /// The MPI library as its other users see it, if there is one below.
    #[cfg_attr(not(feature = "mpi"), allow(dead_code, reason = "only MPI has such messages"))]
    fn plain(&self) -> Option<Arc<dyn plain::Plain>> {
        None
    }

    /// Ends all ranks: the last resort where the transport still holds memory that its owner is
    /// about to take back.
    fn abort(&self) -> !;
}

/// Who drives what a transport does for the sake of peers after an operation was given up, while nobody calls.
#[cfg_attr(
    not(any(feature = "cuda", test)),
    expect(dead_code, reason = "nothing goes on without GPUs")
)]
pub(crate) trait Driver: Send + Sync {
    /// [`Transport::go_on`] is to be called until it has ended.
    fn has_begun(&self);

    /// So many of what had begun have ended.
    fn have_ended(&self, count: usize);
}

fn no_device_memory() -> Error {
    Error::unsupported("this transport cannot reach the memory of GPUs")
}

/// The error of what a transport has released by itself, which is only what nobody is left to complete.
#[cold]
pub(crate) fn taken_back() -> Error {
    Error::new(
        ErrorKind::PeerLost,
        "a peer is lost, and MPI has cancelled the message",
    )
}
