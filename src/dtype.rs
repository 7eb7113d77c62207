//! Element types: the one table of them.

mod complex;
mod located;

use std::fmt;
use std::str::FromStr;

use bytemuck::{CheckedBitPattern, NoUninit};

use crate::error::{Error, Result};

pub use complex::Complex;
pub use located::Located;

/// What arithmetic on an element type is like, which decides what operations it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Integer,
    /// A float of the crate `half`, computed as `f32`.
    Half,
    Float,
    Complex,
    Bool,
    Located,
}

/// Passes the table of element types to another macro, behind the given arguments.
///
/// This is the only place that lists element types. A row is the documentation, the variant of
/// [`Dtype`], the Rust type and the name. The other macro is one of this module's, or in brackets one of the
/// caller's.
macro_rules! rows {
    ($then:ident! { $($argument:tt)* }) => {
        $crate::dtype::rows! { [$crate::dtype::$then] { $($argument)* } }
    };
    ([$($then:tt)*] { $($argument:tt)* }) => {
        $($then)*! {
            $($argument)*
            Integer {
                /// A signed integer of 8 bits.
                I8: i8, "i8";
                /// A signed integer of 16 bits.
                I16: i16, "i16";
                /// A signed integer of 32 bits.
                I32: i32, "i32";
                /// A signed integer of 64 bits.
                I64: i64, "i64";
                /// An unsigned integer of 8 bits.
                U8: u8, "u8";
                /// An unsigned integer of 16 bits.
                U16: u16, "u16";
                /// An unsigned integer of 32 bits.
                U32: u32, "u32";
                /// An unsigned integer of 64 bits.
                U64: u64, "u64";
            }
            Half {
                /// A float of 16 bits, IEEE 754 binary16: [`half::f16`].
                F16: half::f16, "f16";
                /// A float of 16 bits with the range of [`f32`], bfloat16: [`half::bf16`].
                Bf16: half::bf16, "bf16";
            }
            Float {
                /// A float of 32 bits.
                F32: f32, "f32";
                /// A float of 64 bits.
                F64: f64, "f64";
            }
            Complex {
                /// A [`Complex`](crate::Complex) of two [`f32`], 8 bytes: NumPy's `complex64`.
                C32: $crate::dtype::Complex<f32>, "c32";
                /// A [`Complex`](crate::Complex) of two [`f64`], 16 bytes: NumPy's `complex128`.
                C64: $crate::dtype::Complex<f64>, "c64";
            }
            Bool {
                /// A [`bool`], a byte that is 0 or 1.
                Bool: bool, "bool";
            }
            Located {
                /// A [`Located`](crate::Located) [`f32`] with its [`u32`] index.
                F32Loc: $crate::dtype::Located<f32, u32>, "f32loc";
                /// A [`Located`](crate::Located) [`f64`] with its [`u64`] index.
                F64Loc: $crate::dtype::Located<f64, u64>, "f64loc";
                /// A [`Located`](crate::Located) [`i32`] with its [`u32`] index.
                I32Loc: $crate::dtype::Located<i32, u32>, "i32loc";
                /// A [`Located`](crate::Located) [`i64`] with its [`u64`] index.
                I64Loc: $crate::dtype::Located<i64, u64>, "i64loc";
                /// A [`Located`](crate::Located) [`u32`] with its [`u32`] index.
                U32Loc: $crate::dtype::Located<u32, u32>, "u32loc";
                /// A [`Located`](crate::Located) [`u64`] with its [`u64`] index.
                U64Loc: $crate::dtype::Located<u64, u64>, "u64loc";
            }
        }
    };
}
pub(crate) use rows;

/// Passes the types of one class to a macro, each in a call of its own: `each_type!(Integer: stamp)`.
macro_rules! each_type {
    ($class:ident: $stamp:ident) => {
        $crate::dtype::rows! { choose_class! { $class each_type_of_rows { $stamp } } }
    };
}
pub(crate) use each_type;

