//! What pairs of ranks have found out of the ways between them, and which way a message takes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::Line;
use super::shared::{Listener, Ring};
use crate::config::Config;
use crate::device::Place;
use crate::device::cuda::Gpu;
use crate::error::{Error, Result};
use crate::node;
use crate::path::{ChosenPath, Path, Paths};
use crate::transport::{End, Waybill};

/// Why a path is not taken that a program has ruled out.
const LEFT_OUT: &str = "WARPCOMM_PATHS leaves it out";

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
    /// The paths of the messages with which handshakes were done, by the above, until they are asked for.
    found: HashMap<(End, usize, u64), Result<Path, String>>,
}

/// What is known of a pair of ranks.
enum Link {
    /// It is being found out in the handshake with this number; what is known before.
    Pending(u64, Option<Shared>),
    Shared(Shared),
    /// They share no memory, and why.
    Refused(String),
}

/// Two ranks that share memory.
#[derive(Clone)]
struct Shared {
    /// The number of the handshake since which they do.
    link: u64,
    /// Whether both have locked its pages, or why not; none before somebody needs it.
    pinned: Option<Result<(), String>>,
    /// Along which path they have a window of the sender's GPU, or why they have none.
    ipc: Option<Result<Path, String>>,
}

/// What a handshake has brought.
pub(super) enum Found {
    Ipc(Path),
    /// And why no CUDA IPC, where that was asked for.
    Pinned(String),
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

    pub(super) fn allows(&self, path: Path) -> bool {
        self.paths.allow(path)
    }

    fn allows_ipc(&self) -> bool {
        self.allows(Path::SameGpuIpc) || self.allows(Path::PeerGpuIpc)
    }

    /// The way of a message from `peer` between two places, of ranks in one process or not, to this GPU if that is one.
    pub(super) fn route(
        &self,
        peer: usize,
        ends: [Place; 2],
        gpu: Option<&'static Gpu>,
        share_a_process: bool,
    ) -> Result<Next> {
        let known = |path| Ok(Next::Known(Waybill::along(path)));
        if ends == [Place::Host; 2] {
            return known(Path::Host);
        }
        let are_gpus = ends == [Place::Device; 2];
        if share_a_process {
            return match are_gpus && self.allows(Path::SameProcess) {
                true => known(Path::SameProcess),
                false => self.staged("both ranks are in one process").and_then(known),
            };
        }
        let is_for_ipc = are_gpus && self.allows_ipc();
        if !is_for_ipc && !self.allows(Path::SharedPinned) {
            return self.staged(LEFT_OUT).and_then(known);
        }
        let mut state = self.state();
        let shared = match state.links.get(&(End::Receiver, peer)) {
            Some(Link::Pending(..)) => return Ok(Next::Pending),
            Some(Link::Refused(reason)) => return self.staged(reason).and_then(known),
            Some(Link::Shared(shared)) => Some(shared),
            None => None,
        };
        let through =
            |shared: &Shared, path| Ok(Next::Known(Waybill::through(shared.link, self.number(), path)));
        let mut is_for_ipc = is_for_ipc;
        if let Some(shared) = shared {
            let ring = state.rings.get(&(End::Receiver, peer, shared.link));
            let path_to = || ring?.path_to(gpu?).ok().filter(|&path| self.allows(path));
            match &shared.ipc {
                Some(Ok(_)) if is_for_ipc => match path_to() {
                    Some(path) => return through(shared, path),
                    None => is_for_ipc = false,
                },
                None => {}
                Some(_) => is_for_ipc = false,
            }
            if !is_for_ipc {
                match &shared.pinned {
                    _ if !self.allows(Path::SharedPinned) => {
                        let reason = shared.ipc.as_ref().and_then(|ipc| ipc.as_ref().err());
                        let reason = reason.map_or(LEFT_OUT, String::as_str);
                        return self.staged(reason).and_then(known);
                    }
                    Some(Ok(())) => return through(shared, Path::SharedPinned),
                    Some(Err(reason)) => return self.staged(reason).and_then(known),
                    None => {}
                }
            }
        }
        let link = shared.map(|shared| shared.link);
        match self.node().and_then(|node| Ok((*node, self.listener()?.address))) {
            Ok(here) => Ok(Next::Known(Waybill::handshake(
                self.number(),
                here,
                is_for_ipc,
                link,
            ))),
            Err(reason) => {
                let path = self.staged(&reason);
                state.links.insert((End::Receiver, peer), Link::Refused(reason));
                path.and_then(known)
            }
        }
    }

    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The way that works everywhere, unless it is not allowed.
    fn staged(&self, why_no_other: &str) -> Result<Path> {
        match self.paths.allow(Path::Staged) {
            true => Ok(Path::Staged),
            false => Err(Error::unsupported(format!(
                "no path is left: no other than staging, because {why_no_other}; nor staging, because {LEFT_OUT}"
            ))),
        }
    }

    /// The path that a handshake has found.
    pub(super) fn found(&self, peer: usize, end: End, number: u64) -> Result<Path> {
        match self.state().found.remove(&(end, peer, number)) {
            Some(Ok(path)) => Ok(path),
            Some(Err(reason)) => self.staged(&reason),
            None => self.staged("a peer has given up finding out"),
        }
    }

    /// The memory that was agreed on in a handshake.
    pub(super) fn ring(&self, peer: usize, end: End, link: u64) -> Result<Arc<Ring>> {
        let ring = self.state().rings.get(&(end, peer, link)).cloned();
        ring.ok_or_else(|| Error::unsupported("the ranks do not share memory"))
    }

