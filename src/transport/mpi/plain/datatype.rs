//! Element types and reductions as MPI names them.

use std::os::raw::{c_int, c_void};
use std::ptr;
use std::sync::{Mutex, PoisonError};

use libloading::os::unix::Library;
use mpi::ffi;

use super::super::check::check;
use super::super::{from_number, to_number};
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::op::Op;
use crate::transport::plain::Elements;

/// A predefined handle that the bindings do not have: in Open MPI the address of a symbol, in MPICH and its kin a
/// number.
///
/// # Safety
/// Both are handles of type `T`, as the headers of these libraries have them.
unsafe fn predefined<T: Copy>(symbol: &[u8], number: u64) -> T {
    // SAFETY: the symbol is an object, and only its address is taken.
    let found = unsafe { Library::this().get::<*mut u8>(symbol) };
    let handle = found.map_or(number, |symbol| symbol.into_raw() as u64);
    // SAFETY: the caller's promise.
    unsafe { from_number(handle) }
}

/// `MPI_IN_PLACE`, which the bindings do not have.
pub(super) fn in_place() -> *const c_void {
    // SAFETY: the symbol is an object of Open MPI's, and not touched.
    let is_open_mpi = unsafe { Library::this().get::<*mut u8>(b"ompi_mpi_comm_world\0") }.is_ok();
    // In Open MPI it is the address 1, in MPICH and its kin the last one.
    ptr::without_provenance(if is_open_mpi { 1 } else { usize::MAX })
}

/// What elements of a type are moved as.
pub(super) fn datatype(dtype: Dtype) -> Result<ffi::MPI_Datatype> {
    // SAFETY: constants of the MPI library.
    Ok(unsafe {
        match dtype {
            Dtype::I8 => ffi::RSMPI_INT8_T,
            Dtype::I16 => ffi::RSMPI_INT16_T,
            Dtype::I32 => ffi::RSMPI_INT32_T,
            Dtype::I64 => ffi::RSMPI_INT64_T,
            Dtype::U8 => ffi::RSMPI_UINT8_T,
            // MPI has no floats of 16 bits.
            Dtype::U16 | Dtype::F16 | Dtype::Bf16 => ffi::RSMPI_UINT16_T,
            Dtype::U32 => ffi::RSMPI_UINT32_T,
            Dtype::U64 => ffi::RSMPI_UINT64_T,
            Dtype::F32 => ffi::RSMPI_FLOAT,
            Dtype::F64 => ffi::RSMPI_DOUBLE,
            Dtype::C32 => ffi::RSMPI_FLOAT_COMPLEX,
            Dtype::C64 => ffi::RSMPI_DOUBLE_COMPLEX,
            Dtype::Bool => ffi::RSMPI_C_BOOL,
            Dtype::F32Loc => predefined(b"ompi_mpi_float_int\0", 0x8c00_0000),
            Dtype::I32Loc => predefined(b"ompi_mpi_2int\0", 0x4c00_0816),
            // MPI's other pairs have padding, or indices of another width.
            Dtype::U32Loc => return pair(Dtype::U32),
            Dtype::I64Loc => return pair(Dtype::I64),
            Dtype::U64Loc | Dtype::F64Loc => return pair(Dtype::U64),
        }
    })
}

/// Two elements of a type as one, made when it is first needed and kept.
fn pair(of: Dtype) -> Result<ffi::MPI_Datatype> {
    static PAIRS: Mutex<Vec<(Dtype, u64)>> = Mutex::new(Vec::new());
    let mut pairs = PAIRS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, known)) = pairs.iter().find(|(dtype, _)| *dtype == of) {
        // SAFETY: a datatype, put there below.
        return Ok(unsafe { from_number(*known) });
    }
    let mut both = contiguous(2, datatype(of)?)?;
    // SAFETY: just made, and ours.
    check(unsafe { ffi::MPI_Type_commit(&mut both) }, "MPI_Type_commit")?;
    pairs.push((of, to_number(both)));
    Ok(both)
}

fn contiguous(count: usize, of: ffi::MPI_Datatype) -> Result<ffi::MPI_Datatype> {
    let mut all = of;
    // SAFETY: the type is one of MPI's or of ours; the new one is ours.
    let code = unsafe { ffi::MPI_Type_contiguous(count as c_int, of, &mut all) };
    check(code, "MPI_Type_contiguous").map(|()| all)
}

/// The type and number by which elements are moved.
pub(super) fn units(elements: &Elements) -> Result<Units> {
    let handle = datatype(elements.dtype)?;
    match c_int::try_from(elements.count) {
        Ok(count) => Ok(Units {
            handle,
            count,
            is_own: false,
        }),
        Err(_) => Ok(Units {
            handle: one_of(handle, elements.count)?,
            count: 1,
            is_own: true,
        }),
    }
}

/// How MPI counts the elements of an operation.
pub(super) struct Units {
    pub handle: ffi::MPI_Datatype,
    pub count: c_int,
    /// Made for one operation.
    is_own: bool,
}

