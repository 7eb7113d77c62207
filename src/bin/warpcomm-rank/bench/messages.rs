//! Messages as the library has them.

use warpcomm::{Communicator, Tag};

use super::contents::Wrong;
use super::element::Sample;
use super::memory::Memory;
use super::pairs::{Pairs, Role};
use super::subject::{self, Contents, Made, Run, not_here};
use crate::Failure;
use crate::operation::Operation;

const DATA: Tag = Tag(0);
const REPLY: Tag = Tag(1);

/// The buffers of messages on one rank, and what they should hold.
pub struct Buffers<T: Sample, M: Memory<T>> {
    pub pairs: Pairs,
    pub role: Option<Role>,
    pub memory: M,
    pub send: M::Store,
    pub recv: Vec<M::Store>,
    round: u64,
}

impl<T: Sample, M: Memory<T>> Buffers<T, M> {
    pub fn new(pairs: Pairs, memory: M) -> Result<Self, Failure> {
        let recv = (0..pairs.received()).map(|_| memory.reserve(pairs.elements));
        Ok(Buffers {
            role: pairs.role(),
            send: memory.reserve(pairs.elements)?,
            recv: recv.collect::<Result<_, _>>()?,
            pairs,
            memory,
            round: 0,
        })
    }
}

impl<T: Sample, M: Memory<T>> Contents for Buffers<T, M> {
    fn prepare(&mut self) -> Result<(), Failure> {
        self.round += 1;
        let (kind, elements) = (self.pairs.kind(self.round), self.pairs.elements);
        let own: Vec<T> = kind.sent(self.pairs.rank, elements);
        self.memory.write(&mut self.send, &own)?;
        if let Some(role) = self.role {
            let spoiled: Vec<T> = kind.spoiled(&self.pairs.results(role), elements);
            for buffer in &mut self.recv {
                self.memory.write(buffer, &spoiled)?;
            }
        }
        Ok(())
    }

    fn wrong(&self) -> Result<Option<Wrong>, Failure> {
        let Some(role) = self.role else { return Ok(None) };
        let (kind, results) = (self.pairs.kind(self.round), self.pairs.results(role));
        for buffer in &self.recv {
            let wrong = kind.wrong(&results, &self.memory.read(buffer)?);
            if wrong.is_some() {
                return Ok(wrong);
            }
        }
        Ok(None)
    }
}

/// Messages of warpcomm.
pub struct Messages<'c> {
    comm: &'c Communicator,
    steps: u64,
}

impl<'c> Messages<'c> {
    pub fn new<T: Sample, M: Memory<T>>(
        comm: &'c Communicator,
        pairs: Pairs,
        memory: M,
    ) -> Result<Made<Buffers<T, M>, Self>, Failure> {
        Ok(Made {
            buffers: Buffers::new(pairs, memory)?,
            run: Messages { comm, steps: 0 },
        })
    }
}

impl<T: Sample, M: Memory<T>> Run<Buffers<T, M>> for Messages<'_> {
    const IS_OF_ANOTHER_LIBRARY: bool = false;

    fn run(&mut self, buffers: &mut Buffers<T, M>, repeats: u64) -> Result<(), Failure> {
        let (comm, steps) = (self.comm, self.steps);
        let Buffers {
            pairs,
            role,
            memory,
            send,
            recv,
            ..
        } = buffers;
        let Some(Role { peer, is_first }) = *role else {
            return Ok(());
        };
        let (window, send) = (pairs.window, memory.view(send)?);
        let mut into = Vec::with_capacity(recv.len());
        for buffer in recv {
            into.push(memory.view_mut(buffer)?);
        }
        match pairs.operation {
            Operation::Latency => {
                let [into] = &mut into[..] else {
                    return Err("a message has no buffer to come to".into());
                };
                for _ in 0..repeats {
                    if is_first {
                        comm.send(send, peer, DATA)?;
                        comm.recv(*into, peer, DATA)?;
                        memory.finish()?;
                    } else {
                        comm.recv(*into, peer, DATA)?;
                        memory.finish()?;
                        comm.send(send, peer, DATA)?;
                    }
                }
            }
            Operation::Bandwidth | Operation::MessageRate if is_first => {
                for _ in 0..repeats {
                    comm.scope(|scope| {
                        for _ in 0..window {
                            scope.isend(send, peer, DATA)?;
                        }
                        Ok(())
                    })?;
                    comm.recv(&mut 0u8, peer, REPLY)?;
                }
            }
            Operation::Bandwidth | Operation::MessageRate => {
                for _ in 0..repeats {
                    comm.scope(|scope| {
                        for buffer in &mut into {
                            scope.irecv(*buffer, peer, DATA)?;
                        }
                        Ok(())
                    })?;
                    memory.finish()?;
                    comm.send(&0u8, peer, REPLY)?;
                }
            }
            Operation::Bibandwidth | Operation::Overlap => {
                for _ in 0..repeats {
                    comm.scope(|scope| {
                        for buffer in &mut into {
                            scope.irecv(*buffer, peer, DATA)?;
                        }
                        for _ in 0..window {
                            scope.isend(send, peer, DATA)?;
                        }
                        subject::compute(steps);
                        Ok(())
                    })?;
                    memory.finish()?;
                }
            }
            other => return Err(not_here(format!("{other} is no message"))),
        }
        Ok(())
    }

    fn compute(&mut self, steps: u64) {
        self.steps = steps;
    }
}
