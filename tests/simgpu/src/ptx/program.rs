//! What a kernel is decoded into: instructions of a register machine.
//!
//! A thread has a frame of 64-bit slots for each active function. A slot holds a register's value,
//! zero-extended from the register's width, or a constant; so every operand is a slot, and nothing is decoded
//! while a kernel runs.

use std::sync::Arc;

use super::syntax::Place;

/// Where generic addresses of shared memory start. The windows lie above all addresses that a CPU has.
pub const SHARED_WINDOW: u64 = 1 << 56;
/// Where generic addresses of local memory start: `window | thread << 32 | offset`.
pub const LOCAL_WINDOW: u64 = 2 << 56;
/// Where generic addresses of kernel parameters start.
pub const PARAMETER_WINDOW: u64 = 3 << 56;
/// Addresses of functions: `window | function`.
pub const FUNCTION_WINDOW: u64 = 4 << 56;
/// The bits that tell the windows apart.
pub const WINDOWS: u64 = 0xff << 56;

/// As much local memory as a thread may have.
pub const STACK_BYTES: usize = 512 << 10;
/// As much shared memory as a block may declare: more than any device has.
pub const SHARED_BYTES: usize = 1 << 20;

/// The index of a slot in its function's frame.
pub type Slot = u32;

/// A computation on up to three slots. It has no other effect.
pub type Ternary = fn(u64, u64, u64) -> u64;
/// A computation on four slots.
pub type Quaternary = fn(u64, u64, u64, u64) -> u64;

/// A linked kernel.
pub struct Program {
    pub code: Vec<Instruction>,
    /// Where each of `code` comes from.
    pub places: Vec<Place>,
    pub source: Arc<str>,
    /// The functions, the kernel first.
    pub routines: Vec<Routine>,
    /// The routine of each of the module's functions, for calls through pointers.
    pub by_function: Vec<Option<u32>>,
    pub static_shared_bytes: u32,
    /// The size of the smallest access that may be one to shared memory: what the race detector tells apart.
    pub granule: u32,
    /// Whether threads of different warps may be ordered by other means than a barrier of the whole block.
    pub cross_warp: bool,
    /// How many instructions have a `site`.
    pub sites: u32,
    pub required: Option<[u32; 3]>,
}

/// A function of a program.
pub struct Routine {
    pub entry: u32,
    /// The slots of a new frame.
    pub template: Vec<u64>,
    pub relocations: Vec<(Slot, Relocation)>,
    /// The bytes in local memory of an activation: parameters and `.local` variables.
    pub frame_bytes: u32,
    pub formals: Vec<Held>,
    pub returns: Vec<Held>,
}

/// A part of a slot that is known only later than when the routine is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Relocation {
    /// At the launch: the address of a global.
    Global(u32),
    /// After linking: where dynamic shared memory starts, at an alignment.
    Dynamic(u32),
    /// When a frame is made: where it starts in local memory.
    Frame,
    /// The same as a generic address.
    GenericFrame,
}

/// Where a parameter or argument is held.
#[derive(Clone, Copy, Debug)]
pub enum Held {
    Slot(Slot),
    /// In the frame's local memory.
    Memory {
        offset: u32,
        bytes: u32,
    },
}

/// The guard of an instruction: a slot that must be 1, or 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    pub slot: Slot,
    pub negated: bool,
}

pub struct Instruction {
    pub guard: Option<Guard>,
    pub op: Op,
}

/// The state space of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessSpace {
    Generic,
    Global,
    Shared,
    /// Local memory, and parameters of functions.
    Local,
    /// Parameters of the kernel.
    Parameter,
}

/// `[base + offset]`.
#[derive(Clone, Copy, Debug)]
pub struct Address {
    pub space: AccessSpace,
    pub base: Slot,
    pub offset: i64,
    /// Which of the places that remember what memory was last touched.
    pub site: u32,
    /// Whether the access takes part in synchronization (atomic, volatile, relaxed or stronger), so that it does
    /// not race with others of its kind.
    pub strong: bool,
}

/// Which memory accesses of others an access or fence is ordered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    None,
    Acquire,
    Release,
    Both,
}

