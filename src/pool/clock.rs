//! The time of each rank as the master's.

use crate::error::Result;

use super::link::since;
use super::master::Master;
use super::order::{self, Order};

/// Round trips of which the shortest tells the most.
const ROUNDS: usize = 10;

/// How far the clock of each rank is ahead of the master's.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock {
    /// By rank; ranks behind the last one have the master's clock.
    offsets: Vec<Offset>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Offset {
    nanoseconds: i64,
    error: u64,
}

impl Clock {
    /// Asks each worker for its time, over and over: half of the shortest round trip is the most by which this is wrong.
    ///
    /// # Errors
    /// Those of the communicator.
    pub(super) fn measure(master: &Master) -> Result<Clock> {
        let mut offsets = vec![Offset::default(); master.up.size()];
        for &rank in master.workers() {
            if rank == master.up.rank() {
                continue;
            }
            let mut best = u64::MAX;
            for _ in 0..ROUNDS {
                let asked = since(master.epoch);
                Order::Time.send(&master.down, rank)?;
                let mut there = 0u64;
                master.up.recv(&mut there, rank, order::REPLY)?;
                let answered = since(master.epoch);
                if answered - asked < best {
                    best = answered - asked;
                    offsets[rank] = Offset {
                        nanoseconds: there as i64 - ((asked + answered) / 2) as i64,
                        error: best.div_ceil(2),
                    };
                }
            }
        }
        Ok(Clock { offsets })
    }

    /// A time of a rank's in nanoseconds, as the master's.
    pub(super) fn of_master(&self, rank: usize, time: u64) -> u64 {
        let offset = self.offsets.get(rank).map_or(0, |offset| offset.nanoseconds);
        time.saturating_add_signed(-offset)
    }

    /// The most by which the time of a rank may be wrong, in nanoseconds.
    pub(super) fn error(&self, rank: usize) -> u64 {
        self.offsets.get(rank).map_or(0, |offset| offset.error)
    }
}
