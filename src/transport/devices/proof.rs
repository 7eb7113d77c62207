//! Whether MPI may be given the addresses of this rank's elements on GPUs: only where it says that it takes them, that
//! was proved for such memory, or somebody who knows better says so.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
#[cfg(feature = "mpi")]
use std::{io, path::PathBuf};

use crate::awareness::{Allocation, Subject, Verdict, Verdicts};
use crate::config::Config;
use crate::device::Lane;
use crate::transport::Library;

/// What is known of the MPI library in this process.
pub(super) struct Proof {
    /// What the configuration says.
    wanted: Option<bool>,
    /// Nothing where messages do not go straight to MPI.
    library: Option<Library>,
    verdicts: Verdicts,
    /// Whether messages leave the node, once that is known.
    several_nodes: Mutex<Option<bool>>,
    /// By the GPU, the kind of memory, and whether messages leave the node.
    known: Mutex<HashMap<(usize, Allocation, bool), Option<Verdict>>>,
    /// Whether this rank has still to say what nobody has proved.
    says: AtomicBool,
}

/// Why MPI gets no addresses.
pub(super) struct Refusal {
    pub reason: String,
    /// MPI says that it takes them, and nobody has tried.
    pub is_unproved: bool,
}

impl Refusal {
    pub(super) fn new(reason: impl Into<String>) -> Refusal {
        Refusal {
            reason: reason.into(),
            is_unproved: false,
        }
    }
}

fn subject(library: &Library, gpu: &str, several_nodes: bool) -> Subject {
    Subject {
        gpu: gpu.to_owned(),
        library: library.version.clone(),
        several_nodes,
    }
}

impl Proof {
    pub(super) fn new(config: &Config, library: Option<Library>, rank: usize) -> Proof {
        Proof {
            wanted: config.cuda_aware,
            library,
            verdicts: Verdicts::new(config.cache_directory()),
            several_nodes: Mutex::default(),
            known: Mutex::default(),
            says: AtomicBool::new(rank == 0),
        }
    }

    /// Notes whether messages leave the node: those among all ranks, or some of them.
    pub(super) fn spans(&self, several_nodes: bool) {
        let mut known = self.several_nodes.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some(several_nodes || known.unwrap_or(false));
    }

    fn several_nodes(&self) -> bool {
        let known = *self.several_nodes.lock().unwrap_or_else(PoisonError::into_inner);
        known.unwrap_or(true)
    }

    /// Whether MPI may be given an address in the memory of a lane's GPU.
    pub(super) fn check(&self, lane: &Lane, address: usize) -> Result<(), Refusal> {
        let Some(library) = &self.library else {
            return Err(Refusal::new("messages do not go straight to MPI"));
        };
        match self.wanted {
            Some(true) => return Ok(()),
            Some(false) => {
                return Err(Refusal::new(
                    "WARPCOMM_CUDA_AWARE says that MPI is not CUDA-aware",
                ));
            }
            None if !library.says_cuda_aware => {
                return Err(Refusal::new("MPI says that it is not CUDA-aware"));
            }
            None => {}
        }
        let refused = |error: crate::error::Error| Refusal::new(error.message().to_owned());
        let managed = || Refusal::new("the memory is managed");
        let allocation = lane.allocation(address).map_err(refused)?.ok_or_else(managed)?;
        let several_nodes = self.several_nodes();
        // There is one value for each GPU.
        let gpu = std::ptr::from_ref(lane.gpu()) as usize;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let verdict = match known.entry((gpu, allocation, several_nodes)) {
            Entry::Occupied(verdict) => verdict.into_mut(),
            Entry::Vacant(place) => {
                let gpu = lane.gpu().name().map_err(refused)?;
                let subject = subject(library, &gpu, several_nodes);
                place.insert(self.verdicts.of(&subject, allocation))
            }
        };
        match verdict {
            Some(Ok(())) => Ok(()),
            Some(Err(reason)) => Err(Refusal::new(format!("MPI is not CUDA-aware: {reason}"))),
            None => Err(Refusal {
                reason: "nobody has proved that MPI is CUDA-aware".to_owned(),
                is_unproved: true,
            }),
        }
    }

    /// Writes down what became of messages of such memory of a GPU of this model.
    #[cfg(feature = "mpi")]
    pub(super) fn record(&self, gpu: &str, allocation: Allocation, verdict: &Verdict) -> io::Result<PathBuf> {
        let library = self.library.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        let subject = subject(library, gpu, self.several_nodes());
        self.verdicts.record(&subject, allocation, verdict)
    }

    /// Why MPI gets addresses, where it does.
    pub(super) fn reason(&self) -> &'static str {
        match self.wanted {
            Some(_) => "MPI is CUDA-aware, as WARPCOMM_CUDA_AWARE says",
            None => "MPI is CUDA-aware, as was proved",
        }
    }

    /// Tells the user what could be faster, once for the job.
    pub(super) fn tell(&self, refusal: &Refusal) {
        if refusal.is_unproved && self.says.swap(false, Ordering::Relaxed) {
            eprintln!(
                "warpcomm: MPI says that it is CUDA-aware, which nobody has proved here: messages are staged; \
                 run `warpcomm tune`, or set WARPCOMM_CUDA_AWARE=yes or no"
            );
        }
    }
}
