//! A rank's part of the plate: whole rows, in the memory of the host or of a GPU.

use warpcomm::{Communicator, Tag};

/// The part of a temperature difference that flows from a cell to its neighbour in a step.
pub const RATE: f64 = 0.2;

/// The rows that travel to the next rank, and to the one before.
pub const DOWN: Tag = Tag(1);
pub const UP: Tag = Tag(2);

/// The ranks that have the rows before and behind those of this rank; none at the edges of the plate.
#[derive(Clone, Copy)]
pub struct Neighbours {
    pub above: Option<usize>,
    pub below: Option<usize>,
}

/// The rows of a rank that has some.
pub trait Plate {
    /// Takes a step together with the neighbours.
    ///
    /// A failure of the GPU is not told before [`temperatures`](Self::temperatures), because the neighbours
    /// count on this rank's rows.
    fn step(&mut self, comm: &Communicator, neighbours: Neighbours) -> warpcomm::Result<()>;

    /// Waits until all steps have been taken.
    fn finish(&self) -> Result<(), String>;

    /// The temperatures, row by row.
    fn temperatures(&self) -> Result<Vec<f64>, String>;

    /// Where the plate is, in words.
    fn place(&self) -> Result<String, String>;
}
