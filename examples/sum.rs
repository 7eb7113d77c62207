//! Adds up the numbers in a `.npy` file, of which each rank reads a part.
//!
//! ```text
//! $ warpcomm run -n 3 sum
//! sum = 8386560
//! ```
//!
//! Without a file the numbers are 0 to 4095. Integers are added as `i64` and wrap, as NumPy's do;
//! floating-point numbers are added as `f64`. With `--place device` each rank's GPU adds up its part, and the
//! reduction over the ranks takes the sums from there.

use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;

#[cfg(feature = "cuda")]
use warpcomm::cudarc::driver::{CudaSlice, PushKernelArg};
use warpcomm::{Blocks, Dtype, Element, Op, Place};

#[path = "shared/gpu.rs"]
mod gpu;
#[path = "shared/npy.rs"]
mod npy;
#[path = "shared/ranks.rs"]
mod ranks;

use npy::{Array, Part};
use ranks::{Failure, Rank};

/// How many numbers there are without a file.
const DEFAULT_LENGTH: usize = 4096;

/// Adds up the numbers in a file.
#[derive(clap::Args)]
struct Options {
    /// The numbers: one dimension of f32, f64, i32 or i64.
    #[arg(long, value_name = "X.npy")]
    vector: Option<PathBuf>,
    /// Where the numbers lie: host or device.
    #[arg(long, default_value = "host")]
    place: Place,
}

fn main() -> ExitCode {
    ranks::run("sum", sum)
}

fn sum(rank: &Rank, options: &Options) -> Result<(), Failure> {
    rank.agree_to_place(options.place)?;
    let mut file = rank.agree(open(options))?;
    let length = file.as_ref().map_or(DEFAULT_LENGTH, |vector| vector.shape()[0]);
    let dtype = file.as_ref().map_or(Dtype::F64, Array::dtype);
    rank.agree_on("the vector", &(length, dtype))?;
    match dtype {
        Dtype::F32 => add::<f32>(rank, options, &mut file, length),
        Dtype::F64 => add::<f64>(rank, options, &mut file, length),
        Dtype::I32 => add::<i32>(rank, options, &mut file, length),
        _ => add::<i64>(rank, options, &mut file, length),
    }
}

fn open(options: &Options) -> Result<Option<Array>, String> {
    let Some(path) = &options.vector else {
        return Ok(None);
    };
    let vector = Array::open(path, &[Dtype::F32, Dtype::F64, Dtype::I32, Dtype::I64])?;
    match vector.shape().len() {
        1 => Ok(Some(vector)),
        dimensions => Err(vector.error(format!("has {dimensions} dimensions; a vector has 1"))),
    }
}

fn add<T: Number>(
    rank: &Rank,
    options: &Options,
    file: &mut Option<Array>,
    length: usize,
) -> Result<(), Failure> {
    let (comm, ranks) = (&rank.comm, rank.comm.size());
    let mine = Blocks::even(length, ranks).range(comm.rank());
    let part: Vec<T> = rank.agree(match file {
        Some(vector) => vector.read(mine),
        None => Ok(mine.map(T::from_index).collect()),
    })?;

    let (local, sum) = match options.place {
        #[cfg(feature = "cuda")]
        Place::Device => on_device(rank, &part)?,
        _ => {
            let local = T::total(&part);
            let mut sum = local;
            comm.allreduce_in_place(&mut sum, Op::Sum)?;
            (local, sum)
        }
    };

    // It is easy to lose the remainder of the division among the ranks.
    let mut read = part.len() as u64;
    comm.allreduce_in_place(&mut read, Op::Sum)?;
    rank.agree(match read == length as u64 {
        true => Ok(()),
        false => Err(format!("the ranks have read {read} of {length} numbers")),
    })?;
    let mut locals = vec![local; ranks];
    comm.allgather(&local, &mut locals)?;
    rank.agree(match sum.is_total_of(&locals) {
        true => Ok(()),
        false => Err(format!("allreduce returned {sum} for the sum of {locals:?}")),
    })?;
    rank.print(&format!("sum = {sum}"))
}

