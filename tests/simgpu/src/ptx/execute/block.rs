//! One block: its threads take turns until each must wait; then what they wait for is looked at.

use super::barrier::Arrivals;
use super::bytes::Bytes;
use super::diagnosis::opcode;
use super::memory::{Global, Memory, Shared};
use super::race::Races;
use super::thread::{State, Stop, Thread};
use super::{Context, collective, position};
use crate::ptx::Fault;
use crate::ptx::program::{Collect, Collective, Op};

/// How far a block got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Finished,
    /// Its threads run on and on: perhaps they wait for another block.
    Suspended,
}

pub struct Block {
    pub position: [u32; 3],
    pub threads: Vec<Thread>,
    pub shared: Shared,
    pub barriers: [Arrivals; 16],
}

/// After how many rounds of turns a block is suspended.
const ROUNDS: u32 = 64;

impl Block {
    pub fn new(context: &Context) -> Self {
        let program = context.program;
        let bytes = (program.static_shared_bytes as usize).next_multiple_of(16)
            + context.launch.dynamic_shared_bytes as usize;
        let mut memory = Bytes::default();
        memory.resize(bytes);
        Self {
            position: [0; 3],
            threads: (0..context.threads)
                .map(|index| Thread::new(context, index))
                .collect(),
            shared: Shared {
                bytes: memory,
                races: Races::new(context.threads, bytes, program.granule, program.cross_warp),
            },
            barriers: Default::default(),
        }
    }

    /// Begins the index-th block of the grid.
    pub fn start(&mut self, context: &Context, index: u64) {
        self.position = position(context.launch.grid, index);
        // What no thread wrote reads as a NaN.
        self.shared.bytes.slice_mut().fill(0xff);
        self.shared.races.next_epoch();
        self.barriers = Default::default();
        for thread in &mut self.threads {
            thread.start(context);
        }
    }

    pub fn run(&mut self, context: &Context, global: &mut Global) -> Result<Outcome, Fault> {
        for _ in 0..ROUNDS {
            let mut turns = false;
            for warp in 0..self.threads.len().div_ceil(32) {
                turns |= self.run_warp(warp, context, global)?;
            }
            let met = self.meet(context)?;
            if self.threads.iter().all(|thread| thread.state == State::Exited) {
                // A barrier of some threads may be left with threads that only arrived.
                return Ok(Outcome::Finished);
            }
            if !turns && !met {
                return Err(self.stuck(context));
            }
        }
        Ok(Outcome::Suspended)
    }

    /// Runs a warp until all of its threads wait; whether some would still run.
    fn run_warp(&mut self, warp: usize, context: &Context, global: &mut Global) -> Result<bool, Fault> {
        let first = warp * 32;
        let last = (first + 32).min(self.threads.len());
        loop {
            let mut turns = false;
            for index in first..last {
                if self.threads[index].state != State::Ready {
                    continue;
                }
                let mut memory = Memory {
                    global: &mut *global,
                    shared: &mut self.shared,
                    context,
                };
                let thread = &mut self.threads[index];
                let stop = thread.run(&mut memory, self.position);
                match stop.map_err(|fault| self.located(fault, index as u32, context))? {
                    Stop::Turn => turns = true,
                    Stop::Collective => {
                        self.threads[index].state = State::Collective;
                        self.check_mask(index, context)?;
                    }
                    Stop::Barrier => {
                        self.arrive(index as u32, context)?;
                        turns |= self.threads[index].state == State::Ready;
                    }
                    Stop::Exited => self.threads[index].state = State::Exited,
                }
            }
            let fired = self.fire(first, last, context)?;
            if !fired {
                return Ok(turns);
            }
        }
    }

    /// The collective that a thread waits at.
    pub fn collective<'c>(&self, index: usize, context: &'c Context) -> Option<&'c Collective> {
        let thread = &self.threads[index];
        match &context.program.code[thread.pc as usize].op {
            Op::Collective(collective) if thread.state == State::Collective => Some(collective),
            _ => None,
        }
    }

    pub fn mask(&mut self, index: usize, collective: &Collective) -> u32 {
        *self.threads[index].register(collective.mask) as u32
    }

    fn check_mask(&mut self, index: usize, context: &Context) -> Result<(), Fault> {
        let Some(collective) = self.collective(index, context) else {
            return Ok(());
        };
        let mask = self.mask(index, collective);
        if !matches!(collective.what, Collect::ActiveMask) && mask >> (index % 32) & 1 == 0 {
            let what = format!("lane {} is not in its own mask {mask:#010x}", index % 32);
            return Err(self.located(Fault::Illegal(what), index as u32, context));
        }
        Ok(())
    }

    /// Whether two lanes are at the same collective, as PTX has it: the same qualifiers and mask.
    pub fn at_the_same(&self, a: usize, b: usize, context: &Context) -> bool {
        let (a, b) = (self.threads[a].pc, self.threads[b].pc);
        a == b || opcode(context, a) == opcode(context, b)
    }

    /// Performs the collectives of a warp for which all lanes are there.
    fn fire(&mut self, first: usize, last: usize, context: &Context) -> Result<bool, Fault> {
        let mut fired = false;
        for leader in first..last {
            let Some(collective) = self.collective(leader, context) else {
                continue;
            };
            let asks = matches!(collective.what, Collect::ActiveMask);
            if asks {
                continue;
            }
            let mask = self.mask(leader, collective);
            let mut group = Vec::new();
            let mut complete = true;
            for index in (first..last).filter(|index| mask >> (index % 32) & 1 == 1) {
                if self.threads[index].state == State::Exited {
                    continue;
                }
                match self.collective(index, context) {
                    Some(other)
                        if self.mask(index, other) == mask && self.at_the_same(leader, index, context) =>
                    {
                        group.push((index, other));
                    }
                    _ => {
                        complete = false;
                        break;
                    }
                }
            }
            if complete {
                self.perform(first, &group, context)?;
                self.shared
                    .races
                    .join(&group.iter().map(|&(index, _)| index as u32).collect::<Vec<_>>());
                fired = true;
            }
        }
        if fired {
            return Ok(true);
        }
        // Only when nobody else gets on is it known who is together at an `activemask`.
        for leader in first..last {
            let Some(collective) = self.collective(leader, context) else {
                continue;
            };
            if !matches!(collective.what, Collect::ActiveMask) {
                continue;
            }
            let together = (first..last).filter(|&index| self.threads[index].pc == self.threads[leader].pc);
            let group: Vec<_> = together
                .filter_map(|index| Some((index, self.collective(index, context)?)))
                .collect();
            self.perform(first, &group, context)?;
            return Ok(true);
        }
        Ok(false)
    }

    fn perform(
        &mut self,
        first: usize,
        group: &[(usize, &Collective)],
        context: &Context,
    ) -> Result<(), Fault> {
        let lanes: Vec<_> = group
            .iter()
            .map(|&(index, collective)| (index - first, collective))
            .collect();
        let active = lanes.iter().fold(0, |mask, &(lane, _)| mask | 1 << lane);
        let result = collective::perform(&mut self.threads[first..], &lanes, active);
        result.map_err(|(lane, fault)| self.located(fault, (first + lane) as u32, context))?;
        for &(index, _) in group {
            self.threads[index].state = State::Ready;
            self.threads[index].pc += 1;
        }
        Ok(())
    }
}
