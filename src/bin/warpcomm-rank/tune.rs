//! `tune`: measures every algorithm that a collective can choose, and writes from which lengths on it is the fastest.

mod buffers;
mod crossover;
mod host_fold;
mod measure;
mod report;
mod taken;

use std::path::PathBuf;

use clap::Args;
use warpcomm::{Algorithm, Communicator, Config, Machine, Op, Place, Runtime, Tuning};

use crate::Failure;
use buffers::Memory;
use measure::Case;

/// The operations that have a choice.
const OPERATIONS: [&str; 3] = ["bcast", "reduce", "allreduce"];

/// Those that have one among ranks whose GPUs reach each other's memory.
const OPERATIONS_OF_NEIGHBOURS: [&str; 2] = ["reduce", "allreduce"];

/// The variable that names the file where the caller does not.
const FILE_VARIABLE: &str = "WARPCOMM_TUNING";

#[derive(Args)]
pub struct Arguments {
    /// Lengths in bytes, going up
    #[arg(long, value_delimiter = ',', required = true)]
    sizes: Vec<usize>,

    /// Most rounds of each measurement
    #[arg(long)]
    rounds: usize,

    /// Where the buffers are
    #[arg(long, value_delimiter = ',')]
    places: Vec<Place>,

    /// The file to write
    #[arg(long)]
    output: Option<PathBuf>,

    /// The GPUs are simulated
    #[arg(long)]
    simulated: bool,
}

/// Takes this rank's part in all measurements; rank 0 prints and writes.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = Config::from_env()?.tuning(None);
    let runtime = Runtime::init_with(&config)?;
    let world = runtime.world()?;
    if world.size() < 2 {
        return Err("one rank has nothing to choose; give -n 2 or more".into());
    }
    let mut nodes = u64::from(world.split_shared(0)?.rank() == 0);
    world.allreduce_in_place(&mut nodes, Op::Sum)?;
    let machine = Machine::here(runtime.library_version(), world.size());
    let mut machine = machine.on_nodes(nodes as usize);
    if arguments.simulated {
        machine.gpu = "simulated".to_owned();
    }
    let file = file(arguments, &config, &machine)?;
    let places = places(&world, &arguments.places)?;
    let mut tuning = Tuning::new(machine);
    if world.rank() == 0 {
        report::heading(&tuning, &places);
    }
    for ranks in numbers_of_ranks(world.size()) {
        if let Some(part) = world.split((world.rank() < ranks).then_some(0), 0)? {
            for &place in &places {
                measure_at(&part, place, arguments, &mut tuning)?;
            }
        }
    }
    if world.rank() == 0 {
        match &file {
            Some(file) => {
                tuning.write(file)?;
                println!("written to {}", file.display());
            }
            None => println!("not written: {FILE_VARIABLE}=none"),
        }
    }
    runtime.finalize()?;
    Ok(())
}

/// Measures everything that there is to choose for buffers at a place.
fn measure_at(
    comm: &Communicator,
    place: Place,
    arguments: &Arguments,
    tuning: &mut Tuning,
) -> Result<(), Failure> {
    let case = |operation, memory| Case {
        operation,
        memory,
        sizes: &arguments.sizes,
        rounds: arguments.rounds,
    };
    for operation in OPERATIONS {
        measured(comm, &case(operation, Memory::at(place)), tuning)?;
    }
    if place == Place::Device {
        host_fold::measured(comm, &arguments.sizes, arguments.rounds, tuning)?;
        for operation in OPERATIONS_OF_NEIGHBOURS {
            measured(comm, &case(operation, Memory::Exportable), tuning)?;
        }
    }
    Ok(())
}

