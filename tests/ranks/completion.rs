//! Waiting for and testing several requests, `test`, and `cancel`.

use warpcomm::{Error, ErrorKind, Source, Tag, Tested};

use super::common::{LARGE_BYTES, next, others, previous, still_works};
use crate::harness::{Outcome, expect_error, expect_text};
use crate::oracle::vector;
use crate::placed::{AnyRequest, Communicator, test_all, test_any, test_some, wait_all, wait_any, wait_some};

cases! {
    wait_all_of_different_buffers: 1..=4;
    wait_all_reports_the_first_error: 2..=2;
    wait_any_takes_them_as_they_come: 2..=5;
    wait_some_finds_at_least_one: 2..=5;
    tests_find_nothing_and_then_everything: 2..=3;
    of_nothing: 1..=1;
    test_gives_the_buffer_or_the_request: 2..=2;
    cancel_of_an_unmatched_receive: 1..=3;
    cancel_of_a_matched_receive: 2..=2;
    sends_cannot_be_cancelled: 2..=2;
    cancel_in_a_scope: 2..=2;
}

fn wait_all_of_different_buffers(comm: &Communicator) -> Outcome {
    let rank = comm.rank();
    for length in [0, 3, LARGE_BYTES] {
        let numbers = comm.irecv(vec![0i64; length], previous(comm), Tag(0));
        let bytes = comm.irecv(vec![0u8; length + 1].into_boxed_slice(), previous(comm), Tag(1));
        let sends = [
            comm.isend(vector::<i64>(1, rank, length), next(comm), Tag(0)),
            comm.issend(vector::<i64>(2, rank, length), next(comm), Tag(2)),
        ];
        let shorts = comm.isend(vector::<u8>(3, rank, length), next(comm), Tag(1));
        let third = comm.irecv(vec![0i64; length], previous(comm), Tag(2));
        let statuses =
            wait_all::<&dyn AnyRequest>(&[&numbers, &bytes, &third, &sends[0], &sends[1], &shorts])?;
        let counts: Vec<u64> = statuses.iter().map(|status| status.count()).collect();
        assert_eq!(counts, [length as u64; 6]);
        assert!(numbers.is_done() && bytes.is_done() && third.is_done());
        assert_eq!(numbers.wait()?.0, vector::<i64>(1, previous(comm), length));
        assert_eq!(bytes.wait()?.0[..length], vector::<u8>(3, previous(comm), length));
        assert_eq!(third.wait()?.0, vector::<i64>(2, previous(comm), length));
        for send in sends {
            send.wait()?;
        }
    }
    Ok(())
}

fn wait_all_reports_the_first_error(comm: &Communicator) -> Outcome {
    if comm.rank() == 0 {
        for (number, length) in [2usize, 9, 8].into_iter().enumerate() {
            comm.send(&vec![1u32; length], 1, Tag(number as i32))?;
        }
        return still_works(comm);
    }
    let requests: Vec<_> = (0..3).map(|tag| comm.irecv(vec![0u32; 4], 0, Tag(tag))).collect();
    let error = expect_error(wait_all(&requests), ErrorKind::Truncated);
    expect_text(&error, &["irecv on rank 1 from rank 0", "9", "4"]);
    let outcomes: Vec<_> = requests.into_iter().map(|request| request.wait()).collect();
    assert_eq!(
        outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(),
        [true, false, false]
    );
    for outcome in outcomes {
        let buffer = match outcome {
            Ok((buffer, _)) => Some(buffer),
            Err(error) => error.into_parts().1,
        };
        assert_eq!(buffer.map(|buffer| buffer.len()), Some(4));
    }
    still_works(comm)
}

fn wait_any_takes_them_as_they_come(comm: &Communicator) -> Outcome {
    for length in [1, 3000] {
        if comm.rank() > 0 {
            comm.recv(&mut [0u8], 0, Tag(1))?;
            comm.send(&vec![comm.rank() as u32; length], 0, Tag(0))?;
            continue;
        }
        // The first to send is the last in the list.
        let mut requests: Vec<_> = others(comm)
            .rev()
            .map(|source| comm.irecv(vec![0u32; length], source, Tag(0)))
            .collect();
        for source in others(comm) {
            comm.send(&[0u8], source, Tag(1))?;
            assert_eq!(wait_any(&requests)?, Some(requests.len() - 1));
            let (received, status) = requests.remove(requests.len() - 1).wait()?;
            assert_eq!(status.source(), source);
            assert_eq!(received, vec![source as u32; length]);
        }
        assert_eq!(wait_any(&requests)?, None);
    }
    Ok(())
}

fn wait_some_finds_at_least_one(comm: &Communicator) -> Outcome {
    let peers = || others(comm);
    let sends: Vec<_> = peers()
        .map(|peer| comm.isend(vec![comm.rank() as u64; 700], peer, Tag(0)))
        .collect();
    let mut receives: Vec<_> = peers()
        .map(|peer| comm.irecv(vec![0u64; 700], peer, Tag(0)))
        .collect();
    let mut sum = 0;
    while !receives.is_empty() {
        let over = wait_some(&receives)?;
        assert!(!over.is_empty());
        for index in over.into_iter().rev() {
            sum += receives.remove(index).wait()?.0[699];
        }
    }
    assert_eq!(sum, peers().map(|peer| peer as u64).sum::<u64>());
    wait_all(&sends)?;
    Ok(())
}

