//! How near the kernels come to the speed at which the GPU copies its own memory:
//! `cargo bench --bench bandwidth -- --json FILE`.
//!
//! Folds of 2 to 16 inputs, and the product of a matrix and a vector, in bytes read and written per second,
//! beside a device-to-device copy measured in the same run. Each figure is the median of several runs, each
//! timed by events around several launches, over buffers larger than the cache. On a simulated GPU, or with
//! `--test`, only the results are checked, at small sizes.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use serde::Serialize;
use warpcomm::cudarc::driver::sys::CUevent_flags::CU_EVENT_DEFAULT;
use warpcomm::cudarc::driver::{
    CudaContext, CudaFunction, CudaSlice, CudaStream, DevicePtr, DeviceRepr, LaunchConfig, PushKernelArg,
};
use warpcomm::cudarc::nvrtc::Ptx;

/// Whatever went wrong; it is only shown.
type Failure = Box<dyn std::error::Error>;

const MIB: usize = 1 << 20;
const RUNS: usize = 15;
const LAUNCHES: usize = 4;

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
    gpu: String,
    compute_capability: String,
    driver: i32,
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

/// The addresses of a kernel's inputs or outputs, as `kernels/reduce.cu` declares them.
#[repr(C)]
struct Addresses([u64; 16]);

// SAFETY: numbers, as the kernel declares them.
unsafe impl DeviceRepr for Addresses {}

