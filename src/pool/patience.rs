//! How a thread of a pool waits for what comes by one of several ways, none of which can be slept on alone.

use std::hint;
use std::thread;
use std::time::Duration;

/// Looks after which the thread gives way to others between two of them: short tasks come sooner.
const BUSY: u32 = 8;

/// Looks after which it sleeps between two of them.
const EAGER: u32 = 200;

/// The longest sleep between two looks: what a long task may lose at its end.
const NAP: Duration = Duration::from_micros(50);

/// Waits longer the longer nothing comes.
#[derive(Default)]
pub(super) struct Patience {
    looks: u32,
}

impl Patience {
    /// Gives way after a look in vain.
    pub(super) fn wait(&mut self) {
        self.looks = self.looks.saturating_add(1);
        if self.looks > EAGER {
            thread::sleep(NAP);
        } else if self.looks > BUSY {
            thread::yield_now();
        } else {
            hint::spin_loop();
        }
    }

    /// Something has come.
    pub(super) fn renew(&mut self) {
        self.looks = 0;
    }
}
