//! What pairs of ranks have found out of the ways between them, and which way a message takes.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::Line;
use super::proof::Refusal;
use super::shared::handshake::Agreed;
use super::shared::{Listener, Ring};
use crate::config::Config;
use crate::device::cuda::{Gpu, is_lendable};
use crate::device::{Lane, Place};
use crate::error::{Error, Result};
use crate::fingerprint::fingerprint;
use crate::node;
use crate::path::{ChosenPath, Path, Paths};
use crate::transport::{DeviceMemory, End, Route, Waybill, Whereabouts};

/// Why a path is not taken that a program has ruled out.
const LEFT_OUT: &str = "WARPCOMM_PATHS leaves it out";

/// Why a path is taken that is the only one.
const OTHERS_LEFT_OUT: &str = "WARPCOMM_PATHS leaves the others out";

/// The ways from and to all peers of this rank.
pub(super) struct Links {
    paths: Paths,
    node_id: Option<String>,
    node: OnceLock<Result<i64, String>>,
    listener: OnceLock<Result<Listener, String>>,
    /// The next number for a message to this rank.
    next: AtomicU64,
    /// Looked at by every message, which then need not lock.
    has_rings: AtomicBool,
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
    /// The path of the last message to a peer with which none is shared, and why MPI did not take it as it was.
    told: HashMap<usize, (Path, Option<String>)>,
    /// Where leaders listen for memory to be shared with this rank, and its number, by the leader's rank in the world.
    leaders: HashMap<usize, (u64, u64)>,
    /// Leaders, and ranks whose memory they cannot open, by their ranks in the world.
    apart: HashSet<(usize, usize)>,
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
    /// Whether they have events for it, or why not, as far as this end knows.
    events: Result<(), String>,
}

/// What a handshake has brought.
pub(super) enum Found {
    /// And why without events, as far as this end knows.
    Ipc(Path, Result<(), String>),
    /// And why no CUDA IPC, where that was asked for.
    Pinned(String),
}

/// The way of the next message.
enum Next {
    /// Through the memory that both share.
    Through(Path),
    /// Nobody knows yet whether by CUDA IPC, or through page-locked memory.
    FindOut { is_for_ipc: bool },
    /// As MPI carries it, or else staged; why no faster way.
    ByMpi(String),
}

