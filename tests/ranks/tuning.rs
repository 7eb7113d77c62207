//! Which algorithms collectives take: as measured, as the program says, the same on all ranks, and with the same bits.

use warpcomm::{Algorithm, Op, Place};

use super::common::{LARGE_BYTES, next};
use crate::harness::Outcome;
use crate::oracle::{assert_same, vector};
use crate::placed::{Communicator, like};

#[cfg(all(feature = "mpi", feature = "serde"))]
pub use of_files::SOLOS;

cases! {
    every_algorithm_has_the_same_bits: 1..=7;
    what_the_program_says_is_explained: 1..=7;
}

/// The operations that have a choice.
const OPERATIONS: [&str; 3] = ["bcast", "reduce", "allreduce"];

fn every_algorithm_has_the_same_bits(comm: &Communicator) -> Outcome {
    let root = comm.size() - 1;
    for operation in OPERATIONS {
        for algorithm in Algorithm::of(operation) {
            let other = like(comm, comm.with_algorithm(operation, algorithm)?);
            for length in [0, 1, comm.size(), 65, 1000, LARGE_BYTES / size_of::<f32>()] {
                let own: Vec<f32> = vector(1, comm.rank(), length);
                let run = |comm: &Communicator| -> Result<Vec<f32>, warpcomm::Error> {
                    let mut buffer = own.clone();
                    match operation {
                        "bcast" => comm.bcast(&mut buffer, root)?,
                        "reduce" => comm.reduce(&own, &mut buffer, Op::Sum, root)?,
                        _ => comm.allreduce(&own, &mut buffer, Op::Sum)?,
                    }
                    Ok(buffer)
                };
                assert_same(&run(&other)?, &run(comm)?, || {
                    format!("{operation} of {length} elements, {algorithm}")
                });
            }
        }
    }
    Ok(())
}

fn what_the_program_says_is_explained(comm: &Communicator) -> Outcome {
    for operation in OPERATIONS {
        for algorithm in Algorithm::of(operation) {
            let made = comm.with_algorithm(operation, algorithm)?;
            let of_made = made.split((next(comm) != 0).then_some(0), 0)?;
            for comm in [Some(made), of_made].into_iter().flatten() {
                let chosen = comm.explain(operation, 1 << 30, Place::Host)?;
                let is_taken = chosen.algorithm() == algorithm;
                // Among few ranks there is nothing to divide, and all are on one node.
                let is_for_more = comm.size() < 3 || algorithm == Algorithm::Levels;
                assert!(is_taken || is_for_more, "{operation}: {chosen}");
            }
        }
    }
    Ok(())
}

/// Files, which processes read.
#[cfg(all(feature = "mpi", feature = "serde"))]
mod of_files {
    use std::fs;
    use std::path::PathBuf;

    use warpcomm::{Algorithm, Config, ErrorKind, Machine, Op, Place, Runtime, Tuning};

    use super::super::common::still_works;
    use super::super::lifecycle::rank_by_launcher;
    use crate::harness::{Outcome, Solo, Start, expect_error, solo_directory};

    pub const SOLOS: &[Solo] = &[
        Solo {
            name: "the_table_of_rank_0_is_everybodys",
            start: Start::Ranks(3),
            environment: &[],
            program: the_table_of_rank_0_is_everybodys,
            release: None,
            expect: |ended| ended.check(true, &["rank 0 goes on", "rank 1 goes on", "rank 2 goes on"]),
        },
        Solo {
            name: "a_table_that_is_broken",
            start: Start::Ranks(3),
            environment: &[],
            program: a_table_that_is_broken,
            release: None,
            expect: |ended| ended.check(true, &["rank 0 refuses", "rank 1 refuses", "rank 2 refuses"]),
        },
        #[cfg(feature = "cuda")]
        Solo {
            name: "buffers_in_different_places_take_one_algorithm",
            start: Start::RanksWithGpus(3),
            environment: &[],
            program: buffers_in_different_places_take_one_algorithm,
            release: None,
            expect: |ended| ended.check(true, &["rank 0 goes on", "rank 1 goes on", "rank 2 goes on"]),
        },
    ];

    /// A file of this rank alone.
    fn file_of(rank: usize) -> PathBuf {
        solo_directory().join(format!("rank-{rank}.json"))
    }

    fn tuning() -> Tuning {
        Tuning::new(Machine::here("of another machine", 1000))
    }

