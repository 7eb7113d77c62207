//! `cuLaunch…` and `cuOccupancy…`: kernels in streams.

use std::ffi::{c_int, c_uint, c_void};
use std::sync::Arc;

use super::devices::{
    BLOCKS_OF_MULTIPROCESSOR, MULTIPROCESSORS, SHARED_OF_MULTIPROCESSOR, THREADS_OF_MULTIPROCESSOR,
};
use super::{call, give, take};
use crate::driver::faults::{self, Class};
use crate::driver::launch::{Shape, THREADS, launch};
use crate::driver::module::{self, Function};
use crate::driver::status::{Result, Status};
use crate::driver::stream;
use crate::ptx::Kernel;

/// The words of a launch's `extra`.
const END: usize = 0;
const BUFFER: usize = 1;
const BUFFER_BYTES: usize = 2;

/// Gathers the arguments of a launch.
///
/// # Safety
/// The pointers are what the driver's manual says.
unsafe fn gather(
    function: &Function,
    arguments: *const *const c_void,
    extra: *const usize,
) -> Result<Vec<u8>> {
    let kernel = function.kernel();
    let mut gathered = vec![0; kernel.parameter_bytes()];
    if !arguments.is_null() && !extra.is_null() {
        return Err(Status::ERROR_INVALID_VALUE);
    }
    if extra.is_null() {
        for (index, parameter) in kernel.parameters().iter().enumerate() {
            if arguments.is_null() {
                return Err(Status::ERROR_INVALID_VALUE);
            }
            // SAFETY: there are as many arguments as the kernel has parameters, each as long.
            unsafe {
                let argument: *const u8 = take(arguments.add(index))?.cast();
                if argument.is_null() {
                    return Err(Status::ERROR_INVALID_VALUE);
                }
                let place = gathered[parameter.offset..][..parameter.bytes].as_mut_ptr();
                std::ptr::copy_nonoverlapping(argument, place, parameter.bytes);
            }
        }
        return Ok(gathered);
    }
    let (mut buffer, mut bytes) = (std::ptr::null::<u8>(), 0);
    let mut word = extra;
    loop {
        // SAFETY: the list goes on up to its end.
        unsafe {
            match take(word)? {
                END => break,
                BUFFER => buffer = take(word.add(1))? as *const u8,
                BUFFER_BYTES => bytes = take(take(word.add(1))? as *const usize)?,
                _ => return Err(Status::ERROR_INVALID_VALUE),
            }
            word = word.add(2);
        }
    }
    if buffer.is_null() || bytes < gathered.len() {
        return Err(Status::ERROR_INVALID_VALUE);
    }
    // SAFETY: the buffer is at least as long.
    unsafe { std::ptr::copy_nonoverlapping(buffer, gathered.as_mut_ptr(), gathered.len()) };
    Ok(gathered)
}

/// # Safety
/// The pointers are what the driver's manual says.
unsafe fn start(
    function: usize,
    shape: Shape,
    stream: usize,
    arguments: *const *const c_void,
    extra: *const usize,
) -> Result {
    let stream = stream::of(stream)?;
    faults::check(Class::Launch)?;
    let function = module::function(function)?;
    // SAFETY: as the caller says.
    let parameters = unsafe { gather(&function, arguments, extra) }?;
    launch(&stream, function, shape, parameters)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuLaunchKernel(
    function: usize,
    grid_x: c_uint,
    grid_y: c_uint,
    grid_z: c_uint,
    block_x: c_uint,
    block_y: c_uint,
    block_z: c_uint,
    dynamic_shared_bytes: c_uint,
    stream: usize,
    arguments: *const *const c_void,
    extra: *const usize,
) -> c_int {
    let (grid, block) = ([grid_x, grid_y, grid_z], [block_x, block_y, block_z]);
    let shape = Shape {
        grid,
        block,
        dynamic_shared_bytes,
    };
    // SAFETY: as the caller says.
    call(|| unsafe { start(function, shape, stream, arguments, extra) })
}

/// `CUlaunchConfig`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Configuration {
    grid: [c_uint; 3],
    block: [c_uint; 3],
    dynamic_shared_bytes: c_uint,
    stream: usize,
    attributes: *const Attribute,
    attribute_count: c_uint,
}

