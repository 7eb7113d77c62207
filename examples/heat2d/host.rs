//! Rows in host memory.

use std::ops::Range;

use warpcomm::Communicator;

use super::npy::zeroed;
use super::plate::{DOWN, Neighbours, Plate, RATE, UP};

/// Rows in host memory.
pub struct HostPlate {
    columns: usize,
    now: Vec<f64>,
    next: Vec<f64>,
    /// The neighbours' rows.
    ghosts: Vec<f64>,
}

impl HostPlate {
    pub fn new(columns: usize, temperatures: Vec<f64>) -> Result<HostPlate, String> {
        Ok(HostPlate {
            columns,
            next: zeroed(temperatures.len())?,
            ghosts: zeroed(2 * columns)?,
            now: temperatures,
        })
    }
}

impl Plate for HostPlate {
    fn step(&mut self, comm: &Communicator, neighbours: Neighbours) -> warpcomm::Result<()> {
        let (columns, rows) = (self.columns, self.now.len() / self.columns);
        let (now, next) = (&self.now[..], &mut self.next[..]);
        let row = |index: usize| &now[index * columns..(index + 1) * columns];
        let mut advance = |rows: Range<usize>, above: &[f64], below: &[f64]| {
            let cells = rows.start * columns..rows.end * columns;
            step(above, &now[cells.clone()], below, &mut next[cells]);
        };
        let (first, last) = (row(0), row(rows - 1));
        let (above, below) = self.ghosts.split_at_mut(columns);

        comm.scope(|scope| {
            if let Some(rank) = neighbours.above {
                scope.irecv(&mut *above, rank, DOWN)?;
                scope.isend(first, rank, UP)?;
            }
            if let Some(rank) = neighbours.below {
                scope.irecv(&mut *below, rank, UP)?;
                scope.isend(last, rank, DOWN)?;
            }
            if rows > 2 {
                advance(1..rows - 1, first, last);
            }
            Ok(())
        })?;

        let above = neighbours.above.map_or(first, |_| above);
        let below = neighbours.below.map_or(last, |_| below);
        if rows == 1 {
            advance(0..1, above, below);
        } else {
            advance(0..1, above, row(1));
            advance(rows - 1..rows, row(rows - 2), below);
        }
        std::mem::swap(&mut self.now, &mut self.next);
        Ok(())
    }

    fn finish(&self) -> Result<(), String> {
        Ok(())
    }

    fn temperatures(&self) -> Result<Vec<f64>, String> {
        let mut copy = zeroed(self.now.len())?;
        copy.copy_from_slice(&self.now);
        Ok(copy)
    }

    fn place(&self) -> Result<String, String> {
        Ok("host".into())
    }
}

/// What some rows become, of which `above` and `below` are the neighbours: the kernel of `kernels/heat2d.cu`,
/// bit for bit.
pub fn step(above: &[f64], rows: &[f64], below: &[f64], next: &mut [f64]) {
    let columns = above.len();
    for (index, next) in next.chunks_exact_mut(columns).enumerate() {
        let here = &rows[index * columns..(index + 1) * columns];
        let up = index.checked_sub(1).map_or(above, |up| &rows[up * columns..]);
        let down = rows
            .get((index + 1) * columns..(index + 2) * columns)
            .unwrap_or(below);
        for column in 0..columns {
            let centre = here[column];
            let left = here[column.saturating_sub(1)];
            let right = here[(column + 1).min(columns - 1)];
            let vertical = (up[column] - centre) + (down[column] - centre);
            let horizontal = (left - centre) + (right - centre);
            next[column] = centre + RATE * (vertical + horizontal);
        }
    }
}
