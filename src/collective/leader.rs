//! Reductions by kernels of one rank, which read the elements of all ranks and write their results: where they share a
//! GPU.
//!
//! Ranks know whether they do when they have agreed. So a rank that others could reach takes no memory for the other
//! algorithms before; where one of them is taken after all, the ranks agree once more, when each has the memory.

use super::Call;
use super::agreement::{Agreed, Reach, Terms};
use super::fold_plan::FoldPlan;
use super::reduce::{Inputs, own_or_note};
use crate::buffer::Span;
use crate::engine::{Phase, Transfer};
use crate::error::Result;
use crate::path::Path;
use crate::plan::Algorithm;

/// Whether the leader has folded the elements.
pub(super) enum Led<'a> {
    Folded,
    /// What the ranks have agreed on, and the memory for other algorithms.
    Not(Agreed<'a>, Option<Inputs>),
}

impl Call<'_> {
    /// Where kernels reach the elements and the result of this rank, for [`Terms::reach`]: 0 where other ranks cannot, or
    /// need not.
    pub(super) fn reach(&self, plan: &FoldPlan<'_>) -> u32 {
        if plan.own.lane().is_none() || !self.is_checked() || !self.would_lead(plan.bytes) {
            return 0;
        }
        let endpoint = self.endpoint();
        let spans: Vec<(&Span<'_>, usize)> = [Some((plan.own, plan.own.bytes())), plan.result]
            .into_iter()
            .flatten()
            .collect();
        match endpoint.has_several_gpus() {
            true => 0,
            false => Transfer::reach(endpoint.engine.transport(), &endpoint.family.private, &spans),
        }
    }

    /// Tries to have the leader's kernels fold the elements of all ranks, after an agreement on `terms`. Where they do not,
    /// the ranks agree on that, and on the memory that another algorithm needs: that agreement, and the memory.
    pub(super) async fn led<'c>(
        &'c self,
        terms: Terms,
        mut agreed: Agreed<'c>,
        inputs: Option<Inputs>,
        needed: impl FnOnce() -> Result<Option<Inputs>>,
        plan: &FoldPlan<'_>,
    ) -> Result<Led<'c>> {
        match agreed.reach {
            Reach::Nobody => return Ok(Led::Not(agreed, inputs)),
            Reach::All if self.folds_together(plan).await? => {
                return agreed.over().map(|()| Led::Folded);
            }
            Reach::All | Reach::Some => {}
            // It will be so with the next buffers.
            Reach::Apart => self.endpoint().note_several_gpus(),
        }
        let mut local = agreed.failure.take().map_or(Ok(()), Err);
        let inputs = match terms.reach {
            0 => inputs,
            _ => own_or_note(needed(), &mut local).flatten(),
        };
        let agreed = self.agree(Terms { reach: 0, ..terms }, local, None).await?;
        Ok(Led::Not(agreed, inputs))
    }

    /// Has the leader's kernels fold the elements of all ranks into the results of those that get one; whether they could.
    async fn folds_together(&self, plan: &FoldPlan<'_>) -> Result<bool> {
        let (transport, private) = (
            self.endpoint().engine.transport(),
            &self.endpoint().family.private,
        );
        match plan.leader == self.rank() {
            true => self.activity.waits_for(Phase::Data),
            false => self.activity.waits_for_rank(Phase::Data, plan.leader),
        }
        // SAFETY: both are borrowed until this future ends or is dropped. They are as long as the plan says, which was
        // checked before the agreement, and are the same span or different buffers; the plan's order is one for results in
        // place.
        let transfer = unsafe {
            let (route, buffers) = ((plan.leader, self.tag()), (plan.own, plan.result));
            Transfer::fold_together(transport, private, route, plan.op, buffers, &plan.tasks)
        };
        // The others wait for this rank, which could not even say that it has failed.
        let transfer = transfer.inspect_err(|error| self.endpoint().poison_with(error))?;
        let is_folded = transfer.await?.bytes > 0;
        if is_folded {
            self.takes(Algorithm::Leader);
            let neighbour = (self.rank() + 1) % self.ranks();
            self.activity
                .goes(match transport.shares_process(private, neighbour) {
                    true => Path::SameProcess,
                    false => Path::SameGpuIpc,
                });
        }
        Ok(is_folded)
    }
}
