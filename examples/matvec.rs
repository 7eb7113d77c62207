//! Multiplies a matrix by a vector: each rank reads and multiplies its own rows.
//!
//! ```text
//! $ warpcomm run -n 3 matvec --matrix A.npy --vector x.npy --out y.npy
//! ```
//!
//! The files are NumPy's, of `f32` or `f64` in C order. Rows are dealt out evenly, and the parts of
//! the result are gathered with unequal counts. Each element of the result is computed by one rank
//! in an order that depends on the length of the row only, so the result has the same bits for any
//! number of ranks. Without files the data is made from a seed.
//!
//! With `--place device` the matrix and the vectors lie on each rank's GPU, which multiplies its rows; buffers
//! of the GPU are sent as they are.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use npyz::WriterBuilder;
#[cfg(feature = "cuda")]
use warpcomm::cudarc::driver::{CudaFunction, CudaSlice, PushKernelArg};
use warpcomm::{Blocks, Dtype, Element, Op, Place};

#[path = "shared/dot.rs"]
mod dot;
#[path = "shared/gpu.rs"]
mod gpu;
#[path = "shared/npy.rs"]
mod npy;
#[path = "shared/ranks.rs"]
mod ranks;

use dot::Real;
use npy::{Array, Part};
use ranks::{Failure, Rank};

/// What the matrix and the vector are made from where no files are given.
const SEED: u64 = 20_240_607;
const SEEDED_SHAPE: [usize; 2] = [1000, 777];

/// Multiplies a matrix by a vector.
#[derive(clap::Args)]
struct Options {
    /// The matrix: two dimensions of f32 or f64 in C order.
    #[arg(long, value_name = "A.npy", requires = "vector")]
    matrix: Option<PathBuf>,
    /// The vector: as many elements as the matrix has columns, of the same type.
    #[arg(long, value_name = "X.npy", requires = "matrix")]
    vector: Option<PathBuf>,
    /// The file to write the product to.
    #[arg(long, value_name = "Y.npy")]
    out: Option<PathBuf>,
    /// Where the matrix and the vectors lie: host or device.
    #[arg(long, default_value = "host")]
    place: Place,
}

fn main() -> ExitCode {
    ranks::run("matvec", matvec)
}

fn matvec(rank: &Rank, options: &Options) -> Result<(), Failure> {
    rank.agree_to_place(options.place)?;
    let mut problem = rank.agree(Problem::open(options))?;
    rank.agree_on("the matrix", &(problem.rows, problem.columns, problem.dtype))?;
    match problem.dtype {
        Dtype::F32 => multiply::<f32>(rank, options, &mut problem),
        _ => multiply::<f64>(rank, options, &mut problem),
    }
}

/// What is to be multiplied.
struct Problem {
    rows: usize,
    columns: usize,
    dtype: Dtype,
    /// The matrix and the vector; without them both are made from the seed.
    files: Option<(Array, Array)>,
}

impl Problem {
    fn open(options: &Options) -> Result<Problem, String> {
        let (Some(matrix), Some(vector)) = (&options.matrix, &options.vector) else {
            let [rows, columns] = SEEDED_SHAPE;
            return Ok(Problem {
                rows,
                columns,
                dtype: Dtype::F64,
                files: None,
            });
        };
        let matrix = Array::open(matrix, &[Dtype::F32, Dtype::F64])?;
        let vector = Array::open(vector, &[Dtype::F32, Dtype::F64])?;
        let &[rows, columns] = matrix.shape() else {
            return Err(matrix.error(format!("has {} dimensions; a matrix has 2", matrix.shape().len())));
        };
        let &[length] = vector.shape() else {
            return Err(vector.error(format!("has {} dimensions; a vector has 1", vector.shape().len())));
        };
        if length != columns {
            let reason = format!("has {length} elements; a matrix of {rows}x{columns} needs {columns}");
            return Err(vector.error(reason));
        }
        if vector.dtype() != matrix.dtype() {
            let (found, needed) = (vector.dtype().name(), matrix.dtype().name());
            return Err(vector.error(format!(
                "its elements are {found}, but those of the matrix are {needed}"
            )));
        }
        Ok(Problem {
            rows,
            columns,
            dtype: matrix.dtype(),
            files: Some((matrix, vector)),
        })
    }

    /// The rows of the matrix that this rank multiplies, one behind the other.
    fn read_rows<T: Real + Part>(&mut self, rows: std::ops::Range<usize>) -> Result<Vec<T>, String> {
        let elements = rows.start * self.columns..rows.end * self.columns;
        match &mut self.files {
            Some((matrix, _)) => matrix.read(elements),
            None => Ok(elements.map(|index| T::from_f64(seeded(SEED, index))).collect()),
        }
    }

