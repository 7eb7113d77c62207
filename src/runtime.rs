//! MPI in this process, from its initialization to its end.

#[cfg(feature = "cuda")]
mod proof;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::collective;
use crate::comm::Communicator;
use crate::config::{Config, ThreadLevel};
use crate::engine::{Engine, Recorder};
use crate::error::{Error, ErrorKind, Result};
use crate::transport::mpi::Process;
#[cfg(feature = "cuda")]
use crate::transport::mpi::node::local_rank_of_launcher;
use crate::transport::{self, Context, Transport};

/// MPI, initialized in this process; finalized when it is dropped.
///
/// ```no_run
/// use warpcomm::{Op, Runtime};
///
/// let runtime = Runtime::init()?;
/// let comm = runtime.world()?;
/// let mut sum = 0;
/// comm.allreduce(&(comm.rank() as u64), &mut sum, Op::Sum)?;
/// # Ok::<(), warpcomm::Error>(())
/// ```
///
/// MPI standard, section 11.2.
pub struct Runtime {
    /// Taken by `end`.
    process: Option<Process>,
    engine: Arc<Engine>,
    world: Mutex<Option<Communicator>>,
    plain_world: Mutex<Option<Communicator>>,
    thread_level: ThreadLevel,
    library_version: String,
}

/// A process has one MPI, and one engine that drives it.
static TAKEN: AtomicBool = AtomicBool::new(false);

impl Runtime {
    /// Initializes MPI with the settings of the environment; see [`Config`].
    ///
    /// Makes no collective call. A process that was not started by a launcher is a world of one rank. Where
    /// another library has initialized MPI already, that MPI is used, and its owner finalizes it.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) for a `WARPCOMM_*` variable that cannot be read, if
    /// there is a `Runtime` in this process already, or if MPI was finalized.
    pub fn init() -> Result<Runtime> {
        Runtime::init_with(&Config::from_env()?)
    }

    /// As [`init`](Self::init), with settings of the caller's.
    ///
    /// # Errors
    /// As for [`init`](Self::init).
    pub fn init_with(config: &Config) -> Result<Runtime> {
        if TAKEN.swap(true, Ordering::AcqRel) {
            return Err(Error::invalid(
                "this process has, or had, a Runtime; MPI can be initialized once",
            ));
        }
        let started = Runtime::start(config);
        if started.is_err() {
            TAKEN.store(false, Ordering::Release);
        }
        started
    }

    fn start(config: &Config) -> Result<Runtime> {
        let process = Process::init(config.thread_level)?;
        let thread_level = process.thread_level();
        let only_thread = (thread_level < ThreadLevel::Multiple).then(|| thread::current().id());
        let rank = process.world()?.rank;
        let transport: Arc<dyn Transport> = Arc::new(process.transport());
        let recorder = match Recorder::of_rank(config, rank) {
            Ok(recorder) => recorder,
            // Ranks that have theirs wait for this one, and not in `MPI_Finalize`.
            Err(error) => {
                process.leave();
                return Err(error);
            }
        };
        let engine = Engine::new(
            transport::complete(transport, config, rank),
            config.clone(),
            rank,
            recorder,
            only_thread,
        );
        #[cfg(feature = "cuda")]
        if let Some(local_rank) = local_rank_of_launcher() {
            engine.binding().set_local_rank(local_rank);
        }
        let stopped = Arc::clone(&engine);
        process.on_finalize(move || drop(stopped.stop()))?;
        Ok(Runtime {
            library_version: Process::library_version(),
            process: Some(process),
            engine,
            world: Mutex::default(),
            plain_world: Mutex::default(),
            thread_level,
        })
    }

