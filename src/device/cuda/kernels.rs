//! The arithmetic of GPUs: the fold kernels, compiled ahead of time, one module for each element type.

use std::ffi::{CString, c_void};

use cudarc::driver::{DriverError, result, sys};

use super::failed;
use super::gpu::{Function, Kernels, Module};
use super::lane::Lane;
use crate::device::{Device, Fold};
use crate::dtype::{self, Class, Dtype};
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

/// Folds on the GPU of a lane.
///
/// Up to 16 inputs are folded by one kernel. Of more, every 16 are a whole subtree of the canonical order, and
/// so are 16 of those: each pass leaves one partial result, in the type that the sum is computed in, for the
/// next.
///
/// # Safety
/// As for [`Device::fold`], for each of the outputs, none of which overlaps another.
pub(super) unsafe fn fold(
    lane: &Lane,
    what: Fold,
    inputs: &[*const u8],
    outputs: &[*mut u8],
    elements: usize,
) -> Result<()> {
    what.op.check(what.dtype)?;
    if inputs.is_empty() {
        return Err(Error::invalid("a reduction of no inputs"));
    }
    if outputs.len() > INPUTS {
        return Err(Error::unsupported(format!(
            "{} results of one kernel",
            outputs.len()
        )));
    }
    if elements == 0 {
        return Ok(());
    }
    let leaves = inputs.len();
    let mut inputs: Vec<Input> = inputs
        .iter()
        .map(|&pointer| Input {
            address: pointer as u64,
            is_partial: false,
        })
        .collect();
    let mut partials = Vec::new();
    let stride = (elements * partial_bytes(what.dtype)).next_multiple_of(ACCESS_BYTES);
    while inputs.len() > INPUTS {
        let room = Partials::new(lane, stride * inputs.len().div_ceil(INPUTS))?;
        let mut folded = Vec::with_capacity(inputs.len().div_ceil(INPUTS));
        for (subtree, inputs) in inputs.chunks(INPUTS).enumerate() {
            // A subtree of one needs no kernel.
            if let [alone] = inputs {
                folded.push(*alone);
                continue;
            }
            let output = room.address + (subtree * stride) as u64;
            launch(
                lane,
                &Pass {
                    what,
                    inputs,
                    outputs: &[output],
                    elements,
                    leaves,
                    is_partial: true,
                },
            )?;
            folded.push(Input {
                address: output,
                is_partial: true,
            });
        }
        partials.push(room);
        inputs = folded;
    }
    let outputs: Vec<u64> = outputs.iter().map(|&output| output as u64).collect();
    launch(
        lane,
        &Pass {
            what,
            inputs: &inputs,
            outputs: &outputs,
            elements,
            leaves,
            is_partial: false,
        },
    )
}

/// The size of what a pass leaves of an element: floats of 16 bits are computed as 32.
fn partial_bytes(dtype: Dtype) -> usize {
    match dtype.class() {
        Class::Half => size_of::<f32>(),
        _ => dtype.size(),
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
