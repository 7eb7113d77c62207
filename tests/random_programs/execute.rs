//! Runs a program on a rank.

use std::future::{Future, IntoFuture};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread;

use warpcomm::{Group, Result, Source, Status, Tag, Tested, Wire};

use super::collective::{Collective, Startable, Waiting};
use super::model::status;
use super::program::{Action, Form, Found, Means, Message, Mode, Named, Parts, Program, Step, Way};
use super::{Place, Seen};
use crate::oracle::{Value, bytes, mixed, untouched, vector};
use crate::placed::{
    AnyRequest, Communicator, Persistent, Request, ScopeHandle, like, test_all, wait_all, wait_any, wait_some,
};

/// A request that is waited for in a later step.
struct Pending {
    due: usize,
    /// Where the buffer of a receive goes.
    place: Option<Place>,
    request: Box<dyn Sent>,
}

/// A message under way, of any element type.
trait Sent: Waiting {
    fn any(&self) -> &dyn AnyRequest;
}

/// A request for a message of so many elements.
struct Transmission<T: Value>(Request<Vec<T>>, usize);

impl<T: Value> Waiting for Transmission<T> {
    fn wait(self: Box<Self>) -> Result<(Vec<u8>, Status)> {
        let (buffer, status) = match self.0.test()? {
            Tested::Done(buffer, status) => (buffer, status),
            // Short ones are awaited.
            Tested::Pending(request) if self.1 < 30 => {
                let mut future = pin!(request.into_future());
                loop {
                    if let Poll::Ready(outcome) =
                        future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
                    {
                        break outcome?;
                    }
                    thread::yield_now();
                }
            }
            Tested::Pending(request) => request.wait()?,
        };
        Ok((bytes(&buffer).to_vec(), status))
    }
}

impl<T: Value> Sent for Transmission<T> {
    fn any(&self) -> &dyn AnyRequest {
        &self.0
    }
}

/// A message that was prepared, and is under way.
struct Prepared<T: Value>(Persistent<Vec<T>>);

impl<T: Value> Prepared<T> {
    fn started(mut request: Persistent<Vec<T>>) -> Result<Prepared<T>> {
        request.start()?;
        Ok(Prepared(request))
    }
}

impl<T: Value> Waiting for Prepared<T> {
    fn wait(mut self: Box<Self>) -> Result<(Vec<u8>, Status)> {
        let status = self.0.wait()?;
        Ok((bytes(&self.0.into_buffer()?).to_vec(), status))
    }
}

impl<T: Value> Sent for Prepared<T> {
    fn any(&self) -> &dyn AnyRequest {
        &self.0
    }
}

/// A collective that is waited for in a later step.
struct Collecting {
    due: usize,
    number: usize,
    request: Started,
}

enum Started {
    Request(Box<dyn Waiting>),
    /// The step at which this rank starts it, if it has not.
    Persistent(Option<usize>, Box<dyn Startable>),
}

/// One rank in the middle of a program.
struct Rank<'a> {
    program: &'a Program,
    /// The communicators that this rank has, by number.
    communicators: Vec<Option<Communicator>>,
    pending: Vec<Pending>,
    collecting: Vec<Collecting>,
    seen: Seen,
}

/// Runs `program` on a rank of `world`.
pub fn execute(program: &Program, world: &Communicator) -> Result<Seen> {
    let mut communicators = vec![None; program.communicators.len()];
    communicators[0] = Some(world.clone());
    let mut rank = Rank {
        program,
        communicators,
        pending: Vec::new(),
        collecting: Vec::new(),
        seen: Seen::new(),
    };
    for (number, step) in program.steps.iter().enumerate() {
        rank.wait_for(number)?;
        rank.step(number, step)?;
    }
    rank.wait_for(program.steps.len())?;
    Ok(rank.seen)
}

