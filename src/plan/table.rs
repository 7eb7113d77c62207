//! From which lengths on collectives take which algorithm: by default, as measured, or as the program says.

use std::sync::{Arc, LazyLock};

use super::choice::Choice;
use super::host_fold::{HOST_FOLD_BYTES, HostFold, HostFoldLimit};
use super::{Algorithm, Levels};
use crate::device::Place;
use crate::error::{Error, Result};

/// From so many bytes on an algorithm is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub from: usize,
    pub algorithm: Algorithm,
}

/// The algorithms of an operation by length: the first step is from 0 on, and each later one from more bytes than that
/// before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ladder(Vec<Step>);

impl Ladder {
    /// A ladder of what an operation can take.
    pub(crate) fn new(choice: Choice, steps: Vec<Step>) -> Result<Ladder> {
        let foreign = steps
            .iter()
            .find(|step| choice.candidate(step.algorithm).is_none());
        if let Some(Step { algorithm, .. }) = foreign {
            return Err(Error::invalid(format!(
                "{} cannot take {algorithm}",
                choice.name()
            )));
        }
        if steps.first().is_none_or(|first| first.from != 0) {
            return Err(Error::invalid("the first step is not from 0 bytes on"));
        }
        if steps.windows(2).any(|pair| pair[0].from >= pair[1].from) {
            return Err(Error::invalid("the steps do not go up"));
        }
        Ok(Ladder(steps))
    }

    /// What so many ranks take where nothing was measured.
    fn by_default(choice: Choice, ranks: usize) -> Ladder {
        let step = |candidate: &super::choice::Candidate| Step {
            from: candidate.from(ranks),
            algorithm: candidate.algorithm,
        };
        Ladder(choice.candidates().iter().map(step).collect())
    }

    /// The same where ranks are on one node, or no node has whole subtrees.
    fn without_levels(&self) -> Ladder {
        let mut steps = self.0.clone();
        for step in &mut steps {
            if step.algorithm == Algorithm::Levels {
                // Of their two levels, the one.
                step.algorithm = Algorithm::Blocks;
            }
        }
        steps.dedup_by_key(|step| step.algorithm);
        Ladder(steps)
    }

    fn only(algorithm: Algorithm) -> Ladder {
        Ladder(vec![Step { from: 0, algorithm }])
    }

    pub(crate) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The step that so many bytes are on, and where the next one begins.
    #[inline]
    pub(super) fn at(&self, bytes: usize) -> (Step, Option<usize>) {
        let next = self.0.iter().position(|step| step.from > bytes);
        let here = next.unwrap_or(self.0.len()) - 1;
        (self.0[here], next.map(|next| self.0[next].from))
    }
}

/// What was measured of one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub choice: Choice,
    /// Where the elements are: on a GPU if those of any rank are.
    pub place: Place,
    /// How many ranks took part.
    pub ranks: usize,
    /// Whether [`Algorithm::Levels`], if it is one to choose from, was.
    pub has_levels: bool,
    pub ladder: Ladder,
}

/// What decides for all communicators that come from one: the same on all ranks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(super) rows: Vec<Row>,
    pub(super) host_folds: Vec<HostFold>,
    /// What the program says, which counts before all else.
    forced: [Option<Algorithm>; Choice::COUNT],
    /// The most bytes that the host folds, if the program says it.
    forced_host_fold: Option<usize>,
    /// Which file the rows are from, or why there are none.
    pub(super) origin: String,
}

impl Table {
    pub(crate) fn new(rows: Vec<Row>, host_folds: Vec<HostFold>, origin: impl Into<String>) -> Table {
        Table {
            rows,
            host_folds,
            forced: [None; Choice::COUNT],
            forced_host_fold: None,
            origin: origin.into(),
        }
    }

    /// A table of nothing, and why there is nothing.
    pub(crate) fn empty(reason: impl Into<String>) -> Table {
        Table::new(Vec::new(), Vec::new(), reason)
    }

    /// The same with one algorithm for all lengths of an operation.
    pub(crate) fn with(&self, choice: Choice, algorithm: Algorithm) -> Table {
        let mut table = self.clone();
        table.forced[choice as usize] = Some(algorithm);
        table
    }

    /// The same with so many bytes that the host folds at most.
    pub(crate) fn with_host_fold(&self, most: usize) -> Table {
        Table {
            forced_host_fold: Some(most),
            ..self.clone()
        }
    }

    /// Which file the rows are from, or why there are none.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// The row for so many ranks, in two levels or in one. What was measured without levels says nothing about ranks that
    /// have them; the other way round it is better than nothing.
    fn row(&self, choice: Choice, place: Place, ranks: usize, has_levels: bool) -> Option<&Row> {
        let rows = |with: bool| {
            let is_it = move |row: &&Row| {
                (row.choice, row.place) == (choice, place) && choice.with_levels(row.has_levels) == with
            };
            nearest(self.rows.iter().filter(is_it), ranks, |row| row.ranks)
        };
        match choice.with_levels(has_levels) {
            true => rows(true),
            false => rows(false).or_else(|| rows(true)),
        }
    }

