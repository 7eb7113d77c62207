//! The scalar product: once as it is used, once as it is checked.

/// Partial sums kept side by side, for the vector registers of a CPU.
const LANES: usize = 8;
/// How many products are added up in the lanes before their sum joins the others.
const BLOCK: usize = 512;

/// A floating-point number whose products are added as `f64`.
pub trait Real: Copy {
    /// The error of a scalar product that is allowed, as a part of the sum of the magnitudes.
    const TOLERANCE: f64;
    /// The smallest number above 0.
    const SMALLEST: f64;

    /// The nearest number of this type.
    fn from_f64(value: f64) -> Self;

    /// The same number.
    fn to_f64(self) -> f64;

    /// The scalar product of two slices of the same length.
    ///
    /// The order of the additions depends on the length alone.
    fn dot(a: &[Self], b: &[Self]) -> Self {
        Self::from_f64(pairwise(a, b))
    }
}

impl Real for f32 {
    const TOLERANCE: f64 = 1e-5;
    const SMALLEST: f64 = f32::from_bits(1) as f64;

    fn from_f64(value: f64) -> f32 {
        value as f32
    }

    fn to_f64(self) -> f64 {
        self.into()
    }
}

impl Real for f64 {
    const TOLERANCE: f64 = 1e-12;
    const SMALLEST: f64 = f64::from_bits(1);

    fn from_f64(value: f64) -> f64 {
        value
    }

    fn to_f64(self) -> f64 {
        self
    }
}

/// Adds halves, and halves of halves, so that the rounding error grows with the logarithm of the
/// length only.
fn pairwise<T: Real>(a: &[T], b: &[T]) -> f64 {
    if a.len() > BLOCK {
        // Whole blocks on the left, so that only the last one of all is shorter.
        let middle = a.len().div_ceil(BLOCK).div_ceil(2) * BLOCK;
        let ((a, a_right), (b, b_right)) = (a.split_at(middle), b.split_at(middle));
        return pairwise(a, b) + pairwise(a_right, b_right);
    }
    let mut lanes = [0.0; LANES];
    for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += a.to_f64() * b.to_f64();
        }
    }
    let [l0, l1, l2, l3, l4, l5, l6, l7] = lanes;
    ((l0 + l1) + (l2 + l3)) + ((l4 + l5) + (l6 + l7))
}

/// A scalar product computed from the first product to the last, as anybody would.
pub struct Plain {
    /// The product.
    pub value: f64,
    /// The largest error that a product of the same slices may have.
    allowed: f64,
}

/// Computes the scalar product of two slices of the same length the plain way.
pub fn plain<T: Real>(a: &[T], b: &[T]) -> Plain {
    let (mut value, mut magnitude) = (0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let product = a.to_f64() * b.to_f64();
        value += product;
        magnitude += product.abs();
    }
    // The plain way makes an error of its own, which grows with the length, and the smallest
    // products are rounded to a multiple of the smallest number.
    let terms = a.len() as f64;
    let mut allowed = (T::TOLERANCE + terms * f64::EPSILON) * magnitude + terms * T::SMALLEST;
    if !T::from_f64(2.0 * magnitude).to_f64().is_finite() {
        allowed = f64::INFINITY;
    }
    Plain { value, allowed }
}

impl Plain {
    /// How far `value` is from this one.
    pub fn difference<T: Real>(&self, value: T) -> f64 {
        match value.to_f64() {
            value if value == self.value => 0.0,
            value => (value - self.value).abs(),
        }
    }

    /// Whether `value` can be the same product in another order.
    ///
    /// Where a term is infinite or no number, or a sum may overflow on the way, any value can.
    pub fn agrees_with<T: Real>(&self, value: T) -> bool {
        self.allowed == f64::INFINITY || self.difference(value) <= self.allowed
    }
}
