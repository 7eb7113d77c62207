//! Tiles computed by the processor.

use super::view::{Tile, View};

/// The iterations of each pixel of a tile, row by row; see `kernels/mandelbrot.cu`.
pub fn counts(view: &View, tile: &Tile) -> Vec<u32> {
    let mut counts = Vec::with_capacity(tile.pixels());
    for row in tile.rows.clone() {
        let im = view.top - f64::from(row) * view.step;
        for column in tile.columns.clone() {
            let re = view.left + f64::from(column) * view.step;
            counts.push(count(re, im, view.limit));
        }
    }
    counts
}

/// How many times z = z * z + c can be taken from z = 0 until |z| > 2.
fn count(re: f64, im: f64, limit: u32) -> u32 {
    let (mut x, mut y) = (0.0, 0.0);
    for count in 0..limit {
        // The same operations in the same order as on the device.
        let (xx, yy) = (x * x, y * y);
        if xx + yy > 4.0 {
            return count;
        }
        let xy = x * y;
        y = (xy + xy) + im;
        x = (xx - yy) + re;
    }
    limit
}
