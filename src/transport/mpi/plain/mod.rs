//! Bare messages of MPI with its own datatypes, and its collectives.

mod collective;
mod datatype;

use std::any::Any;
use std::mem::MaybeUninit;
use std::os::raw::{c_int, c_void};
use std::ptr;
use std::sync::Arc;

use mpi::ffi;
use mpi::raw::FromRaw;
use mpi::topology::{Communicator, SimpleCommunicator};

use super::check::check;
use super::{Context, Mpi, communicator, from_number, to_number};
use crate::error::{Error, Result};
use crate::transport::plain::{Call, Division, Elements, Found, Plain};
use crate::transport::{Posted, Ticket};

/// The bytes of a message, which `MPI_Get_count` cannot tell above 2 GiB.
fn bytes(status: &ffi::MPI_Status) -> Result<u64> {
    let mut bytes: ffi::MPI_Count = 0;
    // SAFETY: the status was filled by MPI, the count is ours.
    let code = unsafe { ffi::MPI_Get_elements_x(status, ffi::RSMPI_UINT8_T, &mut bytes) };
    check(code, "MPI_Get_elements_x")?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}

impl Elements {
    /// Those from the element `start` on.
    fn from(self, start: usize) -> Elements {
        let bytes = start * self.dtype.size();
        Elements {
            pointer: self.pointer.wrapping_add(bytes),
            count: self.count.saturating_sub(start),
            ..self
        }
    }

    /// Where MPI may write.
    fn to_write(self) -> *mut c_void {
        match self.count {
            // Empty buffers of Rust are at small addresses, and in Open MPI 1 is `MPI_IN_PLACE`.
            0 => ptr::without_provenance_mut(64),
            _ => self.pointer.cast(),
        }
    }

    /// Where MPI may read.
    fn to_read(self) -> *const c_void {
        match self.count {
            // Not where it writes: what is at the same place is in place to Open MPI.
            0 => ptr::without_provenance(128),
            _ => self.pointer.cast(),
        }
    }
}

/// An operation that MPI has started.
fn pending(request: ffi::MPI_Request) -> Posted {
    Posted::Pending(Ticket::new(to_number(request)))
}

/// The library that this process has initialized.
pub(crate) struct Library;

impl Plain for Library {
    unsafe fn isend(
        &self,
        context: &Context,
        dest: usize,
        tag: i32,
        elements: Elements,
        is_synchronous: bool,
    ) -> Result<Posted> {
        let units = datatype::units(&elements)?;
        let (start, name) = match is_synchronous {
            true => (
                ffi::MPI_Issend as unsafe extern "C" fn(_, _, _, _, _, _, _) -> _,
                "MPI_Issend",
            ),
            false => (ffi::MPI_Isend as _, "MPI_Isend"),
        };
        let mut request = MaybeUninit::uninit();
        // SAFETY: the caller promises the memory until completion; ranks come from a communicator and fit an int.
        unsafe {
            let code = start(
                elements.to_read(),
                units.count,
                units.handle,
                dest as c_int,
                tag,
                communicator(context),
                request.as_mut_ptr(),
            );
            check(code, name)?;
            Ok(pending(request.assume_init()))
        }
    }

    fn find(&self, context: &Context) -> Result<Option<Found>> {
        let mut found: c_int = 0;
        let mut message = MaybeUninit::<ffi::MPI_Message>::uninit();
        let mut status = MaybeUninit::<ffi::MPI_Status>::zeroed();
        // SAFETY: flag, message and status are ours.
        let code = unsafe {
            ffi::MPI_Improbe(
                ffi::RSMPI_ANY_SOURCE,
                ffi::RSMPI_ANY_TAG,
                communicator(context),
                &mut found,
                message.as_mut_ptr(),
                status.as_mut_ptr(),
            )
        };
        check(code, "MPI_Improbe")?;
        if found == 0 {
            return Ok(None);
        }
        // SAFETY: plain integers, zeroed before MPI filled them in.
        let status = unsafe { status.assume_init_ref() };
        Ok(Some(Found {
            source: usize::try_from(status.MPI_SOURCE).unwrap_or(0),
            tag: status.MPI_TAG,
            bytes: bytes(status)?,
            // SAFETY: MPI has set it.
            message: to_number(unsafe { message.assume_init() }),
        }))
    }

    unsafe fn receive(&self, found: &Found, elements: Elements) -> Result<Posted> {
        let units = datatype::units(&elements)?;
        // SAFETY: the message came from `find`, and is received once.
        let mut message = unsafe { from_number::<ffi::MPI_Message>(found.message) };
        let mut request = MaybeUninit::uninit();
        // SAFETY: the caller promises the memory until completion.
        unsafe {
            let code = ffi::MPI_Imrecv(
                elements.to_write(),
                units.count,
                units.handle,
                &mut message,
                request.as_mut_ptr(),
            );
            check(code, "MPI_Imrecv")?;
            Ok(pending(request.assume_init()))
        }
    }

