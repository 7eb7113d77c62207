//! The rows of a series.

#[cfg(feature = "cuda")]
use std::rc::Rc;
#[cfg(feature = "cuda")]
use std::sync::Arc;

use clap::ValueEnum;
#[cfg(feature = "cuda")]
use warpcomm::DeviceBuffer;
use warpcomm::{Communicator, Dtype, Op, Place};

#[cfg(feature = "cuda")]
use super::memory::Device;
use super::memory::{Host, Memory};
use super::pairs::Pairs;
use super::shape::Shape;
use super::subject::{NotHere, Subject, not_here};
use super::{agree, collective, element::Sample, element::of_dtype, library, measure, messages, path};
#[cfg(feature = "cuda")]
use super::{nccl, staging};
use crate::Failure;
use crate::lengths::UNOFFERED_BYTES;
use crate::operation::Operation;
use crate::record::{Key, Row};
use crate::statistics::Summary;
use crate::task::{Series, Task};

/// The variable that forces a job to a path.
const PATHS_VARIABLE: &str = "WARPCOMM_PATHS";

/// Whose implementation is measured.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    Warpcomm,
    Mpi,
    Staging,
    Nccl,
}

/// Where the buffers are.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Where {
    Host,
    Pinned,
    Device,
}

/// What a series asks for, once it is understood.
struct Case<'s> {
    series: &'s Series,
    operation: Operation,
    by: By,
    place: Where,
    dtype: Dtype,
    op: Option<Op>,
}

/// An operation between pairs of ranks, or of all.
enum Form {
    Pairs(Pairs),
    Shape(Shape),
}

/// What becomes of a length.
pub enum Found {
    Row(Box<Row>),
    /// Why there is none, of one length or of all that follow.
    Not {
        bytes: Option<u64>,
        reason: String,
    },
}

/// All ranks, and what they are asked for.
pub struct Measuring<'c> {
    comm: &'c Communicator,
    task: &'c Task,
    /// Once it was asked for: it, or why there is none.
    #[cfg(feature = "cuda")]
    nccl: Option<Result<Rc<nccl::Nccl>, String>>,
}

fn named<T: ValueEnum>(what: &str, name: &str) -> Result<T, Failure> {
    T::from_str(name, false).map_err(|_| not_here(format!("there is no {what} {name:?}")))
}

impl<'s> Case<'s> {
    fn new(series: &'s Series) -> Result<Case<'s>, Failure> {
        let operation: Operation = named("operation", &series.operation)?;
        let dtype: Dtype = series
            .dtype
            .parse()
            .map_err(|error: warpcomm::Error| not_here(error.to_string()))?;
        let op = match (operation.is_reduction(), &series.op) {
            (false, _) => None,
            (true, None) => return Err(not_here("a reduction needs an operation")),
            (true, Some(op)) => {
                let op: Op = op
                    .parse()
                    .map_err(|error: warpcomm::Error| not_here(error.to_string()))?;
                match op.supports(dtype) {
                    true => Some(op),
                    false => return Err(not_here(format!("{op} is not defined on {dtype}"))),
                }
            }
        };
        let case = Case {
            series,
            operation,
            by: named("implementation", &series.by)?,
            place: named("place", &series.place)?,
            dtype,
            op,
        };
        case.check()?;
        Ok(case)
    }

    /// Whether there is such a thing, wherever it runs.
    fn check(&self) -> Result<(), Failure> {
        match (self.by, self.place) {
            (By::Mpi, Where::Device) => Err(not_here("MPI's functions are measured with buffers of hosts")),
            (By::Staging | By::Nccl, Where::Host | Where::Pinned) => {
                Err(not_here(format!("{} is for buffers on GPUs", self.series.by)))
            }
            (By::Staging | By::Nccl, _) if !self.operation.has_elements() => {
                Err(not_here(format!("a {} has no buffers", self.operation)))
            }
            (By::Nccl, _) if self.operation.is_point_to_point() => {
                Err(not_here("of NCCL only collectives are measured"))
            }
            _ => Ok(()),
        }?;
        let Some(path) = &self.series.path else {
            return Ok(());
        };
        if self.place != Where::Device || self.by != By::Warpcomm || !self.operation.has_elements() {
            return Err(not_here(
                "only elements on GPUs have paths, and only warpcomm's choice is known",
            ));
        }
        match std::env::var(PATHS_VARIABLE) {
            Ok(forced) if forced == *path => Ok(()),
            _ => Err(not_here(format!(
                "this job is not forced to {path} by {PATHS_VARIABLE}"
            ))),
        }
    }

    fn form(&self, comm: &Communicator, bytes: u64) -> Form {
        let (rank, ranks) = (comm.rank(), comm.size());
        let elements = Shape::elements_of(self.operation, ranks, bytes, self.dtype.size());
        match self.operation.is_point_to_point() {
            true => Form::Pairs(Pairs::new(
                self.operation,
                rank,
                ranks,
                elements,
                self.dtype.size(),
            )),
            false => Form::Shape(Shape {
                operation: self.operation,
                rank,
                ranks,
                op: self.op,
                elements,
            }),
        }
    }

    /// The bytes of the shortest message that the elements of a row make.
    fn piece(&self, ranks: usize, bytes: u64) -> u64 {
        match self.operation.is_reduction() || self.operation == Operation::Bcast {
            true => bytes / ranks as u64,
            false => bytes,
        }
    }
}

impl Form {
    fn elements(&self) -> usize {
        match self {
            Form::Pairs(pairs) => pairs.elements,
            Form::Shape(shape) => shape.elements,
        }
    }
}

impl<'c> Measuring<'c> {
    pub fn new(comm: &'c Communicator, task: &'c Task) -> Measuring<'c> {
        Measuring {
            comm,
            task,
            #[cfg(feature = "cuda")]
            nccl: None,
        }
    }

