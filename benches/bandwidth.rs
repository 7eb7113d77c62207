//! How near the kernels come to the speed at which the GPU copies its own memory:
//! `cargo bench --bench bandwidth -- --json FILE`.
//!
//! Folds of 2 to 16 inputs, and the product of a matrix and a vector, in bytes read and written per second,
//! beside a device-to-device copy measured in the same run. Each figure is the median of several runs, each
//! timed by events around several launches, over buffers that are larger than the cache by far. On a simulated GPU, or with
//! `--test`, only the results are checked, at small sizes.

#[path = "shared/gpu.rs"]
mod gpu;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;
use warpcomm::cudarc::driver::CudaContext;

use gpu::{Description, Fold, Gpu};

/// Whatever went wrong; it is only shown.
type Failure = Box<dyn std::error::Error>;

const MIB: usize = 1 << 20;

/// Measures the kernels against the copy bandwidth of the GPU.
#[derive(Parser)]
struct Arguments {
    /// Also write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only check that results are right, at small sizes.
    #[arg(long)]
    test: bool,
    /// `cargo bench` always passes this.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What was measured on which GPU.
#[derive(Serialize)]
struct Document {
    warpcomm: &'static str,
    #[serde(flatten)]
    gpu: Description,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    what: String,
    /// Of one input.
    bytes: usize,
    /// Read and written.
    bytes_moved: usize,
    median_seconds: f64,
    bytes_per_second: f64,
    /// Beside the copy of as many bytes as one input has.
    part_of_copy: f64,
}

const F32: &str = include_str!("../kernels/ptx/fold_f32.ptx");
const F64: &str = include_str!("../kernels/ptx/fold_f64.ptx");
const F16: &str = include_str!("../kernels/ptx/fold_f16.ptx");
const U8: &str = include_str!("../kernels/ptx/fold_u8.ptx");

/// A sum of ones.
fn sum<T>(
    dtype: &'static str,
    ptx: &'static str,
    bytes: usize,
    inputs: usize,
    [one, result]: [T; 2],
) -> Fold<T> {
    Fold {
        dtype,
        ptx,
        op: "sum",
        bytes,
        inputs,
        one,
        result,
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bandwidth: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    if let Err(error) = warpcomm::Place::Device.check() {
        // Benches are smoke-tested on machines without a GPU too; who needs one says so.
        if std::env::var_os("WARPCOMM_REQUIRE_GPU").is_some_and(|value| value == "1") {
            return Err(error.into());
        }
        eprintln!("bandwidth: nothing was measured: {error}");
        return Ok(());
    }
    let context = CudaContext::new(0)?;
    let description = Description::of(&context)?;
    let is_measured = arguments.bench || arguments.json.is_some();
    let gpu = Gpu::new(
        context,
        description.is_simulated || !is_measured || arguments.test,
    )?;
    println!(
        "{}, compute capability {}, driver {}",
        description.gpu, description.compute_capability, description.driver
    );
    let mut document = Document {
        warpcomm: env!("CARGO_PKG_VERSION"),
        gpu: description,
        rows: Vec::new(),
    };
    let sizes: &[usize] = if gpu.is_checked_only {
        &[4096 + 16]
    } else {
        &[64 * MIB, 256 * MIB]
    };
    for &bytes in sizes {
        let copy = gpu.copy(bytes)?;
        document.add(
            &gpu,
            "copy".to_owned(),
            bytes,
            2 * bytes,
            copy,
            copy / (2 * bytes) as f64,
        );
        let per_byte = copy / (2 * bytes) as f64;
        let mut add = |dtype, inputs: usize, seconds| {
            let what = format!("fold_sum {dtype}, {inputs} inputs");
            document.add(&gpu, what, bytes, (inputs + 1) * bytes, seconds, per_byte);
        };
        for inputs in [2, 4, 8, 16] {
            let fold = sum("f32", F32, bytes, inputs, [1.0, inputs as f32]);
            add(fold.dtype, inputs, gpu.fold(&fold)?);
        }
        add("f64", 2, gpu.fold(&sum("f64", F64, bytes, 2, [1.0, 2.0]))?);
        let [one, two] = [half::f16::ONE, half::f16::from_f32(2.0)];
        add("f16", 2, gpu.fold(&sum("f16", F16, bytes, 2, [one, two]))?);
        add("u8", 2, gpu.fold(&sum("u8", U8, bytes, 2, [1u8, 2]))?);
    }
    let per_byte = document
        .rows
        .iter()
        .rev()
        .find(|row| row.what == "copy")
        .map_or(0.0, |row| 1.0 / row.bytes_per_second);
    // Rows and columns; more columns than one segment take two kernels.
    let shapes: &[[usize; 2]] = if gpu.is_checked_only {
        &[[5, 130]]
    } else {
        &[[262_144, 2048], [524_288, 1024]]
    };
    for &[rows, columns] in shapes {
        let bytes = rows * columns * size_of::<f32>();
        let seconds = gpu.matvec(rows, columns)?;
        let moved = bytes + (rows + columns) * size_of::<f32>();
        document.add(
            &gpu,
            format!("matvec f32 {rows} x {columns}"),
            bytes,
            moved,
            seconds,
            per_byte,
        );
    }
    if gpu.is_checked_only {
        println!("the results are right; nothing was measured");
        return Ok(());
    }
    if let Some(file) = &arguments.json {
        std::fs::write(file, serde_json::to_string_pretty(&document)? + "\n")?;
    }
    Ok(())
}

impl Document {
    fn add(
        &mut self,
        gpu: &Gpu,
        what: String,
        bytes: usize,
        bytes_moved: usize,
        median_seconds: f64,
        copy_seconds_per_byte: f64,
    ) {
        let row = Row {
            what,
            bytes,
            bytes_moved,
            median_seconds,
            bytes_per_second: bytes_moved as f64 / median_seconds,
            part_of_copy: copy_seconds_per_byte * bytes_moved as f64 / median_seconds,
        };
        if !gpu.is_checked_only {
            println!(
                "{:<28} {:>6} MiB {:>9.1} us {:>8.1} GB/s {:>6.1}% of copy",
                row.what,
                row.bytes / MIB,
                row.median_seconds * 1e6,
                row.bytes_per_second / 1e9,
                row.part_of_copy * 100.0
            );
        }
        self.rows.push(row);
    }
}
