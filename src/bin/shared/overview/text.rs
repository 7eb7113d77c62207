//! An overview as people read it.

use std::fmt::{self, Display, Formatter};

use super::{CudaAwareness, Gpu, Job, Overview, Plan, Rank, Route};
use crate::variables::Variable;

/// The most ranks whose paths are shown as a table.
const MOST_COLUMNS: usize = 32;

impl Display for Overview {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} on {}", self.program, self.host)?;
        if let Some(why) = &self.why_no_job {
            writeln!(f, "\nNo ranks were started, who know the rest: {why}")?;
        }
        if let Some(job) = &self.job {
            heading(f, job)?;
        }
        if let Some(plan) = &self.plan {
            return write!(f, "\n{plan}");
        }
        let simulated = match &self.job {
            Some(job) if job.simulated => ", simulated",
            _ => "",
        };
        writeln!(f, "\nGPUs{simulated}")?;
        match &self.gpus[..] {
            [] => writeln!(f, "  none")?,
            gpus => f.write_str(&columns(&gpu_rows(gpus)))?,
        }
        if let Some(job) = &self.job {
            writeln!(f, "\nRanks")?;
            f.write_str(&columns(&rank_rows(&job.ranks, &self.gpus)))?;
            for why in distinct(job.ranks.iter().filter_map(|rank| rank.why_no_gpu.as_deref())) {
                writeln!(f, "  no GPU: {why}")?;
            }
            paths(f, job.ranks.len(), &job.paths)?;
        }
        writeln!(f, "\nSettings")?;
        self.settings
            .iter()
            .try_for_each(|setting| variable(f, setting))?;
        for unknown in &self.unknown_variables {
            let nearest = unknown.nearest.as_ref();
            let nearest = nearest.map_or_else(String::new, |nearest| format!("; did you mean {nearest}?"));
            writeln!(f, "  {} is set, and nobody reads it{nearest}", unknown.name)?;
        }
        Ok(())
    }
}

fn heading(f: &mut Formatter<'_>, job: &Job) -> fmt::Result {
    let progress = match &*job.thread_level {
        "multiple" => "",
        _ => ": operations go on inside calls only",
    };
    let unknown = "unknown".to_owned();
    let rows = [
        ["MPI".to_owned(), first_line(&job.mpi)],
        [
            "thread level".to_owned(),
            format!("{}{progress}", job.thread_level),
        ],
        ["launcher".to_owned(), job.launcher.clone().unwrap_or(unknown)],
        [
            "ranks".to_owned(),
            format!("{} on {}", job.ranks.len(), counted(job.nodes, "node")),
        ],
        ["CUDA awareness".to_owned(), job.cuda_awareness.to_string()],
    ];
    f.write_str("\n")?;
    f.write_str(&columns(&rows.map(Vec::from)))?;
    job.warnings
        .iter()
        .try_for_each(|warning| writeln!(f, "  warning: {warning}"))
}

impl Display for CudaAwareness {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self.says {
            Some(true) => "MPI says yes",
            Some(false) => "MPI says no",
            None => "not asked: warpcomm was built without CUDA",
        })?;
        for proved in &self.proved {
            let known = match (proved.works, &proved.reason) {
                (Some(true), _) => "proved".to_owned(),
                (Some(false), Some(reason)) => format!("disproved ({reason})"),
                (Some(false), None) => "disproved".to_owned(),
                (None, _) => "not proved".to_owned(),
            };
            write!(f, "; {} memory: {known}", proved.memory)?;
        }
        match &self.configuration {
            Some(value) => write!(f, "; WARPCOMM_CUDA_AWARE={value} decides"),
            None => Ok(()),
        }
    }
}

fn gpu_rows(gpus: &[Gpu]) -> Vec<Vec<String>> {
    let head = ["host", "number", "name", "UUID", "memory", "driver", "NUMA node"];
    let row = |gpu: &Gpu| {
        vec![
            gpu.host.clone(),
            gpu.number.to_string(),
            gpu.name.clone(),
            gpu.uuid.clone(),
            gpu.memory_bytes.map_or_else(|| "?".to_owned(), memory),
            gpu.driver.clone(),
            or_dash(gpu.numa_node),
        ]
    };
    [head.map(str::to_owned).to_vec()]
        .into_iter()
        .chain(gpus.iter().map(row))
        .collect()
}

