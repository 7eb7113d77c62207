//! The arithmetic of GPUs: the fold kernels, compiled ahead of time, one module for each element type.

use std::ffi::{CString, c_void};

use cudarc::driver::{DriverError, result, sys};

use super::failed;
use super::gpu::{Function, Kernels, Module};
use super::lane::Lane;
use crate::device::{Device, Fold, Subtree, check, halves};
use crate::dtype::{self, Dtype};
use crate::error::{Error, Result};
use crate::op::Op;

macro_rules! define_ptx {
    ($($class:ident { $($(#[$documentation:meta])* $variant:ident: $element:ty, $name:literal;)* })*) => {
        /// The module of a type, as the driver takes it: ended by a zero.
        fn ptx(dtype: Dtype) -> &'static str {
            match dtype {
                $($(Dtype::$variant => concat!(
                    include_str!(concat!("../../../kernels/ptx/fold_", $name, ".ptx")),
                    "\0"
                ),)*)*
            }
        }
    };
}
dtype::rows!([define_ptx] {});

/// The most inputs of one kernel, and the most outputs.
const INPUTS: usize = 16;

/// The threads of a block.
const THREADS: u32 = 256;

/// What a thread handles at least, in bytes: one access.
const ACCESS_BYTES: usize = 16;

/// The blocks on a multiprocessor that run at once everywhere; longer folds take several turns of them.
const BLOCKS: u32 = 4;

/// The addresses of a kernel's inputs or outputs, as `kernels/reduce.cu` declares them.
#[repr(C)]
struct Addresses([u64; INPUTS]);

impl Addresses {
    fn new(addresses: impl IntoIterator<Item = u64>) -> Addresses {
        let mut all = [0; INPUTS];
        for (room, address) in all.iter_mut().zip(addresses) {
            *room = address;
        }
        Addresses(all)
    }
}

/// An input of a kernel: elements, or what another kernel has left of several inputs.
#[derive(Clone, Copy)]
struct Input {
    address: u64,
    is_partial: bool,
}

/// A fold of at most [`INPUTS`] inputs, by one kernel.
struct Pass<'a> {
    what: Fold,
    inputs: &'a [Input],
    /// At most [`INPUTS`] too.
    outputs: &'a [u64],
    elements: usize,
    /// The inputs of the whole fold.
    leaves: usize,
    /// Whether another pass takes the output.
    is_partial: bool,
}

/// Folds subtrees on the GPU of a lane, into elements or a partial result.
///
/// One kernel folds up to 16 inputs in the canonical order of so many. So a kernel folds the subtrees of a tree where
/// these make that order; where they do not, kernels before it leave one partial result of each part that disturbs it, in
/// the type that the sum is computed in. Of more than 16 ranks' elements that is every 16, and then every 16 of those.
///
/// # Safety
/// As for [`Device::fold_subtrees`], for each of the outputs, none of which overlaps another.
pub(super) unsafe fn fold(
    lane: &Lane,
    what: Fold,
    subtrees: &[Subtree],
    outputs: &[*mut u8],
    is_partial: bool,
    elements: usize,
) -> Result<()> {
    what.op.check(what.dtype)?;
    check(subtrees)?;
    if outputs.len() > INPUTS {
        return Err(Error::unsupported(format!(
            "{} results of one kernel",
            outputs.len()
        )));
    }
    if elements == 0 {
        return Ok(());
    }
    let mut passes = Passes {
        lane,
        what,
        elements,
        leaves: subtrees.iter().map(|subtree| subtree.ranks).sum(),
        partials: Vec::new(),
    };
    let inputs = passes.inputs(subtrees)?;
    let outputs: Vec<u64> = outputs.iter().map(|&output| output as u64).collect();
    passes.launch(&inputs, &outputs, is_partial)
}

/// The kernels of a fold.
struct Passes<'a> {
    lane: &'a Lane,
    what: Fold,
    elements: usize,
    /// The inputs of the whole fold.
    leaves: usize,
    partials: Vec<Partials<'a>>,
}

impl Passes<'_> {
    /// At most [`INPUTS`] inputs whose canonical order is that of the subtrees.
    fn inputs(&mut self, subtrees: &[Subtree]) -> Result<Vec<Input>> {
        if let [only] = subtrees {
            return Ok(vec![Input {
                address: only.pointer as u64,
                is_partial: only.ranks > 1,
            }]);
        }
        let (left, right) = halves(subtrees);
        let (mut left, mut right) = (self.inputs(left)?, self.inputs(right)?);
        // So many are split behind the left ones if those are a power of two, and not less than the others.
        let is_full = left.len() + right.len() > INPUTS;
        if is_full || !left.len().is_power_of_two() {
            left = self.folded(left)?;
        }
        if is_full || right.len() > left.len() {
            right = self.folded(right)?;
        }
        left.append(&mut right);
        Ok(left)
    }

    /// Inputs as one.
    fn folded(&mut self, inputs: Vec<Input>) -> Result<Vec<Input>> {
        if inputs.len() == 1 {
            return Ok(inputs);
        }
        let bytes = self.elements * self.what.dtype.accumulator().size();
        let room = Partials::new(self.lane, bytes)?;
        let folded = Input {
            address: room.address,
            is_partial: true,
        };
        self.partials.push(room);
        self.launch(&inputs, &[folded.address], true)?;
        Ok(vec![folded])
    }

    fn launch(&self, inputs: &[Input], outputs: &[u64], is_partial: bool) -> Result<()> {
        let pass = Pass {
            what: self.what,
            inputs,
            outputs,
            elements: self.elements,
            leaves: self.leaves,
            is_partial,
        };
        launch(self.lane, &pass)
    }
}

