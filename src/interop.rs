//! Communicators that are shared with ranks, or with parts of this program, that use MPI themselves.

use std::pin::pin;
use std::sync::Arc;

use mpi::topology::SimpleCommunicator;

use crate::collective;
use crate::comm::Communicator;
use crate::engine::{Endpoint, Engine};
use crate::error::{Error, Result};
use crate::plan::Operation;
use crate::runtime::Runtime;
use crate::transport::Context;
use crate::transport::mpi::plain;
use crate::transport::plain::{Division, Plain};

/// The MPI library behind an engine.
fn library(engine: &Engine) -> Result<Arc<dyn Plain>> {
    let library = engine.transport().plain();
    library.ok_or_else(|| Error::unsupported("ranks that are threads have no MPI communicator"))
}

impl Runtime {
    /// `MPI_COMM_WORLD` as it is, for ranks of which some are not warpcomm: a [plain](crate::Wire::Plain) communicator.
    ///
    /// Not collective; every call returns the same communicator. Errors on `MPI_COMM_WORLD` are returned from now on, as `MPI_ERRORS_RETURN` says.
    /// [`split`](Communicator::split) makes plain communicators of some ranks, by one `MPI_Comm_split` that all ranks
    /// call, and [`into_native`](Communicator::into_native) a native one where all ranks are warpcomm.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) once MPI was finalized;
    /// [`Unsupported`](crate::ErrorKind::Unsupported) from another thread than that which initialized MPI, where MPI
    /// allows no other.
    ///
    /// ```no_run
    /// use warpcomm::{Op, Runtime, Tag};
    ///
    /// // mpirun -n 1 this_program : -n 1 python sums.py
    /// let runtime = Runtime::init()?;
    /// let world = runtime.world_plain()?;
    /// world.send(&[1.5f64, 2.5], 1, Tag(7))?; // comm.Recv(buffer, source=0, tag=7)
    /// let mut sum = 0.0;
    /// world.allreduce(&1.0f64, &mut sum, Op::Sum)?; // comm.Allreduce(own, sum)
    /// let ours = world.split(Some(0), 0)?.expect("a color"); // comm.Split(color=1)
    /// let ours = ours.into_native()?;
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn world_plain(&self) -> Result<Communicator> {
        // Two would each take messages that the other waits for.
        let mut world = self.plain_world();
        if let Some(world) = &*world {
            return Ok(world.clone());
        }
        let made = self.inside("world_plain", |context| {
            plain::return_errors(&context)?;
            plain_communicator(self.engine(), context)
        })?;
        Ok(world.insert(made).clone())
    }

    /// A duplicate of a communicator of the crate `mpi`: a [plain](crate::Wire::Plain) one.
    ///
    /// Collective over that communicator: it is one `MPI_Comm_dup`, which ranks that are not warpcomm call as such.
    /// Messages of the two never meet. [`into_native`](Communicator::into_native) makes a native one of it where all
    /// ranks are warpcomm.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for an intercommunicator, and once MPI was finalized;
    /// [`Unsupported`](crate::ErrorKind::Unsupported) from another thread than that which initialized MPI, where MPI
    /// allows no other; [`Mpi`](crate::ErrorKind::Mpi) where MPI has no more communicators.
    ///
    /// ```no_run
    /// use mpi::topology::SimpleCommunicator;
    /// use warpcomm::Runtime;
    ///
    /// let runtime = Runtime::init()?;
    /// let theirs = SimpleCommunicator::world();
    /// let ours = runtime.from_mpi(&theirs)?.into_native()?;
    /// let back = ours.to_mpi()?;
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn from_mpi(&self, communicator: &impl mpi::topology::Communicator) -> Result<Communicator> {
        self.inside("from_mpi", |_| {
            plain_communicator(self.engine(), plain::duplicate_of(communicator)?)
        })
    }

