//! The thread that drives pending operations while nobody waits.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::Engine;
use super::sync::{AtomicBool, AtomicUsize, Ordering, fence};

/// Rounds without result after which the thread sleeps between rounds.
const EAGER_ROUNDS: u32 = 20;

/// The first and the longest sleep between two rounds.
const NAPS: [Duration; 2] = [Duration::from_micros(50), Duration::from_micros(500)];

/// How often those who wait for tasks as futures are woken to look at deadlines and lost peers.
const RING: Duration = Duration::from_millis(100);

/// Looks for work that the thread makes before it sleeps until it is woken.
const LINGER: u32 = 20;

/// The progress thread of an engine, started when it is first needed.
#[derive(Default)]
pub(super) struct Progress {
    doze: Arc<Doze>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Progress {
    /// Sees to it that a pending task is driven.
    pub(super) fn nudge(&self, engine: &Arc<Engine>) {
        self.doze.add();
        if !self.doze.is_dozing() {
            return;
        }
        let mut slot = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        match &*slot {
            Some(thread) => {
                if self.doze.wake() {
                    thread.thread().unpark();
                }
            }
            None => {
                let engine = Arc::clone(engine);
                self.doze.wake();
                // Without a thread progress happens inside calls, as below MPI_THREAD_MULTIPLE.
                let spawned = thread::Builder::new()
                    .name("warpcomm".into())
                    .spawn(move || run(&engine));
                *slot = spawned.ok();
            }
        }
    }

    /// Whether pending tasks are driven while nobody waits.
    pub(super) fn is_running(&self) -> bool {
        self.thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }

    /// Counts tasks that are over.
    pub(super) fn finished(&self, tasks: usize) {
        self.doze.subtract(tasks);
    }

    /// Ends the thread, after the engine was marked as stopped.
    pub(super) fn stop(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            thread.thread().unpark();
            if thread.thread().id() != thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

fn run(engine: &Arc<Engine>) {
    let doze = &engine.progress.doze;
    let mut idle_rounds = 0u32;
    let mut lingered = 0;
    let mut seen = engine.rounds();
    let mut rung = Instant::now();
    while !engine.is_stopped() {
        if doze.pending() == 0 {
            lingered += 1;
            match lingered > LINGER {
                true => doze.sleep(thread::park),
                false => thread::park_timeout(NAPS[0]),
            }
            continue;
        }
        lingered = 0;
        if rung.elapsed() > RING {
            rung = Instant::now();
            engine.ring();
        }
        // Somebody who waits polls already, and better: this thread keeps out of the way.
        let rounds = engine.rounds();
        if rounds != seen {
            seen = rounds;
            thread::park_timeout(NAPS[1]);
            continue;
        }
        let moved = engine.poll_in_passing();
        seen = engine.rounds();
        idle_rounds = if moved { 0 } else { idle_rounds.saturating_add(1) };
        match idle_rounds.checked_sub(EAGER_ROUNDS) {
            None => thread::yield_now(),
            Some(doublings) => thread::park_timeout(NAPS[1].min(NAPS[0] * 2u32.pow(doublings.min(8)))),
        }
    }
}

/// How a sleeper and those who give it work do not miss each other.
struct Doze {
    pending: AtomicUsize,
    dozing: AtomicBool,
}

impl Default for Doze {
    fn default() -> Doze {
        // No thread is as good as one that sleeps: the first task wakes it.
        Doze {
            pending: AtomicUsize::new(0),
            dozing: AtomicBool::new(true),
        }
    }
}

impl Doze {
    fn add(&self) {
        self.pending.fetch_add(1, Ordering::AcqRel);
        // Pairs with the fence of `sleep`: either this sees the sleeper or that sees the task.
        fence(Ordering::SeqCst);
    }

    fn subtract(&self, tasks: usize) {
        self.pending.fetch_sub(tasks, Ordering::AcqRel);
    }

    fn pending(&self) -> usize {
        self.pending.load(Ordering::Acquire)
    }

    fn is_dozing(&self) -> bool {
        self.dozing.load(Ordering::Acquire)
    }

    /// Whether the caller is the one to wake the sleeper.
    fn wake(&self) -> bool {
        self.dozing.swap(false, Ordering::AcqRel)
    }

    /// Parks unless there is something to do; wakes up without reason too.
    fn sleep(&self, park: impl FnOnce()) {
        self.dozing.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        if self.pending() == 0 {
            park();
        }
        self.dozing.store(false, Ordering::Release);
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;

    #[test]
    fn no_task_sleeps_through() {
        loom::model(|| {
            let doze = loom::sync::Arc::new(Doze::default());
            doze.wake();
            let other = loom::sync::Arc::clone(&doze);
            let sleeper = loom::thread::spawn(move || {
                // A lost wake-up would be a deadlock, which loom reports.
                while other.pending() == 0 {
                    other.sleep(loom::thread::park);
                }
            });
            doze.add();
            if doze.is_dozing() && doze.wake() {
                sleeper.thread().unpark();
            }
            sleeper.join().unwrap();
        });
    }
}
