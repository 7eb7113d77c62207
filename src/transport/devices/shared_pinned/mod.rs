//! Long messages between processes of one node, through page-locked memory that both share.
//!
//! ```text
//! send:     GPU -copy-> slot, handed to the receiver
//! receive:              slot -copy-> GPU, handed back to the sender
//! ```
//!
//! Each pair of a sender and a receiver has memory of its own, from their [`handshake`] on. The sender puts pieces of
//! any of its messages in it, as soon as a slot is empty: every one of them has been asked for by the receiver, which
//! takes them in any order. So no message waits for another for long. Elements in the memory of a host are copied by
//! the CPU, into and out of the same slots.

pub(super) mod handshake;
mod ring;
mod segment;
mod socket;

pub(super) use ring::{Receiving, Ring, Sending};
pub(super) use socket::Listener;
