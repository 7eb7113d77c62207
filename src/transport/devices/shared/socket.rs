//! How a process gives another one on the node memory that has no name.
//!
//! Whoever is to get it listens at an address in the kernel's own name space, which nothing is left of afterwards.

use std::collections::{HashMap, VecDeque};
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

/// How many connections are kept on which nothing has come yet: more than processes of a node are at that point at once.
const MOST_SILENT: usize = 128;

/// Where a process of this user gets memory.
pub(in super::super) struct Listener {
    socket: OwnedFd,
    pub(in super::super) address: u64,
    arrivals: Mutex<Arrivals>,
}

/// Who has come.
#[derive(Default)]
struct Arrivals {
    /// Memory, by the number that came with it.
    files: HashMap<u64, OwnedFd>,
    /// Connections whose other end has not written yet, the latest last.
    silent: VecDeque<OwnedFd>,
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
            arrivals: Mutex::default(),
        })
    }

    /// What was given with this number before the call.
    pub(super) fn take(&self, number: u64) -> Result<OwnedFd> {
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        for connection in std::mem::take(&mut arrivals.silent) {
            arrivals.look_at(connection);
        }
        loop {
            if let Some(file) = arrivals.files.remove(&number) {
                return Ok(file);
            }
            let connection = rustix::net::accept_with(&self.socket, SocketFlags::CLOEXEC)?;
            let user = rustix::net::sockopt::socket_peercred(&connection)?.uid;
            if user == rustix::process::geteuid() {
                arrivals.look_at(connection);
            }
        }
    }
}

impl Arrivals {
    /// Takes what has come on a connection, or keeps it if something may still come.
    fn look_at(&mut self, connection: OwnedFd) {
        match receive(&connection) {
            Ok(Some((number, file))) => drop(self.files.insert(number, file)),
            // Another process is between its two calls, and must not be cut off.
            Err(Errno::AGAIN) => {
                if self.silent.len() == MOST_SILENT {
                    self.silent.pop_front();
                }
                self.silent.push_back(connection);
            }
            // The other end has gone, or writes something else.
            _ => {}
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
    hand_over(&connect(address)?, number, file)
}

fn connect(address: u64) -> Result<OwnedFd> {
    let socket = socket()?;
    rustix::net::connect(&socket, &name(address)?)?;
    Ok(socket)
}

fn hand_over(connection: &OwnedFd, number: u64, file: &impl AsFd) -> Result<()> {
    let files = [file.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(Errno::NOBUFS);
    }
    let number = number.to_ne_bytes();
    let sent = rustix::net::sendmsg(
        connection,
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
    fn who_has_not_written_yet_is_looked_at_again() {
        let listener = Listener::new().unwrap();
        let [slow, gone] = [(); 2].map(|()| connect(listener.address).unwrap());
        let silent = || listener.arrivals.lock().unwrap().silent.len();
        assert_eq!(listener.take(3).unwrap_err(), Errno::AGAIN);
        assert_eq!(silent(), 2);
        drop(gone);
        assert_eq!(listener.take(3).unwrap_err(), Errno::AGAIN);
        assert_eq!(silent(), 1);
        let (_segment, file) = Segment::create().unwrap();
        hand_over(&slow, 3, &file).unwrap();
        assert!(Segment::open(&listener.take(3).unwrap()).is_ok());
        assert_eq!(silent(), 0);
    }

    #[test]
    fn few_are_kept_who_never_write() {
        let listener = Listener::new().unwrap();
        let mut connections = Vec::new();
        for _ in 0..=MOST_SILENT {
            connections.push(connect(listener.address).unwrap());
            assert_eq!(listener.take(3).unwrap_err(), Errno::AGAIN);
        }
        let (_segment, file) = Segment::create().unwrap();
        // The earliest is closed.
        assert_eq!(hand_over(&connections[0], 3, &file), Err(Errno::PIPE));
        hand_over(&connections[1], 3, &file).unwrap();
        assert!(listener.take(3).is_ok());
    }

    #[test]
    fn nobody_listens_elsewhere() {
        let (_segment, file) = Segment::create().unwrap();
        assert_eq!(give(1, 0, &file), Err(Errno::CONNREFUSED));
    }
}
