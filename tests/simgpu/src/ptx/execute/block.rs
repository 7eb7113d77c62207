//! One block: its threads take turns until each must wait; then what they wait for is looked at.

use super::memory::{Global, Memory, Shared};
use super::race::Races;
use super::thread::{State, Stop, Thread};
use super::{Context, bytes::Bytes, collective, position, reworded};
use crate::ptx::Fault;
use crate::ptx::program::{Barrier, Collect, Collective, Meet, Op};

/// How far a block got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Finished,
    /// Its threads run on and on: perhaps they wait for another block.
    Suspended,
}

/// The threads that arrived at one of the block's barriers.
#[derive(Default)]
struct Arrivals {
    /// Each thread, where, and whether it waits there.
    threads: Vec<(u32, u32, bool)>,
    /// How many it needs; 0: all of the block.
    count: u32,
}

pub struct Block {
    position: [u32; 3],
    threads: Vec<Thread>,
    shared: Shared,
    barriers: [Arrivals; 16],
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
        for barrier in &mut self.barriers {
            barrier.threads.clear();
        }
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
                    Stop::Barrier => self.arrive(index as u32, context)?,
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
    fn collective<'c>(&self, index: usize, context: &'c Context) -> Option<&'c Collective> {
        let thread = &self.threads[index];
        match &context.program.code[thread.pc as usize].op {
            Op::Collective(collective) if thread.state == State::Collective => Some(collective),
            _ => None,
        }
    }

    fn mask(&mut self, index: usize, collective: &Collective) -> u32 {
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
    fn at_the_same(&self, a: usize, b: usize, context: &Context) -> bool {
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

    /// A thread arrives at a barrier.
    fn arrive(&mut self, index: u32, context: &Context) -> Result<(), Fault> {
        let thread = &mut self.threads[index as usize];
        let pc = thread.pc;
        let barrier = barrier_at(context, pc);
        let id = *thread.register(barrier.id);
        let count = barrier.count.map(|slot| *thread.register(slot) as u32);
        let illegal = |block: &Self, what: String| Err(block.located(Fault::Illegal(what), index, context));
        if id > 15 {
            return illegal(self, format!("barrier {id} of 16"));
        }
        if let Some(count) = count
            && (count == 0 || count % 32 != 0)
        {
            return illegal(
                self,
                format!("a barrier of {count} threads, which is no multiple of a warp"),
            );
        }
        let waits = barrier.what != Meet::Arrive;
        let arrivals = &mut self.barriers[id as usize];
        let expected = count.unwrap_or(0);
        if arrivals.threads.is_empty() {
            arrivals.count = expected;
        } else if arrivals.count != expected {
            let other = arrivals.count;
            return illegal(
                self,
                format!("barrier {id} of {expected} threads is one of {other} for others"),
            );
        }
        if arrivals.threads.iter().any(|&(other, ..)| other == index) {
            return illegal(self, format!("the thread has arrived at barrier {id} already"));
        }
        arrivals.threads.push((index, pc, waits));
        let thread = &mut self.threads[index as usize];
        if waits {
            thread.state = State::Barrier(id as u32);
        } else {
            thread.pc += 1;
        }
        Ok(())
    }

    /// Lets the threads of complete barriers go on; whether there were some.
    fn meet(&mut self, context: &Context) -> Result<bool, Fault> {
        let mut met = false;
        for id in 0..self.barriers.len() {
            let arrivals = &self.barriers[id];
            if arrivals.threads.is_empty() {
                continue;
            }
            let whole = arrivals.count == 0;
            let (arrived, needed) = if whole {
                (arrivals.threads.len() as u32, context.threads)
            } else {
                (self.arrived(arrivals, context), arrivals.count)
            };
            if arrived > needed {
                let (index, ..) = arrivals.threads[0];
                let what = format!("{arrived} threads at barrier {id} of {needed}");
                return Err(self.located(Fault::Illegal(what), index, context));
            }
            if arrived < needed {
                continue;
            }
            let threads = std::mem::take(&mut self.barriers[id].threads);
            self.check_alignment(&threads, context)?;
            self.reduce(&threads, context);
            if whole {
                self.shared.races.next_epoch();
            } else {
                self.shared
                    .races
                    .join(&threads.iter().map(|&(index, ..)| index).collect::<Vec<_>>());
            }
            for (index, _, waits) in threads {
                if waits {
                    self.threads[index as usize].state = State::Ready;
                    self.threads[index as usize].pc += 1;
                }
            }
            met = true;
        }
        Ok(met)
    }

    /// How many threads a barrier counts: a warp that is there with all its threads as a whole one.
    fn arrived(&self, arrivals: &Arrivals, context: &Context) -> u32 {
        let mut warps = [0u32; 32];
        for &(index, ..) in &arrivals.threads {
            warps[index as usize / 32] += 1;
        }
        let count = |(warp, &arrived): (usize, &u32)| {
            let size = (context.threads - (warp as u32 * 32).min(context.threads)).min(32);
            if arrived == size && arrived > 0 {
                32
            } else {
                arrived
            }
        };
        warps.iter().enumerate().map(count).sum()
    }

    /// An aligned barrier must be the same instruction for all threads of a warp.
    fn check_alignment(&self, threads: &[(u32, u32, bool)], context: &Context) -> Result<(), Fault> {
        let mut seen: [Option<u32>; 32] = [None; 32];
        for &(index, pc, _) in threads {
            let first = *seen[index as usize / 32].get_or_insert(pc);
            if first != pc && barrier_at(context, pc).aligned {
                let line = context.program.places[first as usize].line;
                let what = format!("threads of one warp meet at two barriers, the other in line {line}");
                return Err(self.located(Fault::Illegal(what), index, context));
            }
        }
        Ok(())
    }

    /// Gives the threads of a reduction its result.
    fn reduce(&mut self, threads: &[(u32, u32, bool)], context: &Context) {
        let reduces = |what: Meet| match what {
            Meet::Popc { d, a } | Meet::And { d, a } | Meet::Or { d, a } => Some((d, a)),
            Meet::Sync | Meet::Arrive => None,
        };
        let mut set = 0;
        let mut asked = 0;
        for &(index, pc, _) in threads {
            if let Some((_, a)) = reduces(barrier_at(context, pc).what) {
                set += u64::from(*self.threads[index as usize].register(a) != 0);
                asked += 1;
            }
        }
        for &(index, pc, _) in threads {
            let what = barrier_at(context, pc).what;
            let value = match what {
                Meet::Popc { .. } => set,
                Meet::And { .. } => u64::from(set == asked),
                _ => u64::from(set > 0),
            };
            if let Some((d, _)) = reduces(what) {
                *self.threads[index as usize].register(d) = value;
            }
        }
    }

    /// Why no thread can go on.
    fn stuck(&mut self, context: &Context) -> Fault {
        for index in 0..self.threads.len() {
            let Some(collective) = self.collective(index, context) else {
                continue;
            };
            let mask = self.mask(index, collective);
            let first = index / 32 * 32;
            for other in
                (first..self.threads.len().min(first + 32)).filter(|other| mask >> (other % 32) & 1 == 1)
            {
                let what = match self.collective(other, context) {
                    Some(theirs) if self.at_the_same(index, other, context) => {
                        let theirs = self.mask(other, theirs);
                        if theirs == mask {
                            continue;
                        }
                        format!(
                            "the lane's mask is {mask:#010x}, that of lane {} is {theirs:#010x}",
                            other % 32
                        )
                    }
                    _ => {
                        let place = self.whereabouts(other, context);
                        format!("the mask {mask:#010x} names lane {}, which {place}", other % 32)
                    }
                };
                if self.threads[other].state != State::Exited {
                    return self.located(Fault::Illegal(what), index as u32, context);
                }
            }
        }
        let waits = |thread: &Thread| matches!(thread.state, State::Barrier(_));
        let Some(index) = self.threads.iter().position(waits) else {
            return Fault::Illegal("threads that wait for one another".into());
        };
        let State::Barrier(id) = self.threads[index].state else {
            return Fault::Illegal("threads that wait for one another".into());
        };
        let arrivals = &self.barriers[id as usize];
        let missing = |&other: &usize| {
            arrivals
                .threads
                .iter()
                .all(|&(thread, ..)| thread as usize != other)
        };
        let other = (0..self.threads.len()).find(missing);
        let who = other.map_or_else(String::new, |other| {
            let thread = self.threads[other].position;
            format!("; thread {thread:?} {}", self.whereabouts(other, context))
        });
        let what = format!(
            "barrier {id} is not reached by all its threads: {} are there, {} needed{who}",
            arrivals.threads.len(),
            if arrivals.count == 0 {
                context.threads
            } else {
                arrivals.count
            },
        );
        self.located(Fault::Illegal(what), index as u32, context)
    }

    /// Where a thread is, for a message.
    fn whereabouts(&self, index: usize, context: &Context) -> String {
        let thread = &self.threads[index];
        match thread.state {
            State::Exited => "has exited".into(),
            _ => {
                let place = context.program.places[thread.pc as usize];
                format!("waits in line {} at `{}`", place.line, text(context, thread.pc))
            }
        }
    }

    /// A fault with what it happened to.
    fn located(&self, fault: Fault, index: u32, context: &Context) -> Fault {
        let thread = &self.threads[index as usize];
        let place = context.program.places[thread.pc as usize];
        let (kernel, block) = (context.launch.kernel.name(), self.position);
        reworded(fault, |what| {
            format!(
                "kernel `{kernel}`, block {block:?}, thread {:?}, line {}: `{}`: {what}",
                thread.position,
                place.line,
                text(context, thread.pc)
            )
        })
    }
}

fn barrier_at<'c>(context: &'c Context, pc: u32) -> &'c Barrier {
    match &context.program.code[pc as usize].op {
        Op::Barrier(barrier) => barrier,
        _ => unreachable!("threads wait at barriers"),
    }
}

/// The text of an instruction.
fn text<'c>(context: &'c Context, pc: u32) -> &'c str {
    let place = context.program.places[pc as usize];
    &context.program.source[place.start as usize..place.end as usize]
}

/// Its opcode, without the guard and the operands.
fn opcode<'c>(context: &'c Context, pc: u32) -> &'c str {
    let words = text(context, pc).split_whitespace();
    words
        .into_iter()
        .find(|word| !word.starts_with('@'))
        .unwrap_or_default()
}
