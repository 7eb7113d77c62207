//! Which jobs there are: the kinds of worlds, numbers of ranks, settings and places of buffers, and which cases run
//! with them.
//!
//! What is not the usual is sampled: the whole of it takes hours on two cores, and runs where [`WHOLE_VARIABLE`] asks.

use std::sync::Arc;

#[cfg(feature = "mpi")]
use super::CUDA_AWARE_VARIABLE;
use super::job::{Job, Setting, Variables};
use super::place::Place;
use super::world::World;
use super::{Case, WHOLE_VARIABLE, Worlds, simulate};

/// The numbers of ranks of jobs.
const ALL_NUMBERS: &[usize] = &[1, 2, 3, 4, 5, 6, 7];

/// A sample of them, for the second MPI library that there is to be tested with: its ranks never give way.
#[cfg(feature = "mpi")]
const SOME_NUMBERS: &[usize] = &[1, 2, 3, 5];

/// From so many ranks on, a case with buffers of the host runs with one of the numbers only, where a sample is asked for.
const MANY: usize = 5;

/// The same with the second MPI library.
#[cfg(feature = "mpi")]
const MANY_OF_SECOND: usize = 3;

/// The modules of the collectives.
const COLLECTIVES: &[&str] = &[
    "barrier",
    "bcast",
    "gather",
    "gatherv",
    "scatter",
    "scatterv",
    "allgather",
    "allgatherv",
    "alltoall",
    "alltoallv",
    "alltoallw",
    "reduce",
    "allreduce",
    "reduce_scatter_block",
    "reduce_scatter",
    "scan",
    "exscan",
];

/// The modules beside [`COLLECTIVES`] whose cases run with other settings too: they move data, and ask for nothing that
/// a setting takes away.
const MODULES_OF_EVERY_SETTING: &[&str] = &[
    "send_recv",
    "wildcards",
    "send_modes",
    "proc_null",
    "matched",
    "requests",
    "completion",
    "futures",
    "persistent",
    "point_to_point",
    "scope",
    "sendrecv",
    "communicators",
    "groups",
    "intercommunicators",
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

/// The modules, and single cases of others, that run with buffers elsewhere than in the memory of the host too:
/// those of every setting, and what else is about operations with buffers.
///
/// The rest is not about buffers: making and losing MPI, ranks that panic (`threads`, `lifecycle`, `hangs`), messages
/// that fail below the transport that knows of GPUs (`faults`). Messages of gigabytes would be copied by simulated
/// GPUs for minutes.
const ALSO_OF_EVERY_PLACE: &[&str] = &[
    "errors",
    "blocks",
    "refusals",
    "mismatch",
    "tuning",
    "deadlock",
    "concurrency",
    "programs",
    "large::a_mebibyte_by_the_usual_operations",
    "large::a_mebibyte_by_the_usual_operations_of_five",
    "large::an_odd_number_of_bytes",
];

/// The modules beside [`COLLECTIVES`] whose collectives are called in every form, in turn: all ranks call the same ones
/// in the same order, each from one thread, and nobody gives up in the middle.
const MODULES_OF_EVERY_FORM: &[&str] = &["communicators", "blocks", "refusals", "mismatch"];

/// The modules, and single cases of others, whose cases make device buffers themselves.
const MODULES_OF_DEVICES: &[&str] = &[
    "device",
    "foreign_memory",
    "device_buffers",
    "pool_on_gpus",
    "many_ranks",
    "overlap::beside_a_kernel_that_goes_on",
];

/// A sample of modules: messages, and each way in which collectives copy and fold. They run where GPUs cannot reach each
/// other's memory, and on one rank with a GPU.
const SAMPLE_OF_MODULES: &[&str] = &["send_recv", "bcast", "gatherv", "alltoallv", "allreduce", "scan"];

/// The modules, and single cases of others, whose cases need a driver that fails on demand, and counts.
const MODULES_OF_SIMULATED_DEVICES: &[&str] = &[
    "sweep",
    "copies",
    "short",
    "leader",
    "leader_of_parts",
    "fold_notes",
    "overlap::an_idle_engine_asks_no_gpu",
];

/// What ranks whose GPUs reach each other's memory do in ways of their own, beside sharing a GPU or not.
const MODULES_OF_NEIGHBOURS: &[&str] = &[
    "neighbours",
    "sweep::allreduce_by_a_leader",
    "sweep::reduce_by_a_leader",
    "sweep::iallreduce_by_a_leader",
    "sweep::reduce_scatter_block_by_a_leader",
    "sweep::reduce_scatter_in_place_by_a_leader",
    "sweep::scan_in_place_by_a_leader",
    "sweep::iexscan_by_a_leader",
];

/// With how many ranks cases run with buffers elsewhere, where only a sample is asked for.
struct Placed {
    place: Place,
    as_threads: &'static [usize],
    /// With the first MPI library that there is to be tested with, and with the second.
    #[cfg_attr(
        not(feature = "mpi"),
        allow(dead_code, reason = "without MPI there are no such jobs")
    )]
    under_mpi: [&'static [usize]; 2],
}

