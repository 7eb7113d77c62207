//! The memory that an example keeps its numbers in: the host's or that of the rank's GPU.

use std::fmt::Debug;

use warpcomm::{BufferMut, Element, OwnedBufferMut};

use super::gpu::OnDevice;

/// An element type of the examples.
pub trait Number: Element + OnDevice + PartialEq + Debug {}

impl<T: Element + OnDevice + PartialEq + Debug> Number for T {}

/// A kind of memory. What an example does with its buffers is the same for each.
pub trait Memory {
    /// Elements in this memory.
    type Of<T: Number>: BufferMut<Element = T> + OwnedBufferMut;

    /// Puts a copy of `numbers` there.
    fn put<T: Number>(&self, numbers: &[T]) -> Result<Self::Of<T>, String>;

    /// Returns a copy of the first `length` elements in `buffer`.
    fn get<T: Number>(&self, buffer: &Self::Of<T>, length: usize) -> Result<Vec<T>, String>;
}

/// The memory of the process.
pub struct Host;

impl Memory for Host {
    type Of<T: Number> = Vec<T>;

    fn put<T: Number>(&self, numbers: &[T]) -> Result<Vec<T>, String> {
        Ok(numbers.to_vec())
    }

    fn get<T: Number>(&self, buffer: &Vec<T>, length: usize) -> Result<Vec<T>, String> {
        Ok(buffer[..length].to_vec())
    }
}

#[cfg(feature = "cuda")]
impl Memory for super::gpu::Gpu {
    type Of<T: Number> = warpcomm::cudarc::driver::CudaSlice<T>;

    fn put<T: Number>(&self, numbers: &[T]) -> Result<Self::Of<T>, String> {
        self.upload(numbers)
    }

    fn get<T: Number>(&self, buffer: &Self::Of<T>, length: usize) -> Result<Vec<T>, String> {
        self.download(buffer, length)
    }
}

/// Calls `program` on a rank with memory at a place.
macro_rules! with_memory_at {
    ($place:expr, $rank:expr, $program:ident) => {{
        $rank.agree_to_place($place)?;
        match $place {
            #[cfg(feature = "cuda")]
            warpcomm::Place::Device => $program($rank, &$rank.agree(gpu::Gpu::new(&$rank.comm))?),
            _ => $program($rank, &memory::Host),
        }
    }};
}
pub(crate) use with_memory_at;
