//! The test program: what there is to run, and what became of it.

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use super::job::{Job, Setting, Variables};
use super::place::Place;
use super::world::World;
use super::{Case, Check, Solo, Worlds, matrix};

/// The most ranks of a job.
const MOST_RANKS: usize = 7;

/// The modules whose cases run with other settings too: they move data, and ask for nothing that a setting
/// takes away.
const MODULES_OF_EVERY_SETTING: &[&str] = &[
    "send_recv",
    "wildcards",
    "requests",
    "scope",
    "sendrecv",
    "barrier",
    "bcast",
    "gather",
    "scatter",
    "allgather",
    "allgatherv",
    "reduce",
    "allreduce",
    "communicators",
];

/// Settings under which these run, with so many ranks; the level of threads means something to MPI only.
const SETTINGS: &[(usize, Variables, Worlds)] = &[
    (3, &[("WARPCOMM_CHECK", "0")], Worlds::Both),
    (3, &[("WARPCOMM_EAGER_LIMIT", "0")], Worlds::Both),
    (
        3,
        &[(
            "WARPCOMM_FAULT",
            "delay:7,reorder:30,delay:101,reorder:500,delay:1000,delay:4000",
        )],
        Worlds::Both,
    ),
    (3, &[("WARPCOMM_THREAD_LEVEL", "funneled")], Worlds::Mpi),
];

/// Runs what the command line asks for.
pub fn main(cases: &[Case], solos: Vec<&'static Solo>, checks: &'static [Check]) -> ExitCode {
    let mut arguments = Arguments::from_args();
    // A job has more ranks than there are cores already.
    arguments.test_threads = Some(1);
    let all_jobs = jobs(cases, &|_| true);
    let selected_jobs = jobs(cases, &|name| is_selected(&arguments, name));
    let is_whole = all_jobs
        .iter()
        .zip(&selected_jobs)
        .all(|(all, selected)| all.cases.len() == selected.cases.len());
    let mut trials = Vec::new();
    for job in &selected_jobs {
        for case in &job.cases {
            let (job, case) = (Arc::clone(job), case.clone());
            let name = format!("{case} {}", job.setting);
            trials.push(Trial::test(name, move || {
                job.verdict(&case).map_err(Failed::from)
            }));
        }
        let (job, name) = (Arc::clone(job), format!("job::ends {}", job.setting));
        trials.push(Trial::test(name, move || match &job.report().end {
            None => Ok(()),
            Some(why) => Err(why.into()),
        }));
    }
    for solo in solos {
        trials.push(Trial::test(format!("solo::{}", solo.name), move || {
            solo.run().map_err(Failed::from)
        }));
    }
    for check in checks {
        trials.push(Trial::test(check.name, move || {
            (check.run)().map_err(Failed::from)
        }));
    }
    trials.push(Trial::ignorable_test("support::page", move || {
        if !is_whole || World::ALL.len() < 2 {
            return Ok(Completion::ignored_with(
                "only a run of all cases, with MPI, makes the page",
            ));
        }
        let reports: Vec<_> = selected_jobs
            .iter()
            .map(|job| (job.setting, job.report()))
            .collect();
        matrix::check(&reports)
            .map(|()| Completion::Completed)
            .map_err(Failed::from)
    }));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// One job for each world, number of ranks and place of buffers, with those of its cases whose full names are
/// selected.
fn jobs(cases: &[Case], is_selected: &dyn Fn(&str) -> bool) -> Vec<Arc<Job>> {
    let mut jobs = Vec::new();
    for &world in World::ALL {
        let mut add = |ranks, place, variables, modules: &[&[&str]]| {
            let setting = Setting {
                world,
                ranks,
                place,
                variables,
            };
            let is_in = |name: &String| {
                modules.is_empty()
                    || modules
                        .iter()
                        .copied()
                        .flatten()
                        .any(|module| is_of(name, module))
            };
            let names = cases
                .iter()
                .filter(|case| case.ranks.contains(&ranks) && exists_in(case.worlds, world))
                .map(Case::full_name)
                .filter(is_in)
                .filter(|name| is_selected(&format!("{name} {setting}")));
            jobs.push(Arc::new(Job::new(setting, names.collect())));
        };
        for ranks in 1..=MOST_RANKS {
            add(ranks, Place::Host, &[], &[]);
        }
        for &(ranks, variables, worlds) in SETTINGS {
            if exists_in(worlds, world) {
                add(ranks, Place::Host, variables, &[MODULES_OF_EVERY_SETTING]);
            }
        }
    }
    jobs
}

fn is_of(case: &str, module: &str) -> bool {
    case.split_once("::").is_some_and(|(own, _)| own == module)
}

fn exists_in(worlds: Worlds, world: World) -> bool {
    match worlds {
        Worlds::Both => true,
        Worlds::Threads => world == World::Threads,
        Worlds::Mpi => world != World::Threads,
    }
}

/// Whether the command line selects a trial, by the rules of `libtest_mimic`.
fn is_selected(arguments: &Arguments, name: &str) -> bool {
    let fits = |pattern: &String| match arguments.exact {
        true => name == pattern,
        false => name.contains(pattern.as_str()),
    };
    arguments.filter.as_ref().is_none_or(fits) && !arguments.skip.iter().any(fits)
}
