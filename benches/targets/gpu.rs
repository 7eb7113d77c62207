//! Kernels and copies on one GPU, timed by its own events.

use std::sync::Arc;

use warpcomm::cudarc::driver::sys::CUdevice_attribute as Attribute;
use warpcomm::cudarc::driver::sys::CUevent_flags::CU_EVENT_DEFAULT;
use warpcomm::cudarc::driver::{
    CudaContext, CudaFunction, CudaSlice, CudaStream, DevicePtr, DeviceRepr, LaunchConfig, PushKernelArg, sys,
};
use warpcomm::cudarc::nvrtc::Ptx;

use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::simulated::is_simulated;

const RUNS: usize = 15;
const LAUNCHES: usize = 4;

/// Operands that are used in turn are so many times as large together as the cache, so that they are not in it.
const TIMES_THE_CACHE: usize = 8;

/// The cache where the driver does not tell: about that of an H200.
const CACHE_BYTES: usize = 60 << 20;

/// Which GPU it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Description {
    /// Its name, as the driver has it.
    pub gpu: String,
    /// The version of its instructions.
    pub compute_capability: String,
    /// The newest version of CUDA that the driver knows.
    pub driver: i32,
    /// Whether it is a program on the CPU, whose times mean nothing.
    pub is_simulated: bool,
}

/// A GPU and a stream of it.
pub struct Gpu {
    pub context: Arc<CudaContext>,
    pub stream: Arc<CudaStream>,
    multiprocessors: u32,
    cache_bytes: usize,
    /// Each kernel runs once, and nothing is timed.
    pub is_checked_only: bool,
}

/// The addresses of a kernel's inputs or outputs, as `kernels/reduce.cu` declares them.
#[repr(C)]
struct Addresses([u64; 16]);

// SAFETY: numbers, as the kernel declares them.
unsafe impl DeviceRepr for Addresses {}

/// A fold of as many inputs of ones.
pub struct Fold<T> {
    pub dtype: &'static str,
    /// The module of kernels for the type.
    pub ptx: &'static str,
    pub op: &'static str,
    /// Of each input.
    pub bytes: usize,
    pub inputs: usize,
    pub one: T,
    /// What an element of the result is.
    pub result: T,
}

impl Description {
    pub fn of(context: &CudaContext) -> Result<Description, Failure> {
        let name = context.name()?;
        let (major, minor) = context.compute_capability()?;
        let mut driver = 0;
        // SAFETY: writes the version to our variable.
        unsafe { sys::cuDriverGetVersion(&mut driver) }.result()?;
        Ok(Description {
            is_simulated: is_simulated(&name),
            gpu: name,
            compute_capability: format!("{major}.{minor}"),
            driver,
        })
    }
}

impl Gpu {
    pub fn new(context: Arc<CudaContext>, is_checked_only: bool) -> Result<Gpu, Failure> {
        let multiprocessors = context.attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
        let cache = context.attribute(Attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE);
        Ok(Gpu {
            stream: context.new_stream()?,
            multiprocessors: u32::try_from(multiprocessors)?,
            cache_bytes: cache
                .ok()
                .and_then(|bytes| usize::try_from(bytes).ok())
                .filter(|&bytes| bytes > 0)
                .unwrap_or(CACHE_BYTES),
            is_checked_only,
            context,
        })
    }

    /// How many sets of operands of so many bytes are used in turn.
    pub fn sets(&self, bytes: usize) -> usize {
        match self.is_checked_only {
            true => 1,
            false => (TIMES_THE_CACHE * self.cache_bytes)
                .div_ceil(bytes.max(1))
                .clamp(1, 32),
        }
    }

    /// The median time in seconds of what `launch` puts into the stream; it gets the number of the launch.
    pub fn time(&self, mut launch: impl FnMut(usize) -> Result<(), Failure>) -> Result<f64, Failure> {
        let mut number = 0;
        let mut next = || {
            number += 1;
            launch(number - 1)
        };
        next()?;
        self.stream.synchronize()?;
        if self.is_checked_only {
            return Ok(1.0);
        }
        let mut times = Vec::with_capacity(RUNS);
        for _ in 0..RUNS {
            let start = self.stream.record_event(Some(CU_EVENT_DEFAULT))?;
            for _ in 0..LAUNCHES {
                next()?;
            }
            let end = self.stream.record_event(Some(CU_EVENT_DEFAULT))?;
            times.push(f64::from(start.elapsed_ms(&end)?) / 1e3 / LAUNCHES as f64);
        }
        times.sort_by(f64::total_cmp);
        Ok(times[times.len() / 2])
    }

    /// Copies of so many elements, of which only the first comes from the host.
    fn filled<T: DeviceRepr + Copy>(
        &self,
        element: T,
        length: usize,
        copies: usize,
    ) -> Result<Vec<CudaSlice<T>>, Failure> {
        let first = self.stream.clone_htod(&vec![element; length])?;
        let mut all = Vec::with_capacity(copies);
        for _ in 1..copies {
            all.push(first.try_clone()?);
        }
        all.push(first);
        Ok(all)
    }

    /// A copy of so many bytes within the GPU's memory.
    pub fn copy(&self, bytes: usize) -> Result<f64, Failure> {
        let sets = self.sets(2 * bytes);
        let from = self.filled(3u8, bytes, sets)?;
        let mut to = self.filled(0u8, bytes, sets)?;
        let seconds = self.time(|number| {
            Ok(self
                .stream
                .memcpy_dtod(&from[number % sets], &mut to[number % sets])?)
        })?;
        all_are(&self.stream.clone_dtoh(&to[0])?, 3, "copy")?;
        Ok(seconds)
    }

