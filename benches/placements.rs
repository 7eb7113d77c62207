//! What it costs to have the buffers on a GPU: `cargo bench --bench placements`.
//!
//! `allreduce` and `bcast` of two ranks, from 8 B to 64 MiB, three ways: with host buffers (the CPU reduces),
//! with device buffers (the GPU reduces), and with device buffers that the program itself copies to the host,
//! reduces or sends there, and copies back. First with ranks that are threads, then as an MPI job, which the
//! program starts itself. Times are those of the slower rank. Without a GPU only the host's are measured.
//!
//! Rank 0 runs Criterion; it tells the others what to do and how often.

#[cfg(feature = "mpi")]
#[allow(dead_code)]
#[path = "../src/bin/warpcomm/launcher.rs"]
mod launcher;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use warpcomm::{Communicator, Op, Place};

/// Set in the ranks of the MPI job.
#[cfg(feature = "mpi")]
const RANK_VARIABLE: &str = "WARPCOMM_TEST_BENCH_RANK";

const RANKS: usize = 2;
const LARGEST_BYTES: usize = 64 << 20;

/// Whatever went wrong; it is only shown.
type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Allreduce,
    Bcast,
}

/// Where the buffers are, and who moves them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Host,
    #[cfg(feature = "cuda")]
    Device,
    /// Copied to the host and back around an operation on the host.
    #[cfg(feature = "cuda")]
    ByHand,
}

impl Way {
    /// Those of this machine.
    fn available() -> &'static [Way] {
        #[cfg(feature = "cuda")]
        if Place::Device.check().is_ok() {
            return &[Way::Host, Way::Device, Way::ByHand];
        }
        &[Way::Host]
    }

    fn name(self) -> &'static str {
        match self {
            Way::Host => "host",
            #[cfg(feature = "cuda")]
            Way::Device => "device",
            #[cfg(feature = "cuda")]
            Way::ByHand => "copied by hand",
        }
    }
}

/// One measurement.
#[derive(Clone, Copy)]
struct Case {
    operation: Operation,
    way: Way,
    bytes: usize,
}

impl Case {
    /// Every case, in the same order on all ranks.
    fn all() -> Vec<Case> {
        let ways = Way::available();
        let sizes: Vec<usize> = (3..=26)
            .step_by(3)
            .map(|power| 1 << power)
            .chain([LARGEST_BYTES])
            .collect();
        let mut cases = Vec::new();
        for operation in [Operation::Allreduce, Operation::Bcast] {
            for &bytes in &sizes {
                cases.extend(ways.iter().map(|&way| Case {
                    operation,
                    way,
                    bytes,
                }));
            }
        }
        cases
    }

    /// How long so many operations take on the slower rank.
    fn run(self, comm: &Communicator, repetitions: u64) -> Result<Duration, Failure> {
        let seconds = match self.way {
            Way::Host => self.on_host(comm, repetitions)?,
            #[cfg(feature = "cuda")]
            Way::Device => self.on_device(comm, repetitions)?,
            #[cfg(feature = "cuda")]
            Way::ByHand => self.by_hand(comm, repetitions)?,
        };
        let mut slowest = seconds.as_secs_f64();
        comm.allreduce_in_place(&mut slowest, Op::Max)?;
        Ok(Duration::from_secs_f64(slowest))
    }

    fn elements(self) -> usize {
        self.bytes / size_of::<f32>()
    }

    /// What an element is after the operation: rank 0 starts with 1, and the others with 2.
    fn result(self, comm: &Communicator) -> f32 {
        match self.operation {
            Operation::Allreduce => (2 * comm.size() - 1) as f32,
            Operation::Bcast => 1.0,
        }
    }

    fn start(comm: &Communicator) -> f32 {
        if comm.rank() == 0 { 1.0 } else { 2.0 }
    }

    fn on_host(self, comm: &Communicator, repetitions: u64) -> Result<Duration, Failure> {
        let own = vec![Case::start(comm); self.elements()];
        let mut buffer = own.clone();
        let time = timed(comm, repetitions, || {
            match self.operation {
                Operation::Allreduce => comm.allreduce(&own, &mut buffer, Op::Sum),
                Operation::Bcast => comm.bcast(&mut buffer, 0),
            }?;
            Ok(())
        })?;
        self.check(comm, &buffer)?;
        Ok(time)
    }

    #[cfg(feature = "cuda")]
    fn on_device(self, comm: &Communicator, repetitions: u64) -> Result<Duration, Failure> {
        let stream = comm.device()?.new_stream()?;
        let own = stream.clone_htod(&vec![Case::start(comm); self.elements()])?;
        let mut buffer = own.try_clone()?;
        let time = timed(comm, repetitions, || {
            match self.operation {
                Operation::Allreduce => comm.allreduce(&own, &mut buffer, Op::Sum),
                Operation::Bcast => comm.bcast(&mut buffer, 0),
            }?;
            // What a program that needs the result at once waits for.
            Ok(stream.synchronize()?)
        })?;
        self.check(comm, &stream.clone_dtoh(&buffer)?)?;
        Ok(time)
    }

