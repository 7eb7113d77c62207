//! Memory of the sender's GPU that the receiver has open: a window with slots, and those of buffers that are lent.

use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::ring::Ring;
use super::segment::{Loan, Offer, SLOTS};
use crate::device::cuda::{Borrower, Gpu, OpenWindow, Window};
use crate::error::{Error, Result};
use crate::path::Path;
use crate::transport::End;
use crate::transport::pieces::SHARED_PIECE_BYTES;

/// The bytes of a window with as many slots as a segment.
pub(super) const WINDOW_BYTES: usize = SLOTS * SHARED_PIECE_BYTES;

/// How many windows of this process its peers have open, and may have: 1 GiB of them.
static KEPT_WINDOWS: AtomicUsize = AtomicUsize::new(0);
const MOST_WINDOWS: usize = 64;

/// Whether the process may have another window; an error otherwise.
pub(super) fn check_windows() -> Result<()> {
    match KEPT_WINDOWS.load(Ordering::Relaxed) < MOST_WINDOWS {
        true => Ok(()),
        false => Err(Error::unsupported(format!(
            "the process has {MOST_WINDOWS} windows for its peers"
        ))),
    }
}

/// How many windows of lent buffers a receiver keeps open for one sender.
const MOST_OPEN: usize = 64;

/// The windows of one end of shared memory.
#[derive(Default)]
pub(super) struct Windows {
    /// Memory of this end's GPU with as many slots, of a sender. Kept to the end of the process: nobody knows when the
    /// other end has closed it.
    own: OnceLock<ManuallyDrop<Window>>,
    /// The same as a receiver has it open.
    views: Mutex<Vec<View>>,
    /// Windows of lent buffers that this end has open, the latest used last.
    open: Mutex<Vec<(u64, Arc<OpenWindow>)>>,
    /// How often the sender has asked to close some, as far as this end has.
    closings: AtomicU32,
}

/// The sender's window as a receiver's GPU has it, and along which path; or why it has not.
struct View {
    gpu: &'static Gpu,
    window: Result<(Path, OpenWindow), String>,
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
        View {
            gpu,
            window: opened().map_err(|error: Error| error.message().to_string()),
        }
    }

    fn path(&self) -> Result<Path, String> {
        let window = self.window.as_ref().map_err(String::clone);
        window.map(|(path, _)| *path)
    }
}

impl Windows {
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
    /// Keeps the window that the receiver has open.
    pub(super) fn keep_window(&self, window: Window) {
        KEPT_WINDOWS.fetch_add(1, Ordering::Relaxed);
        let _ = self.windows.own.set(ManuallyDrop::new(window));
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
        if let Some(window) = self.windows.own.get() {
            return Ok(window.address());
        }
        let views = self.windows.views();
        let view = views.iter().find(|view| std::ptr::eq(view.gpu, gpu));
        match view.map(|view| &view.window) {
            Some(Ok((_, window))) => Ok(window.address()),
            _ => Err(Error::unsupported("the ranks do not share a window")),
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
        if self.end() == End::Receiver && self.windows.closings.swap(asked, Ordering::Relaxed) != asked {
            self.segment().close(|number| {
                self.windows.open().retain(|(open, _)| *open != number);
            });
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
