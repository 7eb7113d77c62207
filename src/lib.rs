//! GPU-accelerated message passing for Rust.

mod buffer;
mod collective;
mod comm;
mod config;
mod device;
mod dtype;
mod engine;
mod error;
mod message;
mod op;
mod plan;
mod point_to_point;
mod request;
mod route;
#[cfg(feature = "mpi")]
mod runtime;
mod scope;
mod threads;
mod transport;

pub use buffer::{Blocks, Buffer, BufferMut, OwnedBuffer, OwnedBufferMut};
pub use comm::Communicator;
pub use config::{Config, Fault, FaultAction, ThreadLevel};
pub use device::Place;
pub use dtype::{Complex, Dtype, Element, Located};
pub use error::{Error, ErrorKind, Result};
pub use message::{Source, Status, Tag};
pub use op::Op;
pub use request::{Request, RequestError};
#[cfg(feature = "mpi")]
pub use runtime::Runtime;
pub use scope::{Scope, ScopedRequest};
