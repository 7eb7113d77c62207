//! The elements of all ranks folded where they are, by kernels that reach those of others.
//!
//! For ranks that share a GPU, by kernels of one, the leader:
//!
//! ```text
//! others                                           leader
//! wait until nothing before uses their elements    so does it
//! tell where they are                       ---->  opens them; each of its kernels reads elements of several ranks, and
//!                                                  writes the results of some
//! their results are there                   <----  says so when the last kernel is over
//! ```
//!
//! For GPUs that reach each other's memory, by kernels of every rank:
//!
//! ```text
//! a rank                                           every other
//! waits until nothing before uses its elements     so does it
//! tells where they are                     <---->
//! opens those of the others, and says so   <---->  nobody starts a kernel before all have opened what they need
//! its kernel is over                       <---->  elements are free, and results there, when all kernels are over
//! ```
//!
//! So nobody waits for another inside a kernel, which could wait for ever: kernels of several processes take turns. Those of
//! a leader run one after the other, in the order in which they may overwrite elements.
//!
//! What a rank is lent it opens for one fold at first, and invites the other to share memory with it. From then on it keeps
//! windows open, and closes them when their owners ask in that memory ([`Ring`](super::shared::Ring)), as the receiver of a
//! message does. Ranks that are threads of one process tell addresses, and at most the GPU is given access.
//!
//! What cannot be opened is folded another way by all; a leader leads no more then. Every other failure of a rank is told to
//! all. Who gives up before it has lent anything says so instead; who has lent something waits for those who may use it.

mod joining;
mod leading;
mod note;
mod own;
mod peer;
mod sharing;

pub(super) use joining::Joining;
pub(super) use leading::Leading;
pub(super) use sharing::Sharing;

use crate::error::{Error, ErrorKind};
use crate::transport::{Context, Transport};

/// Whether all ranks of a context are threads of this process.
pub(super) fn share_a_process(context: &Context, inner: &dyn Transport) -> bool {
    (0..context.group.len()).all(|peer| inner.shares_process(context, peer))
}

fn given_up() -> Error {
    Error::new(ErrorKind::PeerFailed, "it has given up before the fold")
}
