//! Replays the opcode table and the corpus through the CUDA driver that is there, a GPU's or the simulated one.
//!
//! ```text
//! replay [--data DIR] [--list] [FILTER]
//! ```
//!
//! `DIR` holds the folders `opcodes` and `corpus`. What the device or its driver is too old for is reported as
//! not run. Ends with 1 when a result disagrees, and with 2 when there is no device. With `OUT` in the
//! environment, `replay.json` in that folder says how each job ended.

mod driver;
// Each of the programs that replay the lists uses a part of this.
#[allow(dead_code)]
#[path = "../../opcodes/replay/mod.rs"]
mod replay;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use driver::{Device, Refused};
use replay::{End, Job, listings};
use serde_json::{Value, json};

/// How a job ended.
enum Outcome {
    Passed,
    Failed(String),
    NotRun(String),
}

fn main() -> ExitCode {
    let mut data = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut filter = String::new();
    let mut list = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--list" => list = true,
            "--data" => data = arguments.next().expect("--data is followed by a folder").into(),
            _ => filter = argument,
        }
    }
    let mut jobs = listings::all(&data);
    jobs.retain(|(listing, job)| format!("{listing}: {}", job.name).contains(&filter));
    if list {
        for (listing, job) in &jobs {
            println!("{listing}: {}", job.name);
        }
        return ExitCode::SUCCESS;
    }
    let device = match Device::open() {
        Ok(device) => device,
        Err(why) => {
            eprintln!("no device: {why}");
            return ExitCode::from(2);
        }
    };
    println!("{}", device.describe());
    let outcomes: Vec<_> = jobs
        .iter()
        .map(|(listing, job)| (listing, job, outcome(&device, job)))
        .collect();
    report(&device, &outcomes)
}

fn outcome(device: &Device, job: &Job) -> Outcome {
    if job.needs.target > device.capability {
        return Outcome::NotRun(format!("needs sm_{}", job.needs.target));
    }
    if job.needs.ptx > device.ptx {
        return Outcome::NotRun(format!("needs PTX {}.{}", job.needs.ptx.0, job.needs.ptx.1));
    }
    let stops = match job.end {
        End::IllegalAddress(_) => Some("CUDA_ERROR_ILLEGAL_ADDRESS"),
        End::Misaligned(_) => Some("CUDA_ERROR_MISALIGNED_ADDRESS"),
        End::Illegal(_) => Some("CUDA_ERROR_ILLEGAL_INSTRUCTION"),
        End::Returns | End::Unknown(_) => None,
    };
    if stops.is_some() && !device.simulated() {
        return Outcome::NotRun("what a GPU does there is undefined".to_owned());
    }
    match (&job.end, device.run(job)) {
        (_, Err(Refused::Launch(why))) if stops.is_some_and(|name| why.contains(name)) => Outcome::Passed,
        (End::Returns, Ok(after)) => job
            .verdict(&after)
            .map_or_else(Outcome::Failed, |()| Outcome::Passed),
        (End::Unknown(_), Err(Refused::Module(_))) => Outcome::Passed,
        (End::Unknown(name), Ok(_)) => Outcome::Failed(format!("{name} was accepted")),
        (_, Err(Refused::Module(why) | Refused::Launch(why))) => Outcome::Failed(why),
        (_, Ok(_)) => Outcome::Failed("it ended".to_owned()),
    }
}

fn report(device: &Device, outcomes: &[(&String, &Job, Outcome)]) -> ExitCode {
    let (mut passed, mut failed, mut not_run) = (0, 0, 0);
    let mut lines = Vec::new();
    for (listing, job, outcome) in outcomes {
        let (result, why) = match outcome {
            Outcome::Passed => ("passed", ""),
            Outcome::Failed(why) => ("failed", why.as_str()),
            Outcome::NotRun(why) => ("not run", why.as_str()),
        };
        match outcome {
            Outcome::Passed => passed += 1,
            Outcome::Failed(_) => failed += 1,
            Outcome::NotRun(_) => not_run += 1,
        }
        if failed > 0 && result == "failed" {
            println!("{listing}: {}: {why}", job.name);
        }
        lines.push(json!({ "listing": listing, "name": job.name, "result": result, "why": why }));
    }
    if let Some(folder) = std::env::var_os("OUT") {
        write(Path::new(&folder), device, lines);
    }
    println!(
        "{}: {passed} passed, {failed} failed, {not_run} not run",
        device.describe()
    );
    if failed > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn write(folder: &Path, device: &Device, jobs: Vec<Value>) {
    let text = json!({
        "device": device.name,
        "simulated": device.simulated(),
        "capability": device.capability,
        "driver": device.version,
        "jobs": jobs,
    });
    let path = folder.join("replay.json");
    std::fs::write(&path, format!("{text:#}\n"))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
