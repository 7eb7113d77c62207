//! What the point-to-point tests of the MPICH test suite are about, in cases of our own that have their names.

use warpcomm::{Error, ErrorKind, Source, Tag};

use super::common::{LARGE_BYTES, others, still_works, told};
use crate::harness::{Outcome, expect_error};
use crate::oracle::{assert_same, untouched, vector};
use crate::placed::{Communicator, wait_all};

cases! {
    sendself: 1..=2;
    mprobe: 2..=2;
    probe_unexp: 2..=3;
    huge_underflow: 2..=2;
    recv_any: 2..=5;
    rqstatus: 2..=2;
    pt2pt_large: 2..=2;
    cancel: 2..=2;
}

/// Every kind of send to this rank itself, with the receive before it and after it.
fn sendself(comm: &Communicator) -> Outcome {
    let own = comm.rank();
    for length in [0, 1, 1000, LARGE_BYTES] {
        let contents: Vec<u32> = vector(6, own, length);
        let mut received = vec![0u32; length];
        let check = |received: &mut Vec<u32>, how: &str| {
            assert_same(received, &contents, || format!("{how}, {length} elements"));
            received.fill(0);
        };
        for (how, receive) in
            ["send", "ssend", "rsend", "bsend"].map(|how| (how, comm.irecv(vec![0u32; length], own, Tag(0))))
        {
            match how {
                "send" => comm.send(&contents, own, Tag(0))?,
                "ssend" => comm.ssend(&contents, own, Tag(0))?,
                "rsend" => comm.rsend(&contents, own, Tag(0))?,
                _ => comm.bsend(&contents, own, Tag(0))?,
            }
            check(&mut receive.wait()?.0, how);
        }
        let sends = [
            ("isend", comm.isend(contents.clone(), own, Tag(0))),
            ("issend", comm.issend(contents.clone(), own, Tag(1))),
            ("ibsend", comm.ibsend(contents.clone(), own, Tag(2))),
        ];
        for (number, (how, send)) in sends.into_iter().enumerate().rev() {
            comm.recv(&mut received, Source::Any, Tag(number as i32))?;
            check(&mut received, how);
            send.wait()?;
        }
        comm.sendrecv(&contents, own, Tag(0), &mut received, own, Tag(0))?;
        check(&mut received, "sendrecv");
        let mut both = contents.clone();
        comm.sendrecv_replace(&mut both, own, Tag(0), own, Tag(0))?;
        check(&mut both, "sendrecv_replace");
    }
    still_works(comm)
}

/// A matched message is received by `recv` and by `irecv`, found by probes that wait and by those that do not.
fn mprobe(comm: &Communicator) -> Outcome {
    for (waits, starts) in [(true, false), (true, true), (false, false), (false, true)] {
        if comm.rank() == 0 {
            comm.ssend(&[0xDEADu32, 0xBEEF], 1, Tag(5))?;
            continue;
        }
        let message = match waits {
            true => comm.mprobe(Source::Any, Tag::ANY)?,
            false => loop {
                if let Some(message) = comm.improbe(0, Tag(5))? {
                    break message;
                }
            },
        };
        let status = message.status();
        assert_eq!((status.source(), status.tag()), (0, Tag(5)));
        assert_eq!((status.count(), status.dtype()), told::<u32>(2));
        let mut received = vec![0u32; 2];
        let end = match starts {
            false => message.recv(&mut received)?,
            true => {
                let (buffer, end) = message.irecv(received).wait()?;
                received = buffer;
                end
            }
        };
        assert_eq!((end.source(), end.tag(), end.count()), (0, Tag(5), 2));
        assert_eq!(received, [0xDEAD, 0xBEEF]);
    }
    Ok(())
}

/// Probes of messages that nobody expects, of every size around where their way changes.
fn probe_unexp(comm: &Communicator) -> Outcome {
    for power in (0..18).step_by(2) {
        for length in [(1usize << power) - 1, 1 << power, (1 << power) + 1] {
            if comm.rank() == 0 {
                for receiver in others(comm) {
                    comm.bsend(&vec![power as u8; length], receiver, Tag(power))?;
                    comm.bsend(&vec![!power as u8; length], receiver, Tag(power))?;
                }
                continue;
            }
            for byte in [power as u8, !power as u8] {
                let status = comm.probe(Source::Any, Tag(power))?;
                assert_eq!((status.source(), status.count()), (0, length as u64));
                let mut received = vec![0u8; length];
                assert_eq!(comm.recv(&mut received, status.source(), status.tag())?, status);
                assert_eq!(received, vec![byte; length]);
            }
        }
    }
    Ok(())
}

