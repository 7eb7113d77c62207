//! The tests: a job for each assignment of ranks, and a trial for each of its operations.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex, OnceLock};

use libtest_mimic::{Arguments, Failed, Trial};

use crate::case::{self, Case};
use crate::job::{Got, Layout, Report};
use crate::python;
use crate::record::Event;

/// The cases of a job with their lines, and what became of them.
type Job = (Vec<(Case, String)>, OnceLock<Report>);

/// The jobs of these tests, each run when somebody first asks for it.
struct Jobs {
    python: PathBuf,
    /// One at a time: launchers and ranks that wait want the cores for themselves.
    running: Mutex<()>,
    jobs: BTreeMap<Layout, Job>,
}

impl Jobs {
    fn report(&self, layout: &Layout) -> &Report {
        let (cases, report) = &self.jobs[layout];
        report.get_or_init(|| {
            let _alone = self.running.lock();
            layout.run(&self.python, cases)
        })
    }

    /// What ranks got in a case.
    fn got(&self, layout: &Layout, case: &Case) -> Result<&Got, String> {
        let report = self.report(layout);
        report.got.get(&case.name).ok_or_else(|| {
            let why = report.stopped.get(&case.name).or(report.end.as_ref());
            format!(
                "[{layout}] {}: {}",
                case.name,
                why.map_or("it was not run", String::as_str)
            )
        })
    }
}

/// The ranks of a job that says what is right: all are mpi4py.
fn reference(ranks: usize) -> Layout {
    Layout {
        ranks: "p".repeat(ranks),
        native: false,
    }
}

