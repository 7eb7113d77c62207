//! Messages: the operations that messages.py has under the same names.

use warpcomm::{Error, ErrorKind, PROC_NULL, Source, Status, Tag, wait_all};

use crate::buffers::{Bytes, Held, Value};
use crate::rank::{Outcome, Run};

const READY: Tag = Tag(999);

/// Runs a case, if it is of one of these operations.
pub fn run(run: &Run<'_>) -> Result<bool, Box<dyn std::error::Error>> {
    let is_known = [
        "message",
        "truncated",
        "wildcards",
        "posted_order",
        "shift",
        "cancelled",
        "dropped",
        "crossing",
    ];
    if !is_known.contains(&run.case.op.as_str()) {
        return Ok(false);
    }
    with_type!(run.dtype(), T => match run.case.op.as_str() {
        "message" => message::<T>(run),
        "truncated" => truncated::<T>(run),
        "wildcards" => wildcards::<T>(run),
        "posted_order" => posted_order::<T>(run),
        "shift" => shift::<T>(run),
        "cancelled" => cancelled::<T>(run),
        "dropped" => dropped::<T>(run),
        _ => crossing::<T>(run),
    })?;
    Ok(true)
}

/// What a status says, in the words of messages.py.
fn told(status: &Status) -> String {
    let bytes = status.count() * status.dtype().size() as u64;
    match (status.source(), status.tag()) {
        (PROC_NULL, _) => format!("nobody, {bytes} bytes"),
        (source, Tag(tag)) => format!("rank {source}, tag {tag}, {bytes} bytes"),
    }
}

impl Run<'_> {
    fn keep<T: Value>(&self, status: &Status, bytes: &[u8]) {
        self.record.text("status", told(status));
        self.record.elements("received", T::DTYPE, bytes);
    }

    fn tag(&self) -> Tag {
        Tag(self.case.tag.unwrap_or(7))
    }

    fn count_of_messages(&self) -> usize {
        self.case.messages.unwrap_or(2)
    }

    /// Whether the receives must wait before something is sent.
    fn is_ready(&self) -> bool {
        self.case.send.trim_start_matches('i').starts_with("rsend")
    }

    fn say_ready(&self) -> Result<(), Error> {
        self.comm.send(&[0u8], self.case.from, READY)
    }

    fn wait_until_ready(&self) -> Result<(), Error> {
        self.comm.recv(&mut [0u8], self.case.to, READY).map(drop)
    }
}

/// Sends the messages of a case to the rank that receives them.
fn send_all<T: Value>(run: &Run<'_>) -> Outcome {
    let Run { comm, case, .. } = run;
    let (dest, tag) = (case.to, run.tag());
    if run.is_ready() {
        run.wait_until_ready()?;
    }
    if case.send.ends_with("_init") {
        let buffer = run.buffers.full::<T>(case.count, 0);
        return owned!(buffer, buffer => {
            let mut persistent = match case.send.as_str() {
                "send_init" => comm.send_init(buffer, dest, tag),
                "ssend_init" => comm.ssend_init(buffer, dest, tag),
                _ => comm.rsend_init(buffer, dest, tag),
            };
            for _ in 0..run.count_of_messages() {
                persistent.start()?;
                persistent.wait()?;
            }
            Ok(())
        });
    }
    for number in 0..run.count_of_messages() {
        let buffer = run.buffers.full::<T>(case.count, number as u64);
        match case.send.as_str() {
            "send" => comm.send(buffer.shared(), dest, tag)?,
            "ssend" => comm.ssend(buffer.shared(), dest, tag)?,
            "rsend" => comm.rsend(buffer.shared(), dest, tag)?,
            "bsend" => comm.bsend(buffer.shared(), dest, tag)?,
            mode => owned!(buffer, buffer => {
                let request = match mode {
                    "isend" => comm.isend(buffer, dest, tag),
                    "issend" => comm.issend(buffer, dest, tag),
                    "irsend" => comm.irsend(buffer, dest, tag),
                    _ => comm.ibsend(buffer, dest, tag),
                };
                request.wait()?;
            }),
        }
    }
    Ok(())
}