struct Gpu {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    multiprocessors: u32,
    is_checked_only: bool,
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
    let name = context.name()?;
    let (major, minor) = context.compute_capability()?;
    let is_simulated = name.to_lowercase().contains("simulated");
    let multiprocessors = context.attribute(
        warpcomm::cudarc::driver::sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT,
    )?;
    let gpu = Gpu {
        stream: context.new_stream()?,
        multiprocessors: u32::try_from(multiprocessors)?,
        is_checked_only: is_simulated || !(arguments.bench || arguments.json.is_some()) || arguments.test,
        context,
    };
    let mut driver = 0;
    // SAFETY: writes the version to our variable.
    unsafe { warpcomm::cudarc::driver::sys::cuDriverGetVersion(&mut driver) }.result()?;
    println!("{name}, compute capability {major}.{minor}, driver {driver}");
    let mut document = Document {
        warpcomm: env!("CARGO_PKG_VERSION"),
        gpu: name,
        compute_capability: format!("{major}.{minor}"),
        driver,
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
        for inputs in [2, 4, 8, 16] {
            let seconds = gpu.fold::<f32>(
                "f32",
                include_str!("../kernels/ptx/fold_f32.ptx"),
                bytes,
                inputs,
                1.0,
            )?;
            document.add(
                &gpu,
                format!("fold_sum f32, {inputs} inputs"),
                bytes,
                (inputs + 1) * bytes,
                seconds,
                per_byte,
            );
        }
        let seconds = gpu.fold::<f64>("f64", include_str!("../kernels/ptx/fold_f64.ptx"), bytes, 2, 1.0)?;
        document.add(
            &gpu,
            "fold_sum f64, 2 inputs".to_owned(),
            bytes,
            3 * bytes,
            seconds,
            per_byte,
        );
        let one = half::f16::ONE;
        let seconds =
            gpu.fold::<half::f16>("f16", include_str!("../kernels/ptx/fold_f16.ptx"), bytes, 2, one)?;
        document.add(
            &gpu,
            "fold_sum f16, 2 inputs".to_owned(),
            bytes,
            3 * bytes,
            seconds,
            per_byte,
        );
        let seconds = gpu.fold::<u8>("u8", include_str!("../kernels/ptx/fold_u8.ptx"), bytes, 2, 1)?;
        document.add(
            &gpu,
            "fold_sum u8, 2 inputs".to_owned(),
            bytes,
            3 * bytes,
            seconds,
            per_byte,
        );
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

impl Gpu {
    /// The median time of a launch, in seconds.
    fn time(&self, mut launch: impl FnMut() -> Result<(), Failure>) -> Result<f64, Failure> {
        launch()?;
        self.stream.synchronize()?;
        if self.is_checked_only {
            return Ok(1.0);
        }
        let mut times = Vec::with_capacity(RUNS);
        for _ in 0..RUNS {
            let start = self.stream.record_event(Some(CU_EVENT_DEFAULT))?;
            for _ in 0..LAUNCHES {
                launch()?;
            }
            let end = self.stream.record_event(Some(CU_EVENT_DEFAULT))?;
            times.push(f64::from(start.elapsed_ms(&end)?) / 1e3 / LAUNCHES as f64);
        }
        times.sort_by(f64::total_cmp);
        Ok(times[times.len() / 2])
    }

    fn copy(&self, bytes: usize) -> Result<f64, Failure> {
        let from = self.stream.clone_htod(&vec![3u8; bytes])?;
        let mut to = self.stream.alloc_zeros::<u8>(bytes)?;
        let seconds = self.time(|| Ok(self.stream.memcpy_dtod(&from, &mut to)?))?;
        all_are(&self.stream.clone_dtoh(&to)?, 3, "copy")?;
        Ok(seconds)
    }

    /// Blocks for so many accesses, at most as many on a multiprocessor.
    fn grid(&self, accesses: usize, each: u32) -> LaunchConfig {
        let most = self.multiprocessors * each;
        let blocks = u32::try_from(accesses.div_ceil(256)).map_or(most, |blocks| blocks.min(most));
        LaunchConfig {
            grid_dim: (blocks.max(1), 1, 1),
            block_dim: (256, 1, 1),
            shared_mem_bytes: 0,
        }
    }

    fn function(&self, ptx: &str, name: &str) -> Result<CudaFunction, Failure> {
        Ok(self
            .context
            .load_module(Ptx::from_src(ptx))?
            .load_function(name)?)
    }

    fn fold<T>(&self, dtype: &str, ptx: &str, bytes: usize, inputs: usize, one: T) -> Result<f64, Failure>
    where
        T: DeviceRepr + Copy + Default + PartialEq + std::fmt::Debug + std::iter::Sum,
    {
        let function = self.function(ptx, "fold_sum")?;
        let elements = bytes / size_of::<T>();
        let buffers: Vec<CudaSlice<T>> = (0..inputs)
            .map(|_| self.stream.clone_htod(&vec![one; elements]))
            .collect::<Result<_, _>>()?;
        let output = self.stream.clone_htod(&vec![T::default(); elements])?;
        let mut addresses = Addresses([0; 16]);
        for (address, buffer) in addresses.0.iter_mut().zip(&buffers) {
            *address = buffer.device_ptr(&self.stream).0;
        }
        let mut outputs = Addresses([0; 16]);
        outputs.0[0] = output.device_ptr(&self.stream).0;
        let copies = 1u32;
        let (count, partial, leaves, length) = (inputs as u32, 0u32, inputs as u32, elements as u64);
        let grid = self.grid(bytes.div_ceil(16), 4);
        let seconds = self.time(|| {
            let mut launch = self.stream.launch_builder(&function);
            launch
                .arg(&addresses)
                .arg(&outputs)
                .arg(&length)
                .arg(&count)
                .arg(&copies)
                .arg(&partial)
                .arg(&leaves)
                .arg(&partial);
            // SAFETY: the parameters are those that `kernels/reduce.cu` declares, of these lengths.
            unsafe { launch.launch(grid) }?;
            Ok(())
        })?;
        let sum = std::iter::repeat_n(one, inputs).sum();
        all_are(
            &self.stream.clone_dtoh(&output)?,
            sum,
            &format!("fold of {inputs} {dtype}"),
        )?;
        Ok(seconds)
    }

    fn matvec(&self, rows: usize, columns: usize) -> Result<f64, Failure> {
        let function = self.function(include_str!("../kernels/ptx/matvec.ptx"), "matvec_f32")?;
        let matrix = self.stream.clone_htod(&vec![1f32; rows * columns])?;
        let vector = self.stream.clone_htod(&vec![2f32; columns])?;
        let mut product = self.stream.alloc_zeros::<f32>(rows)?;
        let (height, width) = (rows as u64, columns as u64);
        // A warp for each row.
        let grid = self.grid(rows * 32, 2);
        let seconds = self.time(|| {
            let mut launch = self.stream.launch_builder(&function);
            launch
                .arg(&matrix)
                .arg(&vector)
                .arg(&mut product)
                .arg(&height)
                .arg(&width);
            // SAFETY: the parameters are those that `kernels/matvec.cu` declares, of these lengths.
            unsafe { launch.launch(grid) }?;
            Ok(())
        })?;
        all_are(&self.stream.clone_dtoh(&product)?, 2.0 * columns as f32, "matvec")?;
        Ok(seconds)
    }
}

fn all_are<T: PartialEq + std::fmt::Debug>(values: &[T], expected: T, what: &str) -> Result<(), Failure> {
    match values.iter().position(|value| *value != expected) {
        None => Ok(()),
        Some(at) => Err(format!("{what}: element {at} is {:?} instead of {expected:?}", values[at]).into()),
    }
}
