//! How a process gives another one on the node memory that has no name.
//!
//! Whoever is to get it listens at an address in the kernel's own name space, which nothing is left of afterwards.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use rustix::io::{Errno, Result};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

/// As many as the system allows.
const BACKLOG: i32 = 4096;

/// Where a process of this user gets memory.
pub(in super::super) struct Listener {
    socket: OwnedFd,
    pub(in super::super) address: u64,
    /// What has come, by the number that came with it.
    arrived: Mutex<HashMap<u64, OwnedFd>>,
}

fn name(address: u64) -> Result<SocketAddrUnix> {
    SocketAddrUnix::new_abstract_name(format!("warpcomm-{address:016x}").as_bytes())
}

fn socket() -> Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

impl Listener {
    pub(in super::super) fn new() -> Result<Listener> {
        // Nobody who does not know it can be in the way.
        let address = RandomState::new().build_hasher().finish();
        let socket = socket()?;
        rustix::net::bind(&socket, &name(address)?)?;
        rustix::net::listen(&socket, BACKLOG)?;
        Ok(Listener {
            socket,
            address,
            arrived: Mutex::default(),
        })
    }

    /// What was given with this number before the call.
    pub(super) fn take(&self, number: u64) -> Result<OwnedFd> {
        let mut arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(file) = arrived.remove(&number) {
                return Ok(file);
            }
            let connection = rustix::net::accept_with(&self.socket, SocketFlags::CLOEXEC)?;
            let user = rustix::net::sockopt::socket_peercred(&connection)?.uid;
            if user == rustix::process::geteuid()
                && let Ok(Some((number, file))) = receive(&connection)
            {
                arrived.insert(number, file);
            }
        }
    }
}

fn receive(connection: &OwnedFd) -> Result<Option<(u64, OwnedFd)>> {
    let mut number = [0; size_of::<u64>()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = rustix::net::recvmsg(
        connection,
        &mut [IoSliceMut::new(&mut number)],
        &mut control,
        flags,
    )?;
    let mut files = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    let file = files.next().filter(|_| received.bytes == number.len());
    Ok(file.map(|file| (u64::from_ne_bytes(number), file)))
}

/// Gives a process that listens at an address memory, which is there when this call ends.
pub(super) fn give(address: u64, number: u64, file: &impl AsFd) -> Result<()> {
    let socket = socket()?;
    rustix::net::connect(&socket, &name(address)?)?;
    let files = [file.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(Errno::NOBUFS);
    }
    let number = number.to_ne_bytes();
    let sent = rustix::net::sendmsg(
        &socket,
        &[IoSlice::new(&number)],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    match sent == number.len() {
        true => Ok(()),
        false => Err(Errno::MSGSIZE),
    }
}

#[cfg(test)]
mod tests {
    use super::super::segment::Segment;
    use super::*;

    #[test]
    fn memory_is_taken_by_its_number_in_any_order() {
        let listener = Listener::new().unwrap();
        for number in [3, 4] {
            let (_segment, file) = Segment::create().unwrap();
            give(listener.address, number, &file).unwrap();
        }
        for number in [4, 3] {
            assert!(Segment::open(&listener.take(number).unwrap()).is_ok());
        }
        assert_eq!(listener.take(3).unwrap_err(), Errno::AGAIN);
    }

    #[test]
    fn nobody_listens_elsewhere() {
        let (_segment, file) = Segment::create().unwrap();
        assert_eq!(give(1, 0, &file), Err(Errno::CONNREFUSED));
    }
}
