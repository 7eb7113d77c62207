//! The buffers of a case on a rank of warpcomm, in the memory that the case wants.

use std::sync::Arc;

use bytemuck::{CheckedBitPattern, NoUninit};
use warpcomm::cudarc::driver::{
    CudaContext, CudaSlice, CudaStream, DeviceRepr, PinnedHostSlice, ValidAsZeroBits, sys,
};
use warpcomm::{Buffer, BufferMut, Element};

use crate::case::{Case, Place};
use crate::contents::{UNTOUCHED, any_bytes, numbers};

/// An element that can be in every memory.
pub trait Value: Element + NoUninit + CheckedBitPattern + DeviceRepr + ValidAsZeroBits {}
impl<T: Element + NoUninit + CheckedBitPattern + DeviceRepr + ValidAsZeroBits> Value for T {}

/// Evaluates an expression with the type of a name bound to another name.
macro_rules! with_type {
    ($dtype:expr, $type:ident => $body:expr) => {
        with_type!(@ $dtype, $type, $body,
            I8 i8, I16 i16, I32 i32, I64 i64, U8 u8, U16 u16, U32 u32, U64 u64, F16 half::f16, Bf16 half::bf16,
            F32 f32, F64 f64, C32 warpcomm::Complex<f32>, C64 warpcomm::Complex<f64>, Bool bool,
            F32Loc warpcomm::Located<f32, u32>, F64Loc warpcomm::Located<f64, u64>,
            I32Loc warpcomm::Located<i32, u32>, I64Loc warpcomm::Located<i64, u64>,
            U32Loc warpcomm::Located<u32, u32>, U64Loc warpcomm::Located<u64, u64>)
    };
    (@ $dtype:expr, $type:ident, $body:expr, $($variant:ident $element:ty),*) => {
        match $dtype {
            $(warpcomm::Dtype::$variant => {
                type $type = $element;
                $body
            })*
            other => panic!("{other}"),
        }
    };
}

/// Elements somewhere.
pub enum Held<T> {
    Host(Vec<T>),
    Pinned(PinnedHostSlice<T>),
    Device(CudaSlice<T>),
}

/// Evaluates an expression for whichever buffer it is.
macro_rules! owned {
    ($held:expr, $buffer:ident => $body:expr) => {
        match $held {
            crate::buffers::Held::Host($buffer) => $body,
            crate::buffers::Held::Pinned($buffer) => $body,
            crate::buffers::Held::Device($buffer) => $body,
        }
    };
}

macro_rules! from_buffers {
    ($($variant:ident $buffer:ty;)*) => {$(
        impl<T> From<$buffer> for Held<T> {
            fn from(buffer: $buffer) -> Held<T> {
                Held::$variant(buffer)
            }
        }
    )*};
}

from_buffers! {
    Host Vec<T>;
    Pinned PinnedHostSlice<T>;
    Device CudaSlice<T>;
}

/// The elements of a buffer, as bytes.
pub trait Bytes {
    fn bytes(&self) -> Vec<u8>;
}

fn bytes_of<T: Value>(elements: &[T]) -> Vec<u8> {
    elements.iter().flat_map(bytemuck::bytes_of).copied().collect()
}

impl<T: Value> Bytes for Vec<T> {
    fn bytes(&self) -> Vec<u8> {
        bytes_of(self)
    }
}

impl<T: Value> Bytes for PinnedHostSlice<T> {
    fn bytes(&self) -> Vec<u8> {
        bytes_of(self.as_slice().expect("CUDA works"))
    }
}

impl<T: Value> Bytes for CudaSlice<T> {
    fn bytes(&self) -> Vec<u8> {
        bytes_of(&self.stream().clone_dtoh(self).expect("CUDA works"))
    }
}

impl<T: Value> Held<T> {
    pub fn shared(&self) -> &(dyn Buffer<Element = T> + 'static) {
        owned!(self, buffer => buffer)
    }

    pub fn exclusive(&mut self) -> &mut (dyn BufferMut<Element = T> + 'static) {
        owned!(self, buffer => buffer)
    }

    pub fn bytes(&self) -> Vec<u8> {
        owned!(self, buffer => buffer.bytes())
    }
}

/// The memories of a rank.
pub struct Stage {
    context: Option<Arc<CudaContext>>,
    stream: Option<Arc<CudaStream>>,
}

impl Stage {
    pub fn new(context: Option<Arc<CudaContext>>) -> Stage {
        let stream = context
            .as_ref()
            .map(|context| context.new_stream().expect("CUDA works"));
        Stage { context, stream }
    }
}

/// Makes the buffers of one case on one rank.
pub struct Buffers<'a> {
    pub case: &'a Case,
    pub rank: usize,
    pub stage: &'a Stage,
}

impl Buffers<'_> {
    /// The elements that are sent from a buffer, as bytes.
    pub fn contents<T: Value>(&self, count: usize, buffer: u64) -> Vec<u8> {
        let is_reduced = !self.case.reduce.is_empty() && !self.case.reduce.starts_with("bit");
        let fill = if is_reduced { numbers } else { any_bytes };
        fill(T::DTYPE, self.rank, buffer, count)
    }

    pub fn full<T: Value>(&self, count: usize, buffer: u64) -> Held<T> {
        self.held(&self.contents::<T>(count, buffer), buffer)
    }

    /// A buffer to receive into.
    pub fn untouched<T: Value>(&self, count: usize) -> Held<T> {
        self.held(&self.untouched_bytes::<T>(count), UNTOUCHED + 1)
    }

    pub fn untouched_bytes<T: Value>(&self, count: usize) -> Vec<u8> {
        any_bytes(T::DTYPE, self.rank, UNTOUCHED, count)
    }

    /// A buffer with these bytes; the number decides where it is, if the case does not care.
    pub fn held<T: Value>(&self, bytes: &[u8], number: u64) -> Held<T> {
        let elements: Vec<T> = bytes
            .chunks_exact(size_of::<T>())
            .map(bytemuck::checked::pod_read_unaligned)
            .collect();
        let place = match self.case.place {
            Place::Mixed => [Place::Host, Place::Device, Place::Pinned][(self.rank + number as usize) % 3],
            place => place,
        };
        let (Some(context), Some(stream)) = (&self.stage.context, &self.stage.stream) else {
            return Held::Host(elements);
        };
        match place {
            Place::Device => Held::Device(stream.clone_htod(&elements).expect("CUDA works")),
            // There is no empty page-locked memory.
            Place::Pinned if !elements.is_empty() => {
                let flags = sys::CU_MEMHOSTALLOC_PORTABLE;
                // SAFETY: written before it is read.
                let pinned = unsafe { context.alloc_pinned_with_flags::<T>(elements.len(), flags) };
                let mut pinned = pinned.expect("CUDA works");
                pinned
                    .as_mut_slice()
                    .expect("CUDA works")
                    .copy_from_slice(&elements);
                Held::Pinned(pinned)
            }
            _ => Held::Host(elements),
        }
    }
}
