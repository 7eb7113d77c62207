//! Bad arguments, messages that do not fit their receive, and deadlines: each an `Err`, and no lost message.

use std::time::Duration;

use warpcomm::{ErrorKind, Source, Tag};

use super::common::{EAGER_BYTES, next, others, previous, still_works};
use crate::harness::{Outcome, expect_error, expect_text};
use crate::placed::Communicator;

cases! {
    ranks_out_of_range: 1..=3;
    tags_out_of_range: 1..=3;
    roots_out_of_range_everywhere: 1..=3;
    a_receive_too_short: 2..=2;
    truncation: 2..=2;
    a_receive_of_another_type: 2..=2;
    a_refused_message_among_good_ones: 2..=2;
    a_receive_times_out: 1..=3;
    a_send_times_out: 2..=3;
    a_request_times_out: 2..=2;
    a_collective_times_out: 2..=3;
    what_a_poisoned_collective_left_behind: 2..=3;
    a_timeout_in_time_is_none: 2..=3;
}

/// Short enough for tests to wait for it.
const SHORT: Duration = Duration::from_millis(50);

fn ranks_out_of_range(comm: &Communicator) -> Outcome {
    let (size, tag) = (comm.size(), Tag(0));
    for bad in [size, size + 1, usize::MAX] {
        let name = format!("rank {bad}");
        let refused = [
            ("send", comm.send(&[1u8], bad, tag)),
            ("recv", comm.recv(&mut [1u8], bad, tag).map(drop)),
            ("probe", comm.probe(bad, tag).map(drop)),
            ("iprobe", comm.iprobe(bad, tag).map(drop)),
            (
                "sendrecv",
                comm.sendrecv(&[1u8], bad, tag, &mut [1u8], 0, tag).map(drop),
            ),
            (
                "sendrecv",
                comm.sendrecv(&[1u8], 0, tag, &mut [1u8], bad, tag).map(drop),
            ),
        ];
        for (operation, outcome) in refused {
            expect_text(
                &expect_error(outcome, ErrorKind::InvalidArgument),
                &[operation, &name],
            );
        }
    }
    still_works(comm)
}

fn tags_out_of_range(comm: &Communicator) -> Outcome {
    for bad in [-1, -2, i32::MIN] {
        expect_text(
            &expect_error(comm.send(&[1u8], 0, Tag(bad)), ErrorKind::InvalidArgument),
            &["send", &bad.to_string()],
        );
        if Tag(bad) != Tag::ANY {
            let mut buffer = [1u8];
            expect_error(comm.recv(&mut buffer, 0, Tag(bad)), ErrorKind::InvalidArgument);
            expect_error(comm.probe(Source::Any, Tag(bad)), ErrorKind::InvalidArgument);
            assert_eq!(buffer, [1]);
        }
    }
    still_works(comm)
}

fn roots_out_of_range_everywhere(comm: &Communicator) -> Outcome {
    let bad = comm.size();
    let mut all = vec![1u8; bad];
    let refused = [
        comm.bcast(&mut [0u8], bad),
        comm.gather(&[0u8], &mut all, bad),
        comm.gather_in_place(&mut all, bad),
        comm.scatter(&[0u8; 0], &mut all, bad),
        comm.scatter_in_place(&mut all, bad),
        comm.reduce(&[0u8], &mut all, warpcomm::Op::Sum, bad),
        comm.reduce_in_place(&mut all, warpcomm::Op::Sum, usize::MAX),
    ];
    for outcome in refused {
        expect_text(&expect_error(outcome, ErrorKind::InvalidArgument), &["root"]);
    }
    assert_eq!(all, vec![1; bad]);
    still_works(comm)
}

fn a_receive_too_short(comm: &Communicator) -> Outcome {
    for sent in [2, EAGER_BYTES / 4, EAGER_BYTES / 4 + 1, 50_000] {
        if comm.rank() == 0 {
            let outcome = comm.send(&vec![5u32; sent], 1, Tag(4));
            if sent * 4 > EAGER_BYTES {
                let error = expect_error(outcome, ErrorKind::Truncated);
                expect_text(
                    &error,
                    &["send", "to rank 1", &sent.to_string(), &(sent - 1).to_string()],
                );
            } else {
                outcome?;
            }
            comm.send(&[6u32, 7], 1, Tag(4))?;
        } else {
            let mut buffer = vec![1u32; sent];
            let error = expect_error(
                comm.recv(&mut buffer[..sent - 1], 0, Tag(4)),
                ErrorKind::Truncated,
            );
            expect_text(
                &error,
                &["recv", "from rank 0", &sent.to_string(), &(sent - 1).to_string()],
            );
            assert_eq!(buffer, vec![1; sent], "nothing is written");
            let mut next = [0u32; 2];
            comm.recv(&mut next, 0, Tag(4))?;
            assert_eq!(next, [6, 7]);
        }
    }
    still_works(comm)
}

