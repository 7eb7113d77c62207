//! What ranks write to each other about a fold.

use bytemuck::{Pod, Zeroable};

use crate::error::{Error, ErrorKind, Result, shortened};
use crate::transport::Task;
use crate::transport::devices::Line;
use crate::transport::devices::links::Links;
use crate::transport::devices::shared::Loan;

/// The most bytes of what one side writes to the other.
pub(super) const NOTE_BYTES: usize = 512;

/// The most tasks of a fold.
const TASKS: usize = 16;

/// How a note begins.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub(super) struct Head {
    /// One of the constants of [`state`].
    pub state: u8,
    /// Of an error.
    pub kind: u8,
    /// Whether there is a number: of what the two share, are to share, or turn out not to share.
    pub has_number: u8,
    pub has_result: u8,
    /// Whether the leader cannot open what a rank lends it.
    pub has_apart: u8,
    pub reserved: [u8; 3],
    pub number: u64,
    /// That rank in the world.
    pub apart: u64,
    /// Which node the elements are on.
    pub node: i64,
    /// Where the kernels' rank listens.
    pub address: u64,
    pub elements: Loan,
    pub result: Loan,
}

const _: () = assert!(size_of::<Head>() + TASKS * size_of::<u64>() <= NOTE_BYTES);

/// A note that was read.
pub(super) struct Note {
    pub head: Head,
    /// The text of an error, or the bytes of its writer's elements at which the tasks start to read.
    rest: Vec<u8>,
}

/// What a note says.
pub(super) mod state {
    /// A rank is ready; or the result is there.
    pub const DONE: u8 = 0;
    /// It cannot be done this way.
    pub const OTHERWISE: u8 = 1;
    /// A rank has failed.
    pub const FAILED: u8 = 2;
}

impl Head {
    pub(super) fn new(state: u8) -> Head {
        Head {
            state,
            ..Head::zeroed()
        }
    }

    pub(super) fn number(&self) -> Option<u64> {
        (self.has_number != 0).then_some(self.number)
    }

    pub(super) fn written(&self) -> Vec<u8> {
        bytemuck::bytes_of(self).to_vec()
    }

    /// With where the tasks start to read.
    pub(super) fn written_with(&self, tasks: &[Task]) -> Vec<u8> {
        let firsts = tasks.iter().map(|task| task.first as u64);
        [self.written(), firsts.flat_map(u64::to_ne_bytes).collect()].concat()
    }
}

/// The note of who cannot lend what it has. That is of this memory: with other memory it is tried again.
pub(super) fn cannot() -> Vec<u8> {
    Head::new(state::OTHERWISE).written()
}

/// The note of who has failed.
pub(super) fn failed(error: &Error) -> Vec<u8> {
    let head = Head {
        kind: error.kind().code(),
        ..Head::new(state::FAILED)
    };
    let text = shortened(error.message(), NOTE_BYTES - size_of::<Head>());
    [bytemuck::bytes_of(&head), text.as_bytes()].concat()
}

impl Note {
    /// What was written. What is none says that its writer has failed.
    pub(super) fn read(note: &[u8]) -> Note {
        match note.split_at_checked(size_of::<Head>()) {
            Some((head, rest)) => Note {
                head: bytemuck::pod_read_unaligned(head),
                rest: rest.to_vec(),
            },
            None => Note::lost(),
        }
    }

    /// In place of one of which nobody knows what it says.
    pub(super) fn lost() -> Note {
        Note {
            head: Head::new(state::FAILED),
            rest: b"it could not say why".to_vec(),
        }
    }

    /// The error of who has failed.
    pub(super) fn error(&self) -> Error {
        let kind = ErrorKind::from_code(self.head.kind).unwrap_or(ErrorKind::PeerFailed);
        Error::new(kind, self.text())
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.rest).into_owned()
    }

    /// The byte of its writer's elements at which a task starts to read.
    pub(super) fn first(&self, task: usize) -> Result<usize> {
        let mut firsts = self.rest.chunks_exact(size_of::<u64>());
        let first = firsts.nth(task).map(bytemuck::pod_read_unaligned::<u64>);
        let first = first.and_then(|first| usize::try_from(first).ok());
        first.ok_or_else(|| Error::new(ErrorKind::Mismatch, "it does not know all parts of the fold"))
    }
}

/// What a rank hears that is to take another way: whether the one whose kernels they are lacks the memory that it believes to
/// share, which the two can share anew; and the rank whose memory it cannot open, with which it will not try again.
pub(super) fn otherwise(links: &Links, line: &Line, told: Option<&Note>, apart: Option<usize>) -> Vec<u8> {
    let number = told.and_then(|note| note.head.number());
    let lacks = number.filter(|&number| !links.has_from(line.rank(), number));
    let head = Head {
        has_number: lacks.is_some().into(),
        number: lacks.unwrap_or(0),
        has_apart: apart.is_some().into(),
        apart: apart.unwrap_or(0) as u64,
        ..Head::new(state::OTHERWISE)
    };
    head.written()
}

/// What a rank hears whose elements are free again: how to share memory with this one, if it does not and could.
pub(super) fn done(links: &Links, told: Option<&Note>) -> Vec<u8> {
    let done = Head::new(state::DONE);
    let is_far = |head: &Head| head.elements.window != 0 && head.number().is_none();
    let invitation = match told.is_some_and(|note| is_far(&note.head)) {
        true => links.invitation().ok(),
        false => None,
    };
    let head = invitation.map_or(done, |(address, number)| Head {
        has_number: 1,
        number,
        address,
        ..done
    });
    head.written()
}

/// Notes what a rank says at the end about the memory that this one shares with it, or could share, and of which rank it
/// cannot open any.
pub(super) fn hear_of_memory(links: &Links, rank: usize, head: &Head) {
    match (head.state, head.number()) {
        (state::DONE, Some(number)) => links.invited_by(rank, head.address, number),
        (state::OTHERWISE, Some(number)) => links.take_back(rank, number),
        _ => {}
    }
    if head.state == state::OTHERWISE && head.has_apart != 0 {
        links.part(rank, head.apart as usize);
    }
}

/// The error of the other ranks.
pub(super) fn peer_failed(rank: usize, error: &Error) -> Error {
    let text = format!("rank {rank} failed: {}", error.message());
    Error::new(ErrorKind::PeerFailed, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_rank_tells_is_read_as_it_is_written() {
        let head = Head {
            has_number: 1,
            number: 0,
            has_result: 1,
            elements: Loan {
                window: 3,
                handle: [7; 8],
                offset: 5,
            },
            ..Head::new(state::DONE)
        };
        let tasks = [8, 0, 24].map(|first| Task {
            kernel_of: 0,
            inputs: 0..2,
            outputs: 1..2,
            bytes: 8,
            first,
            target: 0,
        });
        let note = Note::read(&head.written_with(&tasks));
        assert_eq!(note.head, head);
        assert_eq!([0, 1, 2].map(|task| note.first(task).unwrap()), [8, 0, 24]);
        assert_eq!(note.first(3).unwrap_err().kind(), ErrorKind::Mismatch);
        assert_eq!((head.number(), Head::new(state::DONE).number()), (Some(0), None));
        let note = Note::read(&failed(&Error::new(ErrorKind::Device, "x".repeat(1000))));
        assert_eq!(
            (note.head.state, note.error().kind()),
            (state::FAILED, ErrorKind::Device)
        );
        assert_eq!(note.text().len(), NOTE_BYTES - size_of::<Head>());
        assert_eq!(Note::read(&[]).head.state, state::FAILED);
    }
}