pub fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let cases = case::all();
    let python = python::with_mpi4py();
    let Some(python) = python else {
        let skipped = Trial::test("without mpi4py, which ci/setup.sh --tests installs", || Ok(()));
        return libtest_mimic::run(&arguments, vec![skipped.with_ignored_flag(true)]).exit_code();
    };
    let mut wanted: BTreeMap<Layout, Vec<(Case, String)>> = BTreeMap::new();
    let library = python::library().unwrap_or_default();
    for (case, line) in cases
        .iter()
        .filter(|(case, _)| case.except.as_deref() != Some(library))
    {
        let mixed = case.ranks.iter().map(|ranks| Layout {
            ranks: ranks.clone(),
            native: false,
        });
        let native = Layout {
            ranks: "r".repeat(case.np),
            native: true,
        };
        let native = agrees_with_native(case).then_some(native);
        // What is not asked for is not run.
        let asked = |layout: &Layout| is_asked_for(&arguments, &name(layout, &case.op));
        let layouts: Vec<Layout> = mixed.chain(native).filter(asked).collect();
        let reference = (!layouts.is_empty()).then(|| reference(case.np));
        for layout in layouts.into_iter().chain(reference) {
            let cases = wanted.entry(layout).or_default();
            cases.push((case.clone(), line.clone()));
        }
    }
    let jobs = wanted
        .into_iter()
        .map(|(layout, cases)| (layout, (cases, OnceLock::new())));
    let jobs = Arc::new(Jobs {
        python: python.clone(),
        running: Mutex::default(),
        jobs: jobs.collect(),
    });
    let mut trials = vec![
        Trial::test("the generated cases are those of the generator", move || {
            generated(&python)
        }),
        Trial::test("the cases are many, and have names of their own", move || {
            many(&cases)
        }),
    ];
    for (layout, (cases, _)) in &jobs.jobs {
        let operations: BTreeSet<&str> = cases.iter().map(|(case, _)| case.op.as_str()).collect();
        if *layout == reference(layout.ranks.len()) {
            continue;
        }
        for operation in operations {
            let (jobs, layout, operation) = (Arc::clone(&jobs), layout.clone(), operation.to_owned());
            trials.push(Trial::test(name(&layout, &operation), move || {
                check(&jobs, &layout, &operation)
            }));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn name(layout: &Layout, operation: &str) -> String {
    format!("[{layout}] {operation}")
}

fn is_asked_for(arguments: &Arguments, name: &str) -> bool {
    let fits = |wanted: &String| match arguments.exact {
        true => name == wanted,
        false => name.contains(wanted),
    };
    arguments.filter.as_ref().is_none_or(fits) && !arguments.skip.iter().any(fits)
}

/// Whether native communicators give the same as MPI's own operations: all data movement does, and reductions that
/// neither overflow nor round.
fn agrees_with_native(case: &Case) -> bool {
    match case.op.as_str() {
        // They are about communicators that are not native.
        "native_parts" | "bindings" => false,
        // The sender of a long message is told.
        "truncated" => case.count < 1000,
        // MPI leaves the elements of one rank as they are.
        "scan" | "exscan" => !case.reduce.starts_with("logical"),
        _ => true,
    }
}

fn check(jobs: &Jobs, layout: &Layout, operation: &str) -> Result<(), Failed> {
    let mut wrong = Vec::new();
    for (case, _) in jobs.jobs[layout]
        .0
        .iter()
        .filter(|(case, _)| case.op == operation)
    {
        match compare(jobs, layout, case) {
            Ok(()) => {}
            Err(text) => wrong.push(text),
        }
    }
    // Whatever case it is, all were in this job.
    wrong.extend(jobs.report(layout).end.clone());
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(format!("{} cases fail:\n{}", wrong.len(), wrong.join("\n")).into()),
    }
}

/// Compares what the ranks of a job got in a case with what ranks of mpi4py get.
fn compare(jobs: &Jobs, layout: &Layout, case: &Case) -> Result<(), String> {
    let (got, right) = (jobs.got(layout, case)?, jobs.got(&reference(case.np), case)?);
    for (rank, (kind, (got, right))) in layout.ranks.chars().zip(got.iter().zip(right)).enumerate() {
        let right: Vec<Event> = right.iter().map(normalized).collect();
        let got: Vec<Event> = match kind {
            // Of warpcomm every truth value is 0 or 1 at once.
            'r' => got.clone(),
            _ => got.iter().map(normalized).collect(),
        };
        if got != right {
            let at = got
                .iter()
                .zip(&right)
                .take_while(|(got, right)| got == right)
                .count();
            let (got, right) = (told(got.get(at)), told(right.get(at)));
            return Err(format!(
                "[{layout}] {}: rank {rank} got\n  {got}\nand mpi4py\n  {right}",
                case.name
            ));
        }
    }
    Ok(())
}

/// Truth values as 0 and 1: mpi4py sends and receives any bytes.
fn normalized(event: &Event) -> Event {
    match event {
        Event::Elements { what, dtype, hex } if dtype == "bool" => Event::Elements {
            what: what.clone(),
            dtype: dtype.clone(),
            hex: hex
                .as_bytes()
                .chunks(2)
                .map(|byte| if byte == b"00" { "00" } else { "01" })
                .collect(),
        },
        other => other.clone(),
    }
}

fn told(event: Option<&Event>) -> String {
    let text = event.map_or("nothing".to_owned(), |event| format!("{event:?}"));
    match text.char_indices().nth(400) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

fn generated(python: &PathBuf) -> Result<(), Failed> {
    let generator = case::directory().join("generate.py");
    let printed = Command::new(python).arg(generator).output()?.stdout;
    let kept = std::fs::read(case::directory().join("generated.jsonl"))?;
    match printed == kept {
        true => Ok(()),
        false => Err("python3 tests/interop/generate.py > tests/interop/generated.jsonl".into()),
    }
}

fn many(cases: &[(Case, String)]) -> Result<(), Failed> {
    let names: BTreeSet<&str> = cases.iter().map(|(case, _)| case.name.as_str()).collect();
    match names.len() == cases.len() && names.len() >= 300 {
        true => Ok(()),
        false => Err(format!("{} names of {} cases", names.len(), cases.len()).into()),
    }
}
