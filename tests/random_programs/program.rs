//! What a program consists of, and how one is made up.

use warpcomm::{Dtype, Op, Wire};

use super::collective::{Call, Collective};
#[cfg(feature = "serde")]
use super::objects::{self, Objects};
use crate::oracle::{DTYPES, mixed, mpi_has};

/// A program: what all ranks do, step by step.
#[derive(Clone, Debug)]
pub struct Program {
    pub steps: Vec<Step>,
    /// The members of each communicator that there will be, as ranks of the world, which is the first one.
    pub communicators: Vec<Vec<usize>>,
    /// What the world is.
    pub wire: Wire,
}

/// Something that the members of a communicator do together.
#[derive(Clone, Debug)]
pub struct Step {
    /// The number of the communicator.
    pub on: usize,
    /// What makes the data of this step other than those of others.
    pub salt: u64,
    pub action: Action,
}

#[derive(Clone, Debug)]
pub enum Action {
    Barrier,
    /// Makes the communicator with this number.
    Duplicate(usize),
    /// Makes the communicators from this number on.
    Make(usize, Parts),
    /// Drops the communicator; requests on it may be pending.
    Drop,
    Collective(Form, Collective),
    #[cfg(feature = "serde")]
    Objects(Objects),
    Messages(Way, Vec<Message>),
    /// Everybody sends to the rank so many places behind it, and receives, in one call, perhaps into the same
    /// buffer.
    Shift {
        by: usize,
        in_place: bool,
        tag: i32,
        dtype: Dtype,
        length: usize,
    },
    /// One rank receives from all others, in whatever order they come.
    Collect {
        root: usize,
        tag: i32,
        dtype: Dtype,
        length: usize,
    },
    /// Everybody cancels a receive that nobody sends to.
    Cancel {
        tag: i32,
        dtype: Dtype,
        length: usize,
    },
}

/// Communicators that are made of one.
#[derive(Clone, Debug)]
pub struct Parts {
    pub means: Means,
    /// The members of each, as ranks of the one that they are made of; in a merged one the lower side comes first.
    pub members: Vec<Vec<usize>>,
    /// Each member's color and key.
    pub wishes: Vec<(Option<u32>, i32)>,
}

impl Parts {
    /// Which of them has this rank.
    pub fn of(&self, rank: usize) -> Option<usize> {
        self.members.iter().position(|members| members.contains(&rank))
    }
}

/// By what communicators are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    Split,
    SplitShared,
    Create,
    CreateGroup,
    /// Two sides, which meet in an intercommunicator.
    Merge,
}

/// How a collective is called. Some ranks may call the blocking one where others do not, but for persistent ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Blocking,
    /// By a request that is waited for before the step with this number.
    Request(usize),
    /// In a scope, with a barrier meanwhile.
    Scope,
    /// Prepared here, started by each rank at a step of its own, and waited for before the step with this number.
    Persistent(usize),
}

/// How messages are sent and received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// One after the other, by blocking calls.
    Blocking,
    /// All at the same time, by requests that are waited for before the step with this number.
    Requests(usize),
    /// By persistent requests, which are started at once and waited for before the step with this number.
    Persistent(usize),
    /// All at the same time, in a scope.
    Scope,
}

/// One message; ranks are those of the communicator.
#[derive(Clone, Debug)]
pub struct Message {
    pub from: usize,
    pub to: usize,
    /// No other message of the program has it.
    pub tag: i32,
    pub dtype: Dtype,
    pub length: usize,
    /// Elements of the receive buffer that stay as they are.
    pub room: usize,
    pub mode: Mode,
    /// How a blocking receive finds it.
    pub found: Found,
    pub source: Named,
    /// Whether the receive names the tag. Those of a sender that do not, come in its order.
    pub names_tag: bool,
}

/// Which of the sends sends a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Standard,
    Synchronous,
    /// Standard where there is none: in a scope, and of persistent requests.
    Buffered,
    /// After all receives of the step have been posted.
    Ready,
}

/// How a blocking receive finds its message: by itself, or by one of the probes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Receive,
    Probe,
    Iprobe,
    Mprobe,
    Improbe,
}

/// Whether a receive names its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    Yes,
    Any,
}

