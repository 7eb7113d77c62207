//! Thousands of random transfers leave nothing behind: not over any path, and not when a rank dies among them.

mod counts;
mod remains;

use std::env;

use signal_hook::consts::SIGKILL;
use signal_hook::low_level;
use warpcomm::{Communicator, Config, Path, Runtime, Tag};

use super::lifecycle::rank_by_launcher;
use super::simulated::Simulated;
use super::transfers::{Rank, Transfer, to_one};
use crate::harness::{
    Ended, Failure, Outcome, Solo, Start, is_real_required, is_sample_of_second, is_whole_wanted, still_going,
};
use counts::Counts;

/// A choice of paths, and what must come of it.
struct Choice {
    name: &'static str,
    /// The variables that leave no others.
    environment: &'static [(&'static str, &'static str)],
    /// The paths between processes on one node: of ranks that share a GPU, and of others.
    paths: [Path; 2],
    /// Whether the last rank is said to be on another node, so that its messages are staged.
    is_one_elsewhere: bool,
}

impl Choice {
    /// How many transfers there are between the counts.
    fn transfers(&self) -> usize {
        match self.is_one_elsewhere {
            _ if is_whole_wanted() => 10_000,
            _ if is_sample_of_second() => 500,
            true => 10_000,
            false => 2_500,
        }
    }
}

const CHOICES: [Choice; 4] = [
    Choice {
        name: "transfers_over_all_paths",
        environment: &[(CHOICE, "0")],
        paths: [Path::SameGpuIpc, Path::PeerGpuIpc],
        is_one_elsewhere: true,
    },
    Choice {
        name: "transfers_that_are_staged",
        environment: &[(CHOICE, "1"), (PATHS, "staged")],
        paths: [Path::Staged; 2],
        is_one_elsewhere: false,
    },
    Choice {
        name: "transfers_through_shared_memory",
        environment: &[(CHOICE, "2"), (PATHS, "^staged,peer-gpu-ipc,same-gpu-ipc")],
        paths: [Path::SharedPinned; 2],
        is_one_elsewhere: false,
    },
    Choice {
        name: "transfers_between_gpus",
        environment: &[(CHOICE, "3"), (PATHS, "^staged")],
        paths: [Path::SameGpuIpc, Path::PeerGpuIpc],
        is_one_elsewhere: false,
    },
];

/// The number of the choice.
const CHOICE: &str = "WARPCOMM_TEST_CHOICE";

const PATHS: &str = "WARPCOMM_PATHS";

pub const SOLOS: &[Solo] = &[
    over(&CHOICES[0]),
    over(&CHOICES[1]),
    over(&CHOICES[2]),
    over(&CHOICES[3]),
    KILLED,
];

const RANKS: usize = 4;

/// What so many ranks have, in turn.
const GPUS: usize = 2;

const fn over(choice: &'static Choice) -> Solo {
    Solo {
        name: choice.name,
        start: Start::RanksWithGpus(RANKS),
        environment: choice.environment,
        program: nothing_is_left_behind,
        release: None,
        expect: |ended| ended.check(true, &[]),
    }
}

const KILLED: Solo = Solo {
    name: "a_rank_that_is_killed_among_transfers",
    start: Start::RanksWithGpus(RANKS),
    environment: &[(CHOICE, "0"), (KILLER, "1")],
    program: one_is_killed,
    release: None,
    expect: |ended| {
        remains::are_gone(&ended.directory, RANKS)?;
        started_again(ended)
    },
};

/// Says that a rank kills itself.
const KILLER: &str = "WARPCOMM_TEST_KILLED";

/// The transfers before the count that all others are held against: so much is there afterwards that is kept for later.
const FIRST: usize = 600;

/// How often all ranks meet.
const BETWEEN_MEETINGS: usize = 100;

fn choice() -> Result<&'static Choice, Failure> {
    let number = env::var(CHOICE)?.parse::<usize>()?;
    CHOICES
        .get(number)
        .ok_or_else(|| Failure("no such choice".to_owned()))
}

