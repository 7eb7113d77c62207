//! Another rank of a fold: what it is told, and what it tells.
//!
//! It waits for every note, and may use elements of this rank until it has the last. So a note that cannot be sent is sent once
//! more at once; where that fails too, the communicator is poisoned, and the note goes on being tried until it is gone.

use std::sync::{Arc, OnceLock};
use std::task::{Poll, ready};

use super::note::{NOTE_BYTES, Note};
use crate::error::{Error, Result};
use crate::transport::devices::letter::Letter;
use crate::transport::devices::{Line, Memory};
use crate::transport::{Context, Tags, Ticket, Transport};

/// Another rank, with the notes to it and from it.
pub(super) struct Peer {
    pub line: Line,
    poison: Arc<OnceLock<Error>>,
    sent: Letter,
    /// A note that could not be sent yet.
    unsent: Option<Vec<u8>>,
    awaited: Letter,
    /// Whether a note is to be waited for, for which no receive could be posted yet.
    is_unasked: bool,
}

impl Peer {
    pub(super) fn new(context: &Context, peer: usize, tag: i32, poison: &Arc<OnceLock<Error>>) -> Peer {
        let tags = Tags {
            body: tag,
            answer: tag,
        };
        Peer {
            line: Line::new(context, peer, tags),
            poison: Arc::clone(poison),
            sent: Letter::None,
            unsent: None,
            awaited: Letter::None,
            is_unasked: false,
        }
    }

    /// Makes later calls on the communicator fail: this rank and the peer may not be at the same place any more.
    fn poison(&self, error: &Error) {
        let _ = self.poison.set(error.duplicate());
    }

    fn post(&self, note: &[u8], inner: &dyn Transport) -> Result<Letter> {
        Letter::send(&self.line, self.line.tags.body, note, inner)
    }

    fn ask(&self, inner: &dyn Transport) -> Result<Letter> {
        Letter::expect(&self.line, self.line.tags.body, NOTE_BYTES, inner)
    }

    /// Starts to tell the peer something; `again` where that fails at first, which is an error though the peer hears.
    pub(super) fn tell(
        &mut self,
        note: &[u8],
        again: impl FnOnce(&Error) -> Vec<u8>,
        inner: &dyn Transport,
    ) -> Result<()> {
        let Err(error) = self.post(note, inner).map(|letter| self.sent = letter) else {
            return Ok(());
        };
        let again = again(&error);
        match self.post(&again, inner) {
            Ok(letter) => self.sent = letter,
            Err(error) => {
                self.poison(&error);
                self.unsent = Some(again);
            }
        }
        Err(error)
    }

    /// Whether what it is told has gone.
    pub(super) fn has_told(&mut self, inner: &dyn Transport) -> Poll<Result<()>> {
        if let Some(note) = &self.unsent {
            let Ok(letter) = self.post(note, inner) else {
                return Poll::Pending;
            };
            (self.sent, self.unsent) = (letter, None);
        }
        // The peer may have got one that ends so, which is not sent again: it would take it for the next.
        let gone = ready!(self.sent.poll(inner)).map(drop);
        Poll::Ready(gone.inspect_err(|error| self.poison(error)))
    }

    /// Starts to wait for what the peer tells, which this rank hears also where that fails at first.
    pub(super) fn expect(&mut self, inner: &dyn Transport) -> Result<()> {
        let Err(error) = self.ask(inner).map(|letter| self.awaited = letter) else {
            return Ok(());
        };
        match self.ask(inner) {
            Ok(letter) => self.awaited = letter,
            Err(error) => {
                self.poison(&error);
                self.is_unasked = true;
            }
        }
        Err(error)
    }

    /// What the peer tells, as soon as it is here.
    pub(super) fn heard(&mut self, inner: &dyn Transport) -> Poll<Result<Note>> {
        if self.is_unasked {
            let Ok(letter) = self.ask(inner) else {
                return Poll::Pending;
            };
            (self.awaited, self.is_unasked) = (letter, false);
        }
        self.awaited.poll(inner).map_ok(|note| Note::read(&note))
    }

    pub(super) fn abandon(&mut self, inner: &dyn Transport) -> Vec<(Ticket, Memory)> {
        let letters = [&mut self.sent, &mut self.awaited];
        letters
            .into_iter()
            .flat_map(|letter| letter.abandon(inner))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::note::{self, state};
    use super::*;
    use crate::config::{Fault, FaultAction};
    use crate::error::ErrorKind;
    use crate::transport::faulty::Faulty;
    use crate::transport::local::{Local, World};

    /// What is poisoned when rank 0 tells rank 1 something, and these of its messages fail.
    fn told_with(failing: &[u64]) -> (Result<()>, Option<Error>) {
        let world = World::new(2);
        let faults: Vec<Fault> = failing
            .iter()
            .map(|&message| Fault::new(FaultAction::Fail, message, None))
            .collect();
        let transport = |rank| -> Arc<dyn Transport> {
            let world = Arc::clone(&world);
            Arc::new(Local { world, rank })
        };
        let (teller, hearer) = (Faulty::wrap(transport(0), &faults, 0), transport(1));
        let poison = Arc::default();
        let mut to = Peer::new(&world.context(0, 0), 1, 7, &poison);
        let mut from = Peer::new(&world.context(0, 1), 0, 7, &Arc::default());
        from.expect(&*hearer).unwrap();
        let told = to.tell(&note::cannot(), note::failed, &*teller);
        for _ in failing {
            let _ = to.has_told(&*teller);
        }
        assert!(matches!(to.has_told(&*teller), Poll::Ready(Ok(()))));
        let Poll::Ready(Ok(heard)) = from.heard(&*hearer) else {
            panic!("{failing:?}: the note is lost");
        };
        let expected = match told {
            Ok(()) => state::OTHERWISE,
            Err(_) => state::FAILED,
        };
        assert_eq!(heard.head.state, expected, "{failing:?}");
        (told, poison.get().map(Error::duplicate))
    }

    #[test]
    fn a_note_that_cannot_be_sent_is_sent_again_and_poisons() {
        let (told, poison) = told_with(&[]);
        assert!(told.is_ok() && poison.is_none());
        let (told, poison) = told_with(&[1]);
        assert_eq!(told.unwrap_err().kind(), ErrorKind::Mpi);
        assert!(poison.is_none(), "the peer has heard");
        for failing in [&[1, 2][..], &[1, 2, 3, 4]] {
            let (told, poison) = told_with(failing);
            assert_eq!(told.unwrap_err().kind(), ErrorKind::Mpi);
            assert_eq!(poison.map(|error| error.kind()), Some(ErrorKind::Mpi));
        }
    }
}
