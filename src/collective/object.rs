//! Collectives on bytes whose number only their owner knows: what objects travel by.
//!
//! They are made of steps, each an agreement of all ranks and perhaps data behind it, and between two steps the
//! caller serializes, deserializes or folds. The first sees to it that all ranks are in the same operation and
//! ready. From then on every rank goes through every step, whatever has failed: an error of its own it takes into
//! the next agreement, and so to all.

use super::Blocking;
use super::agreement::Terms;
use super::allgather::allgather;
use super::alltoall::alltoall;
use super::alltoallv::alltoallv;
use super::bcast::bcast;
use super::courier::Courier;
use super::gather::gather;
use super::gatherv::gatherv;
use super::scatter::scatter;
use super::scatterv::scatterv;
use crate::buffer::lower::{Lower, LowerMut};
use crate::buffer::{Blocks, Span};
use crate::comm::Communicator;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::Operation;

/// One collective on objects under way on this rank.
pub(crate) struct Steps<'a>(Blocking<'a>);

/// Objects one behind the other, a block for each rank.
#[derive(Default)]
pub(crate) struct Packed {
    pub bytes: Vec<u8>,
    pub blocks: Blocks,
}

impl Packed {
    /// The object of a rank.
    pub(crate) fn of(&self, rank: usize) -> &[u8] {
        self.bytes.get(self.blocks.range(rank)).unwrap_or(&[])
    }

    fn lengths(&self, ranks: usize) -> Vec<u64> {
        (0..ranks).map(|rank| self.blocks.count(rank) as u64).collect()
    }

    /// Room for objects of these lengths.
    fn reserve(&mut self, lengths: &[u64]) -> Result<()> {
        let counts: Result<Vec<usize>> = lengths.iter().map(|&length| count(length)).collect();
        let blocks = Blocks::packed(counts?);
        self.bytes = zeroed(blocks.total())?;
        self.blocks = blocks;
        Ok(())
    }
}

/// The word of a rank that has nothing to hand over.
const NOTHING: u64 = u64::MAX;