fn with_choice(program: fn(&Communicator, &Choice) -> Outcome) -> Outcome {
    let choice = choice()?;
    let mut config = Config::from_env()?;
    if choice.is_one_elsewhere {
        let is_last = rank_by_launcher()? == RANKS - 1;
        config = config.node_id(if is_last { "there" } else { "here" });
    }
    let runtime = Runtime::init_with(&config)?;
    program(&runtime.world()?, choice)?;
    // An error if an operation is pending.
    runtime.finalize()?;
    Ok(())
}

/// Runs transfers with these numbers.
fn transfer(on: &Rank<'_>, numbers: std::ops::Range<usize>, choice: &Choice) -> Outcome {
    let is_staging_allowed = choice.paths[0] == Path::Staged || choice.is_one_elsewhere;
    for number in numbers {
        Transfer::new(number, on.comm.size(), is_staging_allowed).take_part(on)?;
        if number % BETWEEN_MEETINGS == 0 {
            still_going();
            to_one(
                on,
                number / BETWEEN_MEETINGS % on.comm.size(),
                10 + number % 10_000,
            )?;
        }
    }
    on.stream.synchronize()?;
    on.comm.barrier()?;
    Ok(())
}

/// Everything that is made once and kept: the paths of all pairs, and what as many operations at once need as there ever
/// are.
fn fill_caches(on: &Rank<'_>) -> Outcome {
    const AT_ONCE: i32 = 24;
    let comm = on.comm;
    for bytes in [100, 100_000] {
        for distance in 0..comm.size() {
            let to = (comm.rank() + distance) % comm.size();
            let from = (comm.rank() + comm.size() - distance) % comm.size();
            let message = || on.stream.alloc_zeros::<u8>(bytes);
            let mut requests = Vec::new();
            for tag in 0..AT_ONCE {
                requests.push(comm.irecv(message()?, from, Tag(tag)));
            }
            for tag in 0..AT_ONCE {
                requests.push(comm.isend(message()?, to, Tag(tag)));
            }
            for request in requests {
                request.wait()?;
            }
        }
    }
    on.stream.synchronize()?;
    comm.barrier()?;
    Ok(())
}

fn nothing_is_left_behind() -> Outcome {
    with_choice(|comm, choice| {
        let on = Rank::new(comm)?;
        let driver = if is_real_required() {
            None
        } else {
            Some(Simulated::load()?)
        };
        fill_caches(&on)?;
        transfer(&on, 0..FIRST, choice)?;
        let before = Counts::when_idle(driver.as_ref())?;
        comm.barrier()?;
        transfer(&on, FIRST..FIRST + choice.transfers(), choice)?;
        Counts::wait_until_as_before(driver.as_ref(), &before)?;
        let node = |rank| choice.is_one_elsewhere && rank == RANKS - 1;
        for peer in (0..RANKS).filter(|&peer| peer != comm.rank()) {
            let path = comm.path(peer)?.map(|chosen| chosen.path());
            let expected = match node(peer) == node(comm.rank()) {
                true => choice.paths[usize::from(peer % GPUS != comm.rank() % GPUS)],
                false => Path::Staged,
            };
            assert_eq!(path, Some(expected), "to rank {peer}");
        }
        comm.barrier()?;
        Ok(())
    })
}

fn one_is_killed() -> Outcome {
    with_choice(|comm, choice| {
        let on = Rank::new(comm)?;
        fill_caches(&on)?;
        transfer(&on, 0..FIRST / 2, choice)?;
        remains::write_down(comm.rank())?;
        comm.barrier()?;
        if env::var_os(KILLER).is_some() && comm.rank() == 1 {
            let mut under_way = Vec::new();
            for peer in 0..comm.size() {
                let buffer = on.stream.alloc_zeros::<u8>(1 << 20)?;
                under_way.push(comm.isend(buffer, peer, Tag(0)));
            }
            low_level::raise(SIGKILL)?;
        }
        transfer(&on, FIRST / 2..FIRST, choice)
    })
}

/// Starts the job again, without the end in the middle.
fn started_again(first: &Ended) -> Result<(), String> {
    if first.status.success() {
        return Err("nobody was killed".to_owned());
    }
    let again = Solo {
        environment: CHOICES[0].environment,
        expect: |ended| ended.check(true, &[]),
        ..KILLED
    };
    again.run()
}
