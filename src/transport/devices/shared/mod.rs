//! Long messages between processes of one node, handed over in memory that both share.
//!
//! ```text
//! page-locked: send     GPU -copy-> slot, handed to the receiver
//!              receive              slot -copy-> GPU, handed back to the sender
//! CUDA IPC:    send     GPU -copy-> slot of a window, handed to the receiver; or the elements where they are
//!              receive              that -copy-> GPU, handed back to the sender
//! ```
//!
//! Each pair of a sender and a receiver has memory of its own, from their [`handshake`] on. The sender puts pieces of
//! any of its messages in it, as soon as a slot is empty: every one of them has been asked for by the receiver, which
//! takes them in any order. So no message waits for another for long. Elements in the memory of a host are copied by
//! the CPU, into and out of page-locked slots. Those of a buffer that other processes can open ([`lend`]) are not
//! divided: the receiver copies them from there, and tells the sender when that is in its lane ([`windows`]).
//!
//! [`lend`]: crate::device::cuda::lend

mod elements;
pub(super) mod handshake;
mod receiving;
mod ring;
mod segment;
mod sending;
mod socket;
mod windows;

pub(super) use receiving::Receiving;
pub(super) use ring::Ring;
pub(super) use segment::Loan;
pub(super) use sending::Sending;
pub(super) use socket::Listener;
