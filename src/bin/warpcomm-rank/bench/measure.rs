//! How long an operation takes.

use std::time::Instant;

use warpcomm::{Communicator, Op};

use super::agree;
use super::subject::{Subject, compute, not_here};
use crate::Failure;
use crate::carried::carried;
use crate::repeats::repeats;
use crate::statistics::quantile;
use crate::task::Effort;

/// A sample repeats an operation until it lasts about so long, because clocks and barriers have their errors; less only
/// where all samples together may not last so long.
const SAMPLE_SECONDS: f64 = 1e-3;

/// The median of fewer would say nothing.
const LEAST_SAMPLES: usize = 3;

/// Steps of a computation that are timed, to know how many make a time.
const TIMED_STEPS: u64 = 100_000;

/// What the samples of one length say.
pub struct Measured {
    /// How many operations make a sample.
    pub repeats: u64,
    /// Seconds of one operation on the slowest rank: the same on all ranks.
    pub samples: Vec<f64>,
    /// Which part of it a computation hides, where that was asked for.
    pub overlap: Option<f64>,
    /// What carried the elements, as far as this rank knows.
    pub carried: Option<String>,
}

/// Measures with all ranks; `title` names in an error what has given a wrong element.
///
/// An error that ranks agree about is [`NotHere`](super::subject::NotHere) where the operation is not possible.
pub fn measure(
    comm: &Communicator,
    subject: &mut dyn Subject,
    effort: &Effort,
    overlaps: bool,
    title: &dyn Fn() -> String,
) -> Result<Measured, Failure> {
    fresh(comm, subject, 1)?;
    check(comm, subject, effort, title)?;
    let once = sample(comm, subject, 1)?;
    let in_time = (effort.seconds / once.max(1e-9)) as u64;
    subject.run(effort.warm_up.saturating_sub(2).min(in_time))?;
    let least = effort.seconds.min(SAMPLE_SECONDS);
    let (repeats, seconds) = repeats(least, |repeats| sample(comm, subject, repeats))?;
    let mut measured = Measured {
        repeats,
        samples: Vec::new(),
        overlap: None,
        carried: None,
    };
    match overlaps {
        true => measured.overlap = Some(overlap(comm, subject, seconds, effort, &mut measured)?),
        false => {
            while wants_more(&measured.samples, repeats, effort) {
                measured.samples.push(sample(comm, subject, repeats)?);
            }
        }
    }
    if effort.check {
        // What the samples no longer brought would be there from the operations before them: other elements are not.
        fresh(comm, subject, repeats)?;
        check(comm, subject, effort, title)?;
    }
    if !subject.is_of_another_library() {
        measured.carried = carried(|| subject.run(1))?;
    }
    Ok(measured)
}

/// Runs a sample, which nobody times, on elements that no operation has seen.
fn fresh(comm: &Communicator, subject: &mut dyn Subject, repeats: u64) -> Result<(), Failure> {
    agree::all(comm, subject.prepare())??;
    match subject.run(repeats) {
        // The others may be waiting for what this rank should have sent.
        Err(failure) if !agree::is_shared(&failure) => Err(failure),
        done => agree::all(comm, done)?,
    }
}

/// Fails on all ranks if an element is wrong on one; another library that is wrong about one operation does not end the job.
fn check(
    comm: &Communicator,
    subject: &dyn Subject,
    effort: &Effort,
    title: &dyn Fn() -> String,
) -> Result<(), Failure> {
    if !effort.check {
        return Ok(());
    }
    let found = match subject.wrong() {
        Ok(None) => Ok(()),
        Ok(Some(wrong)) => {
            let what = format!("{}: rank {}: {wrong}", title(), comm.rank());
            match subject.is_of_another_library() {
                true => Err(not_here(format!("the result is wrong: {what}"))),
                false => Err(what.into()),
            }
        }
        Err(error) => Err(error),
    };
    agree::all(comm, found)?
}

/// The seconds of one operation on the slowest rank.
fn sample(comm: &Communicator, subject: &mut dyn Subject, repeats: u64) -> Result<f64, Failure> {
    comm.barrier()?;
    let start = Instant::now();
    subject.run(repeats)?;
    let seconds = start.elapsed().as_secs_f64() / repeats as f64;
    slowest(comm, seconds)
}

fn slowest(comm: &Communicator, mut seconds: f64) -> Result<f64, Failure> {
    comm.allreduce_in_place(&mut seconds, Op::Max)?;
    Ok(seconds)
}

/// Whether there are too few samples yet; all ranks have the same.
fn wants_more(samples: &[f64], repeats: u64, effort: &Effort) -> bool {
    let seconds = samples.iter().sum::<f64>() * repeats as f64;
    let is_short = samples.len() < LEAST_SAMPLES || seconds < effort.seconds;
    is_short && samples.len() < effort.samples.max(1)
}

