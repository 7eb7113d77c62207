//! How many tasks a worker is given at a time; no more than arithmetic, so that it can be tried against a simulated clock.

/// How many tasks of a load-balanced call go to a worker at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Chunk {
    /// So many, or what is left; 0 counts as 1.
    Fixed(u64),
    /// Half of an even share of what is left: few and large ones first, single tasks at the end. Where nobody knows how
    /// many are left, because the tasks come from an iterator that cannot say it, this is [`Measured`](Self::Measured).
    ///
    /// Polychronopoulos and Kuck, "Guided self-scheduling", IEEE Transactions on Computers 36 (1987).
    Guided,
    /// As many as take about a millisecond by what tasks have taken so far, of at most a mebibyte together, and no more
    /// than a guided chunk; one at a time until the first has ended. Long tasks are never bundled.
    Measured,
}

/// The time that a measured chunk should take, in seconds.
const CHUNK_SECONDS: f64 = 1e-3;

/// The bytes that a chunk should not exceed, where it has more than one task.
const CHUNK_BYTES: f64 = 1024.0 * 1024.0;

/// Tasks that take longer than this many seconds are not sent ahead: a worker that has one in reserve keeps it from one
/// that has nothing to do, and the time that a message takes is nothing beside it.
const LONGEST_AHEAD: f64 = 10e-3;

/// The fewest and the most orders that a worker has where nobody says how many.
const IN_FLIGHT: (usize, usize) = (2, 16);

/// The time that the orders of a worker should take then, in seconds, so that it has work while a report and the next
/// order are on their way.
const IN_FLIGHT_SECONDS: f64 = 1e-4;

/// By how much a measured chunk may be larger than the one before it.
const GROWTH: u64 = 4;

/// What a call has learnt of its tasks, and what follows for the next order.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    chunk: Chunk,
    workers: u64,
    /// The orders that a worker may have at a time, if somebody has said it.
    in_flight: Option<usize>,
    /// How long a task takes and how many bytes its message has, of late; none before the first has ended.
    task: Option<Mean>,
    /// The largest chunk so far.
    largest: u64,
}

#[derive(Clone, Copy, Debug)]
struct Mean {
    seconds: f64,
    bytes: f64,
}

impl Schedule {
    pub(super) fn new(chunk: Chunk, workers: usize, in_flight: Option<usize>) -> Schedule {
        Schedule {
            chunk,
            workers: workers.max(1) as u64,
            in_flight: in_flight.map(|orders| orders.max(1)),
            task: None,
            largest: 1,
        }
    }

    /// How many tasks to give now to a worker that has `orders` already, where `left` are left if that is known; 0 for
    /// none.
    pub(super) fn next(&mut self, orders: usize, left: Option<u64>) -> u64 {
        if left == Some(0) || orders > 0 && !self.may_go_ahead(left) {
            return 0;
        }
        let size = self.size(left);
        if orders >= self.in_flight(size) {
            return 0;
        }
        self.largest = self.largest.max(size);
        left.map_or(size, |left| size.min(left))
    }

    /// The size of the next chunk.
    fn size(&self, left: Option<u64>) -> u64 {
        let guided = left.map(|left| left.div_ceil(2 * self.workers).max(1));
        match self.chunk {
            Chunk::Fixed(tasks) => tasks.max(1),
            Chunk::Guided => guided.unwrap_or_else(|| self.measured()),
            Chunk::Measured => self.measured().min(guided.unwrap_or(u64::MAX)),
        }
    }

    /// How many orders of so many tasks a worker may have.
    fn in_flight(&self, tasks: u64) -> usize {
        let (fewest, most) = IN_FLIGHT;
        self.in_flight.unwrap_or_else(|| match self.task {
            None => fewest,
            Some(Mean { seconds, bytes }) => {
                let fit = (IN_FLIGHT_SECONDS / seconds.max(1e-9)).min(CHUNK_BYTES / bytes.max(1.0));
                ((fit / tasks as f64) as usize).clamp(fewest, most)
            }
        })
    }

