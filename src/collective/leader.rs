//! Reductions by one kernel, which reads the elements of all ranks and writes the results of all: where they share a GPU.
//!
//! Ranks know whether they do when they have agreed. So a rank that others could reach takes no memory for the other
//! algorithms before; where one of them is taken after all, the ranks agree once more, when each has the memory.

use super::Call;
use super::agreement::{Agreed, Reach, Terms};
use super::reduce::{Inputs, own_or_note};
use crate::buffer::Span;
use crate::engine::{Phase, Transfer};
use crate::error::Result;
use crate::op::Op;
use crate::path::Path;
use crate::plan::Algorithm;

/// Whether the leader has folded the elements.
pub(super) enum Led<'a> {
    Folded,
    /// What the ranks have agreed on, and the memory for other algorithms.
    Not(Agreed<'a>, Option<Inputs>),
}

impl Call<'_> {
    /// Where a kernel reaches the elements and the result of this rank, for [`Terms::reach`]: 0 where other ranks cannot, or
    /// need not.
    pub(super) fn reach(&self, own: &Span<'_>, result: Option<&Span<'_>>) -> u32 {
        if own.lane().is_none() || !self.is_checked() || !self.would_lead(own.bytes()) {
            return 0;
        }
        let endpoint = self.endpoint();
        let spans: Vec<&Span<'_>> = [Some(own), result].into_iter().flatten().collect();
        match endpoint.has_several_gpus() {
            true => 0,
            false => Transfer::reach(
                endpoint.engine.transport(),
                &endpoint.family.private,
                &spans,
                own.bytes(),
            ),
        }
    }

    /// Tries to have the leader's kernel fold the elements of all ranks, after an agreement on `terms`. Where it does not, the
    /// ranks agree on that, and on the memory that another algorithm needs: that agreement, and the memory.
    pub(super) async fn led<'c>(
        &'c self,
        terms: Terms,
        mut agreed: Agreed<'c>,
        inputs: Option<Inputs>,
        needed: impl FnOnce() -> Result<Option<Inputs>>,
        (leader, own, result, op): (usize, &Span<'_>, Option<&Span<'_>>, Op),
    ) -> Result<Led<'c>> {
        match agreed.reach {
            Reach::Nobody => return Ok(Led::Not(agreed, inputs)),
            Reach::All if self.folds_together(leader, own, result, op).await? => {
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

    /// Has the leader's kernel fold the elements of all ranks into the results of those that get one; whether it could.
    async fn folds_together(
        &self,
        leader: usize,
        own: &Span<'_>,
        result: Option<&Span<'_>>,
        op: Op,
    ) -> Result<bool> {
        let (transport, private) = (
            self.endpoint().engine.transport(),
            &self.endpoint().family.private,
        );
        match leader == self.rank() {
            true => self.activity.waits_for(Phase::Data),
            false => self.activity.waits_for_rank(Phase::Data, leader),
        }
        // SAFETY: both are borrowed until this future ends or is dropped. The result is not shorter, as was checked before
        // the agreement, and is the same span or that of another buffer.
        let transfer =
            unsafe { Transfer::fold_together(transport, private, (leader, self.tag()), op, own, result) };
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