/// Samples with and without a computation that lasts as long as the operation, and which part of the operation it hides:
/// what the OSU benchmarks call overlap, 1 - (both - computation) / operation.
fn overlap(
    comm: &Communicator,
    subject: &mut dyn Subject,
    seconds: f64,
    effort: &Effort,
    measured: &mut Measured,
) -> Result<f64, Failure> {
    let timed = |steps: u64| {
        let start = Instant::now();
        compute(steps);
        start.elapsed().as_secs_f64()
    };
    let fastest = (0..5).map(|_| timed(TIMED_STEPS)).fold(f64::INFINITY, f64::min);
    let steps = (seconds / fastest * TIMED_STEPS as f64).max(1.0) as u64;
    let repeats = measured.repeats;
    let each = |subject: &mut dyn Subject, steps| {
        subject.compute(steps);
        sample(comm, subject, repeats)
    };
    let mut parts = Vec::new();
    while wants_more(&measured.samples, repeats, effort) {
        let computation = slowest(comm, timed(steps * repeats) / repeats as f64)?;
        let both = each(subject, steps)?;
        let alone = each(subject, 0)?;
        measured.samples.push(alone);
        // What goes beyond is noise.
        parts.push((1.0 - (both - computation) / alone).clamp(0.0, 1.0));
    }
    parts.sort_by(f64::total_cmp);
    Ok(quantile(&parts, 0.5))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::contents::Wrong;
    use crate::bench::subject::not_here;

    const EFFORT: Effort = Effort {
        warm_up: 3,
        seconds: 0.0,
        samples: 4,
        check: true,
    };

    /// Is right, wrong on a rank, or not possible there.
    struct Pretended<'c> {
        comm: &'c Communicator,
        wrong_on: Option<usize>,
        missing_on: Option<usize>,
        is_of_another_library: bool,
        runs: u64,
    }

    impl Subject for Pretended<'_> {
        fn prepare(&mut self) -> Result<(), Failure> {
            Ok(())
        }

        fn run(&mut self, repeats: u64) -> Result<(), Failure> {
            self.runs += repeats;
            match self.missing_on == Some(self.comm.rank()) {
                true => Err(not_here("nothing to run")),
                false => Ok(()),
            }
        }

        fn wrong(&self) -> Result<Option<Wrong>, Failure> {
            let wrong = Wrong {
                element: 7,
                found: "3".to_owned(),
                expected: "4".to_owned(),
            };
            Ok((self.wrong_on == Some(self.comm.rank())).then_some(wrong))
        }

        fn is_of_another_library(&self) -> bool {
            self.is_of_another_library
        }
    }

    /// Brings what it is given the first time alone.
    #[derive(Default)]
    struct Stopping {
        given: u64,
        brought: u64,
        runs: u64,
    }

    impl Subject for Stopping {
        fn prepare(&mut self) -> Result<(), Failure> {
            self.given += 1;
            Ok(())
        }

        fn run(&mut self, repeats: u64) -> Result<(), Failure> {
            if self.runs == 0 {
                self.brought = self.given;
            }
            self.runs += repeats;
            Ok(())
        }

        fn wrong(&self) -> Result<Option<Wrong>, Failure> {
            let wrong = Wrong {
                element: 0,
                found: self.brought.to_string(),
                expected: self.given.to_string(),
            };
            Ok((self.brought != self.given).then_some(wrong))
        }
    }

    fn outcomes(
        wrong_on: Option<usize>,
        missing_on: Option<usize>,
        check: bool,
    ) -> Vec<Result<usize, String>> {
        outcomes_of(false, wrong_on, missing_on, check)
    }

    fn outcomes_of(
        is_of_another_library: bool,
        wrong_on: Option<usize>,
        missing_on: Option<usize>,
        check: bool,
    ) -> Vec<Result<usize, String>> {
        let outcomes = Communicator::threads(2, |comm| {
            let mut subject = Pretended {
                comm: &comm,
                wrong_on,
                missing_on,
                is_of_another_library,
                runs: 0,
            };
            let effort = Effort { check, ..EFFORT };
            let measured = measure(&comm, &mut subject, &effort, false, &|| {
                "scan of 8 bytes".to_owned()
            });
            measured
                .map(|measured| measured.samples.len())
                .map_err(|error| error.to_string())
        });
        outcomes.unwrap()
    }

    #[test]
    fn a_wrong_element_is_an_error_that_names_it() {
        let [first, second] = &outcomes(Some(1), None, true)[..] else {
            panic!()
        };
        assert_eq!(first, &Err("another rank says what failed".to_owned()));
        let expected = "scan of 8 bytes: rank 1: element 7 is 3, and should be 4";
        assert_eq!(second, &Err(expected.to_owned()));
        assert_eq!(outcomes(Some(1), None, false), [Ok(3), Ok(3)]);
        assert_eq!(outcomes(None, None, true), [Ok(3), Ok(3)]);
    }

    #[test]
    fn what_no_longer_arrives_in_the_samples_is_noticed() {
        let measured = |check| {
            let outcomes = Communicator::threads(2, |comm| {
                let effort = Effort { check, ..EFFORT };
                let title = || "scan of 8 bytes".to_owned();
                let measured = measure(&comm, &mut Stopping::default(), &effort, false, &title);
                measured.map(|measured| measured.samples.len()).ok()
            });
            outcomes.unwrap()
        };
        assert_eq!(measured(true), [None, None]);
        assert_eq!(measured(false), [Some(3), Some(3)]);
    }

    #[test]
    fn a_wrong_element_of_another_library_is_left_out_on_all_ranks() {
        let reason = "the result is wrong: scan of 8 bytes: rank 1: element 7 is 3, and should be 4";
        let left_out = Err(reason.to_owned());
        assert_eq!(
            outcomes_of(true, Some(1), None, true),
            [left_out.clone(), left_out]
        );
    }

    #[test]
    fn what_a_rank_cannot_run_no_rank_measures() {
        let left_out = Err("nothing to run".to_owned());
        assert_eq!(outcomes(None, Some(0), true), [left_out.clone(), left_out]);
    }

    #[test]
    fn samples_are_taken_until_the_time_is_over() {
        let effort = Effort {
            seconds: 8.0,
            samples: 5,
            ..EFFORT
        };
        let more = |samples: &[f64]| wants_more(samples, 2, &effort);
        assert!(more(&[]) && more(&[1.0, 1.0, 1.0]));
        assert!(!more(&[1.0, 1.0, 2.0]));
        // Fewer say nothing, and more are not wanted.
        assert!(more(&[9.0, 9.0]));
        assert!(!more(&[0.1; 5]));
    }
}
