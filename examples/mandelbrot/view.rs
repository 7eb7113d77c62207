//! What a picture shows of the plane, and in which tiles it is computed.

use std::num::{NonZeroU16, NonZeroU32};
use std::ops::Range;

/// The width of the part of the plane that a picture shows, and its middle on the real axis.
const WIDTH: f64 = 3.0;
const MIDDLE: f64 = -0.75;

/// A picture of the set.
#[derive(Clone, Copy)]
pub struct View {
    pub columns: u32,
    pub rows: u32,
    /// What the pixel in column 0 and row 0 stands for.
    pub left: f64,
    pub top: f64,
    /// How far pixels are from their neighbours.
    pub step: f64,
    /// The most iterations of a pixel.
    pub limit: u32,
    /// The edge of a tile, in pixels.
    tile: u32,
}

/// Pixels that are computed together.
pub struct Tile {
    pub columns: Range<u32>,
    pub rows: Range<u32>,
}

impl View {
    pub fn new(columns: NonZeroU16, rows: NonZeroU16, limit: u32, tile: NonZeroU32) -> View {
        let [columns, rows] = [columns, rows].map(|length| u32::from(length.get()));
        let step = WIDTH / f64::from(columns);
        View {
            columns,
            rows,
            left: MIDDLE - f64::from(columns - 1) / 2.0 * step,
            top: f64::from(rows - 1) / 2.0 * step,
            step,
            limit,
            tile: tile.get(),
        }
    }

    /// How many pixels there are.
    pub fn pixels(&self) -> usize {
        self.columns as usize * self.rows as usize
    }

    /// How many tiles there are.
    pub fn tiles(&self) -> u32 {
        self.columns.div_ceil(self.tile) * self.rows.div_ceil(self.tile)
    }

    /// A tile by its number: row by row, from 0.
    pub fn tile(&self, number: u32) -> Tile {
        let across = self.columns.div_ceil(self.tile);
        let part = |number: u32, length: u32| {
            let first = number * self.tile;
            first..length.min(first.saturating_add(self.tile))
        };
        Tile {
            columns: part(number % across, self.columns),
            rows: part(number / across, self.rows),
        }
    }

    /// The whole picture.
    pub fn whole(&self) -> Tile {
        Tile {
            columns: 0..self.columns,
            rows: 0..self.rows,
        }
    }
}

impl Tile {
    /// How many pixels it has.
    pub fn pixels(&self) -> usize {
        self.columns.len() * self.rows.len()
    }
}
