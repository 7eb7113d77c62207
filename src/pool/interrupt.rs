//! Ctrl-C, and what whoever ends jobs sends.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// What the signals of this process have come to.
struct State {
    /// Nobody listens: a signal does what it does without this library.
    is_idle: Arc<AtomicBool>,
    has_come: Arc<AtomicBool>,
    listeners: AtomicUsize,
}

/// Listens while it exists: the first signal is noted, the second one ends the process.
pub(super) struct Interrupts(Option<&'static State>);

impl Interrupts {
    /// Listens, if `is_wanted`.
    pub(super) fn listen(is_wanted: bool) -> Interrupts {
        static STATE: OnceLock<Option<State>> = OnceLock::new();
        if !is_wanted {
            return Interrupts(None);
        }
        // Where handlers cannot be installed a signal ends the process, as it does without a pool.
        let state = STATE.get_or_init(|| State::install().ok()).as_ref();
        if let Some(state) = state {
            if state.listeners.fetch_add(1, Ordering::SeqCst) == 0 {
                state.has_come.store(false, Ordering::SeqCst);
            }
            state.is_idle.store(false, Ordering::SeqCst);
        }
        Interrupts(state)
    }

    /// Whether a signal has come.
    pub(super) fn has_come(&self) -> bool {
        self.0.is_some_and(|state| state.has_come.load(Ordering::Relaxed))
    }
}

impl State {
    fn install() -> io::Result<State> {
        let is_idle = Arc::new(AtomicBool::new(true));
        let has_come = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds that none has come yet.
            flag::register_conditional_default(signal, Arc::clone(&is_idle))?;
            flag::register_conditional_default(signal, Arc::clone(&has_come))?;
            flag::register(signal, Arc::clone(&has_come))?;
        }
        Ok(State {
            is_idle,
            has_come,
            listeners: AtomicUsize::new(0),
        })
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        if let Some(state) = self.0
            && state.listeners.fetch_sub(1, Ordering::SeqCst) == 1
        {
            state.is_idle.store(true, Ordering::SeqCst);
        }
    }
}
