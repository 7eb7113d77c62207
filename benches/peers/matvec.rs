//! The product of a matrix and a vector on one GPU, by the kernel of the examples and by cuBLAS.

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use warpcomm::cudarc::driver::sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
use warpcomm::cudarc::driver::{CudaContext, CudaSlice, CudaStream, LaunchConfig, PushKernelArg};
use warpcomm::cudarc::nvrtc::Ptx;

use crate::cublas::Cublas;
use crate::{Effort, Failure, Peer, median};

/// The launches that one time is of.
const LAUNCHES: usize = 10;

#[derive(Serialize)]
pub struct Measured {
    rows: usize,
    columns: usize,
    warpcomm: Peer,
    cublas: Peer,
}

impl Measured {
    pub fn line(&self, effort: Effort) -> String {
        let ours = match effort.is_checked_only {
            true => "as it should be".to_owned(),
            false => self.warpcomm.words(),
        };
        let Measured { rows, columns, .. } = self;
        let cublas = self.cublas.words();
        format!("matvec f32 {rows} x {columns}: warpcomm {ours}, cuBLAS {cublas}")
    }
}

pub fn measure(context: &Arc<CudaContext>, effort: Effort) -> Result<Measured, Failure> {
    let shape @ [rows, columns] = match effort.is_checked_only {
        true => [5, 130],
        false => [262_144, 2048],
    };
    let stream = context.new_stream()?;
    let matrix = stream.clone_htod(&vec![1f32; rows * columns])?;
    let vector = stream.clone_htod(&vec![2f32; columns])?;
    let mut product = stream.alloc_zeros::<f32>(rows)?;
    let kernel = context
        .load_module(Ptx::from_src(include_str!("../../kernels/ptx/matvec.ptx")))?
        .load_function("matvec_f32")?;
    // A warp for each row.
    let multiprocessors = context.attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
    let blocks = (rows * 32)
        .div_ceil(256)
        .clamp(1, 2 * usize::try_from(multiprocessors)?);
    let grid = LaunchConfig {
        grid_dim: (u32::try_from(blocks)?, 1, 1),
        block_dim: (256, 1, 1),
        shared_mem_bytes: 0,
    };
    let (height, width) = (rows as u64, columns as u64);
    let warpcomm = time(&stream, effort, &mut product, shape, |product| {
        let mut launch = stream.launch_builder(&kernel);
        launch
            .arg(&matrix)
            .arg(&vector)
            .arg(product)
            .arg(&height)
            .arg(&width);
        // SAFETY: the parameters are those that `kernels/matvec.cu` declares, of these lengths.
        unsafe { launch.launch(grid) }?;
        Ok(())
    })?;
    let cublas = Cublas::new(&stream).and_then(|cublas| {
        time(&stream, effort, &mut product, shape, |product| {
            cublas.matvec(shape, &matrix, &vector, product, &stream)
        })
    });
    Ok(Measured {
        rows,
        columns,
        warpcomm: Peer::Seconds(warpcomm),
        cublas: match cublas {
            Ok(seconds) => Peer::Seconds(seconds),
            Err(error) => Peer::Not {
                error: error.to_string(),
            },
        },
    })
}

/// The median of the time of one product, in seconds; fails if it is wrong.
fn time(
    stream: &Arc<CudaStream>,
    effort: Effort,
    product: &mut CudaSlice<f32>,
    [_, columns]: [usize; 2],
    mut launch: impl FnMut(&mut CudaSlice<f32>) -> Result<(), Failure>,
) -> Result<f64, Failure> {
    stream.memset_zeros(product)?;
    launch(product)?;
    let expected = 2.0 * columns as f32;
    if let Some(wrong) = stream
        .clone_dtoh(product)?
        .iter()
        .find(|&&element| element != expected)
    {
        return Err(format!("{wrong} where {expected} should be").into());
    }
    let mut times = Vec::with_capacity(effort.rounds);
    for _ in 0..effort.rounds {
        stream.synchronize()?;
        let start = Instant::now();
        for _ in 0..LAUNCHES {
            launch(product)?;
        }
        stream.synchronize()?;
        times.push(start.elapsed().as_secs_f64() / LAUNCHES as f64);
    }
    Ok(median(&mut times))
}
