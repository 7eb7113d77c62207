//! Buffers that a request can own.

use std::mem::MaybeUninit;
use std::sync::Arc;

use super::{Buffer, BufferMut};
use crate::dtype::Element;

/// A buffer that a [`Request`](crate::Request) can own while it is sent: `Vec<T>`, `Box<[T]>`,
/// `Arc<[T]>`; with the feature `cuda` `CudaSlice<T>`, `PinnedHostSlice<T>` and `DeviceBuffer<T>`.
///
/// Sealed, like [`Buffer`].
///
/// # Safety
/// The elements stay where they are when the value is moved, and nobody writes them while the value
/// exists and is not borrowed.
pub unsafe trait OwnedBuffer: Buffer + Send + Sized + 'static {}

/// A buffer that a [`Request`](crate::Request) can own while it is received into: every
/// [`OwnedBuffer`] but `Arc<[T]>`.
///
/// # Safety
/// As for [`OwnedBuffer`]; and nobody else reads the elements.
pub unsafe trait OwnedBufferMut: OwnedBuffer + BufferMut {}

// SAFETY: the elements are on the heap and belong to the value.
unsafe impl<T: Element> OwnedBuffer for Vec<T> {}
// SAFETY: as above.
unsafe impl<T: Element> OwnedBuffer for Box<[T]> {}
// SAFETY: on the heap; elements have no interior mutability, so while there are several owners nobody
// writes, and `Arc::get_mut` needs the only one.
unsafe impl<T: Element> OwnedBuffer for Arc<[T]> {}
// SAFETY: as for `OwnedBuffer`.
unsafe impl<T: Element> OwnedBufferMut for Vec<T> {}
// SAFETY: as for `OwnedBuffer`.
unsafe impl<T: Element> OwnedBufferMut for Box<[T]> {}

/// A buffer that is moved about while somebody else uses its elements.
///
/// The compiler may assume that the contents of a `Box` that moves are used through it alone; of a
/// `MaybeUninit` it assumes nothing. Dropped, a parked buffer is leaked.
pub(crate) struct Parked<B>(MaybeUninit<B>);

impl<B> Parked<B> {
    pub(crate) fn new(buffer: B) -> Parked<B> {
        Parked(MaybeUninit::new(buffer))
    }

    /// The buffer, while nobody uses its elements.
    pub(crate) fn get(&self) -> &B {
        // SAFETY: initialized by `new`, and taken out only by value.
        unsafe { self.0.assume_init_ref() }
    }

    /// The buffer, to be lowered while nobody uses its elements yet.
    pub(crate) fn get_mut(&mut self) -> &mut B {
        // SAFETY: initialized by `new`, and taken out only by value.
        unsafe { self.0.assume_init_mut() }
    }

    /// Takes the buffer back, when nobody else uses its elements any more.
    pub(crate) fn unpark(self) -> B {
        // SAFETY: as above.
        unsafe { self.0.assume_init() }
    }
}
