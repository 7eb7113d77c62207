//! The Hénon map, (x, y) to (1 - a x² + y, b x), and how fast its orbits part.

/// Steps before the first that counts, so that the orbit has come to where it stays.
const FIRST: u64 = 100;

/// The largest Lyapunov exponent of the orbit of the origin: the mean logarithm of what a small difference grows by in a
/// step. NaN if the orbit goes to infinity.
pub fn exponent([a, b]: [f64; 2], steps: u64) -> f64 {
    let (mut x, mut y) = (0.0_f64, 0.0_f64);
    let (mut dx, mut dy) = (1.0_f64, 1.0_f64);
    let mut sum = 0.0;
    for step in 0..FIRST + steps {
        (dx, dy) = (dy - 2.0 * a * x * dx, b * dx);
        (x, y) = (1.0 - a * x * x + y, b * x);
        let growth = (dx * dx + dy * dy).sqrt();
        if !growth.is_finite() {
            return f64::NAN;
        }
        if growth == 0.0 {
            return f64::NEG_INFINITY;
        }
        (dx, dy) = (dx / growth, dy / growth);
        if step >= FIRST {
            sum += growth.ln();
        }
    }
    sum / steps as f64
}
