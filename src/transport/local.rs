//! Ranks as threads of one process: messages are matched in the receiver's mailbox and copied once
//! where the receive was posted first or the sender waits.

use std::collections::VecDeque;
use std::fmt;
use std::ptr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use super::{Context, Creation, Delivery, Posted, Split, Tested, Ticket, Transport};
use crate::error::{Error, ErrorKind, Result};

/// A message up to this size is copied when no receive is posted for it; the sender of a larger one
/// waits. No smaller than an envelope.
const COPIED_BYTES: usize = 4096;

/// How often a rank yields in vain before it sleeps until a message concerns it.
const YIELDS: u32 = 200;

/// The longest sleep, after which the caller looks at its deadline.
const NAP: Duration = Duration::from_millis(10);

/// The ranks of one process.
pub(crate) struct World {
    mailboxes: Box<[Mailbox]>,
    /// The rank that cannot go on, and why.
    lost: OnceLock<(usize, String)>,
    next_context: AtomicU64,
    /// Ranks whose closure has ended.
    ended: AtomicUsize,
}

struct Mailbox {
    queues: Mutex<Queues>,
    bell: Bell,
}

#[derive(Default)]
struct Queues {
    posted: VecDeque<Receive>,
    unexpected: VecDeque<Message>,
}

/// A receive that waits for its message.
struct Receive {
    context: u64,
    source: Option<usize>,
    tag: Option<i32>,
    pointer: *mut u8,
    capacity: usize,
    operation: Arc<Operation>,
}

/// A message that waits for its receive.
struct Message {
    context: u64,
    source: usize,
    tag: i32,
    payload: Payload,
}

enum Payload {
    Copied(Box<[u8]>),
    Lent {
        pointer: *const u8,
        bytes: usize,
        sender: usize,
        operation: Arc<Operation>,
    },
}

// SAFETY: the memory behind the pointers is the transport's until the operation has completed, and
// is touched by whoever holds the mailbox's lock.
unsafe impl Send for Receive {}
// SAFETY: as above.
unsafe impl Send for Message {}

/// A pending send or receive; it lies in the queues of `mailbox` until `outcome` is set.
struct Operation {
    mailbox: usize,
    outcome: OnceLock<Result<Delivery, TooLong>>,
}

/// A message that did not fit the receive it matched.
#[derive(Clone, Copy, Debug)]
struct TooLong {
    bytes: usize,
    capacity: usize,
}

impl World {
    pub(crate) fn new(ranks: usize) -> Arc<World> {
        let mailbox = || Mailbox {
            queues: Mutex::default(),
            bell: Bell::default(),
        };
        Arc::new(World {
            mailboxes: (0..ranks).map(|_| mailbox()).collect(),
            lost: OnceLock::new(),
            // Two contexts for each rank's world.
            next_context: AtomicU64::new(4),
            ended: AtomicUsize::new(0),
        })
    }

    /// One of three contexts of all ranks, as rank `rank` sees it.
    pub(crate) fn context(&self, handle: u64, rank: usize) -> Context {
        debug_assert!(handle < 3);
        Context {
            handle,
            rank,
            group: (0..self.mailboxes.len()).collect(),
            is_private: false,
        }
    }

    /// The rank that was lost first.
    pub(crate) fn first_lost(&self) -> Option<usize> {
        self.lost.get().map(|(rank, _)| *rank)
    }

    /// Says that a rank has ended.
    pub(crate) fn end(&self) {
        self.ended.fetch_add(1, Ordering::AcqRel);
        for mailbox in &self.mailboxes {
            mailbox.bell.ring();
        }
    }

    /// Whether all ranks have ended, or one is lost.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire) >= self.mailboxes.len() || self.lost.get().is_some()
    }

    /// Makes every operation of every rank fail, because a rank cannot go on.
    pub(crate) fn lose(&self, rank: usize, why: impl fmt::Display) {
        let _ = self.lost.set((rank, format!("rank {rank} {why}")));
        for mailbox in &self.mailboxes {
            mailbox.bell.ring();
        }
    }
}

impl Mailbox {
    fn queues(&self) -> MutexGuard<'_, Queues> {
        // A panic while the lock was held left the queues whole: each step below is one push or remove.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Receive {
    fn fits(&self, message_context: u64, source: usize, tag: i32) -> bool {
        self.context == message_context
            && self.source.is_none_or(|wanted| wanted == source)
            && self.tag.is_none_or(|wanted| wanted == tag)
    }

    /// Copies the message and completes the receive.
    ///
    /// # Safety
    /// `pointer` is valid for reading `bytes` bytes.
    unsafe fn complete(self, pointer: *const u8, delivery: Delivery) {
        let (bytes, capacity) = (delivery.bytes, self.capacity);
        let outcome = if bytes > capacity {
            Err(TooLong { bytes, capacity })
        } else {
            // SAFETY: the receive's owner lent `capacity` bytes until completion, the caller
            // promises the source, and a message is never received into its own memory.
            unsafe { ptr::copy_nonoverlapping(pointer, self.pointer, bytes) };
            Ok(delivery)
        };
        let _ = self.operation.outcome.set(outcome);
    }
}