fn rank_rows(ranks: &[Rank], gpus: &[Gpu]) -> Vec<Vec<String>> {
    let head = [
        "rank",
        "host",
        "GPU",
        "processors",
        "NUMA node",
        "NUMA node of the GPU",
    ];
    let row = |rank: &Rank| {
        let is_its = |gpu: &&Gpu| gpu.host == rank.host && Some(&gpu.uuid) == rank.gpu.as_ref();
        let gpu = gpus.iter().find(is_its);
        let numa_nodes: Vec<String> = rank.numa_nodes.iter().map(u32::to_string).collect();
        vec![
            rank.rank.to_string(),
            rank.host.clone(),
            gpu.map_or_else(|| "-".to_owned(), |gpu| format!("{}: {}", gpu.number, gpu.name)),
            rank.processors.clone(),
            match numa_nodes.is_empty() {
                true => "-".to_owned(),
                false => numa_nodes.join(","),
            },
            or_dash(rank.gpu_numa_node),
        ]
    };
    [head.map(str::to_owned).to_vec()]
        .into_iter()
        .chain(ranks.iter().map(row))
        .collect()
}

/// The table of the paths, and what stands in it.
fn paths(f: &mut Formatter<'_>, ranks: usize, routes: &[Route]) -> fmt::Result {
    writeln!(
        f,
        "\nPaths of long messages from or to GPUs, from the rank of the row to that of the column"
    )?;
    let legend = legend(routes);
    if ranks <= MOST_COLUMNS {
        let mut head = vec![String::new()];
        head.extend((0..ranks).map(|rank| rank.to_string()));
        let mut rows = vec![head];
        rows.extend((0..ranks).map(|rank| {
            let mut row = vec![String::new(); ranks + 1];
            row[0] = rank.to_string();
            row
        }));
        for route in routes {
            let row = rows.get_mut(route.from + 1);
            if let Some(cell) = row.and_then(|row| row.get_mut(route.to + 1)) {
                cell.push_str(&code_of(route, &legend));
            }
        }
        f.write_str(&columns(&rows))?;
    } else {
        writeln!(f, "  a table of {ranks} ranks is too wide; --json has all paths")?;
    }
    writeln!(f)?;
    let entries = legend.iter().map(|entry| {
        let pairs = routes.iter().filter(|route| entry.is_of(route)).count();
        let path = entry.path.as_deref().unwrap_or("no path");
        vec![
            entry.code.clone(),
            counted(pairs, "pair"),
            format!("{path}: {}", entry.reason),
        ]
    });
    let own = (ranks > 0).then(|| vec!["X".to_owned(), String::new(), "the rank itself".to_owned()]);
    f.write_str(&columns(&own.into_iter().chain(entries).collect::<Vec<_>>()))
}

/// What stands for a path with its reason.
struct Entry {
    code: String,
    path: Option<String>,
    reason: String,
}

impl Entry {
    fn is_of(&self, route: &Route) -> bool {
        route.from != route.to && self.path == route.path && self.reason == route.reason
    }
}

/// All paths between different ranks with their reasons, in the order in which they come. One that has several reasons
/// has a number for each.
fn legend(routes: &[Route]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for route in routes.iter().filter(|route| route.from != route.to) {
        if !entries.iter().any(|entry| entry.is_of(route)) {
            entries.push(Entry {
                code: String::new(),
                path: route.path.clone(),
                reason: route.reason.clone(),
            });
        }
    }
    let codes: Vec<String> = (0..entries.len()).map(|at| code(&entries, at)).collect();
    for (entry, code) in entries.iter_mut().zip(codes) {
        entry.code = code;
    }
    entries
}

fn code(entries: &[Entry], at: usize) -> String {
    let path = &entries[at].path;
    let short = match path.as_deref() {
        None => "!!",
        Some("host") => "H",
        Some("staged") => "ST",
        Some("cuda-aware") => "CA",
        Some("shared-pinned") => "SP",
        Some("peer-gpu-ipc") => "PG",
        Some("same-gpu-ipc") => "SG",
        Some("same-process") => "P",
        Some(other) => other,
    };
    let is_of_it = |entry: &&Entry| entry.path == *path;
    match entries.iter().filter(is_of_it).count() {
        1 => short.to_owned(),
        _ => format!("{short}{}", entries[..=at].iter().filter(is_of_it).count()),
    }
}

