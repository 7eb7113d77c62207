//! Communicators of some of the ranks: what `split` and its relatives share.
//!
//! Every rank tells all others what it wishes, so that each knows the ranks of its part, and what is wrong, as all
//! others do.

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

/// What a rank wishes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    /// Ranks with the same color get a communicator; not negative.
    pub color: Option<i64>,
    /// Orders the ranks of a part, and among equal keys the rank.
    pub key: i32,
    /// What else the operation compares.
    pub terms: [i64; 2],
}

const WISH_NUMBERS: usize = 4;
const NO_COLOR: i64 = -1;

impl Wish {
    /// To be in no part.
    pub(super) const NONE: Wish = Wish {
        color: None,
        key: 0,
        terms: [0; 2],
    };

    fn written(&self) -> [i64; WISH_NUMBERS] {
        let [first, second] = self.terms;
        [self.color.unwrap_or(NO_COLOR), self.key.into(), first, second]
    }

    fn read(numbers: &[i64]) -> Wish {
        Wish {
            color: (numbers[0] != NO_COLOR).then_some(numbers[0]),
            key: numbers[1] as i32,
            terms: [numbers[2], numbers[3]],
        }
    }
}

/// Divides the ranks as they wish, if `check` finds nothing wrong with what they wish together.
pub(super) fn divide(
    comm: &Communicator,
    operation: Operation,
    wish: Result<Wish>,
    check: impl Fn(&[Wish]) -> Result<()> + Send,
) -> Result<Option<Communicator>> {
    let blocking = Blocking::enter(comm, operation, &())?;
    let call = blocking.call();
    let parts = blocking.run(agree_on_parts(&call, wish, check))?;
    // MPI waits for all ranks inside: nobody's operations may depend on this thread meanwhile.
    let made = comm.endpoint.call_library(call.activity, || make(&call, &parts));
    blocking.run(conclude(&call, parts, made))
}

/// What becomes of this rank.
struct Parts {
    place: Place,
    /// The number of this rank's part, if it is in one.
    part: Option<u32>,
    key: i32,
    /// The ranks of this rank's part, in their new order.
    members: Vec<usize>,
}

async fn agree_on_parts(
    call: &Call<'_>,
    wish: Result<Wish>,
    check: impl Fn(&[Wish]) -> Result<()>,
) -> Result<Parts> {
    let (own, local) = match wish {
        Ok(wish) => (wish, Ok(())),
        Err(error) => (Wish::NONE, Err(error)),
    };
    let written = own.written();
    let mut numbers = vec![0; WISH_NUMBERS * call.ranks()];
    call.begin().await?;
    let told = allgather(call, &written.lower(), &numbers.lower_mut(), local).await;
    let wishes: Vec<Wish> = numbers.chunks(WISH_NUMBERS).map(Wish::read).collect();
    let place = call.find_place(told.and_then(|()| check(&wishes))).await?;
    let mut colors: Vec<i64> = wishes.iter().filter_map(|wish| wish.color).collect();
    colors.sort_unstable();
    colors.dedup();
    let part = own
        .color
        .and_then(|color| colors.binary_search(&color).ok())
        .map(|part| part as u32);
    let mut members: Vec<usize> = (0..call.ranks())
        .filter(|&rank| wishes[rank].color == own.color)
        .collect();
    members.sort_by_key(|&rank| wishes[rank].key);
    call.activity.waits_for(Phase::Creation);
    Ok(Parts {
        place,
        part,
        key: own.key,
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
        is_private: false,
    };
    let made = Endpoint::new(engine, context(user), &Family::new(context(private)), 0)?;
    made.plan_by(call.endpoint().ladders().table());
    Ok(Some(made))
}