fn receive_all<T: Value>(run: &Run<'_>) -> Outcome {
    let Run { comm, case, .. } = run;
    let room = case.room.unwrap_or(case.count);
    let source = if case.any_source {
        Source::Any
    } else {
        Source::Rank(case.from)
    };
    let tag = if case.any_tag { Tag::ANY } else { run.tag() };
    if case.recv == "recv_init" {
        return owned!(run.buffers.untouched::<T>(room), buffer => {
            let mut persistent = comm.recv_init(buffer, source, tag);
            for number in 0..run.count_of_messages() {
                persistent.start()?;
                if run.is_ready() && number == 0 {
                    run.say_ready()?;
                }
                let status = persistent.wait()?;
                run.keep::<T>(&status, &persistent.buffer()?.bytes());
            }
            Ok(())
        });
    }
    if run.is_ready() {
        let mut buffers: Vec<Held<T>> = (0..run.count_of_messages())
            .map(|_| run.buffers.untouched(room))
            .collect();
        let statuses = comm.scope(|s| {
            let started = buffers
                .iter_mut()
                .map(|buffer| s.irecv(buffer.exclusive(), source, tag));
            let started: Vec<_> = started.collect::<Result<_, _>>()?;
            run.say_ready()?;
            wait_all(&started)
        })?;
        for (status, buffer) in statuses.iter().zip(&buffers) {
            run.keep::<T>(status, &buffer.bytes());
        }
        return Ok(());
    }
    for _ in 0..run.count_of_messages() {
        let mut buffer = run.buffers.untouched::<T>(room);
        let probed = |status: &Status| run.record.text("probed", told(status));
        let (status, bytes) = match case.recv.as_str() {
            "recv" => (comm.recv(buffer.exclusive(), source, tag)?, buffer.bytes()),
            "irecv" => owned!(buffer, buffer => {
                let (buffer, status) = comm.irecv(buffer, source, tag).wait()?;
                (status, buffer.bytes())
            }),
            "irecv_test" => owned!(buffer, buffer => {
                let mut request = comm.irecv(buffer, source, tag);
                loop {
                    match request.test()? {
                        warpcomm::Tested::Done(buffer, status) => break (status, buffer.bytes()),
                        warpcomm::Tested::Pending(pending) => request = pending,
                    }
                }
            }),
            "probe" | "iprobe" => {
                let status = match case.recv.as_str() {
                    "probe" => comm.probe(source, tag)?,
                    _ => until(|| comm.iprobe(source, tag))?,
                };
                probed(&status);
                let status = comm.recv(buffer.exclusive(), status.source(), status.tag())?;
                (status, buffer.bytes())
            }
            "mprobe_irecv" => owned!(buffer, buffer => {
                let message = comm.mprobe(source, tag)?;
                probed(&message.status());
                let (buffer, status) = message.irecv(buffer).wait()?;
                (status, buffer.bytes())
            }),
            mode => {
                let message = match mode {
                    "mprobe" => comm.mprobe(source, tag)?,
                    _ => until(|| comm.improbe(source, tag))?,
                };
                probed(&message.status());
                (message.recv(buffer.exclusive())?, buffer.bytes())
            }
        };
        run.keep::<T>(&status, &bytes);
    }
    Ok(())
}

/// Asks again until there is something.
fn until<T>(mut ask: impl FnMut() -> Result<Option<T>, Error>) -> Result<T, Error> {
    loop {
        if let Some(found) = ask()? {
            return Ok(found);
        }
    }
}

/// One rank sends to another, in some mode; the other receives, in some way.
fn message<T: Value>(run: &Run<'_>) -> Outcome {
    if run.rank() == run.case.from {
        send_all::<T>(run)?;
    }
    if run.rank() == run.case.to {
        receive_all::<T>(run)?;
    }
    Ok(())
}

