//! The elements of all ranks folded where they are, by kernels of the leader: for ranks that share a GPU.
//!
//! ```text
//! others                                           leader
//! wait until nothing before uses their elements    so does it
//! tell where they are                       ---->  opens them; each of its kernels reads elements of several ranks, and
//!                                                  writes the results of some
//! their results are there                   <----  says so when the last kernel is over
//! ```
//!
//! So nobody waits for another inside a kernel, which could wait for ever: kernels of several processes take turns. Those of
//! a fold run one after the other, in the order in which they may overwrite elements.
//!
//! The leader opens what it is lent for one fold at first, and invites the others to share memory with it. From then on
//! it keeps windows open, and closes them when their owners ask in that memory ([`Ring`](super::shared::Ring)), as the
//! receiver of a message does. Ranks that are threads of one process tell addresses, and nothing is opened.
//!
//! What the leader cannot open is folded another way by all, and this rank leads no more. Every other failure of a rank
//! is told by the leader to all. Who gives up before it has lent anything says so instead; who has lent something waits
//! for the leader, which waits for its kernels.

mod joining;
mod leading;
mod note;

pub(super) use joining::Joining;
pub(super) use leading::Leading;

use super::{Line, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::transport::{Context, Share, Tags, Task, Transport};

/// Whether all ranks of a context are threads of this process.
pub(super) fn share_a_process(context: &Context, inner: &dyn Transport) -> bool {
    (0..context.group.len()).all(|peer| inner.shares_process(context, peer))
}

fn line(context: &Context, peer: usize, tag: i32) -> Line {
    let tags = Tags {
        body: tag,
        answer: tag,
    };
    Line::new(context, peer, tags)
}

/// What a rank has of its own.
struct Own {
    elements: Target,
    result: Option<Target>,
    tasks: Vec<Task>,
}

impl Own {
    fn new(share: &Share<'_>) -> Own {
        Own {
            elements: Target::new(&share.elements),
            result: share.result.as_ref().map(Target::new),
            tasks: share.tasks.clone(),
        }
    }

    fn each(&self) -> impl Iterator<Item = &Target> {
        [Some(&self.elements), self.result.as_ref()].into_iter().flatten()
    }

    /// Whether nothing before uses them.
    fn are_idle(&self) -> Result<bool> {
        for target in self.each() {
            if !target.lane.is_idle()? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn given_up() -> Error {
    Error::new(ErrorKind::PeerFailed, "it has given up before the fold")
}