impl Rank<'_> {
    /// Waits for the requests that are due, in an order of this rank's own.
    fn wait_for(&mut self, step: usize) -> Result<()> {
        let (mut due, later): (Vec<_>, Vec<_>) =
            self.pending.drain(..).partition(|pending| pending.due <= step);
        self.pending = later;
        let all: Vec<&dyn AnyRequest> = due.iter().map(|pending| pending.request.any()).collect();
        match mixed((step + 7 * self.seen.len()) as u64) % 5 {
            0 => drop(wait_all(&all)?),
            1 => drop(wait_any(&all)?),
            2 => drop(wait_some(&all)?),
            3 => drop(until(|| test_all(&all))?),
            _ => {}
        }
        due.sort_by_key(|pending| {
            mixed(
                pending
                    .place
                    .map_or(7, |(step, index)| (31 * step + index) as u64),
            )
        });
        for Pending { place, request, .. } in due {
            let (buffer, status) = request.wait()?;
            if let Some(place) = place {
                self.seen.insert(place, (told(&status), buffer));
            }
        }
        self.wait_for_collectives(step)
    }

    /// Starts the persistent collectives that this rank starts now, and waits for all that are due.
    fn wait_for_collectives(&mut self, step: usize) -> Result<()> {
        for collecting in &mut self.collecting {
            if let Started::Persistent(at, request) = &mut collecting.request
                && at.is_some_and(|at| at <= step)
            {
                *at = None;
                request.start()?;
            }
        }
        let (mut due, later): (Vec<_>, Vec<_>) = self
            .collecting
            .drain(..)
            .partition(|collecting| collecting.due <= step);
        self.collecting = later;
        due.sort_by_key(|collecting| mixed(collecting.number as u64));
        for Collecting { number, request, .. } in due {
            let (after, _) = match request {
                Started::Request(request) => request.wait()?,
                Started::Persistent(_, request) => request.wait()?,
            };
            self.seen.insert((number, 0), ("after".to_owned(), after));
        }
        Ok(())
    }

    fn collective(
        &mut self,
        number: usize,
        salt: u64,
        comm: &Communicator,
        form: Form,
        collective: &Collective,
    ) -> Result<()> {
        let plain: &warpcomm::Communicator = comm;
        let random = mixed((number * 31 + comm.rank()) as u64) as usize;
        let after = with_element!(collective.dtype, T => match form {
            Form::Persistent(due) => {
                let request = collective.prepare::<T>(plain, salt);
                let request = Started::Persistent(Some(number + random % (due - number)), request);
                self.collecting.push(Collecting { due, number, request });
                return self.wait_for_collectives(number);
            }
            // One rank in four calls the blocking one, which MPI does not match with others.
            Form::Request(due) if self.program.wire == Wire::Plain || !random.is_multiple_of(4) => {
                let request = Started::Request(collective.start::<T>(plain, salt));
                self.collecting.push(Collecting { due, number, request });
                return Ok(());
            }
            Form::Scope => collective.run_in_scope::<T>(plain, salt, || plain.barrier())?,
            _ => collective.run::<T>(comm, salt)?,
        });
        self.seen.insert((number, 0), ("after".to_owned(), after));
        Ok(())
    }

    fn step(&mut self, number: usize, step: &Step) -> Result<()> {
        let Some(comm) = self.communicators[step.on].clone() else {
            return Ok(());
        };
        match &step.action {
            Action::Barrier => comm.barrier()?,
            Action::Duplicate(made) => {
                let twin = comm.duplicate()?;
                self.seen.insert(
                    (number, 0),
                    (format!("rank {} of {}", twin.rank(), twin.size()), Vec::new()),
                );
                self.communicators[*made] = Some(twin);
            }
            Action::Make(first, parts) => {
                let part = make(&comm, parts)?;
                let text = part
                    .as_ref()
                    .map(|part| format!("rank {} of {}", part.rank(), part.size()));
                self.seen.insert(
                    (number, 0),
                    (text.unwrap_or_else(|| "none".to_owned()), Vec::new()),
                );
                if let Some(number) = parts.of(comm.rank()) {
                    self.communicators[first + number] = part;
                }
            }
            #[cfg(feature = "serde")]
            Action::Objects(objects) => {
                let text = objects.run(&comm, step.salt)?;
                self.seen.insert((number, 0), (text, Vec::new()));
            }
            Action::Cancel { tag, dtype, length } => {
                let seen = with_element!(*dtype, T => {
                    let request = comm.irecv(untouched::<T>(*length), Source::Any, Tag(*tag));
                    request.cancel()?;
                    let (buffer, status) = request.wait()?;
                    let text = if status.is_cancelled() { "cancelled" } else { "received" };
                    (text.to_owned(), bytes(&buffer).to_vec())
                });
                self.seen.insert((number, 0), seen);
            }
            Action::Drop => self.communicators[step.on] = None,
            Action::Collective(form, collective) => {
                self.collective(number, step.salt, &comm, *form, collective)?;
            }
            Action::Messages(Way::Blocking, messages) => self.blocking(number, step.salt, &comm, messages)?,
            Action::Messages(Way::Requests(due), messages) => {
                self.start(number, (*due, false), step.salt, &comm, messages)?;
            }
            Action::Messages(Way::Persistent(due), messages) => {
                self.start(number, (*due, true), step.salt, &comm, messages)?;
            }
            Action::Messages(Way::Scope, messages) => self.in_scope(number, step.salt, &comm, messages)?,
            Action::Shift {
                by,
                in_place,
                tag,
                dtype,
                length,
            } => {
                let how = (*by, *in_place);
                let seen = with_element!(*dtype, T => shift::<T>(&comm, step.salt, how, *tag, *length))?;
                self.seen.insert((number, 0), seen);
            }
            Action::Collect {
                root,
                tag,
                dtype,
                length,
            } => with_element!(*dtype, T => {
                self.collect::<T>(number, step.salt, &comm, *root, *tag, *length)
            })?,
        }
        debug_assert!(number < self.program.steps.len());
        Ok(())
    }

    fn blocking(
        &mut self,
        number: usize,
        salt: u64,
        comm: &Communicator,
        messages: &[Message],
    ) -> Result<()> {
        for (index, message) in messages.iter().enumerate() {
            let salt = salt ^ index as u64;
            if message.from == comm.rank() {
                with_element!(message.dtype, T => {
                    send::<T>(comm, salt, message)
                })?;
            } else if message.to == comm.rank() {
                let seen = with_element!(message.dtype, T => receive::<T>(comm, message))?;
                self.seen.insert((number, index), seen);
            }
        }
        Ok(())
    }

    fn start(
        &mut self,
        number: usize,
        (due, is_persistent): (usize, bool),
        salt: u64,
        comm: &Communicator,
        messages: &[Message],
    ) -> Result<()> {
        // Some ranks post their receives first, others their sends.
        let receives_first = any_is_ready(messages) || (comm.rank() + number).is_multiple_of(2);
        for receives in [receives_first, !receives_first] {
            for (index, message) in messages.iter().enumerate() {
                let salt = salt ^ index as u64;
                if receives && message.to == comm.rank() {
                    let request = with_element!(message.dtype, T => {
                        start_to_receive::<T>(comm, message, is_persistent)
                    })?;
                    let place = Some((number, index));
                    self.pending.push(Pending { due, place, request });
                } else if !receives && message.from == comm.rank() {
                    let request = with_element!(message.dtype, T => {
                        start_to_send::<T>(comm, salt, message, is_persistent)
                    })?;
                    let place = None;
                    self.pending.push(Pending { due, place, request });
                }
            }
            if receives && any_is_ready(messages) {
                comm.barrier()?;
            }
        }
        Ok(())
    }

    fn in_scope(
        &mut self,
        number: usize,
        salt: u64,
        comm: &Communicator,
        messages: &[Message],
    ) -> Result<()> {
        let mut outgoing: Vec<Box<dyn Outgoing>> = Vec::new();
        let mut incoming: Vec<(usize, Box<dyn Incoming>)> = Vec::new();
        for (index, message) in messages.iter().enumerate() {
            let salt = salt ^ index as u64;
            if message.from == comm.rank() {
                with_element!(message.dtype, T => {
                    outgoing.push(Box::new((vector::<T>(salt, message.from, message.length), message.clone())));
                });
            }
            if message.to == comm.rank() {
                with_element!(message.dtype, T => {
                    incoming.push((index, Box::new((untouched::<T>(message.length + message.room), message.clone()))));
                });
            }
        }
        let is_ready = any_is_ready(messages);
        comm.scope(|scope| {
            let send = || outgoing.iter().try_for_each(|buffer| buffer.start(&scope));
            if !is_ready {
                send()?;
            }
            for (_, buffer) in &mut incoming {
                buffer.start(&scope)?;
            }
            match is_ready {
                true => comm.barrier().and_then(|()| send()),
                false => Ok(()),
            }
        })?;
        for (index, buffer) in incoming {
            let message = &messages[index];
            let text = status(message.from, message.tag, message.length);
            self.seen.insert((number, index), (text, buffer.bytes()));
        }
        Ok(())
    }

    fn collect<T: Value>(
        &mut self,
        number: usize,
        salt: u64,
        comm: &Communicator,
        root: usize,
        tag: i32,
        length: usize,
    ) -> Result<()> {
        if comm.rank() != root {
            return comm.send(&vector::<T>(salt, comm.rank(), length), root, Tag(tag));
        }
        for _ in 1..comm.size() {
            let mut buffer: Vec<T> = untouched(length);
            let status = comm.recv(&mut buffer, Source::Any, Tag(tag))?;
            self.seen.insert(
                (number, status.source()),
                (told(&status), bytes(&buffer).to_vec()),
            );
        }
        Ok(())
    }
}