    /// The whole vector on rank 0, and as much room on the others.
    fn read_vector<T: Real + Part>(&mut self, rank: &Rank) -> Result<Vec<T>, String> {
        match &mut self.files {
            Some((_, vector)) if rank.comm.rank() == 0 => vector.read(0..self.columns),
            None if rank.comm.rank() == 0 => Ok((0..self.columns)
                .map(|index| T::from_f64(seeded(!SEED, index)))
                .collect()),
            _ => npy::zeroed(self.columns),
        }
    }
}

fn multiply<T>(rank: &Rank, options: &Options, problem: &mut Problem) -> Result<(), Failure>
where
    T: Real + Part + Element + npyz::AutoSerialize + gpu::OnDevice,
{
    let comm = &rank.comm;
    let blocks = Blocks::even(problem.rows, comm.size());
    let mine = blocks.range(comm.rank());

    let matrix: Vec<T> = rank.agree(problem.read_rows(mine.clone()))?;
    let mut x: Vec<T> = rank.agree(problem.read_vector(rank))?;
    let mut y: Vec<T> = rank.agree(npy::zeroed(problem.rows))?;
    let (mut seconds, place) = match options.place {
        #[cfg(feature = "cuda")]
        Place::Device => on_device(rank, &blocks, &matrix, &mut x, &mut y)?,
        _ => on_host(rank, &blocks, &matrix, &mut x, &mut y)?,
    };
    comm.allreduce_in_place(&mut seconds, Op::Max)?;

    let mut largest = 0.0;
    let mut outcome = Ok(());
    for (index, &element) in y[mine.clone()].iter().enumerate() {
        let plain = dot::plain(row(&matrix, index, problem.columns), &x);
        let difference = plain.difference(element);
        largest = if difference > largest || difference.is_nan() {
            difference
        } else {
            largest
        };
        if !plain.agrees_with(element) && outcome.is_ok() {
            let (row, expected) = (mine.start + index, plain.value);
            outcome = Err(format!(
                "row {row} is {element:?}; a plain computation on the host gives {expected:?}"
            ));
        }
    }
    comm.allreduce_in_place(&mut largest, Op::Max)?;
    rank.agree(outcome)?;

    rank.agree(match &options.out {
        Some(path) if comm.rank() == 0 => {
            write(path, &y).map_err(|error| format!("{}: {error}", path.display()))
        }
        _ => Ok(()),
    })?;
    let seeded = if problem.files.is_none() {
        format!(" made from seed {SEED}")
    } else {
        String::new()
    };
    rank.print(&format!(
        "matvec: {}x{} {}{seeded}, ranks {}, place {}, path {}, {seconds:.6} s, \
         largest difference from the host {largest:.1e}",
        problem.rows,
        problem.columns,
        problem.dtype.name(),
        comm.size(),
        place,
        rank.path,
    ))
}

/// Sends rank 0's vector `x` to all, and collects the product of all rows in `y`; returns the time of the
/// product, and where it was computed.
fn on_host<T: Real + Element>(
    rank: &Rank,
    blocks: &Blocks,
    matrix: &[T],
    x: &mut [T],
    y: &mut [T],
) -> Result<(f64, String), Failure> {
    let comm = &rank.comm;
    comm.bcast(x, 0)?;
    comm.barrier()?;
    let start = Instant::now();
    let rows = 0..blocks.count(comm.rank());
    let part: Vec<T> = rows.map(|index| T::dot(row(matrix, index, x.len()), x)).collect();
    comm.allgatherv(&part, y, blocks)?;
    Ok((start.elapsed().as_secs_f64(), "host".to_owned()))
}

/// As [`on_host`], with all buffers on the GPU.
#[cfg(feature = "cuda")]
fn on_device<T: Real + Element + gpu::OnDevice>(
    rank: &Rank,
    blocks: &Blocks,
    matrix: &[T],
    x: &mut Vec<T>,
    y: &mut Vec<T>,
) -> Result<(f64, String), Failure> {
    let comm = &rank.comm;
    let (rows, columns) = (blocks.count(comm.rank()), x.len());
    let uploaded = || {
        let gpu = gpu::Gpu::new(comm)?;
        let product = Product::new::<T>(&gpu, rows, columns)?;
        let buffers = (
            gpu.upload(matrix)?,
            gpu.upload(x)?,
            gpu.zeroed(rows)?,
            gpu.zeroed(y.len())?,
        );
        gpu.stream.synchronize().map_err(gpu::failed)?;
        Ok((gpu.name()?, gpu, product, buffers))
    };
    let (name, gpu, mut product, (matrix, mut x_there, mut part, mut y_there)) = rank.agree(uploaded())?;

    comm.bcast(&mut x_there.slice_mut(..columns), 0)?;
    comm.barrier()?;
    let start = Instant::now();
    let launched = product.launch(&gpu, &matrix, &x_there, &mut part);
    comm.allgatherv(&part.slice(..rows), &mut y_there.slice_mut(..y.len()), blocks)?;
    let done = launched.and_then(|()| gpu.stream.synchronize().map_err(gpu::failed));
    let seconds = start.elapsed().as_secs_f64();
    rank.agree(done)?;

    let downloaded = || Ok((gpu.download(&x_there, columns)?, gpu.download(&y_there, y.len())?));
    (*x, *y) = rank.agree(downloaded())?;
    Ok((seconds, format!("device ({name})")))
}

