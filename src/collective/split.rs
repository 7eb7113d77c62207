//! `split`.

use std::sync::Arc;

use super::allgather::allgather;
use super::family::Place;
use super::{Blocking, Call};
use crate::buffer::lower::{Lower, LowerMut};
use crate::comm::Communicator;
use crate::engine::{Endpoint, Family, Phase};
use crate::error::{Error, Result};
use crate::plan::Operation;
use crate::transport::{Context, Split};

impl Communicator {
    /// Divides the ranks: those with the same color get a communicator of their own, ordered by `key` and,
    /// among equal keys, by rank. A rank without a color gets none.
    ///
    /// MPI standard, section 7.4.2 (`MPI_Comm_split`; no color is `MPI_UNDEFINED`).
    ///
    /// # Errors
    /// [`Mismatch`](crate::ErrorKind::Mismatch) on every rank if one is in another collective;
    /// [`Mpi`](crate::ErrorKind::Mpi) where MPI has no more communicators, [`Unsupported`](crate::ErrorKind::Unsupported)
    /// where its tags do not suffice for one more, and [`PeerFailed`](crate::ErrorKind::PeerFailed) on the other
    /// ranks, which then get none either.
    ///
    /// ```
    /// use warpcomm::Communicator;
    ///
    /// let places = Communicator::threads(5, |comm| {
    ///     let color = (comm.rank() != 4).then_some(comm.rank() as u32 % 2);
    ///     let part = comm.split(color, -(comm.rank() as i32))?;
    ///     Ok::<_, warpcomm::Error>(part.map(|part| (part.rank(), part.size())))
    /// })?;
    /// let places: Vec<_> = places.into_iter().collect::<Result<_, _>>()?;
    /// assert_eq!(places, [Some((1, 2)), Some((1, 2)), Some((0, 2)), Some((0, 2)), None]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn split(&self, color: Option<u32>, key: i32) -> Result<Option<Communicator>> {
        let blocking = Blocking::enter(self, Operation::Split, 0)?;
        let call = blocking.call();
        let plan = blocking.run(agree_on_parts(&call, color, key))?;
        // MPI waits for all ranks inside: nobody's operations may depend on this thread meanwhile.
        let made = make(&call, &plan);
        blocking.run(conclude(&call, plan, made))
    }
}

/// The wish of a rank that wants to be in no part.
const NO_COLOR: i64 = -1;

/// What becomes of this rank.
struct Parts {
    place: Place,
    /// The number of this rank's part, if it is in one.
    part: Option<u32>,
    key: i32,
    /// The ranks of this rank's part, in their new order.
    members: Vec<usize>,
}

async fn agree_on_parts(call: &Call<'_>, color: Option<u32>, key: i32) -> Result<Parts> {
    let own = [color.map_or(NO_COLOR, i64::from), i64::from(key)];
    let mut wishes = vec![NO_COLOR; 2 * call.ranks()];
    call.begin().await?;
    let told = allgather(call, &own.lower(), &wishes.lower_mut(), Ok(())).await;
    let place = call.find_place(told).await?;
    let color_of = |rank: usize| wishes[2 * rank];
    let mut colors: Vec<i64> = (0..call.ranks())
        .map(color_of)
        .filter(|&color| color != NO_COLOR)
        .collect();
    colors.sort_unstable();
    colors.dedup();
    let part = colors.binary_search(&own[0]).ok().map(|part| part as u32);
    let mut members: Vec<usize> = (0..call.ranks())
        .filter(|&rank| color_of(rank) == own[0])
        .collect();
    members.sort_by_key(|&rank| wishes[2 * rank + 1]);
    call.activity.waits_for(Phase::Creation);
    Ok(Parts {
        place,
        part,
        key,
        members,
    })
}

async fn conclude(
    call: &Call<'_>,
    parts: Parts,
    made: Result<Option<Arc<Endpoint>>>,
) -> Result<Option<Communicator>> {
    let slot = parts.place.slot;
    let made = call.conclude(parts.place, made).await?;
    let family = made.as_ref().map(|endpoint| Arc::clone(&endpoint.family));
    call.endpoint().family.add_part(slot, family);
    Ok(made.map(|endpoint| Communicator::new(endpoint, call.comm.timeout())))
}

/// Makes the two contexts of this rank's part. Every rank calls it: MPI waits for all inside.
fn make(call: &Call<'_>, parts: &Parts) -> Result<Option<Arc<Endpoint>>> {
    let Parts {
        place,
        part,
        key,
        members,
    } = parts;
    let (part, key, fresh) = (*part, *key, place.fresh);
    let engine = &call.endpoint().engine;
    let parent = &call.endpoint().context;
    let context = |agreed: u64| engine.transport().split(parent, &Split { agreed, part, key });
    let (user, private) = (context(fresh), context(fresh + 1));
    let (Some(user), Some(private)) = (user?, private?) else {
        return Ok(None);
    };
    let rank = members.iter().position(|&member| member == call.rank());
    let rank = rank.ok_or_else(|| Error::invalid("this rank is not in its own part"))?;
    let group: Arc<[usize]> = members.iter().map(|&member| parent.group[member]).collect();
    let context = |handle: u64| Context {
        handle,
        rank,
        group: Arc::clone(&group),
    };
    Endpoint::new(engine, context(user), &Family::new(context(private)), 0).map(Some)
}