/// A buffer of any element type that a scope sends.
trait Outgoing {
    fn start<'scope>(&'scope self, scope: &ScopeHandle<'scope, '_>) -> Result<()>;
}

impl<T: Value> Outgoing for (Vec<T>, Message) {
    fn start<'scope>(&'scope self, scope: &ScopeHandle<'scope, '_>) -> Result<()> {
        let Message { to, tag, mode, .. } = self.1;
        match mode {
            Mode::Synchronous => scope.issend(&self.0, to, Tag(tag)).map(drop),
            Mode::Ready => scope.irsend(&self.0, to, Tag(tag)).map(drop),
            Mode::Standard | Mode::Buffered => scope.isend(&self.0, to, Tag(tag)).map(drop),
        }
    }
}

/// A buffer of any element type that a scope receives into.
trait Incoming {
    fn start<'scope>(&'scope mut self, scope: &ScopeHandle<'scope, '_>) -> Result<()>;
    fn bytes(&self) -> Vec<u8>;
}

impl<T: Value> Incoming for (Vec<T>, Message) {
    fn start<'scope>(&'scope mut self, scope: &ScopeHandle<'scope, '_>) -> Result<()> {
        let (source, tag) = wanted(&self.1);
        scope.irecv(&mut self.0, source, tag).map(drop)
    }

    fn bytes(&self) -> Vec<u8> {
        bytes(&self.0).to_vec()
    }
}