/// Evaluates an expression with the Rust type of a [`Dtype`] bound to a name.
///
/// `dispatch!(dtype, T => f::<T>())` does so for every type. `dispatch!(Float: dtype, T => f::<T>())`
/// compiles the expression for the types of one class only and does nothing for others, so that it
/// may need more of a type than that it is an [`Element`].
macro_rules! dispatch {
    ($class:ident: $dtype:expr, $type:ident => $body:expr) => {
        $crate::dtype::rows!(choose_class! { $class dispatch_to_class { $dtype, $type, $body } })
    };
    ($dtype:expr, $type:ident => $body:expr) => {
        $crate::dtype::rows!(dispatch_to_all! { { $dtype, $type, $body } })
    };
}
pub(crate) use dispatch;

/// Passes the rows of the one class to a macro. A macro cannot compare names, so each is spelled out.
macro_rules! choose_class {
    (Integer $then:ident $arguments:tt Integer $rows:tt $($rest:tt)*) => {
        $crate::dtype::$then! { $arguments $rows }
    };
    (Half $then:ident $arguments:tt Half $rows:tt $($rest:tt)*) => {
        $crate::dtype::$then! { $arguments $rows }
    };
    (Float $then:ident $arguments:tt Float $rows:tt $($rest:tt)*) => {
        $crate::dtype::$then! { $arguments $rows }
    };
    (Complex $then:ident $arguments:tt Complex $rows:tt $($rest:tt)*) => {
        $crate::dtype::$then! { $arguments $rows }
    };
    (Bool $then:ident $arguments:tt Bool $rows:tt $($rest:tt)*) => {
        $crate::dtype::$then! { $arguments $rows }
    };
    (Located $then:ident $arguments:tt Located $rows:tt $($rest:tt)*) => {
        $crate::dtype::$then! { $arguments $rows }
    };
    ($class:ident $then:ident $arguments:tt $other:ident $rows:tt $($rest:tt)*) => {
        $crate::dtype::choose_class! { $class $then $arguments $($rest)* }
    };
}
pub(crate) use choose_class;

