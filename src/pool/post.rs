//! Messages of bytes, and the memory that they are in: used again and again while they are short.

use bytemuck::allocation::try_zeroed_vec;

use crate::comm::Communicator;
use crate::error::{Error, ErrorKind, Result};
use crate::message::Tag;
use crate::point_to_point::Message;
use crate::request::Tested;

/// The longest message whose memory is kept for the next one, in bytes.
const KEPT: usize = 4 << 20;

/// Sends a message without waiting for its receiver. Its memory is left for the next one, if it is not needed any more and
/// worth to be kept.
pub(super) fn send(message: &mut Vec<u8>, comm: &Communicator, dest: usize, tag: Tag) -> Result<()> {
    // MPICH does not take what a rank sends to itself before it is received, and then both threads might send.
    if message.len() <= comm.eager_limit() && dest != comm.rank() {
        return comm.send(&message[..], dest, tag);
    }
    match comm.isend(std::mem::take(message), dest, tag).test() {
        Ok(Tested::Done(memory, _)) => {
            if memory.capacity() <= KEPT {
                *message = memory;
            }
            Ok(())
        }
        // Nobody asks for its memory, which goes when it is sent.
        Ok(Tested::Pending(request)) => {
            drop(request);
            Ok(())
        }
        Err(failed) => Err(failed.into_parts().0),
    }
}

/// Where messages arrive.
#[derive(Default)]
pub(super) struct Inbox {
    memory: Vec<u8>,
    /// The bytes of the message that is there.
    bytes: usize,
}

impl Inbox {
    /// Receives a message, over the one before.
    pub(super) fn receive(&mut self, message: Message) -> Result<()> {
        let bytes = usize::try_from(message.status().count()).unwrap_or(usize::MAX);
        self.bytes = 0;
        if self.memory.len() < bytes {
            self.memory = Vec::new();
            // What is long will hardly become a little longer.
            let length = if bytes < KEPT {
                bytes.next_power_of_two()
            } else {
                bytes
            };
            self.memory = try_zeroed_vec(length).map_err(|()| {
                Error::new(
                    ErrorKind::Device,
                    format!("no memory for a message of {bytes} bytes"),
                )
            })?;
        }
        message.recv(&mut self.memory[..bytes])?;
        self.bytes = bytes;
        Ok(())
    }

    /// The message that is there.
    pub(super) fn message(&self) -> &[u8] {
        &self.memory[..self.bytes]
    }

    /// Forgets a message whose memory is too much to be kept.
    pub(super) fn trim(&mut self) {
        if self.memory.len() > KEPT {
            *self = Inbox::default();
        }
    }
}