    /// Measures a series, and passes on what becomes of each length; an error that is [`NotHere`] is the same on all ranks,
    /// and the next series can be measured.
    pub fn all_sizes(
        &mut self,
        series: &Series,
        found: &mut dyn FnMut(Found) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let case = Case::new(series)?;
        let ranks = self.comm.size();
        if case.operation.is_point_to_point() && ranks < 2 {
            return Err(not_here("messages need two ranks"));
        }
        if case.place != Where::Host {
            let has_gpu = Place::Device.check().map_err(|error| not_here(error.to_string()));
            agree::all(self.comm, has_gpu)??;
        }
        #[cfg(feature = "cuda")]
        if case.by == By::Nccl {
            self.find_nccl()?;
        }
        if let Some(path) = &series.path {
            self.check_peers(path)?;
        }
        let of_barrier = [0];
        let sizes = match case.operation.has_elements() {
            true => &self.task.sizes[..],
            false => &of_barrier,
        };
        let mut measured = None;
        for &size in sizes {
            let form = case.form(self.comm, size);
            let bytes = (form.elements() * case.dtype.size()) as u64;
            // Two sizes may be as many whole elements.
            if measured.replace(bytes) != Some(bytes) {
                found(self.length(&case, form, bytes)?)?;
            }
        }
        Ok(())
    }

