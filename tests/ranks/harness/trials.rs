//! The test program: what there is to run, and what became of it.

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use super::jobs::{is_sample_of_second, jobs};
use super::world::World;
use super::{Case, Check, Solo, matrix};

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
    // What ranks with GPUs do on their own is no matter of MPI.
    let is_sampled = |solo: &&Solo| solo.start.has_gpus() && is_sample_of_second();
    for solo in solos.into_iter().filter(|solo| !is_sampled(solo)) {
        trials.push(Trial::ignorable_test(
            format!("solo::{}", solo.name),
            move || match solo.obstacle() {
                Some(why) => Ok(Completion::ignored_with(why)),
                None => solo.run().map(|()| Completion::Completed).map_err(Failed::from),
            },
        ));
    }
    for check in checks {
        trials.push(Trial::test(check.name, move || {
            (check.run)().map_err(Failed::from)
        }));
    }
    trials.push(Trial::ignorable_test("support::page", move || {
        if !is_whole || World::ALL.len() < 2 || !cfg!(feature = "cuda") {
            return Ok(Completion::ignored_with(
                "only a run of all cases, with MPI and device buffers, makes the page",
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

/// Whether the command line selects a trial, by the rules of `libtest_mimic`.
fn is_selected(arguments: &Arguments, name: &str) -> bool {
    let fits = |pattern: &String| match arguments.exact {
        true => name == pattern,
        false => name.contains(pattern.as_str()),
    };
    arguments.filter.as_ref().is_none_or(fits) && !arguments.skip.iter().any(fits)
}
