//! Borrowed buffers whose element type is known at run time only.

use super::{Buffer, BufferMut, Span};
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

            pub(crate) fn span(&self) -> &Span<'_> {
                &self.0
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
