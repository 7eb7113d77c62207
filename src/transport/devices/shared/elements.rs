//! The elements of a message at one of its ends.

use std::sync::Arc;

use super::ring::Ring;
use crate::device::cuda::Mark;
use crate::device::{Lane, device};
use crate::error::Result;
use crate::path::Path;
use crate::transport::Body;

/// A GPU's or the host's memory.
pub(super) struct Elements {
    pub lane: Option<Arc<Lane>>,
    pub first: usize,
    pub bytes: usize,
}

impl Elements {
    pub(super) fn new(body: &Body<'_>) -> Elements {
        Elements {
            lane: body.lane.cloned(),
            first: body.address,
            bytes: body.bytes,
        }
    }

    /// Makes the segment such that a GPU copies to and from it by itself. Where that is impossible the driver copies
    /// with the CPU's help, which takes longer.
    pub(super) fn prepare(&self, ring: &Ring, path: Path) {
        if let Some(lane) = &self.lane
            && path == Path::SharedPinned
        {
            let _ = ring.lock_pages(lane.gpu());
        }
    }

    /// Starts to copy between elements and a slot or what is lent.
    ///
    /// # Safety
    /// Both are valid for so many bytes until a GPU has done it, and nobody else uses the target meanwhile.
    pub(super) unsafe fn start(&self, source: *const u8, target: *mut u8, bytes: usize) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { device(self.lane.as_deref()).copy(source, target, bytes) }
    }

    /// Starts to copy between elements and a slot, and says until when a GPU does.
    ///
    /// # Safety
    /// As for [`start`](Self::start).
    pub(super) unsafe fn copy(
        &self,
        source: *const u8,
        target: *mut u8,
        bytes: usize,
    ) -> Result<Option<Mark>> {
        // SAFETY: the caller's promise.
        unsafe { self.start(source, target, bytes) }?;
        let Some(lane) = &self.lane else {
            return Ok(None);
        };
        lane.mark().inspect_err(|_| lane.wait()).map(Some)
    }
}