/// Measures a case, prints it, and adds what it says.
fn measured(comm: &Communicator, case: &Case<'_>, tuning: &mut Tuning) -> Result<(), Failure> {
    let (operation, place, ranks) = (case.operation, case.memory.place(), comm.size());
    let title = format!("{operation}, {}, {ranks} ranks", case.memory);
    let is_of_neighbours = case.memory == Memory::Exportable;
    let all = match is_of_neighbours {
        true => Algorithm::of_neighbours(operation),
        false => Algorithm::of(operation),
    };
    let (mut algorithms, mut candidates) = (Vec::new(), Vec::new());
    for algorithm in all {
        let candidate = comm.with_algorithm(operation, algorithm)?;
        // Among few ranks, or on one node, some are not taken.
        let longest = case.sizes.iter().copied().max().unwrap_or(0);
        let chosen = match is_of_neighbours {
            true => candidate.explain_neighbours(operation, longest)?,
            // Places do not matter where the program says what is taken.
            false => candidate.explain(operation, longest, Place::Host)?,
        };
        let offered = match chosen.algorithm() == algorithm {
            false => Err(chosen.reason().to_owned()),
            true if is_of_neighbours => taken::takes(&candidate, case, longest, algorithm)?,
            true => Ok(()),
        };
        match offered {
            Ok(()) => {
                algorithms.push(algorithm);
                candidates.push(candidate);
            }
            Err(reason) => {
                if comm.rank() == 0 {
                    report::left_out(&title, algorithm, &reason);
                }
                tuning.leave_out(operation, place, ranks, algorithm, reason)?;
            }
        }
    }
    if candidates.len() < 2 {
        return Ok(());
    }
    let times = measure::times(comm, case, &candidates)?;
    let steps = crossover::steps(&algorithms, case.sizes, &times);
    if comm.rank() == 0 {
        report::measured(&title, &algorithms, case.sizes, &times, &steps);
    }
    tuning.add(operation, place, ranks, &steps)?;
    Ok(())
}

/// The numbers of ranks to measure with: powers of two, and all.
fn numbers_of_ranks(all: usize) -> Vec<usize> {
    let powers = (1..usize::BITS).map(|power| 1 << power);
    powers.take_while(|&ranks| ranks < all).chain([all]).collect()
}

/// Where buffers are measured: where the caller says, or else wherever every rank can have them.
fn places(comm: &Communicator, wanted: &[Place]) -> Result<Vec<Place>, Failure> {
    if !wanted.is_empty() {
        for place in wanted {
            place.check()?;
        }
        return Ok(wanted.to_vec());
    }
    let mut has_gpu = u8::from(Place::Device.check().is_ok());
    comm.allreduce_in_place(&mut has_gpu, Op::Min)?;
    Ok(match has_gpu {
        0 => vec![Place::Host],
        _ => vec![Place::Host, Place::Device],
    })
}

/// The file to write, if one is to be written.
fn file(arguments: &Arguments, config: &Config, machine: &Machine) -> Result<Option<PathBuf>, Failure> {
    let variable = std::env::var_os(FILE_VARIABLE).map(PathBuf::from);
    match arguments.output.clone().or(variable) {
        Some(file) if arguments.output.is_none() && file.as_os_str() == "none" => Ok(None),
        Some(file) => Ok(Some(file)),
        None => match Tuning::cached(config, machine) {
            Some(file) => Ok(Some(file)),
            None => Err("neither WARPCOMM_CACHE nor HOME says where to write; give --output".into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two_and_all_ranks_are_measured() {
        assert_eq!(numbers_of_ranks(2), [2]);
        assert_eq!(numbers_of_ranks(3), [2, 3]);
        assert_eq!(numbers_of_ranks(8), [2, 4, 8]);
        assert_eq!(numbers_of_ranks(9), [2, 4, 8, 9]);
    }

    #[test]
    fn every_operation_here_has_a_choice() {
        for operation in OPERATIONS {
            assert!(Algorithm::of(operation).len() > 1, "{operation}");
        }
        for operation in OPERATIONS_OF_NEIGHBOURS {
            assert!(Algorithm::of_neighbours(operation).len() > 1, "{operation}");
        }
    }
}
