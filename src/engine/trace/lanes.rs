//! Which row of a trace an operation is in: operations that overlap are in different ones.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// So many are found without a lock.
const FEW: u32 = u64::BITS;

/// The lanes of one kind of operations, of which always the lowest that is free is taken.
#[derive(Default)]
pub(super) struct Lanes {
    taken: AtomicU64,
    more: Mutex<More>,
}

/// The lanes above the first ones.
#[derive(Default)]
struct More {
    free: BTreeSet<u32>,
    /// How many there are.
    count: u32,
}

impl Lanes {
    pub(super) fn take(&self) -> u32 {
        let mut taken = self.taken.load(Ordering::Relaxed);
        loop {
            let lane = taken.trailing_ones();
            if lane == FEW {
                return self.take_another();
            }
            let with = taken | 1 << lane;
            match self
                .taken
                .compare_exchange_weak(taken, with, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => return lane,
                Err(now) => taken = now,
            }
        }
    }

    pub(super) fn give_back(&self, lane: u32) {
        match lane < FEW {
            true => drop(self.taken.fetch_and(!(1 << lane), Ordering::Release)),
            false => drop(self.more().free.insert(lane)),
        }
    }

    #[cold]
    fn take_another(&self) -> u32 {
        let mut more = self.more();
        more.free.pop_first().unwrap_or_else(|| {
            more.count += 1;
            FEW + more.count - 1
        })
    }

    fn more(&self) -> MutexGuard<'_, More> {
        self.more.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_that_is_free_is_taken() {
        let lanes = Lanes::default();
        let taken: Vec<u32> = (0..100).map(|_| lanes.take()).collect();
        assert_eq!(taken, (0..100).collect::<Vec<_>>());
        for lane in [80, 3, 63, 64] {
            lanes.give_back(lane);
        }
        assert_eq!([(); 5].map(|()| lanes.take()), [3, 63, 64, 80, 100]);
    }
}