    /// As many as the time and the bytes of tasks allow.
    fn measured(&self) -> u64 {
        let Some(Mean { seconds, bytes }) = self.task else {
            return 1;
        };
        let fit = (CHUNK_SECONDS / seconds.max(1e-9)).min(CHUNK_BYTES / bytes.max(1.0));
        (fit as u64).clamp(1, self.largest.saturating_mul(GROWTH))
    }

    /// Whether a worker that has an order gets another one: while tasks are short, and enough of them are left for all.
    fn may_go_ahead(&self, left: Option<u64>) -> bool {
        let is_short = self.task.is_some_and(|task| task.seconds < LONGEST_AHEAD);
        is_short && left.is_none_or(|left| left >= 2 * self.workers)
    }

    /// Notes that so many tasks have taken so many seconds, and what their message had in bytes.
    pub(super) fn ran(&mut self, tasks: u64, seconds: f64, bytes: u64) {
        if tasks == 0 {
            return;
        }
        let new = Mean {
            seconds: seconds / tasks as f64,
            bytes: bytes as f64 / tasks as f64,
        };
        // Tasks may become longer: what is recent counts as much as all before.
        self.task = Some(match self.task {
            None => new,
            Some(old) => Mean {
                seconds: (old.seconds + new.seconds) / 2.0,
                bytes: (old.bytes + new.bytes) / 2.0,
            },
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Blocks;
    use proptest::prelude::*;

    /// When the last task ends where a schedule gives tasks of these seconds to so many workers, each order taking `latency`
    /// seconds to arrive.
    fn makespan(mut schedule: Schedule, tasks: &[f64], workers: usize, latency: f64) -> f64 {
        // For each worker, the orders that it has: when each ends, its tasks and their seconds.
        let mut orders = vec![std::collections::VecDeque::<(f64, u64, f64)>::new(); workers];
        let (mut now, mut next, mut done) = (0.0f64, 0, 0);
        while done < tasks.len() as u64 {
            for worker in &mut orders {
                loop {
                    let size = schedule.next(worker.len(), Some((tasks.len() - next) as u64)) as usize;
                    if size == 0 {
                        break;
                    }
                    let seconds = tasks[next..next + size].iter().sum();
                    let free = worker.back().map_or(0.0, |order| order.0);
                    worker.push_back((free.max(now + latency) + seconds, size as u64, seconds));
                    next += size;
                }
            }
            let ends = orders
                .iter()
                .filter_map(|worker| worker.front())
                .map(|order| order.0);
            now = ends.min_by(f64::total_cmp).expect("somebody works");
            for worker in &mut orders {
                while worker.front().is_some_and(|order| order.0 <= now) {
                    let (_, size, seconds) = worker.pop_front().expect("just looked at");
                    schedule.ran(size, seconds, 8 * size);
                    done += size;
                }
            }
        }
        now
    }

    /// The same where each worker has an even block of the tasks.
    fn of_blocks(tasks: &[f64], workers: usize) -> f64 {
        let blocks = Blocks::even(tasks.len(), workers);
        let sums = (0..workers).map(|worker| tasks[blocks.range(worker)].iter().sum());
        sums.fold(0.0, f64::max)
    }

    /// The same where whoever is free takes the next one, in no time: list scheduling.
    fn of_list(tasks: &[f64], workers: usize) -> f64 {
        let mut free = vec![0.0f64; workers];
        for seconds in tasks {
            let first = free.iter_mut().min_by(|left, right| left.total_cmp(right));
            *first.expect("a worker") += seconds;
        }
        free.into_iter().fold(0.0, f64::max)
    }

    /// 64 uneven tasks: of 1 to 100 ms, by a generator of which nothing depends.
    fn uneven(seed: u64) -> Vec<f64> {
        let mut state = seed.wrapping_mul(2).wrapping_add(1);
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f64 / (1u64 << 31) as f64
        };
        (0..64).map(|_| 1e-3 + 99e-3 * next()).collect()
    }

    #[test]
    fn uneven_tasks_end_no_later_than_in_blocks_and_almost_as_soon_as_in_a_list() {
        for workers in 1..=7 {
            let tasks = uneven(7);
            for chunk in [Chunk::Measured, Chunk::Fixed(1)] {
                let balanced = makespan(Schedule::new(chunk, workers, None), &tasks, workers, 0.0);
                let (blocks, list) = (of_blocks(&tasks, workers), of_list(&tasks, workers));
                assert!(
                    balanced <= blocks * (1.0 + 1e-12),
                    "{chunk:?}, {workers} workers: {balanced} against {blocks}"
                );
                assert!(
                    balanced <= 1.05 * list,
                    "{chunk:?}, {workers} workers: {balanced} against {list}"
                );
            }
        }
    }

    #[test]
    fn long_tasks_go_one_by_one_and_nobody_hoards_them() {
        let mut schedule = Schedule::new(Chunk::Measured, 3, Some(4));
        schedule.ran(1, 0.05, 8);
        assert_eq!(schedule.next(0, Some(1000)), 1);
        assert_eq!(schedule.next(1, Some(1000)), 0);
        assert_eq!(schedule.next(0, None), 1);
    }

    #[test]
    fn short_tasks_are_bundled_by_time_and_large_ones_by_bytes() {
        let mut schedule = Schedule::new(Chunk::Measured, 2, None);
        assert_eq!(schedule.next(0, Some(100_000)), 1);
        assert_eq!(schedule.next(1, Some(99_999)), 0, "nothing is known of them");
        let mut sizes = Vec::new();
        for _ in 0..8 {
            schedule.ran(1, 1e-6, 16);
            sizes.push(schedule.next(1, Some(100_000)));
        }
        assert_eq!(sizes, [4, 16, 64, 256, 1000, 1000, 1000, 1000]);
        assert_eq!(schedule.next(2, Some(100_000)), 0, "two orders are the most");
        for _ in 0..60 {
            schedule.ran(1, 1e-6, 64 << 20);
        }
        assert_eq!(schedule.next(0, Some(100_000)), 1);
    }

    #[test]
    fn orders_that_are_soon_over_are_sent_further_ahead() {
        let most = |seconds, bytes, in_flight| {
            let mut schedule = Schedule::new(Chunk::Fixed(1), 2, in_flight);
            schedule.ran(1, seconds, bytes);
            (0..).find(|&orders| schedule.next(orders, Some(1000)) == 0)
        };
        assert_eq!(most(1e-7, 8, None), Some(16));
        assert_eq!(most(1.9e-5, 8, None), Some(5));
        assert_eq!(most(1e-3, 8, None), Some(2));
        assert_eq!(most(0.0, 300 << 10, None), Some(3), "a mebibyte is the most");
        assert_eq!(most(0.0, 64 << 20, None), Some(2));
        assert_eq!(most(1.0, 8, None), Some(1), "a long one");
        assert_eq!(most(1e-7, 8, Some(3)), Some(3));
        assert_eq!(most(1e-7, 8, Some(0)), Some(1));
    }

    #[test]
    fn guided_chunks_shrink_to_single_tasks() {
        let mut schedule = Schedule::new(Chunk::Guided, 4, Some(1));
        let (mut left, mut sizes) = (100, Vec::new());
        while left > 0 {
            sizes.push(schedule.next(0, Some(left)));
            left -= sizes.last().expect("just pushed");
        }
        assert!(sizes.is_sorted_by(|left, right| left >= right), "{sizes:?}");
        assert_eq!((sizes[0], sizes.last()), (13, Some(&1)));
    }

    proptest! {
        #[test]
        fn every_task_is_given_once_and_none_later_than_one_worker_would(
            tasks in proptest::collection::vec(1e-6f64..0.1, 1..200),
            workers in 1usize..8,
            in_flight in proptest::option::of(0usize..5),
            fixed in 1u64..4,
            kind in 0usize..3,
        ) {
            let chunk = [Chunk::Fixed(fixed), Chunk::Guided, Chunk::Measured][kind];
            let end = makespan(Schedule::new(chunk, workers, in_flight), &tasks, workers, 0.0);
            let total: f64 = tasks.iter().sum();
            prop_assert!(end * workers as f64 >= total * (1.0 - 1e-9));
            prop_assert!(end <= total * (1.0 + 1e-9));
        }
    }
}
