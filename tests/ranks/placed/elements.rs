//! The host buffers that cases hand to operations, seen as slices.

use std::sync::Arc;

use warpcomm::{Buffer, BufferMut, OwnedBuffer, OwnedBufferMut};

use crate::oracle::Value;

/// A buffer whose elements can be copied elsewhere.
pub trait Elements: Buffer<Element: Value> {
    fn elements(&self) -> &[Self::Element];
}

/// A buffer whose elements can be written.
pub trait ElementsMut: Elements + BufferMut {
    fn elements_mut(&mut self) -> &mut [Self::Element];
}

/// A buffer that a request can own.
pub trait OwnedElements: Elements + OwnedBuffer {}

/// A buffer that a request can own and write.
pub trait OwnedElementsMut: OwnedElements + ElementsMut + OwnedBufferMut {}

macro_rules! slices {
    ($([$($generics:tt)*] $type:ty;)*) => {$(
        impl<T: Value, $($generics)*> Elements for $type {
            fn elements(&self) -> &[T] {
                self
            }
        }

        impl<T: Value, $($generics)*> ElementsMut for $type {
            fn elements_mut(&mut self) -> &mut [T] {
                self
            }
        }
    )*};
}

slices! {
    [] [T];
    [const N: usize] [T; N];
    [] Vec<T>;
    [] Box<[T]>;
}

impl<T: Value> Elements for Arc<[T]> {
    fn elements(&self) -> &[T] {
        self
    }
}

macro_rules! single_elements {
    ({} $($variant:ident: $type:ty,)*) => {$(
        impl Elements for $type {
            fn elements(&self) -> &[$type] {
                std::slice::from_ref(self)
            }
        }

        impl ElementsMut for $type {
            fn elements_mut(&mut self) -> &mut [$type] {
                std::slice::from_mut(self)
            }
        }
    )*};
}
elements!(single_elements! {});

impl<B: Elements + OwnedBuffer> OwnedElements for B {}
impl<B: ElementsMut + OwnedBufferMut> OwnedElementsMut for B {}
