//! Reductions by kernels that reach the elements of other ranks: of one rank where all share a GPU, of every one where GPUs
//! reach each other's memory.
//!
//! Ranks know whether they do when they have agreed. So a rank that others could reach takes no memory for the other
//! algorithms before; where one of them is taken after all, the ranks agree once more, when each has the memory.

use super::agreement::{Agreed, Reach, Terms};
use super::fold_plan::FoldPlan;
use super::inputs::Inputs;
use super::reduce::own_or_note;
use super::temporary::Temporary;
use super::{Call, copy};
use crate::buffer::Span;
use crate::device::Fold;
use crate::engine::{Phase, Transfer, on_gpu};
use crate::error::Result;
use crate::path::Path;
use crate::plan::{Algorithm, Operation, Together};
use crate::transport::{DeviceMemory, Share, Whereabouts};

/// Whether kernels have folded the elements where they are.
pub(super) enum Outcome<'a> {
    Folded,
    /// What the ranks have agreed on, and the memory for other algorithms.
    Otherwise(Agreed<'a>, Option<Inputs>),
}

impl Call<'_> {
    /// Where kernels reach the elements and the result of this rank, for [`Terms::reach`].
    pub(super) fn reach(&self, plan: &FoldPlan<'_>) -> Whereabouts {
        let endpoint = self.endpoint();
        let is_possible = plan.own.lane().is_some()
            && self.is_checked()
            && self.would_take_together(plan.bytes(), Together::OneGpu) == Algorithm::Leader
            && !endpoint.is_out_of_reach();
        if !is_possible {
            return Whereabouts::NOWHERE;
        }
        let result = plan.result.map(|result| (result, plan.result_bytes(self)));
        let spans = [Some((plan.own, plan.own.bytes())), result];
        let memories: Result<Vec<DeviceMemory<'_>>> = spans
            .into_iter()
            .flatten()
            .map(|(span, bytes)| on_gpu(span, bytes))
            .collect();
        match memories {
            Ok(memories) => endpoint
                .engine
                .transport()
                .reach(&endpoint.family.private, &memories),
            Err(_) => Whereabouts::NOWHERE,
        }
    }

    /// Tries to have kernels fold the elements of all ranks where they are, after an agreement on `terms`. Where they do
    /// not, the ranks agree on that, and on the memory that another algorithm needs: that agreement, and the memory.
    #[inline]
    pub(super) async fn fold_together<'c>(
        &'c self,
        terms: Terms,
        agreed: Agreed<'c>,
        inputs: Option<Inputs>,
        needed: impl FnOnce() -> Result<Option<Inputs>>,
        plan: &FoldPlan<'_>,
    ) -> Result<Outcome<'c>> {
        match agreed.reach {
            Reach::Nobody => Ok(Outcome::Otherwise(agreed, inputs)),
            // Boxed, because it is long, and only where elements are on GPUs.
            _ => Box::pin(self.try_together(terms, agreed, inputs, needed, plan)).await,
        }
    }

    async fn try_together<'c>(
        &'c self,
        terms: Terms,
        mut agreed: Agreed<'c>,
        inputs: Option<Inputs>,
        needed: impl FnOnce() -> Result<Option<Inputs>>,
        plan: &FoldPlan<'_>,
    ) -> Result<Outcome<'c>> {
        let together = match agreed.reach {
            Reach::OneGpu => Some(Together::OneGpu),
            Reach::Neighbours => Some(Together::Neighbours),
            Reach::Nobody | Reach::Some | Reach::Apart => None,
        };
        if let Some(together) = together
            && self.folds(plan, together).await?
        {
            return agreed.over().map(|()| Outcome::Folded);
        }
        let is_for_good = match agreed.reach {
            Reach::Neighbours => true,
            // In place, the result of some ranks may be in memory beside, which says nothing about their buffers.
            Reach::Apart => self.operation != Operation::ReduceScatter,
            _ => false,
        };
        if is_for_good {
            // It will be so with the next buffers, as all ranks know.
            self.endpoint().note_out_of_reach();
        }
        let mut local = agreed.failure.take().map_or(Ok(()), Err);
        let inputs = match terms.reach {
            Whereabouts::NOWHERE => inputs,
            _ => own_or_note(needed(), &mut local).flatten(),
        };
        let terms = Terms {
            reach: Whereabouts::NOWHERE,
            ..terms
        };
        let agreed = self.agree(terms, local, None).await?;
        Ok(Outcome::Otherwise(agreed, inputs))
    }

    /// Has kernels fold the elements of all ranks into the results of those that get one; whether they could.
    async fn folds(&self, plan: &FoldPlan<'_>, together: Together) -> Result<bool> {
        let algorithm = self.would_take_together(plan.bytes(), together);
        let leader = plan.leader(algorithm);
        match leader.filter(|&leader| leader != self.rank()) {
            Some(leader) => self.activity.waits_for_rank(Phase::Data, leader),
            None => self.activity.waits_for(Phase::Data),
        }
        let mut local = Ok(());
        let bytes = plan.result_bytes(self);
        let beside = match plan.overwrites(algorithm) {
            true => own_or_note(
                Temporary::beside(plan.own, bytes / plan.own.dtype().size()),
                &mut local,
            ),
            false => None,
        };
        let target = beside.as_ref().map(Temporary::span).or(plan.result);
        let result = target.map(|target: &Span<'_>| on_gpu(target, bytes)).transpose();
        let share = Share {
            leader,
            tag: self.tag(),
            what: Fold {
                op: plan.op,
                dtype: plan.own.dtype(),
            },
            elements: on_gpu(plan.own, plan.own.bytes())?,
            result: own_or_note(result, &mut local).flatten(),
            tasks: plan.tasks(self, algorithm),
            failure: local.err(),
            poison: self.endpoint().share_poison(),
        };
        let (transport, private) = (
            self.endpoint().engine.transport(),
            &self.endpoint().family.private,
        );
        // SAFETY: elements and result are borrowed until this future ends or is dropped. They are as long as the plan says,
        // which was checked before the agreement, and are the same span or different buffers; where they are the same, the
        // plan overwrites nothing that is still to be read.
        let transfer = unsafe { Transfer::fold_together(transport, private, share) };
        // The others wait for this rank, which could not even say that it has failed.
        let transfer = transfer.inspect_err(|error| self.endpoint().poison_with(error))?;
        if transfer.await?.bytes == 0 {
            return Ok(false);
        }
        self.takes(algorithm);
        let neighbour = (self.rank() + 1) % self.ranks();
        let path = match together {
            _ if transport.shares_process(private, neighbour) => Path::SameProcess,
            Together::OneGpu => Path::SameGpuIpc,
            Together::Neighbours => Path::PeerGpuIpc,
        };
        self.activity.goes(path);
        if let (Some(beside), Some(result)) = (&beside, plan.result) {
            copy(beside.span(), result).await?;
        }
        Ok(true)
    }
}
