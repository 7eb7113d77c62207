//! The detector of races in shared memory.
//!
//! Two threads race if they touch the same bytes, at least one writes, not both by strong operations (atomic,
//! volatile, relaxed or stronger), and nothing orders one before the other. What orders: a barrier of the
//! block begins a new *epoch*; within an epoch threads have vector clocks, joined by warp collectives, barriers of
//! some threads, and fences. A fence joins with all fences before it: that may hide a race, and never invents one.

/// An access.
#[derive(Clone, Copy, Debug)]
pub struct Touch {
    pub thread: u32,
    pub pc: u32,
    pub offset: u64,
    pub bytes: u64,
    pub write: bool,
    pub strong: bool,
}

/// What the detector remembers of an access.
#[derive(Clone, Copy, Default)]
struct Mark {
    epoch: u32,
    clock: u32,
    /// The instruction.
    pc: u32,
    thread: u16,
    strong: bool,
}

/// What it remembers of some bytes: the last write, and the last reads of two warps.
#[derive(Clone, Copy, Default)]
struct Cell {
    write: Mark,
    reads: [Mark; 2],
}

/// The state of one block's detector.
pub struct Races {
    cells: Vec<Cell>,
    granule_shift: u32,
    epoch: u32,
    /// The column of a thread in others' rows: its number, or within its warp its lane.
    width: usize,
    /// Row t, column u: the last step of u that is ordered before what t does now.
    known: Vec<u32>,
    /// The step that each thread is in.
    step: Vec<u32>,
    /// What fences published.
    fenced: Vec<u32>,
}

/// A race that was found: the other thread, what it did, and by which instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Race {
    pub other: u32,
    pub wrote: bool,
    pub pc: u32,
}

impl Races {
    /// A detector of `threads` threads for `bytes` bytes; `granule` is the size of the smallest access.
    pub fn new(threads: u32, bytes: usize, granule: u32, cross_warp: bool) -> Self {
        let threads = threads as usize;
        let width = if cross_warp { threads } else { 32 };
        Self {
            cells: vec![Cell::default(); bytes.div_ceil(granule as usize)],
            granule_shift: granule.trailing_zeros(),
            epoch: 1,
            width,
            known: vec![0; threads * width],
            step: vec![1; threads],
            fenced: vec![0; if cross_warp { threads } else { 0 }],
        }
    }

    /// All threads have met: nothing before races with anything after.
    pub fn next_epoch(&mut self) {
        self.epoch += 1;
    }

    fn column(&self, thread: usize) -> usize {
        if self.width == 32 { thread % 32 } else { thread }
    }

    fn ordered(&self, mark: Mark, thread: u32) -> bool {
        if mark.epoch != self.epoch || u32::from(mark.thread) == thread {
            return true;
        }
        let other = usize::from(mark.thread);
        if self.width == 32 && other / 32 != thread as usize / 32 {
            return false;
        }
        self.known[thread as usize * self.width + self.column(other)] >= mark.clock
    }

    /// Notes an access; an error if it races with an earlier one.
    #[inline]
    pub fn touch(&mut self, touch: Touch) -> Result<(), Race> {
        let Touch {
            thread,
            pc,
            offset,
            bytes,
            write,
            strong,
        } = touch;
        let (first, last) = (
            offset >> self.granule_shift,
            (offset + bytes - 1) >> self.granule_shift,
        );
        let clock = self.step[thread as usize];
        let mark = Mark {
            epoch: self.epoch,
            clock,
            pc,
            thread: thread as u16,
            strong,
        };
        let race = |with: Mark, wrote| Race {
            other: with.thread.into(),
            wrote,
            pc: with.pc,
        };
        for index in first as usize..=last as usize {
            let cell = self.cells[index];
            let free = |earlier: Mark| earlier.strong && strong || self.ordered(earlier, thread);
            if !free(cell.write) {
                return Err(race(cell.write, true));
            }
            if write {
                if let Some(read) = cell.reads.into_iter().find(|&read| !free(read)) {
                    return Err(race(read, false));
                }
                self.cells[index].write = mark;
            } else {
                let [last, _] = cell.reads;
                let reads = &mut self.cells[index].reads;
                // Reads of one warp are in order as far as its collectives are; two warps' are kept apart.
                if last.epoch == mark.epoch && last.thread / 32 != mark.thread / 32 {
                    reads[1] = last;
                }
                reads[0] = mark;
            }
        }
        Ok(())
    }

