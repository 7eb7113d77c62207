//! Memory and arithmetic behind one private trait; a kind of memory is one file here.

mod fold;
mod host;

use std::fmt;
use std::str::FromStr;

use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::op::Op;

pub(crate) use host::Host;

/// Where a buffer lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Place {
    /// The memory of the process, readable by the CPU.
    Host,
    /// The memory of a GPU.
    Device,
}

impl Place {
    /// The code of this place in a frame.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    /// Whether this build can operate on buffers at this place.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported), saying why, for [`Place::Device`].
    #[inline]
    pub fn check(self) -> Result<()> {
        match self {
            Place::Host => Ok(()),
            Place::Device => Err(Error::unsupported(no_device())),
        }
    }
}

fn no_device() -> String {
    #[cfg(feature = "cuda")]
    let driver = match cuda_driver_is_present() {
        true => "the CUDA driver is present",
        false => "no CUDA driver is present",
    };
    #[cfg(not(feature = "cuda"))]
    let driver = "built without the feature cuda";
    format!(
        "device buffers are not supported by warpcomm {}; {driver}",
        env!("CARGO_PKG_VERSION")
    )
}

/// Asked before any other call of cudarc, each of which panics where the driver is missing.
#[cfg(feature = "cuda")]
fn cuda_driver_is_present() -> bool {
    // SAFETY: looks for the driver's shared library and its entry points; has no other condition.
    unsafe { cudarc::driver::sys::is_culib_present() }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Place::Host => "host",
            Place::Device => "device",
        })
    }
}

impl FromStr for Place {
    type Err = Error;

    fn from_str(text: &str) -> Result<Place> {
        match text {
            "host" => Ok(Place::Host),
            "device" => Ok(Place::Device),
            _ => Err(Error::invalid(format!("{text:?} is neither host nor device"))),
        }
    }
}

/// Memory of one kind and arithmetic on it.
///
/// Pointers are given with their extent in bytes or elements; all of them lie in this device's
/// memory.
pub(crate) trait Device: Send + Sync {
    /// Memory for intermediate results, aligned to a page.
    fn scratch(&self, bytes: usize) -> Result<Scratch>;

    /// Copies `bytes` bytes.
    ///
    /// # Safety
    /// Both ranges are valid for `bytes` bytes, `source` to be read and `target` to be written,
    /// and do not overlap.
    unsafe fn copy(&self, source: *const u8, target: *mut u8, bytes: usize) -> Result<()>;

    /// Folds `elements` elements of each input into `output` in the canonical order.
    ///
    /// # Safety
    /// Each input is valid for reading `elements` elements of `dtype`, `output` for writing them;
    /// all are aligned to the element; `output` is one of the inputs exactly or overlaps none.
    unsafe fn fold(&self, fold: Fold, inputs: &[*const u8], output: *mut u8, elements: usize) -> Result<()>;
}

/// What a reduction computes: the operation and the type of its elements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fold {
    pub op: Op,
    pub dtype: Dtype,
}

/// Memory for intermediate results; it goes back to its device when dropped.
pub(crate) struct Scratch {
    pointer: *mut u8,
    release: fn(*mut u8, usize),
    bytes: usize,
}

// SAFETY: the memory belongs to this value alone and is reached through `&mut` or raw pointers.
unsafe impl Send for Scratch {}
// SAFETY: as above; `&Scratch` gives out nothing but the address.
unsafe impl Sync for Scratch {}

impl Scratch {
    pub(crate) fn pointer(&self) -> *mut u8 {
        self.pointer
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        (self.release)(self.pointer, self.bytes);
    }
}

/// The device for buffers at `place`.
#[inline]
pub(crate) fn device(place: Place) -> Result<&'static dyn Device> {
    place.check()?;
    Ok(&Host)
}
