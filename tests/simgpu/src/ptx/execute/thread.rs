//! One thread: its registers, its calls, its instructions.

use std::time::{SystemTime, UNIX_EPOCH};

use super::bytes::{self, Bytes};
use super::copies::Copies;
use super::memory::{Memory, Who};
use super::{Context, print};
use crate::ptx::program::{
    Atomic, Call, FUNCTION_WINDOW, Held, LOCAL_WINDOW, Lanes, Op, Order, STACK_BYTES, Special, Target,
    Update, WINDOWS,
};
use crate::ptx::{Access, Fault};

/// What a thread is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Ready,
    /// It waits for the other lanes of a mask.
    Collective,
    /// It waits for the other threads of a barrier.
    Barrier(u32),
    Exited,
}

/// Why a thread stopped running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Others should run for a while.
    Turn,
    Collective,
    Barrier,
    Exited,
}

/// The caller of an active function.
struct Activation {
    routine: u32,
    /// Where it goes on, behind its call.
    pc: u32,
    base: usize,
    frame: u32,
    /// Where its local memory ends.
    top: usize,
}

pub struct Thread {
    pub index: u32,
    pub position: [u32; 3],
    pub state: State,
    pub pc: u32,
    pub registers: Vec<u64>,
    /// Where the active function's frame starts in `registers`.
    pub base: usize,
    routine: u32,
    callers: Vec<Activation>,
    /// Local memory, as far as functions are active.
    stack: Bytes,
    frame: u32,
    copies: Copies,
}

/// How many instructions a thread runs before others get their turn.
const TURN: u32 = 1 << 14;

impl Thread {
    pub fn new(context: &Context, index: u32) -> Self {
        Self {
            index,
            position: context.thread_position(index),
            state: State::Exited,
            pc: 0,
            registers: Vec::new(),
            base: 0,
            routine: 0,
            callers: Vec::new(),
            stack: Bytes::default(),
            frame: 0,
            copies: Copies::default(),
        }
    }

    /// Begins the kernel.
    pub fn start(&mut self, context: &Context) {
        let kernel = &context.program.routines[0];
        self.state = State::Ready;
        self.pc = kernel.entry;
        self.registers.clear();
        self.base = 0;
        self.routine = 0;
        self.callers.clear();
        self.frame = 0;
        self.copies.clear();
        self.stack.resize(kernel.frame_bytes as usize);
        self.stack.slice_mut().fill(0xff);
        context.push_frame(0, &mut self.registers, self.index, 0);
    }

    /// A register of the active function.
    pub fn register(&mut self, slot: u32) -> &mut u64 {
        &mut self.registers[self.base + slot as usize]
    }

