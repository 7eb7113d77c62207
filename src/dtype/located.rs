//! A value together with its index.

use bytemuck::{Pod, Zeroable};

use super::each_type;

/// A value and where it came from: what [`Op::MinLoc`](crate::Op::MinLoc) and
/// [`Op::MaxLoc`](crate::Op::MaxLoc) reduce.
///
/// The index is whatever the program puts there, often a rank or a position in the whole array, and
/// is as wide as the value, so that the pair has no padding. MPI's pairs hold an `int` index and
/// do pad (MPI standard, section 6.9.4).
///
/// ```
/// use warpcomm::Located;
///
/// let value = Located::new(-0.5f32, 7);
/// assert_eq!((value.value, value.index), (-0.5, 7));
/// assert_eq!(<(f32, u32)>::from(value), (-0.5, 7));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Located<V, I> {
    /// What is compared.
    pub value: V,
    /// Where the value came from.
    pub index: I,
}

impl<V, I> Located<V, I> {
    const IS_PADDED: bool = size_of::<Self>() != size_of::<V>() + size_of::<I>();

    /// The value `value`, found at `index`.
    pub const fn new(value: V, index: I) -> Located<V, I> {
        Located { value, index }
    }
}

// SAFETY: two fields that may be zero.
unsafe impl<V: Zeroable, I: Zeroable> Zeroable for Located<V, I> {}

macro_rules! pod_pair {
    ($pair:ty) => {
        const _: () = assert!(!<$pair>::IS_PADDED);

        // SAFETY: two fields of plain data in C's layout, without padding as asserted above.
        unsafe impl Pod for $pair {}
    };
}
each_type!(Located: pod_pair);

impl<V, I> From<(V, I)> for Located<V, I> {
    fn from((value, index): (V, I)) -> Located<V, I> {
        Located { value, index }
    }
}

impl<V, I> From<Located<V, I>> for (V, I) {
    fn from(located: Located<V, I>) -> (V, I) {
        (located.value, located.index)
    }
}
