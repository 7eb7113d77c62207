//! `warpcomm bench`: measures operations, in jobs that it starts itself.

mod compare;
mod elements;
mod files;
mod heading;
mod job;
mod launches;
mod measuring;
mod plan;
mod screen;
mod signals;
mod table;
mod view;
mod way;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::error::ErrorKind;
use clap::{Args, Subcommand};

use crate::arguments::{ByLauncher, OnGpus};
use crate::operation::Operation;
use crate::rank_program::refuse_to_be_a_rank;
use crate::run::ranks;
use crate::sizes::{self, Sizes};
use crate::task::{Effort, Series};
use files::Files;
use launches::Launches;
use measuring::Request;
use plan::Case;
use view::View;
use way::{WAYS, Way};

const MORE_HELP: &str = "\
Examples:
  warpcomm bench latency
  warpcomm bench allreduce -n 4 --sizes 8:256M --json allreduce.json
  warpcomm bench bcast alltoall --place host,device --dtype f32 --sizes 1K,64K,1M
  warpcomm bench bandwidth --path all --sim=2 --quick
  warpcomm bench latency --quick --launches 6 --json before.json
  warpcomm bench compare allreduce

It starts its own jobs, so that it needs no launcher in front: one, and one more for each --path. With --launches it starts
all of them so many times, in turn; each launch is a run of its own in the file, as `warpcomm diff` needs 6 of for each file
to tell a change from noise, and the table is of all launches together. Times are of one operation
on the slowest rank. A length is that of a message; of the block for each rank of scatter, gather, allgather and alltoall
with their variants; and of the whole vector of bcast and reductions. The bandwidths are those of nccl-tests: alg is what
the caller sees, bus what the busiest link carries. `as fast as` says how many times as fast as the baseline it is, which is
host buffers through MPI (mpi) unless --baseline says another way. What this machine does not offer is named with the reason.

--json and --csv overwrite their files, and write each row when it is measured: what is interrupted by Ctrl-C keeps what it
has. docs/measurements.md describes the files, which `warpcomm plot` and `warpcomm diff` read. What the ranks and the
launcher print goes to the standard error.

Nothing else should run meanwhile. With --sim, times with buffers on GPUs mean nothing.

The exit status is 0, 1 where something could not be measured to its end, 2 where the arguments are wrong, and 130 after
Ctrl-C.";

/// Measure operations: latency, bandwidth, collectives; or compare all ways of one
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    override_usage = "warpcomm bench [OPTIONS] <OPERATION>...\n       warpcomm bench compare [OPTIONS] <OPERATION>...",
    after_help = MORE_HELP
)]
pub struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,

    #[command(flatten)]
    measured: Measured,
}

#[derive(Subcommand)]
enum Action {
    Compare(compare::Arguments),
}

#[derive(Args)]
struct Measured {
    /// What is measured; several one after the other
    #[arg(value_name = "OPERATION", required = true)]
    operations: Vec<Operation>,

    /// Where the buffers are, separated by commas [default: host,device; with --path device]
    #[arg(long = "place", value_name = "PLACE", value_delimiter = ',', value_parser = PLACES)]
    places: Vec<String>,

    /// The paths of buffers on GPUs, separated by commas, to each of which a job is forced [default: warpcomm chooses]
    #[arg(long = "path", value_name = "PATH", value_delimiter = ',', value_parser = paths())]
    paths: Vec<String>,

    /// With which way of the operation the others are compared
    #[arg(long, value_name = "WAY", default_value = "mpi", value_parser = baselines())]
    baseline: String,

    #[command(flatten)]
    common: Common,
}

/// What every measurement takes.
#[derive(Args)]
struct Common {
    /// How many ranks to start
    #[arg(short = 'n', long, default_value = "2", value_parser = ranks)]
    ranks: NonZeroUsize,

    /// The types of elements, separated by commas [default: f32 for reductions, else u8]
    #[arg(long = "dtype", value_name = "DTYPE", value_delimiter = ',', value_parser = names(&elements::DTYPES.map(|(name, ..)| name)))]
    dtypes: Vec<String>,