/// What the tests `errors/pt2pt/truncmsg1` and `truncmsg2` of MPICH are about: a message that is too long, whichever way
/// it is received, from whom it comes or from anybody, alone or together with others.
fn truncation(comm: &Communicator) -> Outcome {
    const WAYS: i32 = 5;
    let peer = 1 - comm.rank();
    for length in [100, 10_000] {
        if comm.rank() == 0 {
            let sends = (0..WAYS).map(|way| comm.isend(vec![way; length], peer, Tag(way)));
            for send in sends.collect::<Vec<_>>() {
                match send.wait() {
                    Err(error) if length * 4 > EAGER_BYTES => assert_eq!(error.kind(), ErrorKind::Truncated),
                    outcome => drop(outcome?),
                }
            }
            for way in 0..WAYS {
                comm.send(&[way], peer, Tag(way))?;
            }
            continue;
        }
        let mut buffer = vec![-1; length - 1];
        let matched = comm.mprobe(Source::Any, Tag(0))?;
        let matched = matched.recv(&mut buffer).map(drop);
        let blocking = comm.recv(&mut buffer, Source::Any, Tag(1)).map(drop);
        let mut persistent = comm.recv_init(vec![-1; length - 1], peer, Tag(2));
        persistent.start()?;
        let again = persistent.wait().map(drop);
        let requests = [3, 4].map(|way| comm.irecv(vec![-1; length - 1], peer, Tag(way)));
        let [first, second] = requests.map(|request| {
            let (error, buffer) = request.wait().map(drop).unwrap_err().into_parts();
            assert_eq!(buffer, Some(vec![-1; length - 1]));
            Err(error)
        });
        for outcome in [matched, blocking, again, first, second] {
            let error = expect_error(outcome, ErrorKind::Truncated);
            expect_text(
                &error,
                &["from rank 0", &length.to_string(), &(length - 1).to_string()],
            );
        }
        assert_eq!(buffer, vec![-1; length - 1], "nothing is written");
        assert_eq!(persistent.buffer()?, &vec![-1; length - 1]);
        for way in 0..WAYS {
            let status = comm.recv(&mut buffer, peer, Tag(way))?;
            assert_eq!((status.count(), buffer[0]), (1, way), "the next message");
        }
    }
    still_works(comm)
}

fn a_receive_of_another_type(comm: &Communicator) -> Outcome {
    for length in [0, 1, 2000] {
        if comm.rank() == 0 {
            let outcome = comm.send(&vec![5f32; length], 1, Tag(4));
            if length * 4 > EAGER_BYTES {
                expect_text(
                    &expect_error(outcome, ErrorKind::Mismatch),
                    &["send", "f32", "i32"],
                );
            } else {
                outcome?;
            }
            comm.send(&vec![6f32; length], 1, Tag(4))?;
        } else {
            // A type of the same size, so that nothing but the type tells.
            let mut buffer = vec![1i32; length];
            let error = expect_error(comm.recv(&mut buffer, 0, Tag(4)), ErrorKind::Mismatch);
            expect_text(&error, &["recv", "from rank 0", "f32", "i32"]);
            assert_eq!(buffer, vec![1; length]);
            let mut next = vec![0f32; length];
            comm.recv(&mut next, 0, Tag(4))?;
            assert_eq!(next, vec![6.0; length]);
        }
    }
    still_works(comm)
}

fn a_refused_message_among_good_ones(comm: &Communicator) -> Outcome {
    const LENGTH: usize = 3000;
    if comm.rank() == 0 {
        let sends: Vec<_> = (0..5)
            .map(|number| comm.isend(vec![number as u64; LENGTH], 1, Tag(number)))
            .collect();
        let kinds: Vec<_> = sends
            .into_iter()
            .map(|send| send.wait().map(drop).map_err(|error| error.kind()))
            .collect();
        assert_eq!(
            kinds,
            [
                Ok(()),
                Err(ErrorKind::Truncated),
                Ok(()),
                Err(ErrorKind::Mismatch),
                Ok(())
            ]
        );
    } else {
        let good = [0, 2, 4].map(|number| (number, comm.irecv(vec![9u64; LENGTH], 0, Tag(number))));
        let short = comm.irecv(vec![9u64; 2], 0, Tag(1));
        let other = comm.irecv(vec![9i64; LENGTH], 0, Tag(3));
        expect_error(other.wait(), ErrorKind::Mismatch);
        expect_error(short.wait(), ErrorKind::Truncated);
        for (number, request) in good {
            assert_eq!(request.wait()?.0, vec![number as u64; LENGTH]);
        }
    }
    still_works(comm)
}

