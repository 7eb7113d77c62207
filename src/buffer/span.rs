//! A buffer without its type.

use std::marker::PhantomData;

use super::HOST;
use crate::device::{Device, Place, device};
use crate::dtype::{Dtype, Element};
use crate::error::{Error, ErrorKind, Result};

/// Something that orders a buffer's stream around an operation: made when the span is taken, it waits
/// for the buffer's earlier work, and dropped with the span it makes later work wait for the operation.
type StreamGuard = Box<dyn Send>;

/// The elements of a buffer: where they are, how many and of what type.
///
/// A span borrows its buffer. Whether it may be written is known to whoever lowered it.
pub struct Span<'a> {
    pointer: *mut u8,
    elements: usize,
    dtype: Dtype,
    place: Place,
    stream: Option<StreamGuard>,
    buffer: PhantomData<&'a mut [u8]>,
}

// SAFETY: a span stands for a borrow of elements, which are `Send` and `Sync` by `Element`'s contract.
unsafe impl Send for Span<'_> {}
// SAFETY: as above; a shared span gives out nothing but the address.
unsafe impl Sync for Span<'_> {}

impl<'a> Span<'a> {
    /// The span of `elements` elements of host memory.
    #[inline]
    pub(super) fn host<T: Element>(pointer: *mut T, elements: usize) -> Span<'a> {
        Span {
            pointer: pointer.cast(),
            elements,
            dtype: T::DTYPE,
            place: HOST,
            stream: None,
            buffer: PhantomData,
        }
    }

    /// An empty span, for a rank that takes no part in one side of an operation.
    pub(crate) fn empty(dtype: Dtype) -> Span<'a> {
        let pointer = std::ptr::without_provenance_mut(64);
        Span {
            pointer,
            elements: 0,
            dtype,
            place: HOST,
            stream: None,
            buffer: PhantomData,
        }
    }

    #[inline]
    pub(crate) fn pointer(&self) -> *mut u8 {
        self.pointer
    }

    #[inline]
    pub(crate) fn elements(&self) -> usize {
        self.elements
    }

    /// The length in bytes.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        // A Rust object has at most isize::MAX bytes.
        self.elements * self.dtype.size()
    }

    #[inline]
    pub(crate) fn dtype(&self) -> Dtype {
        self.dtype
    }

    #[inline]
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    #[inline]
    pub(crate) fn device(&self) -> Result<&'static dyn Device> {
        device(self.place)
    }

    /// The same memory under a longer lifetime.
    ///
    /// # Safety
    /// The caller sees to it that the buffer outlives every use of the result and is not used
    /// otherwise meanwhile.
    pub(crate) unsafe fn detach(self) -> Span<'static> {
        let Span {
            pointer,
            elements,
            dtype,
            place,
            stream,
            ..
        } = self;
        Span {
            pointer,
            elements,
            dtype,
            place,
            stream,
            buffer: PhantomData,
        }
    }

    /// The same number and type of elements in other memory of the same device.
    pub(crate) fn at(&self, pointer: *mut u8) -> Span<'_> {
        let Span {
            elements,
            dtype,
            place,
            ..
        } = *self;
        Span {
            pointer,
            elements,
            dtype,
            place,
            stream: None,
            buffer: PhantomData,
        }
    }

    /// A part of the span: `elements` elements from element `first` on.
    pub(crate) fn part(&self, first: usize, elements: usize) -> Result<Span<'_>> {
        if first.checked_add(elements).is_none_or(|end| end > self.elements) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "elements {first} to {first}+{elements} are not in a buffer of {}",
                    self.elements
                ),
            ));
        }
        // SAFETY: in bounds, as just checked.
        let pointer = unsafe { self.pointer.add(first * self.dtype.size()) };
        let Span { dtype, place, .. } = *self;
        Ok(Span {
            pointer,
            elements,
            dtype,
            place,
            stream: None,
            buffer: PhantomData,
        })
    }
}

impl std::fmt::Debug for Span<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let guarded = if self.stream.is_some() {
            ", ordered by a stream"
        } else {
            ""
        };
        write!(
            f,
            "{} {} on the {}{guarded}",
            self.elements, self.dtype, self.place
        )
    }
}
