//! One launch: a kernel over a grid.

use super::{Fault, GlobalMemory, Kernel, Module, execute};

/// A kernel, its grid and its arguments.
pub struct Launch<'a> {
    /// The module of the kernel.
    pub module: &'a Module,
    /// What runs.
    pub kernel: &'a Kernel,
    /// Blocks in x, y and z.
    pub grid: [u32; 3],
    /// Threads of a block in x, y and z.
    pub block: [u32; 3],
    /// The bytes of the kernel's `extern .shared` array.
    pub dynamic_shared_bytes: u32,
    /// The arguments, [`Kernel::parameter_bytes`] bytes.
    pub parameters: &'a [u8],
    /// The device address of each of [`Module::globals`].
    pub globals: &'a [u64],
}

/// Runs all blocks of a launch.
pub fn run(launch: &Launch, memory: &dyn GlobalMemory) -> Result<(), Fault> {
    execute::run(launch, memory)
}