fn tests_find_nothing_and_then_everything(comm: &Communicator) -> Outcome {
    for length in [2, 3000] {
        let receives: Vec<_> = (0..3)
            .map(|tag| comm.irecv(vec![0u16; length], previous(comm), Tag(tag)))
            .collect();
        assert_eq!((test_any(&receives), test_some(&receives)), (None, vec![]));
        assert!(test_all(&receives)?.is_none());
        comm.barrier()?;
        let middle = comm.isend(vec![1u16; length], next(comm), Tag(1));
        while test_any(&receives).is_none() {}
        assert_eq!((test_any(&receives), test_some(&receives)), (Some(1), vec![1]));
        assert!(test_all(&receives)?.is_none());
        wait_all(&[middle])?;
        comm.barrier()?;
        let rest = [0, 2].map(|tag| comm.isend(vec![1u16; length], next(comm), Tag(tag)));
        let statuses = loop {
            if let Some(statuses) = test_all(&receives)? {
                break statuses;
            }
        };
        let tags: Vec<Tag> = statuses.iter().map(|status| status.tag()).collect();
        assert_eq!(tags, [Tag(0), Tag(1), Tag(2)]);
        assert_eq!(test_some(&receives), [0, 1, 2]);
        wait_all(&rest)?;
    }
    Ok(())
}

fn of_nothing(_: &Communicator) -> Outcome {
    let nothing: [&dyn AnyRequest; 0] = [];
    assert_eq!(wait_all(&nothing)?, []);
    assert_eq!((wait_any(&nothing)?, wait_some(&nothing)?), (None, vec![]));
    assert_eq!(test_all(&nothing)?, Some(vec![]));
    assert_eq!((test_any(&nothing), test_some(&nothing)), (None, vec![]));
    Ok(())
}

fn test_gives_the_buffer_or_the_request(comm: &Communicator) -> Outcome {
    for length in [1, 5000] {
        let peer = 1 - comm.rank();
        let mut request = match comm.irecv(vec![0u16; length], peer, Tag(0)).test()? {
            Tested::Pending(request) => request,
            Tested::Done(..) => panic!("nothing was sent"),
        };
        comm.barrier()?;
        let outgoing = comm.isend(vec![comm.rank() as u16; length], peer, Tag(0));
        let received = loop {
            request = match request.test()? {
                Tested::Done(received, status) => break (received, status.count()),
                Tested::Pending(request) => request,
            };
        };
        assert_eq!(received, (vec![peer as u16; length], length as u64));
        outgoing.wait()?;
    }
    let outcome = comm.irecv(vec![1u8], 99, Tag(0)).test();
    expect_error(outcome.map_err(Error::from), ErrorKind::InvalidArgument);
    Ok(())
}

fn cancel_of_an_unmatched_receive(comm: &Communicator) -> Outcome {
    for source in [Source::Any, Source::Rank(previous(comm))] {
        let request = comm.irecv(vec![7u32; 2000], source, Tag(0));
        request.cancel()?;
        request.cancel()?;
        let (buffer, status) = request.wait()?;
        assert!(status.is_cancelled());
        assert_eq!((status.count(), buffer), (0, vec![7; 2000]));
        comm.barrier()?;
        // The message goes to a later receive.
        let send = comm.isend(vec![8u32; 2000], next(comm), Tag(0));
        let mut received = vec![0u32; 2000];
        let status = comm.recv(&mut received, source, Tag(0))?;
        assert!(!status.is_cancelled());
        assert_eq!(received, vec![8; 2000]);
        send.wait()?;
    }
    still_works(comm)
}

fn cancel_of_a_matched_receive(comm: &Communicator) -> Outcome {
    for length in [1, 5000] {
        if comm.rank() == 0 {
            comm.ssend(&vec![3u32; length], 1, Tag(0))?;
            comm.barrier()?;
        } else {
            let request = comm.irecv(vec![0u32; length], 0, Tag(0));
            comm.barrier()?;
            request.cancel()?;
            let (received, status) = request.wait()?;
            assert!(!status.is_cancelled());
            assert_eq!((received, status.count()), (vec![3; length], length as u64));
        }
    }
    Ok(())
}

fn sends_cannot_be_cancelled(comm: &Communicator) -> Outcome {
    let peer = 1 - comm.rank();
    let send = comm.isend(vec![1u8; 5000], peer, Tag(0));
    let error = expect_error(send.cancel(), ErrorKind::Unsupported);
    expect_text(&error, &["isend", &format!("to rank {peer}"), "only receives"]);
    let mut received = vec![0u8; 5000];
    comm.recv(&mut received, peer, Tag(0))?;
    send.wait()?;
    assert_eq!(received, vec![1; 5000]);
    Ok(())
}

fn cancel_in_a_scope(comm: &Communicator) -> Outcome {
    let peer = 1 - comm.rank();
    for length in [2usize, 5000] {
        let mut buffer = vec![7u8; length];
        let mut other = vec![7u8; length];
        let own = vec![1u8; length];
        // The library's own scope, whose requests can be cancelled.
        let inner: &warpcomm::Communicator = comm;
        inner.scope(|scope| {
            let cancelled = scope.irecv(&mut buffer, peer, Tag(1))?;
            cancelled.cancel()?;
            assert!(cancelled.wait()?.1.is_cancelled());
            let receiving = scope.irecv(&mut other, peer, Tag(0))?;
            let sending = scope.isend(&own, peer, Tag(0))?;
            expect_error(sending.cancel(), ErrorKind::Unsupported);
            match receiving.test()? {
                Tested::Done(received, _) => assert_eq!(received[0], 1),
                Tested::Pending(receiving) => {
                    receiving.wait()?;
                }
            }
            Ok(())
        })?;
        assert_eq!((buffer, other), (vec![7; length], own));
    }
    still_works(comm)
}
