//! GPU-accelerated message passing for Rust: a communicator over MPI that takes device buffers and host slices
//! alike, and reduces on the GPU what is there.
//!
//! - `Runtime` initializes MPI and gives the [`Communicator`] of all ranks; [`Communicator::threads`] runs ranks
//!   as threads, without MPI.
//! - Buffers are slices, arrays, vectors or single values of any [`Element`] type, and the buffers of the crate
//!   cudarc; see [`Buffer`]. `Communicator::device` gives a rank its GPU. Operations order themselves behind what
//!   is in a buffer's stream, and the stream behind them.
//! - Non-blocking operations own their buffers ([`Request`]) or borrow them in a [`scope`](Communicator::scope).
//! - Objects, with the feature `serde`: values of any type that serde serializes, in messages and collectives whose
//!   names end in `_object`.
//! - Ranks come together in communicators of a [`Group`], in two groups that send to each other
//!   ([`Intercommunicator`]), and with programs of MPI that are not warpcomm: on communicators whose [`Wire`] is plain.
//! - Tasks over the ranks, with the feature `pool`: the module `pool`.
//! - Reductions ([`Op`]) give the same bits on every rank, in every run and on every path.
//! - Whatever goes wrong is an [`Error`]: no operation aborts, panics or hangs because of bad arguments, on any
//!   rank.
//! - The last two hold for native communicators. On plain ones reductions and mismatches are MPI's; [`Wire`] lists what
//!   differs.
//! - Which algorithm a collective takes is a matter of speed: [`Communicator::explain`] tells it, and [`Tuning`] is what
//!   `warpcomm tune` measures for it.
//! - Settings are in [`Config`], and with them what is reported of hangs and how operations are traced.
//!
//! ```
//! use warpcomm::{Communicator, Op, Tag};
//!
//! let sums = Communicator::threads(3, |comm| {
//!     // Pass a token around the ring, then add up what everybody got.
//!     let mut token = comm.rank() as u64;
//!     let mut received = 0;
//!     let (right, left) = ((comm.rank() + 1) % 3, (comm.rank() + 2) % 3);
//!     comm.sendrecv(&token, right, Tag(0), &mut received, left, Tag(0))?;
//!     token = received;
//!     comm.allreduce_in_place(&mut token, Op::Sum)?;
//!     Ok::<u64, warpcomm::Error>(token)
//! })?;
//! assert_eq!(sums.into_iter().collect::<Result<Vec<_>, _>>()?, [3, 3, 3]);
//! # Ok::<(), warpcomm::Error>(())
//! ```

#[cfg(feature = "cuda")]
mod awareness;
mod buffer;
mod collective;
mod comm;
mod config;
mod device;
mod dtype;
mod engine;
mod error;
mod fingerprint;
mod group;
mod intercommunicator;
#[cfg(feature = "mpi")]
mod interop;
mod message;
mod node;
#[cfg(feature = "serde")]
mod object;
mod op;
mod path;
mod plan;
mod point_to_point;
#[cfg(feature = "pool")]
pub mod pool;
#[cfg(any(feature = "cuda", feature = "serde"))]
mod replace;
mod request;
mod route;
#[cfg(feature = "mpi")]
mod runtime;
mod scope;
mod threads;
mod transport;
mod tuning;
mod wire;

#[cfg(feature = "serde")]
pub use self::object::Object;
#[cfg(feature = "cuda")]
#[doc(hidden)]
pub use awareness::Allocation;
pub use buffer::{AnyBuffer, AnyBufferMut, AnyOwnedBuffer, AnyOwnedBufferMut};
pub use buffer::{Blocks, Buffer, BufferMut, OwnedBuffer, OwnedBufferMut};
pub use comm::Communicator;
pub use config::{Config, Fault, FaultAction, Setting, ThreadLevel};
pub use device::Place;
#[cfg(feature = "cuda")]
pub use device::cuda::{
    DeviceBuffer, MemoryKind, PinnedUsage, RawSlice, cudarc, pinned_usage, release_device, release_pinned,
};
pub use dtype::{Complex, Dtype, Element, Located};
pub use error::{Error, ErrorKind, Result};
pub use group::{Comparison, Group};
pub use intercommunicator::Intercommunicator;
pub use message::{PROC_NULL, Source, Status, Tag};
#[cfg(feature = "mpi")]
pub use mpi;
pub use op::Op;
pub use path::{ChosenPath, Path};
pub use plan::{Algorithm, ChosenAlgorithm};
pub use point_to_point::Message;
pub use request::{AnyPersistent, AnyRequest, Persistent, Request, RequestError, Tested};
pub use request::{start_all, test_all, test_any, test_some, wait_all, wait_any, wait_some};
#[cfg(feature = "mpi")]
pub use runtime::Runtime;
pub use scope::{Scope, ScopedRequest};
pub use tuning::{Machine, Tuning};
pub use wire::Wire;

/// The examples of the README.
#[cfg(all(doctest, feature = "cuda"))]
#[doc = include_str!("../README.md")]
struct Readme;
