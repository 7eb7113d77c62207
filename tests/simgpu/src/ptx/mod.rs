//! PTX: parsed once, then run thread by thread.

mod body;
mod exact;
mod execute;
mod expression;
mod launch;
mod lower;
mod module;
mod number;
mod parse;
mod program;
mod scan;
mod syntax;
mod types;

pub use launch::{Launch, run};
pub use module::{Global, Kernel, Module, Parameter, Relocation};

/// Why a module cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// The text is not PTX; says the line and what is wrong with it.
    Syntax(String),
    /// An instruction, modifier, directive or target that this interpreter does not know; names it.
    Unknown(String),
}

/// Why a kernel was stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An access outside of every allocation, to freed memory, or to another space's memory.
    IllegalAddress(String),
    /// An access that is not a multiple of its size.
    Misaligned(String),
    /// What the hardware calls an illegal instruction, `trap`, and what would be undefined: a bad mask, a
    /// barrier that some threads never reach, a race in shared memory.
    Illegal(String),
}

/// How a kernel touches memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It is read.
    Read,
    /// It is written, or read and written.
    Write,
}

/// The global memory of a device, as kernels address it.
pub trait GlobalMemory: Sync {
    /// Where the `bytes` bytes at a device address can be touched, all of them in one live allocation.
    ///
    /// The pointer stays valid until the kernel ends, and is aligned to 16 bytes where the address is.
    fn resolve(&self, address: u64, bytes: u64, access: Access) -> Result<*mut u8, Fault>;

    /// The range around `address` that [`resolve`](Self::resolve) would accept for `access`, as (first device
    /// address, pointer to it, bytes), so that an interpreter can keep it for the accesses that follow.
    fn extent(&self, address: u64, access: Access) -> Result<(u64, *mut u8, u64), Fault>;
}