/// A message that does not fit, and one that does.
fn truncated<T: Value>(run: &Run<'_>) -> Outcome {
    let Run { comm, case, .. } = run;
    let room = case.room.unwrap_or(case.count);
    if run.rank() == case.from {
        comm.send(run.buffers.full::<T>(case.count, 0).shared(), case.to, Tag(1))?;
        comm.send(run.buffers.full::<T>(room, 1).shared(), case.to, Tag(1))?;
    }
    if run.rank() == case.to {
        let mut buffer = run.buffers.untouched::<T>(room);
        let before = buffer.bytes();
        match comm.recv(buffer.exclusive(), case.from, Tag(1)) {
            Ok(_) => run.record.text("first", "it was received"),
            Err(error) if error.kind() == ErrorKind::Truncated => run.record.text("first", "truncated"),
            Err(error) => run.record.text("first", error.to_string()),
        }
        if buffer.bytes() != before {
            return Err("a message that did not fit was written".into());
        }
        let status = comm.recv(buffer.exclusive(), case.from, Tag(1))?;
        run.keep::<T>(&status, &buffer.bytes());
    }
    Ok(())
}

/// Every rank sends three messages of different lengths to one, which takes them from anybody.
fn wildcards<T: Value>(run: &Run<'_>) -> Outcome {
    let Run { comm, case, .. } = run;
    if run.rank() != case.to {
        for (number, tag) in [5, 6, 5].into_iter().enumerate() {
            let buffer = run.buffers.full::<T>(case.count + number, number as u64);
            comm.send(buffer.shared(), case.to, Tag(tag))?;
        }
        return Ok(());
    }
    let mut received = Vec::new();
    for _ in 0..3 * (comm.size() - 1) {
        let mut buffer = run.buffers.untouched::<T>(case.count + 2);
        let status = match case.recv.as_str() {
            "recv" => comm.recv(buffer.exclusive(), Source::Any, Tag::ANY)?,
            _ => comm.mprobe(Source::Any, Tag::ANY)?.recv(buffer.exclusive())?,
        };
        received.push((status, buffer.bytes()));
    }
    // Which rank was faster is nobody's promise.
    received.sort_by_key(|(status, _)| status.source());
    for (status, bytes) in &received {
        run.keep::<T>(status, bytes);
    }
    Ok(())
}

/// Receives that wait take messages in the order in which they were posted.
fn posted_order<T: Value>(run: &Run<'_>) -> Outcome {
    let Run { comm, case, .. } = run;
    let (tags, wanted) = (
        case.tags.as_ref().ok_or("no tags")?,
        case.wanted.as_ref().ok_or("no tags")?,
    );
    if run.rank() == case.to {
        let mut buffers: Vec<Held<T>> = tags.iter().map(|_| run.buffers.untouched(case.count)).collect();
        let source = if case.any_source {
            Source::Any
        } else {
            Source::Rank(case.from)
        };
        let statuses = comm.scope(|s| {
            let tags = wanted.iter().map(|tag| tag.map_or(Tag::ANY, Tag));
            let started = buffers.iter_mut().zip(tags);
            let started = started.map(|(buffer, tag)| s.irecv(buffer.exclusive(), source, tag));
            let started: Vec<_> = started.collect::<Result<_, _>>()?;
            run.say_ready()?;
            wait_all(&started)
        })?;
        for (status, buffer) in statuses.iter().zip(&buffers) {
            run.keep::<T>(status, &buffer.bytes());
        }
    }
    if run.rank() == case.from {
        run.wait_until_ready()?;
        for (number, tag) in tags.iter().enumerate() {
            let buffer = run.buffers.full::<T>(case.count, number as u64);
            comm.send(buffer.shared(), case.to, Tag(*tag))?;
        }
    }
    Ok(())
}

