//! `cuMemcpy…`: copies.

use std::ffi::{c_int, c_uint, c_void};

use super::{call, take};
use crate::driver::context::Context;
use crate::driver::copy::{Area, Claim, Shape, Until, copy};
use crate::driver::faults::{self, Class};
use crate::driver::status::{Result, Status};
use crate::driver::stream;

fn row(target: (u64, Claim), source: (u64, Claim), bytes: usize, stream: usize, until: Until) -> Result {
    let stream = stream::of(stream)?;
    faults::check(Class::Copy)?;
    let area = |(address, claim)| (Area { address, pitch: 0 }, claim);
    copy(&stream, area(target), area(source), Shape::row(bytes), until)
}

macro_rules! copies {
    ($($now:ident $later:ident(
        $target:ident: $to:ty as $to_claim:ident, $source:ident: $from:ty as $from_claim:ident
    );)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $now($target: $to, $source: $from, bytes: usize) -> c_int {
            let (to, from) = (($target as u64, Claim::$to_claim), ($source as u64, Claim::$from_claim));
            call(|| row(to, from, bytes, 0, Until::Done))
        }

        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $later($target: $to, $source: $from, bytes: usize, stream: usize) -> c_int {
            let (to, from) = (($target as u64, Claim::$to_claim), ($source as u64, Claim::$from_claim));
            call(|| row(to, from, bytes, stream, Until::Submitted))
        }
    )*};
}

copies! {
    cuMemcpyHtoD_v2 cuMemcpyHtoDAsync_v2(target: u64 as Device, source: *const c_void as Any);
    cuMemcpyDtoH_v2 cuMemcpyDtoHAsync_v2(target: *mut c_void as Any, source: u64 as Device);
    cuMemcpyDtoD_v2 cuMemcpyDtoDAsync_v2(target: u64 as Device, source: u64 as Device);
    cuMemcpy cuMemcpyAsync(target: u64 as Any, source: u64 as Any);
}

/// Copies to a device in the order of a stream, as a call that names no stream does.
pub unsafe fn upload(target: u64, source: *const c_void, bytes: usize, stream: usize) -> c_int {
    call(|| {
        row(
            (target, Claim::Device),
            (source as u64, Claim::Any),
            bytes,
            stream,
            Until::Done,
        )
    })
}

/// Copies from a device in the order of a stream, as a call that names no stream does.
pub unsafe fn download(target: *mut c_void, source: u64, bytes: usize, stream: usize) -> c_int {
    call(|| {
        row(
            (target as u64, Claim::Any),
            (source, Claim::Device),
            bytes,
            stream,
            Until::Done,
        )
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyPeer(
    target: u64,
    target_context: usize,
    source: u64,
    source_context: usize,
    bytes: usize,
) -> c_int {
    call(|| {
        Context::of(target_context)?;
        Context::of(source_context)?;
        row(
            (target, Claim::Device),
            (source, Claim::Device),
            bytes,
            0,
            Until::Done,
        )
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyPeerAsync(
    target: u64,
    target_context: usize,
    source: u64,
    source_context: usize,
    bytes: usize,
    stream: usize,
) -> c_int {
    call(|| {
        Context::of(target_context)?;
        Context::of(source_context)?;
        row(
            (target, Claim::Device),
            (source, Claim::Device),
            bytes,
            stream,
            Until::Submitted,
        )
    })
}

/// One side of a `CUDA_MEMCPY2D`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Side {
    x_in_bytes: usize,
    y: usize,
    memory_type: c_uint,
    host: u64,
    device: u64,
    array: usize,
    pitch: usize,
}

/// `CUDA_MEMCPY2D`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Rectangle {
    source: Side,
    target: Side,
    width_in_bytes: usize,
    height: usize,
}

impl Side {
    fn area(&self, width: usize) -> Result<(Area, Claim)> {
        const HOST: c_uint = 1;
        const DEVICE: c_uint = 2;
        const UNIFIED: c_uint = 4;
        let (address, claim) = match self.memory_type {
            HOST => (self.host, Claim::Any),
            DEVICE => (self.device, Claim::Device),
            UNIFIED => (self.device, Claim::Any),
            _ => return Err(Status::ERROR_NOT_SUPPORTED),
        };
        let pitch = if self.pitch == 0 { width } else { self.pitch };
        let offset = self
            .y
            .checked_mul(pitch)
            .and_then(|rows| rows.checked_add(self.x_in_bytes));
        let address = offset.and_then(|offset| address.checked_add(offset as u64));
        let address = address.ok_or(Status::ERROR_INVALID_VALUE)?;
        Ok((
            Area {
                address,
                pitch: pitch as u64,
            },
            claim,
        ))
    }
}

/// # Safety
/// The pointer is null or valid for reads.
unsafe fn rectangle(rectangle: *const Rectangle, stream: usize, until: Until) -> Result {
    let stream = stream::of(stream)?;
    faults::check(Class::Copy)?;
    // SAFETY: as the caller says.
    let Rectangle {
        source,
        target,
        width_in_bytes,
        height,
    } = unsafe { take(rectangle) }?;
    let shape = Shape {
        width: width_in_bytes as u64,
        height: height as u64,
    };
    copy(
        &stream,
        target.area(width_in_bytes)?,
        source.area(width_in_bytes)?,
        shape,
        until,
    )
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemcpy2D_v2(what: *const Rectangle) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { rectangle(what, 0, Until::Done) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemcpy2DUnaligned_v2(what: *const Rectangle) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { rectangle(what, 0, Until::Done) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemcpy2DAsync_v2(what: *const Rectangle, stream: usize) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { rectangle(what, stream, Until::Submitted) })
}
