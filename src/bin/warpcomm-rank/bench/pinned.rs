//! Page-locked memory of the host.

use std::sync::Arc;

use warpcomm::cudarc::driver::{CudaContext, DeviceRepr, PinnedHostSlice, ValidAsZeroBits, sys};

use crate::Failure;

/// So many zeros, which the CPU reads as fast as other memory. (What `alloc_pinned` gives is write-combined.)
pub fn zeros<T: DeviceRepr + ValidAsZeroBits>(
    context: &Arc<CudaContext>,
    elements: usize,
) -> Result<PinnedHostSlice<T>, Failure> {
    // SAFETY: written below before anybody reads it.
    let mut slice = unsafe { context.alloc_pinned_with_flags::<T>(elements, sys::CU_MEMHOSTALLOC_PORTABLE) }?;
    let start = slice.as_mut_ptr()?;
    // SAFETY: the memory is of so many elements, and zeros are elements.
    unsafe { start.write_bytes(0, elements) };
    Ok(slice)
}
