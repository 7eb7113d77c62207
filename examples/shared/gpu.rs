//! The device side of the examples: kernels compiled ahead of time, on the GPU of a rank.

#[cfg(feature = "cuda")]
pub use with_cuda::*;

/// An element type that kernels take.
#[cfg(not(feature = "cuda"))]
pub trait OnDevice {}

#[cfg(not(feature = "cuda"))]
impl<T> OnDevice for T {}

#[cfg(feature = "cuda")]
#[allow(dead_code, reason = "not every example needs all of it")]
mod with_cuda {
    use std::sync::Arc;

    use warpcomm::Communicator;
    use warpcomm::cudarc::driver::sys::CUdevice_attribute;
    use warpcomm::cudarc::driver::{
        CudaFunction, CudaModule, CudaSlice, CudaStream, DeviceRepr, LaunchConfig, ValidAsZeroBits,
    };
    use warpcomm::cudarc::nvrtc::Ptx;

    /// An element type that kernels take.
    pub trait OnDevice: DeviceRepr + ValidAsZeroBits + Clone + Default {}

    impl<T: DeviceRepr + ValidAsZeroBits + Clone + Default> OnDevice for T {}

    /// The threads of a block.
    const THREADS: usize = 256;

    /// A rank's GPU, and a stream of it.
    pub struct Gpu {
        pub stream: Arc<CudaStream>,
        multiprocessors: usize,
    }

    /// Kernels that were compiled together.
    pub struct Kernels(Arc<CudaModule>);

    impl Kernels {
        pub fn get(&self, name: &str) -> Result<CudaFunction, String> {
            self.0
                .load_function(name)
                .map_err(|error| format!("kernel {name}: {error}"))
        }
    }

    impl Gpu {
        /// The GPU of this rank.
        pub fn new(comm: &Communicator) -> Result<Gpu, String> {
            let context = comm.device().map_err(|error| error.to_string())?;
            let attribute = CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
            let multiprocessors = context.attribute(attribute).map_err(failed)?;
            Ok(Gpu {
                stream: context.new_stream().map_err(failed)?,
                multiprocessors: usize::try_from(multiprocessors).unwrap_or(1),
            })
        }

        /// The name of the GPU, which says so if it is a simulated one.
        pub fn name(&self) -> Result<String, String> {
            self.stream.context().name().map_err(failed)
        }

        /// The kernels of a module in PTX.
        pub fn load(&self, ptx: &str) -> Result<Kernels, String> {
            let module = self.stream.context().load_module(Ptx::from_src(ptx));
            module.map(Kernels).map_err(failed)
        }

        /// Blocks of 256 threads for so many threads, at most as many as run at once.
        pub fn grid(&self, threads: usize) -> LaunchConfig {
            let blocks = threads.div_ceil(THREADS).clamp(1, 2 * self.multiprocessors);
            LaunchConfig {
                grid_dim: (blocks as u32, 1, 1),
                block_dim: (THREADS as u32, 1, 1),
                shared_mem_bytes: 0,
            }
        }

        /// Elements that are zero.
        pub fn zeroed<T: OnDevice>(&self, length: usize) -> Result<CudaSlice<T>, String> {
            // A device buffer has one element at least.
            self.stream.alloc_zeros(length.max(1)).map_err(failed)
        }

        /// A copy on the GPU.
        pub fn upload<T: OnDevice>(&self, elements: &[T]) -> Result<CudaSlice<T>, String> {
            let mut copy = self.zeroed(elements.len())?;
            self.stream
                .memcpy_htod(elements, &mut copy.slice_mut(..elements.len()))
                .map_err(failed)?;
            Ok(copy)
        }

        /// A copy of the first `length` elements in host memory.
        pub fn download<T: OnDevice>(
            &self,
            elements: &CudaSlice<T>,
            length: usize,
        ) -> Result<Vec<T>, String> {
            match length {
                0 => Ok(Vec::new()),
                _ => self.stream.clone_dtoh(&elements.slice(..length)).map_err(failed),
            }
        }
    }

    /// The text of a driver's error.
    pub fn failed(error: warpcomm::cudarc::driver::DriverError) -> String {
        format!("the GPU: {error}")
    }
}
