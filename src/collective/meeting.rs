//! How ranks come together without the others of their communicator.
//!
//! ```text
//! every other member  ------>  first member: which ranks, what this one knows, and whether it is ready
//! every other member  <------  first member: what all know together, or why they do not come together
//! ```
//!
//! A star, because a rank that names other members than the rest finds out only where their notes meet.

use bytemuck::{Pod, Zeroable};

use super::agreement::peer_failure;
use crate::comm::Communicator;
use crate::engine::{Activity, Phase, Slab, Transfer};
use crate::error::{Error, ErrorKind, Result, shortened};
use crate::fingerprint::fingerprint_of_ranks;
use crate::message::Tag;

/// What ranks that found a communicator know, each alone and then together.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub(super) struct Knowledge {
    /// The number of this founding, of the rank that chooses it, and else 0.
    pub number: u64,
    /// The smallest and the largest number under which a rank knows the family, 0 where it knows none.
    pub family: [u64; 2],
}

impl Knowledge {
    pub(super) fn with(&self, other: &Knowledge) -> Knowledge {
        let ([low, high], [other_low, other_high]) = (self.family, other.family);
        Knowledge {
            number: self.number.max(other.number),
            family: [low.min(other_low), high.max(other_high)],
        }
    }
}

/// What a rank writes to another, before the text of its error.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub(super) struct Note {
    /// The fingerprint and the number of the ranks that the writer speaks of.
    pub ranks: i64,
    pub count: u64,
    pub knowledge: Knowledge,
    /// 0, or 1 + the code of the kind of an error.
    failed: u64,
    /// The rank that has failed, or [`NOBODY`].
    failed_rank: u64,
}

const NOBODY: u64 = u64::MAX;

const NOTE_BYTES: usize = size_of::<Note>();
const TEXT_BYTES: usize = 512;

/// The numbers in one message of a list.
const NUMBERS_AT_A_TIME: usize = 256;

/// A note with the text of its error.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub note: Note,
    text: String,
}

impl Letter {
    /// What rank `rank` knows of `ranks`, or its error.
    pub(super) fn new(rank: usize, ranks: &[usize], knows: &Result<Knowledge>) -> Letter {
        let nothing = Knowledge {
            number: 0,
            family: [0; 2],
        };
        let (knowledge, failed, text) = match knows {
            Ok(knowledge) => (*knowledge, 0, String::new()),
            Err(error) => (
                nothing,
                1 + u64::from(error.kind().code()),
                shortened(error.message(), TEXT_BYTES).to_owned(),
            ),
        };
        Letter {
            note: Note {
                ranks: fingerprint_of_ranks(ranks),
                count: ranks.len() as u64,
                knowledge,
                failed,
                failed_rank: rank as u64,
            },
            text,
        }
    }

    /// The same letter with an error that no rank alone has made.
    pub(super) fn refused(&self, kind: ErrorKind, text: &str) -> Letter {
        Letter {
            note: Note {
                failed: 1 + u64::from(kind.code()),
                failed_rank: NOBODY,
                ..self.note
            },
            text: shortened(text, TEXT_BYTES).to_owned(),
        }
    }

    /// What the writer knows, or the error that it tells of.
    pub(super) fn knowledge(&self) -> Result<Knowledge> {
        let Some(code) = self.note.failed.checked_sub(1) else {
            return Ok(self.note.knowledge);
        };
        let kind = u8::try_from(code).ok().and_then(ErrorKind::from_code);
        let kind = kind.unwrap_or(ErrorKind::PeerFailed);
        Err(match self.note.failed_rank {
            NOBODY => Error::new(kind, self.text.clone()),
            rank => peer_failure(rank as usize, kind, &self.text),
        })
    }
}

/// Where letters of one meeting are exchanged.
#[derive(Clone, Copy)]
pub(super) struct Post<'a> {
    comm: &'a Communicator,
    activity: &'a Activity,
    tag: i32,
}

