//! A module: what a PTX text declares, decoded once and run many times.

use std::sync::Arc;

use super::LoadError;
use super::lower::{Symbols, link, parameter_offsets};
use super::parse::parse;
use super::program::{FUNCTION_WINDOW, Program};
use super::syntax::{Function, Initial, Space, Variable};
use super::types::Type;

/// A module of PTX: its kernels, and the variables that the driver must place in device memory.
pub struct Module {
    kernels: Vec<Kernel>,
    globals: Vec<Global>,
}

impl Module {
    /// Parses and decodes a PTX text, all of it: what is not known is found here, not when it runs.
    pub fn parse(text: &str) -> Result<Self, LoadError> {
        let source: Arc<str> = text.into();
        let tree = parse(&source)?;
        let symbols = Symbols::new(&tree)?;
        let mut kernels = Vec::new();
        let mut reached = vec![false; tree.functions.len()];
        for (index, function) in tree.functions.iter().enumerate() {
            if function.entry && function.body.is_some() {
                let (program, local_bytes) = link(&symbols, index, &source)?;
                for (reached, routine) in reached.iter_mut().zip(&program.by_function) {
                    *reached |= routine.is_some();
                }
                kernels.push(Kernel::new(function, program, local_bytes));
            }
        }
        // What no kernel calls is decoded all the same, for what it may name.
        for (index, function) in tree.functions.iter().enumerate() {
            if !reached[index] && function.body.is_some() {
                link(&symbols, index, &source)?;
            }
        }
        let globals = symbols.placed.iter().map(|variable| global(&symbols, variable));
        let globals = globals.collect::<Result<_, _>>()?;
        Ok(Self { kernels, globals })
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
    local_bytes: u32,
    max_threads: Option<u32>,
    program: Program,
}

impl Kernel {
    fn new(function: &Function, program: Program, local_bytes: u32) -> Self {
        let offsets = parameter_offsets(&function.formals);
        let parameters: Vec<_> = function
            .formals
            .iter()
            .zip(offsets)
            .map(|(formal, offset)| Parameter {
                offset,
                bytes: formal.bytes,
                align: formal.align,
            })
            .collect();
        Self {
            name: function.name.into(),
            parameter_bytes: parameters.last().map_or(0, |last| last.offset + last.bytes),
            parameters,
            local_bytes,
            max_threads: function.max_threads,
            program,
        }
    }

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
        self.program.static_shared_bytes
    }

    /// The local memory of a thread of the kernel, calls not counted.
    pub fn local_bytes(&self) -> u32 {
        self.local_bytes
    }

    /// The largest block it was compiled for (`.maxntid`, `.reqntid`).
    pub fn max_threads(&self) -> Option<u32> {
        self.max_threads
    }

    pub(super) fn program(&self) -> &Program {
        &self.program
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

fn global(symbols: &Symbols, variable: &Variable) -> Result<Global, LoadError> {
    let mut initial = vec![0; variable.bytes];
    let mut relocations = Vec::new();
    let size = variable.element.bytes();
    for (index, value) in variable.initial.iter().enumerate() {
        let offset = index * size;
        let bits = match *value {
            Initial::Bits(bits) => bits,
            Initial::Fraction(value) if variable.element == Type::F32 => (value as f32).to_bits().into(),
            Initial::Fraction(value) => value.to_bits(),
            Initial::Address { symbol, addend } if size == 8 => {
                if let Some(&global) = symbols.globals.get(symbol) {
                    relocations.push(Relocation {
                        offset,
                        global: global as usize,
                        addend,
                    });
                    0
                } else if let Some(&function) = symbols.functions.get(symbol) {
                    FUNCTION_WINDOW + function as u64
                } else {
                    let line = variable.place.line;
                    return Err(LoadError::Syntax(format!(
                        "line {line}: `{symbol}` is not declared"
                    )));
                }
            }
            Initial::Address { symbol, .. } => {
                let line = variable.place.line;
                return Err(LoadError::Unknown(format!(
                    "line {line}: part of the address of `{symbol}`"
                )));
            }
        };
        initial[offset..offset + size].copy_from_slice(&bits.to_le_bytes()[..size]);
    }
    Ok(Global {
        name: variable.name.into(),
        bytes: variable.bytes,
        align: variable.align,
        initial,
        relocations,
        constant: variable.space == Space::Const,
    })
}