    /// What the program says, or was measured, or else the default.
    fn rung(&self, choice: Choice, place: Place, ranks: usize, has_levels: bool) -> Rung {
        let rung = |ladder, source| Rung { ladder, source };
        let row = self.row(choice, place, ranks, has_levels);
        match (self.forced[choice as usize], row) {
            (Some(algorithm), _) => rung(Ladder::only(algorithm), Source::Program),
            (None, Some(row)) => rung(row.ladder.clone(), Source::Measured { ranks: row.ranks }),
            (None, None) => rung(Ladder::by_default(choice, ranks), self.without_a_row()),
        }
    }

    /// The same for what the host folds.
    fn host_fold(&self, ranks: usize) -> HostFoldLimit {
        let limit = |most, source| HostFoldLimit { most, source };
        let row = nearest(self.host_folds.iter(), ranks, |row| row.ranks);
        match (self.forced_host_fold, row) {
            (Some(most), _) => limit(most, Source::Program),
            (None, Some(row)) => limit(row.most, Source::Measured { ranks: row.ranks }),
            (None, None) => limit(HOST_FOLD_BYTES, self.without_a_row()),
        }
    }

    /// Who says what was not measured.
    fn without_a_row(&self) -> Source {
        match self.rows.is_empty() && self.host_folds.is_empty() {
            true => Source::Default,
            false => Source::NotMeasured,
        }
    }
}

/// What is nearest to so many ranks: what was measured with fewer is nearer than what was measured with more, since it has
/// not waited for ranks that are not there.
fn nearest<'a, T>(
    rows: impl Iterator<Item = &'a T> + Clone,
    ranks: usize,
    of: impl Fn(&T) -> usize,
) -> Option<&'a T> {
    let below = rows.clone().filter(|row| of(row) <= ranks);
    below
        .max_by_key(|row| of(row))
        .or_else(|| rows.min_by_key(|row| of(row)))
}

/// Who says which algorithm is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Nobody: there is no measured table.
    Default,
    /// Nobody: it was not measured.
    NotMeasured,
    Measured {
        ranks: usize,
    },
    Program,
}

#[derive(Clone, Debug)]
pub(super) struct Rung {
    pub ladder: Ladder,
    pub source: Source,
}

/// The part of a table that a communicator needs, found once.
#[derive(Clone, Debug)]
pub(crate) struct Ladders {
    table: Arc<Table>,
    /// By choice, of elements on hosts and on GPUs.
    rungs: [[Rung; 2]; Choice::COUNT],
    host_fold: HostFoldLimit,
    /// Where the ranks are on several nodes of which one has whole subtrees.
    levels: Option<Arc<Levels>>,
}

impl Ladders {
    /// For a communicator of so many ranks, of which nobody knows on which nodes they are.
    pub(crate) fn new(table: &Arc<Table>, ranks: usize) -> Ladders {
        Ladders::with(table, ranks, None)
    }

    /// For a communicator of ranks on these nodes.
    pub(crate) fn on_nodes(table: &Arc<Table>, nodes: &[u64]) -> Ladders {
        Ladders::with(table, nodes.len(), Levels::new(nodes).map(Arc::new))
    }

    fn with(table: &Arc<Table>, ranks: usize, levels: Option<Arc<Levels>>) -> Ladders {
        let rung = |choice, place| {
            let rung = table.rung(choice, place, ranks, levels.is_some());
            match (&levels, rung.source) {
                (Some(_), _) | (None, Source::Program) => rung,
                (None, _) => Rung {
                    ladder: rung.ladder.without_levels(),
                    ..rung
                },
            }
        };
        let rungs = std::array::from_fn(|choice| {
            [Place::Host, Place::Device].map(|place| rung(Choice::ALL[choice], place))
        });
        Ladders {
            table: Arc::clone(table),
            rungs,
            host_fold: table.host_fold(ranks),
            levels,
        }
    }

    /// The levels of the ranks, where there are two.
    pub(crate) fn levels(&self) -> Option<&Arc<Levels>> {
        self.levels.as_ref()
    }

    /// How many bytes of a rank's elements on a GPU the host folds.
    #[inline]
    pub(crate) fn host_fold(&self) -> HostFoldLimit {
        self.host_fold
    }