    /// Runs until the thread must wait, exits, or has had its turn.
    pub fn run(&mut self, memory: &mut Memory, block: [u32; 3]) -> Result<Stop, Fault> {
        let context = memory.context;
        let code = &context.program.code[..];
        let mut pc = self.pc as usize;
        let mut frame = &mut self.registers[self.base..];
        for _ in 0..TURN {
            let instruction = &code[pc];
            // What goes wrong is told of the instruction it happens at.
            self.pc = pc as u32;
            let who = Who {
                thread: self.index,
                pc: self.pc,
            };
            pc += 1;
            if let Some(guard) = instruction.guard
                && (frame[guard.slot as usize] != 0) == guard.negated
            {
                continue;
            }
            match &instruction.op {
                &Op::Compute { f, d, a, b, c } => {
                    frame[d as usize] = f(frame[a as usize], frame[b as usize], frame[c as usize]);
                }
                Op::Compute4(compute) => {
                    let (f, d, [a, b, c, e]) = **compute;
                    let operands = [a, b, c, e].map(|slot| frame[slot as usize]);
                    frame[d as usize] = f(operands[0], operands[1], operands[2], operands[3]);
                }
                Op::Load {
                    address,
                    size,
                    lanes,
                    signed,
                    mask,
                    d,
                } => {
                    let base = frame[address.base as usize];
                    let total = u64::from(*size) * u64::from(*lanes);
                    let place = memory.place(address, base, total, Access::Read, who, &mut self.stack)?;
                    for (lane, &d) in d[..*lanes as usize].iter().enumerate() {
                        // SAFETY: `place` checked that the lanes are in bounds and aligned.
                        let value = unsafe { bytes::read(place.pointer.add(lane * *size as usize), *size) };
                        let unused = 64 - 8 * u32::from(*size);
                        let value = if *signed {
                            ((value << unused) as i64 >> unused) as u64
                        } else {
                            value
                        };
                        frame[d as usize] = value & mask;
                    }
                }
                Op::Store {
                    address,
                    size,
                    lanes,
                    a,
                } => {
                    let base = frame[address.base as usize];
                    let total = u64::from(*size) * u64::from(*lanes);
                    let place = memory.place(address, base, total, Access::Write, who, &mut self.stack)?;
                    for (lane, &a) in a[..*lanes as usize].iter().enumerate() {
                        // SAFETY: `place` checked that the lanes are in bounds and aligned.
                        unsafe {
                            bytes::write(place.pointer.add(lane * *size as usize), *size, frame[a as usize]);
                        }
                    }
                }
                Op::Branch(target) => pc = *target as usize,
                Op::BranchIndexed { index, targets } => {
                    let index = frame[*index as usize];
                    let target = targets.get(index as usize);
                    let target = target.ok_or_else(|| {
                        Fault::Illegal(format!("index {index} of {} branch targets", targets.len()))
                    })?;
                    pc = *target as usize;
                }
                Op::Atomic(atomic) => {
                    Self::atomic(atomic, frame, memory, who, &mut self.stack)?;
                }
                Op::Fence(order) => {
                    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
                    let races = &mut memory.shared.races;
                    if matches!(order, Order::Release | Order::Both) {
                        races.release(self.index);
                    }
                    if matches!(order, Order::Acquire | Order::Both) {
                        races.acquire(self.index);
                    }
                }
                Op::Call(call) => {
                    pc = self.call(call, memory, pc as u32)? as usize;
                    frame = &mut self.registers[self.base..];
                }
                Op::Return => match self.callers.pop() {
                    Some(caller) => {
                        pc = caller.pc as usize;
                        self.leave(context, caller);
                        frame = &mut self.registers[self.base..];
                    }
                    None => return Ok(Stop::Exited),
                },
                Op::Exit => return Ok(Stop::Exited),
                Op::CheckDivisor(slot) => {
                    if frame[*slot as usize] == 0 {
                        return Err(Fault::Illegal("a division of integers by zero".into()));
                    }
                }
                Op::Trap(why) => return Err(Fault::Illegal((*why).into())),
                Op::CopyStart(copy) => {
                    self.copies.start(copy, frame, memory, who, &mut self.stack)?;
                }
                Op::CopyCommit => self.copies.commit(),
                Op::CopyWait(groups) => {
                    self.copies.wait(*groups, memory, who, &mut self.stack)?;
                }
                Op::Allocate { d, size, align } => {
                    let (size, start) = (
                        frame[*size as usize],
                        self.stack.len().next_multiple_of(*align as usize),
                    );
                    let end = usize::try_from(size)
                        .ok()
                        .and_then(|size| start.checked_add(size));
                    let end = end.filter(|&end| end <= STACK_BYTES);
                    let end = end.ok_or_else(|| Fault::Illegal(format!("no stack for {size} bytes")))?;
                    self.stack.resize(end);
                    self.stack.slice_mut()[start..].fill(0xff);
                    frame[*d as usize] = start as u64;
                }
                Op::StackSave(d) => frame[*d as usize] = self.stack.len() as u64,
                Op::StackRestore(a) => {
                    let end = frame[*a as usize] as usize;
                    if end > self.stack.len() || end < self.frame as usize {
                        return Err(Fault::Illegal(format!("{end:#x} is no earlier end of the stack")));
                    }
                    self.stack.resize(end);
                }
                Op::Sleep => {
                    self.pc = pc as u32;
                    return Ok(Stop::Turn);
                }
                Op::Special { d, what } => {
                    frame[*d as usize] = special(*what, context, self.index, self.position, block);
                }
                Op::LocalToGeneric { d, a } => {
                    let own = LOCAL_WINDOW + (u64::from(self.index) << 32);
                    frame[*d as usize] = frame[*a as usize].wrapping_add(own);
                }
                Op::GenericToLocal { d, a } => {
                    let own = LOCAL_WINDOW + (u64::from(self.index) << 32);
                    frame[*d as usize] = frame[*a as usize].wrapping_sub(own);
                }
                Op::IsConstant { d, a } => {
                    frame[*d as usize] = memory.global.is_constant(frame[*a as usize]).into();
                }
                Op::Collective(_) => return Ok(Stop::Collective),
                Op::Barrier(_) => return Ok(Stop::Barrier),
            }
        }
        self.pc = pc as u32;
        Ok(Stop::Turn)
    }

