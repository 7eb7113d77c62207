//! What operations take and give: typed buffers at the door, erased [`Span`]s below it.

mod any;
mod blocks;
mod owned;
mod reserved;
mod span;

use std::sync::Arc;

use crate::dtype::Element;

pub use any::{AnyBuffer, AnyBufferMut, AnyOwnedBuffer, AnyOwnedBufferMut};
pub use blocks::Blocks;
pub(crate) use owned::Parked;
pub use owned::{OwnedBuffer, OwnedBufferMut};
#[cfg(feature = "serde")]
pub(crate) use reserved::reserve;
pub(crate) use reserved::reserved;
pub(crate) use span::Span;

pub(crate) mod lower {
    use super::Span;

    /// The one lowering of a typed buffer.
    pub trait Lower {
        /// The elements as a span that must not be written.
        fn lower(&self) -> Span<'_>;
    }

    /// The one lowering of a typed buffer that may be written.
    pub trait LowerMut: Lower {
        /// The elements as a span that may be written.
        fn lower_mut(&mut self) -> Span<'_>;
    }
}

use lower::{Lower, LowerMut};

/// Elements that an operation reads: `[T]`, `[T; N]`, `Vec<T>`, `Box<[T]>`, `Arc<[T]>`, or one `T`; with the
/// feature `cuda` cudarc's `CudaSlice<T>`, `CudaView<T>`, `CudaViewMut<T>` and `PinnedHostSlice<T>`,
/// `RawSlice<T>` and `DeviceBuffer<T>`.
///
/// An operation on a device buffer starts behind everything in the buffer's stream, and what is put there
/// later waits for it: nobody has to synchronize. Streams that use the buffer without cudarc's events must
/// wait for that stream.
///
/// Sealed: the library relies on what it knows of these types.
///
/// ```
/// use warpcomm::{Communicator, Op};
///
/// let sums = Communicator::threads(3, |comm| {
///     let mut sum = 0u64;
///     comm.allreduce(&(comm.rank() as u64), &mut sum, Op::Sum).map(|()| sum)
/// })?;
/// assert_eq!(sums.into_iter().collect::<Result<Vec<_>, _>>()?, [3, 3, 3]);
/// # Ok::<(), warpcomm::Error>(())
/// ```
pub trait Buffer: Lower {
    /// The type of the elements.
    type Element: Element;
}

/// Elements that an operation writes: every [`Buffer`] but `Arc<[T]>` and `CudaView<T>`.
pub trait BufferMut: Buffer + LowerMut {}

impl<T: Element> Lower for [T] {
    fn lower(&self) -> Span<'_> {
        Span::host(self.as_ptr().cast_mut(), self.len())
    }
}

impl<T: Element> LowerMut for [T] {
    fn lower_mut(&mut self) -> Span<'_> {
        Span::host(self.as_mut_ptr(), self.len())
    }
}

impl<T: Element> Buffer for [T] {
    type Element = T;
}

impl<T: Element> BufferMut for [T] {}

macro_rules! shared_slice {
    ($([$($generics:tt)*] $type:ty, $slice:expr;)*) => {$(
        impl<T: Element, $($generics)*> Lower for $type {
            fn lower(&self) -> Span<'_> {
                let slice: fn(&$type) -> &[T] = $slice;
                slice(self).lower()
            }
        }

        impl<T: Element, $($generics)*> Buffer for $type {
            type Element = T;
        }
    )*};
}

macro_rules! exclusive_slice {
    ($([$($generics:tt)*] $type:ty, $slice:expr;)*) => {$(
        impl<T: Element, $($generics)*> LowerMut for $type {
            fn lower_mut(&mut self) -> Span<'_> {
                let slice: fn(&mut $type) -> &mut [T] = $slice;
                slice(self).lower_mut()
            }
        }

        impl<T: Element, $($generics)*> BufferMut for $type {}
    )*};
}

shared_slice! {
    [const N: usize] [T; N], |array| array;
    [] Vec<T>, |vector| vector;
    [] Box<[T]>, |boxed| boxed;
    [] Arc<[T]>, |shared| shared;
    [] T, std::slice::from_ref;
}

exclusive_slice! {
    [const N: usize] [T; N], |array| array;
    [] Vec<T>, |vector| vector;
    [] Box<[T]>, |boxed| boxed;
    [] T, std::slice::from_mut;
}