const PLACES: &[Placed] = &[
    Placed {
        place: Place::Pinned,
        as_threads: &[3],
        under_mpi: [&[2], &[]],
    },
    Placed {
        place: Place::Device,
        as_threads: &[1, 3],
        under_mpi: [&[3], &[2]],
    },
    Placed {
        place: Place::Mixed,
        as_threads: &[3],
        under_mpi: [&[4], &[2]],
    },
];

/// Which paths long messages of device buffers may take between processes in a job, with the first MPI library: CUDA IPC,
/// and what a host takes part in through pinned memory; all through pinned memory; all staged. What cannot go so fails.
const IPC: Variables = &[("WARPCOMM_PATHS", "^staged")];
const SHARED_PINNED: Variables = &[("WARPCOMM_PATHS", "^staged,peer-gpu-ipc,same-gpu-ipc")];
const STAGED: Variables = &[("WARPCOMM_PATHS", "staged")];

/// GPUs that can be given access to each other's memory, as they can be where nothing is said.
const NEIGHBOURS: Variables = &[("SIMGPU_PEER", "1")];

/// The same where MPI is CUDA-aware.
#[cfg(feature = "mpi")]
const CUDA_AWARE: Variables = &[
    ("WARPCOMM_PATHS", "cuda-aware,same-process"),
    ("WARPCOMM_CUDA_AWARE", "yes"),
];

/// With how many ranks those jobs run.
#[cfg(feature = "mpi")]
const CUDA_AWARE_NUMBERS: &[usize] = &[2, 3];

/// With how many ranks those jobs run, where only a sample is asked for.
#[cfg(feature = "mpi")]
const PATHS: &[(usize, Variables)] = &[(3, IPC), (2, SHARED_PINNED), (2, STAGED)];

/// With how many ranks, and with which variables, cases run with buffers elsewhere.
fn placed_jobs(world: World, placed: &Placed) -> Vec<(usize, Variables)> {
    #[cfg(feature = "mpi")]
    if world == World::Mpi && placed.place == Place::Device && is_cuda_aware() {
        let numbers = CUDA_AWARE_NUMBERS.iter();
        return numbers.map(|&ranks| (ranks, CUDA_AWARE)).collect();
    }
    #[cfg(feature = "mpi")]
    if world == World::Mpi && placed.place == Place::Device && !is_sample_of_second() {
        return match is_whole_wanted() {
            true => [IPC, SHARED_PINNED, STAGED]
                .into_iter()
                .flat_map(|path| ALL_NUMBERS.iter().map(move |&ranks| (ranks, path)))
                // Nothing but staging takes what a rank sends itself between memory of the host and of a GPU.
                .filter(|&(ranks, path)| ranks > 1 || path == STAGED)
                .collect(),
            false => PATHS.to_vec(),
        };
    }
    let numbers = match world {
        _ if is_whole_wanted() => ALL_NUMBERS,
        World::Threads => placed.as_threads,
        #[cfg(feature = "mpi")]
        World::Mpi => placed.under_mpi[usize::from(is_mpich())],
        #[cfg(feature = "mpi")]
        World::Plain => &[],
    };
    numbers.iter().map(|&ranks| (ranks, &[] as Variables)).collect()
}

/// The modules and cases of these that are about what only native communicators do: senders that learn of a refusal,
/// sends that are withdrawn, and communicators made of messages.
#[cfg(feature = "mpi")]
const NATIVE: &[&str] = &[
    "intercommunicators",
    "send_modes::a_synchronous_send_learns_of_a_refusal",
    "send_modes::a_withdrawn_synchronous_send",
    "matched::a_message_that_does_not_fit_is_consumed",
    "requests::a_truncated_receive_gives_its_buffer_back",
    "persistent::a_failed_one_can_be_started_again",
    // MPI has no reductions of 16-bit floats.
    "allreduce::mpich_allred",
];

