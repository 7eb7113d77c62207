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
use crate::buffer::{Blocks, Span, reserved};
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
}

/// Memory for bytes of other ranks, which nobody touches before they come: a rank may tell a length and send nothing.
#[derive(Default)]
struct Incoming {
    memory: Vec<u8>,
    length: usize,
}

impl Incoming {
    fn new(length: usize) -> Result<Incoming> {
        let memory = reserved(length, "objects")?;
        Ok(Incoming { memory, length })
    }

    /// Memory for as many bytes as another rank has told.
    fn told(length: u64) -> Result<Incoming> {
        count(length).and_then(Incoming::new)
    }

    /// Memory for objects of these lengths, a block for each.
    fn packed(lengths: &[u64]) -> Result<(Incoming, Blocks)> {
        let counts: Result<Vec<usize>> = lengths.iter().map(|&length| count(length)).collect();
        let blocks = Blocks::packed(counts?);
        Ok((Incoming::new(blocks.total())?, blocks))
    }

    fn span(&mut self) -> Span<'_> {
        Span::host(self.memory.as_mut_ptr(), self.length)
    }

    /// The bytes.
    ///
    /// # Safety
    /// All of them were received.
    unsafe fn received(mut self) -> Vec<u8> {
        // SAFETY: so many are reserved; the caller's promise.
        unsafe { self.memory.set_len(self.length) };
        self.memory
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
        let mut incoming = Incoming::default();
        blocking.run(async {
            let mut length = [bytes.len() as u64];
            let told = bcast(call, &length.lower_mut(), root, local).await;
            if call.rank() == root {
                call.activity.measures(bytes.len());
                return bcast(call, &bytes.lower_mut(), root, told).await;
            }
            let ready = told
                .and_then(|()| Incoming::told(length[0]))
                .map(|memory| incoming = memory);
            call.activity.measures(length[0] as usize);
            bcast(call, &incoming.span(), root, ready).await
        })?;
        match call.rank() == root {
            true => Ok(bytes),
            // SAFETY: the broadcast has succeeded.
            false => Ok(unsafe { incoming.received() }),
        }
    }

    /// Collects the bytes of every rank at `root`, or at every rank; elsewhere the result is empty.
    pub(crate) fn gather(&self, own: &[u8], root: Option<usize>) -> Result<Packed> {
        let Steps(blocking) = self;
        let call = &blocking.call();
        let (mut incoming, mut blocks) = (Incoming::default(), Blocks::default());
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
            let ready = told.and_then(|()| {
                if collects {
                    (incoming, blocks) = Incoming::packed(&lengths)?;
                }
                Ok(())
            });
            let into = blocks_if(ready.is_ok() && collects, &blocks, call.ranks());
            let own = checked(own.lower(), &ready);
            gatherv(call, &own, &incoming.span(), &into, root).await
        })?;
        // SAFETY: the blocks lie one behind the other, and each has come, where there are any.
        let bytes = unsafe { incoming.received() };
        Ok(Packed { bytes, blocks })
    }

    /// Brings every rank its block of what `root` has; what other ranks have is not used.
    pub(crate) fn scatter(&self, all: &Packed, root: usize) -> Result<Vec<u8>> {
        let Steps(blocking) = self;
        let call = &blocking.call();
        let mut own = Incoming::default();
        blocking.run(async {
            let mut length = [0u64];
            let lengths = all.lengths(call.ranks());
            let told = scatter(call, &lengths.lower(), &length.lower_mut(), root, Ok(())).await;
            let ready = told
                .and_then(|()| Incoming::told(length[0]))
                .map(|memory| own = memory);
            call.activity.measures(length[0] as usize);
            let blocks = blocks_if(ready.is_ok(), &all.blocks, call.ranks());
            let own = checked(own.span(), &ready);
            scatterv(call, &all.bytes.lower(), &blocks, &own, root).await
        })?;
        // SAFETY: this rank's block has come.
        Ok(unsafe { own.received() })
    }

    /// Brings every rank its block of what every rank has.
    pub(crate) fn alltoall(&self, outgoing: &Packed) -> Result<Packed> {
        let Steps(blocking) = self;
        let call = &blocking.call();
        let (mut incoming, mut blocks) = (Incoming::default(), Blocks::default());
        blocking.run(async {
            call.activity.measures(outgoing.bytes.len());
            let lengths = outgoing.lengths(call.ranks());
            let mut told = vec![0u64; call.ranks()];
            let ready = alltoall(call, &lengths.lower(), &told.lower_mut(), Ok(())).await;
            let ready = ready
                .and_then(|()| Incoming::packed(&told))
                .map(|packed| (incoming, blocks) = packed);
            let send = (&outgoing.bytes.lower(), &outgoing.blocks);
            alltoallv(call, send, (&incoming.span(), &blocks), ready).await
        })?;
        // SAFETY: the blocks lie one behind the other, and each has come.
        let bytes = unsafe { incoming.received() };
        Ok(Packed { bytes, blocks })
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
        let mut incoming = Incoming::default();
        let is_some = blocking.run(async {
            let mut length = [NOTHING];
            let mut courier = Courier::of(call);
            // SAFETY: nobody uses the word before `finish`.
            unsafe { courier.receive(from, &length.lower_mut()) };
            courier.finish().await;
            let is_some = length != [NOTHING];
            if is_some && !courier.has_failed() {
                let reserved = Incoming::told(length[0]);
                courier.note(reserved.map(|memory| incoming = memory));
            }
            // The other rank waits for this answer, whatever it is: 1, and it sends the bytes.
            let answer = [u64::from(is_some && !courier.has_failed())];
            // SAFETY: only read.
            unsafe { courier.send(from, &answer.lower()) };
            courier.finish().await;
            if answer == [1] && !courier.has_failed() {
                call.activity.measures(incoming.length);
                // SAFETY: nobody uses the bytes before `finish`.
                unsafe { courier.receive(from, &incoming.span()) };
                courier.finish().await;
            }
            courier.outcome().map(|()| is_some)
        })?;
        // SAFETY: without a failure they have come; if there are none, neither is there room.
        Ok(is_some.then_some(unsafe { incoming.received() }))
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
fn blocks_if(packed: bool, blocks: &Blocks, ranks: usize) -> Blocks {
    match packed && !blocks.is_empty() {
        true => blocks.clone(),
        false => Blocks::even(0, ranks),
    }
}

/// A length that another rank has told.
fn count(length: u64) -> Result<usize> {
    usize::try_from(length).map_err(|_| {
        Error::new(
            ErrorKind::Device,
            format!("no memory for an object of {length} bytes"),
        )
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::Incoming;

    /// The memory of this process that is more than addresses, in bytes.
    fn resident() -> usize {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.split_whitespace().next());
        kibibytes.unwrap().parse::<usize>().unwrap() << 10
    }

    #[test]
    fn memory_is_not_touched_before_the_bytes_come() {
        let before = resident();
        let told = Incoming::told(1 << 30).unwrap();
        assert!(resident() < before + (1 << 29));
        drop(told);
        assert!(Incoming::told(u64::MAX).is_err());
    }
}