/// Memory between two passes; it is freed behind them.
struct Partials<'a> {
    lane: &'a Lane,
    address: u64,
    bytes: usize,
}

impl<'a> Partials<'a> {
    fn new(lane: &'a Lane, bytes: usize) -> Result<Partials<'a>> {
        let address = lane.allocate(bytes)? as u64;
        Ok(Partials { lane, address, bytes })
    }
}

impl Drop for Partials<'_> {
    fn drop(&mut self) {
        // SAFETY: allocated by `new`; dropped once.
        unsafe { self.lane.free(self.address as *mut u8, self.bytes) };
    }
}

fn launch(lane: &Lane, pass: &Pass<'_>) -> Result<()> {
    let Fold { op, dtype } = pass.what;
    let launched = || {
        lane.gpu().bind()?;
        let Function(function) = find(&mut lane.gpu().kernels(), op, dtype)?;
        let mut inputs = Addresses::new(pass.inputs.iter().map(|input| input.address));
        let mut outputs = Addresses::new(pass.outputs.iter().copied());
        let mut partial_inputs = 0u32;
        for (at, input) in pass.inputs.iter().enumerate() {
            partial_inputs |= u32::from(input.is_partial) << at;
        }
        let mut elements = pass.elements as u64;
        let mut count = pass.inputs.len() as u32;
        let mut copies = pass.outputs.len() as u32;
        let mut leaves = pass.leaves as u32;
        let mut partial_output = u32::from(pass.is_partial);
        let mut parameters: [*mut c_void; 8] = [
            (&raw mut inputs).cast(),
            (&raw mut outputs).cast(),
            (&raw mut elements).cast(),
            (&raw mut count).cast(),
            (&raw mut copies).cast(),
            (&raw mut partial_inputs).cast(),
            (&raw mut leaves).cast(),
            (&raw mut partial_output).cast(),
        ];
        let accesses = (pass.elements * dtype.size()).div_ceil(ACCESS_BYTES);
        let most = lane.gpu().multiprocessors() * BLOCKS;
        let blocks =
            u32::try_from(accesses.div_ceil(THREADS as usize)).map_or(most, |blocks| blocks.min(most));
        let (grid, block) = ((blocks, 1, 1), (THREADS, 1, 1));
        // SAFETY: the parameters are those that `kernels/reduce.cu` declares, and are copied by the call;
        // who calls `fold` promises the memory.
        unsafe { result::launch_kernel(function, grid, block, 0, lane.handle(), &mut parameters) }
    };
    launched()
        .map_err(|error: DriverError| failed(&format!("cannot run the kernel for {op} of {dtype}"), error))
}

/// The kernel for an operation, loaded when it is first used.
fn find(kernels: &mut Kernels, op: Op, dtype: Dtype) -> Result<Function, DriverError> {
    if let Some(function) = kernels.folds.get(&(op, dtype)) {
        return Ok(*function);
    }
    let module = match kernels.modules.get(&dtype) {
        Some(Module(module)) => *module,
        None => {
            // SAFETY: PTX, ended by a zero.
            let module = unsafe { result::module::load_data(ptx(dtype).as_ptr().cast()) }?;
            kernels.modules.insert(dtype, Module(module));
            module
        }
    };
    let name =
        CString::new(format!("fold_{op}")).map_err(|_| DriverError(sys::CUresult::CUDA_ERROR_NOT_FOUND))?;
    // SAFETY: the module is loaded, and never unloaded.
    let function = Function(unsafe { result::module::get_function(module, name) }?);
    kernels.folds.insert((op, dtype), function);
    Ok(function)
}
