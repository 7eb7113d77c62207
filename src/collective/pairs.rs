//! What v-collectives share: how much goes from one rank to another is compared by these two.
//!
//! Counts that may differ among ranks are told beside the frames of the agreement. Whoever expects another count
//! than is sent says so in a second agreement, the verdict, before any data move.

use super::Call;
use super::agreement::{Agreed, Terms};
use super::courier::Courier;
use super::exchange::start_exchange;
use crate::buffer::lower::{Lower, LowerMut};
use crate::buffer::{Blocks, Span};
use crate::dtype::Dtype;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{Algorithm, DIRECT_FRAME_RANKS};

/// What a rank sends to another, or expects of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub count: usize,
    pub dtype: Dtype,
}

impl Part {
    pub(super) fn of(span: &Span<'_>) -> Part {
        Part {
            count: span.elements(),
            dtype: span.dtype(),
        }
    }

    /// One for each rank, as blocks say.
    pub(super) fn of_blocks(blocks: &Blocks, dtype: Dtype, ranks: usize) -> Vec<Part> {
        let part = |rank| Part {
            count: blocks.count(rank),
            dtype,
        };
        (0..ranks).map(part).collect()
    }

    fn word(self) -> Word {
        [self.count as u64, self.dtype.code().into()]
    }

    /// Whether this is what another rank has told; nothing fits nothing of any type.
    fn fits(self, told: Word) -> bool {
        told[0] == self.count as u64 && (self.count == 0 || told == self.word())
    }
}

/// A part on the wire: its count and the code of its type.
type Word = [u64; 2];

/// Agrees on `terms`, and on what goes from each rank to each other: `outgoing` is what this one sends to each,
/// `expected` what it gets.
pub(super) async fn agree<'c>(
    call: &'c Call<'_>,
    terms: Terms,
    local: Result<()>,
    outgoing: &[Part],
    expected: &[Part],
) -> Result<Agreed<'c>> {
    let rank = call.rank();
    let outgoing: Vec<Word> = outgoing.iter().map(|part| part.word()).collect();
    let riding = outgoing.as_flattened().lower();
    let rides = call.plan(riding.bytes()) == Algorithm::Frames;
    // That is about the counts; the elements themselves never ride.
    call.activity.takes(Algorithm::Direct);
    let mut agreed = call.agree(terms, local, rides.then_some(&riding)).await?;
    let told = match call.is_checked() && !rides {
        true => told_beside(call, &outgoing).await,
        false => {
            let from = |other: usize| match other == rank {
                true => Some(outgoing[rank]),
                // Without an agreement nobody has told anything.
                false => {
                    let mut words = agreed.payload(other).chunks_exact(size_of::<Word>());
                    words.nth(rank).map(bytemuck::pod_read_unaligned)
                }
            };
            Ok((0..call.ranks()).map(from).collect())
        }
    };
    let compared = told.and_then(|told| compare(rank, expected, &told));
    settle(call, &mut agreed, compared).await?;
    Ok(agreed)
}

fn compare(rank: usize, expected: &[Part], told: &[Option<Word>]) -> Result<()> {
    for (other, (part, told)) in expected.iter().zip(told).enumerate() {
        if let Some([count, code]) = told.filter(|&told| !part.fits(told)) {
            let dtype = Dtype::from_code(code as u8).map_or("elements", Dtype::name);
            let Part {
                count: there,
                dtype: other_dtype,
            } = part;
            return Err(Error::new(
                ErrorKind::Mismatch,
                format!("rank {other} sends {count} {dtype} where rank {rank} expects {there} {other_dtype}"),
            ));
        }
    }
    Ok(())
}

/// What every rank sends to this one, where it does not fit into frames.
async fn told_beside(call: &Call<'_>, outgoing: &[Word]) -> Result<Vec<Option<Word>>> {
    const LENGTH: usize = size_of::<Word>() / size_of::<u64>();
    let mut incoming = outgoing.to_vec();
    {
        let (own, all) = (
            outgoing.as_flattened().lower(),
            incoming.as_flattened_mut().lower_mut(),
        );
        let mut courier = Courier::of(call);
        // SAFETY: words of separate vectors, which nobody uses before `finish`.
        unsafe {
            start_exchange(
                call,
                &mut courier,
                |other| own.part(LENGTH * other, LENGTH),
                |other| all.part(LENGTH * other, LENGTH),
            )
        }?;
        courier.finish().await;
        courier.outcome()?;
    }
    Ok(incoming.into_iter().map(Some).collect())
}

/// The number of elements that each rank has told, `own` being this one's, at the ranks that `need` it; `None` where
/// it was not told.
pub(super) async fn counts(
    call: &Call<'_>,
    agreed: &Agreed<'_>,
    own: usize,
    need: impl Fn(usize) -> bool,
) -> Result<Vec<Option<u64>>> {
    let (rank, ranks) = (call.rank(), call.ranks());
    if ranks <= DIRECT_FRAME_RANKS || !call.is_checked() {
        let told = |other: usize| match other == rank {
            true => Some(own as u64),
            false => agreed.count(other),
        };
        return Ok((0..ranks).map(told).collect());
    }
    // Merged frames do not tell.
    let mut counts = vec![0u64; ranks];
    counts[rank] = own as u64;
    let own = [own as u64];
    {
        let (own, all) = (own.lower(), counts.lower_mut());
        let mut courier = Courier::of(call);
        // SAFETY: separate memory, which nobody uses before `finish`; each count is received once.
        unsafe {
            start_exchange(
                call,
                &mut courier,
                |other| own.part(0, usize::from(need(other))),
                |other| all.part(other, usize::from(need(rank))),
            )
        }?;
        courier.finish().await;
        courier.outcome()?;
    }
    Ok(counts
        .into_iter()
        .map(|count| need(rank).then_some(count))
        .collect())
}

/// Gives the verdict: all ranks fail together if one has found something wrong.
pub(super) async fn settle(call: &Call<'_>, agreed: &mut Agreed<'_>, found: Result<()>) -> Result<()> {
    let verdict = call.agree(Terms::NONE, found, None).await?;
    agreed.failure = agreed.failure.take().or(verdict.failure);
    Ok(())
}