    fn atomic(
        atomic: &Atomic,
        frame: &mut [u64],
        memory: &mut Memory,
        who: Who,
        stack: &mut Bytes,
    ) -> Result<(), Fault> {
        let base = frame[atomic.address.base as usize];
        let total = u64::from(atomic.size) * u64::from(atomic.lanes);
        let place = memory.place(&atomic.address, base, total, Access::Write, who, stack)?;
        let how = if place.device {
            atomic.update_global
        } else {
            atomic.update
        };
        for lane in 0..atomic.lanes as usize {
            let a = frame[atomic.a[lane] as usize];
            let b = frame[atomic.b as usize];
            let update = |old| match how {
                Update::With(f) => f(old, a, b),
                Update::CompareSwap if old == a => b,
                Update::CompareSwap => old,
            };
            // SAFETY: `place` checked that the lanes are in bounds and aligned.
            let old = unsafe {
                bytes::update(
                    place.pointer.add(lane * atomic.size as usize),
                    atomic.size,
                    update,
                )
            };
            if let Some(d) = atomic.d {
                frame[d[lane] as usize] = old;
            }
        }
        Ok(())
    }

    /// Enters what is called; where to go on.
    fn call(&mut self, call: &Call, memory: &mut Memory, after: u32) -> Result<u32, Fault> {
        let context = memory.context;
        let who = Who {
            thread: self.index,
            pc: self.pc,
        };
        let routine = match call.target {
            Target::Routine(routine) => routine,
            Target::Pointer(slot) => {
                let pointer = *self.register(slot);
                let function =
                    (pointer & WINDOWS == FUNCTION_WINDOW).then_some((pointer & !WINDOWS) as usize);
                let routine = function.and_then(|function| *context.program.by_function.get(function)?);
                routine
                    .ok_or_else(|| Fault::Illegal(format!("a call of {pointer:#x}, which is no function")))?
            }
            Target::Print => {
                let values = self.values(call);
                let printed = print::print(memory, who, &mut self.stack, values[0], values[1])?;
                self.give_back(call, printed);
                return Ok(after);
            }
            Target::AssertFail => {
                let values = self.values(call);
                let [message, file] =
                    [values[0], values[1]].map(|text| print::text(memory, who, &mut self.stack, text));
                return Err(Fault::Illegal(format!(
                    "assertion `{}` failed, {}:{}",
                    message?, file?, values[2]
                )));
            }
        };
        let callee = &context.program.routines[routine as usize];
        if callee.formals.len() != call.arguments.len() || callee.returns.len() != call.returns.len() {
            return Err(Fault::Illegal(
                "a call of a function with other parameters".into(),
            ));
        }
        let (frame, base) = (self.stack.len().next_multiple_of(16) as u32, self.registers.len());
        let top = frame as usize + callee.frame_bytes as usize;
        if top > STACK_BYTES || self.callers.len() > 10_000 {
            return Err(Fault::Illegal("calls too deep for the thread's stack".into()));
        }
        let caller_top = self.stack.len();
        self.stack.resize(top);
        self.stack.slice_mut()[frame as usize..].fill(0xff);
        context.push_frame(routine, &mut self.registers, self.index, frame);
        for (argument, formal) in call.arguments.iter().zip(&callee.formals) {
            self.copy(*argument, (self.base, self.frame), *formal, (base, frame))?;
        }
        self.callers.push(Activation {
            routine: self.routine,
            pc: after,
            base: self.base,
            frame: self.frame,
            top: caller_top,
        });
        (self.routine, self.base, self.frame) = (routine, base, frame);
        Ok(callee.entry)
    }

    /// Leaves the active function for its caller, with what it returns.
    fn leave(&mut self, context: &Context, caller: Activation) {
        let returned = &context.program.routines[self.routine as usize].returns;
        let Op::Call(call) = &context.program.code[caller.pc as usize - 1].op else {
            unreachable!("behind a call");
        };
        for (value, to) in returned.iter().zip(&call.returns) {
            // The call checked the sizes when it passed the arguments.
            let _ = self.copy(*value, (self.base, self.frame), *to, (caller.base, caller.frame));
        }
        self.registers.truncate(self.base);
        self.stack.resize(caller.top);
        (self.routine, self.base, self.frame) = (caller.routine, caller.base, caller.frame);
    }

