//! What was measured as bytes, for one rank to tell the others.

use super::Algorithm;
use super::choice::Choice;
use super::host_fold::HostFold;
use super::table::{Ladder, Row, Step, Table};
use crate::device::Place;
use crate::error::{Error, Result};

/// A step on the wire: what row it is of, for how many ranks, and from how many bytes on; or up to how many bytes the host
/// folds.
type Words = [u64; 3];

/// What is no row, but of the host.
const OF_HOST: u64 = u64::MAX;

impl Table {
    /// The rows and where they are from, for others to [`read`](Self::read).
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let steps = self.rows.iter().flat_map(|row| {
            let (choice, place, ranks) = (row.choice as u64, u64::from(row.place.code()), row.ranks as u64);
            let levels = u64::from(row.has_levels);
            let words = move |step: &Step| {
                [
                    choice | place << 8 | (step.algorithm as u64) << 16 | levels << 24,
                    ranks,
                    step.from as u64,
                ]
            };
            row.ladder.steps().iter().map(words)
        });
        let of_host = |fold: &HostFold| [OF_HOST, fold.ranks as u64, fold.most as u64];
        let steps: Vec<Words> = steps.chain(self.host_folds.iter().map(of_host)).collect();
        let mut bytes = (steps.len() as u64).to_le_bytes().to_vec();
        bytes.extend(steps.as_flattened().iter().flat_map(|word| word.to_le_bytes()));
        bytes.extend(self.origin.as_bytes());
        bytes
    }

    /// Reads what another rank has sent.
    pub(crate) fn read(bytes: &[u8]) -> Result<Table> {
        const LENGTH: usize = size_of::<Words>() / size_of::<u64>();
        let malformed = || Error::invalid("what rank 0 says of its measured crossovers is damaged");
        let (words, _) = bytes.as_chunks::<8>();
        let (count, words) = words.split_first().ok_or_else(malformed)?;
        let count = usize::try_from(u64::from_le_bytes(*count)).map_err(|_| malformed())?;
        let words = count
            .checked_mul(LENGTH)
            .and_then(|length| words.get(..length))
            .ok_or_else(malformed)?;
        let mut rows: Vec<Row> = Vec::new();
        let mut host_folds = Vec::new();
        for step in words.as_chunks::<LENGTH>().0 {
            let [of_row, ranks, from] = step.map(u64::from_le_bytes);
            if of_row == OF_HOST {
                let (ranks, most) = (ranks as usize, from as usize);
                host_folds.push(HostFold { ranks, most });
                continue;
            }
            let choice = Choice::from_code(of_row as u8).ok_or_else(malformed)?;
            let place = Place::from_code((of_row >> 8) as u8);
            let algorithm = Algorithm::from_code((of_row >> 16) as u8).ok_or_else(malformed)?;
            let has_levels = of_row >> 24 == 1;
            let (ranks, from) = (ranks as usize, from as usize);
            let step = Step { from, algorithm };
            match rows.last_mut() {
                Some(row) if from > 0 && (row.choice, row.place, row.ranks) == (choice, place, ranks) => {
                    let mut steps = row.ladder.steps().to_vec();
                    steps.push(step);
                    row.ladder = Ladder::new(choice, steps)?;
                }
                _ => rows.push(Row {
                    choice,
                    place,
                    ranks,
                    has_levels,
                    ladder: Ladder::new(choice, vec![step])?,
                }),
            }
        }
        let origin = String::from_utf8_lossy(&bytes[size_of::<u64>() + size_of::<Words>() * count..]);
        Ok(Table::new(rows, host_folds, origin))
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::rows;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn tables_arrive_as_they_are_sent(rows in rows(), folds in prop::collection::vec((1usize..9, 0usize..1 << 20), 0..3)) {
            let host_folds = folds.into_iter().map(|(ranks, most)| HostFold { ranks, most });
            let table = Table::new(rows, host_folds.collect(), "at random");
            prop_assert_eq!(Table::read(&table.to_bytes()).unwrap(), table);
        }

        #[test]
        fn no_bytes_are_more_than_an_error(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Table::read(&bytes);
        }
    }

    #[test]
    fn claims_of_many_steps_are_an_error() {
        for claim in [1u64, u64::MAX, u64::MAX / 3 + 2] {
            assert!(Table::read(&claim.to_le_bytes()).is_err());
        }
    }
}