fn code_of(route: &Route, legend: &[Entry]) -> String {
    let entry = legend.iter().find(|entry| entry.is_of(route));
    entry.map_or_else(|| "X".to_owned(), |entry| entry.code.clone())
}

fn variable(f: &mut Formatter<'_>, variable: &Variable) -> fmt::Result {
    let Variable {
        name,
        default,
        meaning,
        ..
    } = variable;
    match &variable.value {
        Some(value) => writeln!(f, "* {name}={value} (default: {default})")?,
        None => writeln!(f, "  {name} is not set (default: {default})")?,
    }
    writeln!(f, "      {meaning}")?;
    match &variable.problem {
        Some(problem) => writeln!(f, "      it cannot be used: {problem}"),
        None => Ok(()),
    }
}

impl Display for Plan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Plan {
            operation,
            bytes,
            ranks,
            ..
        } = self;
        writeln!(
            f,
            "{operation} of {bytes} bytes among {}",
            counted(*ranks, "rank")
        )?;
        for choice in &self.choices {
            let place = match &*choice.place {
                "host" => "buffers on the host",
                "device" => "buffers on GPUs",
                _ => "DeviceBuffers on GPUs of one node that reach each other's memory",
            };
            writeln!(f, "  {place}\n      {}: {}", choice.algorithm, choice.reason)?;
        }
        Ok(())
    }
}

/// The first line of what a library says of itself, without the tabulators that MPICH puts into it.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `1 rank`, `2 ranks`.
fn counted(number: usize, word: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {word}{plural}")
}

fn memory(bytes: u64) -> String {
    format!("{bytes} bytes ({:.1} GiB)", bytes as f64 / f64::from(1 << 30))
}

fn or_dash(number: Option<u32>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

fn distinct<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found = Vec::new();
    for text in texts {
        if !found.contains(&text) {
            found.push(text);
        }
    }
    found
}

/// Rows as lines, whose cells stand below each other.
fn columns(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let most = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..most).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell:<width$}"))
            .collect();
        format!("  {}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(from: usize, to: usize, path: Option<&str>, reason: &str) -> Route {
        Route {
            from,
            to,
            path: path.map(str::to_owned),
            reason: reason.to_owned(),
        }
    }

    #[test]
    fn paths_stand_in_a_table_with_each_reason_once() {
        let routes = [
            route(0, 0, Some("same-process"), "it is itself"),
            route(0, 1, Some("same-gpu-ipc"), "one GPU"),
            route(0, 2, Some("staged"), "another node"),
            route(1, 0, Some("same-gpu-ipc"), "one GPU"),
            route(1, 1, Some("same-process"), "it is itself"),
            route(1, 2, Some("staged"), "nobody has proved it"),
            route(2, 0, Some("staged"), "another node"),
            route(2, 1, None, "none is left"),
            route(2, 2, Some("same-process"), "it is itself"),
        ];
        struct Shown<'a>(&'a [Route]);
        impl Display for Shown<'_> {
            fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                paths(f, 3, self.0)
            }
        }
        let text = Shown(&routes).to_string();
        let expected = "
Paths of long messages from or to GPUs, from the rank of the row to that of the column
     0    1   2
  0  X    SG  ST1
  1  SG   X   ST2
  2  ST1  !!  X

  X             the rank itself
  SG   2 pairs  same-gpu-ipc: one GPU
  ST1  2 pairs  staged: another node
  ST2  1 pair   staged: nobody has proved it
  !!   1 pair   no path: none is left
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_table_of_many_ranks_is_left_out() {
        struct Shown;
        impl Display for Shown {
            fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                paths(f, MOST_COLUMNS + 1, &[route(0, 1, Some("staged"), "far")])
            }
        }
        let text = Shown.to_string();
        assert!(text.contains("--json has all paths"), "{text}");
        assert!(text.contains("ST  1 pair  staged: far"), "{text}");
    }
}