/// `CUlaunchAttribute`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Attribute {
    id: c_uint,
    value: [u64; 8],
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuLaunchKernelEx(
    configuration: *const Configuration,
    function: usize,
    arguments: *const *const c_void,
    extra: *const usize,
) -> c_int {
    /// Attributes that change no result: windows of caches, priorities.
    const WITHOUT_MEANING: [c_uint; 4] = [0, 1, 8, 9];
    call(|| {
        // SAFETY: as the caller says.
        let configuration = unsafe { take(configuration) }?;
        for index in 0..configuration.attribute_count as usize {
            // SAFETY: as the caller says, there are as many.
            let attribute = unsafe { take(configuration.attributes.add(index)) }?;
            if !WITHOUT_MEANING.contains(&attribute.id) {
                return Err(Status::ERROR_NOT_SUPPORTED);
            }
        }
        let Configuration {
            grid,
            block,
            dynamic_shared_bytes,
            stream,
            ..
        } = configuration;
        let shape = Shape {
            grid,
            block,
            dynamic_shared_bytes,
        };
        // SAFETY: as the caller says.
        unsafe { start(function, shape, stream, arguments, extra) }
    })
}

/// How many blocks a multiprocessor would hold.
pub fn resident_blocks(kernel: &Kernel, threads: u32, dynamic_shared: u32) -> u32 {
    if threads == 0 || threads > kernel.max_threads().unwrap_or(THREADS).min(THREADS) {
        return 0;
    }
    let by_threads = THREADS_OF_MULTIPROCESSOR / threads.next_multiple_of(32);
    let shared = kernel.static_shared_bytes() + dynamic_shared;
    let by_shared = SHARED_OF_MULTIPROCESSOR.checked_div(shared).unwrap_or(u32::MAX);
    by_threads.min(by_shared).min(BLOCKS_OF_MULTIPROCESSOR)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuOccupancyMaxActiveBlocksPerMultiprocessor(
    blocks: *mut c_int,
    function: usize,
    threads: c_int,
    dynamic_shared: usize,
) -> c_int {
    call(|| {
        let function = module::function(function)?;
        let threads = u32::try_from(threads).ok().filter(|&threads| threads != 0);
        let threads = threads.ok_or(Status::ERROR_INVALID_VALUE)?;
        let shared = u32::try_from(dynamic_shared).map_err(|_| Status::ERROR_INVALID_VALUE)?;
        // SAFETY: as the caller says.
        unsafe {
            give(
                blocks,
                resident_blocks(function.kernel(), threads, shared) as c_int,
            )
        }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
    blocks: *mut c_int,
    function: usize,
    threads: c_int,
    dynamic_shared: usize,
    _flags: c_uint,
) -> c_int {
    // SAFETY: as the caller says.
    unsafe { cuOccupancyMaxActiveBlocksPerMultiprocessor(blocks, function, threads, dynamic_shared) }
}

/// How much dynamic shared memory a block of some threads wants.
type SharedBytes = unsafe extern "C" fn(c_int) -> usize;

/// The largest block with which a multiprocessor holds the most threads.
fn best_block(function: &Arc<Function>, most: u32, shared: impl Fn(u32) -> usize) -> Result<(c_int, c_int)> {
    let kernel = function.kernel();
    let most = if most == 0 { THREADS } else { most.min(THREADS) };
    let resident = |threads: u32| {
        resident_blocks(
            kernel,
            threads,
            shared(threads).min(u32::MAX as usize >> 1) as u32,
        )
    };
    let sizes = (1..=most / 32).rev().map(|warps| 32 * warps);
    let best = sizes.rev().max_by_key(|&threads| threads * resident(threads));
    let best = best
        .filter(|&threads| resident(threads) != 0)
        .ok_or(Status::ERROR_INVALID_VALUE)?;
    Ok(((resident(best) * MULTIPROCESSORS) as c_int, best as c_int))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuOccupancyMaxPotentialBlockSize(
    grid: *mut c_int,
    block: *mut c_int,
    function: usize,
    shared_of: Option<SharedBytes>,
    dynamic_shared: usize,
    most: c_int,
) -> c_int {
    call(|| {
        let function = module::function(function)?;
        let shared = |threads: u32| match shared_of {
            // SAFETY: as the caller says.
            Some(shared_of) => unsafe { shared_of(threads as c_int) },
            None => dynamic_shared,
        };
        let most = u32::try_from(most).map_err(|_| Status::ERROR_INVALID_VALUE)?;
        let (blocks, threads) = best_block(&function, most, shared)?;
        // SAFETY: as the caller says.
        unsafe {
            give(grid, blocks)?;
            give(block, threads)
        }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuOccupancyMaxPotentialBlockSizeWithFlags(
    grid: *mut c_int,
    block: *mut c_int,
    function: usize,
    shared_of: Option<SharedBytes>,
    dynamic_shared: usize,
    most: c_int,
    _flags: c_uint,
) -> c_int {
    // SAFETY: as the caller says.
    unsafe { cuOccupancyMaxPotentialBlockSize(grid, block, function, shared_of, dynamic_shared, most) }
}
