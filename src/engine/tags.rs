//! The tags of a communicator's own messages on the context that it shares with its duplicates.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::sequence::Sequence;
use crate::error::{Error, Result};

/// What a message on the private context is.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// The answer to the envelope of a rendezvous.
    Answer,
    /// The body of a rendezvous.
    Body,
    /// A frame or a part of a collective.
    Collective,
    /// The same of a persistent one.
    Persistent,
    /// A note between ranks that come together without the others.
    Meeting,
}

const KIND_BITS: u32 = 3;

/// The most bits for numbers: 16,384 unfinished rendezvous of a communicator, collectives modulo that.
const MOST_NUMBER_BITS: u32 = 14;

/// How tags are made up: a slot for the communicator, a kind, and a number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tags {
    number_bits: u32,
    slot_bits: u32,
    slot: u32,
}

impl Tags {
    /// The tags of slot `slot` where the transport's largest tag is `tag_limit`; none if there are not
    /// so many slots.
    pub(crate) fn new(tag_limit: i32, slot: u32) -> Option<Tags> {
        let founding = Tags::of_founding(tag_limit);
        (slot < founding.slot).then_some(Tags { slot, ..founding })
    }

    /// The tags of communicators that are being founded, which have no slot yet: those of a slot behind all others.
    pub(crate) fn of_founding(tag_limit: i32) -> Tags {
        let bits = (i64::from(tag_limit) + 1).ilog2();
        let number_bits = MOST_NUMBER_BITS.min((bits - KIND_BITS) * 3 / 5);
        let slot_bits = bits - KIND_BITS - number_bits;
        Tags {
            number_bits,
            slot_bits,
            slot: (1 << slot_bits) - 1,
        }
    }

    pub(crate) fn slot(&self) -> u32 {
        self.slot
    }

    fn tag(&self, kind: Kind, number: u32) -> i32 {
        debug_assert!(self.slot < 1 << self.slot_bits);
        let number = number & ((1 << self.number_bits) - 1);
        ((((self.slot << KIND_BITS) | kind as u32) << self.number_bits) | number) as i32
    }

    pub(crate) fn answer(&self, id: u32) -> i32 {
        self.tag(Kind::Answer, id)
    }

    pub(crate) fn body(&self, id: u32) -> i32 {
        self.tag(Kind::Body, id)
    }

    /// The tag of notes in the meeting to which the program has given this tag, if it has a number for it.
    pub(crate) fn meeting(&self, tag: i32) -> Option<i32> {
        let number = u32::try_from(tag)
            .ok()
            .filter(|number| number >> self.number_bits == 0)?;
        Some(self.tag(Kind::Meeting, number))
    }

    /// The largest tag that a program can give to a meeting.
    pub(crate) fn meeting_limit(&self) -> i32 {
        (1 << self.number_bits) - 1
    }

    /// The tag of everything in the collective with this number.
    #[inline]
    pub(crate) fn collective(&self, sequence: Sequence) -> i32 {
        let kind = match sequence.is_persistent() {
            true => Kind::Persistent,
            false => Kind::Collective,
        };
        self.tag(kind, sequence.code() as u32)
    }

    /// How many collectives in a row have different tags.
    #[inline]
    pub(crate) fn collectives(&self) -> u64 {
        1 << self.number_bits
    }
}

/// The numbers of unfinished rendezvous.
pub(crate) struct Ids {
    free: Mutex<(u32, BTreeSet<u32>)>,
    limit: u32,
}

/// A number that nobody else uses until it is dropped.
pub(crate) struct Id<'a> {
    ids: &'a Ids,
    pub number: u32,
}

impl Ids {
    pub(crate) fn new(tags: &Tags) -> Ids {
        Ids {
            free: Mutex::default(),
            limit: 1 << tags.number_bits,
        }
    }

    /// A free number.
    pub(crate) fn take(&self) -> Result<Id<'_>> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let (next, returned) = &mut *free;
        let number = match returned.pop_first() {
            Some(number) => number,
            None if *next < self.limit => {
                *next += 1;
                *next - 1
            }
            None => {
                return Err(Error::unsupported(format!(
                    "{} sends above the eager limit are unfinished, and there are no more tags",
                    self.limit
                )));
            }
        };
        Ok(Id { ids: self, number })
    }

    /// Frees a number whose [`Id`] was forgotten.
    pub(crate) fn release(&self, number: u32) {
        self.free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .1
            .insert(number);
    }
}

impl Drop for Id<'_> {
    fn drop(&mut self) {
        self.ids.release(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn tags_of_slots_kinds_and_numbers_differ_and_fit() {
        for limit in [32_767, (1 << 20) - 1, (1 << 28) - 1, i32::MAX] {
            let mut seen = HashSet::new();
            let slots: Vec<Tags> = (0..40).map_while(|slot| Tags::new(limit, slot)).collect();
            assert!(slots.len() >= 31, "{limit}: {} slots", slots.len());
            for tags in slots.into_iter().chain([Tags::of_founding(limit)]) {
                for number in 0..1 << tags.number_bits.min(8) {
                    let kinds = [
                        tags.answer(number),
                        tags.body(number),
                        tags.collective(Sequence::from_code(number.into())),
                        tags.collective(Sequence::from_code(u64::from(number) | 1 << 63)),
                        tags.meeting(number as i32).unwrap(),
                    ];
                    for tag in kinds {
                        assert!((0..=limit).contains(&tag));
                        assert!(seen.insert(tag));
                    }
                }
            }
        }
    }

    #[test]
    fn meetings_have_as_many_tags_as_there_are_numbers() {
        let tags = Tags::new(i32::MAX, 0).unwrap();
        assert!(tags.meeting(tags.meeting_limit()).is_some());
        for bad in [tags.meeting_limit() + 1, i32::MAX, -1] {
            assert_eq!(tags.meeting(bad), None);
        }
    }

    #[test]
    fn ids_are_unique_until_dropped_and_come_to_an_end() {
        let tags = Tags::new(32_767, 0).unwrap();
        let ids = Ids::new(&tags);
        let mut held: Vec<Id<'_>> = (0..1 << tags.number_bits).map(|_| ids.take().unwrap()).collect();
        assert_eq!(
            held.iter().map(|id| id.number).collect::<HashSet<_>>().len(),
            held.len()
        );
        assert!(ids.take().is_err());
        let number = held.swap_remove(7).number;
        assert_eq!(ids.take().unwrap().number, number);
    }
}