    /// Closes what senders want to be closed.
    pub(super) fn close_windows(&self) {
        for ring in self.state().rings.values() {
            ring.close_windows();
        }
    }

    /// Notes that a handshake has begun.
    pub(super) fn begin(&self, line: &Line, number: u64) {
        let pair = (End::Receiver, line.rank());
        let mut state = self.state();
        let before = match state.links.remove(&pair) {
            Some(Link::Shared(shared)) => Some(shared),
            _ => None,
        };
        state.links.insert(pair, Link::Pending(number, before));
    }

    /// Notes what a handshake has brought.
    pub(super) fn settle(
        &self,
        line: &Line,
        end: End,
        waybill: &Waybill,
        outcome: Result<(Found, Arc<Ring>), String>,
    ) {
        let (peer, is_for_ipc) = (line.rank(), waybill.is_for_ipc != 0);
        let mut state = self.state();
        let before = match state.links.remove(&(end, peer)) {
            Some(Link::Shared(shared) | Link::Pending(_, Some(shared))) => Some(shared),
            _ => None,
        };
        let found = match &outcome {
            Ok((Found::Ipc(path), _)) => Ok(*path),
            Ok((Found::Pinned(_), _)) => Ok(Path::SharedPinned),
            Err(reason) => Err(reason.clone()),
        };
        let link = match (outcome, before) {
            (Ok((found, ring)), before) => {
                state.rings.insert((end, peer, waybill.link), ring);
                let before = before.filter(|shared| shared.link == waybill.link);
                let mut shared = before.unwrap_or(Shared {
                    link: waybill.link,
                    pinned: None,
                    ipc: None,
                });
                match found {
                    Found::Ipc(path) => shared.ipc = Some(Ok(path)),
                    Found::Pinned(reason) => {
                        shared.pinned = Some(Ok(()));
                        if is_for_ipc {
                            shared.ipc = Some(Err(reason));
                        }
                    }
                }
                Link::Shared(shared)
            }
            // Another handshake has come to more.
            (Err(_), Some(shared)) if shared.link != waybill.link => Link::Shared(shared),
            (Err(reason), Some(mut shared)) => {
                if is_for_ipc {
                    shared.ipc = Some(Err(reason.clone()));
                }
                shared.pinned.get_or_insert(Err(reason));
                Link::Shared(shared)
            }
            (Err(reason), None) => Link::Refused(reason),
        };
        state.links.insert((end, peer), link);
        state.found.insert((end, peer, waybill.number), found);
    }

    /// Notes that a handshake was given up: the next message begins another.
    pub(super) fn give_up(&self, line: &Line, number: u64) {
        let pair = (End::Receiver, line.rank());
        let mut state = self.state();
        if let Some(Link::Pending(pending, before)) = state.links.get_mut(&pair)
            && *pending == number
        {
            match before.take() {
                Some(shared) => state.links.insert(pair, Link::Shared(shared)),
                None => state.links.remove(&pair),
            };
        }
    }

    /// Notes that a peer has chosen staging, where this rank has not heard why.
    pub(super) fn note_staged(&self, peer: usize) {
        if self.allows(Path::SharedPinned) || self.allows_ipc() {
            let refused = || Link::Refused("the receiver can share no memory".to_owned());
            self.state()
                .links
                .entry((End::Sender, peer))
                .or_insert_with(refused);
        }
    }

    /// The path of messages from this rank's GPU to a peer's; none before the first of them.
    pub(super) fn chosen(&self, peer: usize, share_a_process: bool) -> Result<Option<ChosenPath>> {
        let staged = |reason: &str| {
            let path = self.staged(reason)?;
            Ok(Some(ChosenPath::new(path, reason)))
        };
        let found = |path, reason| Ok(Some(ChosenPath::new(path, reason)));
        if share_a_process {
            return match self.allows(Path::SameProcess) {
                true => found(Path::SameProcess, "both ranks are in one process".to_owned()),
                false => staged(LEFT_OUT),
            };
        }
        if !self.allows(Path::SharedPinned) && !self.allows_ipc() {
            return staged(LEFT_OUT);
        }
        let state = self.state();
        let shared = match state.links.get(&(End::Sender, peer)) {
            Some(Link::Shared(shared)) => shared,
            Some(Link::Refused(reason)) => return staged(reason),
            Some(Link::Pending(..)) | None => return Ok(None),
        };
        let why_no_ipc = match &shared.ipc {
            _ if !self.allows_ipc() => None,
            None => return Ok(None),
            Some(Ok(path)) => {
                let reason = match path {
                    Path::SameGpuIpc => "both ranks use one GPU of a node",
                    _ => "one rank's GPU reaches the other's",
                };
                return found(*path, reason.to_owned());
            }
            Some(Err(reason)) => Some(reason),
        };
        match &shared.pinned {
            Some(Ok(())) if self.allows(Path::SharedPinned) => {
                let why_no_ipc =
                    why_no_ipc.map_or(String::new(), |reason| format!("; no CUDA IPC: {reason}"));
                found(
                    Path::SharedPinned,
                    format!("both ranks are on one node{why_no_ipc}"),
                )
            }
            Some(Err(reason)) => staged(reason),
            _ => staged(why_no_ipc.map_or(LEFT_OUT, String::as_str)),
        }
    }
}