pub enum Op {
    Compute {
        f: Ternary,
        d: Slot,
        a: Slot,
        b: Slot,
        c: Slot,
    },
    Compute4(Box<(Quaternary, Slot, [Slot; 4])>),
    Load {
        address: Address,
        size: u8,
        lanes: u8,
        /// The type's sign, and the mask of the registers.
        signed: bool,
        mask: u64,
        d: [Slot; 4],
    },
    Store {
        address: Address,
        size: u8,
        lanes: u8,
        a: [Slot; 4],
    },
    Atomic(Box<Atomic>),
    /// A memory fence.
    Fence(Order),
    Branch(u32),
    /// Branches to `targets[index]`.
    BranchIndexed {
        index: Slot,
        targets: Box<[u32]>,
    },
    Call(Box<Call>),
    Return,
    Exit,
    /// Stops the kernel if the slot is zero.
    CheckDivisor(Slot),
    Trap(&'static str),
    CopyStart(Box<AsyncCopy>),
    /// The copies started so far become a group.
    CopyCommit,
    /// Waits for all groups of copies but so many.
    CopyWait(u32),
    Allocate {
        d: Slot,
        size: Slot,
        align: u32,
    },
    StackSave(Slot),
    StackRestore(Slot),
    /// Lets other threads run.
    Sleep,
    Special {
        d: Slot,
        what: Special,
    },
    /// The address in generic form of one in a window, for a thread's own local memory.
    LocalToGeneric {
        d: Slot,
        a: Slot,
    },
    GenericToLocal {
        d: Slot,
        a: Slot,
    },
    /// Whether an address is one of a global constant's.
    IsConstant {
        d: Slot,
        a: Slot,
    },
    Collective(Box<Collective>),
    Barrier(Box<Barrier>),
}

/// An asynchronous copy from device to shared memory.
pub struct AsyncCopy {
    pub to: Address,
    pub from: Address,
    pub bytes: u32,
    /// How many bytes are copied; the others become zero.
    pub source_bytes: Slot,
}

/// A call and what it passes.
pub struct Call {
    pub target: Target,
    pub arguments: Vec<Held>,
    pub returns: Vec<Held>,
}

pub enum Target {
    Routine(u32),
    Pointer(Slot),
    /// `vprintf`.
    Print,
    /// `__assertfail`.
    AssertFail,
}

/// What an atomic operation does with what is in memory.
#[derive(Clone, Copy)]
pub enum Update {
    /// Computes the new value from the old one and the operand.
    With(Ternary),
    /// Compares the old value with the operand and stores the second operand if equal.
    CompareSwap,
}

pub struct Atomic {
    pub address: Address,
    pub size: u8,
    pub lanes: u8,
    pub update: Update,
    /// For global memory, where that differs.
    pub update_global: Update,
    /// None: `red`.
    pub d: Option<[Slot; 4]>,
    pub a: [Slot; 4],
    pub b: Slot,
}

/// What a special register reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    Thread(u8),
    Threads(u8),
    Block(u8),
    Blocks(u8),
    Lane,
    Warp,
    Warps,
    LaneMask(Lanes),
    Clock,
    ClockHigh,
    Clock64,
    GlobalTimer,
    DynamicSharedBytes,
    TotalSharedBytes,
    Constant(u32),
}

/// The lanes that a lane mask register names, relative to the lane that reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lanes {
    Equal,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

/// An operation of the lanes of a warp that its mask names.
pub struct Collective {
    pub what: Collect,
    pub mask: Slot,
    pub d: Slot,
    /// A second, predicate destination.
    pub p: Slot,
    pub a: Slot,
    pub b: Slot,
    pub c: Slot,
}

#[derive(Clone, Copy)]
pub enum Collect {
    Sync,
    Shuffle(Shuffle),
    All,
    Any,
    Uniform,
    Ballot,
    MatchAny,
    MatchAll,
    /// Folds the lanes' values.
    Reduce(Ternary),
    Elect,
    /// Not a rendezvous: whoever is here.
    ActiveMask,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shuffle {
    Up,
    Down,
    Butterfly,
    Index,
}

/// A barrier of threads of a block.
pub struct Barrier {
    pub id: Slot,
    /// None: all threads of the block.
    pub count: Option<Slot>,
    pub aligned: bool,
    pub what: Meet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meet {
    Sync,
    Arrive,
    /// A reduction of predicates.
    Popc {
        d: Slot,
        a: Slot,
    },
    And {
        d: Slot,
        a: Slot,
    },
    Or {
        d: Slot,
        a: Slot,
    },
}
