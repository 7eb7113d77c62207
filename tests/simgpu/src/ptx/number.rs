//! Integers of every width as bits of a slot.

/// An integer type of the host that a PTX type is.
pub trait Integer: Copy + Ord {
    const BITS: u32;
    fn of(bits: u64) -> Self;
    fn bits(self) -> u64;
    fn wide(self) -> i128;
    /// The low bits of a number.
    fn low(value: i128) -> Self;
    /// The nearest value in range.
    fn clamped(value: i128) -> Self;
}

macro_rules! integers {
    ($($name:ident as $bits:ident),*) => {$(
        impl Integer for $name {
            const BITS: u32 = $name::BITS;
            #[inline(always)]
            fn of(bits: u64) -> Self {
                bits as $name
            }
            #[inline(always)]
            fn bits(self) -> u64 {
                u64::from(self as $bits)
            }
            #[inline(always)]
            fn wide(self) -> i128 {
                i128::from(self)
            }
            #[inline(always)]
            fn low(value: i128) -> Self {
                value as $name
            }
            #[inline(always)]
            fn clamped(value: i128) -> Self {
                value.clamp($name::MIN.into(), $name::MAX.into()) as $name
            }
        }
    )*};
}

integers!(
    u8 as u8, u16 as u16, u32 as u32, u64 as u64, i8 as u8, i16 as u16, i32 as u32, i64 as u64
);

/// The instance of a generic function for an integer type, if it is one of those listed.
macro_rules! for_integer {
    ($of:expr, $f:ident) => {
        match $of {
            Type::U16 => Some($f::<u16> as Ternary),
            Type::U32 => Some($f::<u32> as Ternary),
            Type::U64 => Some($f::<u64> as Ternary),
            Type::S16 => Some($f::<i16> as Ternary),
            Type::S32 => Some($f::<i32> as Ternary),
            Type::S64 => Some($f::<i64> as Ternary),
            _ => None,
        }
    };
}
pub(super) use for_integer;

/// Applies a function to both halves of packed 16-bit values.
#[inline(always)]
pub fn halves(a: u64, b: u64, c: u64, f: impl Fn(u64, u64, u64) -> u64) -> u64 {
    let low = f(a & 0xffff, b & 0xffff, c & 0xffff);
    let high = f(a >> 16 & 0xffff, b >> 16 & 0xffff, c >> 16 & 0xffff);
    low | high << 16
}
