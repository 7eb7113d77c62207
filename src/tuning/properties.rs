//! Results have the same bits whatever a table says.

use proptest::prelude::*;

use super::{Machine, Tuning};
use crate::comm::Communicator;
use crate::config::Config;
use crate::device::Place;
use crate::error::{Error, ErrorKind, Result};
use crate::message::Tag;
use crate::op::Op;
use crate::plan::{Algorithm, Choice, Row, rows};

/// The bits of everything that has a choice, on each rank: numbers whose sum depends on the order of the additions.
fn results(comm: &Communicator, elements: usize, root: usize) -> Result<Vec<u32>> {
    let number = |index: usize| 0.1f32 * (1 + comm.rank()) as f32 + index as f32 * 1e-3;
    let own: Vec<f32> = (0..elements).map(number).collect();
    let (mut all, mut at_root, mut copied) = (own.clone(), own.clone(), own.clone());
    comm.allreduce(&own, &mut all, Op::Sum)?;
    comm.reduce(&own, &mut at_root, Op::Sum, root)?;
    comm.bcast(&mut copied, root)?;
    let mut in_place = own;
    comm.allreduce_in_place(&mut in_place, Op::Sum)?;
    let results = [all, at_root, copied, in_place].into_iter().flatten();
    Ok(results.map(f32::to_bits).collect())
}

fn results_of(config: &Config, ranks: usize, elements: usize, root: usize) -> Vec<Vec<u32>> {
    let outcome = Communicator::threads_with(config, ranks, |comm| results(&comm, elements, root));
    outcome.unwrap().into_iter().collect::<Result<_>>().unwrap()
}

/// The settings with a file that has such rows.
fn with_rows(rows: Vec<Row>, directory: &tempfile::TempDir) -> Config {
    let file = directory.path().join("rows.json");
    let machine = Machine::here("at random", 1);
    let tuning = Tuning {
        rows,
        ..Tuning::new(machine)
    };
    tuning.write(&file).unwrap();
    Config::default().tuning(Some(file))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn random_tables_change_no_bit(
        rows in rows(),
        ranks in 1usize..8,
        root in 0usize..7,
        elements in prop_oneof![0usize..200, 0usize..16_384],
        check: bool,
    ) {
        let root = root % ranks;
        let directory = tempfile::tempdir().unwrap();
        let tuned = with_rows(rows, &directory).check(check);
        let plain = Config::default().tuning(None);
        prop_assert_eq!(
            results_of(&tuned, ranks, elements, root),
            results_of(&plain, ranks, elements, root)
        );
    }
}

/// Every algorithm, also where it would never be taken: for nothing, for fewer elements than ranks, on one rank.
#[test]
fn every_algorithm_at_every_length() {
    let directory = tempfile::tempdir().unwrap();
    let plain = Config::default().tuning(None);
    for blocks in [false, true] {
        let row = |choice: &Choice| {
            let candidates = choice.candidates();
            let algorithm = candidates[usize::from(blocks)].algorithm;
            let place = if choice.is_of_neighbours() {
                Place::Device
            } else {
                Place::Host
            };
            let mut tuning = Tuning::new(Machine::here("none", 1));
            tuning.add(choice.name(), place, 1, &[(0, algorithm)]).unwrap();
            tuning.rows
        };
        let tuned = with_rows(Choice::ALL.iter().flat_map(row).collect(), &directory).check(false);
        for ranks in 1..6 {
            for elements in [0, 1, ranks - 1, ranks, 65, 5000] {
                assert_eq!(
                    results_of(&tuned, ranks, elements, ranks - 1),
                    results_of(&plain, ranks, elements, ranks - 1),
                    "{ranks} ranks, {elements} elements, blocks: {blocks}"
                );
            }
        }
    }
}

/// What a program says counts before a file, and is the same on what is made of the communicator.
#[test]
fn a_program_decides_for_what_it_makes() {
    let directory = tempfile::tempdir().unwrap();
    let mut tuning = Tuning::new(Machine::here("none", 1));
    let measured = [(0, Algorithm::Direct), (1000, Algorithm::Blocks)];
    tuning.add("allreduce", Place::Host, 3, &measured).unwrap();
    let config = with_rows(tuning.rows, &directory);
    let outcome = Communicator::threads_with(&config, 3, |comm| {
        let taken = |comm: &Communicator| -> Result<Algorithm> {
            Ok(comm.explain("allreduce", 2000, Place::Host)?.algorithm())
        };
        let direct = comm.with_algorithm("allreduce", Algorithm::Direct)?;
        let part = direct.split(Some(0), 0)?.expect("it has a color");
        let of_group = comm.create_group(&comm.group(), Tag(0))?;
        assert_eq!(results(&direct, 3000, 0)?, results(&comm, 3000, 0)?);
        Ok::<_, Error>([
            taken(&comm)?,
            taken(&comm.duplicate()?)?,
            taken(&of_group)?,
            taken(&direct)?,
            taken(&part)?,
        ])
    });
    let expected = [
        Algorithm::Blocks,
        Algorithm::Blocks,
        Algorithm::Blocks,
        Algorithm::Direct,
        Algorithm::Direct,
    ];
    for taken in outcome.unwrap() {
        assert_eq!(taken.unwrap(), expected);
    }
}

/// Ranks that do not say the same, or what cannot be, all get an error, and go on.
#[test]
fn ranks_must_say_the_same() {
    let kinds = Communicator::threads_with(&Config::default(), 3, |comm| {
        let own = [Algorithm::Direct, Algorithm::Blocks][usize::from(comm.rank() == 1)];
        let differ = comm
            .with_algorithm("reduce", own)
            .map(drop)
            .map_err(|error| error.kind());
        let own = [Algorithm::Direct, Algorithm::Tree][usize::from(comm.rank() == 1)];
        let wrong = comm
            .with_algorithm("reduce", own)
            .map(drop)
            .map_err(|error| error.kind());
        comm.barrier().unwrap();
        [differ, wrong]
    });
    for (rank, kinds) in kinds.unwrap().into_iter().enumerate() {
        let wrong = [ErrorKind::PeerFailed, ErrorKind::InvalidArgument][usize::from(rank == 1)];
        assert_eq!(kinds, [Err(ErrorKind::Mismatch), Err(wrong)]);
    }
}