macro_rules! each_type_of_rows {
    ({ $stamp:ident } { $($(#[$documentation:meta])* $variant:ident: $element:ty, $name:literal;)* }) => {
        $($stamp! { $element })*
    };
}
pub(crate) use each_type_of_rows;

macro_rules! dispatch_to_class {
    (
        { $dtype:expr, $type:ident, $body:expr }
        { $($(#[$documentation:meta])* $variant:ident: $element:ty, $name:literal;)* }
    ) => {
        match $dtype {
            $($crate::dtype::Dtype::$variant => {
                type $type = $element;
                $body
            })*
            _ => (),
        }
    };
}
pub(crate) use dispatch_to_class;

macro_rules! dispatch_to_all {
    (
        { $dtype:expr, $type:ident, $body:expr }
        $($class:ident { $($(#[$documentation:meta])* $variant:ident: $element:ty, $name:literal;)* })*
    ) => {
        match $dtype {
            $($($crate::dtype::Dtype::$variant => {
                type $type = $element;
                $body
            })*)*
        }
    };
}
pub(crate) use dispatch_to_all;

macro_rules! define {
    ($($class:ident { $($(#[$documentation:meta])* $variant:ident: $element:ty, $name:literal;)* })*) => {
        /// The type of the elements of a buffer, as a value.
        ///
        /// ```
        /// use warpcomm::{Complex, Dtype, Element};
        ///
        /// assert_eq!(f32::DTYPE, Dtype::F32);
        /// assert_eq!(<Complex<f64>>::DTYPE.to_string(), "c64");
        /// assert_eq!("bf16".parse::<Dtype>()?.size(), 2);
        /// # Ok::<(), warpcomm::Error>(())
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum Dtype {
            $($($(#[$documentation])* $variant,)*)*
        }

        impl Dtype {
            /// All element types.
            pub const ALL: &'static [Dtype] = &[$($(Dtype::$variant,)*)*];

            /// The name in lower case, which is also the [`Display`](fmt::Display) text.
            pub const fn name(self) -> &'static str {
                match self {
                    $($(Dtype::$variant => $name,)*)*
                }
            }

            pub(crate) const fn class(self) -> Class {
                match self {
                    $($(Dtype::$variant => Class::$class,)*)*
                }
            }

            /// The type of what a fold keeps of several ranks' elements before it rounds.
            pub(crate) const fn accumulator(self) -> Dtype {
                match self.class() {
                    Class::Half => Dtype::F32,
                    _ => self,
                }
            }
        }

        $($(
            impl sealed::Sealed for $element {}

            const _: () = has_no_padding::<$element>();

            // SAFETY: has no padding, as asserted above, and none of its bytes means something on one
            // rank only, as an address would. The variant is that of the same row.
            unsafe impl Element for $element {
                const DTYPE: Dtype = Dtype::$variant;
            }
        )*)*
    };
}
use define;

rows!(define! {});

const fn has_no_padding<T: NoUninit + CheckedBitPattern>() {}

impl Dtype {
    /// The size of one element in bytes.
    pub const fn size(self) -> usize {
        dispatch!(self, T => size_of::<T>())
    }

    /// The code of this type in an envelope or a frame.
    #[inline]
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    /// The type behind a code from the wire, if there is one.
    #[inline]
    pub(crate) fn from_code(code: u8) -> Option<Dtype> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Dtype {
    type Err = Error;

    fn from_str(text: &str) -> Result<Dtype> {
        Self::ALL
            .iter()
            .copied()
            .find(|dtype| dtype.name() == text)
            .ok_or_else(|| {
                let names: Vec<_> = Self::ALL.iter().map(|dtype| dtype.name()).collect();
                Error::invalid(format!("{text:?} is none of {}", names.join(", ")))
            })
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A type that buffers hold and messages carry.
///
/// The types are those of [`Dtype`]: integers, floats ([`half::f16`] and [`half::bf16`] among them),
/// [`Complex`], [`bool`], and [`Located`]. The trait is sealed.
///
/// ```
/// use warpcomm::{Dtype, Element};
///
/// fn bytes<T: Element>(elements: &[T]) -> usize {
///     elements.len() * T::DTYPE.size()
/// }
/// assert_eq!(bytes(&[1.0f64, 2.0]), 16);
/// ```
///
/// # Safety
/// The type has no padding, and the bytes of any of its values are a value of the type on every
/// rank, so that a buffer can be sent, and received into, as bytes. `DTYPE` is the row of this very
/// type.
pub unsafe trait Element:
    sealed::Sealed + Copy + Send + Sync + PartialEq + fmt::Debug + 'static
{
    /// This type as a value.
    const DTYPE: Dtype;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_lead_back() {
        for &dtype in Dtype::ALL {
            assert_eq!(Dtype::from_code(dtype.code()), Some(dtype));
            assert_eq!(dtype.to_string().parse::<Dtype>().unwrap(), dtype);
            dispatch!(dtype, T => assert_eq!(T::DTYPE, dtype));
        }
        assert_eq!(Dtype::from_code(Dtype::ALL.len() as u8), None);
        assert!("f8".parse::<Dtype>().unwrap_err().to_string().contains("bf16"));
    }

    #[test]
    fn sizes_are_those_of_the_standard_layouts() {
        let expected = [
            (Dtype::F16, 2),
            (Dtype::Bf16, 2),
            (Dtype::I64, 8),
            (Dtype::C32, 8),
            (Dtype::C64, 16),
            (Dtype::Bool, 1),
            (Dtype::F32Loc, 8),
            (Dtype::U64Loc, 16),
        ];
        for (dtype, bytes) in expected {
            assert_eq!(dtype.size(), bytes, "{dtype}");
        }
    }

    #[test]
    fn dispatch_on_a_class_leaves_the_other_classes_alone() {
        let mut floats = Vec::new();
        for &dtype in Dtype::ALL {
            dispatch!(Float: dtype, T => floats.push(T::from(1u8) == T::from(1u8)));
        }
        assert_eq!(floats, [true; 2]);
    }
}