/// What the receive of a message asks for.
fn wanted(message: &Message) -> (Source, Tag) {
    let source = match message.source {
        Named::Yes => Source::Rank(message.from),
        Named::Any => Source::Any,
    };
    (
        source,
        if message.names_tag {
            Tag(message.tag)
        } else {
            Tag::ANY
        },
    )
}

fn told(seen: &Status) -> String {
    status(seen.source(), seen.tag().0, seen.count() as usize)
}

fn receive<T: Value>(comm: &Communicator, message: &Message) -> Result<(String, Vec<u8>)> {
    let mut buffer: Vec<T> = untouched(message.length + message.room);
    let (source, tag) = wanted(message);
    let status = match message.found {
        Found::Receive => comm.recv(&mut buffer, source, tag)?,
        Found::Probe => {
            let found = comm.probe(source, tag)?;
            comm.recv(&mut buffer, found.source(), found.tag())?
        }
        Found::Iprobe => {
            let found = until(|| comm.iprobe(source, tag))?;
            comm.recv(&mut buffer, found.source(), found.tag())?
        }
        Found::Mprobe => comm.mprobe(source, tag)?.recv(&mut buffer)?,
        Found::Improbe => {
            let request = until(|| comm.improbe(source, tag))?.irecv(buffer);
            let (buffer, status) = request.wait()?;
            return Ok((told(&status), bytes(&buffer).to_vec()));
        }
    };
    Ok((told(&status), bytes(&buffer).to_vec()))
}

/// Looks again and again until something is found.
fn until<T>(look: impl Fn() -> Result<Option<T>>) -> Result<T> {
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        thread::yield_now();
    }
}

