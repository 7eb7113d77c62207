//! Tiles computed by a GPU.

use std::sync::Arc;

use warpcomm::Communicator;
use warpcomm::cudarc::driver::{CudaFunction, CudaStream, DriverError, LaunchConfig, PushKernelArg};
use warpcomm::cudarc::nvrtc::Ptx;
use warpcomm::pool::TaskResult;

use super::view::{Tile, View};

const PTX: &str = include_str!("../../kernels/ptx/mandelbrot.ptx");

/// The threads of a block.
const THREADS: u32 = 256;
/// The most blocks of a grid in its second dimension.
const MOST_BLOCKS: u32 = 65_535;

/// The kernel, on the GPU of a rank.
pub struct Kernel(CudaFunction);

impl Kernel {
    pub fn new(comm: &Communicator) -> TaskResult<Kernel> {
        let module = comm.device()?.load_module(Ptx::from_src(PTX)).map_err(failed)?;
        module
            .load_function("mandelbrot_tile")
            .map(Kernel)
            .map_err(failed)
    }

    /// The iterations of each pixel of a tile, row by row.
    pub fn counts(&self, stream: &Arc<CudaStream>, view: &View, tile: &Tile) -> TaskResult<Vec<u32>> {
        let (columns, rows) = (tile.columns.len() as u32, tile.rows.len() as u32);
        let config = LaunchConfig {
            grid_dim: (columns.div_ceil(THREADS), rows.min(MOST_BLOCKS), 1),
            block_dim: (columns.min(THREADS), 1, 1),
            shared_mem_bytes: 0,
        };
        let mut counts = stream.alloc_zeros::<u32>(tile.pixels()).map_err(failed)?;
        let mut launch = stream.launch_builder(&self.0);
        launch
            .arg(&mut counts)
            .arg(&tile.columns.start)
            .arg(&tile.rows.start);
        launch.arg(&columns).arg(&rows);
        launch
            .arg(&view.left)
            .arg(&view.top)
            .arg(&view.step)
            .arg(&view.limit);
        // SAFETY: these are the parameters of the kernel, and `counts` has an element for each pixel.
        unsafe { launch.launch(config) }.map_err(failed)?;
        stream.clone_dtoh(&counts).map_err(failed)
    }
}

fn failed(error: DriverError) -> Box<dyn std::error::Error + Send + Sync> {
    format!("the GPU: {error}").into()
}