    /// The communicator of all ranks, a duplicate of `MPI_COMM_WORLD`.
    ///
    /// Collective when it is first called; later calls return the same communicator.
    ///
    /// # Errors
    /// [`Mismatch`](ErrorKind::Mismatch) on every rank if a setting that must be the same differs;
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) on rank 0 for a file with measured crossovers that cannot be read (see
    /// [`Tuning`](crate::Tuning)), and [`PeerFailed`](ErrorKind::PeerFailed) on the others;
    /// [`Unsupported`](ErrorKind::Unsupported) from another thread than that which initialized MPI, where
    /// MPI allows no other.
    pub fn world(&self) -> Result<Communicator> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        match &*world {
            Some(world) => Ok(world.clone()),
            None => {
                self.engine
                    .check()
                    .map_err(|error| error.at("world", self.engine.rank()))?;
                let made = collective::world::world(&self.engine, &self.world_context()?)?;
                Ok(world.insert(made).clone())
            }
        }
    }

    /// The plain communicator of all ranks, once somebody has asked for it.
    pub(crate) fn plain_world(&self) -> MutexGuard<'_, Option<Communicator>> {
        self.plain_world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// `MPI_COMM_WORLD`.
    pub(crate) fn world_context(&self) -> Result<Context> {
        let process = self.process.as_ref();
        process
            .ok_or_else(|| Error::invalid("MPI was finalized"))?
            .world()
    }

    /// The context of this rank's GPU; see [`Communicator::device`].
    ///
    /// Most launchers tell a process its number on its node, by which the GPU is chosen; where one does not,
    /// the GPU is known after [`world`](Self::world).
    ///
    /// # Errors
    /// As for [`Communicator::device`]; [`InvalidArgument`](ErrorKind::InvalidArgument) where the GPU is not
    /// known yet.
    #[cfg(feature = "cuda")]
    pub fn device(&self) -> Result<Arc<crate::device::cuda::Context>> {
        self.engine.binding().context()
    }

    /// The thread level that MPI grants: below [`ThreadLevel::Multiple`] only the thread that called
    /// [`init`](Self::init) may communicate, and progress happens inside calls only.
    pub fn thread_level(&self) -> ThreadLevel {
        self.thread_level
    }

    /// The MPI library's name and version, in its own words.
    pub fn library_version(&self) -> &str {
        &self.library_version
    }

    /// Waits until all ranks are here, and finalizes MPI; what is pending goes on meanwhile.
    ///
    /// Dropping the `Runtime` does the same and prints the error. Later calls on communicators are errors.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) naming the operations that are still pending when all
    /// ranks are here; [`Mismatch`](ErrorKind::Mismatch) if another rank was in a collective, which it got too;
    /// [`Timeout`](ErrorKind::Timeout) and [`PeerLost`](ErrorKind::PeerLost) if ranks do not come: then the
    /// process ends without `MPI_Finalize`, which would wait for them. [`Unsupported`](ErrorKind::Unsupported)
    /// from another thread than that which initialized MPI, where MPI allows no other: MPI is left as it is.
    ///
    /// MPI standard, section 11.2.2 (`MPI_Finalize`).
    pub fn finalize(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        let Some(process) = self.process.take() else {
            return Ok(());
        };
        if let Err(error) = self.engine.check_thread()
            && !Process::is_finalized()
        {
            process.leave();
            return Err(error);
        }
        let world = self.world.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut met = Ok(());
        let here = match world {
            Some(world) if !Process::is_finalized() => loop {
                match world.agree_to_finalize() {
                    // Others were in a collective, which has failed for them; by and by they come here too.
                    Err(error) if error.kind() == ErrorKind::Mismatch => met = met.and(Err(error)),
                    other => break other,
                }
            },
            _ => Ok(()),
        };
        if here.is_ok() && !Process::is_finalized() {
            self.send_buffered();
        }
        *self.plain_world() = None;
        let pending = self.engine.stop();
        // Ranks that did not come will not come to `MPI_Finalize` either.
        match here.is_err() {
            true => process.leave(),
            false => drop(process),
        }
        here.and(met)?;
        match pending.is_empty() {
            true => Ok(()),
            false => Err(Error::invalid(format!(
                "finalized with operations pending: {}",
                pending.join("; ")
            ))),
        }
    }

    /// Waits for buffered sends to ranks that are not warpcomm: `MPI_Finalize` would, if they were MPI's. What cannot
    /// be sent is told of as pending.
    fn send_buffered(&self) {
        let endpoints = self.engine.endpoints().to_vec();
        for endpoint in endpoints {
            let comm = Communicator::new(endpoint, self.engine.config().timeout);
            let _ = comm.buffered_are_over("finalize");
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // While a panic unwinds, the other ranks do not come here.
        if thread::panicking() {
            if self.engine.check_thread().is_ok() {
                self.engine.stop();
            }
            if let Some(process) = self.process.take() {
                process.leave();
            }
            return;
        }
        if let Err(error) = self.end() {
            eprintln!("warpcomm: finalize: {error}");
        }
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Runtime({}, thread level {})",
            self.library_version, self.thread_level
        )
    }
}
