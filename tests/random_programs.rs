//! Random programs on ranks that are threads agree with a sequential model.
//!
//! `WARPCOMM_TEST_PROGRAMS` sets the number of programs, 500 if it is not set. The same programs run under MPI as
//! a case of `tests/ranks.rs`.

#[macro_use]
#[allow(dead_code, unused_macros, reason = "the multi-rank cases use more of it")]
#[path = "ranks/oracle/mod.rs"]
mod oracle;
#[path = "random_programs/mod.rs"]
mod programs;

#[path = "ranks/placed/host_part.rs"]
mod part;

/// The library's own types, for which the multi-rank cases have others that place buffers.
mod placed {
    pub use super::part::{Part, alltoallw, alltoallw_in_place};
    pub use warpcomm::{AnyRequest, Communicator, Persistent, Request};
    pub use warpcomm::{test_all, wait_all, wait_any, wait_some};

    pub fn like(_: &Communicator, made: Communicator) -> Communicator {
        made
    }

    pub type ScopeHandle<'scope, 'env> = &'scope warpcomm::Scope<'scope, 'env>;
}

use std::io::Write;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use warpcomm::{Communicator, Config, Wire};

use programs::{Program, difference, execute, expected};

/// How long a program may wait in one place, before its operations fail.
const DEADLINE: Duration = Duration::from_secs(60);

fn count() -> u32 {
    std::env::var("WARPCOMM_TEST_PROGRAMS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(500)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: count(), max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agree_with_the_model(
        seed: u64,
        ranks in 2usize..=5,
        steps in 1usize..=30,
        eager_limit in prop::sample::select(vec![0usize, 16, 4000]),
        check: bool,
    ) {
        let program = Program::new(seed, ranks, steps, Wire::Native);
        if let Err(why) = agrees(&program, eager_limit, check) {
            prop_assert!(false, "seed {seed}, {ranks} ranks, {steps} steps, eager limit {eager_limit}, check {check}\n{why}\n{program:#?}");
        }
    }
}

fn agrees(program: &Program, eager_limit: usize, check: bool) -> Result<(), String> {
    let config = Config::default()
        .eager_limit(eager_limit)
        .check(check)
        .timeout(DEADLINE);
    // Should the library end the process at the deadline, this has been said before.
    let (done, ended) = mpsc::channel::<()>();
    let outcomes = thread::scope(|scope| {
        scope.spawn(move || {
            if ended.recv_timeout(DEADLINE / 2) == Err(RecvTimeoutError::Timeout) {
                let _ = writeln!(
                    std::io::stderr(),
                    "eager limit {eager_limit}, check {check}, stuck in {program:#?}"
                );
            }
        });
        let outcomes = Communicator::threads_with(&config, program.ranks(), |comm| execute(program, &comm));
        drop(done);
        outcomes
    });
    for (rank, seen) in outcomes
        .map_err(|error| error.to_string())?
        .into_iter()
        .enumerate()
    {
        let seen = seen.map_err(|error| format!("rank {rank}: {error:?}"))?;
        if let Some(difference) = difference(&seen, &expected(program, rank)) {
            return Err(format!("rank {rank}: {difference}"));
        }
    }
    Ok(())
}
