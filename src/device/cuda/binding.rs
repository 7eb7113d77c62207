//! Which GPU a rank uses.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::{device_count, failed, no_gpu};
use crate::error::{Error, Result};

pub(crate) use cudarc::driver::CudaContext as Context;

/// The GPU of a rank: that of its number among the ranks of its node, round robin.
///
/// Nothing is asked of the driver before the GPU is needed, so that programs without device buffers do not pay
/// for it, nor need one.
#[derive(Default)]
pub(crate) struct Binding {
    local_rank: OnceLock<usize>,
    context: Mutex<Option<Arc<Context>>>,
}

impl Binding {
    /// Tells the rank's number on its node, once that is known.
    pub(crate) fn set_local_rank(&self, local_rank: usize) {
        let _ = self.local_rank.set(local_rank);
    }

    #[cfg(feature = "mpi")]
    pub(crate) fn is_known(&self) -> bool {
        self.local_rank.get().is_some()
    }

    /// The name of the rank's GPU, if it has asked for one.
    pub(crate) fn gpu_name(&self) -> Option<String> {
        let context = self.context.lock().unwrap_or_else(PoisonError::into_inner);
        context.as_ref()?.name().ok()
    }

    /// The primary context of the rank's GPU.
    pub(crate) fn context(&self) -> Result<Arc<Context>> {
        let mut context = self.context.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(context) = &*context {
            return Ok(Arc::clone(context));
        }
        let local_rank = *self.local_rank.get().ok_or_else(|| {
            Error::invalid(
                "the GPU of this rank is not known before Runtime::world: the launcher does not tell the local rank",
            )
        })?;
        let gpus = device_count()?;
        let ordinal = local_rank.checked_rem(gpus).ok_or_else(no_gpu)?;
        let made =
            Context::new(ordinal).map_err(|error| failed(&format!("cannot use GPU {ordinal}"), error))?;
        Ok(Arc::clone(context.insert(made)))
    }
}
