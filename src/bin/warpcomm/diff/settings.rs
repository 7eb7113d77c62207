//! What two files were measured with, where that is not the same.

use std::collections::BTreeSet;

use crate::reading::Measured;
use crate::record::Run;

/// What is known of a run, as a text.
type Known = fn(&Run) -> String;

/// What makes times differ that is no matter of the build, by its name and as a text.
const SETTINGS: &[(&str, Known)] = &[
    ("hosts", |run| run.machine.host.clone()),
    ("processors", |run| {
        format!("{} ({} threads)", run.machine.processor, run.machine.processors)
    }),
    ("kernels", |run| run.machine.kernel.clone()),
    ("MPI libraries", |run| job(run, |job| job.mpi.clone())),
    ("thread levels", |run| job(run, |job| job.thread_level.clone())),
    ("launchers", |run| {
        job(run, |job| format!("{} {}", job.launcher, job.arguments.join(" ")))
    }),
    ("numbers of ranks", |run| run.ranks.to_string()),
    ("numbers of nodes", |run| run.nodes.to_string()),
    ("GPUs", |run| {
        let gpus: Vec<String> = run
            .gpus
            .iter()
            .map(|gpu| format!("{} (driver {})", gpu.name, gpu.driver))
            .collect();
        match gpus.is_empty() {
            true => "none".to_owned(),
            false => gpus.join(", "),
        }
    }),
    ("variables", |run| {
        let variables: Vec<String> = run
            .variables
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        match variables.is_empty() {
            true => "none".to_owned(),
            false => variables.join(" "),
        }
    }),
];

fn job(run: &Run, of: impl Fn(&crate::record::Job) -> String) -> String {
    run.job.as_ref().map_or_else(|| "none: threads".to_owned(), of)
}

/// Whether both files are of one machine, with one MPI library, and so on: nothing but the build may differ.
pub fn are_the_same(first: &[Measured], second: &[Measured]) -> bool {
    let all = |of: Known| {
        let runs = first.iter().chain(second).map(|run| of(&run.run));
        runs.collect::<BTreeSet<_>>().len() <= 1
    };
    SETTINGS.iter().all(|(_, of)| all(*of))
}

/// What to keep in mind when two files are compared, a sentence each.
pub fn warnings(first: &[Measured], second: &[Measured]) -> Vec<String> {
    let mut warnings = Vec::new();
    for (name, of) in SETTINGS {
        let all = |runs: &[Measured]| runs.iter().map(|run| of(&run.run)).collect::<BTreeSet<_>>();
        let (first, second) = (all(first), all(second));
        let list = |of: &BTreeSet<String>| of.iter().cloned().collect::<Vec<_>>().join("; ");
        if first != second {
            warnings.push(format!("{name} differ: {} | {}", list(&first), list(&second)));
        } else if first.len() > 1 {
            warnings.push(format!("{name} differ within the files: {}", list(&first)));
        }
    }
    let both = || first.iter().chain(second);
    if both().any(|run| run.run.simulated) {
        warnings.push("GPUs are simulated: times with buffers on them say nothing".to_owned());
    }
    for (runs, which) in [(first, "first"), (second, "second")] {
        let incomplete = runs.iter().filter(|run| !run.is_complete()).count();
        if incomplete > 0 {
            let runs = runs.len();
            warnings.push(format!(
                "{incomplete} of the {which} file's runs ({runs}) did not come to their end"
            ));
        }
    }
    warnings
}
