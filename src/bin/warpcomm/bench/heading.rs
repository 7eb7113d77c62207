//! With what is measured, above the tables.

use crate::launcher::surroundings::Surroundings;
use crate::record::{Gpu, Run, mpi_version};
use crate::units::count;

/// The lines; each begins with the sign of what is no row.
pub fn heading(run: &Run) -> Vec<String> {
    let machine = &run.machine;
    let commit = match &run.commit {
        Some(commit) => format!(" (commit {commit})"),
        None => String::new(),
    };
    let mut lines = vec![
        format!("# {}{commit}, {}", run.program, run.date),
        format!(
            "# machine: {}, {}, {}, Linux {}",
            machine.host,
            machine.processor,
            count(machine.processors, "hardware thread"),
            machine.kernel
        ),
    ];
    if let Some(job) = &run.job {
        let mpi = mpi_version(&job.mpi);
        lines.push(format!(
            "# MPI: {mpi}, thread level {}, started by {}",
            job.thread_level, job.launcher
        ));
    }
    lines.push(format!("# ranks: {} on {}", run.ranks, count(run.nodes, "node")));
    lines.push(format!("# GPUs: {}", gpus(&run.gpus)));
    if !run.variables.is_empty() {
        let variables = run
            .variables
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        lines.push(format!(
            "# variables: {}",
            variables.collect::<Vec<_>>().join(" ")
        ));
    }
    if run.simulated {
        lines.push("# SIMULATED GPUs: times with buffers on GPUs mean nothing".to_owned());
    }
    lines
}

/// That ranks have to wait for each other's cores, if they have.
pub fn crowd(ranks: usize) -> Option<String> {
    let slots = Surroundings::of_this_process().slots?.get();
    (ranks > slots).then(|| {
        format!(
            "# CROWDED: {} share {}: times are those of waiting for a core",
            count(ranks, "rank"),
            count(slots, "core")
        )
    })
}

/// Each name once, with how many there are of it.
fn gpus(gpus: &[Gpu]) -> String {
    let mut kinds: Vec<(String, usize)> = Vec::new();
    for gpu in gpus {
        let kind = format!(
            "{} with {} MiB, driver {}",
            gpu.name,
            gpu.memory_bytes >> 20,
            gpu.driver
        );
        match kinds.iter_mut().find(|(other, _)| *other == kind) {
            Some((_, count)) => *count += 1,
            None => kinds.push((kind, 1)),
        }
    }
    if kinds.is_empty() {
        return "none".to_owned();
    }
    let words = kinds.iter().map(|(kind, count)| format!("{count} x {kind}"));
    words.collect::<Vec<_>>().join("; ")
}