    fn length(&self, case: &Case<'_>, form: Form, bytes: u64) -> Result<Found, Failure> {
        let comm = self.comm;
        let ranks = comm.size();
        let operations = match &form {
            Form::Pairs(pairs) => pairs.operations(),
            Form::Shape(_) => 1.0,
        };
        let pairs = match &form {
            Form::Pairs(pairs) => pairs.count() as f64,
            Form::Shape(_) => 1.0,
        };
        let made = of_dtype!(case.dtype, T => self.subject::<T>(case, form), else {
            Err(not_here(format!("{} is not known here", case.dtype)))
        });
        // What there is no memory for, or no buffer at all, is left out.
        let made = made.map_err(|error| match error.is::<NotHere>() {
            true => error,
            false => not_here(format!("{bytes} bytes: {error}")),
        });
        let mut subject = agree::all(comm, made)??;
        let overlaps = case.operation == Operation::Overlap;
        let title = || {
            let op = case.op.map(|op| format!(" ({op})")).unwrap_or_default();
            let Series { by, place, dtype, .. } = case.series;
            format!(
                "{}{op} of {bytes} bytes of {dtype} on {place} by {by}",
                case.operation
            )
        };
        let measured = measure::measure(comm, &mut *subject, &self.task.effort, overlaps, &title)?;
        let carried = measured.carried;
        if let Err(failure) = self.check_path(case, bytes, carried.as_deref())? {
            return Ok(Found::Not {
                bytes: Some(bytes),
                reason: failure.to_string(),
            });
        }
        let samples: Vec<f64> = measured
            .samples
            .iter()
            .map(|seconds| seconds / operations)
            .collect();
        let seconds = Summary::of(&samples).ok_or("no time was measured")?;
        let algorithm_bandwidth = (bytes > 0)
            .then(|| bytes as f64 * case.operation.algorithm_factor(ranks) / seconds.median)
            .filter(|bandwidth| bandwidth.is_finite());
        let sends_many = matches!(
            case.operation,
            Operation::Bandwidth | Operation::Bibandwidth | Operation::MessageRate
        );
        let directions = if case.operation == Operation::Bibandwidth {
            2.0
        } else {
            1.0
        };
        Ok(Found::Row(Box::new(Row {
            key: Key {
                operation: case.series.operation.clone(),
                by: case.series.by.clone(),
                place: case.series.place.clone(),
                path: case.series.path.clone(),
                dtype: case.series.dtype.clone(),
                op: case.op.map(|op| op.to_string()),
                ranks,
                bytes,
            },
            algorithm: carried
                .as_deref()
                .and_then(|carried| carried.split(", ").next())
                .map(str::to_owned),
            carried: carried.as_deref().and_then(path::path),
            checked: self.task.effort.check,
            repeats: measured.repeats,
            seconds,
            samples,
            algorithm_bandwidth,
            bus_bandwidth: algorithm_bandwidth.map(|bandwidth| bandwidth * case.operation.bus_factor(ranks)),
            message_rate: sends_many.then(|| pairs * directions / seconds.median),
            overlap: measured.overlap,
        })))
    }

    /// Sees to it that no figure is shown for a path that has not carried its elements.
    fn check_path(
        &self,
        case: &Case<'_>,
        bytes: u64,
        carried: Option<&str>,
    ) -> Result<Result<(), Failure>, Failure> {
        let Some(forced) = &case.series.path else {
            return Ok(Ok(()));
        };
        let is_short = case.piece(self.comm.size(), bytes) <= UNOFFERED_BYTES as u64;
        // A rank that has no part in it has nothing to tell.
        let is_right = carried.is_none_or(|carried| path::path(carried).as_ref() == Some(forced));
        let outcome = match is_right || is_short {
            true => Ok(()),
            false => Err(not_here(format!(
                "{bytes} bytes went another way than {forced}: {}",
                carried.unwrap_or_default()
            ))),
        };
        agree::all(self.comm, outcome)
    }

    /// An operation on buffers for it.
    fn subject<T: Sample>(&self, case: &Case<'_>, form: Form) -> Result<Box<dyn Subject + 'c>, Failure> {
        match (case.by, case.place) {
            (By::Warpcomm, Where::Device) => self.on_device::<T>(form),
            (By::Warpcomm, place) => {
                let host = self.host(place)?;
                self.of_library::<T, Host>(form, host)
            }
            (By::Mpi, place) => {
                let host = self.host(place)?;
                Ok(match form {
                    Form::Pairs(pairs) => Box::new(library::Messages::new::<T>(pairs, host)?),
                    Form::Shape(shape) => Box::new(library::Collective::new::<T>(shape, host)?),
                })
            }
            (By::Staging, _) => self.staged::<T>(form),
            (By::Nccl, _) => self.by_nccl::<T>(form),
        }
    }

    fn of_library<T: Sample, M: Memory<T> + 'c>(
        &self,
        form: Form,
        memory: M,
    ) -> Result<Box<dyn Subject + 'c>, Failure>
    where
        M::Store: 'c,
    {
        Ok(match form {
            Form::Pairs(pairs) => Box::new(messages::Messages::new::<T, M>(self.comm, pairs, memory)?),
            Form::Shape(shape) => Box::new(collective::Collective::new::<T, M>(self.comm, shape, memory)?),
        })
    }

