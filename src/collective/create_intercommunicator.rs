//! `create_intercommunicator`.
//!
//! ```text
//! all ranks of a group tell each other what they know    (allgather, local)
//! the leaders write to each other                        (over the bridge)
//! each leader tells its group what the other wrote       (bcast, local)
//! ```
//!
//! So it goes once for the arguments and the ranks of the groups, and then for each step in which both groups found
//! their common communicator.

use std::ops::Range;
use std::sync::Arc;

use super::agreement::peer_failure;
use super::allgather::allgather;
use super::bcast::bcast;
use super::found::Founding;
use super::meeting::{Knowledge, Letter, Post};
use super::{Blocking, Call};
use crate::buffer::lower::{Lower, LowerMut};
use crate::comm::Communicator;
use crate::engine::Endpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::intercommunicator::Intercommunicator;
use crate::message::Tag;
use crate::plan::Operation;

impl Communicator {
    /// Makes an intercommunicator of this communicator's ranks and those of another one, which call it too.
    ///
    /// Each side names one of its ranks as `local_leader`. The leaders have a communicator in common, the `bridge`, in
    /// which the other leader is rank `remote_leader`; they alone use these two and the tag, and other ranks may give
    /// anything, `self` for instance. The tags are those of [`create_group`](Self::create_group), from which they must
    /// differ if threads make several communicators over one bridge at the same time.
    ///
    /// MPI standard, section 7.6.2 (`MPI_Intercomm_create`).
    ///
    /// # Errors
    /// On every rank of both sides, if one of them gives a leader that does not exist
    /// ([`InvalidArgument`](crate::ErrorKind::InvalidArgument) there and [`PeerFailed`](crate::ErrorKind::PeerFailed)
    /// on the others), ranks of a side name different leaders or one is in another collective
    /// ([`Mismatch`](crate::ErrorKind::Mismatch)), or the sides have ranks in common
    /// ([`InvalidArgument`](crate::ErrorKind::InvalidArgument)). A side whose leader does not know the other leader
    /// cannot tell the other side. After a [`Timeout`](crate::ErrorKind::Timeout) of a leader the bridge is poisoned too.
    /// [`Mpi`](crate::ErrorKind::Mpi) where MPI has no more communicators, and
    /// [`Unsupported`](crate::ErrorKind::Unsupported) on a [plain](crate::Wire::Plain) communicator.
    ///
    /// ```
    /// use warpcomm::{Communicator, Tag};
    ///
    /// let received = Communicator::threads(5, |comm| {
    ///     // Two ranks that ask, and three that answer.
    ///     let asks = comm.rank() < 2;
    ///     let side = comm.split(Some(asks as u32), 0)?.expect("it has a color");
    ///     let others = side.create_intercommunicator(0, &comm, if asks { 2 } else { 0 }, Tag(0))?;
    ///     assert_eq!((others.size(), others.remote_size()), if asks { (2, 3) } else { (3, 2) });
    ///     let mut number = 0u64;
    ///     if asks {
    ///         others.send(&(10 * others.rank() as u64), others.rank() + 1, Tag(0))?; // rank 1 or 2 there
    ///     } else if others.rank() > 0 {
    ///         others.recv(&mut number, others.rank() - 1, Tag(0))?;
    ///     }
    ///     Ok::<u64, warpcomm::Error>(number)
    /// })?;
    /// assert_eq!(received.into_iter().collect::<Result<Vec<_>, _>>()?, [0, 0, 0, 0, 10]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn create_intercommunicator(
        &self,
        local_leader: usize,
        bridge: &Communicator,
        remote_leader: usize,
        tag: Tag,
    ) -> Result<Intercommunicator> {
        let named = |error: Error| error.at(Operation::CreateIntercommunicator.name(), self.rank());
        self.endpoint.check_native().map_err(named)?;
        let blocking = Blocking::enter(self, Operation::CreateIntercommunicator, &())?;
        let call = blocking.call();
        let mut checked = self.check_leader(local_leader);
        let mut other_side = None;
        if checked.is_ok() && local_leader == self.rank() {
            match self.bridge_to(bridge, remote_leader, tag, &call) {
                Ok(post) => other_side = Some((post, remote_leader)),
                Err(error) => checked = Err(error),
            }
        }
        let side = Side {
            call: &call,
            leader: local_leader,
            other_side,
            is_low: bridge.rank() < remote_leader,
        };
        let made = self.connect(&blocking, &side, checked);
        // A letter that nobody took must not be read as one of a later call.
        if let (Err(error), Some(_), Some(_)) = (&made, &side.other_side, self.endpoint.poison()) {
            bridge.endpoint.poison_with(error);
        }
        made
    }

    fn connect(
        &self,
        blocking: &Blocking<'_>,
        side: &Side<'_, '_>,
        checked: Result<()>,
    ) -> Result<Intercommunicator> {
        let call = side.call;
        let remote = blocking.run(side.introduce(checked))?;
        let local = &self.endpoint.context.group;
        let (members, own, others) = joined(local, &remote).map_err(|error| call.activity.name(error))?;
        let founding = Founding {
            engine: &self.endpoint.engine,
            operation: Operation::CreateIntercommunicator,
            timeout: self.timeout(),
            members,
            rank: own.start + self.rank(),
        };
        let union = founding
            .found(|known| blocking.run(side.settle(known)).map(|settled| settled.knowledge))
            .map_err(|error| call.activity.name(error))?;
        let endpoint = Endpoint::facing(&union, &own, others);
        Ok(Intercommunicator::new(Communicator::new(
            endpoint,
            self.timeout(),
        )))
    }

    fn check_leader(&self, local_leader: usize) -> Result<()> {
        let named =
            |error: Error| Error::invalid(format!("local leader {local_leader}: {}", error.message()));
        self.endpoint.check_rank(local_leader).map_err(named)
    }

    /// The way to the other leader.
    fn bridge_to<'a>(
        &self,
        bridge: &'a Communicator,
        remote_leader: usize,
        tag: Tag,
        call: &'a Call<'_>,
    ) -> Result<Post<'a>> {
        let invalid = |why: &str| Err(Error::invalid(format!("remote leader {remote_leader}: {why}")));
        if !Arc::ptr_eq(&bridge.endpoint.engine, &self.endpoint.engine) {
            return invalid("the bridge is of another world");
        }
        bridge.endpoint.check_native()?;
        bridge.endpoint.check()?;
        if let Err(error) = bridge.endpoint.check_rank(remote_leader) {
            return invalid(error.message());
        }
        let leader = bridge.endpoint.context.group[remote_leader];
        if self.endpoint.context.group.contains(&leader) {
            return invalid("it is a rank of this side too");
        }
        Post::new(bridge, call.activity, tag)
    }
}