impl Drop for Units {
    fn drop(&mut self) {
        if self.is_own {
            // SAFETY: ours; MPI keeps it until operations that use it are over.
            unsafe { ffi::MPI_Type_free(&mut self.handle) };
        }
    }
}

/// Elements of which a block of a large type has so many.
const BLOCK: usize = 1 << 30;

/// A type of more elements than an `int` counts.
fn one_of(element: ffi::MPI_Datatype, count: usize) -> Result<ffi::MPI_Datatype> {
    let (mut lower, mut extent) = (0, 0);
    // SAFETY: the type is live, and the variables are ours.
    let code = unsafe { ffi::MPI_Type_get_extent(element, &mut lower, &mut extent) };
    check(code, "MPI_Type_get_extent")?;
    let mut block = contiguous(BLOCK, element)?;
    let mut blocks = contiguous(count / BLOCK, block)?;
    let mut rest = contiguous(count % BLOCK, element)?;
    let behind = (count / BLOCK * BLOCK) as ffi::MPI_Aint * extent;
    let mut all = element;
    // SAFETY: two types that are live, one behind the other; MPI keeps the parts as long as the whole needs them.
    unsafe {
        let code = ffi::MPI_Type_create_struct(
            2,
            [1, 1].as_ptr(),
            [0, behind].as_ptr(),
            [blocks, rest].as_ptr(),
            &mut all,
        );
        check(code, "MPI_Type_create_struct")?;
        check(ffi::MPI_Type_commit(&mut all), "MPI_Type_commit")?;
        for part in [&mut block, &mut blocks, &mut rest] {
            check(ffi::MPI_Type_free(part), "MPI_Type_free")?;
        }
    }
    Ok(all)
}

/// Elements wherever they are, as one unit at MPI's origin of addresses.
pub(super) fn at_address(elements: &Elements) -> Result<Units> {
    let units = units(elements)?;
    let mut address = 0;
    let mut placed = units.handle;
    // SAFETY: the types are live, and the variables are ours.
    unsafe {
        check(
            ffi::MPI_Get_address(elements.to_read(), &mut address),
            "MPI_Get_address",
        )?;
        let code = ffi::MPI_Type_create_hindexed(1, &units.count, &address, units.handle, &mut placed);
        check(code, "MPI_Type_create_hindexed")?;
        check(ffi::MPI_Type_commit(&mut placed), "MPI_Type_commit")?;
    }
    Ok(Units {
        handle: placed,
        count: 1,
        is_own: true,
    })
}

/// MPI's reduction, for the types that it is defined on.
///
/// MPI standard, section 6.9.2.
pub(super) fn reduction(op: Op, dtype: Dtype) -> Result<ffi::MPI_Op> {
    let unsupported = || {
        Err(Error::unsupported(format!(
            "MPI has no {op} of elements of type {dtype}, and a plain communicator has only MPI's reductions"
        )))
    };
    op.check(dtype)?;
    let is_a_pair_of_mpi = matches!(dtype, Dtype::F32Loc | Dtype::I32Loc);
    let is_half = matches!(dtype, Dtype::F16 | Dtype::Bf16);
    let is_float = matches!(dtype, Dtype::F32 | Dtype::F64);
    // SAFETY: constants of the MPI library.
    Ok(unsafe {
        match op {
            _ if is_half => return unsupported(),
            Op::Sum => ffi::RSMPI_SUM,
            Op::Prod => ffi::RSMPI_PROD,
            // Of truth values these are the logical ones.
            Op::Min | Op::BitAnd | Op::LogicalAnd if dtype == Dtype::Bool => ffi::RSMPI_LAND,
            Op::Max | Op::BitOr | Op::LogicalOr if dtype == Dtype::Bool => ffi::RSMPI_LOR,
            Op::BitXor | Op::LogicalXor if dtype == Dtype::Bool => ffi::RSMPI_LXOR,
            Op::Min => ffi::RSMPI_MIN,
            Op::Max => ffi::RSMPI_MAX,
            Op::LogicalAnd | Op::LogicalOr | Op::LogicalXor if is_float => return unsupported(),
            Op::LogicalAnd => ffi::RSMPI_LAND,
            Op::LogicalOr => ffi::RSMPI_LOR,
            Op::LogicalXor => ffi::RSMPI_LXOR,
            Op::BitAnd => ffi::RSMPI_BAND,
            Op::BitOr => ffi::RSMPI_BOR,
            Op::BitXor => ffi::RSMPI_BXOR,
            Op::MinLoc if is_a_pair_of_mpi => predefined(b"ompi_mpi_op_minloc\0", 0x5800_000b),
            Op::MaxLoc if is_a_pair_of_mpi => predefined(b"ompi_mpi_op_maxloc\0", 0x5800_000c),
            Op::MinLoc | Op::MaxLoc | Op::Avg => return unsupported(),
        }
    })
}