    #[cfg(feature = "cuda")]
    fn host(&self, place: Where) -> Result<Host, Failure> {
        Ok(match place {
            Where::Pinned => Host::pinned(Arc::clone(&self.comm.device()?)),
            _ => Host::pageable(),
        })
    }

    #[cfg(feature = "cuda")]
    fn device(&self) -> Result<Device, Failure> {
        Ok(Device {
            stream: self.comm.device()?.new_stream()?,
        })
    }

    #[cfg(feature = "cuda")]
    fn on_device<T: Sample>(&self, form: Form) -> Result<Box<dyn Subject + 'c>, Failure> {
        self.of_library::<T, Device>(form, self.device()?)
    }

    #[cfg(feature = "cuda")]
    fn staged<T: Sample>(&self, form: Form) -> Result<Box<dyn Subject + 'c>, Failure> {
        let memory = self.device()?;
        Ok(match form {
            Form::Pairs(pairs) => Box::new(staging::Messages::<T>::new(pairs, memory)?),
            Form::Shape(shape) => Box::new(staging::Collective::<T>::new(shape, memory)?),
        })
    }

    #[cfg(feature = "cuda")]
    fn by_nccl<T: Sample>(&self, form: Form) -> Result<Box<dyn Subject + 'c>, Failure> {
        match (&self.nccl, form) {
            (Some(Ok(nccl)), Form::Shape(shape)) => Ok(Box::new(nccl::Collective::new::<T>(
                Rc::clone(nccl),
                shape,
                self.device()?,
            )?)),
            _ => Err(not_here("NCCL is not there")),
        }
    }

    /// Sees to it that all ranks' long messages between GPUs go by a path.
    #[cfg(feature = "cuda")]
    fn check_peers(&self, path: &str) -> Result<(), Failure> {
        let (comm, memory) = (self.comm, self.device()?);
        let elements = comm.size() * 2 * UNOFFERED_BYTES;
        let send: DeviceBuffer<u8> = memory.reserve(elements)?;
        let mut recv: DeviceBuffer<u8> = memory.reserve(elements)?;
        let exchanged = comm.alltoall(&send, &mut recv).map_err(Failure::from);
        agree::all(comm, exchanged)??;
        let check = |peer: usize| match comm.path(peer)? {
            Some(chosen) if chosen.path().name() == path => Ok(()),
            Some(chosen) => Err(not_here(format!("rank {} to rank {peer}: {chosen}", comm.rank()))),
            None => Err(not_here(format!(
                "rank {} has no path to rank {peer}",
                comm.rank()
            ))),
        };
        let mut others = (0..comm.size()).filter(|&peer| peer != comm.rank());
        agree::all(comm, others.try_for_each(check))?
    }

    /// Looks for NCCL, once.
    #[cfg(feature = "cuda")]
    fn find_nccl(&mut self) -> Result<(), Failure> {
        if self.nccl.is_none() {
            self.nccl = Some(match nccl::Nccl::new(self.comm) {
                Ok(nccl) => Ok(Rc::new(nccl)),
                Err(failure) if failure.is::<NotHere>() => Err(failure.to_string()),
                Err(failure) => return Err(failure),
            });
        }
        match &self.nccl {
            Some(Err(reason)) => Err(not_here(reason.clone())),
            _ => Ok(()),
        }
    }
}

#[cfg(not(feature = "cuda"))]
impl<'c> Measuring<'c> {
    fn check_peers(&self, _path: &str) -> Result<(), Failure> {
        Err(not_here(NO_GPUS))
    }

    fn host(&self, _place: Where) -> Result<Host, Failure> {
        Ok(Host::pageable())
    }

    fn on_device<T: Sample>(&self, _form: Form) -> Result<Box<dyn Subject + 'c>, Failure> {
        Err(not_here(NO_GPUS))
    }

    fn staged<T: Sample>(&self, _form: Form) -> Result<Box<dyn Subject + 'c>, Failure> {
        Err(not_here(NO_GPUS))
    }

    fn by_nccl<T: Sample>(&self, _form: Form) -> Result<Box<dyn Subject + 'c>, Failure> {
        Err(not_here(NO_GPUS))
    }
}

/// Said after all ranks have said it already.
#[cfg(not(feature = "cuda"))]
const NO_GPUS: &str = "warpcomm was built without the feature cuda";
