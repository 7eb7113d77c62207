//! What the program `warpcomm-rank` needs to prove that MPI is CUDA-aware, and nobody else.

use std::path::PathBuf;

use super::Runtime;
use crate::awareness::{Allocation, Subject, Verdicts};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::transport::mpi::Process;

impl Runtime {
    /// What is known, on this node and with the MPI library that the program is linked with, of messages of such memory
    /// of a GPU of this model; MPI need not be initialized.
    #[doc(hidden)]
    pub fn cuda_awareness(
        config: &Config,
        gpu: &str,
        several_nodes: bool,
        allocation: Allocation,
    ) -> Option<std::result::Result<(), String>> {
        let verdicts = Verdicts::new(config.cache_directory());
        let subject = Subject {
            gpu: gpu.to_owned(),
            library: Process::library_version(),
            several_nodes,
        };
        verdicts.of(&subject, allocation)
    }

    /// Whether the MPI library says that it takes addresses of memory of GPUs.
    #[doc(hidden)]
    pub fn says_cuda_aware(&self) -> bool {
        let library = self.engine.transport().library();
        library.is_some_and(|library| library.says_cuda_aware)
    }

    /// Writes down what became of messages between all ranks of such memory of this rank's GPU, or why they do not work;
    /// the file. Somebody has called [`world`](Self::world).
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) where the file cannot be written; as for
    /// [`device`](Self::device).
    #[doc(hidden)]
    pub fn record_cuda_awareness(
        &self,
        allocation: Allocation,
        verdict: std::result::Result<(), String>,
    ) -> Result<PathBuf> {
        let gpu = self.device()?.name();
        let gpu = gpu.map_err(|error| Error::invalid("the GPU has no name").with_source(error))?;
        let recorded = self.engine.transport().record(&gpu, allocation, &verdict);
        recorded.map_err(|error| {
            Error::invalid(format!("what was proved cannot be written down: {error}")).with_source(error)
        })
    }
}
