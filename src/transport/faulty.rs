//! Any transport, with faults in chosen messages: they fail, are lost, or come late, as networks and
//! peers do it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Context, Creation, Delivery, Posted, Split, Tested, Ticket, Transport};
use crate::config::{Fault, FaultAction};
use crate::error::{Error, ErrorKind, Result};

/// How many tests a delayed message waits, and a reordered one at most.
const DELAY_TESTS: u32 = 100;

/// How often a transport that is taken down looks whether its late messages have arrived.
const FLUSH_TESTS: u32 = 100_000;

/// A transport that mistreats some messages of its rank.
pub(crate) struct Faulty {
    inner: Arc<dyn Transport>,
    faults: Vec<Fault>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sent: u64,
    held: VecDeque<Held>,
    /// Messages sent late, which own their bytes until the inner transport is done with them.
    late: Vec<(Ticket, Box<[u8]>)>,
}

/// A message that comes late, and those behind it to the same rank, which may not overtake it.
struct Held {
    context: Context,
    dest: usize,
    tag: i32,
    bytes: Box<[u8]>,
    tests_left: u32,
    until_overtaken: bool,
}

impl Held {
    fn same_lane(&self, context: &Context, dest: usize) -> bool {
        self.context.handle == context.handle && self.dest == dest
    }
}

