//! Bare messages and collectives of the MPI library, for ranks that are not warpcomm.
//!
//! Nothing here is on a GPU: who sends from there or receives there copies.

use std::any::Any;

use super::{Context, Posted};
use crate::dtype::Dtype;
use crate::error::Result;
use crate::op::Op;

/// Elements in the memory of the host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Elements {
    pub pointer: *mut u8,
    pub count: usize,
    pub dtype: Dtype,
}

// SAFETY: an address and what lies there; who uses it promises what the methods of `Plain` ask for.
unsafe impl Send for Elements {}
// SAFETY: as above.
unsafe impl Sync for Elements {}

/// A message that was found, and not received yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub source: usize,
    pub tag: i32,
    pub bytes: u64,
    /// The library's own name for it; nobody else receives it.
    pub message: u64,
}

/// Elements in one block for each rank, in `int`s of the library.
#[derive(Debug)]
pub(crate) struct Layout {
    pub counts: Vec<i32>,
    pub displacements: Vec<i32>,
}

/// A collective with its arguments on this rank: memory of the host, which does not overlap.
///
/// Where a block goes to or comes from each rank, elements are counted for one of them. Without elements to send, they
/// are where the result goes, on all ranks.
#[derive(Debug)]
pub(crate) enum Call {
    Barrier,
    Bcast {
        buffer: Elements,
        root: usize,
    },
    Gather {
        send: Elements,
        recv: Elements,
        root: usize,
    },
    Gatherv {
        send: Elements,
        recv: Elements,
        blocks: Layout,
        root: usize,
    },
    Scatter {
        send: Elements,
        recv: Elements,
        root: usize,
    },
    Scatterv {
        send: Elements,
        blocks: Layout,
        recv: Elements,
        root: usize,
    },
    Allgather {
        send: Option<Elements>,
        recv: Elements,
    },
    Allgatherv {
        send: Option<Elements>,
        recv: Elements,
        blocks: Layout,
    },
    Alltoall {
        send: Option<Elements>,
        recv: Elements,
    },
    Alltoallv {
        send: Option<(Elements, Layout)>,
        recv: Elements,
        recv_blocks: Layout,
    },
    /// Elements for and from each rank.
    Alltoallw {
        send: Option<Vec<Elements>>,
        recv: Vec<Elements>,
    },
    Reduce {
        send: Elements,
        recv: Elements,
        op: Op,
        root: usize,
    },
    Allreduce {
        send: Option<Elements>,
        recv: Elements,
        op: Op,
    },
    ReduceScatterBlock {
        send: Option<Elements>,
        recv: Elements,
        op: Op,
    },
    ReduceScatter {
        send: Option<Elements>,
        counts: Vec<i32>,
        recv: Elements,
        op: Op,
    },
    Scan {
        send: Option<Elements>,
        recv: Elements,
        op: Op,
    },
    Exscan {
        send: Option<Elements>,
        recv: Elements,
        op: Op,
    },
}

/// Which ranks a new communicator has.
#[derive(Clone, Debug)]
pub(crate) enum Division {
    /// Those of the old one.
    Same,
    /// Those with the same color; none without.
    Colors { color: Option<i32>, key: i32 },
    /// Those that share memory.
    Shared { key: i32 },
    /// These, in this order.
    Members { ranks: Vec<i32> },
}

/// The MPI library as its other users see it.
///
/// What is started is tested and abandoned as other operations of its [`Transport`](super::Transport).
pub(crate) trait Plain: Send + Sync {
    /// Starts to send; a synchronous send is over when its receive has matched.
    ///
    /// # Safety
    /// The elements are valid, and not written, until the send has completed or was released.
    unsafe fn isend(
        &self,
        context: &Context,
        dest: usize,
        tag: i32,
        elements: Elements,
        is_synchronous: bool,
    ) -> Result<Posted>;

    /// Takes the earliest message out of reach of everybody else, if there is one.
    fn find(&self, context: &Context) -> Result<Option<Found>>;

    /// Starts to receive a message that was found, once.
    ///
    /// # Safety
    /// The elements may be written, and nobody uses them, until the receive has completed or was released.
    unsafe fn receive(&self, found: &Found, elements: Elements) -> Result<Posted>;

    /// Takes part in a collective, and waits for the other ranks inside.
    ///
    /// # Safety
    /// All elements are valid, those that are received into may be written, and none overlap.
    unsafe fn call(&self, context: &Context, call: &Call) -> Result<()>;

    /// Starts the non-blocking form of a collective.
    ///
    /// # Safety
    /// As for [`call`](Self::call), until the operation is over; `call` stays where it is as long, and so does what
    /// comes with the operation.
    unsafe fn start(&self, context: &Context, call: &Call) -> Result<(Posted, Box<dyn Any + Send>)>;

    /// Makes a communicator; every rank calls it, and waits for the others inside.
    fn divide(&self, context: &Context, division: Division) -> Result<Option<Context>>;

    /// Frees a communicator; every rank calls it.
    fn free(&self, context: &Context) -> Result<()>;
}
