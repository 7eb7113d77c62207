//! Faults in words: where it happened, and why nothing goes on.

use super::block::Block;
use super::thread::{State, Thread};
use super::{Context, reworded};
use crate::ptx::Fault;

impl Block {
    /// Why no thread can go on.
    pub fn stuck(&mut self, context: &Context) -> Fault {
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
    pub fn located(&self, fault: Fault, index: u32, context: &Context) -> Fault {
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

/// The text of an instruction.
fn text<'c>(context: &'c Context, pc: u32) -> &'c str {
    let place = context.program.places[pc as usize];
    &context.program.source[place.start as usize..place.end as usize]
}

/// Its opcode, without the guard and the operands.
pub fn opcode<'c>(context: &'c Context, pc: u32) -> &'c str {
    let words = text(context, pc).split_whitespace();
    words
        .into_iter()
        .find(|word| !word.starts_with('@'))
        .unwrap_or_default()
}
