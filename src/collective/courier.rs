//! The messages of a collective's data, in which a rank that has failed still sends all that it owes.

use super::Call;
use super::agreement::Agreed;
use crate::buffer::Span;
use crate::device::{Device, Fold, Lane};
use crate::dtype::Dtype;
use crate::engine::{Phase, Slab, Transfer};
use crate::error::{Error, ErrorKind, Result};
use crate::op::Op;
use crate::transport::LARGEST_MESSAGE_BYTES;
use std::sync::Arc;

/// Sends and receives one round of a collective's data after another.
///
/// After a failure what is sent is an empty message, the mark by which receivers know that they cannot go
/// on either; so nobody waits for ever, and the communicator stays usable.
pub(super) struct Courier<'a> {
    call: &'a Call<'a>,
    failure: Option<Error>,
    receives: Vec<Incoming<'a>>,
    sends: Vec<(usize, Transfer<'a>)>,
}

struct Incoming<'a> {
    from: usize,
    bytes: usize,
    /// Bools from a rank with which nothing was agreed may be any bytes.
    unchecked_bools: Option<Bools>,
    transfer: Transfer<'a>,
}

/// Received bools.
struct Bools {
    pointer: *mut u8,
    lane: Option<Arc<Lane>>,
}

// SAFETY: the memory is the courier's to write until its owner gets it back.
unsafe impl Send for Bools {}
// SAFETY: as above; a shared reference gives out nothing.
unsafe impl Sync for Bools {}

impl Bools {
    /// Makes bools of any bytes: every one but 0 is true.
    ///
    /// # Safety
    /// So many bytes may be written at the pointer.
    unsafe fn normalize(&self, bytes: usize) -> Result<()> {
        let Bools { pointer, lane } = self;
        if let Some(lane) = lane {
            let what = Fold {
                op: Op::LogicalOr,
                dtype: Dtype::Bool,
            };
            // SAFETY: the caller's promise. The kernel takes every byte but 0 for true.
            return unsafe { lane.fold(what, &[pointer.cast_const()], *pointer, bytes) };
        }
        // SAFETY: the caller's promise.
        let bools = unsafe { std::slice::from_raw_parts_mut(*pointer, bytes) };
        bools.iter_mut().for_each(|byte| *byte = u8::from(*byte != 0));
        Ok(())
    }
}

impl<'a> Courier<'a> {
    /// A courier for what was agreed on; a failure to send a frame is its first.
    pub(super) fn new(call: &'a Call<'a>, agreed: &mut Agreed<'_>) -> Courier<'a> {
        Courier {
            failure: agreed.failure.take(),
            ..Courier::of(call)
        }
    }

    /// A courier for messages that no agreement has preceded.
    pub(super) fn of(call: &'a Call<'a>) -> Courier<'a> {
        Courier {
            call,
            failure: None,
            receives: Vec::new(),
            sends: Vec::new(),
        }
    }

    /// Remembers the first failure.
    pub(super) fn note(&mut self, outcome: Result<()>) {
        if let Err(error) = outcome {
            self.failure.get_or_insert(error);
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Starts to send a span.
    ///
    /// # Safety
    /// The span's memory is not written before [`finish`](Self::finish) or the drop of the courier.
    pub(super) unsafe fn send(&mut self, to: usize, span: &Span<'_>) {
        let call = self.call;
        let (transport, private, tag) = (
            call.endpoint().engine.transport(),
            &call.endpoint().family.private,
            call.tag(),
        );
        for part in pieces(span.bytes(), LARGEST_MESSAGE_BYTES) {
            if self.failure.is_none() {
                // SAFETY: within the span; the caller's promise.
                let sent = unsafe { Transfer::send_part(transport, private, to, tag, span, part) };
                match sent {
                    Ok(transfer) => {
                        self.sends.push((to, transfer));
                        continue;
                    }
                    Err(error) => self.note(Err(error)),
                }
            }
            match Transfer::send_slab(transport, private, to, tag, Slab::take(), 0) {
                Ok(transfer) => self.sends.push((to, transfer)),
                Err(error) => {
                    // Not even the mark can be sent: the peer waits, and the ranks are in different places.
                    call.endpoint().poison_with(&error);
                    self.note(Err(error));
                }
            }
        }
    }

    /// Starts to receive into a span.
    ///
    /// # Safety
    /// The span's memory may be written, and is not used before [`finish`](Self::finish) or the drop of
    /// the courier.
    pub(super) unsafe fn receive(&mut self, from: usize, span: &Span<'_>) {
        let call = self.call;
        let (transport, private, tag) = (
            call.endpoint().engine.transport(),
            &call.endpoint().family.private,
            call.tag(),
        );
        for part in pieces(span.bytes(), LARGEST_MESSAGE_BYTES) {
            // SAFETY: within the span; the caller's promise.
            let posted = unsafe { Transfer::receive_part(transport, private, from, tag, span, part) };
            let (first, bytes) = part;
            match posted {
                Ok(transfer) => {
                    let is_unchecked = span.dtype() == Dtype::Bool && !call.is_checked();
                    let unchecked_bools = is_unchecked.then(|| Bools {
                        // SAFETY: within the span.
                        pointer: unsafe { span.pointer().add(first) },
                        lane: span.lane().cloned(),
                    });
                    self.receives.push(Incoming {
                        from,
                        bytes,
                        unchecked_bools,
                        transfer,
                    });
                }
                Err(error) => self.note(Err(error)),
            }
        }
    }

    /// Waits until everything that was started is over.
    pub(super) async fn finish(&mut self) {
        for Incoming {
            from,
            bytes,
            unchecked_bools,
            transfer,
        } in std::mem::take(&mut self.receives)
        {
            self.call.activity.waits_for_rank(Phase::Data, from);
            let outcome = match transfer.await {
                Ok(delivery) if delivery.bytes == bytes => Ok(()),
                Ok(_) => Err(Error::new(
                    ErrorKind::PeerFailed,
                    format!("rank {from} failed while the data were on their way; the output is unspecified"),
                )),
                Err(error) => Err(error),
            };
            if let Some(bools) = unchecked_bools {
                // SAFETY: the transfer is over; these bytes are the span's.
                self.note(unsafe { bools.normalize(bytes) });
            }
            self.note(outcome);
        }
        for (to, transfer) in std::mem::take(&mut self.sends) {
            // Also where there is nothing to receive: a caller must not take back what is being sent.
            self.call.activity.waits_for_rank(Phase::Data, to);
            let outcome = transfer.await.map(drop);
            self.note(outcome);
        }
    }

    /// The first failure, if there was one.
    pub(super) fn outcome(self) -> Result<()> {
        self.failure.map_or(Ok(()), Err)
    }
}

/// The pieces of a message that a transport takes: first byte and length.
fn pieces(bytes: usize, largest: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..bytes.div_ceil(largest)).map(move |piece| {
        let first = piece * largest;
        (first, largest.min(bytes - first))
    })
}

#[cfg(test)]
mod tests {
    use super::pieces;

    #[test]
    fn pieces_cover_the_message() {
        assert_eq!(pieces(0, 4).count(), 0);
        assert_eq!(pieces(9, 4).collect::<Vec<_>>(), [(0, 4), (4, 4), (8, 1)]);
        assert_eq!(pieces(8, 4).collect::<Vec<_>>(), [(0, 4), (4, 4)]);
    }
}