    /// Copies an argument or returned value from one function's frame to another's.
    fn copy(
        &mut self,
        from: Held,
        (from_base, from_frame): (usize, u32),
        to: Held,
        (to_base, to_frame): (usize, u32),
    ) -> Result<(), Fault> {
        let mut value = [0; 8];
        match (from, to) {
            (
                Held::Memory { offset, bytes },
                Held::Memory {
                    offset: to,
                    bytes: expected,
                },
            ) => {
                if bytes != expected {
                    return Err(Fault::Illegal(
                        "a call of a function with other parameters".into(),
                    ));
                }
                let start = (from_frame + offset) as usize;
                self.stack
                    .slice_mut()
                    .copy_within(start..start + bytes as usize, (to_frame + to) as usize);
            }
            (Held::Slot(from), Held::Slot(to)) => {
                self.registers[to_base + to as usize] = self.registers[from_base + from as usize];
            }
            (Held::Slot(from), Held::Memory { offset, bytes }) => {
                value = self.registers[from_base + from as usize].to_le_bytes();
                let (start, bytes) = ((to_frame + offset) as usize, (bytes as usize).min(8));
                self.stack.slice_mut()[start..start + bytes].copy_from_slice(&value[..bytes]);
            }
            (Held::Memory { offset, bytes }, Held::Slot(to)) => {
                let (start, bytes) = ((from_frame + offset) as usize, (bytes as usize).min(8));
                value[..bytes].copy_from_slice(&self.stack.slice()[start..start + bytes]);
                self.registers[to_base + to as usize] = u64::from_le_bytes(value);
            }
        }
        Ok(())
    }

    /// The values of a call's arguments.
    fn values(&mut self, call: &Call) -> Vec<u64> {
        let value = |held: &Held| match *held {
            Held::Slot(slot) => self.registers[self.base + slot as usize],
            Held::Memory { offset, bytes } => {
                let start = (self.frame + offset) as usize;
                let mut value = [0; 8];
                let bytes = (bytes as usize).min(8);
                value[..bytes].copy_from_slice(&self.stack.slice()[start..start + bytes]);
                u64::from_le_bytes(value)
            }
        };
        call.arguments.iter().map(value).collect()
    }

    /// Stores what a call of the driver's own functions returns.
    fn give_back(&mut self, call: &Call, value: u64) {
        match call.returns.first() {
            Some(&Held::Slot(slot)) => *self.register(slot) = value,
            Some(&Held::Memory { offset, bytes }) => {
                let (start, bytes) = ((self.frame + offset) as usize, (bytes as usize).min(8));
                self.stack.slice_mut()[start..start + bytes].copy_from_slice(&value.to_le_bytes()[..bytes]);
            }
            None => {}
        }
    }
}

/// What a special register reads.
fn special(what: Special, context: &Context, index: u32, position: [u32; 3], block: [u32; 3]) -> u64 {
    let now = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_nanos() as u64
    };
    let lane = index % 32;
    let value: u32 = match what {
        Special::Thread(dimension) => position[dimension as usize],
        Special::Threads(dimension) => context.launch.block[dimension as usize],
        Special::Block(dimension) => block[dimension as usize],
        Special::Blocks(dimension) => context.launch.grid[dimension as usize],
        Special::Lane => lane,
        Special::Warp => index / 32,
        Special::Warps => context.threads.div_ceil(32),
        Special::LaneMask(Lanes::Equal) => 1 << lane,
        Special::LaneMask(Lanes::Less) => (1 << lane) - 1,
        Special::LaneMask(Lanes::LessEqual) => u32::MAX >> (31 - lane),
        Special::LaneMask(Lanes::Greater) => !(u32::MAX >> (31 - lane)),
        Special::LaneMask(Lanes::GreaterEqual) => u32::MAX << lane,
        Special::Clock => now() as u32,
        Special::ClockHigh => (now() >> 32) as u32,
        Special::Clock64 | Special::GlobalTimer => return now(),
        Special::DynamicSharedBytes => context.launch.dynamic_shared_bytes,
        Special::TotalSharedBytes => {
            context.program.static_shared_bytes + context.launch.dynamic_shared_bytes
        }
        Special::Constant(value) => value,
    };
    value.into()
}