fn send<T: Value>(comm: &Communicator, salt: u64, message: &Message) -> Result<()> {
    let elements = vector::<T>(salt, message.from, message.length);
    let (to, tag) = (message.to, Tag(message.tag));
    match message.mode {
        Mode::Standard => comm.send(&elements, to, tag),
        Mode::Synchronous => comm.ssend(&elements, to, tag),
        Mode::Buffered => comm.bsend(&elements, to, tag),
        Mode::Ready => comm.rsend(&elements, to, tag),
    }
}

fn start_to_send<T: Value>(
    comm: &Communicator,
    salt: u64,
    message: &Message,
    is_persistent: bool,
) -> Result<Box<dyn Sent>> {
    let elements = vector::<T>(salt, message.from, message.length);
    let (to, tag) = (message.to, Tag(message.tag));
    if is_persistent {
        return Ok(Box::new(Prepared::started(match message.mode {
            Mode::Standard | Mode::Buffered => comm.send_init(elements, to, tag),
            Mode::Synchronous => comm.ssend_init(elements, to, tag),
            Mode::Ready => comm.rsend_init(elements, to, tag),
        })?));
    }
    let request = match message.mode {
        Mode::Standard => comm.isend(elements, to, tag),
        Mode::Synchronous => comm.issend(elements, to, tag),
        Mode::Buffered => comm.ibsend(elements, to, tag),
        Mode::Ready => comm.irsend(elements, to, tag),
    };
    Ok(Box::new(Transmission(request, message.length)))
}

fn start_to_receive<T: Value>(
    comm: &Communicator,
    message: &Message,
    is_persistent: bool,
) -> Result<Box<dyn Sent>> {
    let (source, tag) = wanted(message);
    let buffer = untouched::<T>(message.length + message.room);
    Ok(match is_persistent {
        true => Box::new(Prepared::started(comm.recv_init(buffer, source, tag))?),
        false => Box::new(Transmission(comm.irecv(buffer, source, tag), message.length)),
    })
}

fn any_is_ready(messages: &[Message]) -> bool {
    messages.iter().any(|message| message.mode == Mode::Ready)
}

/// Makes this rank's part.
fn make(comm: &Communicator, parts: &Parts) -> Result<Option<Communicator>> {
    let own = parts.of(comm.rank());
    let (color, key) = parts.wishes[comm.rank()];
    let group = || {
        own.map_or(Ok(Group::empty()), |own| {
            comm.group().include(&parts.members[own])
        })
    };
    match parts.means {
        Means::Split => comm.split(color, key),
        Means::SplitShared => comm.split_shared(key).map(Some),
        Means::Create => comm.create(&group()?),
        Means::CreateGroup => own
            .map(|own| comm.create_group(&group()?, Tag(own as i32)))
            .transpose(),
        Means::Merge => {
            let side = comm.split(color, key)?.expect("every rank has a side");
            let others = |rank: &&usize| parts.wishes[**rank].0 != color;
            let leader = parts.members[0].iter().find(others).expect("another side");
            let between = side.create_intercommunicator(0, comm, *leader, Tag(0))?;
            if side.rank() == 0 {
                let mut other = u64::MAX;
                between.sendrecv(&(comm.rank() as u64), 0, Tag(1), &mut other, 0, Tag(1))?;
                assert_eq!(other, *leader as u64, "across");
            }
            let merged = between.merge(color == Some(1))?;
            Ok(Some(like(comm, merged)))
        }
    }
}

fn shift<T: Value>(
    comm: &Communicator,
    salt: u64,
    (by, in_place): (usize, bool),
    tag: i32,
    length: usize,
) -> Result<(String, Vec<u8>)> {
    let (rank, size) = (comm.rank(), comm.size());
    let mut buffer: Vec<T> = untouched(length);
    let own: Vec<T> = vector(salt, rank, length);
    let (to, from, tag) = ((rank + by) % size, (rank + size - by) % size, Tag(tag));
    let status = match in_place {
        true => {
            buffer.copy_from_slice(&own);
            comm.sendrecv_replace(&mut buffer, to, tag, from, tag)?
        }
        false => comm.sendrecv(&own, to, tag, &mut buffer, from, tag)?,
    };
    Ok((told(&status), bytes(&buffer).to_vec()))
}