    /// Calls MPI, which nobody finalizes meanwhile, with `MPI_COMM_WORLD`.
    fn inside<T>(&self, operation: &'static str, call: impl FnOnce(Context) -> Result<T>) -> Result<T> {
        let engine = self.engine();
        let inside = engine.enter();
        let done = inside.and_then(|_inside| call(self.world_context()?));
        done.map_err(|error| error.at(operation, engine.rank()))
    }
}

fn plain_communicator(engine: &Arc<Engine>, context: Context) -> Result<Communicator> {
    let endpoint = Endpoint::new_plain(engine, context, library(engine)?)?;
    Ok(Communicator::new(endpoint, engine.config().timeout))
}

impl Communicator {
    /// Waits until the buffered sends of a plain communicator are over.
    pub(crate) fn buffered_are_over(&self, operation: &'static str) -> Result<()> {
        let Some(plain) = &self.endpoint.plain else {
            return Ok(());
        };
        let activity = self.activity(operation);
        let inside = self.enter(&activity)?;
        self.run(&inside, &[&activity], pin!(plain.buffered_are_over()))
    }

    /// A native communicator of the same ranks, all of which are warpcomm.
    ///
    /// Collective. A native communicator is returned as it is. What MPI holds for the new one and, unless a clone of it
    /// is [freed](Self::free), for the plain one, it holds until the program ends; communicators that are made of the
    /// new one are freed as all native ones are.
    ///
    /// # Errors
    /// [`Mismatch`](crate::ErrorKind::Mismatch) on every rank if a setting that must be the same differs;
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if another thread is in a collective of this communicator;
    /// [`Mpi`](crate::ErrorKind::Mpi) where MPI has no more communicators.
    pub fn into_native(self) -> Result<Communicator> {
        if self.endpoint.plain.is_none() {
            return Ok(self);
        }
        let native = self.call_library(Operation::IntoNative, || {
            collective::world::native_of(&self.endpoint.engine, &self.endpoint.context)
        })?;
        Ok(native.with_timeout(self.timeout()))
    }

    /// A duplicate of this communicator for the crate `mpi`, which frees it.
    ///
    /// Collective: it is one `MPI_Comm_dup`. Messages of the two never meet.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for ranks that are threads; [`Mpi`](crate::ErrorKind::Mpi) where
    /// MPI has no more communicators. Of a native communicator also those of [`barrier`](Self::barrier), which comes
    /// first.
    pub fn to_mpi(&self) -> Result<SimpleCommunicator> {
        let library = library(&self.endpoint.engine);
        let library = library.map_err(|error| error.at(Operation::ToMpi.name(), self.rank()))?;
        self.call_library(Operation::ToMpi, || {
            let made = library.divide(&self.endpoint.context, Division::Same)?;
            made.map(plain::into_mpi)
                .ok_or_else(|| Error::invalid("MPI made no communicator"))
        })
    }

    /// Gives back what MPI holds for a plain communicator, at once.
    ///
    /// Collective: it is one `MPI_Comm_free`. A plain communicator that is dropped instead stays in MPI until the
    /// program ends, since dropping is not collective. A native one is dropped: it is freed later. Waits for buffered
    /// sends.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for `MPI_COMM_WORLD`, and while clones or operations
    /// of the communicator exist: then nothing is freed.
    pub fn free(self) -> Result<()> {
        let named = |error: Error| error.at("free", self.rank());
        let Some(plain) = &self.endpoint.plain else {
            return Ok(());
        };
        // What is sent from copies goes on without its caller; nothing else that is under way does.
        self.buffered_are_over("free")?;
        let _inside = self.endpoint.enter().map_err(named)?;
        if plain::is_predefined(&self.endpoint.context) {
            return Err(named(Error::invalid("MPI_COMM_WORLD cannot be freed")));
        }
        if !self.endpoint.engine.is_only_handle(&self.endpoint) {
            let error = Error::invalid("clones or operations of the communicator exist");
            return Err(named(error));
        }
        plain.library.free(&self.endpoint.context).map_err(named)
    }
}