/// One rank's side of a [`World`].
pub(crate) struct Local {
    pub world: Arc<World>,
    /// This rank in the world.
    pub rank: usize,
}

impl Local {
    fn ring(&self, rank: usize) {
        if rank != self.rank {
            self.world.mailboxes[rank].bell.ring();
        }
    }

    fn own(&self) -> &Mailbox {
        &self.world.mailboxes[self.rank]
    }

    /// Takes a message that has waited, into memory of the caller.
    ///
    /// # Safety
    /// As for [`Transport::irecv`].
    unsafe fn take(&self, message: Message, pointer: *mut u8, capacity: usize) -> Result<Delivery> {
        let (source, tag) = (message.source, message.tag);
        let receive = Receive {
            context: message.context,
            source: None,
            tag: None,
            pointer,
            capacity,
            operation: Arc::new(Operation::new(self.rank)),
        };
        let operation = Arc::clone(&receive.operation);
        match message.payload {
            Payload::Copied(bytes) => {
                let delivery = Delivery {
                    source,
                    tag,
                    bytes: bytes.len(),
                };
                // SAFETY: the box holds that many bytes.
                unsafe { receive.complete(bytes.as_ptr(), delivery) }
            }
            Payload::Lent {
                pointer,
                bytes,
                sender,
                operation,
            } => {
                let delivery = Delivery { source, tag, bytes };
                // SAFETY: lent by the sender until its operation completes, just below.
                unsafe { receive.complete(pointer, delivery) };
                let _ = operation.outcome.set(Ok(delivery));
                self.ring(sender);
            }
        }
        operation
            .outcome()
            .unwrap_or_else(|| Err(too_long(TooLong { bytes: 0, capacity })))
    }
}

impl Operation {
    fn new(mailbox: usize) -> Operation {
        Operation {
            mailbox,
            outcome: OnceLock::new(),
        }
    }

    fn outcome(&self) -> Option<Result<Delivery>> {
        self.outcome.get().map(|outcome| outcome.map_err(too_long))
    }
}

fn too_long(TooLong { bytes, capacity }: TooLong) -> Error {
    Error::new(
        ErrorKind::Truncated,
        format!("a message of {bytes} bytes met a receive of {capacity} bytes"),
    )
}

/// The ticket owns one reference to its operation.
fn ticket(operation: Arc<Operation>) -> Ticket {
    Ticket::new(Arc::into_raw(operation) as u64)
}

fn operation(ticket: &Ticket) -> *const Operation {
    ticket.number as *const Operation
}

impl Transport for Local {
    fn tag_limit(&self) -> i32 {
        i32::MAX
    }

    fn shares_process(&self, _context: &Context, _peer: usize) -> bool {
        true
    }

    unsafe fn isend(
        &self,
        context: &Context,
        dest: usize,
        tag: i32,
        pointer: *const u8,
        bytes: usize,
    ) -> Result<Posted> {
        let receiver = context.group[dest];
        let mailbox = &self.world.mailboxes[receiver];
        let delivery = Delivery {
            source: context.rank,
            tag,
            bytes,
        };
        let mut queues = mailbox.queues();
        let fits = |receive: &Receive| receive.fits(context.handle, context.rank, tag);
        let posted = match queues
            .posted
            .iter()
            .position(fits)
            .and_then(|at| queues.posted.remove(at))
        {
            Some(receive) => {
                // SAFETY: the caller promises `bytes` readable bytes.
                unsafe { receive.complete(pointer, delivery) };
                Posted::Done(Delivery {
                    source: dest,
                    ..delivery
                })
            }
            None => {
                let (payload, posted) = if bytes <= COPIED_BYTES {
                    let mut copy = Vec::with_capacity(bytes);
                    // SAFETY: the caller promises `bytes` readable bytes, and as many were reserved;
                    // they are initialized by the copy.
                    unsafe {
                        ptr::copy_nonoverlapping(pointer, copy.as_mut_ptr(), bytes);
                        copy.set_len(bytes);
                    }
                    let done = Delivery {
                        source: dest,
                        ..delivery
                    };
                    (Payload::Copied(copy.into_boxed_slice()), Posted::Done(done))
                } else {
                    let operation = Arc::new(Operation::new(receiver));
                    let sender = self.rank;
                    let ticket = ticket(Arc::clone(&operation));
                    let lent = Payload::Lent {
                        pointer,
                        bytes,
                        sender,
                        operation,
                    };
                    (lent, Posted::Pending(ticket))
                };
                queues.unexpected.push_back(Message {
                    context: context.handle,
                    source: context.rank,
                    tag,
                    payload,
                });
                posted
            }
        };
        drop(queues);
        self.ring(receiver);
        Ok(posted)
    }

