//! The MPI library's life in this process: initialization, what it offers, and its end.

use std::os::raw::{c_int, c_void};
use std::ptr;
use std::sync::Arc;

use mpi::environment::{self, Threading, Universe};
use mpi::ffi;

use super::check::check;
use super::{Context, Mpi, to_number};
use crate::config::ThreadLevel;
use crate::error::{Error, Result};

/// The initialized MPI library.
pub(crate) struct Process {
    /// Finalizes MPI when dropped; `None` where somebody else initialized it and will finalize it.
    universe: Option<Universe>,
    thread_level: ThreadLevel,
    tag_limit: i32,
    /// Of this process in `MPI_COMM_WORLD`.
    rank: u64,
}

impl Process {
    /// Initializes MPI, or joins an MPI that is initialized already.
    pub(crate) fn init(level: ThreadLevel) -> Result<Process> {
        if environment::is_finalized() {
            return Err(Error::invalid(
                "MPI was finalized; it cannot be initialized again",
            ));
        }
        let wanted = match level {
            ThreadLevel::Single => Threading::Single,
            ThreadLevel::Funneled => Threading::Funneled,
            ThreadLevel::Serialized => Threading::Serialized,
            ThreadLevel::Multiple => Threading::Multiple,
        };
        let (universe, provided) = match environment::initialize_with_threading(wanted) {
            Some((universe, provided)) => (Some(universe), provided),
            None => (None, environment::threading_support()),
        };
        let thread_level = match provided {
            Threading::Single => ThreadLevel::Single,
            Threading::Funneled => ThreadLevel::Funneled,
            Threading::Serialized => ThreadLevel::Serialized,
            Threading::Multiple => ThreadLevel::Multiple,
        };
        Ok(Process {
            universe,
            thread_level,
            tag_limit: tag_limit()?,
            rank: own_rank()? as u64,
        })
    }

    /// The thread level that MPI grants.
    pub(crate) fn thread_level(&self) -> ThreadLevel {
        self.thread_level
    }

    /// The largest tag on `MPI_COMM_WORLD`.
    pub(super) fn tag_limit(&self) -> i32 {
        self.tag_limit
    }

    /// This process's rank in `MPI_COMM_WORLD`.
    pub(super) fn rank(&self) -> u64 {
        self.rank
    }

    /// The library's name and version in its own words, also where MPI is not initialized.
    pub(crate) fn library_version() -> String {
        let version = environment::library_version().unwrap_or_default();
        // Open MPI counts the NUL at its end.
        version.trim_end_matches('\0').trim().to_owned()
    }

    /// `MPI_COMM_WORLD`, to duplicate and not to be sent through.
    pub(crate) fn world(&self) -> Result<Context> {
        let mut size: c_int = 0;
        // SAFETY: MPI is initialized, and the variable is ours.
        let code = unsafe { ffi::MPI_Comm_size(ffi::RSMPI_COMM_WORLD, &mut size) };
        check(code, "MPI_Comm_size")?;
        Ok(Context {
            // SAFETY: a constant of the MPI library.
            handle: to_number(unsafe { ffi::RSMPI_COMM_WORLD }),
            rank: self.rank as usize,
            group: (0..usize::try_from(size).unwrap_or(1)).collect::<Arc<[usize]>>(),
            is_private: false,
        })
    }

    /// Calls `stop` when anybody finalizes MPI, before MPI itself is taken down.
    ///
    /// MPI standard, section 11.10.4: `MPI_Finalize` deletes the attributes of `MPI_COMM_SELF` first.
    pub(crate) fn on_finalize(&self, stop: impl FnOnce() + Send + 'static) -> Result<()> {
        let stop: Box<dyn FnOnce() + Send> = Box::new(stop);
        let value = Box::into_raw(Box::new(stop));
        let mut key: c_int = 0;
        // SAFETY: the callbacks have the types that MPI asks for; the value is given to exactly one
        // attribute, whose deletion gives it back.
        unsafe {
            let code =
                ffi::MPI_Comm_create_keyval(Some(copy_nothing), Some(stop_now), &mut key, ptr::null_mut());
            check(code, "MPI_Comm_create_keyval")?;
            let code = ffi::MPI_Comm_set_attr(ffi::RSMPI_COMM_SELF, key, value.cast::<c_void>());
            check(code, "MPI_Comm_set_attr")?;
            check(ffi::MPI_Comm_free_keyval(&mut key), "MPI_Comm_free_keyval")
        }
    }

    /// Whether MPI was finalized, by whomever.
    pub(crate) fn is_finalized() -> bool {
        environment::is_finalized()
    }

    /// Leaves MPI as it is: the process ends without `MPI_Finalize`, which would wait for messages
    /// that never come.
    pub(crate) fn leave(mut self) {
        std::mem::forget(self.universe.take());
    }

    /// A transport over this library.
    pub(crate) fn transport(&self) -> Mpi {
        Mpi::new(self)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Another owner may have finalized MPI; doing it twice is an error that ends the process.
        if Process::is_finalized() {
            std::mem::forget(self.universe.take());
        }
    }
}

fn own_rank() -> Result<c_int> {
    let mut rank: c_int = 0;
    // SAFETY: MPI is initialized, and the variable is ours.
    let code = unsafe { ffi::MPI_Comm_rank(ffi::RSMPI_COMM_WORLD, &mut rank) };
    check(code, "MPI_Comm_rank")?;
    Ok(rank)
}

fn tag_limit() -> Result<i32> {
    let mut value = ptr::null_mut::<c_int>();
    let mut found: c_int = 0;
    // SAFETY: MPI stores the address of an int that lives as long as the communicator.
    let code = unsafe {
        ffi::MPI_Comm_get_attr(
            ffi::RSMPI_COMM_WORLD,
            ffi::MPI_TAG_UB as c_int,
            (&raw mut value).cast::<c_void>(),
            &mut found,
        )
    };
    check(code, "MPI_Comm_get_attr")?;
    if found == 0 || value.is_null() {
        return Err(Error::unsupported(
            "this MPI does not say what its largest tag is",
        ));
    }
    // SAFETY: not null, and set by MPI as above.
    Ok(unsafe { *value })
}

unsafe extern "C" fn copy_nothing(
    _: ffi::MPI_Comm,
    _: c_int,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    copied: *mut c_int,
) -> c_int {
    // SAFETY: MPI passes a flag of its own.
    unsafe { *copied = 0 };
    ffi::MPI_SUCCESS as c_int
}

unsafe extern "C" fn stop_now(_: ffi::MPI_Comm, _: c_int, value: *mut c_void, _: *mut c_void) -> c_int {
    // SAFETY: the box of `on_finalize`, given back once, as an attribute is deleted once.
    let stop = unsafe { Box::from_raw(value.cast::<Box<dyn FnOnce() + Send>>()) };
    // A panic must not cross MPI's frames.
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(stop));
    ffi::MPI_SUCCESS as c_int
}
