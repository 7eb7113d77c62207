//! `warpcomm plot`: pictures and a report of measurements and traces.

mod axis;
mod colours;
mod heat_map;
mod kind;
mod lines;
mod messages;
mod png;
mod report;
mod scene;
mod series;
mod speed_up;
mod svg;
mod timeline;
mod traces;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use self::heat_map::heat_map;
use self::kind::{Kind, kind};
use self::lines::{bandwidth, latency};
use self::report::{Operation, Report, slug};
use self::scene::Scene;
use self::series::charts;
use self::speed_up::{SpeedUp, speed_ups};
use self::timeline::timeline;
use self::traces::Traces;
use crate::reading::{Measured, read};
use crate::standard_output::print;
use crate::units;

const MORE_HELP: &str = "\
Examples:
  warpcomm plot measured.json
  warpcomm plot monday.json tuesday.json --output pictures
  warpcomm plot trace.*.json

A FILE is what `warpcomm bench --json FILE` writes, or the trace of a rank that ran with WARPCOMM_TRACE, or of a pool's tasks
(Timeline::write_trace); measurements and traces may come together. Runs with the same program, commit, build, host, number
of nodes, MPI library, GPUs and variables (WARPCOMM_*) are taken together; others are compared.

Written are report.html, which needs nothing beside it and no network, and each picture as SVG and as PNG: for each operation the
time and the bandwidth by the length of messages; the speed-up of each way against host buffers through MPI, or else
against the first way; and of traces what each rank does when, tasks of pools with makespan and idle share, with
timeline.json, all ranks in one trace for Perfetto or chrome://tracing. The report and SVG are light or dark as the reader's screen is.

The exit status is 0, 1 where a file cannot be read or written, and 2 where the arguments are wrong.";

/// Draw what was measured or traced, and write a report
#[derive(Args)]
#[command(after_help = MORE_HELP)]
pub struct Arguments {
    /// Files of measurements, or the traces of ranks
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// The directory to write into, made if it is not there
    #[arg(short, long, value_name = "DIRECTORY", default_value = "warpcomm-plot")]
    output: PathBuf,
}

/// Draws and writes everything.
pub fn run(arguments: &Arguments) -> ExitCode {
    match plot(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("warpcomm plot: {message}");
            ExitCode::FAILURE
        }
    }
}

fn plot(arguments: &Arguments) -> Result<(), String> {
    let (mut runs, mut traces): (Vec<(String, Measured)>, Vec<PathBuf>) = (Vec::new(), Vec::new());
    for file in &arguments.files {
        match kind(file)? {
            Kind::Measurements => {
                let name = file.display().to_string();
                runs.extend(read(file)?.into_iter().map(|run| (name.clone(), run)));
            }
            Kind::Trace => traces.push(file.clone()),
        }
    }
    let traces = match traces.is_empty() {
        true => None,
        false => Some(Traces::read(&traces)?),
    };
    let output = Output::new(&arguments.output)?;
    write(&output, &runs, traces.as_ref())
}

fn write(output: &Output, runs: &[(String, Measured)], traces: Option<&Traces>) -> Result<(), String> {
    let operations: Vec<Operation> = charts(runs.iter().map(|(_, run)| run))
        .into_iter()
        .map(|chart| {
            let speed_ups = speed_ups(&chart);
            Operation {
                latency: latency(&chart, &speed_ups),
                bandwidth: bandwidth(&chart),
                speed_ups,
                chart,
            }
        })
        .collect();
    let speed_ups: Vec<SpeedUp> = operations
        .iter()
        .flat_map(|operation| operation.speed_ups.clone())
        .collect();
    let heat_map = heat_map(&speed_ups);
    let timeline = traces.and_then(timeline);
    let notes = traces.map_or(&[][..], |traces| &traces.notes);
    if operations.is_empty() && timeline.is_none() {
        return Err("there is nothing to draw: no file has a figure or an operation".to_owned());
    }
    for operation in &operations {
        let name = slug(&operation.chart.operation);
        output.picture(operation.latency.as_ref(), &format!("{name}-time"))?;
        output.picture(operation.bandwidth.as_ref(), &format!("{name}-bandwidth"))?;
    }
    output.picture(heat_map.as_ref(), "speed-up")?;
    output.picture(timeline.as_ref(), "timeline")?;
    if let Some(traces) = traces {
        let file = output.directory.join("timeline.json");
        traces.write(&file)?;
        print(format!("{}\n", file.display()))?;
    }
    let report = Report {
        runs,
        operations: &operations,
        heat_map: heat_map.as_ref(),
        timeline: timeline.as_ref(),
        notes,
    };
    output.file("report.html", report.page().as_bytes())?;
    for operation in operations.iter().filter(|operation| operation.latency.is_none()) {
        let name = &operation.chart.operation;
        eprintln!("warpcomm plot: {name} has no lengths, so it is in the report's tables only");
    }
    for note in notes {
        eprintln!("warpcomm plot: note: {note}");
    }
    let simulated = runs.iter().filter(|(_, run)| run.run.simulated).count();
    if simulated > 0 {
        let runs = units::count(simulated, "run");
        eprintln!(
            "warpcomm plot: warning: GPUs are simulated in {runs}: times with buffers on them say nothing"
        );
    }
    Ok(())
}

/// Where files are written.
struct Output {
    directory: PathBuf,
}

impl Output {
    fn new(directory: &Path) -> Result<Output, String> {
        fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        Ok(Output {
            directory: directory.to_owned(),
        })
    }

    /// Writes a file, and prints where it is.
    fn file(&self, name: &str, contents: &[u8]) -> Result<(), String> {
        let file = self.directory.join(name);
        fs::write(&file, contents).map_err(|error| format!("{}: {error}", file.display()))?;
        print(format!("{}\n", file.display()))
    }

    fn picture(&self, scene: Option<&Scene>, name: &str) -> Result<(), String> {
        let Some(scene) = scene else { return Ok(()) };
        self.file(&format!("{name}.svg"), svg::file(scene).as_bytes())?;
        let png = png::file(scene).map_err(|error| format!("{name}.png: {error}"))?;
        self.file(&format!("{name}.png"), &png)
    }
}