/// One of the two groups, as one of its ranks sees it.
struct Side<'a, 'c> {
    call: &'a Call<'c>,
    leader: usize,
    /// The way to the other leader, on the leader.
    other_side: Option<(Post<'a>, usize)>,
    /// Whether the leader has the lower rank on the bridge.
    is_low: bool,
}

/// What both sides know together.
struct Settled {
    knowledge: Knowledge,
    /// The ranks of the other side.
    remote_count: u64,
}

/// What a rank tells the others of its side: its leader, its failure, and what it knows.
const NUMBERS: usize = 5;

impl Side<'_, '_> {
    /// Tells both sides what both know together; an error of one rank is an error of all.
    async fn settle(&self, known: Result<Knowledge>) -> Result<Settled> {
        let (all_of_side, speaks) = self.gather(known).await;
        let letter = || Letter::new(self.call.rank(), self.members(), &all_of_side);
        let answer = match &self.other_side {
            Some((post, leader)) if speaks => Some(self.exchange(post, *leader, &letter()).await),
            _ => None,
        };
        let ours = all_of_side?;
        // What the leader has to tell its side.
        let mut told = [0u64; 4];
        let local = match answer {
            None => Ok(()),
            Some(answer) => answer.and_then(|theirs| {
                let knowledge = theirs.knowledge().map_err(of_the_other_side)?;
                let [low, high] = knowledge.family;
                told = [theirs.note.count, knowledge.number, low, high];
                Ok(())
            }),
        };
        bcast(self.call, &told.lower_mut(), self.leader, local).await?;
        let [remote_count, number, low, high] = told;
        let theirs = Knowledge {
            number,
            family: [low, high],
        };
        Ok(Settled {
            knowledge: ours.with(&theirs),
            remote_count,
        })
    }

    fn members(&self) -> &[usize] {
        &self.call.endpoint().context.group
    }