    /// Some threads have met. Only the columns of one warp matter if all are of that warp.
    pub fn join(&mut self, threads: &[u32]) {
        let Some(&first) = threads.first() else { return };
        let one_warp = threads.iter().all(|thread| thread / 32 == first / 32);
        if !one_warp && self.width == 32 {
            return;
        }
        let mut joined = vec![0; self.width];
        for &thread in threads {
            let column = self.column(thread as usize);
            let row = &self.known[thread as usize * self.width..][..self.width];
            joined
                .iter_mut()
                .zip(row)
                .for_each(|(joined, &known)| *joined = known.max(*joined));
            joined[column] = joined[column].max(self.step[thread as usize]);
        }
        for &thread in threads {
            self.known[thread as usize * self.width..][..self.width].copy_from_slice(&joined);
            self.step[thread as usize] += 1;
        }
    }

    /// A thread's steps so far come before what acquires them later.
    pub fn release(&mut self, thread: u32) {
        if self.fenced.is_empty() {
            return;
        }
        let row = &self.known[thread as usize * self.width..][..self.width];
        self.fenced
            .iter_mut()
            .zip(row)
            .for_each(|(fenced, &known)| *fenced = known.max(*fenced));
        let step = &mut self.step[thread as usize];
        self.fenced[thread as usize] = *step;
        *step += 1;
    }

    /// What was released comes before what a thread does next.
    pub fn acquire(&mut self, thread: u32) {
        if self.fenced.is_empty() {
            return;
        }
        let row = &mut self.known[thread as usize * self.width..][..self.width];
        row.iter_mut()
            .zip(&self.fenced)
            .for_each(|(known, &fenced)| *known = fenced.max(*known));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detector(cross_warp: bool) -> Races {
        Races::new(64, 64, 4, cross_warp)
    }

    /// Notes an access; the other thread of a race and whether that wrote.
    fn touch(
        races: &mut Races,
        thread: u32,
        range: std::ops::Range<u64>,
        write: bool,
        strong: bool,
    ) -> Result<(), (u32, bool)> {
        let bytes = range.end - range.start;
        let touch = Touch {
            thread,
            pc: 0,
            offset: range.start,
            bytes,
            write,
            strong,
        };
        races.touch(touch).map_err(|race| (race.other, race.wrote))
    }

    #[test]
    fn a_barrier_orders() {
        let mut races = detector(false);
        touch(&mut races, 0, 0..4, true, false).unwrap();
        races.next_epoch();
        touch(&mut races, 40, 0..4, false, false).unwrap();
        assert_eq!(touch(&mut races, 3, 0..4, true, false), Err((40, false)));
        races.next_epoch();
        touch(&mut races, 3, 0..4, true, false).unwrap();
    }

    #[test]
    fn without_one_it_is_a_race_unless_both_are_strong() {
        let mut races = detector(false);
        touch(&mut races, 0, 4..8, true, true).unwrap();
        touch(&mut races, 1, 4..8, true, true).unwrap();
        assert_eq!(touch(&mut races, 2, 0..8, false, false), Err((1, true)));
    }

    #[test]
    fn a_warp_orders_its_own_lanes_only() {
        let mut races = detector(false);
        touch(&mut races, 0, 0..4, true, false).unwrap();
        races.join(&(0..32).collect::<Vec<_>>());
        touch(&mut races, 7, 0..4, false, false).unwrap();
        assert!(touch(&mut races, 33, 0..4, false, false).is_err());
        touch(&mut races, 5, 8..12, true, false).unwrap();
        races.join(&[5, 6]);
        touch(&mut races, 6, 8..12, false, false).unwrap();
        assert!(touch(&mut races, 7, 8..12, false, false).is_err());
    }

    #[test]
    fn order_is_transitive() {
        let mut races = detector(false);
        touch(&mut races, 0, 0..4, true, false).unwrap();
        races.join(&[0, 1]);
        races.join(&[1, 2]);
        touch(&mut races, 2, 0..4, true, false).unwrap();
        assert!(touch(&mut races, 0, 0..4, false, false).is_err());
    }

    #[test]
    fn fences_order_across_warps() {
        let mut races = detector(true);
        touch(&mut races, 0, 0..4, true, false).unwrap();
        races.release(0);
        assert!(touch(&mut races, 40, 0..4, false, false).is_err());
        races.acquire(40);
        touch(&mut races, 40, 0..4, false, false).unwrap();
        touch(&mut races, 0, 4..8, true, false).unwrap();
        assert!(touch(&mut races, 40, 4..8, false, false).is_err());
    }

    #[test]
    fn a_reader_of_another_warp_is_not_forgotten() {
        let mut races = detector(false);
        touch(&mut races, 40, 0..4, false, false).unwrap();
        touch(&mut races, 0, 0..4, false, false).unwrap();
        touch(&mut races, 1, 0..4, false, false).unwrap();
        races.join(&(0..32).collect::<Vec<_>>());
        assert_eq!(touch(&mut races, 2, 0..4, true, false), Err((40, false)));
    }
}
