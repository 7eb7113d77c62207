//! Memory and arithmetic behind one private trait; a kind of memory is one file here.

#[cfg(feature = "cuda")]
pub(crate) mod cuda;
mod fold;
mod host;
#[cfg(not(feature = "cuda"))]
mod no_cuda;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::op::Op;

#[cfg(feature = "cuda")]
pub(crate) use cuda::Lane;
#[cfg(test)]
pub(crate) use fold::oracle::Oracle;
pub(crate) use host::Host;
#[cfg(not(feature = "cuda"))]
pub(crate) use no_cuda::Lane;

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

    pub(crate) fn from_code(code: u8) -> Place {
        match code {
            0 => Place::Host,
            _ => Place::Device,
        }
    }

    /// Whether this process can operate on buffers at this place.
    ///
    /// # Errors
    /// For [`Place::Device`] [`Unsupported`](crate::ErrorKind::Unsupported) where warpcomm was built without
    /// the feature `cuda` or the machine has no CUDA driver, and [`Device`](crate::ErrorKind::Device) where
    /// the driver finds no GPU.
    ///
    /// ```
    /// assert!(warpcomm::Place::Host.check().is_ok());
    /// ```
    #[inline]
    pub fn check(self) -> Result<()> {
        match self {
            Place::Host => Ok(()),
            #[cfg(feature = "cuda")]
            Place::Device => cuda::check(),
            #[cfg(not(feature = "cuda"))]
            Place::Device => Err(Error::unsupported(
                "device buffers are not supported: warpcomm was built without the feature cuda",
            )),
        }
    }
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
/// memory. What is started may still be under way when a call returns; the calls on one device take
/// effect in the order in which they are made.
pub(crate) trait Device: Send + Sync {
    /// Memory for intermediate results, aligned to a cache line at least.
    fn allocate(&self, bytes: usize) -> Result<*mut u8>;

    /// Gives back what was allocated, after everything that was started before.
    ///
    /// # Safety
    /// `pointer` is from [`allocate`](Self::allocate) with as many bytes, and is given back once.
    unsafe fn free(&self, pointer: *mut u8, bytes: usize);

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

    /// Folds `elements` elements of each subtree, from left to right, into `output`: into elements or, as a partial
    /// result, into what another fold takes as a subtree.
    ///
    /// # Safety
    /// Each subtree is valid for reading `elements` elements, of `dtype` or, where it is of several ranks, of
    /// [`Dtype::accumulator`]; `output` for writing as many of its type; all are aligned; `output` is one of the inputs
    /// of the same type exactly or overlaps none.
    unsafe fn fold_subtrees(
        &self,
        fold: Fold,
        subtrees: &[Subtree],
        output: *mut u8,
        is_partial: bool,
        elements: usize,
    ) -> Result<()>;
}

/// What a fold combines: the elements of one rank, or what another fold has left of a whole subtree of the canonical order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subtree {
    pub pointer: *const u8,
    /// The ranks that it is of, at least one.
    pub ranks: usize,
}

impl Subtree {
    /// The elements of ranks, each a subtree.
    pub(crate) fn of_ranks(inputs: &[*const u8]) -> Vec<Subtree> {
        let of_rank = |&pointer: &*const u8| Subtree { pointer, ranks: 1 };
        inputs.iter().map(of_rank).collect()
    }
}

/// The subtrees on the left of where the canonical order splits several, and those on its right; neither is empty.
pub(crate) fn halves(subtrees: &[Subtree]) -> (&[Subtree], &[Subtree]) {
    let ranks = |subtrees: &[Subtree]| subtrees.iter().map(|subtree| subtree.ranks).sum::<usize>();
    let on_the_left = fold::split(ranks(subtrees));
    let last = subtrees.len().saturating_sub(1).max(1);
    let at = (1..last).find(|&at| ranks(&subtrees[..at]) >= on_the_left);
    subtrees.split_at(at.unwrap_or(last).min(subtrees.len()))
}

/// Checks that the canonical order splits nowhere but between the subtrees, and that there is one.
pub(crate) fn check(subtrees: &[Subtree]) -> Result<()> {
    let ranks = |subtrees: &[Subtree]| subtrees.iter().map(|subtree| subtree.ranks).sum::<usize>();
    match subtrees {
        [] => Err(Error::invalid("a reduction of no inputs")),
        [only] if only.ranks > 0 => Ok(()),
        [_] => Err(Error::invalid("a subtree of no ranks")),
        _ => {
            let (left, right) = halves(subtrees);
            match ranks(left) == fold::split(ranks(subtrees)) {
                true => check(left).and_then(|()| check(right)),
                false => Err(Error::invalid("parts of a reduction that are no subtrees")),
            }
        }
    }
}

/// The device of a lane; without one, the host.
#[inline]
pub(crate) fn device(lane: Option<&Lane>) -> &dyn Device {
    match lane {
        None => &Host,
        Some(lane) => lane,
    }
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
    bytes: usize,
    lane: Option<Arc<Lane>>,
}

// SAFETY: the memory belongs to this value alone and is reached through `&mut` or raw pointers.
unsafe impl Send for Scratch {}
// SAFETY: as above; `&Scratch` gives out nothing but the address.
unsafe impl Sync for Scratch {}

impl Scratch {
    /// Memory of a lane's GPU, or of the host.
    pub(crate) fn new(lane: Option<&Arc<Lane>>, bytes: usize) -> Result<Scratch> {
        Ok(Scratch {
            pointer: device(lane.map(|lane| &**lane)).allocate(bytes)?,
            bytes,
            lane: lane.cloned(),
        })
    }

    pub(crate) fn pointer(&self) -> *mut u8 {
        self.pointer
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // SAFETY: allocated by `new` on the same device; dropped once.
        unsafe { device(self.lane.as_deref()).free(self.pointer, self.bytes) };
    }
}
