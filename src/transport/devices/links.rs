//! What pairs of ranks have found out of the ways between them, and which way a message takes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::Line;
use super::shared_pinned::{Listener, Ring};
use crate::config::Config;
use crate::device::Place;
use crate::error::{Error, Result};
use crate::node;
use crate::path::{ChosenPath, Path, Paths};
use crate::transport::{End, Waybill};

/// The ways from and to all peers of this rank.
pub(super) struct Links {
    paths: Paths,
    node_id: Option<String>,
    node: OnceLock<Result<i64, String>>,
    listener: OnceLock<Result<Listener, String>>,
    /// The next number for a message to this rank.
    next: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By this rank's end of the messages and the peer's rank in the world.
    links: HashMap<(End, usize), Link>,
    /// By the above and the number of the handshake. What was once agreed is kept: messages that are under way name it.
    rings: HashMap<(End, usize, u64), Arc<Ring>>,
}

/// What is known of a pair of ranks.
enum Link {
    /// It is being found out in the handshake with this number.
    Pending(u64),
    /// They share memory since the handshake with this number.
    Shared(u64),
    /// They do not, and why.
    Refused(String),
}

/// The way of the next message.
pub(super) enum Next {
    Known(Waybill),
    Pending,
}

impl Links {
    pub(super) fn new(config: &Config) -> Links {
        Links {
            paths: config.paths,
            node_id: config.node_id.clone(),
            node: OnceLock::new(),
            listener: OnceLock::new(),
            next: AtomicU64::new(0),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The two maps need not agree.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This rank's node.
    pub(super) fn node(&self) -> Result<&i64, String> {
        let node = self.node.get_or_init(|| {
            node::identity(self.node_id.as_deref()).map_err(|error| error.message().to_owned())
        });
        node.as_ref().map_err(String::clone)
    }

    /// Where this rank gets memory that it shares with others.
    pub(super) fn listener(&self) -> Result<&Listener, String> {
        let listener = self.listener.get_or_init(|| {
            Listener::new().map_err(|error| format!("the receiver cannot listen on the node: {error}"))
        });
        listener.as_ref().map_err(String::clone)
    }

    /// The way of a message from `peer` between two places, of ranks in one process or not.
    pub(super) fn route(&self, peer: usize, ends: [Place; 2], share_a_process: bool) -> Result<Next> {
        let known = |path| Ok(Next::Known(Waybill::along(path)));
        if ends == [Place::Host; 2] {
            return known(Path::Host);
        }
        if share_a_process {
            return match ends == [Place::Device; 2] && self.paths.allow(Path::SameProcess) {
                true => known(Path::SameProcess),
                false => self.staged("both ranks are in one process").and_then(known),
            };
        }
        if !self.paths.allow(Path::SharedPinned) {
            return self.staged("WARPCOMM_PATHS leaves it out").and_then(known);
        }
        let mut state = self.state();
        match state.links.get(&(End::Receiver, peer)) {
            Some(Link::Pending(_)) => Ok(Next::Pending),
            Some(Link::Shared(link)) => Ok(Next::Known(Waybill::through(*link, self.number()))),
            Some(Link::Refused(reason)) => self.staged(reason).and_then(known),
            None => match self.node().and_then(|node| Ok((node, self.listener()?.address))) {
                Ok((node, address)) => Ok(Next::Known(Waybill::handshake(self.number(), *node, address))),
                Err(reason) => {
                    let path = self.staged(&reason);
                    state.links.insert((End::Receiver, peer), Link::Refused(reason));
                    path.and_then(known)
                }
            },
        }
    }

    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The way that works everywhere, unless it is not allowed.
    fn staged(&self, why_not_shared: &str) -> Result<Path> {
        match self.paths.allow(Path::Staged) {
            true => Ok(Path::Staged),
            false => Err(Error::unsupported(format!(
                "no path is left: not shared pinned memory, because {why_not_shared}; nor staging, because \
                 WARPCOMM_PATHS leaves it out"
            ))),
        }
    }

    /// The path that a handshake has found.
    pub(super) fn found(&self, peer: usize, end: End, number: u64) -> Result<Path> {
        let state = self.state();
        if state.rings.contains_key(&(end, peer, number)) {
            return Ok(Path::SharedPinned);
        }
        match state.links.get(&(end, peer)) {
            Some(Link::Refused(reason)) => self.staged(reason),
            _ => self.staged("a peer has given up finding out"),
        }
    }

    /// The memory that was agreed on in a handshake.
    pub(super) fn ring(&self, peer: usize, end: End, link: u64) -> Result<Arc<Ring>> {
        let ring = self.state().rings.get(&(end, peer, link)).cloned();
        ring.ok_or_else(|| Error::unsupported("the ranks do not share memory"))
    }

    /// Notes that a handshake has begun.
    pub(super) fn begin(&self, line: &Line, number: u64) {
        let pair = (End::Receiver, line.rank());
        self.state().links.insert(pair, Link::Pending(number));
    }

    /// Notes what a handshake has brought.
    pub(super) fn settle(&self, line: &Line, end: End, number: u64, agreed: Result<Arc<Ring>, String>) {
        let peer = line.rank();
        let mut state = self.state();
        let link = match agreed {
            Ok(ring) => {
                state.rings.insert((end, peer, number), ring);
                Link::Shared(number)
            }
            // Another handshake has come to more.
            Err(_) if matches!(state.links.get(&(end, peer)), Some(Link::Shared(_))) => return,
            Err(reason) => Link::Refused(reason),
        };
        state.links.insert((end, peer), link);
    }

    /// Notes that a handshake was given up: the next message begins another.
    pub(super) fn give_up(&self, line: &Line, number: u64) {
        let pair = (End::Receiver, line.rank());
        let mut state = self.state();
        if matches!(state.links.get(&pair), Some(Link::Pending(pending)) if *pending == number) {
            state.links.remove(&pair);
        }
    }

    /// Notes that a peer has chosen staging, where this rank has not heard why.
    pub(super) fn note_staged(&self, peer: usize) {
        if self.paths.allow(Path::SharedPinned) {
            let refused = || Link::Refused("the receiver can share no memory".to_owned());
            self.state()
                .links
                .entry((End::Sender, peer))
                .or_insert_with(refused);
        }
    }

    /// The path of messages from this rank's GPU to a peer's; none before the first of them.
    pub(super) fn chosen(&self, peer: usize, share_a_process: bool) -> Result<Option<ChosenPath>> {
        let left_out = "WARPCOMM_PATHS leaves the others out";
        let staged = |reason: &str| {
            let path = self.staged(reason)?;
            Ok(Some(ChosenPath::new(path, reason)))
        };
        let found = |path, reason| Ok(Some(ChosenPath::new(path, reason)));
        match self.state().links.get(&(End::Sender, peer)) {
            _ if share_a_process => match self.paths.allow(Path::SameProcess) {
                true => found(Path::SameProcess, "both ranks are in one process"),
                false => staged(left_out),
            },
            _ if !self.paths.allow(Path::SharedPinned) => staged(left_out),
            Some(Link::Shared(_)) => found(Path::SharedPinned, "both ranks are on one node"),
            Some(Link::Refused(reason)) => staged(reason),
            Some(Link::Pending(_)) | None => Ok(None),
        }
    }
}
