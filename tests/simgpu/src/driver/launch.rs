//! Kernel launches.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use super::context::Context;
use super::memory::{self, Allocation, Toucher};
use super::module::Function;
use super::status::{Result, Status};
use super::stream::Stream;
use crate::ptx::{Access, Fault, GlobalMemory, Launch, run};

/// The most threads of a block.
pub const THREADS: u32 = 1024;
/// The most threads of a block in x, y and z.
pub const BLOCK: [u32; 3] = [1024, 1024, 64];
/// The most blocks of a grid in x, y and z.
pub const GRID: [u32; 3] = [i32::MAX as u32, 65535, 65535];

/// The shape of a launch.
#[derive(Clone, Copy)]
pub struct Shape {
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub dynamic_shared_bytes: u32,
}

impl Shape {
    /// Refuses what the hardware could not run.
    fn check(&self, function: &Function) -> Result {
        let inside = |sizes: [u32; 3], most: [u32; 3]| {
            sizes
                .iter()
                .zip(most)
                .all(|(&size, most)| size != 0 && size <= most)
        };
        let threads = self
            .block
            .iter()
            .try_fold(1_u32, |product, &size| product.checked_mul(size));
        let Some(threads) = threads.filter(|&threads| threads <= THREADS) else {
            return Err(Status::ERROR_INVALID_VALUE);
        };
        if !inside(self.grid, GRID) || !inside(self.block, BLOCK) {
            return Err(Status::ERROR_INVALID_VALUE);
        }
        if self.dynamic_shared_bytes > function.dynamic_shared.load(Relaxed) {
            return Err(Status::ERROR_INVALID_VALUE);
        }
        if function.kernel().max_threads().is_some_and(|most| threads > most) {
            return Err(Status::ERROR_LAUNCH_OUT_OF_RESOURCES);
        }
        Ok(())
    }
}

/// Puts a kernel into a stream.
pub fn launch(stream: &Arc<Stream>, function: Arc<Function>, shape: Shape, parameters: Vec<u8>) -> Result {
    if stream.context()?.handle != function.module.context {
        return Err(Status::ERROR_INVALID_HANDLE);
    }
    shape.check(&function)?;
    stream.enqueue(move |context| {
        let module = &function.module;
        let globals: Vec<_> = module
            .globals
            .iter()
            .map(|allocation| allocation.address)
            .collect();
        let launch = Launch {
            module: &module.ptx,
            kernel: function.kernel(),
            grid: shape.grid,
            block: shape.block,
            dynamic_shared_bytes: shape.dynamic_shared_bytes,
            parameters: &parameters,
            globals: &globals,
        };
        let memory = Memory {
            context,
            kept: Mutex::default(),
        };
        run(&launch, &memory).map_err(|fault| {
            let named = |text: String| format!("kernel {}: {text}", function.name);
            match fault {
                Fault::IllegalAddress(text) => Fault::IllegalAddress(named(text)),
                Fault::Misaligned(text) => Fault::Misaligned(named(text)),
                Fault::Illegal(text) => Fault::Illegal(named(text)),
            }
            .into()
        })
    })
}

/// Memory as a kernel reaches it; what it has found is kept until it ends.
struct Memory<'a> {
    context: &'a Context,
    kept: Mutex<Vec<Arc<Allocation>>>,
}

impl Memory<'_> {
    fn keep(&self, allocation: Arc<Allocation>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.iter().any(|known| Arc::ptr_eq(known, &allocation)) {
            kept.push(allocation);
        }
    }
}

impl GlobalMemory for Memory<'_> {
    fn resolve(&self, address: u64, bytes: u64, access: Access) -> std::result::Result<*mut u8, Fault> {
        let (allocation, pointer) = memory::resolve(self.context, address, bytes, access, Toucher::Kernel)?;
        self.keep(allocation);
        Ok(pointer)
    }

    fn extent(&self, address: u64, access: Access) -> std::result::Result<(u64, *mut u8, u64), Fault> {
        let allocation = memory::touch(self.context, address, access, Toucher::Kernel)?;
        let extent = (allocation.address, allocation.pointer, allocation.bytes);
        self.keep(allocation);
        Ok(extent)
    }
}
