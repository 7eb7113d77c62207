//! Where a rank is: what is pending there, and how far it got in each of its communicators.

use std::time::{Duration, Instant};

use bytemuck::{Pod, Zeroable};

use super::slab::SLAB_BYTES;
use super::{Engine, Entry, Wait, describe};
use crate::error::shortened;
use crate::plan::Operation;

/// What is pending on a rank.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Pending {
    /// A line for each operation.
    pub lines: Vec<String>,
    pub missing: Vec<Missing>,
}

/// A rank from which nothing of a collective has arrived.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub(super) struct Missing {
    pub communicator: u64,
    pub sequence: u64,
    /// In the world.
    pub rank: u64,
}

/// How far a rank got in a communicator.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub(super) struct Standing {
    /// The same number on all ranks, or 0 if this rank has two communicators of the same number.
    pub communicator: u64,
    /// Collectives that it has entered.
    pub entered: u64,
    /// Milliseconds since it entered or left the latest, as far as was noticed.
    pub for_milliseconds: u64,
    pub ranks: u32,
    /// The latest collective, and the one before.
    pub operations: [u8; 2],
    pub is_inside: u8,
    reserved: u8,
}

/// Everything that a rank says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Whereabouts {
    /// The number of the question that this answers, or is.
    pub question: u64,
    pub pending: Pending,
    pub standings: Vec<Standing>,
}

/// The numbers of entries in front of a message.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
struct Head {
    question: u64,
    missing: u16,
    standings: u16,
    text_bytes: u32,
}

/// The most that a message has room for, beside some text.
const MOST_MISSING: usize = 16;
const MOST_STANDINGS: usize = 64;

impl Pending {
    /// What the thread that polls sees: its own operations, if it waits for some, those that it drives, and those
    /// whose threads are inside of MPI.
    pub(super) fn of(engine: &Engine, tasks: &[Entry], own: Option<&Wait<'_>>) -> Pending {
        let activities = own.map_or(&[][..], |wait| wait.activities);
        let mut missing = Vec::new();
        let mut look_at = |endpoint: &super::Endpoint, activities: &[&super::Activity]| {
            for activity in activities {
                let rank = activity
                    .missing()
                    .and_then(|rank| endpoint.context.group.get(rank));
                // Nobody tells how far others got in persistent ones.
                let sequence = activity.sequence.filter(|sequence| !sequence.is_persistent());
                if let (Some(&rank), Some(sequence)) = (rank, sequence) {
                    missing.push(Missing {
                        communicator: endpoint.number(),
                        sequence: sequence.number(),
                        rank: rank as u64,
                    });
                }
            }
        };
        if let Some(wait) = own {
            look_at(wait.endpoint, wait.activities);
        }
        for entry in tasks {
            if let Entry::Lent(lent) = entry {
                // SAFETY: as in `describe`; the caller holds the baton.
                let lent = unsafe { &**lent };
                look_at(lent.endpoint, lent.activities);
            }
        }
        let mut lines = describe(tasks, activities);
        lines.extend(
            engine
                .endpoints()
                .iter()
                .filter_map(|endpoint| endpoint.in_library()),
        );
        Pending { lines, missing }
    }
}

impl Standing {
    pub(super) fn new(
        (communicator, ranks): (u64, usize),
        entered: u64,
        operations: [u8; 2],
        is_inside: bool,
        since: Instant,
    ) -> Standing {
        Standing {
            communicator,
            entered,
            for_milliseconds: since.elapsed().as_millis() as u64,
            ranks: ranks as u32,
            operations,
            is_inside: u8::from(is_inside),
            reserved: 0,
        }
    }

    /// The collective with this number, if it is one of the latest two.
    pub(super) fn name(&self, sequence: u64) -> Option<String> {
        let back = self.entered.checked_sub(1)?.checked_sub(sequence)?;
        let code = *self.operations.get(usize::try_from(back).ok()?)?;
        Some(format!("{} #{sequence}", Operation::from_code(code)?.name()))
    }

    /// The latest collective.
    pub(super) fn latest(&self) -> Option<String> {
        self.name(self.entered.checked_sub(1)?)
    }

    pub(super) fn duration(&self) -> Duration {
        Duration::from_millis(self.for_milliseconds)
    }
}