    /// What the ranks of this side know together, and whether this one speaks for them.
    ///
    /// A leader speaks even for a side that has failed, because the other one waits.
    async fn gather(&self, known: Result<Knowledge>) -> (Result<Knowledge>, bool) {
        let (call, me) = (self.call, self.call.rank());
        let own = match &known {
            Ok(Knowledge {
                number,
                family: [low, high],
            }) => [self.leader as u64, 0, *number, *low, *high],
            Err(error) => [self.leader as u64, 1 + u64::from(error.kind().code()), 0, 0, 0],
        };
        let mut all = vec![0u64; NUMBERS * call.ranks()];
        let told = match call.begin().await {
            Ok(()) => allgather(call, &own.lower(), &all.lower_mut(), Ok(())).await,
            Err(error) => Err(error),
        };
        if let Err(error) = told {
            return (Err(error), self.leader == me);
        }
        let ranks: Vec<&[u64]> = all.chunks(NUMBERS).collect();
        let speaks = self.leader == me && ranks[0][0] == me as u64;
        if let Err(error) = known {
            return (Err(error), speaks);
        }
        let odd = |rank: &&[u64]| rank[0] != ranks[0][0];
        let together = if let Some(rank) = ranks.iter().position(|rank| rank[1] != 0) {
            let kind = u8::try_from(ranks[rank][1] - 1)
                .ok()
                .and_then(ErrorKind::from_code);
            Err(peer_failure(
                rank,
                kind.unwrap_or(ErrorKind::PeerFailed),
                "its part of the intercommunicator",
            ))
        } else if let Some(rank) = ranks.iter().position(odd) {
            let message = format!(
                "rank {rank} names rank {} as the local leader, and rank 0 names rank {}",
                ranks[rank][0], ranks[0][0]
            );
            Err(Error::new(ErrorKind::Mismatch, message))
        } else {
            let knowledge = |rank: &&[u64]| Knowledge {
                number: rank[2],
                family: [rank[3], rank[4]],
            };
            let first = knowledge(&ranks[0]);
            Ok(ranks
                .iter()
                .map(knowledge)
                .fold(first, |sum, next| sum.with(&next)))
        };
        (together, speaks)
    }

    /// Swaps letters with the other leader, the lower one first.
    async fn exchange(&self, post: &Post<'_>, leader: usize, letter: &Letter) -> Result<Letter> {
        if self.is_low {
            post.send(leader, letter).await?;
            return post.receive(leader).await;
        }
        let theirs = post.receive(leader).await?;
        post.send(leader, letter).await?;
        Ok(theirs)
    }

    /// Sees to it that both sides are here, and tells each the ranks of the other, by their numbers in the world.
    async fn introduce(&self, checked: Result<()>) -> Result<Vec<usize>> {
        let nothing = Knowledge {
            number: 0,
            family: [0; 2],
        };
        let settled = self.settle(checked.map(|()| nothing)).await?;
        let mut remote = vec![0u64; settled.remote_count as usize];
        let local = match &self.other_side {
            Some((post, leader)) => self.exchange_ranks(post, *leader, &mut remote).await,
            None => Ok(()),
        };
        bcast(self.call, &remote.lower_mut(), self.leader, local).await?;
        Ok(remote.into_iter().map(|rank| rank as usize).collect())
    }

    async fn exchange_ranks(&self, post: &Post<'_>, leader: usize, remote: &mut [u64]) -> Result<()> {
        let own: Vec<u64> = self.members().iter().map(|&rank| rank as u64).collect();
        if self.is_low {
            post.send_numbers(leader, &own).await?;
            return post.receive_numbers(leader, remote).await;
        }
        post.receive_numbers(leader, remote).await?;
        post.send_numbers(leader, &own).await
    }
}

fn of_the_other_side(error: Error) -> Error {
    let kind = match error.kind() {
        ErrorKind::Mismatch => ErrorKind::Mismatch,
        _ => ErrorKind::PeerFailed,
    };
    Error::new(kind, format!("the other side: {}", error.message()))
}

/// The members of two groups, and which of them are of this one and of the other.
type Joined = (Arc<[usize]>, Range<usize>, Range<usize>);

/// The members of both groups in an order on which both agree, and where this one and the other are in it.
fn joined(local: &[usize], remote: &[usize]) -> Result<Joined> {
    if let Some(common) = local.iter().find(|rank| remote.contains(rank)) {
        return Err(Error::invalid(format!(
            "rank {common} of the world is on both sides"
        )));
    }
    let (here, there) = (local.len(), remote.len());
    Ok(match local.first() < remote.first() {
        true => ([local, remote].concat().into(), 0..here, here..here + there),
        false => ([remote, local].concat().into(), there..there + here, 0..there),
    })
}
