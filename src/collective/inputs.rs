//! What the other ranks contribute to a fold, and the fold of it.

use super::agreement::Agreed;
use super::courier::Courier;
use super::fetched::Fetched;
use super::levels::{self, Rooms};
use super::reduce::Candidates;
use super::{Call, copy};
use crate::buffer::{Blocks, Span};
use crate::device::{Fold, Lane, Place, Scratch};
use crate::error::{Error, Result};
use crate::op::Op;
use crate::plan::Algorithm;
use std::ops::Range;
use std::sync::Arc;

/// Room for what the other ranks contribute to a fold, where the fold is computed: on the host for few elements, or else
/// on the GPU that this rank's elements are on, or the result is.
pub(super) struct Inputs {
    pub(super) fetched: Fetched,
    levels: Option<Box<Rooms>>,
    scratch: Scratch,
    lane: Option<Arc<Lane>>,
    place: Place,
    /// Bytes from one rank's contribution to the next.
    stride: usize,
    /// The ranks that contribute.
    ranks: Range<usize>,
}

/// Those of `ranks` that are not this one, the next one first.
fn others(call: &Call<'_>, ranks: &Range<usize>) -> impl Iterator<Item = usize> {
    call.others().filter(|other| ranks.contains(other))
}

/// Contributions start on cache lines.
const LINE_BYTES: usize = 64;

impl Inputs {
    /// Room for `elements` elements of each rank.
    pub(super) fn new(
        call: &Call<'_>,
        own: &Span<'_>,
        result: Option<&Span<'_>>,
        elements: usize,
    ) -> Result<Inputs> {
        Inputs::of_ranks(call, 0..call.ranks(), own, result, elements)
    }

    /// Room for `elements` elements of each of `ranks`, from rank 0 on.
    pub(super) fn of_ranks(
        call: &Call<'_>,
        ranks: Range<usize>,
        own: &Span<'_>,
        result: Option<&Span<'_>>,
        elements: usize,
    ) -> Result<Inputs> {
        let fetched = Fetched::new(call, own, result)?;
        let (own, result) = (fetched.own(own), result.map(|result| fetched.result(result)));
        let home = [Some(&own), result.as_ref()]
            .into_iter()
            .flatten()
            .find(|span| span.lane().is_some());
        let (lane, place) = home.map_or((None, Place::Host), |home| (home.lane().cloned(), home.place()));
        let stride = (elements * own.dtype().size()).next_multiple_of(LINE_BYTES);
        // One room more for what is elsewhere: this rank's elements or the result, of which one is here.
        let elsewhere = result.as_ref().is_some_and(|result| !own.shares_memory(result));
        let rooms = others(call, &ranks).count() + usize::from(elsewhere);
        let scratch = Scratch::new(lane.as_ref(), stride.saturating_mul(rooms))?;
        drop((own, result));
        Ok(Inputs {
            fetched,
            levels: None,
            scratch,
            lane,
            place,
            stride,
            ranks,
        })
    }

    /// Room for whatever a reduction may take on a rank that folds.
    pub(super) fn of_candidates(
        call: &Call<'_>,
        candidates: Candidates,
        own: &Span<'_>,
        result: Option<&Span<'_>>,
    ) -> Result<Inputs> {
        // Where there is room for all elements, there is for blocks.
        let elements = if candidates.have(Algorithm::Direct) && result.is_some() {
            own.elements()
        } else if candidates.have(Algorithm::Blocks) {
            Blocks::even(own.elements(), call.ranks()).count(call.rank())
        } else {
            0
        };
        let mut inputs = Inputs::new(call, own, result, elements)?;
        if candidates.have(Algorithm::Levels)
            && let Some(levels) = call.endpoint().ladders().levels()
        {
            let rooms = Rooms::new(call, levels, &inputs.fetched.own(own))?;
            inputs.levels = Some(Box::new(rooms));
        }
        Ok(inputs)
    }

    /// Reduces in two levels, into all ranks' results or that of the root.
    pub(super) async fn in_levels(
        &self,
        call: &Call<'_>,
        own: &Span<'_>,
        result: Option<&Span<'_>>,
        op: Op,
        root: Option<usize>,
        agreed: &mut Agreed<'_>,
    ) -> Result<()> {
        match &self.levels {
            Some(rooms) => levels::reduce(call, rooms, own, result, op, root, agreed).await,
            None => Err(Error::invalid("a reduction in levels without memory for it")),
        }
    }

