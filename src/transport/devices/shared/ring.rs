//! Memory that two processes share, as one of them uses it: whose turn each slot is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::segment::{Content, Piece, SLOTS, Segment, Word};
use super::socket::{self, Listener};
use super::windows::Windows;
use crate::device::Lane;
use crate::device::cuda::{Gpu, Mark, OpenWindow, SharedEvent};
use crate::error::Result;
use crate::path::Path;
use crate::transport::End;

/// Shared memory as one of its two ends uses it.
pub(in super::super) struct Ring {
    segment: Segment,
    end: End,
    slots: Mutex<[Slot; SLOTS]>,
    pub(super) windows: Windows,
}

/// What this end does with a slot.
#[derive(Default)]
enum Slot {
    #[default]
    Nothing,
    /// A message uses it.
    InUse,
    /// A GPU still uses it up to here, and nothing else; what it copies from, if that is to be closed afterwards.
    Until {
        mark: Mark,
        _window: Option<Arc<OpenWindow>>,
    },
    /// A GPU still copies from a window of a lent buffer, up to here.
    Copying {
        until: Arc<SharedEvent>,
        /// Closed afterwards.
        _window: Arc<OpenWindow>,
    },
}

impl Slot {
    /// Whether a GPU was at it, and is done. One that has failed does nothing.
    fn is_passed(&self) -> bool {
        match self {
            Slot::Nothing | Slot::InUse => false,
            Slot::Until { mark, .. } => mark.is_over().unwrap_or(true),
            Slot::Copying { until, .. } => until.is_over().unwrap_or(true),
        }
    }
}

impl Ring {
    fn new(segment: Segment, end: End) -> Ring {
        Ring {
            segment,
            end,
            slots: Mutex::default(),
            windows: Windows::default(),
        }
    }

    /// Makes memory for two processes, and gives it with a number to the one that listens at an address.
    pub(in super::super) fn give(address: u64, number: u64) -> Result<Arc<Ring>, String> {
        let (segment, file) =
            Segment::create().map_err(|error| format!("the sender cannot make shared memory: {error}"))?;
        socket::give(address, number, &file)
            .map_err(|error| format!("the sender cannot pass shared memory on: {error}"))?;
        Ok(Arc::new(Ring::new(segment, End::Sender)))
    }

    /// The memory that was given with a number.
    pub(in super::super) fn take_given(listener: &Listener, number: u64) -> Result<Arc<Ring>, String> {
        let file = listener.take(number).map_err(|error| error.to_string());
        let segment = file.and_then(|file| Segment::open(&file));
        let segment = segment.map_err(|reason| format!("the receiver cannot get shared memory: {reason}"))?;
        Ok(Arc::new(Ring::new(segment, End::Receiver)))
    }