/// Checks that a communicator gives errors of one kind, at once, and others of the same ranks none.
fn is_poisoned(poisoned: &Communicator, healthy: &Communicator) -> Outcome {
    let clone = poisoned.clone().with_timeout(None);
    for each in [poisoned, &clone] {
        expect_error(each.barrier(), ErrorKind::Timeout);
        expect_error(each.recv(&mut [0u8], Source::Any, Tag(0)), ErrorKind::Timeout);
        expect_error(each.send(&[0u8], 0, Tag(0)), ErrorKind::Timeout);
        expect_error(
            each.irecv(vec![0u8], Source::Any, Tag(0)).wait(),
            ErrorKind::Timeout,
        );
        expect_error(each.iprobe(Source::Any, Tag(0)), ErrorKind::Timeout);
        expect_error(each.scope(|_| Ok(())), ErrorKind::Timeout);
        expect_error(each.duplicate(), ErrorKind::Timeout);
        expect_error(each.split(Some(0), 0), ErrorKind::Timeout);
    }
    still_works(healthy)?;
    still_works(&healthy.duplicate()?)
}

fn a_receive_times_out(comm: &Communicator) -> Outcome {
    let impatient = comm.duplicate()?.with_timeout(Some(SHORT));
    let mut buffer = [7u8; 3];
    let error = expect_error(impatient.recv(&mut buffer, 0, Tag(3)), ErrorKind::Timeout);
    expect_text(&error, &["recv", "from rank 0", "a matching send"]);
    assert_eq!(buffer, [7; 3]);
    is_poisoned(&impatient, comm)
}

fn a_send_times_out(comm: &Communicator) -> Outcome {
    let impatient = comm.duplicate()?.with_timeout(Some(SHORT));
    // Too long for an envelope, and nobody receives.
    let error = expect_error(
        impatient.send(&[0u8; 5000], next(comm), Tag(3)),
        ErrorKind::Timeout,
    );
    expect_text(
        &error,
        &["send", &format!("to rank {}", next(comm)), "a matching receive"],
    );
    is_poisoned(&impatient, comm)
}

fn a_request_times_out(comm: &Communicator) -> Outcome {
    let impatient = comm.duplicate()?.with_timeout(Some(SHORT));
    let (error, buffer) = impatient
        .irecv(vec![7u8; 3], 1 - comm.rank(), Tag(3))
        .wait()
        .unwrap_err()
        .into_parts();
    assert_eq!((error.kind(), buffer), (ErrorKind::Timeout, Some(vec![7; 3])));
    is_poisoned(&impatient, comm)
}

fn a_collective_times_out(comm: &Communicator) -> Outcome {
    // All enter a collective but the last rank.
    let last = comm.size() - 1;
    let impatient = comm.duplicate()?.with_timeout(Some(SHORT));
    if comm.rank() != last {
        let mut sum = [0f64; 1000];
        let error = expect_error(
            impatient.allreduce(&[1f64; 1000], &mut sum, warpcomm::Op::Sum),
            ErrorKind::Timeout,
        );
        expect_text(&error, &["allreduce", &format!("rank {last}")]);
    } else {
        expect_error(impatient.recv(&mut [0u8], 0, Tag(0)), ErrorKind::Timeout);
    }
    is_poisoned(&impatient, comm)
}

fn what_a_poisoned_collective_left_behind(comm: &Communicator) -> Outcome {
    for round in 0..4u64 {
        let impatient = comm.duplicate()?.with_timeout(Some(SHORT));
        if comm.rank() != 0 {
            let mut sum = [0u64; 2];
            expect_error(
                impatient.allreduce(&[1000 + round; 2], &mut sum, warpcomm::Op::Sum),
                ErrorKind::Timeout,
            );
        }
        drop(impatient);
        comm.barrier()?;
        // The frames that nobody took must not reach a communicator that comes after, whichever gets the next slots.
        let twins = [comm.duplicate()?, comm.duplicate()?, comm.duplicate()?];
        for twin in twins {
            let mut sum = [0u64; 2];
            twin.allreduce(&[round, 1], &mut sum, warpcomm::Op::Sum)?;
            assert_eq!(sum, [comm.size() as u64 * round, comm.size() as u64]);
            still_works(&twin)?;
        }
    }
    Ok(())
}

fn a_timeout_in_time_is_none(comm: &Communicator) -> Outcome {
    let patient = comm.with_timeout(Some(Duration::from_secs(50)));
    still_works(&patient)?;
    for other in others(comm) {
        let mut buffer = [0u8; 9000];
        patient.sendrecv(&[1u8; 9000], other, Tag(0), &mut buffer, other, Tag(0))?;
        assert_eq!(buffer, [1; 9000]);
    }
    assert_ne!(previous(comm), comm.size());
    Ok(())
}
