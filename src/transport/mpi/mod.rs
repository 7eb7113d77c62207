//! Ranks as processes: messages go through the MPI library, every return code is looked at, and no call waits for other
//! ranks but those that MPI has in no other form: `MPI_Comm_split` and its relatives, `MPI_Comm_create_group`,
//! `MPI_Comm_free`, `MPI_Init_thread` and `MPI_Finalize`. Plain communicators also need `MPI_Comm_dup`,
//! `MPI_Comm_create` and the blocking collectives, which MPI does not match with non-blocking ones.

mod check;
#[cfg(feature = "cuda")]
mod claim;
#[cfg(feature = "cuda")]
pub(crate) mod node;
pub(crate) mod plain;
mod process;

use std::mem::{MaybeUninit, size_of};
use std::os::raw::{c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{ptr, thread};

use mpi::ffi;

#[cfg(feature = "cuda")]
use super::Library;
use super::plain::Plain;
use super::{Context, Creation, Delivery, Posted, Split, Tested, Ticket, Transport};
use crate::error::{Error, Result};
use check::check;

pub(crate) use process::Process;

/// How often a cancelled receive is tested before it counts as matched: some MPIs finish the
/// cancellation of a receive inside later calls.
const CANCEL_TESTS: usize = 1000;

/// How many communicators the same rank may let others found at the same time.
const FOUNDINGS: u64 = 64;

/// Messages between processes.
pub(crate) struct Mpi {
    tag_limit: i32,
    #[cfg(feature = "cuda")]
    library: Library,
    /// Half of the numbers that were given out, those of this rank.
    fresh: AtomicU64,
}

/// A duplication of a communicator under way; MPI writes `communicator` when it is done.
struct Duplication {
    request: ffi::MPI_Request,
    communicator: ffi::MPI_Comm,
}

/// An MPI handle, a pointer or an integer depending on the library, as the number in a [`Ticket`]
/// or a [`Context`].
fn to_number<T: Copy>(handle: T) -> u64 {
    const { assert!(size_of::<T>() <= size_of::<u64>()) };
    let mut number = 0u64;
    // SAFETY: a handle has no more bytes than the number, and any bytes make a number.
    unsafe {
        ptr::copy_nonoverlapping(
            (&raw const handle).cast::<u8>(),
            (&raw mut number).cast(),
            size_of::<T>(),
        )
    };
    number
}

/// The handle behind a number.
///
/// # Safety
/// `number` came from [`to_number`] of the same type.
unsafe fn from_number<T: Copy>(number: u64) -> T {
    let mut handle = MaybeUninit::<T>::uninit();
    // SAFETY: copies the bytes back that `to_number` took from a value of this type.
    unsafe {
        ptr::copy_nonoverlapping(
            (&raw const number).cast::<u8>(),
            handle.as_mut_ptr().cast(),
            size_of::<T>(),
        );
        handle.assume_init()
    }
}

fn communicator(context: &Context) -> ffi::MPI_Comm {
    // SAFETY: the handle of a context of this transport is a communicator.
    unsafe { from_number(context.handle) }
}

fn request(ticket: &Ticket) -> ffi::MPI_Request {
    // SAFETY: the number of a ticket of this transport is a request.
    unsafe { from_number(ticket.number) }
}

/// Frees a communicator of ours that every rank has given up.
fn free(context: &Context) -> Result<()> {
    let mut communicator = communicator(context);
    // SAFETY: one of our own communicators, given up on every rank.
    check(unsafe { ffi::MPI_Comm_free(&mut communicator) }, "MPI_Comm_free")
}

impl Mpi {
    /// A transport for the process that `process` initialized.
    pub(crate) fn new(process: &Process) -> Mpi {
        Mpi {
            tag_limit: process.tag_limit(),
            #[cfg(feature = "cuda")]
            library: Library {
                version: Process::library_version(),
                says_cuda_aware: claim::is_cuda_aware(),
            },
            fresh: AtomicU64::new(process.rank() << 32 | 1),
        }
    }

    fn delivery(status: &ffi::MPI_Status) -> Result<Delivery> {
        let mut bytes: c_int = 0;
        // SAFETY: the status was filled by MPI, the count is ours.
        let code = unsafe { ffi::MPI_Get_count(status, ffi::RSMPI_UINT8_T, &mut bytes) };
        check(code, "MPI_Get_count")?;
        Ok(Delivery {
            source: usize::try_from(status.MPI_SOURCE).unwrap_or(0),
            tag: status.MPI_TAG,
            bytes: usize::try_from(bytes).unwrap_or(0),
        })
    }

    /// Tests a request; the status is what MPI filled in if it is done.
    #[inline]
    fn test_request(request: &mut ffi::MPI_Request) -> Result<Option<ffi::MPI_Status>> {
        let mut done: c_int = 0;
        let mut status = MaybeUninit::<ffi::MPI_Status>::zeroed();
        // SAFETY: the request is live, as its ticket was not used up; flag and status are ours.
        let code = unsafe { ffi::MPI_Test(request, &mut done, status.as_mut_ptr()) };
        check(code, "MPI_Test")?;
        // SAFETY: plain integers, zeroed before MPI filled them in.
        Ok((done != 0).then(|| unsafe { status.assume_init() }))
    }

    /// Tests the request of a message.
    #[inline]
    fn test_message(request: &mut ffi::MPI_Request) -> Result<Tested> {
        let Some(status) = Mpi::test_request(request)? else {
            return Ok(Tested::Pending);
        };
        let mut cancelled: c_int = 0;
        // SAFETY: the status was filled by MPI.
        let code = unsafe { ffi::MPI_Test_cancelled(&status, &mut cancelled) };
        check(code, "MPI_Test_cancelled")?;
        match cancelled {
            0 => Mpi::delivery(&status).map(Tested::Completed),
            _ => Ok(Tested::Released),
        }
    }

    /// Cancels the request of a message; MPI does not promise to cancel sends.
    fn cancel(request: &mut ffi::MPI_Request) -> Tested {
        // SAFETY: the request is live.
        let code = unsafe { ffi::MPI_Cancel(request) };
        if code != ffi::MPI_SUCCESS as c_int {
            return Tested::Pending;
        }
        for _ in 0..CANCEL_TESTS {
            match Mpi::test_message(request) {
                Ok(Tested::Pending) => {}
                Ok(over) => return over,
                Err(_) if Mpi::is_pending(request) => {}
                Err(_) => return Tested::Released,
            }
        }
        Tested::Pending
    }

    /// Whether the request of a failed test goes on, as receives do that a living rank could still match
    /// (`MPIX_ERR_PROC_FAILED_PENDING`).
    fn is_pending(request: &ffi::MPI_Request) -> bool {
        // SAFETY: a constant of the MPI library.
        let null = to_number(unsafe { ffi::RSMPI_REQUEST_NULL });
        to_number(*request) != null
    }

    /// Makes errors on a communicator of ours return.
    fn return_errors(communicator: ffi::MPI_Comm) -> Result<()> {
        // SAFETY: the communicator is live; the error handler is one of MPI's own.
        let code = unsafe { ffi::MPI_Comm_set_errhandler(communicator, ffi::RSMPI_ERRORS_RETURN) };
        check(code, "MPI_Comm_set_errhandler")
    }
}

impl Transport for Mpi {
    fn tag_limit(&self) -> i32 {
        self.tag_limit
    }

    #[cfg(feature = "cuda")]
    fn library(&self) -> Option<Library> {
        Some(self.library.clone())
    }

    fn plain(&self) -> Option<Arc<dyn Plain>> {
        Some(Arc::new(plain::Library))
    }

    unsafe fn isend(
        &self,
        context: &Context,
        dest: usize,
        tag: i32,
        pointer: *const u8,
        bytes: usize,
    ) -> Result<Posted> {
        let mut request = MaybeUninit::uninit();
        // SAFETY: the caller promises the memory until completion; `bytes` is at most LARGEST_MESSAGE
        // and ranks come from a communicator, so both fit an int.
        let code = unsafe {
            ffi::MPI_Isend(
                pointer.cast::<c_void>(),
                bytes as c_int,
                ffi::RSMPI_UINT8_T,
                dest as c_int,
                tag,
                communicator(context),
                request.as_mut_ptr(),
            )
        };
        check(code, "MPI_Isend")?;
        // SAFETY: MPI has set it.
        Ok(Posted::Pending(Ticket::new(to_number(unsafe {
            request.assume_init()
        }))))
    }

    unsafe fn irecv(
        &self,
        context: &Context,
        source: Option<usize>,
        tag: Option<i32>,
        pointer: *mut u8,
        capacity: usize,
    ) -> Result<Posted> {
        let mut request = MaybeUninit::uninit();
        // SAFETY: as for `isend`.
        let code = unsafe {
            ffi::MPI_Irecv(
                pointer.cast::<c_void>(),
                capacity as c_int,
                ffi::RSMPI_UINT8_T,
                source.map_or(ffi::RSMPI_ANY_SOURCE, |rank| rank as c_int),
                tag.unwrap_or(ffi::RSMPI_ANY_TAG),
                communicator(context),
                request.as_mut_ptr(),
            )
        };
        check(code, "MPI_Irecv")?;
        // SAFETY: MPI has set it.
        Ok(Posted::Pending(Ticket::new(to_number(unsafe {
            request.assume_init()
        }))))
    }

    unsafe fn receive_unexpected(
        &self,
        context: &Context,
        pointer: *mut u8,
        capacity: usize,
    ) -> Result<Option<Posted>> {
        let mut found: c_int = 0;
        let mut message = MaybeUninit::uninit();
        // SAFETY: flag and message are ours; no status is asked for.
        let code = unsafe {
            ffi::MPI_Improbe(
                ffi::RSMPI_ANY_SOURCE,
                ffi::RSMPI_ANY_TAG,
                communicator(context),
                &mut found,
                message.as_mut_ptr(),
                ffi::RSMPI_STATUS_IGNORE,
            )
        };
        check(code, "MPI_Improbe")?;
        if found == 0 {
            return Ok(None);
        }
        let mut request = MaybeUninit::uninit();
        // SAFETY: the message was found just now and is received once; memory as for `irecv`.
        let code = unsafe {
            ffi::MPI_Imrecv(
                pointer.cast::<c_void>(),
                capacity as c_int,
                ffi::RSMPI_UINT8_T,
                message.as_mut_ptr(),
                request.as_mut_ptr(),
            )
        };
        check(code, "MPI_Imrecv")?;
        // SAFETY: MPI has set it.
        Ok(Some(Posted::Pending(Ticket::new(to_number(unsafe {
            request.assume_init()
        })))))
    }

    #[inline]
    fn test(&self, ticket: &Ticket) -> Result<Tested> {
        let mut request = request(ticket);
        let tested = Mpi::test_message(&mut request);
        match &tested {
            Err(_) if Mpi::is_pending(&request) => match Mpi::cancel(&mut request) {
                Tested::Released => tested,
                // The error comes again, or is that of a message taken back, when MPI lets go.
                other => Ok(other),
            },
            _ => tested,
        }
    }

    fn abandon(&self, ticket: &Ticket) -> Tested {
        let mut request = request(ticket);
        match Mpi::test_message(&mut request) {
            Ok(Tested::Pending) => Mpi::cancel(&mut request),
            Ok(over) => over,
            Err(_) if Mpi::is_pending(&request) => Mpi::cancel(&mut request),
            Err(_) => Tested::Released,
        }
    }

    fn fresh(&self) -> u64 {
        2 * self.fresh.fetch_add(1, Ordering::Relaxed)
    }

    fn duplicate(&self, parent: &Context, _agreed: u64) -> Result<Creation> {
        let mut duplication = Box::new(Duplication {
            // SAFETY: constants of the MPI library.
            request: unsafe { ffi::RSMPI_REQUEST_NULL },
            // SAFETY: as above.
            communicator: unsafe { ffi::RSMPI_COMM_NULL },
        });
        // SAFETY: the box keeps the place where MPI puts the new communicator until `created` has
        // seen the request complete; if that never happens, the box is leaked.
        let code = unsafe {
            ffi::MPI_Comm_idup(
                communicator(parent),
                &mut duplication.communicator,
                &mut duplication.request,
            )
        };
        check(code, "MPI_Comm_idup")?;
        Ok(Creation::Pending(Ticket::new(Box::into_raw(duplication) as u64)))
    }

    fn created(&self, ticket: &Ticket) -> Result<Option<u64>> {
        let pointer = ticket.number as *mut Duplication;
        // SAFETY: made by `duplicate`, and not used up yet.
        let duplication = unsafe { &mut *pointer };
        if Mpi::test_request(&mut duplication.request)?.is_none() {
            return Ok(None);
        }
        // SAFETY: the request is complete, MPI no longer knows the address.
        let duplication = unsafe { Box::from_raw(pointer) };
        Mpi::return_errors(duplication.communicator)?;
        Ok(Some(to_number(duplication.communicator)))
    }

    fn split(&self, parent: &Context, split: &Split) -> Result<Option<u64>> {
        // SAFETY: a constant of the MPI library.
        let undefined = unsafe { ffi::RSMPI_UNDEFINED };
        let color = match split.part {
            Some(part) => c_int::try_from(part).map_err(|_| Error::invalid("more than 2^31 parts"))?,
            None => undefined,
        };
        let mut part = MaybeUninit::uninit();
        // SAFETY: the parent is live, and all its ranks have agreed to be here.
        let code = unsafe { ffi::MPI_Comm_split(communicator(parent), color, split.key, part.as_mut_ptr()) };
        check(code, "MPI_Comm_split")?;
        if split.part.is_none() {
            return Ok(None);
        }
        // SAFETY: MPI has set it.
        let part = unsafe { part.assume_init() };
        Mpi::return_errors(part)?;
        Ok(Some(to_number(part)))
    }

    fn create(&self, parent: &Context, members: &[usize], agreed: u64) -> Result<u64> {
        let ranks: Vec<c_int> = members.iter().map(|&rank| rank as c_int).collect();
        // MPI tells concurrent calls of one process apart by their tags: here by the rank that chose the number, and
        // by how many it has chosen.
        let (rank, number) = (agreed >> 33, agreed >> 1);
        let tag = (rank * FOUNDINGS + number % FOUNDINGS) % (self.tag_limit as u64 + 1);
        let mut created = MaybeUninit::uninit();
        // SAFETY: the parent is live, the ranks are of it, all of them are here, and both groups are freed.
        unsafe {
            let mut all = MaybeUninit::uninit();
            let code = ffi::MPI_Comm_group(communicator(parent), all.as_mut_ptr());
            check(code, "MPI_Comm_group")?;
            let mut all = all.assume_init();
            let mut some = MaybeUninit::uninit();
            let code = ffi::MPI_Group_incl(all, ranks.len() as c_int, ranks.as_ptr(), some.as_mut_ptr());
            check(ffi::MPI_Group_free(&mut all), "MPI_Group_free")?;
            check(code, "MPI_Group_incl")?;
            let mut some = some.assume_init();
            let code =
                ffi::MPI_Comm_create_group(communicator(parent), some, tag as c_int, created.as_mut_ptr());
            check(ffi::MPI_Group_free(&mut some), "MPI_Group_free")?;
            check(code, "MPI_Comm_create_group")?;
        }
        // SAFETY: MPI has set it.
        let created = unsafe { created.assume_init() };
        Mpi::return_errors(created)?;
        Ok(to_number(created))
    }

    fn free(&self, context: &Context) -> Result<()> {
        free(context)
    }

    fn idle(&self, _rounds: u32) {
        // MPI has no call that sleeps until something arrives.
        thread::yield_now();
    }

    fn wake(&self) {}

    fn lost(&self) -> Option<Error> {
        None
    }

    fn abort(&self) -> ! {
        // SAFETY: has no conditions but that MPI is initialized.
        unsafe { ffi::MPI_Abort(ffi::RSMPI_COMM_WORLD, 1) };
        std::process::abort()
    }
}
