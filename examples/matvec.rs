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

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use npyz::WriterBuilder;
use warpcomm::{Blocks, Dtype, Element, Op, Place};

#[path = "shared/dot.rs"]
mod dot;
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
    T: Real + Part + Element + npyz::AutoSerialize,
{
    let comm = &rank.comm;
    let blocks = Blocks::even(problem.rows, comm.size());
    let mine = blocks.range(comm.rank());

    let matrix: Vec<T> = rank.agree(problem.read_rows(mine.clone()))?;
    let mut x: Vec<T> = rank.agree(problem.read_vector(rank))?;
    let mut part: Vec<T> = rank.agree(npy::zeroed(mine.len()))?;
    let mut y: Vec<T> = rank.agree(npy::zeroed(problem.rows))?;
    comm.bcast(&mut x, 0)?;

    comm.barrier()?;
    let start = Instant::now();
    for (index, element) in part.iter_mut().enumerate() {
        *element = T::dot(row(&matrix, index, problem.columns), &x);
    }
    comm.allgatherv(&part, &mut y, &blocks)?;
    let mut seconds = start.elapsed().as_secs_f64();
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
        options.place,
        rank.path,
    ))
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
