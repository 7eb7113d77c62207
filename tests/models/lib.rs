//! Models of what the threads of an engine share: loom runs them with every order that there can be.
//!
//! ```text
//! LOOM_MAX_PREEMPTIONS=3 cargo test -p models
//! ```
#![cfg(test)]
#![allow(dead_code, reason = "the engine uses more of the files than their models")]

use std::time::Duration;

use loom::sync::Arc;
use loom::thread;

use baton::{Baton, Held, Waited};
use doze::Doze;
use sync::{AtomicBool, Mutex, Ordering};

#[path = "../../src/engine/baton.rs"]
mod baton;
#[path = "../../src/engine/doze.rs"]
mod doze;
#[path = "../../src/engine/sync.rs"]
mod sync;

/// What a thread waits for, and the list of such flags that the polling thread serves.
type Work = Arc<AtomicBool>;

fn serve(baton: &Baton<Vec<Work>>, mut held: Held<'_, Vec<Work>>, inbox: &Mutex<Vec<Work>>) {
    held.extend(inbox.lock().unwrap().drain(..));
    for work in held.drain(..) {
        work.store(true, Ordering::Release);
        baton.announce();
    }
}

fn wait_for(baton: &Baton<Vec<Work>>, inbox: &Mutex<Vec<Work>>) {
    let work = Work::new(AtomicBool::new(false));
    inbox.lock().unwrap().push(Arc::clone(&work));
    loop {
        match baton.wait(|| work.load(Ordering::Acquire), Duration::MAX) {
            Waited::Done => return,
            Waited::Taken(held) => serve(baton, held, inbox),
            Waited::TimedOut => {}
        }
    }
}

#[test]
fn every_waiter_is_served_or_gets_the_baton() {
    loom::model(|| {
        let shared = Arc::new((Baton::new(Vec::new()), Mutex::new(Vec::new())));
        let other = Arc::clone(&shared);
        let thread = thread::spawn(move || wait_for(&other.0, &other.1));
        wait_for(&shared.0, &shared.1);
        thread.join().unwrap();
    });
}

#[test]
fn a_poller_that_leaves_hands_on_to_a_waiter() {
    loom::model(|| {
        let shared = Arc::new((Baton::new(Vec::new()), Mutex::new(Vec::new())));
        let other = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            // Polls once, without looking at the inbox, and leaves.
            drop(other.0.try_take());
        });
        wait_for(&shared.0, &shared.1);
        thread.join().unwrap();
    });
}

#[test]
fn taking_waits_for_the_holder_only() {
    loom::model(|| {
        let baton = Arc::new(Baton::new(0));
        let other = Arc::clone(&baton);
        let thread = thread::spawn(move || *other.take() += 1);
        *baton.take() += 1;
        thread.join().unwrap();
        assert_eq!(*baton.take(), 2);
    });
}

#[test]
fn no_task_sleeps_through() {
    loom::model(|| {
        let doze = Arc::new(Doze::default());
        doze.wake();
        let other = Arc::clone(&doze);
        let sleeper = thread::spawn(move || {
            // A lost wake-up would be a deadlock, which loom reports.
            while other.pending() == 0 {
                other.sleep(thread::park);
            }
        });
        doze.add();
        if doze.is_dozing() && doze.wake() {
            sleeper.thread().unpark();
        }
        sleeper.join().unwrap();
    });
}
