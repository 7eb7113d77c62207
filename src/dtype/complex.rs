//! Complex numbers.

use bytemuck::{Pod, Zeroable};

/// A complex number, laid out as in C, C++, Fortran, NumPy and `num_complex`: the real part, then
/// the imaginary.
///
/// ```
/// use warpcomm::Complex;
///
/// let i = Complex::new(0.0f32, 1.0);
/// assert_eq!(i, [0.0, 1.0].into());
/// assert_eq!(<(f32, f32)>::from(i), (0.0, 1.0));
/// assert_eq!(bytemuck::cast_slice::<_, f32>(&[i, i]), [0.0, 1.0, 0.0, 1.0]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Complex<T> {
    /// The real part.
    pub re: T,
    /// The imaginary part.
    pub im: T,
}

impl<T> Complex<T> {
    /// The number `re + im i`.
    pub const fn new(re: T, im: T) -> Complex<T> {
        Complex { re, im }
    }
}

// SAFETY: two fields that may be zero.
unsafe impl<T: Zeroable> Zeroable for Complex<T> {}
// SAFETY: two fields of one type in C's layout leave no padding between or behind them.
unsafe impl<T: Pod> Pod for Complex<T> {}

impl<T> From<(T, T)> for Complex<T> {
    fn from((re, im): (T, T)) -> Complex<T> {
        Complex { re, im }
    }
}

impl<T> From<Complex<T>> for (T, T) {
    fn from(number: Complex<T>) -> (T, T) {
        (number.re, number.im)
    }
}

impl<T> From<[T; 2]> for Complex<T> {
    fn from([re, im]: [T; 2]) -> Complex<T> {
        Complex { re, im }
    }
}

impl<T> From<Complex<T>> for [T; 2] {
    fn from(number: Complex<T>) -> [T; 2] {
        [number.re, number.im]
    }
}