impl<'a> Steps<'a> {
    /// Enters a collective on objects.
    pub(crate) fn enter(comm: &'a Communicator, operation: Operation) -> Result<Steps<'a>> {
        let named = |error| comm.activity(operation.name()).name(error);
        comm.endpoint.check_native().map_err(named)?;
        Blocking::enter(comm, operation, &()).map(Steps)
    }

    /// Sees to it that all ranks are in this operation, with the same root if there is one, and ready. If not, all
    /// leave it.
    pub(crate) fn begin(&self, root: Option<usize>, local: Result<()>) -> Result<()> {
        let Steps(blocking) = self;
        let call = &blocking.call();
        let local = root.map_or(Ok(()), |root| call.check_root(root)).and(local);
        let terms = Terms { root, ..Terms::NONE };
        blocking.run(async { call.agree(terms, local, None).await?.over() })
    }

    /// The end: an error of any rank is an error on all.
    pub(crate) fn settle(&self, local: Result<()>) -> Result<()> {
        let Steps(blocking) = self;
        let call = &blocking.call();
        blocking.run(async { call.agree(Terms::NONE, local, None).await?.over() })
    }

    /// Brings every rank the bytes of `root`; what other ranks have is not used.
    pub(crate) fn bcast(&self, bytes: Result<Vec<u8>>, root: usize) -> Result<Vec<u8>> {
        let Steps(blocking) = self;
        let call = &blocking.call();
        let (mut bytes, local) = match bytes {
            Ok(bytes) => (bytes, Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        };
        blocking.run(async {
            let mut length = [bytes.len() as u64];
            let told = bcast(call, &length.lower_mut(), root, local).await;
            let ready = told.and_then(|()| {
                if call.rank() != root {
                    bytes = zeroed(count(length[0])?)?;
                }
                call.activity.measures(bytes.len());
                Ok(())
            });
            bcast(call, &bytes.lower_mut(), root, ready).await
        })?;
        Ok(bytes)
    }

    /// Collects the bytes of every rank at `root`, or at every rank; elsewhere the result is empty.
    pub(crate) fn gather(&self, own: &[u8], root: Option<usize>) -> Result<Packed> {
        let Steps(blocking) = self;
        let call = &blocking.call();
        let mut all = Packed::default();
        blocking.run(async {
            call.activity.measures(own.len());
            let length = [own.len() as u64];
            let mut lengths = vec![0u64; call.ranks()];
            let told = {
                let (length, lengths) = (length.lower(), lengths.lower_mut());
                match root {
                    Some(root) => gather(call, &length, &lengths, root, Ok(())).await,
                    None => allgather(call, &length, &lengths, Ok(())).await,
                }
            };
            let collects = root.is_none_or(|root| root == call.rank());
            let ready = told.and_then(|()| match collects {
                true => all.reserve(&lengths),
                false => Ok(()),
            });
            let blocks = blocks_if(ready.is_ok() && collects, &all, call.ranks());
            let own = checked(own.lower(), &ready);
            gatherv(call, &own, &all.bytes.lower_mut(), &blocks, root).await
        })?;
        Ok(all)
    }

    /// Brings every rank its block of what `root` has; what other ranks have is not used.
    pub(crate) fn scatter(&self, all: &Packed, root: usize) -> Result<Vec<u8>> {
        let Steps(blocking) = self;
        let call = &blocking.call();
        let mut own = Vec::new();
        blocking.run(async {
            let mut length = [0u64];
            let lengths = all.lengths(call.ranks());
            let told = scatter(call, &lengths.lower(), &length.lower_mut(), root, Ok(())).await;
            let ready = told.and_then(|()| {
                own = zeroed(count(length[0])?)?;
                call.activity.measures(own.len());
                Ok(())
            });
            let blocks = blocks_if(ready.is_ok(), all, call.ranks());
            let own = checked(own.lower_mut(), &ready);
            scatterv(call, &all.bytes.lower(), &blocks, &own, root).await
        })?;
        Ok(own)
    }

    /// Brings every rank its block of what every rank has.
    pub(crate) fn alltoall(&self, outgoing: &Packed) -> Result<Packed> {
        let Steps(blocking) = self;
        let call = &blocking.call();
        let mut incoming = Packed::default();
        blocking.run(async {
            call.activity.measures(outgoing.bytes.len());
            let lengths = outgoing.lengths(call.ranks());
            let mut told = vec![0u64; call.ranks()];
            let ready = alltoall(call, &lengths.lower(), &told.lower_mut(), Ok(())).await;
            let ready = ready.and_then(|()| incoming.reserve(&told));
            let into = incoming.blocks.clone();
            let send = (&outgoing.bytes.lower(), &outgoing.blocks);
            alltoallv(call, send, (&incoming.bytes.lower_mut(), &into), ready).await
        })?;
        Ok(incoming)
    }

    /// Hands bytes over to another rank, which calls [`take_over`](Self::take_over); nothing, if there are none.
    pub(crate) fn hand_over(&self, to: usize, bytes: Option<&[u8]>) -> Result<()> {
        let Steps(blocking) = self;
        let call = &blocking.call();
        blocking.run(async {
            let length = [bytes.map_or(NOTHING, |bytes| bytes.len() as u64)];
            let mut answer = [0u64];
            let mut courier = Courier::of(call);
            {
                let (length, answer) = (length.lower(), answer.lower_mut());
                // SAFETY: separate memory, which nobody uses before `finish`.
                unsafe {
                    courier.receive(to, &answer);
                    courier.send(to, &length);
                }
                courier.finish().await;
            }
            if let Some(bytes) = bytes
                && answer == [1]
            {
                call.activity.measures(bytes.len());
                // SAFETY: only read.
                unsafe { courier.send(to, &bytes.lower()) };
                courier.finish().await;
            }
            courier.outcome()
        })
    }

    /// Takes what another rank hands over; `None` if that has nothing.
    pub(crate) fn take_over(&self, from: usize) -> Result<Option<Vec<u8>>> {
        let Steps(blocking) = self;
        let call = &blocking.call();
        let mut bytes = Vec::new();
        let is_some = blocking.run(async {
            let mut length = [NOTHING];
            let mut courier = Courier::of(call);
            // SAFETY: nobody uses the word before `finish`.
            unsafe { courier.receive(from, &length.lower_mut()) };
            courier.finish().await;
            let is_some = length != [NOTHING];
            if is_some && !courier.has_failed() {
                let reserved = count(length[0]).and_then(zeroed).map(|memory| bytes = memory);
                courier.note(reserved);
            }
            // The other rank waits for this answer, whatever it is: 1, and it sends the bytes.
            let answer = [u64::from(is_some && !courier.has_failed())];
            // SAFETY: only read.
            unsafe { courier.send(from, &answer.lower()) };
            courier.finish().await;
            if answer == [1] && !courier.has_failed() {
                call.activity.measures(bytes.len());
                // SAFETY: nobody uses the bytes before `finish`.
                unsafe { courier.receive(from, &bytes.lower_mut()) };
                courier.finish().await;
            }
            courier.outcome().map(|()| is_some)
        })?;
        Ok(is_some.then_some(bytes))
    }
}

/// A span, of which an earlier failure says that it cannot be used.
fn checked<'s>(span: Span<'s>, ready: &Result<()>) -> Span<'s> {
    match ready {
        Ok(()) => span,
        Err(error) => span.failed(error),
    }
}

/// The blocks of what is packed, or empty ones, which fit everything.
fn blocks_if(packed: bool, all: &Packed, ranks: usize) -> Blocks {
    match packed && !all.blocks.is_empty() {
        true => all.blocks.clone(),
        false => Blocks::even(0, ranks),
    }
}

/// A length that another rank has told.
fn count(length: u64) -> Result<usize> {
    usize::try_from(length).map_err(|_| no_memory(length))
}

/// Memory for what other ranks send.
fn zeroed(bytes: usize) -> Result<Vec<u8>> {
    let mut memory = Vec::new();
    memory
        .try_reserve_exact(bytes)
        .map_err(|error| no_memory(bytes as u64).with_source(error))?;
    memory.resize(bytes, 0);
    Ok(memory)
}

fn no_memory(bytes: u64) -> Error {
    Error::new(
        ErrorKind::Device,
        format!("no memory for objects of {bytes} bytes"),
    )
}