    fn slots(&self) -> MutexGuard<'_, [Slot; SLOTS]> {
        // Each change is one assignment.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn segment(&self) -> &Segment {
        &self.segment
    }

    pub(super) fn end(&self) -> End {
        self.end
    }

    pub(super) fn say(&self, handshake: u64, word: Word) {
        self.segment.say(handshake, word);
    }

    pub(super) fn heard(&self, handshake: u64) -> Word {
        self.segment.heard(handshake)
    }

    pub(super) fn lock_pages(&self, gpu: &'static Gpu) -> Result<()> {
        self.segment.lock_pages(gpu)
    }

    /// The address of the first slot on a path, for elements of a GPU.
    pub(super) fn base(&self, path: Path, lane: Option<&Arc<Lane>>) -> Result<usize> {
        match lane.filter(|_| path.is_ipc()) {
            None => Ok(self.segment.slot(0) as usize),
            Some(lane) => self.window_of(lane.gpu()),
        }
    }

    /// Frees the slots that GPUs are done with.
    pub(super) fn free_passed(&self) {
        for (number, slot) in self.slots().iter_mut().enumerate() {
            if slot.is_passed() {
                self.free(number, slot);
            }
        }
    }

    /// Does what is to be done whenever somebody looks.
    pub(super) fn tidy(&self) {
        self.free_passed();
        self.close_windows();
    }

    /// Whether GPUs are done with all of it that no message uses, at the other end too.
    pub(in super::super) fn is_quiet(&self) -> bool {
        self.free_passed();
        let are_passed = {
            let slots = self.slots();
            let mut slots = slots.iter().enumerate();
            slots.all(|(number, slot)| match slot {
                // The receiver copies what a message has left there that is over at this end.
                Slot::Nothing => self.end == End::Receiver || !self.segment.is_taken(number),
                Slot::InUse => true,
                Slot::Until { .. } | Slot::Copying { .. } => false,
            })
        };
        are_passed && self.is_copied()
    }

    /// Whether a GPU of this end is still at a slot that no message uses.
    pub(super) fn is_waited_for(&self, number: usize) -> bool {
        matches!(self.slots()[number], Slot::Until { .. } | Slot::Copying { .. })
    }

    fn free(&self, number: usize, slot: &mut Slot) {
        *slot = Slot::Nothing;
        if self.end == End::Receiver {
            self.segment.give_back(number);
        }
    }

    /// A slot to put a piece in, if there is one.
    pub(super) fn claim(&self) -> Option<usize> {
        let mut slots = self.slots();
        let is_free =
            |(number, slot): (usize, &Slot)| matches!(slot, Slot::Nothing) && self.segment.is_empty(number);
        let number = slots.iter().enumerate().position(is_free)?;
        slots[number] = Slot::InUse;
        Some(number)
    }

    /// Hands a claimed slot to the receiver.
    pub(super) fn publish(&self, number: usize, piece: Piece) {
        self.segment.publish(number, piece);
        self.slots()[number] = Slot::Nothing;
    }

    /// Hands a claimed slot to the receiver, to be looked at again.
    pub(super) fn lend(&self, number: usize, piece: Piece) {
        self.segment.publish(number, piece);
    }

    /// A piece of a message that has come, and its slot.
    pub(super) fn take(&self, message: u64) -> Option<(usize, Piece)> {
        let mut slots = self.slots();
        let find = |is_end| {
            (0..SLOTS)
                .filter(|&number| matches!(slots[number], Slot::Nothing))
                .filter_map(|number| Some((number, self.segment.published(number)?)))
                .find(|(_, piece)| piece.number == message && (piece.content == Content::End) == is_end)
        };
        // The end is handed over behind all pieces, and may lie in front of them.
        let end = find(true);
        let (number, piece) = find(false).or(end)?;
        self.segment.take(number, &piece).then(|| {
            slots[number] = Slot::InUse;
            (number, piece)
        })
    }

    /// Tells the sender that a GPU copies what it has lent in a slot, and that the slot's event is behind that.
    pub(super) fn copy_behind(&self, number: usize, until: Arc<SharedEvent>, window: Arc<OpenWindow>) {
        let mut slots = self.slots();
        slots[number] = Slot::Copying {
            until,
            _window: window,
        };
        self.segment.copying(number);
    }

    /// Hands back a piece that cannot be had.
    pub(super) fn refuse(&self, number: usize) {
        let mut slots = self.slots();
        slots[number] = Slot::Nothing;
        self.segment.refuse(number);
    }

    /// Frees a slot when a GPU is done with it, or at once.
    pub(super) fn release(&self, number: usize, until: Option<Mark>) {
        let slot = &mut self.slots()[number];
        match until {
            Some(mark) => *slot = Slot::Until { mark, _window: None },
            None => self.free(number, slot),
        }
    }

    /// Frees the slot of a lent buffer when a GPU has copied from its window, which is closed before.
    pub(super) fn release_behind(&self, number: usize, mark: Mark, window: Arc<OpenWindow>) {
        self.slots()[number] = Slot::Until {
            mark,
            _window: Some(window),
        };
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // The memory is about to go.
        for slot in self.slots().iter() {
            match slot {
                Slot::Nothing | Slot::InUse => {}
                Slot::Until { mark, .. } => mark.wait(),
                Slot::Copying { until, .. } => until.wait(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_waits_for_what_the_receiver_copies_from() {
        let (segment, file) = Segment::create().unwrap();
        let ours = Ring::new(segment, End::Sender);
        let theirs = Ring::new(Segment::open(&file).unwrap(), End::Receiver);
        let piece = Piece {
            number: 7,
            first: 0,
            bytes: 5,
            content: Content::Bytes,
        };
        let slot = ours.claim().unwrap();
        ours.publish(slot, piece);
        // Nobody may ever want it.
        assert!(ours.is_quiet());
        assert_eq!(theirs.take(7), Some((slot, piece)));
        assert!(!ours.is_quiet() && theirs.is_quiet());
        theirs.release(slot, None);
        assert!(ours.is_quiet());
    }
}
