//! The memory and arithmetic of NVIDIA GPUs: the only place that knows cudarc.
//!
//! A [`Gpu`] is a CUDA context as this library uses it, a [`Lane`] a stream of it that one operation has for
//! itself, a [`Mark`] a point in a lane, a [`PinnedSlab`] host memory that GPUs copy to and from, and a [`PageLock`] makes
//! such memory of any; a [`Window`] is memory that other processes open.

mod binding;
mod buffers;
mod device_buffer;
mod exportable;
mod gpu;
mod kernels;
mod lane;
mod page_lock;
mod pinned;
mod raw_slice;
mod shared_event;
mod signal;
mod window;

use std::sync::OnceLock;

use cudarc::driver::{DriverError, result, sys};

use crate::error::{Error, ErrorKind, Result};

pub(crate) use binding::{Binding, Context};
/// The crate whose buffers the operations take, in the version that this crate is built with.
pub use cudarc;
#[cfg(feature = "pool")]
pub(crate) use cudarc::driver::CudaStream as Stream;
pub use device_buffer::DeviceBuffer;
pub use exportable::release_device;
pub(crate) use exportable::{Borrower, is_lendable, lend};
pub(crate) use gpu::Gpu;
pub(crate) use lane::{Lane, Mark, is_anybody_waiting};
pub(crate) use page_lock::PageLock;
pub(crate) use pinned::PinnedSlab;
pub use pinned::{PinnedUsage, pinned_usage, release_pinned};
pub use raw_slice::{MemoryKind, RawSlice};
pub(crate) use shared_event::SharedEvent;
pub(crate) use window::{Handle, OpenWindow, Window};

/// Whether device buffers can be used: there is a driver, and it finds a GPU.
pub(crate) fn check() -> Result<()> {
    match device_count()? {
        0 => Err(no_gpu()),
        _ => Ok(()),
    }
}

fn no_gpu() -> Error {
    Error::new(ErrorKind::Device, "the CUDA driver finds no GPU")
}

/// The number of GPUs that this process sees.
fn device_count() -> Result<usize> {
    static PRESENT: OnceLock<bool> = OnceLock::new();
    // Asked before any other call of cudarc, each of which panics where the driver is missing.
    // SAFETY: looks for the driver's shared library and its entry points; has no other condition.
    if !PRESENT.get_or_init(|| unsafe { sys::is_culib_present() }) {
        return Err(Error::unsupported(
            "device buffers are not supported here: there is no CUDA driver",
        ));
    }
    match result::init().and_then(|()| result::device::get_count()) {
        Ok(count) => Ok(usize::try_from(count).unwrap_or(0)),
        Err(DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE)) => Err(no_gpu()),
        Err(error) => Err(failed("cannot use the CUDA driver", error)),
    }
}

/// The error of a driver call.
fn failed(what: &str, error: DriverError) -> Error {
    let text = |text: Result<&std::ffi::CStr, DriverError>| {
        text.map_or_else(|_| "?".to_owned(), |text| text.to_string_lossy().into_owned())
    };
    let (name, meaning) = (text(error.error_name()), text(error.error_string()));
    Error::new(ErrorKind::Device, format!("{what}: {name}, {meaning}")).with_source(error)
}
