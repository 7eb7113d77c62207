//! The thread that drives pending operations while nobody waits.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::Engine;
use super::doze::Doze;
use crate::transport::Driver;

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
    /// Sees to it that a pending task is driven, or what goes on in the transport.
    pub(super) fn nudge(&self, engine: &Arc<Engine>) {
        self.doze.add();
        if !self.doze.is_dozing() || engine.is_stopped() {
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

    /// Counts tasks that are over, and what has ended in the transport.
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

/// An engine, as its transport tells it what goes on there after an operation was given up.
pub(super) struct Behind(pub Weak<Engine>);

impl Driver for Behind {
    fn has_begun(&self) {
        if let Some(engine) = self.0.upgrade() {
            engine.progress.nudge(&engine);
        }
    }

    fn have_ended(&self, count: usize) {
        if let Some(engine) = self.0.upgrade() {
            engine.progress.finished(count);
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
        // Where there is no task, nothing has looked at it.
        engine.transport.go_on();
        seen = engine.rounds();
        idle_rounds = if moved { 0 } else { idle_rounds.saturating_add(1) };
        match idle_rounds.checked_sub(EAGER_ROUNDS) {
            None => thread::yield_now(),
            Some(doublings) => thread::park_timeout(NAPS[1].min(NAPS[0] * 2u32.pow(doublings.min(8)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::error::{Error, Result};
    use crate::transport::{self, Creation, Posted, Split, Tested, Ticket, Transport};

    /// In which something goes on until it was driven some times, and which nobody calls otherwise.
    #[derive(Default)]
    struct GoesOn {
        driver: Mutex<Option<Box<dyn Driver>>>,
        left: std::sync::atomic::AtomicUsize,
    }

    impl GoesOn {
        fn begin(&self, rounds: usize) {
            self.left.store(rounds, std::sync::atomic::Ordering::SeqCst);
            self.driver.lock().unwrap().as_ref().unwrap().has_begun();
        }
    }

    impl Transport for GoesOn {
        fn driven_by(&self, driver: Box<dyn Driver>) {
            *self.driver.lock().unwrap() = Some(driver);
        }
        fn go_on(&self) {
            let ordering = std::sync::atomic::Ordering::SeqCst;
            let left = self.left.load(ordering);
            self.left.store(left.saturating_sub(1), ordering);
            if left == 1 {
                self.driver.lock().unwrap().as_ref().unwrap().have_ended(1);
            }
        }
        fn tag_limit(&self) -> i32 {
            0
        }
        unsafe fn isend(
            &self,
            _: &transport::Context,
            _: usize,
            _: i32,
            _: *const u8,
            _: usize,
        ) -> Result<Posted> {
            unreachable!()
        }
        unsafe fn irecv(
            &self,
            _: &transport::Context,
            _: Option<usize>,
            _: Option<i32>,
            _: *mut u8,
            _: usize,
        ) -> Result<Posted> {
            unreachable!()
        }
        unsafe fn receive_unexpected(
            &self,
            _: &transport::Context,
            _: *mut u8,
            _: usize,
        ) -> Result<Option<Posted>> {
            unreachable!()
        }
        fn test(&self, _: &Ticket) -> Result<Tested> {
            unreachable!()
        }
        fn abandon(&self, _: &Ticket) -> Tested {
            unreachable!()
        }
        fn fresh(&self) -> u64 {
            unreachable!()
        }
        fn duplicate(&self, _: &transport::Context, _: u64) -> Result<Creation> {
            unreachable!()
        }
        fn created(&self, _: &Ticket) -> Result<Option<u64>> {
            unreachable!()
        }
        fn split(&self, _: &transport::Context, _: &Split) -> Result<Option<u64>> {
            unreachable!()
        }
        fn create(&self, _: &transport::Context, _: &[usize], _: u64) -> Result<u64> {
            unreachable!()
        }
        fn free(&self, _: &transport::Context) -> Result<()> {
            unreachable!()
        }
        fn idle(&self, _: u32) {}
        fn wake(&self) {}
        fn lost(&self) -> Option<Error> {
            None
        }
        fn abort(&self) -> ! {
            unreachable!()
        }
    }

    #[test]
    fn what_goes_on_in_the_transport_is_driven_to_its_end_and_no_longer() {
        let goes_on = Arc::new(GoesOn::default());
        let transport = Arc::clone(&goes_on);
        let engine = Engine::new(transport, Config::default(), 0, None, None);
        for _ in 0..2 {
            goes_on.begin(5);
            // Only ends a test that fails.
            let begun = Instant::now();
            while engine.progress.doze.pending() > 0 {
                assert!(begun.elapsed() < Duration::from_secs(20), "nobody drives it");
                thread::yield_now();
            }
            assert_eq!(goes_on.left.load(std::sync::atomic::Ordering::SeqCst), 0);
        }
        engine.stop();
    }
}
