//! `cuMemset…`: fills.

use std::ffi::{c_int, c_uchar, c_uint, c_ushort};

use super::call;
use crate::driver::copy::{Area, Shape, Until, fill};
use crate::driver::faults::{self, Class};
use crate::driver::status::{Result, Status};
use crate::driver::stream;

/// The count and the width are in elements.
fn set(
    address: u64,
    pitch: usize,
    value: &[u8],
    (width, height): (usize, usize),
    stream: usize,
    until: Until,
) -> Result {
    let stream = stream::of(stream)?;
    faults::check(Class::Memset)?;
    let width = width
        .checked_mul(value.len())
        .ok_or(Status::ERROR_INVALID_VALUE)?;
    let shape = Shape {
        width: width as u64,
        height: height as u64,
    };
    fill(
        &stream,
        Area {
            address,
            pitch: pitch as u64,
        },
        shape,
        value,
        until,
    )
}

macro_rules! fills {
    ($($value:ty: $row:ident $row_later:ident $rows:ident $rows_later:ident;)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $row(address: u64, value: $value, count: usize) -> c_int {
            call(|| set(address, 0, &value.to_ne_bytes(), (count, 1), 0, Until::Done))
        }

        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $row_later(
            address: u64,
            value: $value,
            count: usize,
            stream: usize,
        ) -> c_int {
            call(|| set(address, 0, &value.to_ne_bytes(), (count, 1), stream, Until::Submitted))
        }

        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $rows(
            address: u64,
            pitch: usize,
            value: $value,
            width: usize,
            height: usize,
        ) -> c_int {
            call(|| set(address, pitch, &value.to_ne_bytes(), (width, height), 0, Until::Done))
        }

        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $rows_later(
            address: u64,
            pitch: usize,
            value: $value,
            width: usize,
            height: usize,
            stream: usize,
        ) -> c_int {
            call(|| set(address, pitch, &value.to_ne_bytes(), (width, height), stream, Until::Submitted))
        }
    )*};
}

fills! {
    c_uchar: cuMemsetD8_v2 cuMemsetD8Async cuMemsetD2D8_v2 cuMemsetD2D8Async;
    c_ushort: cuMemsetD16_v2 cuMemsetD16Async cuMemsetD2D16_v2 cuMemsetD2D16Async;
    c_uint: cuMemsetD32_v2 cuMemsetD32Async cuMemsetD2D32_v2 cuMemsetD2D32Async;
}