impl<'a> Post<'a> {
    pub(super) fn new(comm: &'a Communicator, activity: &'a Activity, tag: Tag) -> Result<Post<'a>> {
        let tags = &comm.endpoint.tags;
        let number = tags.meeting(tag.0).ok_or_else(|| {
            let limit = tags.meeting_limit();
            Error::invalid(format!("{tag}: the tags of groups that meet are 0 to {limit}"))
        })?;
        Ok(Post {
            comm,
            activity,
            tag: number,
        })
    }

    async fn send_bytes(&self, to: usize, head: &[u8], rest: &[u8]) -> Result<()> {
        let endpoint = &self.comm.endpoint;
        let (transport, private) = (endpoint.engine.transport(), &endpoint.family.private);
        let bytes = head.len() + rest.len();
        let send = || {
            let mut slab = Slab::take();
            slab.bytes_mut()[..head.len()].copy_from_slice(head);
            slab.bytes_mut()[head.len()..bytes].copy_from_slice(rest);
            Transfer::send_slab(transport, private, to, self.tag, slab, bytes)
        };
        // Without it the other rank would wait for ever.
        send().or_else(|_| send())?.await.map(drop)
    }

    async fn receive_bytes(&self, phase: Phase, from: usize, capacity: usize) -> Result<(Slab, usize)> {
        self.activity.waits_for_rank(phase, from);
        let endpoint = &self.comm.endpoint;
        let (transport, private) = (endpoint.engine.transport(), &endpoint.family.private);
        let mut receive = Transfer::receive_slab(transport, private, Some(from), Some(self.tag), capacity)?;
        let bytes = (&mut receive).await?.bytes;
        Ok((receive.into_slab(), bytes))
    }

    pub(super) async fn send(&self, to: usize, letter: &Letter) -> Result<()> {
        self.send_bytes(to, bytemuck::bytes_of(&letter.note), letter.text.as_bytes())
            .await
    }

    /// Receives the first letter of a rank.
    pub(super) async fn receive(&self, from: usize) -> Result<Letter> {
        self.receive_in(Phase::Meeting, from).await
    }

    async fn receive_in(&self, phase: Phase, from: usize) -> Result<Letter> {
        let (slab, bytes) = self.receive_bytes(phase, from, NOTE_BYTES + TEXT_BYTES).await?;
        let malformed = || {
            Error::new(
                ErrorKind::Mismatch,
                format!("a message of {bytes} bytes is no note"),
            )
        };
        let (head, text) = slab.bytes()[..bytes]
            .split_at_checked(NOTE_BYTES)
            .ok_or_else(malformed)?;
        Ok(Letter {
            note: bytemuck::pod_read_unaligned(head),
            text: String::from_utf8_lossy(text).into_owned(),
        })
    }

    /// Sends a list of numbers, whose length the other rank knows.
    pub(super) async fn send_numbers(&self, to: usize, numbers: &[u64]) -> Result<()> {
        for part in numbers.chunks(NUMBERS_AT_A_TIME) {
            let bytes = bytemuck::cast_slice(part);
            self.send_bytes(to, bytes, &[]).await?;
        }
        Ok(())
    }

    /// Receives as many numbers as the list has.
    pub(super) async fn receive_numbers(&self, from: usize, numbers: &mut [u64]) -> Result<()> {
        for part in numbers.chunks_mut(NUMBERS_AT_A_TIME) {
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(part);
            let (slab, length) = self.receive_bytes(Phase::Step, from, bytes.len()).await?;
            if length != bytes.len() {
                return Err(Error::new(
                    ErrorKind::Mismatch,
                    format!("{length} bytes of a list instead of {}", bytes.len()),
                ));
            }
            bytes.copy_from_slice(&slab.bytes()[..length]);
        }
        Ok(())
    }

    /// Waits until all of `members` have come, and says what they know together; an error of one is an error of all.
    pub(super) async fn meet(&self, members: &[usize], own: Result<Knowledge>) -> Result<Knowledge> {
        let rank = self.comm.rank();
        let letter = Letter::new(rank, members, &own);
        let Some(&first) = members.first().filter(|&&first| first != rank) else {
            return self.gather(members, letter, own).await;
        };
        self.send(first, &letter).await?;
        let verdict = self.receive_in(Phase::Step, first).await?;
        own.and_then(|_| verdict.knowledge())
    }

    /// The part of the first member.
    async fn gather(&self, members: &[usize], letter: Letter, own: Result<Knowledge>) -> Result<Knowledge> {
        let rank = self.comm.rank();
        let mut verdict = letter.clone();
        for &other in members.iter().skip(1) {
            let theirs = self.receive(other).await?;
            let are_alike = (theirs.note.ranks, theirs.note.count) == (letter.note.ranks, letter.note.count);
            verdict = match (verdict.knowledge(), theirs.knowledge()) {
                (Err(_), _) => verdict,
                (Ok(_), Err(_)) => theirs,
                (Ok(_), Ok(_)) if !are_alike => letter.refused(
                    ErrorKind::Mismatch,
                    &format!("rank {other} gives another group than rank {rank}"),
                ),
                (Ok(together), Ok(known)) => Letter::new(rank, members, &Ok(together.with(&known))),
            };
        }
        for &other in members.iter().skip(1) {
            self.send(other, &verdict).await?;
        }
        own.and(verdict.knowledge())
    }
}