/// Every rank sends to the right and receives from the left, around the ring or up to its ends.
fn shift<T: Value>(run: &Run<'_>) -> Outcome {
    let Run { comm, case, .. } = run;
    let (rank, size, tag) = (comm.rank(), comm.size(), Tag(3));
    let (mut right, mut left) = ((rank + 1) % size, (rank + size - 1) % size);
    if case.periodic == Some(false) {
        right = if rank + 1 == size { PROC_NULL } else { right };
        left = if rank == 0 { PROC_NULL } else { left };
    }
    let mut send = run.buffers.full::<T>(case.count, 0);
    let mut receive = run.buffers.untouched::<T>(case.count);
    let status = match case.send.as_str() {
        "sendrecv" => comm.sendrecv(send.shared(), right, tag, receive.exclusive(), left, tag)?,
        "sendrecv_replace" => {
            let status = comm.sendrecv_replace(send.exclusive(), right, tag, left, tag)?;
            receive = send;
            status
        }
        _ => comm.scope(|s| {
            let receiving = s.irecv(receive.exclusive(), left, tag)?;
            s.isend(send.shared(), right, tag)?.wait()?;
            receiving.wait().map(|(_, status)| status)
        })?,
    };
    run.keep::<T>(&status, &receive.bytes());
    Ok(())
}

/// A receive that nothing comes for is cancelled; what comes later is received by the next.
fn cancelled<T: Value>(run: &Run<'_>) -> Outcome {
    let Run { comm, case, .. } = run;
    if run.rank() == case.to {
        let status = owned!(run.buffers.untouched::<T>(case.count), buffer => {
            let request = comm.irecv(buffer, case.from, Tag(4));
            request.cancel()?;
            request.wait()?.1
        });
        let outcome = if status.is_cancelled() {
            "cancelled"
        } else {
            "not cancelled"
        };
        run.record.text("first", outcome);
        run.say_ready()?;
        let mut buffer = run.buffers.untouched::<T>(case.count);
        comm.recv(buffer.exclusive(), case.from, Tag(4))?;
        run.record.elements("received", T::DTYPE, &buffer.bytes());
    }
    if run.rank() == case.from {
        run.wait_until_ready()?;
        comm.send(run.buffers.full::<T>(case.count, 0).shared(), case.to, Tag(4))?;
    }
    Ok(())
}

/// Messages that were taken and not received are received in their order.
fn dropped<T: Value>(run: &Run<'_>) -> Outcome {
    let Run { comm, case, .. } = run;
    if run.rank() == case.from {
        for number in 0..4 {
            comm.send(
                run.buffers.full::<T>(case.count, number).shared(),
                case.to,
                Tag(4),
            )?;
        }
    }
    if run.rank() == case.to {
        let mut taken: Vec<_> = (0..3)
            .map(|_| comm.mprobe(case.from, Tag(4)))
            .collect::<Result<_, _>>()?;
        drop(taken.remove(1));
        drop(taken);
        for _ in 0..4 {
            let mut buffer = run.buffers.untouched::<T>(case.count);
            let status = comm.recv(buffer.exclusive(), Source::Any, Tag::ANY)?;
            run.keep::<T>(&status, &buffer.bytes());
        }
    }
    Ok(())
}

/// Every rank exchanges messages with all, itself among them, all at once.
fn crossing<T: Value>(run: &Run<'_>) -> Outcome {
    let Run { comm, case, .. } = run;
    let send: Vec<Held<T>> = (0..comm.size())
        .map(|rank| run.buffers.full(case.count, rank as u64))
        .collect();
    let mut receive: Vec<Held<T>> = send.iter().map(|_| run.buffers.untouched(case.count)).collect();
    comm.scope(|s| {
        for (rank, buffer) in receive.iter_mut().enumerate() {
            s.irecv(buffer.exclusive(), rank, Tag(8))?;
        }
        for (rank, buffer) in send.iter().enumerate() {
            s.isend(buffer.shared(), rank, Tag(8))?;
        }
        Ok(())
    })?;
    for buffer in &receive {
        run.record.elements("received", T::DTYPE, &buffer.bytes());
    }
    Ok(())
}