    unsafe fn irecv(
        &self,
        context: &Context,
        source: Option<usize>,
        tag: Option<i32>,
        pointer: *mut u8,
        capacity: usize,
    ) -> Result<Posted> {
        let mut queues = self.own().queues();
        let receive = Receive {
            context: context.handle,
            source,
            tag,
            pointer,
            capacity,
            operation: Arc::new(Operation::new(self.rank)),
        };
        let fits = |message: &Message| receive.fits(message.context, message.source, message.tag);
        match queues
            .unexpected
            .iter()
            .position(fits)
            .and_then(|at| queues.unexpected.remove(at))
        {
            // SAFETY: the caller's promise. Under the lock, so that the sender cannot take its memory back.
            Some(message) => unsafe { self.take(message, pointer, capacity) }.map(Posted::Done),
            None => {
                let ticket = ticket(Arc::clone(&receive.operation));
                queues.posted.push_back(receive);
                Ok(Posted::Pending(ticket))
            }
        }
    }

    unsafe fn receive_unexpected(
        &self,
        context: &Context,
        pointer: *mut u8,
        capacity: usize,
    ) -> Result<Option<Posted>> {
        let mut queues = self.own().queues();
        let fits = |message: &Message| message.context == context.handle;
        match queues
            .unexpected
            .iter()
            .position(fits)
            .and_then(|at| queues.unexpected.remove(at))
        {
            Some(message) => {
                // SAFETY: the caller's promise; under the lock, as above.
                let done = unsafe { self.take(message, pointer, capacity) }?;
                Ok(Some(Posted::Done(done)))
            }
            None => Ok(None),
        }
    }

    fn test(&self, ticket: &Ticket) -> Result<Tested> {
        let operation = operation(ticket);
        // SAFETY: the ticket owns a reference until it is used up.
        let Some(outcome) = unsafe { &*operation }.outcome() else {
            return Ok(Tested::Pending);
        };
        // SAFETY: the reference made by `ticket`, given up once, as the ticket is used up now.
        drop(unsafe { Arc::from_raw(operation) });
        outcome.map(Tested::Completed)
    }

    fn abandon(&self, ticket: &Ticket) -> Tested {
        // SAFETY: the ticket's reference, which this call uses up.
        let operation = unsafe { Arc::from_raw(operation(ticket)) };
        // Whoever copies holds this lock, so that afterwards the operation is either queued or done.
        let mut queues = self.world.mailboxes[operation.mailbox].queues();
        match operation.outcome() {
            Some(Ok(delivery)) => return Tested::Completed(delivery),
            Some(Err(_)) => return Tested::Released,
            None => {}
        }
        queues
            .posted
            .retain(|receive| !Arc::ptr_eq(&receive.operation, &operation));
        queues.unexpected.retain(|message| match &message.payload {
            Payload::Lent { operation: lent, .. } => !Arc::ptr_eq(lent, &operation),
            Payload::Copied(_) => true,
        });
        Tested::Released
    }

    fn fresh(&self) -> u64 {
        self.world.next_context.fetch_add(2, Ordering::Relaxed)
    }

    fn duplicate(&self, _: &Context, agreed: u64) -> Result<Creation> {
        Ok(Creation::Done(agreed))
    }

    fn created(&self, _: &Ticket) -> Result<Option<u64>> {
        Err(Error::invalid(
            "no creation is pending: contexts of threads are made at once",
        ))
    }

    fn split(&self, _: &Context, split: &Split) -> Result<Option<u64>> {
        // Parts of one split share the number: they have no rank in common, so that no message of one
        // can reach another.
        Ok(split.part.map(|_| split.agreed))
    }

    fn create(&self, _: &Context, _: &[usize], agreed: u64) -> Result<u64> {
        Ok(agreed)
    }

    fn free(&self, _: &Context) -> Result<()> {
        Ok(())
    }

    fn idle(&self, rounds: u32) {
        let bell = &self.own().bell;
        if !rounds.is_multiple_of(YIELDS) {
            thread::yield_now();
        } else {
            bell.sleep();
        }
    }

    fn wake(&self) {
        self.own().bell.ring();
    }

    fn lost(&self) -> Option<Error> {
        self.world
            .lost
            .get()
            .map(|(_, why)| Error::new(ErrorKind::PeerLost, why.clone()))
    }

    fn abort(&self) -> ! {
        // Never reached: `abandon` always releases.
        std::process::abort()
    }
}

/// Wakes a rank that has nothing to do when a message concerns it.
#[derive(Default)]
struct Bell {
    rings: AtomicU64,
    heard: AtomicU64,
    sleepers: AtomicUsize,
    lock: Mutex<()>,
    condition: Condvar,
}

impl Bell {
    fn ring(&self) {
        self.rings.fetch_add(1, Ordering::Release);
        // Pairs with the fence of `sleep`: either it sees the ring or this sees the sleeper.
        fence(Ordering::SeqCst);
        if self.sleepers.load(Ordering::Relaxed) > 0 {
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.condition.notify_all();
        }
    }

    /// Sleeps until a ring that no earlier sleep has heard, or for a nap.
    fn sleep(&self) {
        self.sleepers.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let rings = self.rings.load(Ordering::Acquire);
        if self.heard.swap(rings, Ordering::AcqRel) == rings {
            drop(self.condition.wait_timeout(guard, NAP));
        }
        self.sleepers.fetch_sub(1, Ordering::Relaxed);
    }
}