/// A source of random numbers.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(1);
        (mixed(self.0) % sides as u64) as usize
    }

    fn one_in(&mut self, sides: usize) -> bool {
        self.roll(sides) == 0
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.roll(choices.len())]
    }

    fn length(&mut self) -> usize {
        match self.roll(8) {
            0 => self.roll(2),
            1..=4 => self.roll(40),
            5 | 6 => self.roll(700),
            _ => 500 + self.roll(3500),
        }
    }
}

/// A program that is being made up.
struct Author {
    dice: Dice,
    communicators: Vec<Vec<usize>>,
    /// The communicators that are not dropped.
    alive: Vec<usize>,
    next_tag: i32,
    steps: usize,
    wire: Wire,
}

impl Program {
    /// How many ranks it is for.
    pub fn ranks(&self) -> usize {
        self.communicators[0].len()
    }

    /// The program of so many steps that belongs to a seed; on plain communicators, without what those do not have.
    pub fn new(seed: u64, ranks: usize, steps: usize, wire: Wire) -> Program {
        let mut author = Author {
            dice: Dice(mixed(seed)),
            communicators: vec![(0..ranks).collect()],
            alive: vec![0],
            next_tag: 0,
            steps,
            wire,
        };
        let steps = (0..steps).map(|number| author.step(number)).collect();
        Program {
            steps,
            communicators: author.communicators,
            wire,
        }
    }
}

impl Author {
    fn step(&mut self, number: usize) -> Step {
        let on = self.dice.of(&self.alive);
        let size = self.communicators[on].len();
        let is_native = self.wire == Wire::Native;
        let action = match self.dice.roll(22) {
            0 => Action::Barrier,
            1 => self.duplicate(on),
            2 => self.make(on),
            // The world stays.
            3 if on != 0 => {
                self.alive.retain(|alive| *alive != on);
                Action::Drop
            }
            #[cfg(feature = "serde")]
            4 if is_native => Action::Objects(Objects {
                call: self.dice.of(objects::Call::ALL),
                root: self.dice.roll(size),
                length: self.dice.length(),
            }),
            5 => Action::Cancel {
                tag: self.tag(),
                dtype: self.dice.of(DTYPES),
                length: self.dice.length(),
            },
            3..=11 => {
                let later = number + 1 + self.dice.roll(self.steps - number);
                let form = match self.dice.roll(5) {
                    0 | 1 => Form::Blocking,
                    2 => Form::Scope,
                    3 if is_native => Form::Persistent(later),
                    _ => Form::Request(later),
                };
                Action::Collective(form, self.collective(size))
            }
            12..=17 => self.messages(number, size),
            18 | 19 => Action::Shift {
                by: self.dice.roll(size),
                in_place: self.dice.one_in(2),
                tag: self.tag(),
                dtype: self.dice.of(DTYPES),
                length: self.dice.length(),
            },
            _ => Action::Collect {
                root: self.dice.roll(size),
                tag: self.tag(),
                dtype: self.dice.of(DTYPES),
                length: self.dice.length(),
            },
        };
        Step {
            on,
            salt: mixed(number as u64),
            action,
        }
    }

    fn tag(&mut self) -> i32 {
        self.next_tag += 1;
        self.next_tag
    }

    fn add(&mut self, members: Vec<usize>) {
        self.alive.push(self.communicators.len());
        self.communicators.push(members);
    }

    fn duplicate(&mut self, on: usize) -> Action {
        self.add(self.communicators[on].clone());
        Action::Duplicate(self.communicators.len() - 1)
    }

