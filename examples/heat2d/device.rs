//! Rows in the memory of a GPU, which never leave it but for those that travel to a neighbour.

use std::ops::Range;

use warpcomm::Communicator;
use warpcomm::cudarc::driver::{CudaFunction, CudaSlice, CudaView, LaunchConfig, PushKernelArg};

use super::gpu::{self, Gpu};
use super::plate::{DOWN, Neighbours, Plate, RATE, UP};

const PTX: &str = include_str!("../../kernels/ptx/heat2d.ptx");

/// The threads of a block.
const THREADS: usize = 256;
/// The most blocks of a grid in its second dimension.
const MOST_BLOCKS: usize = 65_535;

/// Rows in the memory of a GPU.
pub struct DevicePlate {
    gpu: Gpu,
    kernel: CudaFunction,
    rows: usize,
    columns: usize,
    now: CudaSlice<f64>,
    next: CudaSlice<f64>,
    /// The neighbours' rows.
    ghosts: CudaSlice<f64>,
    /// What the GPU did not do.
    failure: Result<(), String>,
}

impl DevicePlate {
    pub fn new(comm: &Communicator, columns: usize, temperatures: &[f64]) -> Result<DevicePlate, String> {
        let gpu = Gpu::new(comm)?;
        Ok(DevicePlate {
            kernel: gpu.load(PTX)?.get("heat2d_step")?,
            rows: temperatures.len() / columns,
            columns,
            now: gpu.upload(temperatures)?,
            next: gpu.zeroed(temperatures.len())?,
            ghosts: gpu.zeroed(2 * columns)?,
            failure: Ok(()),
            gpu,
        })
    }
}

impl Plate for DevicePlate {
    fn step(&mut self, comm: &Communicator, neighbours: Neighbours) -> warpcomm::Result<()> {
        let (columns, rows) = (self.columns, self.rows);
        let (now, next, failure) = (&self.now, &mut self.next, &mut self.failure);
        let row = |index: usize| now.slice(index * columns..(index + 1) * columns);
        let mut advance = |rows: Range<usize>, above: &CudaView<f64>, below: &CudaView<f64>| {
            if failure.is_ok() {
                let cells = rows.start * columns..rows.end * columns;
                let config = LaunchConfig {
                    grid_dim: (
                        columns.div_ceil(THREADS).min(MOST_BLOCKS) as u32,
                        rows.len().min(MOST_BLOCKS) as u32,
                        1,
                    ),
                    block_dim: (THREADS as u32, 1, 1),
                    shared_mem_bytes: 0,
                };
                let (from, mut to) = (now.slice(cells.clone()), next.slice_mut(cells));
                let (count, columns) = (rows.len() as u64, columns as u64);
                let mut launch = self.gpu.stream.launch_builder(&self.kernel);
                launch.arg(above).arg(&from).arg(below).arg(&mut to);
                launch.arg(&count).arg(&columns).arg(&RATE);
                // SAFETY: these are the parameters of the kernel, and `to` overlaps none of the others.
                *failure = unsafe { launch.launch(config) }.map(drop).map_err(gpu::failed);
            }
        };
        let (first, last) = (row(0), row(rows - 1));
        let (mut above, mut below) = self.ghosts.split_at_mut(columns);

        comm.scope(|scope| {
            if let Some(rank) = neighbours.above {
                scope.irecv(&mut above, rank, DOWN)?;
                scope.isend(&first, rank, UP)?;
            }
            if let Some(rank) = neighbours.below {
                scope.irecv(&mut below, rank, UP)?;
                scope.isend(&last, rank, DOWN)?;
            }
            if rows > 2 {
                advance(1..rows - 1, &first, &last);
            }
            Ok(())
        })?;

        let (above, below) = (above.as_view(), below.as_view());
        let above = neighbours.above.map_or(&first, |_| &above);
        let below = neighbours.below.map_or(&last, |_| &below);
        if rows == 1 {
            advance(0..1, above, below);
        } else {
            advance(0..1, above, &row(1));
            advance(rows - 1..rows, &row(rows - 2), below);
        }
        std::mem::swap(&mut self.now, &mut self.next);
        Ok(())
    }

    fn finish(&self) -> Result<(), String> {
        self.failure.clone()?;
        self.gpu.stream.synchronize().map_err(gpu::failed)
    }

    fn temperatures(&self) -> Result<Vec<f64>, String> {
        self.failure.clone()?;
        self.gpu.download(&self.now, self.rows * self.columns)
    }

    fn place(&self) -> Result<String, String> {
        Ok(format!("device ({})", self.gpu.name()?))
    }
}