/// Adds up this rank's part on its GPU, and the sums of all ranks where they are; returns both.
#[cfg(feature = "cuda")]
fn on_device<T: Number>(rank: &Rank, part: &[T]) -> Result<(T::Sum, T::Sum), Failure> {
    let comm = &rank.comm;
    let added = || {
        let gpu = gpu::Gpu::new(comm)?;
        let local = total(&gpu, part)?;
        Ok((gpu.download(&local, 1)?[0], gpu, local))
    };
    let (local, gpu, mut sum) = rank.agree(added())?;
    comm.allreduce_in_place(&mut sum.slice_mut(..1), Op::Sum)?;
    let sum = rank.agree(gpu.download(&sum, 1))?[0];
    rank.print(&format!("place device ({})", rank.agree(gpu.name())?))?;
    Ok((local, sum))
}

/// The sum of numbers, in segments and the sums of the segments; see `kernels/sum.cu`.
#[cfg(feature = "cuda")]
fn total<T: Number>(gpu: &gpu::Gpu, numbers: &[T]) -> Result<CudaSlice<T::Sum>, String> {
    const SEGMENT: usize = 2048;
    let kernels = gpu.load(include_str!("../kernels/ptx/sum.ptx"))?;
    let first = kernels.get(&format!("sum_{}", T::DTYPE))?;
    let again = kernels.get(&format!("sum_{}", T::Sum::DTYPE))?;
    let numbers_there = gpu.upload(numbers)?;
    let mut length = numbers.len();
    let mut sums = gpu.zeroed(length.div_ceil(SEGMENT))?;
    let mut launch = gpu.stream.launch_builder(&first);
    let count = length as u64;
    launch.arg(&numbers_there).arg(&mut sums).arg(&count);
    // SAFETY: the arguments are those that `kernels/sum.cu` declares, of the lengths it needs.
    unsafe { launch.launch(gpu.grid(length.div_ceil(SEGMENT) * 32)) }.map_err(gpu::failed)?;
    length = length.div_ceil(SEGMENT);
    while length > 1 {
        let mut next = gpu.zeroed(length.div_ceil(SEGMENT))?;
        let mut launch = gpu.stream.launch_builder(&again);
        let count = length as u64;
        launch.arg(&sums).arg(&mut next).arg(&count);
        // SAFETY: as above.
        unsafe { launch.launch(gpu.grid(length.div_ceil(SEGMENT) * 32)) }.map_err(gpu::failed)?;
        (sums, length) = (next, length.div_ceil(SEGMENT));
    }
    Ok(sums)
}

/// A number in a file.
trait Number: Part + Element + gpu::OnDevice {
    /// The type in which it is added.
    type Sum: Sum;
    fn from_index(index: usize) -> Self;
    fn total(numbers: &[Self]) -> Self::Sum;
}

/// A sum of numbers.
trait Sum: Element + Display + gpu::OnDevice {
    /// Whether this is the sum of `parts`, but for rounding.
    fn is_total_of(self, parts: &[Self]) -> bool;
}

macro_rules! numbers {
    ($($number:ty: $sum:ty, $total:expr;)*) => { $(
        impl Number for $number {
            type Sum = $sum;

            fn from_index(index: usize) -> $number {
                index as $number
            }

            fn total(numbers: &[$number]) -> $sum {
                let total: fn(&[$number], fn($number) -> $sum) -> $sum = $total;
                total(numbers, |number| number.into())
            }
        }
    )* };
}

numbers! {
    f32: f64, pairwise;
    f64: f64, pairwise;
    i32: i64, wrapping;
    i64: i64, wrapping;
}

fn wrapping<T: Copy>(numbers: &[T], widen: fn(T) -> i64) -> i64 {
    numbers
        .iter()
        .fold(0, |sum, &number| sum.wrapping_add(widen(number)))
}

/// Adds halves, and halves of halves, so that the rounding error grows with the logarithm of the
/// length only. The order is the same in every run.
fn pairwise<T: Copy>(numbers: &[T], widen: fn(T) -> f64) -> f64 {
    if numbers.len() <= 128 {
        return numbers.iter().fold(0.0, |sum, &number| sum + widen(number));
    }
    let (left, right) = numbers.split_at(numbers.len() / 2);
    pairwise(left, widen) + pairwise(right, widen)
}

impl Sum for i64 {
    fn is_total_of(self, parts: &[i64]) -> bool {
        self == wrapping(parts, |part| part)
    }
}

impl Sum for f64 {
    fn is_total_of(self, parts: &[f64]) -> bool {
        let total: f64 = parts.iter().sum();
        let magnitude: f64 = parts.iter().map(|part| part.abs()).sum();
        // Where a part is infinite or no number, the order decides which of them the sum is.
        !magnitude.is_finite() || (self - total).abs() <= parts.len() as f64 * f64::EPSILON * magnitude
    }
}
