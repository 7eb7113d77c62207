//! The communicator: who takes part, and the door through which operations enter the engine.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::{Activity, Endpoint, Inside, Phase, Wait};
use crate::error::{ErrorKind, Result};
use crate::group::{Comparison, Group};
use crate::path::ChosenPath;

/// A group of ranks that exchange messages among themselves.
///
/// Cheap to clone; clones are the same communicator. Any thread may use it, if MPI grants
/// [`ThreadLevel::Multiple`](crate::ThreadLevel). Messages of one communicator never meet those of
/// another.
///
/// After an `Err` the communicator stays usable, except after
/// [`Timeout`](crate::ErrorKind::Timeout) and [`PeerLost`](crate::ErrorKind::PeerLost): these poison it
/// and its clones, and every later call is an `Err` at once. So does an error of MPI that keeps ranks from
/// agreeing on a collective.
///
/// One thread at a time may be in a collective of a communicator; another one gets
/// [`InvalidArgument`](crate::ErrorKind::InvalidArgument), and the other ranks may wait for it.
///
/// Dropping it is not collective: what MPI holds for it is freed when all ranks have dropped it and make another
/// one from a communicator of the same ranks, or of the ranks that it was made from.
///
/// MPI standard, chapter 7.
#[derive(Clone)]
pub struct Communicator {
    pub(crate) endpoint: Arc<Endpoint>,
    timeout: Option<Duration>,
}

impl Communicator {
    pub(crate) fn new(endpoint: Arc<Endpoint>, timeout: Option<Duration>) -> Communicator {
        Communicator { endpoint, timeout }
    }

    /// This rank's number, from 0 to [`size`](Self::size) - 1.
    #[inline]
    pub fn rank(&self) -> usize {
        self.endpoint.rank()
    }

    /// The number of ranks.
    #[inline]
    pub fn size(&self) -> usize {
        self.endpoint.size()
    }

    /// The ranks of this communicator.
    ///
    /// MPI standard, section 7.3.2 (`MPI_Comm_group`).
    pub fn group(&self) -> Group {
        let context = &self.endpoint.context;
        Group::new(Arc::clone(&context.group), context.group[context.rank])
    }