/// The kernels of one product, and the memory between them; see `kernels/matvec.cu`.
#[cfg(feature = "cuda")]
struct Product {
    rows: usize,
    columns: usize,
    first: CudaFunction,
    finish: CudaFunction,
    /// The sums of the segments of the rows, and the sums of those, and so on.
    sums: Vec<(usize, CudaSlice<f64>)>,
}

#[cfg(feature = "cuda")]
impl Product {
    /// The columns of a segment.
    const SEGMENT: usize = 2048;

    fn new<T: Element>(gpu: &gpu::Gpu, rows: usize, columns: usize) -> Result<Product, String> {
        let kernels = gpu.load(include_str!("../kernels/ptx/matvec.ptx"))?;
        let mut sums = Vec::new();
        let mut left = columns;
        while left > Product::SEGMENT {
            left = left.div_ceil(Product::SEGMENT);
            sums.push((left, gpu.zeroed(rows * left)?));
        }
        Ok(Product {
            rows,
            columns,
            first: kernels.get(&format!("matvec_{}", T::DTYPE))?,
            finish: kernels.get(&format!("matvec_finish_{}", T::DTYPE))?,
            sums,
        })
    }

    fn launch<T: gpu::OnDevice>(
        &mut self,
        gpu: &gpu::Gpu,
        matrix: &CudaSlice<T>,
        x: &CudaSlice<T>,
        product: &mut CudaSlice<T>,
    ) -> Result<(), String> {
        let (rows, columns) = (self.rows as u64, self.columns as u64);
        // A warp for each segment.
        let grid = |columns: usize| gpu.grid(self.rows * columns.div_ceil(Product::SEGMENT) * 32);
        let Some(((mut left, first), rest)) = self
            .sums
            .split_first_mut()
            .map(|((n, sums), rest)| ((*n, sums), rest))
        else {
            let mut launch = gpu.stream.launch_builder(&self.first);
            launch.arg(matrix).arg(x).arg(product).arg(&rows).arg(&columns);
            // SAFETY: the arguments are those that `kernels/matvec.cu` declares, of the lengths it needs.
            return unsafe { launch.launch(grid(self.columns)) }
                .map(drop)
                .map_err(gpu::failed);
        };
        let mut launch = gpu.stream.launch_builder(&self.first);
        launch
            .arg(matrix)
            .arg(x)
            .arg(&mut *first)
            .arg(&rows)
            .arg(&columns);
        // SAFETY: as above.
        unsafe { launch.launch(grid(self.columns)) }.map_err(gpu::failed)?;
        let mut sums: &CudaSlice<f64> = first;
        for (next_left, next) in rest {
            let columns = left as u64;
            let mut launch = gpu.stream.launch_builder(&self.finish);
            launch.arg(sums).arg(&mut *next).arg(&rows).arg(&columns);
            // SAFETY: as above.
            unsafe { launch.launch(grid(left)) }.map_err(gpu::failed)?;
            (left, sums) = (*next_left, next);
        }
        let columns = left as u64;
        let mut launch = gpu.stream.launch_builder(&self.finish);
        launch.arg(sums).arg(product).arg(&rows).arg(&columns);
        // SAFETY: as above.
        unsafe { launch.launch(grid(left)) }
            .map(drop)
            .map_err(gpu::failed)
    }
}

fn row<T>(matrix: &[T], index: usize, columns: usize) -> &[T] {
    &matrix[index * columns..(index + 1) * columns]
}

fn write<T: npyz::AutoSerialize>(path: &Path, values: &[T]) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let options = npyz::WriteOptions::new()
        .default_dtype()
        .shape(&[values.len() as u64]);
    let mut writer = options.writer(&mut file).begin_nd()?;
    writer.extend(values)?;
    writer.finish()?;
    file.flush()
}

/// A number in -1..1 that depends on the seed and the index only, so that each rank can make its
/// own rows. (SplitMix64.)
fn seeded(seed: u64, index: usize) -> f64 {
    let mut bits = seed.wrapping_add((index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    (bits >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}