    fn the_table_of_rank_0_is_everybodys() -> Outcome {
        let rank = rank_by_launcher()?;
        let steps = match rank {
            0 => [(0, Algorithm::Direct), (1000, Algorithm::Blocks)],
            _ => [(0, Algorithm::Blocks), (1000, Algorithm::Direct)],
        };
        let mut table = tuning();
        table.add("allreduce", Place::Host, 2, &steps)?;
        let shots = match rank {
            0 => [(0, Algorithm::OneShot), (1000, Algorithm::TwoShot)],
            _ => [(0, Algorithm::TwoShot), (1000, Algorithm::OneShot)],
        };
        table.add("allreduce", Place::Device, 2, &shots)?;
        table.add_host_fold(2, if rank == 0 { 999 } else { 0 })?;
        // Rank 2 has none.
        if rank < 2 {
            table.write(file_of(rank))?;
        }
        let runtime = Runtime::init_with(&Config::default().tuning(Some(file_of(rank))))?;
        let world = runtime.world()?;
        for comm in [world.clone(), world.duplicate()?] {
            for (bytes, part) in [(999, "direct: "), (1000, "blocks: ")] {
                let chosen = comm.explain("allreduce", bytes, Place::Host)?.to_string();
                assert!(
                    chosen.starts_with(part) && chosen.contains("rank-0.json"),
                    "{chosen}"
                );
            }
            for (bytes, part, folded) in [(999, "one-shot: ", "the host"), (1000, "two-shot: ", "kernels")] {
                let of_neighbours = comm.explain_neighbours("allreduce", bytes)?.to_string();
                assert!(
                    of_neighbours.starts_with(part) && of_neighbours.contains("rank-0.json"),
                    "{of_neighbours}"
                );
                let on_gpus = comm.explain("scan", bytes, Place::Device)?.to_string();
                assert!(on_gpus.contains(&format!("; {folded} fold")), "{on_gpus}");
            }
            let mut sums = vec![0.1f32; 5000];
            comm.allreduce_in_place(&mut sums, Op::Sum)?;
            assert_eq!(sums, vec![(0.1f32 + 0.1) + 0.1; 5000]);
            still_works(&comm)?;
        }
        println!("rank {rank} goes on");
        runtime.finalize()?;
        Ok(())
    }

    fn a_table_that_is_broken() -> Outcome {
        let rank = rank_by_launcher()?;
        match rank {
            0 => fs::write(file_of(0), "{\"format\": 1, ")?,
            _ => tuning().write(file_of(rank))?,
        }
        let runtime = Runtime::init_with(&Config::default().tuning(Some(file_of(rank))))?;
        let kind = match rank {
            0 => ErrorKind::InvalidArgument,
            _ => ErrorKind::PeerFailed,
        };
        let error = expect_error(runtime.world(), kind);
        assert!(error.to_string().contains("rank-0.json"), "{error}");
        println!("rank {rank} refuses: {error}");
        runtime.finalize()?;
        Ok(())
    }

    /// What is measured of hosts and of GPUs differs, and so do the places of the ranks' elements.
    #[cfg(feature = "cuda")]
    fn buffers_in_different_places_take_one_algorithm() -> Outcome {
        let rank = rank_by_launcher()?;
        let mut table = tuning();
        for (operation, on_hosts, on_gpus) in [
            ("allreduce", Algorithm::Direct, Algorithm::Blocks),
            ("reduce", Algorithm::Blocks, Algorithm::Direct),
            ("bcast", Algorithm::Tree, Algorithm::Blocks),
        ] {
            table.add(operation, Place::Host, 2, &[(0, on_hosts)])?;
            table.add(operation, Place::Device, 2, &[(0, on_gpus)])?;
        }
        table.write(file_of(rank))?;
        let runtime = Runtime::init_with(&Config::default().tuning(Some(file_of(rank))))?;
        let world = runtime.world()?;
        let stream = world.device()?.new_stream()?;
        for place in 0..world.size() {
            let own: Vec<f32> = (0..5000)
                .map(|index| 0.1 * (rank + 1) as f32 + index as f32)
                .collect();
            let mut expected = [own.clone(), own.clone(), own.clone()];
            world.allreduce_in_place(&mut expected[0], Op::Sum)?;
            world.reduce_in_place(&mut expected[1], Op::Sum, 1)?;
            world.bcast(&mut expected[2], 2)?;
            let found = if rank == place {
                let mut all = stream.clone_htod(&own)?;
                let mut at_root = stream.clone_htod(&own)?;
                let mut copied = stream.clone_htod(&own)?;
                world.allreduce_in_place(&mut all, Op::Sum)?;
                world.reduce_in_place(&mut at_root, Op::Sum, 1)?;
                world.bcast(&mut copied, 2)?;
                [
                    stream.clone_dtoh(&all)?,
                    stream.clone_dtoh(&at_root)?,
                    stream.clone_dtoh(&copied)?,
                ]
            } else {
                let mut on_host = [own.clone(), own.clone(), own];
                world.allreduce_in_place(&mut on_host[0], Op::Sum)?;
                world.reduce_in_place(&mut on_host[1], Op::Sum, 1)?;
                world.bcast(&mut on_host[2], 2)?;
                on_host
            };
            assert_eq!(found, expected, "the elements of rank {place} are on a GPU");
        }
        println!("rank {rank} goes on");
        runtime.finalize()?;
        Ok(())
    }
}
