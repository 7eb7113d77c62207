//! What pairs of ranks have found out of the ways between them, and which way a message takes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::Line;
use super::proof::Refusal;
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
    /// The path of the last message to a peer that shares no memory, and why MPI did not take it as it was.
    told: HashMap<usize, (Path, Option<String>)>,
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

    pub(super) fn allow(&self, path: Path) -> bool {
        self.paths.allow(path)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The maps need not agree.
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

    /// The way of a message from `peer` between two places, of ranks in one process or not; MPI takes its elements as
    /// they are unless that is refused.
    pub(super) fn route(
        &self,
        peer: usize,
        ends: [Place; 2],
        share_a_process: bool,
        is_refused: &dyn Fn() -> Result<(), Refusal>,
    ) -> Result<Next> {
        let known = |path| Ok(Next::Known(Waybill::along(path)));
        if ends == [Place::Host; 2] {
            return known(Path::Host);
        }
        if share_a_process {
            return match ends == [Place::Device; 2] && self.paths.allow(Path::SameProcess) {
                true => known(Path::SameProcess),
                false => self
                    .by_mpi("both ranks are in one process", is_refused)
                    .and_then(known),
            };
        }
        if !self.paths.allow(Path::SharedPinned) {
            return self
                .by_mpi("WARPCOMM_PATHS leaves it out", is_refused)
                .and_then(known);
        }
        let mut state = self.state();
        match state.links.get(&(End::Receiver, peer)) {
            Some(Link::Pending(_)) => Ok(Next::Pending),
            Some(Link::Shared(link)) => Ok(Next::Known(Waybill::through(*link, self.number()))),
            Some(Link::Refused(reason)) => self.by_mpi(reason, is_refused).and_then(known),
            None => match self.node().and_then(|node| Ok((node, self.listener()?.address))) {
                Ok((node, address)) => {
                    // Where it is not allowed either, that is found out behind the handshake.
                    let otherwise = self.by_mpi("", is_refused).unwrap_or(Path::Staged);
                    let number = self.number();
                    Ok(Next::Known(Waybill::handshake(number, *node, address, otherwise)))
                }
                Err(reason) => {
                    let path = self.by_mpi(&reason, is_refused);
                    state.links.insert((End::Receiver, peer), Link::Refused(reason));
                    path.and_then(known)
                }
            },
        }
    }

    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The way between ranks that share no memory.
    fn by_mpi(&self, why_not_shared: &str, is_refused: &dyn Fn() -> Result<(), Refusal>) -> Result<Path> {
        if !self.paths.allow(Path::CudaAware) {
            return self.staged(why_not_shared);
        }
        match is_refused() {
            Ok(()) => Ok(Path::CudaAware),
            Err(refusal) => self.staged(&format!(
                "{why_not_shared}; nor as MPI carries it, because {}",
                refusal.reason
            )),
        }
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
    pub(super) fn found(&self, peer: usize, end: End, waybill: &Waybill) -> Result<Path> {
        let state = self.state();
        if state.rings.contains_key(&(end, peer, waybill.number)) {
            return Ok(Path::SharedPinned);
        }
        if waybill.otherwise() == Path::CudaAware {
            return Ok(Path::CudaAware);
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

    /// Notes that a peer has chosen a path on which they share no memory, where this rank may not have heard why, and
    /// why MPI did not take the elements as they were.
    pub(super) fn note(&self, peer: usize, path: Path, why_not_aware: impl FnOnce() -> Option<String>) {
        let mut state = self.state();
        if state.told.get(&peer).is_none_or(|(last, _)| *last != path) {
            state.told.insert(peer, (path, why_not_aware()));
        }
        if self.paths.allow(Path::SharedPinned) {
            let refused = || Link::Refused("the receiver can share no memory".to_owned());
            state.links.entry((End::Sender, peer)).or_insert_with(refused);
        }
    }

    /// The path of messages from this rank's GPU to a peer's; none before the first of them. MPI is given addresses
    /// for the reason `why_aware`.
    pub(super) fn chosen(
        &self,
        peer: usize,
        share_a_process: bool,
        why_aware: &str,
    ) -> Result<Option<ChosenPath>> {
        let found = |path, reason: &str| Ok(Some(ChosenPath::new(path, reason)));
        let left_out = "WARPCOMM_PATHS leaves the others out";
        if share_a_process && self.paths.allow(Path::SameProcess) {
            return found(Path::SameProcess, "both ranks are in one process");
        }
        let state = self.state();
        let why_not_shared = match state.links.get(&(End::Sender, peer)) {
            _ if share_a_process || !self.paths.allow(Path::SharedPinned) => None,
            Some(Link::Shared(_)) => return found(Path::SharedPinned, "both ranks are on one node"),
            Some(Link::Refused(reason)) => Some(reason.as_str()),
            Some(Link::Pending(_)) | None => return Ok(None),
        };
        match (state.told.get(&peer), why_not_shared) {
            (Some((Path::CudaAware, _)), Some(why_not_shared)) => {
                found(Path::CudaAware, &format!("{why_not_shared}; {why_aware}"))
            }
            (Some((Path::CudaAware, _)), None) => found(Path::CudaAware, why_aware),
            (Some((_, Some(why_not_aware))), why_not_shared) => {
                let reason = format!("{}; {why_not_aware}", why_not_shared.unwrap_or(left_out));
                found(self.staged(&reason)?, &reason)
            }
            // It may still turn out that MPI takes them.
            (None, None) if self.paths.allow(Path::CudaAware) => Ok(None),
            (_, why_not_shared) => {
                let reason = why_not_shared.unwrap_or(left_out);
                found(self.staged(reason)?, reason)
            }
        }
    }
}