    /// The elements of one contribution; `index` counts all but this rank's own.
    fn room(&self, index: usize, like: &Span<'_>) -> Span<'_> {
        // SAFETY: there is room for one contribution of each other rank, and one more where it is asked for.
        let pointer = unsafe { self.scratch.pointer().add(index * self.stride) };
        Span::scratch(
            pointer,
            like.elements(),
            like.dtype(),
            self.place,
            self.lane.clone(),
        )
    }

    /// Where the contribution of `rank` lies; not this rank's own.
    pub(super) fn of(&self, call: &Call<'_>, rank: usize, like: &Span<'_>) -> Span<'_> {
        self.room(if rank < call.rank() { rank } else { rank - 1 }, like)
    }

    /// Starts to receive the contributions of the other ranks, of the length of `like`.
    pub(super) fn receive(&self, call: &Call<'_>, courier: &mut Courier<'_>, like: &Span<'_>) {
        for other in others(call, &self.ranks) {
            // SAFETY: the room is this contribution's alone, and is read after `finish`.
            unsafe { courier.receive(other, &self.of(call, other, like)) };
        }
    }

    /// Starts to receive a part of the contributions of the other ranks, of which `like` is this rank's.
    pub(super) fn receive_part(
        &self,
        call: &Call<'_>,
        courier: &mut Courier<'_>,
        like: &Span<'_>,
        part: Range<usize>,
    ) -> Result<()> {
        for other in others(call, &self.ranks) {
            let room = self.of(call, other, like);
            // SAFETY: as in `receive`, and it is read when it has arrived.
            unsafe { courier.receive(other, &room.part(part.start, part.len())?) };
        }
        Ok(())
    }

    /// No elements, where folds of such are computed.
    pub(super) fn home(&self, like: &Span<'_>) -> Span<'static> {
        Span::scratch(
            self.scratch.pointer(),
            0,
            like.dtype(),
            self.place,
            self.lane.clone(),
        )
    }

    /// Folds the contributions of the ranks into `result`, `own` being this rank's.
    pub(super) async fn fold(
        &self,
        call: &Call<'_>,
        own: &Span<'_>,
        result: &Span<'_>,
        op: Op,
    ) -> Result<()> {
        self.fold_part(call, own, result, op, 0..own.elements()).await
    }

    /// Folds some elements of the contributions.
    pub(super) async fn fold_part(
        &self,
        call: &Call<'_>,
        own: &Span<'_>,
        result: &Span<'_>,
        op: Op,
        part: Range<usize>,
    ) -> Result<()> {
        let whole = own;
        let (own, result) = (
            &own.part(part.start, part.len())?,
            &result.part(part.start, part.len())?,
        );
        let home = self.home(own);
        let (own_is_here, result_is_here) = (own.shares_memory(&home), result.shares_memory(&home));
        // There is room for it only where it is needed.
        let room = self.room(others(call, &self.ranks).count(), whole);
        let extra = match own_is_here && result_is_here {
            true => home.alias(),
            false => room.part(part.start, part.len())?,
        };
        if !own_is_here && self.ranks.contains(&call.rank()) {
            copy(own, &extra).await?;
        }
        {
            let own = if own_is_here { own } else { &extra };
            let target = if result_is_here { result } else { &extra };
            let first = part.start * own.dtype().size();
            let inputs = self.ranks.clone().map(|rank| match rank == call.rank() {
                true => own.pointer().cast_const(),
                // SAFETY: within the contribution, as within this rank's.
                false => unsafe { self.of(call, rank, whole).pointer().add(first) }.cast_const(),
            });
            home.after(own)?;
            home.after(target)?;
            fold(&home, inputs.collect(), own, target, op)?;
            own.after(&home)?;
            target.after(&home)?;
        }
        match result_is_here {
            true => Ok(()),
            false => copy(&extra, result).await,
        }
    }
}

/// Folds inputs of the length and type of `like`, all of them where `home` is.
pub(super) fn fold(
    home: &Span<'_>,
    inputs: Vec<*const u8>,
    like: &Span<'_>,
    result: &Span<'_>,
    op: Op,
) -> Result<()> {
    let what = Fold {
        op,
        dtype: like.dtype(),
    };
    if result.elements() < like.elements() {
        return Err(Error::invalid("a result that is shorter than its inputs"));
    }
    // SAFETY: the inputs hold as many elements as `like`; `result` has room for as many, and is `like` itself
    // or other memory.
    unsafe {
        home.device()
            .fold(what, &inputs, result.pointer(), like.elements())
    }
}