impl Faulty {
    /// Wraps `inner` if there is a fault for `rank`.
    pub(crate) fn wrap(inner: Arc<dyn Transport>, faults: &[Fault], rank: usize) -> Arc<dyn Transport> {
        let mine = |fault: &&Fault| fault.rank.is_none_or(|wanted| wanted == rank);
        let faults: Vec<Fault> = faults.iter().filter(mine).copied().collect();
        if faults.is_empty() {
            return inner;
        }
        Arc::new(Faulty {
            inner,
            faults,
            state: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what is due, and forgets late messages that have arrived.
    fn step(&self, state: &mut State) {
        for held in &mut state.held {
            held.tests_left = held.tests_left.saturating_sub(1);
        }
        let mut at = 0;
        while at < state.held.len() {
            let this = &state.held[at];
            let behind = state
                .held
                .iter()
                .take(at)
                .any(|other| other.same_lane(&this.context, this.dest));
            if this.tests_left > 0 || behind {
                at += 1;
            } else if let Some(held) = state.held.remove(at) {
                self.release(state, held);
            }
        }
        for (ticket, bytes) in std::mem::take(&mut state.late) {
            match self.inner.test(&ticket) {
                Ok(Tested::Pending) => state.late.push((ticket, bytes)),
                Ok(_) => {}
                // Whoever sent it believes that it has arrived; the bytes may still be read.
                Err(_) => std::mem::forget(bytes),
            }
        }
    }

    /// Sends everything that is late: before a call that waits for other ranks inside, which may wait for it.
    fn release_all(&self) -> MutexGuard<'_, State> {
        let mut state = self.state();
        for held in std::mem::take(&mut state.held) {
            self.release(&mut state, held);
        }
        state
    }

    /// Sends a message late. If that fails it is lost, as its sender was told that it is sent.
    fn release(&self, state: &mut State, held: Held) {
        let Held {
            context,
            dest,
            tag,
            bytes,
            ..
        } = held;
        // SAFETY: the bytes are kept in `late` until the send has completed.
        let posted = unsafe { self.inner.isend(&context, dest, tag, bytes.as_ptr(), bytes.len()) };
        if let Ok(Posted::Pending(ticket)) = posted {
            state.late.push((ticket, bytes));
        }
    }
}

impl Transport for Faulty {
    fn tag_limit(&self) -> i32 {
        self.inner.tag_limit()
    }

    fn shares_process(&self, context: &Context, peer: usize) -> bool {
        self.inner.shares_process(context, peer)
    }

    fn plain(&self) -> Option<Arc<dyn super::plain::Plain>> {
        self.inner.plain()
    }

    unsafe fn isend(
        &self,
        context: &Context,
        dest: usize,
        tag: i32,
        pointer: *const u8,
        bytes: usize,
    ) -> Result<Posted> {
        let mut state = self.state();
        state.sent += 1;
        let number = state.sent;
        let fault = self.faults.iter().find(|fault| fault.message == number);
        let done = Posted::Done(Delivery {
            source: dest,
            tag,
            bytes,
        });
        let action = fault.map(|fault| fault.action);
        match action {
            Some(FaultAction::Fail) => {
                return Err(Error::new(
                    ErrorKind::Mpi,
                    format!("injected fault: message {number} failed"),
                ));
            }
            Some(FaultAction::Drop) => return Ok(done),
            Some(FaultAction::Delay | FaultAction::Reorder) | None => {}
        }
        let behind = state.held.iter().any(|held| held.same_lane(context, dest));
        if action.is_some() || behind {
            // SAFETY: the caller promises `bytes` readable bytes.
            let copy = unsafe { std::slice::from_raw_parts(pointer, bytes) };
            state.held.push_back(Held {
                context: context.clone(),
                dest,
                tag,
                bytes: copy.into(),
                tests_left: if action.is_some() { DELAY_TESTS } else { 0 },
                until_overtaken: action == Some(FaultAction::Reorder),
            });
            self.step(&mut state);
            return Ok(done);
        }
        // SAFETY: the caller's promise is the same.
        let posted = unsafe { self.inner.isend(context, dest, tag, pointer, bytes) }?;
        for held in &mut state.held {
            if held.until_overtaken {
                held.tests_left = 0;
            }
        }
        self.step(&mut state);
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
        // SAFETY: the caller's promise is the same.
        unsafe { self.inner.irecv(context, source, tag, pointer, capacity) }
    }

    unsafe fn receive_unexpected(
        &self,
        context: &Context,
        pointer: *mut u8,
        capacity: usize,
    ) -> Result<Option<Posted>> {
        self.step(&mut self.state());
        // SAFETY: the caller's promise is the same.
        unsafe { self.inner.receive_unexpected(context, pointer, capacity) }
    }

    fn test(&self, ticket: &Ticket) -> Result<Tested> {
        self.step(&mut self.state());
        self.inner.test(ticket)
    }

    fn abandon(&self, ticket: &Ticket) -> Tested {
        self.inner.abandon(ticket)
    }

    fn fresh(&self) -> u64 {
        self.inner.fresh()
    }

    fn duplicate(&self, parent: &Context, agreed: u64) -> Result<Creation> {
        self.inner.duplicate(parent, agreed)
    }

    fn created(&self, ticket: &Ticket) -> Result<Option<u64>> {
        self.step(&mut self.state());
        self.inner.created(ticket)
    }

    fn split(&self, parent: &Context, split: &Split) -> Result<Option<u64>> {
        drop(self.release_all());
        self.inner.split(parent, split)
    }

    fn create(&self, parent: &Context, members: &[usize], agreed: u64) -> Result<u64> {
        drop(self.release_all());
        self.inner.create(parent, members, agreed)
    }

    fn free(&self, context: &Context) -> Result<()> {
        drop(self.release_all());
        self.inner.free(context)
    }

    fn idle(&self, rounds: u32) {
        // A rank that waits for others to end has nothing to test.
        self.step(&mut self.state());
        self.inner.idle(rounds);
    }

    fn wake(&self) {
        self.inner.wake();
    }

    fn lost(&self) -> Option<Error> {
        self.inner.lost()
    }

    fn flush(&self) {
        let mut state = self.release_all();
        // Small messages are gone at once; a long one whose receiver is gone is not waited for.
        for _ in 0..FLUSH_TESTS {
            if state.late.is_empty() {
                break;
            }
            self.step(&mut state);
            std::thread::yield_now();
        }
        for (_, bytes) in state.late.drain(..) {
            std::mem::forget(bytes);
        }
    }

    fn abort(&self) -> ! {
        self.inner.abort()
    }
}
