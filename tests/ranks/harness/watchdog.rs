//! Ends a process whose work is overdue, or whose parent is gone.

use std::os::unix::process::parent_id;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How often the watchdog looks.
const TICK: Duration = Duration::from_millis(100);

/// What is to be said when time is up.
type Bark = Box<dyn FnOnce() + Send>;

/// A thread that ends the process when what it watches takes too long.
#[derive(Clone, Default)]
pub struct Watchdog(Arc<Mutex<Option<(Instant, Bark)>>>);

impl Watchdog {
    /// Starts a watchdog with nothing to watch but the parent process.
    pub fn start() -> Watchdog {
        let watchdog = Watchdog::default();
        let watched = watchdog.clone();
        let parent = parent_id();
        thread::spawn(move || {
            loop {
                thread::sleep(TICK);
                if parent_id() != parent {
                    end();
                }
                if let Some(bark) = watched.overdue() {
                    bark();
                    end();
                }
            }
        });
        watchdog
    }

    /// Watches something else from now on, which may take `time`; `bark` runs before the process is ended.
    pub fn watch(&self, time: Duration, bark: impl FnOnce() + Send + 'static) {
        let watched = (Instant::now() + time, Box::new(bark) as Bark);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(watched);
    }

    fn overdue(&self) -> Option<Bark> {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_overdue = watched.as_ref().is_some_and(|(due, _)| Instant::now() >= *due);
        watched.take_if(|_| is_overdue).map(|(_, bark)| bark)
    }
}

/// Ends this process without a word: an abort makes MPI libraries print stack traces, and an exit runs what
/// other threads are in the middle of.
fn end() -> ! {
    let _ = Command::new("kill")
        .arg("-KILL")
        .arg(std::process::id().to_string())
        .status();
    std::process::abort()
}
