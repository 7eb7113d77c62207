//! Borrowed buffers whose element type is known at run time only.

use std::any::Any;
use std::fmt;

use super::lower::{Lower, LowerMut};
use super::{Buffer, BufferMut, OwnedBuffer, OwnedBufferMut, Span};
use crate::dtype::Dtype;

/// A borrowed [`Buffer`] of any element type, for operations whose buffers differ in type.
///
/// An operation starts behind what is in a device buffer's stream when this is made, and what is put there
/// after it is dropped waits for the operation.
///
/// ```
/// use warpcomm::{AnyBuffer, Dtype};
///
/// let (numbers, flag) = (vec![1.5f32; 3], true);
/// let parts = [AnyBuffer::new(&numbers), AnyBuffer::new(&flag), AnyBuffer::empty()];
/// assert_eq!(parts.each_ref().map(AnyBuffer::elements), [3, 1, 0]);
/// assert_eq!(parts[0].dtype(), Dtype::F32);
/// ```
#[derive(Debug)]
pub struct AnyBuffer<'a>(Span<'a>);

/// A borrowed [`BufferMut`] of any element type; see [`AnyBuffer`].
#[derive(Debug)]
pub struct AnyBufferMut<'a>(Span<'a>);

macro_rules! accessors {
    ($($type:ident)*) => {$(
        impl $type<'_> {
            /// No elements, which fit no elements of whatever type.
            pub fn empty() -> Self {
                // A type is needed, and compared with none.
                $type(Span::empty(Dtype::U8))
            }

            /// The number of elements.
            pub fn elements(&self) -> usize {
                self.0.elements()
            }

            /// The type of the elements.
            pub fn dtype(&self) -> Dtype {
                self.0.dtype()
            }

            /// The elements, for as long as this is borrowed.
            pub(crate) fn alias(&self) -> Span<'_> {
                self.0.alias()
            }
        }
    )*};
}
accessors!(AnyBuffer AnyBufferMut);

impl<'a> AnyBuffer<'a> {
    /// Borrows a buffer.
    pub fn new<B: Buffer + ?Sized>(buffer: &'a B) -> AnyBuffer<'a> {
        AnyBuffer(buffer.lower())
    }
}

impl<'a> AnyBufferMut<'a> {
    /// Borrows a buffer that may be written.
    pub fn new<B: BufferMut + ?Sized>(buffer: &'a mut B) -> AnyBufferMut<'a> {
        AnyBufferMut(buffer.lower_mut())
    }
}

/// What an owned buffer of any element type can do.
trait Sending: Any + Send {
    fn lower(&self) -> Span<'_>;
}

/// What one that may be written can do besides.
trait Receiving: Sending {
    fn lower_mut(&mut self) -> Span<'_>;
}

impl<B: OwnedBuffer> Sending for B {
    fn lower(&self) -> Span<'_> {
        Lower::lower(self)
    }
}

impl<B: OwnedBufferMut> Receiving for B {
    fn lower_mut(&mut self) -> Span<'_> {
        LowerMut::lower_mut(self)
    }
}

/// An [`OwnedBuffer`] of any element type, for requests whose buffers differ in type.
///
/// ```
/// use warpcomm::AnyOwnedBuffer;
///
/// let numbers = AnyOwnedBuffer::new(vec![1.5f32; 3]);
/// let numbers = numbers.into_inner::<Vec<u8>>().unwrap_err();
/// assert_eq!(numbers.into_inner::<Vec<f32>>().unwrap(), [1.5; 3]);
/// ```
pub struct AnyOwnedBuffer(Box<dyn Sending>);

/// An [`OwnedBufferMut`] of any element type; see [`AnyOwnedBuffer`].
pub struct AnyOwnedBufferMut(Box<dyn Receiving>);

macro_rules! owners {
    ($($type:ident $buffer:ident;)*) => {$(
        impl $type {
            /// Takes a buffer.
            pub fn new<B: $buffer>(buffer: B) -> $type {
                $type(Box::new(buffer))
            }

            /// The number of elements.
            pub fn elements(&self) -> usize {
                self.0.lower().elements()
            }

            /// The type of the elements.
            pub fn dtype(&self) -> Dtype {
                self.0.lower().dtype()
            }

            /// Gives the buffer back.
            ///
            /// # Errors
            /// This, if its buffer is of another type.
            pub fn into_inner<B: $buffer>(self) -> Result<B, $type> {
                let any: &dyn Any = &*self.0;
                match any.is::<B>() {
                    true => {
                        let buffer = Box::into_raw(self.0).cast::<B>();
                        // SAFETY: what is in the box is a `B`, and nobody else has it.
                        Ok(*unsafe { Box::from_raw(buffer) })
                    }
                    false => Err(self),
                }
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($type)).field(&self.0.lower()).finish()
            }
        }
    )*};
}
owners! {
    AnyOwnedBuffer OwnedBuffer;
    AnyOwnedBufferMut OwnedBufferMut;
}

impl AnyOwnedBuffer {
    pub(crate) fn lower(&self) -> Span<'_> {
        self.0.lower()
    }
}

impl AnyOwnedBufferMut {
    pub(crate) fn lower_mut(&mut self) -> Span<'_> {
        self.0.lower_mut()
    }
}