/// With how many ranks the cases of every setting run on plain communicators, with those of these, and where the
/// buffers lie then.
#[cfg(feature = "mpi")]
const PLAIN_JOBS: &[(usize, Place)] = &[
    (1, Place::Host),
    (2, Place::Host),
    (3, Place::Host),
    (4, Place::Host),
    (2, Place::Pinned),
    (3, Place::Device),
    (4, Place::Mixed),
];

/// Those of them with the second MPI library, where only a sample is asked for.
#[cfg(feature = "mpi")]
const PLAIN_SAMPLE: &[(usize, Place)] = &[(1, Place::Host), (2, Place::Host), (2, Place::Mixed)];

#[cfg(feature = "mpi")]
fn plain_jobs() -> Vec<(usize, Place)> {
    if is_whole_wanted() {
        let places = [Place::Host, Place::Pinned, Place::Device, Place::Mixed];
        let of_place = |place| ALL_NUMBERS.iter().map(move |&ranks| (ranks, place));
        return places.into_iter().flat_map(of_place).collect();
    }
    match is_sample_of_second() {
        true => PLAIN_SAMPLE.to_vec(),
        false => PLAIN_JOBS.to_vec(),
    }
}

fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| value == "1")
}

/// Whether whoever runs the tests says that MPI is CUDA-aware.
#[cfg(feature = "mpi")]
pub fn is_cuda_aware() -> bool {
    is_set(CUDA_AWARE_VARIABLE)
}

pub fn is_whole_wanted() -> bool {
    is_set(WHOLE_VARIABLE)
}

/// Whether this program is linked with the second MPI library, and a sample will do.
pub fn is_sample_of_second() -> bool {
    #[cfg(feature = "mpi")]
    return is_mpich() && !is_whole_wanted();
    #[cfg(not(feature = "mpi"))]
    false
}

/// The numbers of ranks with buffers of the host.
fn numbers(world: World) -> &'static [usize] {
    match world {
        #[cfg(feature = "mpi")]
        World::Mpi if is_sample_of_second() => SOME_NUMBERS,
        _ => ALL_NUMBERS,
    }
}

/// Whether a case runs with so many of the [`numbers`] of ranks: of many, threads and processes take turns, and so do cases.
fn is_its_turn(case: &Case, world: World, ranks: usize) -> bool {
    let least = match world {
        #[cfg(feature = "mpi")]
        World::Mpi if is_sample_of_second() => MANY_OF_SECOND,
        _ => MANY,
    };
    if ranks < least || is_whole_wanted() {
        return true;
    }
    let many = numbers(world)
        .iter()
        .filter(|many| **many >= least && case.ranks.contains(many));
    let many: Vec<usize> = many.copied().collect();
    let name: usize = case.full_name().bytes().map(usize::from).sum();
    let turn = (name + usize::from(world == World::Threads)) % many.len().max(1);
    many.get(turn) == Some(&ranks)
}