    /// The operations of reductions, separated by commas [default: sum]
    #[arg(long = "op", value_name = "OP", value_delimiter = ',', value_parser = names(&elements::OPS.map(|(name, _)| name)))]
    ops: Vec<String>,

    /// Lengths in bytes: `8:256M` for powers of two from 8 on, `8:1M:4` for powers of four, `8,1K,64K` for these
    /// [default: 8:4M]
    #[arg(long, value_name = "SIZES", value_parser = sizes::sizes)]
    sizes: Option<Sizes>,

    /// Operations before the first sample of a length [default: 10]
    #[arg(long, value_name = "OPERATIONS")]
    warm_up: Option<u64>,

    /// About how long the samples of a length take [default: 0.25]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    seconds: Option<f64>,

    /// The most samples of a length [default: 200]
    #[arg(long, value_name = "SAMPLES", value_parser = samples)]
    samples: Option<usize>,

    /// How many times to start the jobs, 1 to 1000: launches differ by more than samples of one do
    #[arg(long, value_name = "LAUNCHES", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=1000))]
    launches: u16,

    /// Do not compare each element of results with what it should be
    #[arg(long)]
    no_check: bool,

    /// Measure roughly and at fewer lengths, in some seconds
    #[arg(long)]
    quick: bool,

    /// Write what is measured, and with what, as lines of JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Write what is measured as comma-separated values
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,

    #[command(flatten)]
    by: ByLauncher,

    #[command(flatten)]
    on: OnGpus,
}

const PLACES: [&str; 3] = ["host", "device", "pinned"];

/// Those of ways that are forced to a path, or all of them.
fn paths() -> PossibleValuesParser {
    ["all"]
        .into_iter()
        .chain(Way::forced().map(|way| way.name))
        .into()
}

/// Those of ways, or none.
fn baselines() -> PossibleValuesParser {
    ["none"].into_iter().chain(WAYS.map(|way| way.name)).into()
}

fn names(names: &[&'static str]) -> PossibleValuesParser {
    PossibleValuesParser::new(names)
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("{error}"))?;
    match seconds > 0.0 && seconds.is_finite() {
        true => Ok(seconds),
        false => Err("it must be more than 0".to_owned()),
    }
}

fn samples(text: &str) -> Result<usize, String> {
    let samples: NonZeroUsize = text.parse().map_err(|error| format!("{error}"))?;
    Ok(samples.get())
}