    /// Whether two communicators are the same, or else of the same ranks; local.
    ///
    /// MPI standard, section 7.4.1 (`MPI_Comm_compare`).
    ///
    /// ```
    /// use warpcomm::{Communicator, Comparison};
    ///
    /// let comparisons = Communicator::threads(2, |comm| {
    ///     let reversed = comm.split(Some(0), -(comm.rank() as i32))?.expect("it has a color");
    ///     Ok([comm.clone(), comm.duplicate()?, reversed].map(|other| comm.compare(&other)))
    /// })?;
    /// let comparisons: Vec<_> = comparisons.into_iter().collect::<Result<_, warpcomm::Error>>()?;
    /// assert_eq!(comparisons[0], [Comparison::Identical, Comparison::Congruent, Comparison::Similar]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn compare(&self, other: &Communicator) -> Comparison {
        match self.group().compare(&other.group()) {
            Comparison::Identical if !Arc::ptr_eq(&self.endpoint, &other.endpoint) => Comparison::Congruent,
            comparison => comparison,
        }
    }

    /// Gives this communicator a name, on this rank; an empty one takes it away. Clones have it too.
    ///
    /// Errors, hang reports and `Debug` show it.
    ///
    /// MPI standard, section 7.8 (`MPI_Comm_set_name`).
    ///
    /// ```
    /// use warpcomm::{Communicator, Tag};
    ///
    /// let errors = Communicator::threads(2, |comm| {
    ///     let rows = comm.duplicate()?;
    ///     rows.set_name("rows");
    ///     assert_eq!(format!("{rows:?}"), format!("Communicator(\"rows\", rank {} of 2)", rows.rank()));
    ///     Ok::<_, warpcomm::Error>(rows.send(&[1u8], 5, Tag(0)).unwrap_err().to_string())
    /// })?;
    /// let text = "send on rank 0 of \"rows\" to rank 5: the communicator has 2 ranks, 0 to 1";
    /// assert_eq!(errors.into_iter().next().unwrap()?, text);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn set_name(&self, name: &str) {
        self.endpoint.name.set(name);
    }

    /// The name of this communicator, empty if it has none.
    ///
    /// MPI standard, section 7.8 (`MPI_Comm_get_name`).
    pub fn name(&self) -> String {
        self.endpoint.name.get().as_deref().unwrap_or_default().to_owned()
    }

    /// The same communicator with another deadline for its calls, or none.
    ///
    /// A call that is not done in time gives [`Timeout`](crate::ErrorKind::Timeout) and poisons the
    /// communicator and its clones. Where MPI then still uses memory that the caller lent (a blocking call
    /// or a scope whose elements are on their way), the job is aborted, because the caller is about to use
    /// the memory again.
    ///
    /// ```
    /// use std::time::Duration;
    /// use warpcomm::{Communicator, ErrorKind, Source, Tag};
    ///
    /// let kinds = Communicator::threads(2, |comm| {
    ///     let impatient = comm.duplicate()?.with_timeout(Some(Duration::from_millis(10)));
    ///     let first = impatient.recv(&mut [0u8], Source::Any, Tag(0)).map_err(|error| error.kind());
    ///     let second = impatient.barrier().map_err(|error| error.kind());
    ///     assert_eq!((first, second), (Err(ErrorKind::Timeout), Err(ErrorKind::Timeout)));
    ///     comm.barrier()
    /// })?;
    /// assert!(kinds.iter().all(Result::is_ok));
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn with_timeout(&self, timeout: Option<Duration>) -> Communicator {
        Communicator {
            endpoint: Arc::clone(&self.endpoint),
            timeout,
        }
    }

    /// The context of this rank's GPU, for buffers, streams and kernels.
    ///
    /// The ranks of a node take the GPUs that they see in turn, by their number on the node; where there are
    /// more ranks than GPUs, ranks share them. A program may use other GPUs too: operations take a buffer
    /// where it is.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) without a CUDA driver,
    /// [`Device`](crate::ErrorKind::Device) without a GPU, or if the driver fails.
    ///
    /// ```no_run
    /// use warpcomm::{Communicator, Op};
    ///
    /// let sums = Communicator::threads(2, |comm| {
    ///     let stream = comm.device()?.new_stream().expect("a stream");
    ///     let mut numbers = stream.clone_htod(&[1.0f32; 1000]).expect("memory");
    ///     comm.allreduce_in_place(&mut numbers, Op::Sum)?;
    ///     Ok::<_, warpcomm::Error>(stream.clone_dtoh(&numbers).expect("a copy"))
    /// })?;
    /// assert!(sums.into_iter().all(|sum| sum.unwrap() == [2.0; 1000]));
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    #[cfg(feature = "cuda")]
    pub fn device(&self) -> Result<Arc<crate::device::cuda::Context>> {
        let context = self.endpoint.engine.binding().context();
        context.map_err(|error| error.at("device", self.rank()))
    }

    /// The path of long messages from this rank's GPU to a peer's, and why it is no faster one; local.
    ///
    /// It is found out with the first of them, of more than the eager limit, and `None` before. The peer may have found
    /// another one for its messages to this rank.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if there is no such rank;
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if no path is left, because of
    /// [`Config::paths`](crate::Config::paths).
    ///
    /// ```
    /// use warpcomm::{Communicator, Config, Path};
    ///
    /// let config = Config::default().paths(&[Path::Staged]);
    /// let paths = Communicator::threads_with(&config, 2, |comm| {
    ///     let path = comm.path(1 - comm.rank())?.expect("one is left");
    ///     Ok::<_, warpcomm::Error>((path.path(), path.to_string()))
    /// })?;
    /// # #[cfg(feature = "cuda")]
    /// for path in paths.into_iter().collect::<warpcomm::Result<Vec<_>>>()? {
    ///     assert_eq!(path, (Path::Staged, "staged: WARPCOMM_PATHS leaves the others out".to_owned()));
    /// }
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn path(&self, peer: usize) -> Result<Option<ChosenPath>> {
        let checked = self.endpoint.check_rank(peer);
        let path = checked.and_then(|()| self.endpoint.path(peer));
        path.map_err(|error| self.activity("path").name(error))
    }

    /// The bytes up to which a message is on its way when a send of it returns.
    #[cfg(feature = "pool")]
    pub(crate) fn eager_limit(&self) -> usize {
        self.endpoint.engine.config().eager_limit
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// What this rank is about to do. Always inlined, as what calls it: to return so much is to copy it.
    #[inline(always)]
    pub(crate) fn activity(&self, operation: &'static str) -> Activity {
        let mut activity = Activity::new(operation, self.rank());
        activity.communicator = self.endpoint.name.get();
        activity.is_kept_by(self.endpoint.engine.recorder());
        activity
    }

    /// Enters an operation, for as long as the result lives: longer than the operation's future.
    #[inline]
    pub(crate) fn enter(&self, activity: &Activity) -> Result<Inside<'_>> {
        self.endpoint.enter().map_err(|error| activity.name(error))
    }

    /// Runs an operation to its end, under the name and deadline of this call.
    ///
    /// Everything that the operation has to check about its arguments it checks inside.
    #[inline]
    pub(crate) fn run<T: Send>(
        &self,
        _inside: &Inside<'_>,
        activities: &[&Activity],
        operation: Pin<&mut (dyn Future<Output = Result<T>> + Send)>,
    ) -> Result<T> {
        let wait = Wait {
            endpoint: &self.endpoint,
            activities,
            timeout: self.timeout,
        };
        self.endpoint.engine.block_on(&wait, operation).map_err(|error| {
            if error.kind() == ErrorKind::PeerLost {
                self.endpoint.poison_with(&error);
            }
            match activities
                .iter()
                .find(|activity| activity.phase() != Phase::Over)
                .or(activities.first())
            {
                Some(activity) => activity.name(error),
                None => error,
            }
        })
    }
}

impl fmt::Debug for Communicator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Communicator(")?;
        if let Some(name) = self.endpoint.name.get() {
            write!(f, "{name:?}, ")?;
        }
        write!(f, "rank {} of {})", self.rank(), self.size())
    }
}