/// One element for a receive of a million; what is behind it stays as it is.
fn huge_underflow(comm: &Communicator) -> Outcome {
    const ROOM: usize = 1_000_000;
    if comm.rank() == 0 {
        comm.send(&[5u8], 1, Tag(0))?;
        comm.ssend(&[6u8], 1, Tag(0))?;
        return Ok(());
    }
    let mut received = vec![7u8; ROOM];
    for value in [5, 6] {
        let status = comm.recv(&mut received, 0, Tag(0))?;
        assert_eq!((status.count(), received[0]), (1, value));
        assert!(received[1..].iter().all(|byte| *byte == 7));
    }
    Ok(())
}

/// Receives that take what comes from anybody are posted before there is anything.
fn recv_any(comm: &Communicator) -> Outcome {
    const EACH: usize = 10;
    if comm.rank() > 0 {
        comm.barrier()?;
        for number in 0..EACH {
            let length = if number % 2 == 0 { 1 } else { 2000 };
            comm.send(&vec![number as u32; length], 0, Tag(comm.rank() as i32))?;
        }
        return Ok(());
    }
    let receives: Vec<_> = (0..EACH * (comm.size() - 1))
        .map(|_| comm.irecv(vec![0u32; 2000], Source::Any, Tag::ANY))
        .collect();
    comm.barrier()?;
    let mut next = vec![0u32; comm.size()];
    for receive in receives {
        let (received, status) = receive.wait()?;
        assert_eq!(status.tag(), Tag(status.source() as i32));
        // Those of one sender match in its order.
        assert_eq!(received[0], next[status.source()]);
        next[status.source()] += 1;
    }
    assert!(next[1..].iter().all(|count| *count == EACH as u32));
    Ok(())
}

/// The status of a request that nobody has waited for yet, again and again.
fn rqstatus(comm: &Communicator) -> Outcome {
    let peer = 1 - comm.rank();
    for length in [3, 3000] {
        let receive = comm.irecv(untouched::<i64>(length + 2), peer, Tag(2));
        let send = comm.isend(vector::<i64>(1, comm.rank(), length), peer, Tag(2));
        let first = wait_all(&[&receive])?;
        let again = wait_all(&[&receive])?;
        assert_eq!(first, again);
        assert_eq!(
            (first[0].source(), first[0].tag(), first[0].count()),
            (peer, Tag(2), length as u64)
        );
        let (received, status) = receive.wait()?;
        assert_eq!(
            (status, &received[..length]),
            (first[0], &vector::<i64>(1, peer, length)[..])
        );
        send.wait()?;
    }
    Ok(())
}

/// Messages of some megabytes, of several types, by every kind of send.
fn pt2pt_large(comm: &Communicator) -> Outcome {
    const LENGTH: usize = (4 << 20) / 8 + 3;
    let peer = 1 - comm.rank();
    let own: Vec<f64> = vector(9, comm.rank(), LENGTH);
    let theirs: Vec<f64> = vector(9, peer, LENGTH);
    let mut received = vec![0f64; LENGTH];
    let check = |received: &mut Vec<f64>, how: &str| {
        assert_same(received, &theirs, || how.to_owned());
        received.fill(0.0);
    };
    comm.bsend(&own, peer, Tag(0))?;
    comm.recv(&mut received, peer, Tag(0))?;
    check(&mut received, "bsend");
    let send = comm.issend(own.clone(), peer, Tag(1));
    comm.mprobe(peer, Tag(1))?.recv(&mut received)?;
    check(&mut received, "issend");
    send.wait()?;
    let mut both = own.clone();
    comm.sendrecv_replace(&mut both, peer, Tag(2), peer, Tag(2))?;
    check(&mut both, "sendrecv_replace");
    Ok(())
}

/// A receive is cancelled, another one is too late for it, and a send cannot be.
fn cancel(comm: &Communicator) -> Outcome {
    if comm.rank() == 0 {
        comm.barrier()?;
        let send = comm.isend(vec![1u8; 3], 1, Tag(0));
        let refused: Result<(), Error> = send.cancel();
        expect_error(refused, ErrorKind::Unsupported);
        send.wait()?;
        comm.barrier()?;
        return Ok(());
    }
    let cancelled = comm.irecv(vec![7u8; 3], 0, Tag(0));
    cancelled.cancel()?;
    let (buffer, status) = cancelled.wait()?;
    assert_eq!((buffer, status.is_cancelled()), (vec![7; 3], true));
    let late = comm.irecv(vec![7u8; 3], 0, Tag(0));
    comm.barrier()?;
    comm.barrier()?;
    while !late.is_done() {}
    late.cancel()?;
    let (buffer, status) = late.wait()?;
    assert_eq!((buffer, status.is_cancelled()), (vec![1; 3], false));
    Ok(())
}