/// One job for each world, number of ranks and place of buffers, with those of its cases whose full names are
/// selected.
pub fn jobs(cases: &[Case], is_selected: &dyn Fn(&str) -> bool) -> Vec<Arc<Job>> {
    let mut jobs = Vec::new();
    for &world in World::ALL {
        let mut add = |ranks, place, variables, is_in: &dyn Fn(&str) -> bool| {
            let setting = Setting {
                world,
                ranks,
                place,
                variables,
            };
            // Other jobs are samples themselves, of numbers of their own.
            let is_usual = place == Place::Host && variables.is_empty();
            let names = cases
                .iter()
                .filter(|case| case.ranks.contains(&ranks) && exists_in(case.worlds, world))
                .filter(|case| !is_usual || is_its_turn(case, world, ranks))
                .map(Case::full_name)
                .filter(|name| is_in(name))
                .filter(|name| is_selected(&format!("{name} {setting}")));
            jobs.push(Arc::new(Job::new(setting, names.collect())));
        };
        let is_of_every_setting =
            |name: &str| is_of_one(name, COLLECTIVES) || is_of_one(name, MODULES_OF_EVERY_SETTING);
        #[cfg(feature = "mpi")]
        if world == World::Plain {
            for (ranks, place) in plain_jobs() {
                if place == Place::Host || cfg!(feature = "cuda") {
                    add(ranks, place, &[], &|name| {
                        is_of_every_setting(name) && !is_of_one(name, NATIVE)
                            || is_of_one(name, &["plain", "programs"])
                    });
                }
            }
            continue;
        }
        for &ranks in numbers(world) {
            add(ranks, Place::Host, &[], &|name| {
                ![
                    MODULES_OF_DEVICES,
                    MODULES_OF_SIMULATED_DEVICES,
                    MODULES_OF_NEIGHBOURS,
                ]
                .iter()
                .any(|modules| is_of_one(name, modules))
            });
        }
        for &(ranks, variables, worlds) in SETTINGS {
            let is_sampled = world == World::Threads || worlds != Worlds::Both || !is_sample_of_second();
            if exists_in(worlds, world) && is_sampled {
                add(ranks, Place::Host, variables, &is_of_every_setting);
            }
        }
        if !cfg!(feature = "cuda") {
            continue;
        }
        for placed in PLACES {
            for (ranks, variables) in placed_jobs(world, placed) {
                // A rank that is alone sends nothing that three do not; staging is what those of other places do too, and
                // shared memory what those with IPC do where a host takes part.
                let is_whole =
                    ranks > 1 && ![STAGED, SHARED_PINNED].contains(&variables) || is_whole_wanted();
                add(ranks, placed.place, variables, &|name| {
                    // These have messages between places of one process, which must be staged.
                    let is_staged_too = is_of_one(name, &["programs", "point_to_point::sendself"]);
                    if (variables == IPC || variables == SHARED_PINNED) && is_staged_too {
                        return false;
                    }
                    is_whole && (is_of_every_setting(name) || is_of_one(name, ALSO_OF_EVERY_PLACE))
                        || is_of_one(name, SAMPLE_OF_MODULES)
                        || placed.place == Place::Device && is_of_one(name, MODULES_OF_DEVICES)
                        || placed.place == Place::Device
                            && !simulate::is_real_required()
                            && is_of_one(name, MODULES_OF_SIMULATED_DEVICES)
                });
            }
        }
        if !simulate::is_real_required() {
            let variables = &[simulate::NO_PEERS];
            if world == World::Threads || !is_sample_of_second() {
                add(4, Place::Mixed, variables, &|name| {
                    is_of_one(name, SAMPLE_OF_MODULES)
                });
            }
            add(4, Place::Device, variables, &|name| {
                is_of_one(name, MODULES_OF_DEVICES) || is_of_one(name, MODULES_OF_NEIGHBOURS)
            });
            for ranks in [2, 4] {
                add(ranks, Place::Device, NEIGHBOURS, &|name| {
                    is_of_one(name, MODULES_OF_NEIGHBOURS)
                });
            }
            add(1, Place::Host, &[simulate::NO_DEVICES], &|name| {
                is_of_one(name, &["without_gpu"])
            });
        }
    }
    jobs
}

/// Whether this program is linked with MPICH, or an MPI that is made from it.
#[cfg(feature = "mpi")]
fn is_mpich() -> bool {
    use std::sync::OnceLock;

    use crate::launcher::{Flavour, Launcher};

    // Launchers are asked for their versions, which takes them a while.
    static IS_MPICH: OnceLock<bool> = OnceLock::new();
    *IS_MPICH.get_or_init(|| {
        let program = std::env::current_exe().unwrap_or_default();
        Launcher::find(&program, None)
            .is_ok_and(|launcher| matches!(launcher.flavour, Flavour::Mpich | Flavour::IntelMpi))
    })
}

fn is_of_one(case: &str, modules: &[&str]) -> bool {
    case.split_once("::")
        .is_some_and(|(own, _)| modules.contains(&own) || modules.contains(&case))
}

/// Whether the collectives of a case are called in every form.
pub fn has_every_form(case: &Case) -> bool {
    let name = case.full_name();
    is_of_one(&name, COLLECTIVES) || is_of_one(&name, MODULES_OF_EVERY_FORM)
}

fn exists_in(worlds: Worlds, world: World) -> bool {
    match worlds {
        Worlds::Both => true,
        Worlds::Threads => world == World::Threads,
        Worlds::Mpi => world.to_string() != "threads",
        Worlds::Plain => world.to_string() == "plain",
        Worlds::Native => world.to_string() != "plain",
    }
}