    fn make(&mut self, on: usize) -> Action {
        let members = self.communicators[on].clone();
        let means = match self.wire {
            Wire::Plain => self.dice.of(&[Means::Split, Means::SplitShared, Means::Create]),
            _ => self.dice.of(&[
                Means::Split,
                Means::SplitShared,
                Means::Create,
                Means::CreateGroup,
                Means::Merge,
            ]),
        };
        let mut wishes: Vec<(Option<u32>, i32)> = members
            .iter()
            .map(|_| {
                (
                    (!self.dice.one_in(6)).then_some(self.dice.roll(2) as u32),
                    self.dice.roll(5) as i32 - 2,
                )
            })
            .collect();
        for (member, (color, _)) in wishes.iter_mut().enumerate() {
            match means {
                // All are on one machine.
                Means::SplitShared => *color = Some(0),
                // Nobody stays out, and neither side is empty where there are two ranks.
                Means::Merge if member < 2 => *color = Some(member as u32),
                Means::Merge => *color = color.or(Some(0)),
                Means::Split | Means::Create | Means::CreateGroup => {}
            }
        }
        let mut parts = Vec::new();
        for color in 0..2 {
            let mut part: Vec<usize> = (0..members.len())
                .filter(|member| wishes[*member].0 == Some(color))
                .collect();
            // Stable, so that equal keys keep the order of ranks.
            part.sort_by_key(|member| wishes[*member].1);
            parts.push(part);
        }
        if means == Means::Merge {
            parts = vec![parts.concat()];
        }
        parts.retain(|part| !part.is_empty());
        let first = self.communicators.len();
        for part in &parts {
            self.add(part.iter().map(|&member| members[member]).collect());
        }
        Action::Make(
            first,
            Parts {
                // One rank has no other side to meet.
                means: match means {
                    Means::Merge if members.len() == 1 => Means::Create,
                    means => means,
                },
                members: parts,
                wishes,
            },
        )
    }

    fn collective(&mut self, size: usize) -> Collective {
        let call = self.dice.of(Call::ALL);
        let is_mpis = call.reduces() && self.wire == Wire::Plain;
        let has = |op: Op, dtype| {
            op.supports(dtype) && !(call.is_partial() && op == Op::Avg) && (!is_mpis || mpi_has(op, dtype))
        };
        let ops = |dtype| Op::ALL.iter().copied().filter(move |op| has(*op, dtype));
        let dtypes = DTYPES
            .iter()
            .copied()
            .filter(|dtype| ops(*dtype).next().is_some());
        let dtype = self.dice.of(&dtypes.collect::<Vec<_>>());
        let length = self.dice.length();
        Collective {
            call,
            dtype,
            op: self.dice.of(&ops(dtype).collect::<Vec<_>>()),
            root: self.dice.roll(size),
            // A gathering multiplies it.
            counts: (0..size)
                .map(|_| {
                    if call.is_uneven() {
                        self.dice.roll(length + 1)
                    } else {
                        length
                    }
                })
                .collect(),
            gap: self.dice.roll(3),
            is_tame: is_mpis,
            in_place: self.dice.one_in(2),
        }
    }

    fn messages(&mut self, number: usize, size: usize) -> Action {
        let later = number + 1 + self.dice.roll(self.steps - number);
        let way = match self.dice.roll(5) {
            0 => Way::Blocking,
            1 => Way::Scope,
            2 => Way::Persistent(later),
            _ => Way::Requests(later),
        };
        let modes = match way != Way::Blocking && self.dice.one_in(3) {
            true => &[Mode::Standard, Mode::Ready],
            false => &[Mode::Standard, Mode::Standard, Mode::Synchronous, Mode::Buffered][..],
        };
        let count = 1 + self.dice.roll(8);
        let mut messages = Vec::new();
        for _ in 0..count {
            let (from, to) = (self.dice.roll(size), self.dice.roll(size));
            // A blocking send to oneself has nobody to receive it.
            if way == Way::Blocking && from == to {
                continue;
            }
            messages.push(Message {
                from,
                to,
                tag: self.tag(),
                dtype: self.dice.of(DTYPES),
                length: self.dice.length(),
                room: self.dice.roll(3),
                mode: self.dice.of(modes),
                found: self.dice.of(&[
                    Found::Receive,
                    Found::Receive,
                    Found::Receive,
                    Found::Probe,
                    Found::Iprobe,
                    Found::Mprobe,
                    Found::Improbe,
                ]),
                source: self.dice.of(&[Named::Yes, Named::Any]),
                names_tag: true,
            });
        }
        // Receives that name the source only take the next message of that sender, whichever it is.
        for from in 0..size {
            for to in 0..size {
                if self.dice.one_in(3) {
                    for message in messages
                        .iter_mut()
                        .filter(|message| message.from == from && message.to == to)
                    {
                        (message.source, message.names_tag) = (Named::Yes, false);
                    }
                }
            }
        }
        Action::Messages(way, messages)
    }
}