/// Measures what the arguments say.
pub fn run(arguments: Arguments) -> ExitCode {
    let outcome = match arguments.action {
        None => measured(arguments.measured),
        Some(Action::Compare(arguments)) => compared(arguments),
    };
    match outcome {
        Ok(status) => status,
        Err(Refusal::Usage(message)) => {
            let error = clap::Error::raw(
                ErrorKind::ValueValidation,
                message + "\n\nFor more information, try '--help'.\n",
            );
            let _ = error.print();
            ExitCode::from(2)
        }
        Err(Refusal::Failure(message)) => {
            eprintln!("warpcomm bench: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Why nothing, or not everything, was measured.
enum Refusal {
    /// The arguments are wrong.
    Usage(String),
    Failure(String),
}

fn measured(arguments: Measured) -> Result<ExitCode, Refusal> {
    let ways = wanted_ways(&arguments.places, &arguments.paths).map_err(Refusal::Usage)?;
    if !arguments.paths.is_empty() {
        plan::refuse_without_elements("--path", &arguments.operations).map_err(Refusal::Usage)?;
    }
    // What has no elements is measured on hosts.
    if !ways.iter().any(|way| way.place == "host") {
        plan::refuse_without_elements("--place", &arguments.operations).map_err(Refusal::Usage)?;
    }
    let baseline = Way::named(&arguments.baseline);
    let view = table::Tables::new(baseline);
    start(arguments.common, &arguments.operations, &ways, baseline, view)
}

fn compared(arguments: compare::Arguments) -> Result<ExitCode, Refusal> {
    let baseline = Way::named(&arguments.baseline);
    let view = compare::Comparison::new(baseline);
    start(
        arguments.common,
        &arguments.operations,
        &compare::ways(),
        baseline,
        view,
    )
}

fn start(
    common: Common,
    operations: &[Operation],
    ways: &[Way],
    baseline: Option<Way>,
    mut view: impl View,
) -> Result<ExitCode, Refusal> {
    refuse_to_be_a_rank("bench allreduce -n 4").map_err(Refusal::Usage)?;
    let cases = plan::cases(operations, &common.dtypes, &common.ops).map_err(Refusal::Usage)?;
    let lengths = plan::lengths(&cases, common.sizes.as_ref(), common.quick).map_err(Refusal::Usage)?;
    check(&cases, &common).map_err(Refusal::Usage)?;
    let series = plan::series(&cases, ways, baseline);
    let request = request(common, series, lengths);
    let files = Files::open(request.json.as_deref(), request.csv.as_deref()).map_err(Refusal::Failure)?;
    if files.are_one() {
        return Err(Refusal::Usage("--json and --csv name the same file".to_owned()));
    }
    let outcome = match request.launches {
        1 => measuring::measure(request, files, &mut view),
        launches => measuring::measure(request, files, &mut Launches::new(view, launches)),
    };
    outcome.map_err(Refusal::Failure)
}

/// What the arguments cannot be together.
fn check(cases: &[Case], common: &Common) -> Result<(), String> {
    let between_two = cases.iter().find(|case| case.operation.is_point_to_point());
    if let Some(case) = between_two.filter(|_| common.ranks.get() < 2) {
        return Err(format!(
            "`{}` is between ranks; it takes -n 2 or more",
            case.operation
        ));
    }
    Ok(())
}

/// The ways that places and paths ask for.
fn wanted_ways(places: &[String], paths: &[String]) -> Result<Vec<Way>, String> {
    let usual: &[&str] = if paths.is_empty() {
        &["host", "device"]
    } else {
        &["device"]
    };
    let places = match places.is_empty() {
        true => usual.to_vec(),
        false => places.iter().map(String::as_str).collect(),
    };
    if !paths.is_empty() && !places.contains(&"device") {
        return Err("--path is for buffers on GPUs; add --place device".to_owned());
    }
    let mut ways = Vec::new();
    for place in places {
        match place {
            "device" if !paths.is_empty() => {
                let is_wanted = |way: &Way| paths.iter().any(|path| path == "all" || path == way.name);
                ways.extend(Way::forced().filter(is_wanted));
            }
            place => ways.extend(Way::named(place)),
        }
    }
    Ok(ways)
}

fn request(common: Common, series: Vec<Series>, lengths: Vec<u64>) -> Request {
    let usual = match common.quick {
        false => (10, 0.25, 200),
        true => (3, 0.02, 50),
    };
    Request {
        series,
        lengths,
        effort: Effort {
            warm_up: common.warm_up.unwrap_or(usual.0),
            seconds: common.seconds.unwrap_or(usual.1),
            samples: common.samples.unwrap_or(usual.2),
            check: !common.no_check,
        },
        ranks: common.ranks,
        launches: usize::from(common.launches),
        launcher: common.by.launcher,
        sim: common.on.sim,
        json: common.json,
        csv: common.csv,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_are_those_of_places_and_paths() {
        let names = |places: &[&str], paths: &[&str]| {
            let words =
                |words: &[&str]| -> Vec<String> { words.iter().map(|&word| word.to_owned()).collect() };
            let ways = wanted_ways(&words(places), &words(paths))?;
            Ok(ways.into_iter().map(|way| way.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[], &[]), Ok(vec!["host", "device"]));
        assert_eq!(names(&["pinned"], &[]), Ok(vec!["pinned"]));
        assert_eq!(names(&[], &["staged"]), Ok(vec!["staged"]));
        assert_eq!(
            names(&["host", "device"], &["all"]).map(|names| names.len()),
            Ok(6)
        );
        let refused: Result<_, String> = names(&["host"], &["staged"]);
        assert_eq!(
            refused,
            Err("--path is for buffers on GPUs; add --place device".to_owned())
        );
    }
}
