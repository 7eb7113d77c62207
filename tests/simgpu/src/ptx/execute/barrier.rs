//! The barriers of a block.

use super::Context;
use super::block::Block;
use super::thread::State;
use crate::ptx::Fault;
use crate::ptx::program::{Barrier, Meet, Op};

/// The threads that arrived at one of the block's barriers.
#[derive(Default)]
pub struct Arrivals {
    /// Each thread, where, and whether it waits there.
    pub threads: Vec<(u32, u32, bool)>,
    /// How many it needs; 0: all of the block.
    pub count: u32,
    /// Whether some did not wait.
    passed: bool,
}

impl Block {
    /// A thread arrives at a barrier.
    pub fn arrive(&mut self, index: u32, context: &Context) -> Result<(), Fault> {
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
        // A count of all warps says what no count says.
        let all = context.threads.next_multiple_of(32);
        let expected = count.filter(|&count| count != all).unwrap_or(0);
        if arrivals.threads.is_empty() {
            arrivals.count = expected;
        } else if arrivals.count != expected {
            let other = arrivals.count;
            return illegal(
                self,
                format!("barrier {id} of {expected} threads is one of {other} for others"),
            );
        }
        // Only a thread that did not wait can come again.
        if arrivals.passed && arrivals.threads.iter().any(|&(other, ..)| other == index) {
            return illegal(self, format!("the thread has arrived at barrier {id} already"));
        }
        arrivals.threads.push((index, pc, waits));
        arrivals.passed |= !waits;
        let thread = &mut self.threads[index as usize];
        if waits {
            thread.state = State::Barrier(id as u32);
        } else {
            thread.pc += 1;
        }
        Ok(())
    }

    /// Lets the threads of complete barriers go on; whether there were some.
    pub fn meet(&mut self, context: &Context) -> Result<bool, Fault> {
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
            let Arrivals { threads, passed, .. } = std::mem::take(&mut self.barriers[id]);
            self.check_alignment(&threads, context)?;
            self.reduce(&threads, context);
            // Who passed is ahead of the others by now.
            if whole && !passed {
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
}

fn barrier_at<'c>(context: &'c Context, pc: u32) -> &'c Barrier {
    match &context.program.code[pc as usize].op {
        Op::Barrier(barrier) => barrier,
        _ => unreachable!("threads wait at barriers"),
    }
}
