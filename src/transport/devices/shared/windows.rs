//! What the receiver has open of the sender's GPU: a window with slots, an event for each, and the windows of buffers that
//! are lent.
//!
//! The events are for what is lent. The receiver puts one behind its copy, and tells the sender, whose lane waits for it:
//! so both are over when the copy is in the receiver's lane. Where they cannot be had, both look until it is done.

use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ring::Ring;
use super::segment::{Loan, Offer, SLOTS};
use crate::device::Lane;
use crate::device::cuda::{Borrower, Gpu, Handle, OpenWindow, SharedEvent, Window};
use crate::error::{Error, Result};
use crate::path::Path;
use crate::transport::End;
use crate::transport::pieces::SHARED_PIECE_BYTES;

/// The bytes of a window with as many slots as a segment.
const WINDOW_BYTES: usize = SLOTS * SHARED_PIECE_BYTES;

/// How many windows this process has for its peers, and may have: 1 GiB of them.
static WINDOWS: AtomicUsize = AtomicUsize::new(0);
const MOST_WINDOWS: usize = 64;

/// One of these windows. What is kept to the end of the process counts for ever.
struct Counted;

impl Counted {
    fn new() -> Result<Counted> {
        let one_more = |count| (count < MOST_WINDOWS).then_some(count + 1);
        match WINDOWS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more) {
            Ok(_) => Ok(Counted),
            Err(_) => Err(Error::unsupported(format!(
                "the process has {MOST_WINDOWS} windows for its peers"
            ))),
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        WINDOWS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many windows of lent buffers a receiver keeps open for one sender.
const MOST_OPEN: usize = 64;

/// Windows that no other process has open, for the next handshakes: the driver may wait for GPUs where it gets memory back,
/// which must not be while messages are driven.
static IDLE: Mutex<Vec<Own>> = Mutex::new(Vec::new());

fn idle() -> MutexGuard<'static, Vec<Own>> {
    // Each change is one insertion or removal.
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The windows of one end of shared memory.
#[derive(Default)]
pub(super) struct Windows {
    /// What a sender has offered, and in which handshake last. Where the other end may have it open it is kept to the end
    /// of the process: nobody knows when that has closed it. So it is offered again in a later handshake.
    own: Mutex<Option<(ManuallyDrop<Own>, u64)>>,
    /// The same as a receiver has it open.
    views: Mutex<Vec<View>>,
    /// Windows of lent buffers that this end has open, the latest used last.
    open: Mutex<Vec<(u64, Arc<OpenWindow>)>>,
    /// How often the sender has asked to close some, as far as this end has.
    closings: AtomicU32,
}

/// Memory of the sender's GPU with as many slots as a segment, and an event for each; or why there is none.
struct Own {
    window: Window,
    events: Result<[SharedEvent; SLOTS], String>,
    _counted: Counted,
}

impl Own {
    /// One of this GPU that is idle, or a new one.
    fn take(gpu: &'static Gpu) -> Result<Own> {
        let mut idle = idle();
        let known = idle.iter().position(|own| std::ptr::eq(own.window.gpu(), gpu));
        let known = known.map(|at| idle.swap_remove(at));
        drop(idle);
        known.map_or_else(|| Own::new(gpu), Ok)
    }

    fn new(gpu: &'static Gpu) -> Result<Own> {
        let counted = Counted::new()?;
        let made = || -> Result<Vec<SharedEvent>> { (0..SLOTS).map(|_| SharedEvent::new(gpu)).collect() };
        Ok(Own {
            window: Window::new(gpu, WINDOW_BYTES)?,
            events: all(made()),
            _counted: counted,
        })
    }

    /// What the receiver is told of it. The window begins with the secret.
    fn offer(&mut self, secret: u64) -> Result<Offer> {
        let gpu = self.window.gpu();
        let handle = self.window.handle()?;
        let exported = self.events.as_ref().ok().map(|events| {
            let handles: Result<Vec<Handle>> = events.iter().map(SharedEvent::handle).collect();
            all(handles)
        });
        let events = match exported.transpose() {
            Ok(events) => events,
            Err(reason) => {
                self.events = Err(reason);
                None
            }
        };
        // SAFETY: the window is longer, and no message uses it before the other end has agreed to an offer of it.
        unsafe { gpu.write_now(self.window.address(), secret) }?;
        Ok(Offer {
            handle,
            gpu: gpu.uuid()?,
            events,
            secret,
        })
    }
}

/// One for each slot.
fn all<T>(made: Result<Vec<T>>) -> Result<[T; SLOTS], String> {
    let made = made.map_err(|error| error.message().to_string())?;
    made.try_into()
        .map_err(|_| "as many as there are slots".to_owned())
}

/// What a receiver's GPU has open of the sender's: the window, and along which path, or why it has not; the events, or why
/// it has none.
struct View {
    gpu: &'static Gpu,
    window: Result<(Path, OpenWindow), String>,
    events: Result<[Arc<SharedEvent>; SLOTS], String>,
}

impl View {
    fn new(gpu: &'static Gpu, offer: &Offer) -> View {
        let opened = || {
            let path = match gpu.uuid()? == offer.gpu {
                true => Path::SameGpuIpc,
                false => Path::PeerGpuIpc,
            };
            Ok((path, OpenWindow::open(gpu, &offer.handle)?))
        };
        let window = opened().map_err(|error: Error| error.message().to_string());
        let events = match (&window, &offer.events) {
            (Ok((Path::SameGpuIpc, _)), Some(handles)) => {
                let open = |handle| SharedEvent::open(gpu, handle).map(Arc::new);
                all(handles.iter().map(open).collect())
            }
            // CUDA's documentation does not say that a GPU may record an event of another.
            (Ok(_), Some(_)) => Err("they are the other GPU's".to_owned()),
            _ => Err(String::new()),
        };
        View { gpu, window, events }
    }

    fn path(&self) -> Result<Path, String> {
        let window = self.window.as_ref().map_err(String::clone);
        window.map(|(path, _)| *path)
    }
}

impl Windows {
    fn own(&self) -> MutexGuard<'_, Option<(ManuallyDrop<Own>, u64)>> {
        // Each change is one assignment.
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn views(&self) -> MutexGuard<'_, Vec<View>> {
        // Each change is one.
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, Vec<(u64, Arc<OpenWindow>)>> {
        // Each change is one insertion or removal.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    /// Says in the memory how to open a window of the sender's GPU: that of an earlier handshake, if there is one.
    pub(super) fn offer_window(&self, gpu: &'static Gpu, handshake: u64, secret: u64) -> Result<()> {
        let mut kept = self.windows.own();
        let offer = match &mut *kept {
            Some((own, latest)) => {
                *latest = handshake;
                own.offer(secret)
            }
            None => {
                let mut own = Own::take(gpu)?;
                let offer = own.offer(secret)?;
                *kept = Some((ManuallyDrop::new(own), handshake));
                Ok(offer)
            }
        }?;
        self.segment().offer(&offer);
        Ok(())
    }

    /// Takes back the window that was offered in a handshake, which the receiver says it has not open.
    pub(super) fn take_window_back(&self, handshake: u64) {
        let mut kept = self.windows.own();
        if let Some((own, _)) = kept.take_if(|(_, latest)| *latest == handshake) {
            idle().push(ManuallyDrop::into_inner(own));
        }
    }

    /// Why the sender has no events, if it has none.
    pub(super) fn why_no_own_events(&self) -> Result<(), String> {
        match &*self.windows.own() {
            Some((own, _)) => own.events.as_ref().map(drop).map_err(String::clone),
            None => Ok(()),
        }
    }

    /// Along which path a GPU of the receiver's has the sender's window, which is opened if it was not tried.
    pub(in super::super) fn path_to(&self, gpu: &'static Gpu) -> Result<Path, String> {
        let mut views = self.windows.views();
        let known = views.iter().find(|view| std::ptr::eq(view.gpu, gpu));
        match known {
            Some(view) => view.path(),
            None => {
                let view = View::new(gpu, &self.segment().offered());
                let path = view.path();
                views.push(view);
                path
            }
        }
    }

    /// Whether what a GPU of the receiver's has open is the window that the sender has offered.
    pub(super) fn prove_window(&self, gpu: &'static Gpu) -> Result<(), String> {
        let address = self.window_of(gpu).map_err(|error| error.message().to_string())?;
        // SAFETY: the sender has written as many bytes to the window, and nobody writes to it yet.
        let found = unsafe { gpu.read_now(address) }.map_err(|error| error.message().to_string())?;
        match found == self.segment().offered().secret {
            true => Ok(()),
            false => Err("what is opened is not what the sender has".to_owned()),
        }
    }

    /// Closes the sender's window.
    pub(super) fn forget_window(&self) {
        self.windows.views().clear();
    }

    /// The address of the sender's window for a GPU of this end.
    pub(super) fn window_of(&self, gpu: &'static Gpu) -> Result<usize> {
        if let Some((own, _)) = &*self.windows.own() {
            return Ok(own.window.address());
        }
        let views = self.windows.views();
        let view = views.iter().find(|view| std::ptr::eq(view.gpu, gpu));
        match view.map(|view| &view.window) {
            Some(Ok((_, window))) => Ok(window.address()),
            _ => Err(Error::unsupported("the ranks do not share a window")),
        }
    }

    /// Why a GPU of the receiver's has none of the events that the sender has offered; nothing if it has them, or there are
    /// none.
    pub(super) fn why_no_events(&self, gpu: &'static Gpu) -> String {
        let views = self.windows.views();
        let view = views.iter().find(|view| std::ptr::eq(view.gpu, gpu));
        let reason = view.and_then(|view| view.events.as_ref().err());
        reason.cloned().unwrap_or_default()
    }

    /// Puts a slot's event in a lane of the receiver's, behind its copy; none where that is impossible.
    pub(super) fn record(&self, slot: usize, lane: &Lane) -> Option<Arc<SharedEvent>> {
        let event = {
            let views = self.windows.views();
            let view = views.iter().find(|view| std::ptr::eq(view.gpu, lane.gpu()))?;
            Arc::clone(&view.events.as_ref().ok()?[slot])
        };
        event.record(lane).is_ok().then_some(event)
    }

    /// Has a lane of the sender's wait for the copy of which the receiver has told in a slot.
    pub(super) fn follow(&self, slot: usize, lane: &Lane) {
        if let Some((own, _)) = &*self.windows.own()
            && let Ok(events) = &own.events
        {
            events[slot].hold(lane);
        }
    }

    /// Whether the receiver's GPU has done all copies of which it has told, or has failed.
    pub(super) fn is_copied(&self) -> bool {
        match self.windows.own().as_ref().map(|(own, _)| &own.events) {
            Some(Ok(events)) => events.iter().all(|event| event.is_over().unwrap_or(true)),
            _ => true,
        }
    }

    /// Opens the window of a lent buffer, if it is not open.
    pub(in super::super) fn open_window(&self, gpu: &'static Gpu, loan: &Loan) -> Result<Arc<OpenWindow>> {
        let mut open = self.windows.open();
        let is_it = |(number, window): &(u64, Arc<OpenWindow>)| {
            *number == loan.window && std::ptr::eq(window.gpu(), gpu)
        };
        let known = open.iter().position(is_it).map(|at| open.remove(at));
        let (number, window) = match known {
            Some(known) => known,
            None => {
                if open.len() >= MOST_OPEN
                    && let Some(at) = open.iter().position(|(_, window)| Arc::strong_count(window) == 1)
                {
                    open.remove(at);
                }
                (loan.window, Arc::new(OpenWindow::open(gpu, &loan.handle)?))
            }
        };
        open.push((number, Arc::clone(&window)));
        Ok(window)
    }

    /// Closes the windows that the sender wants to free.
    pub(in super::super) fn close_windows(&self) {
        let asked = self.segment().closings();
        if self.end() == End::Sender || self.windows.closings.load(Ordering::Relaxed) == asked {
            return;
        }
        self.free_passed();
        let close = |number| {
            let mut open = self.windows.open();
            // What a GPU still copies from is closed later.
            open.retain(|(open, window)| *open != number || Arc::strong_count(window) > 1);
            open.iter().all(|(open, _)| *open != number)
        };
        if self.segment().close(close) {
            self.windows.closings.store(asked, Ordering::Relaxed);
        }
    }
}

impl Borrower for Ring {
    fn ask_to_close(&self, window: u64) -> bool {
        self.segment().ask_to_close(window)
    }

    fn is_closing(&self, window: u64) -> bool {
        self.segment().is_closing(window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_counts_until_it_is_freed() {
        let mut counted: Vec<Counted> = (0..MOST_WINDOWS).map(|_| Counted::new().unwrap()).collect();
        assert!(Counted::new().is_err());
        counted.pop();
        let forgotten = ManuallyDrop::new(Counted::new().unwrap());
        assert!(Counted::new().is_err());
        drop(ManuallyDrop::into_inner(forgotten));
        assert!(Counted::new().is_ok());
    }
}