impl Links {
    pub(super) fn new(config: &Config) -> Links {
        Links {
            paths: config.paths,
            node_id: config.node_id.clone(),
            node: OnceLock::new(),
            listener: OnceLock::new(),
            next: AtomicU64::new(0),
            has_rings: AtomicBool::new(false),
            state: Mutex::default(),
        }
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

    pub(super) fn allows(&self, path: Path) -> bool {
        self.paths.allow(path)
    }

    fn allows_ipc(&self) -> bool {
        self.allows(Path::SameGpuIpc) || self.allows(Path::PeerGpuIpc)
    }

    /// The way of a message from `peer`, of a rank in this process or not, from a place into the lane's GPU or into the
    /// host's memory. Where that is still to be found out, this message does. MPI takes its elements as they are unless
    /// that is refused.
    pub(super) fn route(
        &self,
        peer: usize,
        from: Place,
        lane: Option<&Arc<Lane>>,
        share_a_process: bool,
        is_refused: &dyn Fn() -> Result<(), Refusal>,
    ) -> Result<Route> {
        let known = |path| Ok(Route::Known(Waybill::along(path)));
        // What others wait for must not wait for the receiver's lane; and MPI waits for no lane.
        let is_ready = || lane.map_or(Ok(true), |lane| lane.is_idle());
        let by_mpi = |why_no_other: &str| match self.by_mpi(why_no_other, is_refused)? {
            Path::CudaAware if !is_ready()? => Ok(Route::WhenIdle),
            path => known(path),
        };
        let (is_from_gpu, gpu) = (from == Place::Device, lane.map(|lane| lane.gpu()));
        if !is_from_gpu && gpu.is_none() {
            return known(Path::Host);
        }
        let gpu = gpu.filter(|_| is_from_gpu);
        if share_a_process {
            return match gpu.is_some() && self.allows(Path::SameProcess) {
                true => known(Path::SameProcess),
                false => by_mpi("both ranks are in one process"),
            };
        }
        let gpu = gpu.filter(|_| self.allows_ipc());
        if gpu.is_none() && !self.allows(Path::SharedPinned) {
            return by_mpi(LEFT_OUT);
        }
        let mut state = self.state();
        let shared = match state.links.get(&(End::Receiver, peer)) {
            Some(Link::Pending(..)) => return Ok(Route::Pending),
            Some(Link::Refused(reason)) => return by_mpi(reason),
            Some(Link::Shared(shared)) => Some(shared),
            None => None,
        };
        let next = match shared {
            Some(shared) => {
                let ring = state.rings.get(&(End::Receiver, peer, shared.link));
                self.next(shared, ring, gpu)
            }
            None if gpu.is_some() => Next::FindOut { is_for_ipc: true },
            None => Next::FindOut { is_for_ipc: false },
        };
        if let Next::ByMpi(reason) = &next {
            return by_mpi(reason);
        }
        if !is_ready()? {
            return Ok(Route::WhenIdle);
        }
        let shared = shared.cloned();
        self.go(&mut state, peer, shared, next, is_refused)
    }

    /// The way of the next message of two ranks that share memory, to a GPU if it comes from one.
    fn next(&self, shared: &Shared, ring: Option<&Arc<Ring>>, gpu: Option<&'static Gpu>) -> Next {
        let mut why_no_ipc = None;
        match (gpu, &shared.ipc) {
            (Some(_), None) => return Next::FindOut { is_for_ipc: true },
            (Some(gpu), Some(Ok(_))) => match ring.map(|ring| ring.path_to(gpu)) {
                Some(Ok(path)) if self.allows(path) => return Next::Through(path),
                Some(Err(reason)) => why_no_ipc = Some(reason),
                _ => {}
            },
            (Some(_), Some(Err(reason))) => why_no_ipc = Some(reason.clone()),
            (None, _) => {}
        }
        match &shared.pinned {
            _ if !self.allows(Path::SharedPinned) => Next::ByMpi(why_no_ipc.unwrap_or(LEFT_OUT.to_owned())),
            Some(Ok(())) => Next::Through(Path::SharedPinned),
            Some(Err(reason)) => Next::ByMpi(reason.clone()),
            None => Next::FindOut { is_for_ipc: false },
        }
    }

    /// Has a message go its way, whose receiver is ready for it.
    fn go(
        &self,
        state: &mut State,
        peer: usize,
        shared: Option<Shared>,
        next: Next,
        is_refused: &dyn Fn() -> Result<(), Refusal>,
    ) -> Result<Route> {
        let number = self.number();
        let link = shared.as_ref().map(|shared| shared.link);
        let is_for_ipc = match (next, link) {
            (Next::Through(path), Some(link)) => {
                return Ok(Route::Known(Waybill::through(link, number, path)));
            }
            (Next::FindOut { is_for_ipc }, _) => is_for_ipc,
            _ => false,
        };
        match self.node().and_then(|node| Ok((*node, self.listener()?.address))) {
            Ok(here) => {
                // Where that is not allowed either, it is found out behind the handshake.
                let otherwise = self.by_mpi("", is_refused).unwrap_or(Path::Staged);
                let pending = Link::Pending(number, shared);
                state.links.insert((End::Receiver, peer), pending);
                Ok(Route::Known(Waybill::handshake(
                    number, here, is_for_ipc, link, otherwise,
                )))
            }
            Err(reason) => {
                let path = self.by_mpi(&reason, is_refused);
                state.links.insert((End::Receiver, peer), Link::Refused(reason));
                path.map(|path| Route::Known(Waybill::along(path)))
            }
        }
    }

    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The way between ranks that share no memory.
    fn by_mpi(&self, why_no_other: &str, is_refused: &dyn Fn() -> Result<(), Refusal>) -> Result<Path> {
        if !self.allows(Path::CudaAware) {
            return self.staged(why_no_other);
        }
        match is_refused() {
            Ok(()) => Ok(Path::CudaAware),
            Err(refusal) => self.staged(&format!(
                "{why_no_other}; nor as MPI carries it, because {}",
                refusal.reason
            )),
        }
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
    pub(super) fn found(&self, peer: usize, end: End, waybill: &Waybill) -> Result<Path> {
        match self.state().found.remove(&(end, peer, waybill.number)) {
            Some(Ok(path)) => Ok(path),
            _ if waybill.otherwise() == Path::CudaAware => Ok(Path::CudaAware),
            Some(Err(reason)) => self.staged(&reason),
            None => self.staged("a peer has given up finding out"),
        }
    }

    /// The memory that was agreed on in a handshake.
    pub(super) fn ring(&self, peer: usize, end: End, link: u64) -> Result<Arc<Ring>> {
        let ring = self.state().rings.get(&(end, peer, link)).cloned();
        ring.ok_or_else(|| Error::unsupported("the ranks do not share memory"))
    }

    /// See [`Transport::reach`](crate::transport::Transport::reach).
    pub(super) fn reach(
        &self,
        group: &[usize],
        elements: &[DeviceMemory<'_>],
        share_a_process: bool,
    ) -> Whereabouts {
        let Some(gpu) = elements.first().map(|memory| memory.lane.gpu()) else {
            return Whereabouts::NOWHERE;
        };
        let is_here = |memory: &DeviceMemory<'_>| std::ptr::eq(memory.lane.gpu(), gpu);
        let is_lendable = |memory: &DeviceMemory<'_>| is_lendable(memory.address, memory.bytes);
        let are_lendable = elements.iter().all(is_lendable);
        let is_allowed = match share_a_process {
            true => self.allows(Path::SameProcess),
            false => self.allows_ipc(),
        };
        let is_out_of_reach = !is_allowed
            || self.are_apart(group)
            || !elements.iter().all(is_here)
            || !(share_a_process || are_lendable);
        if is_out_of_reach {
            return Whereabouts::NOWHERE;
        }
        if share_a_process {
            // A context, whose memory kernels of another do not reach, but what is not of a pool.
            let gpu = u16::try_from(gpu.number() + 1).unwrap_or(0);
            return Whereabouts {
                gpu,
                neighbours: (are_lendable && gpu != 0).into(),
            };
        }
        // Without a key, others cannot reach it.
        let place = self
            .node()
            .ok()
            .and_then(|node| Some((*node as u64, gpu.uuid().ok()?)));
        let key = |words: &[u64]| {
            let bytes = words.iter().flat_map(|word| word.to_ne_bytes());
            (fingerprint(bytes) as u16).max(1)
        };
        place.map_or(Whereabouts::NOWHERE, |(node, [a, b])| Whereabouts {
            gpu: key(&[node, a, b]),
            neighbours: match (self.allows(Path::PeerGpuIpc), self.allows(Path::SameGpuIpc)) {
                (false, _) => 0,
                (true, true) => (key(&[node]) & !Whereabouts::APART).max(1),
                (true, false) => key(&[node]) | Whereabouts::APART,
            },
        })
    }

    /// Notes that a leader cannot open what a rank lends it, which will be so with the next buffers.
    pub(super) fn part(&self, leader: usize, member: usize) {
        self.state().apart.insert((leader, member));
    }

    /// Whether there is such a pair in a group: any of its ranks may lead.
    fn are_apart(&self, group: &[usize]) -> bool {
        let is_here = |rank: &usize| group.contains(rank);
        let state = self.state();
        let mut apart = state.apart.iter();
        apart.any(|(leader, member)| is_here(leader) && is_here(member))
    }

    /// Notes where a leader listens for memory that this rank shares with it.
    pub(super) fn invited_by(&self, leader: usize, address: u64, number: u64) {
        self.state().leaders.insert(leader, (address, number));
    }

    /// The memory that this rank shares with a leader, which is made and given to it if that is possible by now.
    pub(super) fn shared_with(&self, leader: usize) -> Option<(u64, Arc<Ring>)> {
        let (address, number) = *self.state().leaders.get(&leader)?;
        let key = (End::Sender, leader, number);
        if let Some(ring) = self.state().rings.get(&key) {
            return Some((number, Arc::clone(ring)));
        }
        match Ring::give(address, number) {
            Ok(ring) => {
                self.add_ring(&mut self.state(), key, &ring);
                Some((number, ring))
            }
            Err(_) => {
                self.state().leaders.remove(&leader);
                None
            }
        }
    }

    /// Gives up the memory with this number that this rank shares with a leader, which has not got it. Of another fold
    /// they may share other memory by now.
    pub(super) fn take_back(&self, leader: usize, number: u64) {
        let mut state = self.state();
        state.rings.remove(&(End::Sender, leader, number));
        if state
            .leaders
            .get(&leader)
            .is_some_and(|(_, last)| *last == number)
        {
            state.leaders.remove(&leader);
        }
    }

    /// Where this rank, a leader, gets memory to share with another, and the number for it.
    pub(super) fn invitation(&self) -> Result<(u64, u64), String> {
        Ok((self.listener()?.address, self.number()))
    }

    /// The memory that another rank has given this leader.
    pub(super) fn given_by(&self, member: usize, number: u64) -> Result<Arc<Ring>, String> {
        let key = (End::Receiver, member, number);
        if let Some(ring) = self.state().rings.get(&key) {
            return Ok(Arc::clone(ring));
        }
        let ring = Ring::take_given(self.listener()?, number)?;
        self.add_ring(&mut self.state(), key, &ring);
        Ok(ring)
    }

    /// Whether this leader has that memory.
    pub(super) fn has_from(&self, member: usize, number: u64) -> bool {
        let key = (End::Receiver, member, number);
        self.state().rings.contains_key(&key)
    }

    /// Whether no GPU, of this rank or a peer, is at memory that they share and no message uses.
    pub(super) fn are_quiet(&self) -> bool {
        self.state().rings.values().all(|ring| ring.is_quiet())
    }

    fn add_ring(&self, state: &mut State, key: (End, usize, u64), ring: &Arc<Ring>) {
        state.rings.insert(key, Arc::clone(ring));
        self.has_rings.store(true, Ordering::Release);
    }

    /// Whether this rank has ever shared memory with another.
    #[inline]
    pub(super) fn has_rings(&self) -> bool {
        self.has_rings.load(Ordering::Acquire)
    }

    /// Closes what senders want to be closed.
    pub(super) fn close_windows(&self) {
        for ring in self.state().rings.values() {
            ring.close_windows();
        }
    }

    /// Notes what a handshake has brought.
    pub(super) fn settle(&self, line: &Line, end: End, waybill: &Waybill, agreed: Agreed) {
        let (peer, is_for_ipc) = (line.rank(), waybill.is_for_ipc != 0);
        let mut state = self.state();
        let before = match state.links.remove(&(end, peer)) {
            Some(Link::Shared(shared) | Link::Pending(_, Some(shared))) => Some(shared),
            _ => None,
        };
        let found = match &agreed {
            Ok((Ok(Found::Ipc(path, _)), _)) => Ok(*path),
            Ok((Ok(Found::Pinned(_)), _)) => Ok(Path::SharedPinned),
            Ok((Err(reason), _)) | Err(reason) => Err(reason.clone()),
        };
        let link = match (agreed, before) {
            (Ok((found, ring)), before) => {
                self.add_ring(&mut state, (end, peer, waybill.link), &ring);
                let before = before.filter(|shared| shared.link == waybill.link);
                let mut shared = before.unwrap_or(Shared {
                    link: waybill.link,
                    pinned: None,
                    ipc: None,
                    events: Ok(()),
                });
                match found {
                    Ok(Found::Ipc(path, events)) => {
                        (shared.ipc, shared.events) = (Some(Ok(path)), events);
                    }
                    Ok(Found::Pinned(reason)) => {
                        shared.pinned = Some(Ok(()));
                        if is_for_ipc {
                            shared.ipc = Some(Err(reason));
                        }
                    }
                    Err(reason) => {
                        if is_for_ipc {
                            shared.ipc = Some(Err(reason.clone()));
                        }
                        shared.pinned.get_or_insert(Err(reason));
                    }
                }
                Link::Shared(shared)
            }
            (Err(_), Some(shared)) => Link::Shared(shared),
            (Err(reason), None) => Link::Refused(reason),
        };
        state.links.insert((end, peer), link);
        state.found.insert((end, peer, waybill.number), found);
    }

    /// Whether a handshake is under way at this receiver.
    pub(super) fn is_pending(&self, peer: usize, number: u64) -> bool {
        let state = self.state();
        let link = state.links.get(&(End::Receiver, peer));
        matches!(link, Some(Link::Pending(pending, _)) if *pending == number)
    }

    /// Notes that a handshake was given up: the next message begins another.
    pub(super) fn give_up(&self, peer: usize, number: u64) {
        let pair = (End::Receiver, peer);
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

    /// Notes that a peer has chosen a path on which they share no memory, where this rank may not have heard why, and
    /// why MPI did not take the elements as they were.
    pub(super) fn note(&self, peer: usize, path: Path, why_not_aware: impl FnOnce() -> Option<String>) {
        let mut state = self.state();
        if state.told.get(&peer).is_none_or(|(last, _)| *last != path) {
            state.told.insert(peer, (path, why_not_aware()));
        }
        if self.allows(Path::SharedPinned) {
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
        if share_a_process && self.allows(Path::SameProcess) {
            return found(Path::SameProcess, "both ranks are in one process");
        }
        let state = self.state();
        let is_left_out = !self.allows(Path::SharedPinned) && !self.allows_ipc();
        let why_no_other = match state.links.get(&(End::Sender, peer)) {
            _ if share_a_process || is_left_out => None,
            Some(Link::Refused(reason)) => Some(reason.as_str()),
            Some(Link::Pending(..)) | None => return Ok(None),
            Some(Link::Shared(shared)) => match self.chosen_of(shared) {
                Ok(chosen) => return Ok(chosen),
                Err(reason) => Some(reason),
            },
        };
        match (state.told.get(&peer), why_no_other) {
            (Some((Path::CudaAware, _)), Some(why_no_other)) => {
                found(Path::CudaAware, &format!("{why_no_other}; {why_aware}"))
            }
            (Some((Path::CudaAware, _)), None) => found(Path::CudaAware, why_aware),
            (Some((_, Some(why_not_aware))), why_no_other) => {
                let reason = format!("{}; {why_not_aware}", why_no_other.unwrap_or(OTHERS_LEFT_OUT));
                found(self.staged(&reason)?, &reason)
            }
            // It may still turn out that MPI takes them.
            (None, None) if self.allows(Path::CudaAware) => Ok(None),
            (_, why_no_other) => {
                let reason = why_no_other.unwrap_or(OTHERS_LEFT_OUT);
                found(self.staged(reason)?, reason)
            }
        }
    }

    /// The path between GPUs of two ranks that share memory, if it is known, or why it is not there.
    fn chosen_of<'a>(&self, shared: &'a Shared) -> Result<Option<ChosenPath>, &'a str> {
        let why_no_ipc = match &shared.ipc {
            _ if !self.allows_ipc() => None,
            None => return Ok(None),
            Some(Ok(path)) => {
                let reason = match path {
                    Path::SameGpuIpc => "both ranks use one GPU of a node",
                    _ => "one rank's GPU reaches the other's",
                };
                let why_no_events = match &shared.events {
                    Ok(()) => String::new(),
                    Err(reason) => format!("; hosts wait for copies, without events: {reason}"),
                };
                return Ok(Some(ChosenPath::new(*path, format!("{reason}{why_no_events}"))));
            }
            Some(Err(reason)) => Some(reason.as_str()),
        };
        match &shared.pinned {
            Some(Ok(())) if self.allows(Path::SharedPinned) => {
                let why_no_ipc =
                    why_no_ipc.map_or(String::new(), |reason| format!("; no CUDA IPC: {reason}"));
                let reason = format!("both ranks are on one node{why_no_ipc}");
                Ok(Some(ChosenPath::new(Path::SharedPinned, reason)))
            }
            Some(Err(reason)) => Err(reason),
            _ => Err(why_no_ipc.unwrap_or(LEFT_OUT)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_that_lacks_earlier_memory_keeps_the_later() {
        let (leader, member) = (Links::new(&Config::default()), Links::new(&Config::default()));
        let mut numbers = [0; 2];
        for number in &mut numbers {
            let (address, invited) = leader.invitation().unwrap();
            member.invited_by(0, address, invited);
            assert_eq!(member.shared_with(0).map(|(number, _)| number), Some(invited));
            *number = invited;
        }
        let [earlier, later] = numbers;
        member.take_back(0, earlier);
        assert_eq!(member.shared_with(0).map(|(number, _)| number), Some(later));
        assert!(leader.given_by(1, later).is_ok() && leader.has_from(1, later));
        member.take_back(0, later);
        assert!(member.shared_with(0).is_none());
    }

    #[test]
    fn pairs_are_apart_only_together() {
        let links = Links::new(&Config::default());
        links.part(3, 5);
        assert!(links.are_apart(&[5, 4, 3]));
        assert!(!links.are_apart(&[0, 3, 4]) && !links.are_apart(&[5]));
    }
}