    unsafe fn call(&self, context: &Context, call: &Call) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { collective::call(communicator(context), call) }
    }

    unsafe fn start(&self, context: &Context, call: &Call) -> Result<(Posted, Box<dyn Any + Send>)> {
        // SAFETY: the caller's promise.
        let (request, memory) = unsafe { collective::start(communicator(context), call) }?;
        Ok((pending(request), Box::new(memory)))
    }

    fn divide(&self, context: &Context, division: Division) -> Result<Option<Context>> {
        let parent = communicator(context);
        let mut made = MaybeUninit::uninit();
        // SAFETY: the parent is live, and the new communicator is ours.
        let made = unsafe {
            match division {
                Division::Same => check(ffi::MPI_Comm_dup(parent, made.as_mut_ptr()), "MPI_Comm_dup"),
                Division::Colors { color, key } => check(
                    ffi::MPI_Comm_split(
                        parent,
                        color.unwrap_or(ffi::RSMPI_UNDEFINED),
                        key,
                        made.as_mut_ptr(),
                    ),
                    "MPI_Comm_split",
                ),
                Division::Shared { key } => check(
                    ffi::MPI_Comm_split_type(
                        parent,
                        ffi::RSMPI_COMM_TYPE_SHARED,
                        key,
                        ffi::RSMPI_INFO_NULL,
                        made.as_mut_ptr(),
                    ),
                    "MPI_Comm_split_type",
                ),
                Division::Members { ranks } => {
                    let (mut all, mut some) = (MaybeUninit::uninit(), MaybeUninit::uninit());
                    check(ffi::MPI_Comm_group(parent, all.as_mut_ptr()), "MPI_Comm_group")?;
                    let mut all = all.assume_init();
                    let code =
                        ffi::MPI_Group_incl(all, ranks.len() as c_int, ranks.as_ptr(), some.as_mut_ptr());
                    check(code, "MPI_Group_incl")?;
                    let mut some = some.assume_init();
                    let code = ffi::MPI_Comm_create(parent, some, made.as_mut_ptr());
                    let created = check(code, "MPI_Comm_create");
                    check(ffi::MPI_Group_free(&mut all), "MPI_Group_free")?;
                    check(ffi::MPI_Group_free(&mut some), "MPI_Group_free")?;
                    created
                }
            }?;
            made.assume_init()
        };
        // SAFETY: a constant of the MPI library.
        if to_number(made) == to_number(unsafe { ffi::RSMPI_COMM_NULL }) {
            return Ok(None);
        }
        described(made).map(Some)
    }

    fn free(&self, context: &Context) -> Result<()> {
        super::free(context)
    }
}

/// Makes errors on a communicator return.
pub(crate) fn return_errors(context: &Context) -> Result<()> {
    Mpi::return_errors(communicator(context))
}

/// Whether a communicator is one of MPI's own.
pub(crate) fn is_predefined(context: &Context) -> bool {
    // SAFETY: constants of the MPI library.
    let own = unsafe { [ffi::RSMPI_COMM_WORLD, ffi::RSMPI_COMM_SELF] };
    own.map(to_number).contains(&context.handle)
}

/// A duplicate of a communicator of the bindings.
pub(crate) fn duplicate_of(of: &impl Communicator) -> Result<Context> {
    let (mut is_between_groups, mut made) = (0, MaybeUninit::uninit());
    // SAFETY: the communicator is borrowed, and so is live; the variables are ours.
    unsafe {
        let code = ffi::MPI_Comm_test_inter(of.as_raw(), &mut is_between_groups);
        check(code, "MPI_Comm_test_inter")?;
        if is_between_groups != 0 {
            return Err(Error::invalid("an intercommunicator, where one group is needed"));
        }
        check(ffi::MPI_Comm_dup(of.as_raw(), made.as_mut_ptr()), "MPI_Comm_dup")?;
        described(made.assume_init())
    }
}

/// Gives a communicator that nobody else has to the bindings.
pub(crate) fn into_mpi(context: Context) -> SimpleCommunicator {
    // SAFETY: a communicator of one group that `divide` has made, and that is not used here any more.
    unsafe { SimpleCommunicator::from_raw(communicator(&context)) }
}

/// A communicator with its ranks, whose errors are returned.
fn described(made: ffi::MPI_Comm) -> Result<Context> {
    Mpi::return_errors(made)?;
    let (mut rank, mut group, mut world) = (0, MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: the communicator is live, the variables are ours, and the groups are freed.
    unsafe {
        check(ffi::MPI_Comm_rank(made, &mut rank), "MPI_Comm_rank")?;
        check(ffi::MPI_Comm_group(made, group.as_mut_ptr()), "MPI_Comm_group")?;
        let code = ffi::MPI_Comm_group(ffi::RSMPI_COMM_WORLD, world.as_mut_ptr());
        check(code, "MPI_Comm_group")?;
        let (mut group, mut world) = (group.assume_init(), world.assume_init());
        let members = members(group, world);
        check(ffi::MPI_Group_free(&mut group), "MPI_Group_free")?;
        check(ffi::MPI_Group_free(&mut world), "MPI_Group_free")?;
        Ok(Context {
            handle: to_number(made),
            rank: usize::try_from(rank).unwrap_or(0),
            group: members?,
            is_private: false,
        })
    }
}

/// The ranks in the world of a group's members.
fn members(group: ffi::MPI_Group, world: ffi::MPI_Group) -> Result<Arc<[usize]>> {
    let mut size = 0;
    // SAFETY: both groups are live, and the variables are ours.
    unsafe {
        check(ffi::MPI_Group_size(group, &mut size), "MPI_Group_size")?;
        let ranks: Vec<c_int> = (0..size).collect();
        let mut there = vec![0; ranks.len()];
        let code = ffi::MPI_Group_translate_ranks(group, size, ranks.as_ptr(), world, there.as_mut_ptr());
        check(code, "MPI_Group_translate_ranks")?;
        let there = there.into_iter().map(usize::try_from);
        there
            .collect::<std::result::Result<_, _>>()
            .map_err(|_| Error::unsupported("a communicator with ranks that are not in MPI_COMM_WORLD"))
    }
}