    /// Those of ranks that have compared nothing.
    pub(crate) fn by_default() -> &'static Ladders {
        static DEFAULT: LazyLock<Ladders> = LazyLock::new(|| {
            let table = Table::empty("nothing is measured between two groups");
            Ladders::new(&Arc::new(table), 1)
        });
        &DEFAULT
    }

    /// The whole table, for communicators that are made of this one.
    pub(crate) fn table(&self) -> &Arc<Table> {
        &self.table
    }

    #[inline]
    pub(super) fn rung(&self, choice: Choice, on_device: bool) -> &Rung {
        &self.rungs[choice as usize][usize::from(on_device)]
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Any measured rows that can be.
    pub(crate) fn rows() -> impl Strategy<Value = Vec<Row>> {
        let key = (0..Choice::COUNT, any::<bool>(), 1usize..9, any::<bool>());
        let row = key.prop_flat_map(|(choice, on_device, ranks, has_levels)| {
            let choice = Choice::ALL[choice];
            let candidates: Vec<_> = choice.candidates().iter().map(|one| one.algorithm).collect();
            let step = (1usize..1 << 16, prop::sample::select(candidates.clone()));
            let steps = prop::collection::vec(step, 0..3);
            (prop::sample::select(candidates), steps).prop_map(move |(first, mut later)| {
                later.sort_by_key(|step| step.0);
                later.dedup_by_key(|step| step.0);
                let steps = [(0, first)].into_iter().chain(later);
                let steps = steps.map(|(from, algorithm)| Step { from, algorithm });
                Row {
                    choice,
                    place: if on_device || choice.is_of_neighbours() {
                        Place::Device
                    } else {
                        Place::Host
                    },
                    ranks,
                    has_levels,
                    ladder: Ladder::new(choice, steps.collect()).unwrap(),
                }
            })
        });
        prop::collection::vec(row, 0..12).prop_map(|mut rows| {
            let key = |row: &Row| (row.choice as u8, row.place.code(), row.ranks);
            rows.sort_by_key(key);
            rows.dedup_by_key(|row| key(row));
            rows
        })
    }

    #[test]
    fn steps_begin_at_nothing_and_go_up() {
        let ladder = |steps: &[(usize, Algorithm)]| {
            let step = |&(from, algorithm)| Step { from, algorithm };
            Ladder::new(Choice::Bcast, steps.iter().map(step).collect())
        };
        assert!(
            ladder(&[
                (0, Algorithm::Blocks),
                (5, Algorithm::Tree),
                (6, Algorithm::Blocks)
            ])
            .is_ok()
        );
        for wrong in [
            &[][..],
            &[(1, Algorithm::Tree)],
            &[(0, Algorithm::Tree), (0, Algorithm::Blocks)],
            &[(0, Algorithm::Tree), (9, Algorithm::Blocks), (8, Algorithm::Tree)],
            &[(0, Algorithm::Direct)],
        ] {
            assert!(ladder(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_nearest_number_of_ranks_counts() {
        let row = |ranks| Row {
            choice: Choice::Reduce,
            place: Place::Host,
            ranks,
            has_levels: false,
            ladder: Ladder::only(Algorithm::Blocks),
        };
        let host_fold = |ranks| HostFold { ranks, most: ranks };
        let table = Table::new(
            vec![row(4), row(2), row(8)],
            vec![host_fold(4), host_fold(2), host_fold(8)],
            "",
        );
        let nearest = |ranks| {
            let row = table.row(Choice::Reduce, Place::Host, ranks, false);
            row.map(|row| [row.ranks, table.host_fold(ranks).most])
        };
        assert_eq!(
            [1, 2, 3, 4, 7, 8, 100].map(nearest),
            [2, 2, 2, 4, 4, 8, 8].map(|ranks| Some([ranks; 2]))
        );
        assert_eq!(table.row(Choice::Reduce, Place::Device, 4, false), None);
        assert_eq!(table.row(Choice::Bcast, Place::Host, 4, false), None);
    }

    #[test]
    fn what_was_measured_in_one_level_says_nothing_about_two() {
        let row = |choice, ranks, has_levels| Row {
            choice,
            place: Place::Host,
            ranks,
            has_levels,
            ladder: Ladder::only(Algorithm::Blocks),
        };
        let rows = vec![
            row(Choice::Reduce, 2, false),
            row(Choice::Reduce, 6, true),
            row(Choice::Allreduce, 2, false),
            row(Choice::Bcast, 2, false),
        ];
        let table = Table::new(rows, Vec::new(), "");
        let found = |choice, ranks, has_levels| {
            let row = table.row(choice, Place::Host, ranks, has_levels);
            row.map(|row| row.ranks)
        };
        assert_eq!(
            [4, 8].map(|ranks| found(Choice::Reduce, ranks, false)),
            [Some(2); 2]
        );
        assert_eq!(
            [4, 8].map(|ranks| found(Choice::Reduce, ranks, true)),
            [Some(6); 2]
        );
        assert_eq!(found(Choice::Allreduce, 4, true), None);
        assert_eq!(found(Choice::Bcast, 4, true), Some(2));
        let only_two = Table::new(vec![row(Choice::Reduce, 6, true)], Vec::new(), "");
        assert!(only_two.row(Choice::Reduce, Place::Host, 4, false).is_some());
    }
}