    #[cfg(feature = "cuda")]
    fn by_hand(self, comm: &Communicator, repetitions: u64) -> Result<Duration, Failure> {
        let stream = comm.device()?.new_stream()?;
        let own = stream.clone_htod(&vec![Case::start(comm); self.elements()])?;
        let mut buffer = own.try_clone()?;
        let mut out = vec![0f32; self.elements()];
        let mut into = out.clone();
        let time = timed(comm, repetitions, || {
            match self.operation {
                Operation::Allreduce => {
                    stream.memcpy_dtoh(&own, &mut out)?;
                    stream.synchronize()?;
                    comm.allreduce(&out, &mut into, Op::Sum)?;
                }
                Operation::Bcast if comm.rank() == 0 => {
                    stream.memcpy_dtoh(&buffer, &mut into)?;
                    stream.synchronize()?;
                    // It has the elements already.
                    return Ok(comm.bcast(&mut into, 0)?);
                }
                Operation::Bcast => comm.bcast(&mut into, 0)?,
            }
            stream.memcpy_htod(&into, &mut buffer)?;
            Ok(stream.synchronize()?)
        })?;
        self.check(comm, &stream.clone_dtoh(&buffer)?)?;
        Ok(time)
    }

    fn check(self, comm: &Communicator, elements: &[f32]) -> Result<(), Failure> {
        let result = self.result(comm);
        match elements.iter().find(|&&element| element != result) {
            None => Ok(()),
            Some(wrong) => Err(format!("{wrong} where {result} should be").into()),
        }
    }
}

/// Starts when all ranks are there, and repeats an operation.
fn timed(
    comm: &Communicator,
    repetitions: u64,
    mut operation: impl FnMut() -> Result<(), Failure>,
) -> Result<Duration, Failure> {
    comm.barrier()?;
    let start = Instant::now();
    for _ in 0..repetitions {
        operation()?;
    }
    Ok(start.elapsed())
}

/// What rank 0 tells the others: the case, and how often; without repetitions it is over.
type Order = [u64; 2];

/// A rank's part: rank 0 measures, the others do as it says.
fn take_part(comm: &Communicator, world: &str) -> Result<(), Failure> {
    let cases = Case::all();
    if comm.rank() == 0 {
        measure(comm, world, &cases);
        comm.bcast(&mut [0u64; 2], 0)?;
        return Ok(());
    }
    loop {
        let mut order: Order = [0; 2];
        comm.bcast(&mut order, 0)?;
        match order {
            [_, 0] => return Ok(()),
            [case, repetitions] => drop(cases[case as usize].run(comm, repetitions)?),
        }
    }
}

fn measure(comm: &Communicator, world: &str, cases: &[Case]) {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500))
        .configure_from_args();
    for operation in [Operation::Allreduce, Operation::Bcast] {
        let name = match operation {
            Operation::Allreduce => "allreduce",
            Operation::Bcast => "bcast",
        };
        let mut group = criterion.benchmark_group(format!("{name}, {world}"));
        for (number, &case) in cases
            .iter()
            .enumerate()
            .filter(|(_, case)| case.operation == operation)
        {
            group.throughput(Throughput::Bytes(case.bytes as u64));
            group.bench_function(BenchmarkId::new(case.way.name(), case.bytes), |bencher| {
                bencher.iter_custom(|repetitions| {
                    let mut order: Order = [number as u64, repetitions];
                    let mut run = || {
                        comm.bcast(&mut order, 0)?;
                        case.run(comm, repetitions)
                    };
                    run().expect("the operation succeeds on every rank")
                });
            });
        }
    }
    criterion.final_summary();
}

fn on_threads() -> Result<(), Failure> {
    let outcomes = Communicator::threads(RANKS, |comm| take_part(&comm, "threads"))?;
    outcomes.into_iter().collect()
}

/// Starts this program again, as the ranks of an MPI job with the same arguments.
#[cfg(feature = "mpi")]
fn start_ranks() -> Result<(), Failure> {
    use std::num::NonZeroUsize;

    let program = std::env::current_exe()?;
    let launcher = launcher::Launcher::find(&program, None)?;
    let ranks = NonZeroUsize::new(RANKS).ok_or("no ranks")?;
    let mut job = launcher::Job::new(ranks, program);
    job.args = std::env::args_os().skip(1).collect();
    job.environment.push((RANK_VARIABLE.into(), "1".into()));
    let status = launcher.command(&job).status()?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("the job under {launcher} ended with {status}").into()),
    }
}

#[cfg(feature = "mpi")]
fn on_processes() -> Result<(), Failure> {
    let runtime = warpcomm::Runtime::init()?;
    let comm = runtime.world()?;
    // One Criterion draws and prints.
    let world = match runtime.library_version() {
        version if version.contains("Open MPI") => "Open MPI",
        version if version.contains("MPICH") => "MPICH",
        _ => "MPI",
    };
    take_part(&comm, world)?;
    drop(comm);
    Ok(runtime.finalize()?)
}

fn main() -> ExitCode {
    #[cfg(feature = "mpi")]
    let outcome = match std::env::var_os(RANK_VARIABLE) {
        Some(_) => on_processes(),
        None => on_threads().and_then(|()| start_ranks()),
    };
    #[cfg(not(feature = "mpi"))]
    let outcome = on_threads();
    if let Err(error) = Place::Device.check() {
        eprintln!("placements: device buffers were not measured: {error}");
    }
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("placements: {error}");
            ExitCode::FAILURE
        }
    }
}