    /// Blocks for so many accesses, at most as many on a multiprocessor.
    fn grid(&self, accesses: usize, each: u32) -> LaunchConfig {
        let most = self.multiprocessors * each;
        let blocks = u32::try_from(accesses.div_ceil(256)).map_or(most, |blocks| blocks.min(most));
        LaunchConfig {
            grid_dim: (blocks.max(1), 1, 1),
            block_dim: (256, 1, 1),
            shared_mem_bytes: 0,
        }
    }

    fn function(&self, ptx: &str, name: &str) -> Result<CudaFunction, Failure> {
        Ok(self
            .context
            .load_module(Ptx::from_src(ptx))?
            .load_function(name)?)
    }

    /// A fold by the library's kernel.
    pub fn fold<T>(&self, fold: &Fold<T>) -> Result<f64, Failure>
    where
        T: DeviceRepr + Copy + Default + PartialEq + std::fmt::Debug,
    {
        let function = self.function(fold.ptx, &format!("fold_{}", fold.op))?;
        let (bytes, inputs) = (fold.bytes, fold.inputs);
        let elements = bytes / size_of::<T>();
        let sets = self.sets((inputs + 1) * bytes);
        let buffers = self.filled(fold.one, elements, sets * inputs)?;
        let results = self.filled(T::default(), elements, sets)?;
        let address = |buffer: &CudaSlice<T>| buffer.device_ptr(&self.stream).0;
        let addresses: Vec<(Addresses, Addresses)> = buffers
            .chunks(inputs)
            .zip(&results)
            .map(|(buffers, result)| {
                let mut all = (Addresses([0; 16]), Addresses([0; 16]));
                for (slot, buffer) in all.0.0.iter_mut().zip(buffers) {
                    *slot = address(buffer);
                }
                all.1.0[0] = address(result);
                all
            })
            .collect();
        let (copies, partial) = (1u32, 0u32);
        let (count, leaves, length) = (inputs as u32, inputs as u32, elements as u64);
        let grid = self.grid(bytes.div_ceil(16), 4);
        let seconds = self.time(|number| {
            let (from, to) = &addresses[number % sets];
            let mut launch = self.stream.launch_builder(&function);
            launch
                .arg(from)
                .arg(to)
                .arg(&length)
                .arg(&count)
                .arg(&copies)
                .arg(&partial)
                .arg(&leaves)
                .arg(&partial);
            // SAFETY: the parameters are those that `kernels/reduce.cu` declares, of these lengths.
            unsafe { launch.launch(grid) }?;
            Ok(())
        })?;
        let what = format!("{} of {inputs} {}", fold.op, fold.dtype);
        all_are(&self.stream.clone_dtoh(&results[0])?, fold.result, &what)?;
        Ok(seconds)
    }

    /// The product of a matrix and a vector, both of f32, of at most 2,048 columns.
    pub fn matvec(&self, rows: usize, columns: usize) -> Result<f64, Failure> {
        let sets = self.sets(rows * columns * size_of::<f32>());
        let mut product = Product::new(self, rows, columns, sets)?;
        let seconds = self.time(|_| product.launch(&self.stream))?;
        let found = self.stream.clone_dtoh(&product.product)?;
        all_are(&found, 2.0 * columns as f32, "matvec")?;
        Ok(seconds)
    }
}

/// A product that is computed again and again, of one matrix after the other.
pub struct Product {
    function: CudaFunction,
    matrices: Vec<CudaSlice<f32>>,
    vector: CudaSlice<f32>,
    product: CudaSlice<f32>,
    shape: (u64, u64),
    grid: LaunchConfig,
    next: usize,
}

impl Product {
    /// Matrices of ones, and a vector of twos.
    pub fn new(gpu: &Gpu, rows: usize, columns: usize, matrices: usize) -> Result<Product, Failure> {
        let product = Product {
            function: gpu.function(include_str!("../../kernels/ptx/matvec.ptx"), "matvec_f32")?,
            matrices: gpu.filled(1f32, rows * columns, matrices)?,
            vector: gpu.stream.clone_htod(&vec![2f32; columns])?,
            product: gpu.stream.alloc_zeros::<f32>(rows)?,
            shape: (rows as u64, columns as u64),
            // A warp for each row.
            grid: gpu.grid(rows * 32, 2),
            next: 0,
        };
        gpu.stream.synchronize()?;
        Ok(product)
    }

    /// Puts the kernel into a stream.
    pub fn launch(&mut self, stream: &CudaStream) -> Result<(), Failure> {
        let matrix = &self.matrices[self.next % self.matrices.len()];
        self.next += 1;
        let mut launch = stream.launch_builder(&self.function);
        launch
            .arg(matrix)
            .arg(&self.vector)
            .arg(&mut self.product)
            .arg(&self.shape.0)
            .arg(&self.shape.1);
        // SAFETY: the parameters are those that `kernels/matvec.cu` declares, of these lengths.
        unsafe { launch.launch(self.grid) }?;
        Ok(())
    }
}

/// Says which element is not what it should be.
pub fn all_are<T: PartialEq + std::fmt::Debug>(values: &[T], expected: T, what: &str) -> Result<(), Failure> {
    match values.iter().position(|value| *value != expected) {
        None => Ok(()),
        Some(at) => Err(format!("{what}: element {at} is {:?} instead of {expected:?}", values[at]).into()),
    }
}