impl Whereabouts {
    /// Where the rank of this engine is, with what is known to be pending.
    pub(super) fn of(engine: &Engine, pending: Pending) -> Whereabouts {
        let mut standings: Vec<Standing> = engine
            .endpoints()
            .iter()
            .map(|endpoint| endpoint.standing())
            .collect();
        let numbers: Vec<u64> = standings.iter().map(|standing| standing.communicator).collect();
        for standing in &mut standings {
            let same = |number: &&u64| **number == standing.communicator;
            if numbers.iter().filter(same).count() > 1 {
                standing.communicator = 0;
            }
        }
        // The liveliest first, for those who have no room for all.
        standings.sort_by_key(|standing| (standing.is_inside == 0, standing.for_milliseconds));
        Whereabouts {
            question: 0,
            pending,
            standings,
        }
    }

    /// The communicator in which the rank was last in a collective.
    pub(super) fn last(&self) -> Option<&Standing> {
        let used = self.standings.iter().filter(|standing| standing.entered > 0);
        used.min_by_key(|standing| (standing.is_inside == 0, standing.for_milliseconds))
    }

    /// Writes it into at most the bytes of a slab, and returns how many those are.
    pub(super) fn write(&self, slab: &mut [u8]) -> usize {
        let missing = &self.pending.missing[..self.pending.missing.len().min(MOST_MISSING)];
        let standings = &self.standings[..self.standings.len().min(MOST_STANDINGS)];
        let fixed = size_of::<Head>() + size_of_val(missing) + size_of_val(standings);
        let text = self.pending.lines.join("\n");
        let text = shortened(&text, slab.len().min(SLAB_BYTES) - fixed);
        let head = Head {
            question: self.question,
            missing: missing.len() as u16,
            standings: standings.len() as u16,
            text_bytes: text.len() as u32,
        };
        let parts = [
            bytemuck::bytes_of(&head),
            bytemuck::cast_slice(missing),
            bytemuck::cast_slice(standings),
            text.as_bytes(),
        ];
        let mut end = 0;
        for part in parts {
            slab[end..end + part.len()].copy_from_slice(part);
            end += part.len();
        }
        end
    }

    /// Reads what another rank has written.
    pub(super) fn read(message: &[u8]) -> Option<Whereabouts> {
        fn entries<T: Pod>(bytes: &[u8], count: u16) -> Option<(Vec<T>, &[u8])> {
            let (bytes, rest) = bytes.split_at_checked(usize::from(count) * size_of::<T>())?;
            let entries = bytes.chunks_exact(size_of::<T>());
            Some((entries.map(bytemuck::pod_read_unaligned).collect(), rest))
        }
        let (head, rest) = message.split_at_checked(size_of::<Head>())?;
        let head: Head = bytemuck::pod_read_unaligned(head);
        let (missing, rest) = entries(rest, head.missing)?;
        let (standings, rest) = entries(rest, head.standings)?;
        let text = rest.get(..head.text_bytes as usize)?;
        Some(Whereabouts {
            question: head.question,
            pending: Pending {
                lines: String::from_utf8_lossy(text).lines().map(str::to_owned).collect(),
                missing,
            },
            standings,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whereabouts(standings: usize, lines: usize) -> Whereabouts {
        let standing =
            |number: usize| Standing::new((number as u64 + 1, 4), 17, [0, 1], number == 0, Instant::now());
        Whereabouts {
            question: 7,
            pending: Pending {
                lines: (0..lines).map(|line| format!("line {line}")).collect(),
                missing: vec![Missing {
                    communicator: 1,
                    sequence: 16,
                    rank: 2,
                }],
            },
            standings: (0..standings).map(standing).collect(),
        }
    }

    #[test]
    fn it_survives_the_wire() {
        let mut slab = [0; SLAB_BYTES];
        let own = whereabouts(3, 2);
        let bytes = own.write(&mut slab);
        assert_eq!(Whereabouts::read(&slab[..bytes]), Some(own));
    }

    #[test]
    fn what_is_too_long_is_cut() {
        let mut slab = [0; SLAB_BYTES];
        let bytes = whereabouts(200, 2000).write(&mut slab);
        let read = Whereabouts::read(&slab[..bytes]).unwrap();
        assert_eq!(read.standings.len(), MOST_STANDINGS);
        assert!(read.pending.lines.len() > 50);
    }

    #[test]
    fn the_latest_two_collectives_have_names() {
        let standing = whereabouts(1, 0).standings[0];
        assert_eq!(standing.latest().as_deref(), Some("barrier #16"));
        assert_eq!(standing.name(15).as_deref(), Some("bcast #15"));
        assert_eq!((standing.name(14), standing.name(17)), (None, None));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(message in prop::collection::vec(any::<u8>(), 0..200)) {
            Whereabouts::read(&message);
        }
    }
}
