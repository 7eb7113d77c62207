//! `scope`: operations on borrowed buffers.

use std::panic::{AssertUnwindSafe, catch_unwind};

use warpcomm::{Error, ErrorKind, Tag};

use super::common::{LARGE_BYTES, lengths, next, others, previous, still_works};
use crate::harness::{Outcome, covered, expect_error};
use crate::oracle::{Value, assert_same, untouched, vector};
use crate::placed::Communicator;

cases! {
    every_type_and_length: 1..=7;
    waiting_gives_the_borrow_back: 2..=3;
    is_done_becomes_true: 2..=2;
    the_end_reports_what_nobody_waited_for: 2..=2;
    an_error_that_was_waited_for_is_not_reported_again: 2..=2;
    bad_arguments_at_once: 1..=3;
    operations_of_the_communicator_inside: 2..=3;
    nothing_started: 1..=2;
}

fn every_type_and_length(comm: &Communicator) -> Outcome {
    for_every_element!(around_the_ring(comm)?);
    Ok(())
}

fn around_the_ring<T: Value>(comm: &Communicator) -> Outcome {
    for length in lengths(comm.size(), size_of::<T>()) {
        let salt = length as u64;
        let own: Vec<T> = vector(salt, comm.rank(), length);
        let mut received: Vec<T> = untouched(length + 1);
        comm.scope(|scope| {
            scope.irecv(&mut received, previous(comm), Tag(1))?;
            scope.isend(&own, next(comm), Tag(1))?;
            Ok(())
        })?;
        assert_same(&received[..length], &vector(salt, previous(comm), length), || {
            format!("{length} elements")
        });
        assert_same(&received[length..], &untouched(length + 1)[length..], || {
            "the tail".to_owned()
        });
    }
    covered("Scope::isend", Some(T::DTYPE), None);
    covered("Scope::irecv", Some(T::DTYPE), None);
    Ok(())
}

fn waiting_gives_the_borrow_back(comm: &Communicator) -> Outcome {
    for length in [3, LARGE_BYTES] {
        let own = vec![comm.rank() as u8; length];
        let mut buffer = vec![99u8; length];
        let sum = comm.scope(|scope| {
            let sending = scope.isend(&own, next(comm), Tag(0))?;
            let receiving = scope.irecv(&mut buffer, previous(comm), Tag(0))?;
            let (received, status) = receiving.wait()?;
            assert_eq!(status.count(), length as u64);
            let (sent, _) = sending.wait()?;
            let sum = u64::from(received[length - 1]) + u64::from(sent[0]);
            // And used once more, in the same scope.
            received.fill(98);
            let again = scope.irecv(received, previous(comm), Tag(1))?;
            scope.isend(sent, next(comm), Tag(1))?;
            again.wait()?;
            Ok(sum)
        })?;
        assert_eq!(sum, (comm.rank() + previous(comm)) as u64);
        assert_eq!(buffer, vec![previous(comm) as u8; length]);
    }
    Ok(())
}

fn is_done_becomes_true(comm: &Communicator) -> Outcome {
    let peer = 1 - comm.rank();
    let own = vec![comm.rank() as i64; LARGE_BYTES];
    let mut received = vec![-1i64; LARGE_BYTES];
    comm.scope(|scope| {
        let receiving = scope.irecv(&mut received, peer, Tag(0))?;
        let sending = scope.isend(&own, peer, Tag(0))?;
        while !(receiving.is_done() && sending.is_done()) {}
        Ok(())
    })?;
    assert_eq!(received, vec![peer as i64; LARGE_BYTES]);
    Ok(())
}

fn the_end_reports_what_nobody_waited_for(comm: &Communicator) -> Outcome {
    if comm.rank() == 0 {
        comm.send(&[1u8, 2, 3], 1, Tag(0))?;
    } else {
        let mut short = [0u8; 2];
        let outcome = comm.scope(|scope| scope.irecv(&mut short, 0, Tag(0)).map(drop));
        expect_error(outcome, ErrorKind::Truncated);
        assert_eq!(short, [0; 2]);
    }
    still_works(comm)
}

fn an_error_that_was_waited_for_is_not_reported_again(comm: &Communicator) -> Outcome {
    if comm.rank() == 0 {
        comm.send(&[1u8, 2, 3], 1, Tag(0))?;
    } else {
        let mut short = [0u8; 2];
        let kind = comm.scope(|scope| {
            Ok(scope
                .irecv(&mut short, 0, Tag(0))?
                .wait()
                .map_err(|error| error.kind())
                .err())
        })?;
        assert_eq!(kind, Some(ErrorKind::Truncated));
    }
    still_works(comm)
}

fn bad_arguments_at_once(comm: &Communicator) -> Outcome {
    let (own, mut other) = ([1u8], [0u8]);
    let size = comm.size();
    let outcome = comm.scope(|scope| {
        expect_error(scope.isend(&own, size, Tag(0)), ErrorKind::InvalidArgument);
        expect_error(scope.isend(&own, 0, Tag::ANY), ErrorKind::InvalidArgument);
        scope.irecv(&mut other, size, Tag(0)).map(drop)
    });
    expect_error(outcome, ErrorKind::InvalidArgument);
    still_works(comm)
}

fn operations_of_the_communicator_inside(comm: &Communicator) -> Outcome {
    let own = vec![comm.rank() as u32; LARGE_BYTES];
    let mut received = vec![0u32; LARGE_BYTES];
    let mut sum = 0u32;
    comm.scope(|scope| {
        scope.irecv(&mut received, previous(comm), Tag(0))?;
        comm.barrier()?;
        scope.isend(&own, next(comm), Tag(0))?;
        comm.allreduce(&own[0], &mut sum, warpcomm::Op::Sum)?;
        // A scope within the scope ends first.
        let mut inner = [0u8];
        let byte = [comm.rank() as u8];
        comm.scope(|scope| {
            scope.isend(&byte, next(comm), Tag(1))?;
            scope.irecv(&mut inner, previous(comm), Tag(1)).map(drop)
        })?;
        assert_eq!(inner, [previous(comm) as u8]);
        Ok(())
    })?;
    assert_eq!(received, vec![previous(comm) as u32; LARGE_BYTES]);
    assert_eq!(sum as usize, comm.size() * (comm.size() - 1) / 2);
    Ok(())
}

fn nothing_started(comm: &Communicator) -> Outcome {
    assert_eq!(comm.scope(|_| Ok(5))?, 5);
    let failed = comm.scope(|_| comm.send(&[0u8], comm.size(), Tag(0)));
    expect_error(failed, ErrorKind::InvalidArgument);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        comm.scope(|_| -> Result<(), Error> { panic!("on purpose") })
    }));
    assert!(panicked.is_err());
    assert_eq!(others(comm).count(), comm.size() - 1);
    still_works(comm)
}
