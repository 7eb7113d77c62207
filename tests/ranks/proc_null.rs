//! `PROC_NULL`: messages from and to nobody.

use warpcomm::{Error, ErrorKind, PROC_NULL, Status, Tag};

use super::common::{next, previous, still_works};
use crate::harness::{Outcome, expect_error, expect_text};
use crate::placed::{Communicator, wait_all};

cases! {
    leaves_the_buffer_alone: 1..=3;
    in_requests_and_scopes: 1..=3;
    in_probes: 1..=2;
    in_sendrecv_of_a_line: 1..=7;
    still_checks_tags: 1..=1;
    is_no_root: 1..=3;
}

fn expect_nobody(status: Status) {
    assert_eq!(
        (status.source(), status.tag(), status.count()),
        (PROC_NULL, Tag::ANY, 0)
    );
    assert!(!status.is_cancelled());
}

fn leaves_the_buffer_alone(comm: &Communicator) -> Outcome {
    for length in [0, 3, 5000] {
        let mut buffer = vec![7u32; length];
        comm.send(&buffer, PROC_NULL, Tag(0))?;
        comm.ssend(&buffer, PROC_NULL, Tag(0))?;
        comm.rsend(&buffer, PROC_NULL, Tag(0))?;
        comm.bsend(&buffer, PROC_NULL, Tag(0))?;
        expect_nobody(comm.recv(&mut buffer, PROC_NULL, Tag(0))?);
        expect_nobody(comm.recv(&mut buffer, PROC_NULL, Tag::ANY)?);
        expect_nobody(comm.sendrecv_replace(&mut buffer, PROC_NULL, Tag(0), PROC_NULL, Tag(0))?);
        assert_eq!(buffer, vec![7; length]);
    }
    still_works(comm)
}

fn in_requests_and_scopes(comm: &Communicator) -> Outcome {
    let requests = [
        comm.isend(vec![1u8; 9], PROC_NULL, Tag(0)),
        comm.issend(vec![1u8; 9], PROC_NULL, Tag(0)),
        comm.ibsend(vec![1u8; 9], PROC_NULL, Tag(0)),
        comm.irecv(vec![1u8; 9], PROC_NULL, Tag(0)),
    ];
    wait_all(&requests)?.into_iter().for_each(expect_nobody);
    for request in requests {
        let (buffer, status) = request.wait()?;
        expect_nobody(status);
        assert_eq!(buffer, [1; 9]);
    }
    let own = vec![2u8; 5000];
    let mut theirs = vec![3u8; 5000];
    comm.scope(|scope| {
        scope.isend(&own, PROC_NULL, Tag(0))?;
        scope.issend(&own, PROC_NULL, Tag(0))?;
        expect_nobody(scope.irecv(&mut theirs, PROC_NULL, Tag(0))?.wait()?.1);
        Ok(())
    })?;
    assert_eq!(theirs, vec![3; 5000]);
    let mut persistent = [
        comm.send_init(vec![1i8], PROC_NULL, Tag(0)),
        comm.recv_init(vec![1i8], PROC_NULL, Tag(0)),
    ];
    for _ in 0..2 {
        for request in &mut persistent {
            request.start()?;
            expect_nobody(request.wait()?);
            assert_eq!(request.buffer()?[..], [1]);
        }
    }
    Ok(())
}

fn in_probes(comm: &Communicator) -> Outcome {
    expect_nobody(comm.probe(PROC_NULL, Tag(0))?);
    assert!(comm.iprobe(PROC_NULL, Tag::ANY)?.is_some());
    let mut buffer = [5u8; 3];
    let message = comm.mprobe(PROC_NULL, Tag(0))?;
    expect_nobody(message.status());
    expect_nobody(message.recv(&mut buffer)?);
    let message = comm
        .improbe(PROC_NULL, Tag(0))?
        .expect("nobody's message is always there");
    let (owned, status) = message.irecv(vec![5u8; 3]).wait()?;
    expect_nobody(status);
    assert_eq!((buffer, owned), ([5; 3], vec![5; 3]));
    Ok(())
}

fn in_sendrecv_of_a_line(comm: &Communicator) -> Outcome {
    let is_last = comm.rank() + 1 == comm.size();
    let right = if is_last { PROC_NULL } else { next(comm) };
    let left = if comm.rank() == 0 {
        PROC_NULL
    } else {
        previous(comm)
    };
    for length in [1, 3000] {
        let own = vec![comm.rank() as u16; length];
        let mut ghost = vec![99u16; length];
        let status = comm.sendrecv(&own, right, Tag(0), &mut ghost, left, Tag(0))?;
        match comm.rank() {
            0 => expect_nobody(status),
            rank => assert_eq!((status.source(), status.count()), (rank - 1, length as u64)),
        }
        let expected = comm.rank().checked_sub(1).map_or(99, |rank| rank as u16);
        assert_eq!(ghost, vec![expected; length]);
    }
    Ok(())
}

fn still_checks_tags(comm: &Communicator) -> Outcome {
    let error = expect_error(comm.send(&[1u8], PROC_NULL, Tag(-4)), ErrorKind::InvalidArgument);
    expect_text(&error, &["send on rank 0 to nobody", "-4"]);
    let outcome = comm
        .irecv(vec![1u8], PROC_NULL, Tag(-4))
        .wait()
        .map_err(Error::from);
    expect_text(
        &expect_error(outcome, ErrorKind::InvalidArgument),
        &["irecv", "from nobody"],
    );
    Ok(())
}

fn is_no_root(comm: &Communicator) -> Outcome {
    expect_error(comm.bcast(&mut [1u8], PROC_NULL), ErrorKind::InvalidArgument);
    still_works(comm)
}
