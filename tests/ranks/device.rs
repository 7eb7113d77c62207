//! What only buffers on GPUs can do: views of one allocation, several GPUs, work that is still under way.

use std::ffi::c_void;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use warpcomm::cudarc::driver::{CudaContext, CudaStream, result};
use warpcomm::{Communicator, Config, ErrorKind, Fault, FaultAction, Op, Tag, pinned_usage};

use super::common::{next, others, previous, still_works};
use super::large::{GIBI_OF_ELEMENTS, GIBIBYTES, is_zero, mark, marks};
use super::ops::Small;
use crate::harness::{Failure, Outcome, expect_error};
use crate::oracle::{assert_same, folded, vector, vectors};

cases! {
    overlapping_requests: 1..=4;
    halo_rows_of_one_allocation: 1..=4;
    a_scope_is_left_by_an_error: 2..=2;
    streams_of_threads: 1..=4;
    a_message_behind_one_that_is_copied_fails: 1..=1, threads;
    a_result_that_is_still_written: 2..=4;
    empty_slices: 1..=3;
    one_gpu_after_the_other: 1..=4;
    from_one_gpu_to_another: 1..=4;
    host_and_device_messages_in_turn: 2..=3;
    messages_in_pieces: 2..=3;
    the_pieces_of_a_message_share_few_slabs: 1..=1, threads;
    copies_between_places_share_few_slabs: 1..=1, threads;
    a_long_message_waits_for_nobody_elses: 2..=3;
    a_buffer_in_use_holds_up_no_other_message: 2..=3;
    a_collective_in_use_holds_up_no_other: 2..=4;
    a_buffer_that_is_written_before_and_after: 2..=3;
    a_piece_that_cannot_be_sent: 1..=1, threads;
    between_two_groups: 2..=4;
    a_message_of_two_gibibytes: 2..=2;
    a_message_of_a_gibi_of_elements: 2..=2;
    two_gibibytes_beside_another_rank: 3..=3, mpi;
    a_gibi_of_elements_beside_another_rank: 3..=3, mpi;
    nothing_is_in_use_afterwards: 1..=4;
}

pub const LENGTHS: [usize; 4] = [1, 60, 1003, 6001];

pub fn stream(comm: &Communicator) -> Result<Arc<CudaStream>, Failure> {
    Ok(comm.device()?.new_stream()?)
}

fn overlapping_requests(comm: &Communicator) -> Outcome {
    // Each buffer has a stream of its own, so that nothing but the library keeps the messages in order.
    let mut receives = Vec::new();
    let mut sends = Vec::new();
    for round in 0..24 {
        let length = LENGTHS[round % LENGTHS.len()];
        let stream = stream(comm)?;
        let own = stream.clone_htod(&vector::<f32>(round as u64, comm.rank(), length))?;
        sends.push(comm.isend(own, next(comm), Tag(1)));
        let incoming = stream.alloc_zeros::<f32>(length)?;
        receives.push((round, stream, comm.irecv(incoming, previous(comm), Tag(1))));
    }
    for (round, stream, receive) in receives.into_iter().rev() {
        let (buffer, status) = receive.wait()?;
        let expected = vector::<f32>(round as u64, previous(comm), LENGTHS[round % LENGTHS.len()]);
        assert_eq!(status.count(), expected.len() as u64);
        assert_same(&stream.clone_dtoh(&buffer)?, &expected, || {
            format!("message {round}")
        });
    }
    for send in sends {
        send.wait()?;
    }
    Ok(())
}

fn halo_rows_of_one_allocation(comm: &Communicator) -> Outcome {
    // A block of rows between two ghost rows, exchanged with both neighbours while the inner rows are read.
    for width in [3, 257, 5001] {
        const ROWS: usize = 4;
        let stream = stream(comm)?;
        let rows: Vec<f64> = vector(7, comm.rank(), ROWS * width);
        let mut field = stream.alloc_zeros::<f64>((ROWS + 2) * width)?;
        stream.memcpy_htod(&rows, &mut field.slice_mut(width..(ROWS + 1) * width))?;
        {
            let (mut upper, mut rest) = field.split_at_mut(width);
            let (inner, mut lower) = rest.split_at_mut(ROWS * width);
            let (first, last) = (inner.slice(..width), inner.slice((ROWS - 1) * width..));
            comm.scope(|scope| {
                scope.irecv(&mut upper, previous(comm), Tag(1))?;
                scope.irecv(&mut lower, next(comm), Tag(2))?;
                scope.isend(&last, next(comm), Tag(1))?;
                scope.isend(&first, previous(comm), Tag(2))?;
                Ok(())
            })?;
        }
        let found = stream.clone_dtoh(&field)?;
        let above: Vec<f64> = vector(7, previous(comm), ROWS * width);
        let below: Vec<f64> = vector(7, next(comm), ROWS * width);
        let expected = [&above[(ROWS - 1) * width..], &rows, &below[..width]].concat();
        assert_same(&found, &expected, || format!("rows of {width}"));
    }
    Ok(())
}

fn a_scope_is_left_by_an_error(comm: &Communicator) -> Outcome {
    let peer = 1 - comm.rank();
    let stream = stream(comm)?;
    let before: Vec<u32> = vector(1, comm.rank(), 20_000);
    let mut field = stream.clone_htod(&before)?;
    {
        let (mut left, right) = field.split_at_mut(10_000);
        let outcome = comm.scope(|scope| {
            // Nobody answers either: one is cancelled, the other withdrawn.
            scope.irecv(&mut left, peer, Tag(8))?;
            scope.isend(&right, peer, Tag(9))?;
            comm.send(&[0u8], 7, Tag(0))
        });
        expect_error(outcome, ErrorKind::InvalidArgument);
    }
    assert_same(&stream.clone_dtoh(&field)?, &before, || "the field".to_owned());
    // Not before the other rank has left its scope too, and withdrawn its message.
    comm.barrier()?;
    expect_error(
        comm.recv(&mut vec![0u32; 10_000], peer, Tag(9)),
        ErrorKind::PeerFailed,
    );
    still_works(comm)
}

fn streams_of_threads(comm: &Communicator) -> Outcome {
    // One handle, which is another stream on each thread; and an operation may end on any. A context of its own has
    // no other streams, for which cudarc would record events.
    let stream = CudaContext::new(comm.device()?.ordinal())?.per_thread_stream();
    for (round, length) in (0..20).zip(LENGTHS.into_iter().cycle()) {
        let own: Vec<f32> = vector(round, comm.rank(), length);
        let mut received = stream.alloc_zeros::<f32>(length)?;
        // What follows waits for this, and starts at once when it is over.
        for _ in 0..50 {
            stream.memset_zeros(&mut received)?;
        }
        comm.scope(|scope| {
            let receive = scope.irecv(&mut received, previous(comm), Tag(1))?;
            scope.isend(&own, next(comm), Tag(1))?;
            let wait = || receive.wait().map(drop);
            thread::scope(|threads| threads.spawn(wait).join()).expect("no panic")
        })?;
        let copy = stream.clone_dtod(&received)?;
        let found = stream.clone_dtoh(&copy)?;
        assert_same(&found, &vector(round, previous(comm), length), || {
            format!("message {round}")
        });
    }
    Ok(())
}

/// Work of a stream that is over when the gate is open.
#[derive(Default)]
pub struct Gate {
    is_open: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    pub fn open(&self) {
        *self.is_open.lock().expect("no panic") = true;
        self.changed.notify_all();
    }

    /// Lets a stream wait.
    ///
    /// # Safety
    /// The gate lives until the stream was waited for.
    pub unsafe fn stop(&self, stream: &CudaStream) -> Outcome {
        let gate = std::ptr::from_ref(self).cast_mut().cast();
        // SAFETY: the function takes a gate; the caller's promise.
        unsafe { result::stream::launch_host_function(stream.cu_stream(), Gate::wait, gate) }?;
        Ok(())
    }

    /// # Safety
    /// The argument is a gate.
    unsafe extern "C" fn wait(gate: *mut c_void) {
        // SAFETY: the caller's promise.
        let gate = unsafe { &*gate.cast::<Gate>() };
        let is_open = gate.is_open.lock().expect("no panic");
        drop(gate.changed.wait_while(is_open, |is_open| !*is_open));
    }
}

fn a_message_behind_one_that_is_copied_fails(_: &Communicator) -> Outcome {
    // The first message leaves when its copy is over, and the second behind it, long after the call that sends it.
    const FAILS: u64 = 2;
    let fault = Fault::new(FaultAction::Fail, FAILS, Some(0));
    let config = Config::default().fault(fault).timeout(Duration::from_secs(20));
    Communicator::threads_with(&config, 2, |comm| -> Outcome {
        if comm.rank() == 1 {
            let mut received = [0u8; 2];
            comm.recv(&mut received[..1], 0, Tag(1))?;
            comm.recv(&mut received[1..], 0, Tag(2))?;
            assert_eq!(received, [1, 2]);
            return Ok(());
        }
        let stream = stream(&comm)?;
        let copied = stream.clone_htod(&[1u8])?;
        let gate = Gate::default();
        // SAFETY: the gate lives until the stream was waited for.
        unsafe { gate.stop(&stream) }?;
        let first = comm.isend(copied, 1, Tag(1));
        let second = comm.isend(vec![2u8], 1, Tag(2));
        gate.open();
        let outcomes = (first.wait(), second.wait());
        stream.synchronize()?;
        outcomes.0?;
        outcomes.1?;
        Ok(())
    })?
    .into_iter()
    .collect()
}

fn a_result_that_is_still_written(comm: &Communicator) -> Outcome {
    for length in LENGTHS {
        let of_ranks: Vec<Vec<f64>> = (0..comm.size()).map(|rank| vector(6, rank, length)).collect();
        let own = stream(comm)?.clone_htod(&of_ranks[comm.rank()])?;
        let busy = stream(comm)?;
        let mut result = busy.alloc_zeros::<f64>(length)?;
        // Later than the elements of the other ranks.
        for _ in 0..200 {
            busy.memset_zeros(&mut result)?;
        }
        comm.allreduce(&own, &mut result, Op::Sum)?;
        let expected = folded(Op::Sum, &of_ranks).unwrap_or_default();
        assert_same(&busy.clone_dtoh(&result)?, &expected, || {
            format!("{length} elements")
        });
    }
    Ok(())
}

fn empty_slices(comm: &Communicator) -> Outcome {
    let stream = stream(comm)?;
    let mut some = stream.clone_htod(&[1u16, 2, 3])?;
    let empty = stream.clone_htod(&[1u16])?;
    let empty = empty.slice(..0);
    let mut none = some.slice_mut(1..1);
    comm.sendrecv(&empty, next(comm), Tag(0), &mut none, previous(comm), Tag(0))?;
    comm.bcast(&mut none, 0)?;
    comm.allgather(&empty, &mut none)?;
    comm.allreduce(&empty, &mut none, Op::Max)?;
    comm.allreduce_in_place(&mut none, Op::BitAnd)?;
    comm.reduce_in_place(&mut none, Op::Sum, comm.size() - 1)?;
    assert_eq!(stream.clone_dtoh(&some)?, [1, 2, 3]);
    Ok(())
}

/// A context of the GPU `steps` behind the rank's own.
pub fn another_gpu(comm: &Communicator, steps: usize) -> Result<Arc<CudaContext>, Failure> {
    let gpus = CudaContext::device_count()? as usize;
    Ok(CudaContext::new((comm.device()?.ordinal() + steps) % gpus)?)
}

fn one_gpu_after_the_other(comm: &Communicator) -> Outcome {
    for steps in 0..4 {
        let stream = another_gpu(comm, steps)?.new_stream()?;
        for length in LENGTHS {
            let of_ranks: Vec<Vec<f32>> = (0..comm.size()).map(|rank| vector(3, rank, length)).collect();
            let mut buffer = stream.clone_htod(&of_ranks[comm.rank()])?;
            comm.allreduce_in_place(&mut buffer, Op::Sum)?;
            let result = folded(Op::Sum, &of_ranks).unwrap_or_default();
            assert_same(&stream.clone_dtoh(&buffer)?, &result, || {
                format!("{length} elements, {steps} GPUs behind the rank's own")
            });
        }
    }
    Ok(())
}

fn from_one_gpu_to_another(comm: &Communicator) -> Outcome {
    let (rank, size) = (comm.rank(), comm.size());
    for (there, back) in [(0, 1), (1, 0), (1, 2)] {
        let source = another_gpu(comm, there)?.new_stream()?;
        let target = another_gpu(comm, back)?.new_stream()?;
        for length in LENGTHS {
            let what = || format!("{length} elements from {there} to {back}");
            let of_ranks: Vec<Vec<u64>> = (0..size).map(|rank| vector(4, rank, length)).collect();
            let own = source.clone_htod(&of_ranks[rank])?;
            let mut result = target.alloc_zeros::<u64>(length)?;
            comm.allreduce(&own, &mut result, Op::Max)?;
            let expected = folded(Op::Max, &of_ranks).unwrap_or_default();
            assert_same(&target.clone_dtoh(&result)?, &expected, what);
            comm.sendrecv(&own, next(comm), Tag(0), &mut result, previous(comm), Tag(0))?;
            assert_same(&target.clone_dtoh(&result)?, &of_ranks[previous(comm)], what);
            let mut all = target.alloc_zeros::<u64>(size * length)?;
            comm.allgather(&own, &mut all)?;
            assert_same(&target.clone_dtoh(&all)?, &vectors(4, size, length), what);
            comm.gather(&own, &mut all, size - 1)?;
            comm.scatter(&all, &mut result, size - 1)?;
            assert_same(&target.clone_dtoh(&result)?, &of_ranks[rank], what);
            assert_same(&source.clone_dtoh(&own)?, &of_ranks[rank], what);
        }
    }
    Ok(())
}

fn host_and_device_messages_in_turn(comm: &Communicator) -> Outcome {
    // The copy of a device message takes its time; a host message behind it must not pass.
    const MESSAGES: usize = 40;
    let length = |number: usize| [5, 3000, 1, 900, 12_000][number % 5];
    let contents = |number: usize| vector::<u32>(number as u64, 0, length(number));
    if comm.rank() == 0 {
        let stream = stream(comm)?;
        for receiver in others(comm) {
            let mut on_device = Vec::new();
            let mut on_host = Vec::new();
            for number in 0..MESSAGES {
                match number % 3 {
                    0 => on_host.push(comm.isend(contents(number), receiver, Tag(5))),
                    _ => {
                        let buffer = stream.clone_htod(&contents(number))?;
                        on_device.push(comm.isend(buffer, receiver, Tag(5)));
                    }
                }
            }
            on_device.into_iter().try_for_each(|send| send.wait().map(drop))?;
            on_host.into_iter().try_for_each(|send| send.wait().map(drop))?;
        }
        return Ok(());
    }
    let stream = stream(comm)?;
    for number in 0..MESSAGES {
        let mut buffer = stream.alloc_zeros::<u32>(12_000)?;
        let status = comm.recv(&mut buffer, 0, Tag(5))?;
        assert_eq!(status.count(), length(number) as u64, "message {number}");
        let received = stream.clone_dtoh(&buffer)?;
        assert_same(&received[..length(number)], &contents(number), || {
            format!("message {number}")
        });
    }
    Ok(())
}

fn messages_in_pieces(comm: &Communicator) -> Outcome {
    // One piece, two, as many as are under way at once, and more, of which the last is short: between every two places.
    const MIB: usize = (1 << 20) / size_of::<u64>();
    let stream = stream(comm)?;
    let lengths = [MIB / 4, MIB / 4 + 1, 2 * MIB, 4 * MIB + 1];
    for (round, length) in lengths.into_iter().enumerate() {
        for (from_device, to_device) in [(true, true), (true, false), (false, true)] {
            let message = |rank| vector::<u64>(round as u64, rank, length);
            let (own, expected) = (message(comm.rank()), message(previous(comm)));
            let found = match (from_device, to_device) {
                (false, _) => {
                    let mut found = stream.alloc_zeros::<u64>(length)?;
                    comm.sendrecv(&own, next(comm), Tag(1), &mut found, previous(comm), Tag(1))?;
                    stream.clone_dtoh(&found)?
                }
                (true, false) => {
                    let own = stream.clone_htod(&own)?;
                    let mut found = vec![0; length];
                    comm.sendrecv(&own, next(comm), Tag(1), &mut found, previous(comm), Tag(1))?;
                    found
                }
                (true, true) => {
                    let own = stream.clone_htod(&own)?;
                    let mut found = stream.alloc_zeros::<u64>(length)?;
                    comm.sendrecv(&own, next(comm), Tag(1), &mut found, previous(comm), Tag(1))?;
                    stream.clone_dtoh(&found)?
                }
            };
            assert_same(&found, &expected, || {
                format!("{length} u64, from device {from_device}, to device {to_device}")
            });
        }
    }
    Ok(())
}

fn the_pieces_of_a_message_share_few_slabs(_: &Communicator) -> Outcome {
    // Both ranks have their slabs from one pool. A message of 256 pieces may have four on each side.
    const PIECE: usize = 4096;
    const LENGTH: usize = 256 * PIECE;
    let before = pinned_usage();
    let config = Config::from_env()?.chunk(PIECE);
    let most = Communicator::threads_with(&config, 2, |comm| {
        let stream = comm.device()?.new_stream()?;
        let own = vector::<u8>(3, comm.rank(), LENGTH);
        let own = stream.clone_htod(&own)?;
        let incoming = stream.alloc_zeros::<u8>(own.len())?;
        let receive = comm.irecv(incoming, 1 - comm.rank(), Tag(1));
        let send = comm.isend(own, 1 - comm.rank(), Tag(1));
        let mut most = 0;
        while !(send.is_done() && receive.is_done()) {
            most = most.max(pinned_usage().slabs_in_use - before.slabs_in_use);
            comm.iprobe(warpcomm::Source::Any, Tag(99))?;
        }
        send.wait()?;
        receive.wait()?;
        Ok::<usize, Failure>(most)
    })?;
    for most in most {
        let most = most?;
        assert!(most <= 2 * 2 * 4, "{most} slabs at the same time");
    }
    assert_eq!(pinned_usage().slabs_in_use, before.slabs_in_use);
    Ok(())
}

fn copies_between_places_share_few_slabs(comm: &Communicator) -> Outcome {
    // Sixteen times what is under way at once, to a GPU and back.
    const LENGTH: usize = 8 << 20;
    let stream = stream(comm)?;
    let own = vector::<u64>(4, comm.rank(), LENGTH);
    let mut there = stream.alloc_zeros::<u64>(LENGTH)?;
    let mut back = vec![0u64; LENGTH];
    let before = pinned_usage();
    comm.allgather(&own, &mut there)?;
    comm.allgather(&there, &mut back)?;
    assert_same(&back, &own, || "there and back".to_owned());
    let after = pinned_usage();
    let more = after.bytes_kept.saturating_sub(before.bytes_kept);
    assert!(more <= 8 << 20, "{more} bytes are pinned for a copy");
    assert_eq!(after.slabs_in_use, before.slabs_in_use);
    Ok(())
}

fn a_long_message_waits_for_nobody_elses(comm: &Communicator) -> Outcome {
    // Rank 0 sends two long messages. Rank 1 first receives the second one; the first has been offered, and waits.
    let stream = stream(comm)?;
    let message = |number: u64| vector::<f32>(number, 0, 700_000);
    if comm.rank() == 0 {
        let sends: Vec<_> = (0..2)
            .map(|number| {
                let own = stream.clone_htod(&message(number as u64))?;
                Ok::<_, Failure>(comm.isend(own, 1, Tag(number)))
            })
            .collect::<Result<_, _>>()?;
        for send in sends {
            send.wait()?;
        }
    } else if comm.rank() == 1 {
        for number in [1, 0] {
            let mut found = stream.alloc_zeros::<f32>(700_000)?;
            comm.recv(&mut found, 0, Tag(number))?;
            assert_same(&stream.clone_dtoh(&found)?, &message(number as u64), || {
                format!("message {number}")
            });
        }
    }
    Ok(())
}

fn a_buffer_in_use_holds_up_no_other_message(comm: &Communicator) -> Outcome {
    const LENGTH: usize = 700_000;
    if comm.rank() > 1 {
        return comm
            .barrier()
            .and_then(|()| comm.barrier())
            .map_err(Failure::from);
    }
    // The first message waits for the sender's stream, then for the receiver's.
    for stopped in 0..2 {
        let gate = Gate::default();
        let streams = [stream(comm)?, stream(comm)?];
        let message = |number: usize| vector::<f32>((2 * stopped + number) as u64, 0, LENGTH);
        let buffer = |number: usize| match comm.rank() {
            0 => streams[number].clone_htod(&message(number)),
            _ => streams[number].alloc_zeros::<f32>(LENGTH),
        };
        let [first, second] = [buffer(0)?, buffer(1)?];
        if comm.rank() == stopped {
            // SAFETY: the gate lives until the stream was waited for.
            unsafe { gate.stop(&streams[0]) }?;
        }
        let start = |buffer, number| match comm.rank() {
            0 => comm.isend(buffer, 1, Tag(number)),
            _ => comm.irecv(buffer, 0, Tag(number)),
        };
        let [first, second] = [start(first, 0), start(second, 1)];
        let outcome = second.wait();
        comm.barrier()?;
        gate.open();
        let outcomes = [first.wait(), outcome];
        streams[0].synchronize()?;
        for (number, outcome) in outcomes.into_iter().enumerate() {
            let (buffer, _) = outcome?;
            assert_same(&streams[number].clone_dtoh(&buffer)?, &message(number), || {
                format!("message {number}, rank {stopped} was stopped")
            });
        }
    }
    Ok(())
}

fn a_collective_in_use_holds_up_no_other(comm: &Communicator) -> Outcome {
    // Too long for frames, too short to be offered.
    const LENGTH: usize = 1_000;
    let other = comm.duplicate()?;
    let ranks: Vec<Vec<f32>> = (0..comm.size()).map(|rank| vector(1, rank, LENGTH)).collect();
    let (slow, stream) = (stream(comm)?, stream(comm)?);
    // In the first round the library allocates its memory, which would wait for the GPU.
    for is_stopped in [false, true] {
        let own = slow.clone_htod(&ranks[comm.rank()])?;
        let found = stream.alloc_zeros::<f32>(LENGTH * comm.size())?;
        slow.synchronize()?;
        stream.synchronize()?;
        let gate = Gate::default();
        if is_stopped && comm.rank() == 0 {
            // SAFETY: the gate lives until the stream was waited for.
            unsafe { gate.stop(&slow) }?;
        }
        let request = comm.iallgather(own, found);
        let mut numbers = vec![1u64; LENGTH];
        let outcome = other
            .allreduce_in_place(&mut numbers, Op::Sum)
            .and_then(|()| other.barrier());
        gate.open();
        let gathered = request.wait();
        slow.synchronize()?;
        outcome?;
        assert_eq!(numbers, vec![comm.size() as u64; LENGTH]);
        let ((_, found), _) = gathered?;
        assert_same(&stream.clone_dtoh(&found)?, &ranks.concat(), || {
            format!("the first rank's stream was stopped: {is_stopped}")
        });
    }
    Ok(())
}

fn a_buffer_that_is_written_before_and_after(comm: &Communicator) -> Outcome {
    // Nobody waits between the work on a buffer and its message.
    const LENGTH: usize = 50_000;
    let stream = stream(comm)?;
    let mut own = stream.alloc_zeros::<u32>(LENGTH)?;
    let mut found = stream.alloc_zeros::<u32>(LENGTH)?;
    for round in 0..20 {
        let message = |rank| vector::<u32>(round, rank, LENGTH);
        stream.memcpy_htod(&message(comm.rank()), &mut own)?;
        comm.sendrecv(&own, next(comm), Tag(1), &mut found, previous(comm), Tag(1))?;
        stream.memset_zeros(&mut own)?;
        assert_same(&stream.clone_dtoh(&found)?, &message(previous(comm)), || {
            format!("round {round}")
        });
        stream.memset_zeros(&mut found)?;
    }
    Ok(())
}

fn a_piece_that_cannot_be_sent(_: &Communicator) -> Outcome {
    const PIECE: usize = 4096;
    const LENGTH: usize = 10 * PIECE;
    // Message 1 of rank 0 is the envelope, then there are ten pieces, or one where nothing goes through the host.
    for (from_device, to_device, messages) in [(true, true, 1), (true, false, 10), (false, true, 10)] {
        for failing in 2..2 + messages {
            let config =
                Config::from_env()?
                    .chunk(PIECE)
                    .fault(Fault::new(FaultAction::Fail, failing, Some(0)));
            let outcomes = Communicator::threads_with(&config, 2, |comm| {
                let stream = comm.device()?.new_stream()?;
                let message = vector::<u8>(failing, 0, LENGTH);
                let outcome = match (comm.rank(), from_device, to_device) {
                    (0, false, _) => comm.send(&message, 1, Tag(1)),
                    (0, true, _) => comm.send(&stream.clone_htod(&message)?, 1, Tag(1)),
                    (_, _, false) => comm.recv(&mut vec![0u8; LENGTH], 0, Tag(1)).map(drop),
                    (_, _, true) => {
                        let mut found = stream.alloc_zeros::<u8>(LENGTH)?;
                        comm.recv(&mut found, 0, Tag(1)).map(drop)
                    }
                };
                expect_error(
                    outcome,
                    match comm.rank() {
                        0 => ErrorKind::Mpi,
                        _ => ErrorKind::PeerFailed,
                    },
                );
                still_works(&comm)
            })?;
            outcomes.into_iter().collect::<Result<Vec<()>, Failure>>()?;
        }
    }
    Ok(())
}

fn between_two_groups(comm: &Communicator) -> Outcome {
    // Rank 0 faces all others, who send from their GPUs and receive on them.
    let is_low = comm.rank() == 0;
    let local = comm.split(Some(u32::from(is_low)), 0)?.expect("a color");
    let between = local.create_intercommunicator(0, comm, usize::from(is_low), Tag(0))?;
    let stream = stream(comm)?;
    for length in LENGTHS {
        let own = vector::<f32>(1, comm.rank(), length);
        let sends: Vec<_> = (0..between.remote_size())
            .map(|rank| Ok(between.isend(stream.clone_htod(&own)?, rank, Tag(0))))
            .collect::<Result<_, Failure>>()?;
        for rank in 0..between.remote_size() {
            let mut incoming = stream.alloc_zeros::<f32>(length)?;
            between.recv(&mut incoming, rank, Tag(0))?;
            let sender = if is_low { 1 + rank } else { 0 };
            let expected = vector::<f32>(1, sender, length);
            assert_same(&stream.clone_dtoh(&incoming)?, &expected, || format!("of {rank}"));
        }
        for send in sends {
            send.wait()?;
        }
    }
    Ok(())
}

fn nothing_is_in_use_afterwards(comm: &Communicator) -> Outcome {
    let stream = stream(comm)?;
    for length in LENGTHS {
        let mut buffer = stream.clone_htod(&vector::<f64>(1, comm.rank(), length))?;
        comm.allreduce_in_place(&mut buffer, Op::Min)?;
        comm.bcast(&mut buffer, 0)?;
    }
    stream.synchronize()?;
    comm.barrier()?;
    // Ranks that are threads share the slabs.
    assert_eq!(pinned_usage().slabs_in_use, 0, "{:?}", pinned_usage());
    Ok(())
}

/// From GPU to GPU.
fn a_message_of_two_gibibytes(comm: &Communicator) -> Outcome {
    match comm.rank() {
        0 => {
            let stream = stream(comm)?;
            let mut buffer = stream.alloc_zeros::<u8>(GIBIBYTES)?;
            for (number, position) in marks(GIBIBYTES).into_iter().enumerate() {
                stream.memcpy_htod(&[mark(number)], &mut buffer.slice_mut(position..=position))?;
            }
            Ok(comm.send(&buffer, 1, Tag(0))?)
        }
        1 => is_received_whole::<u8>(comm, GIBIBYTES),
        _ => Ok(()),
    }
}

/// From the host, where what is not written takes no memory: a simulated GPU has none of its own.
fn a_message_of_a_gibi_of_elements(comm: &Communicator) -> Outcome {
    match comm.rank() {
        0 => {
            let mut buffer = vec![0f32; GIBI_OF_ELEMENTS];
            for (number, position) in marks(GIBI_OF_ELEMENTS).into_iter().enumerate() {
                buffer[position] = mark(number).into();
            }
            Ok(comm.send(&buffer, 1, Tag(0))?)
        }
        1 => is_received_whole::<f32>(comm, GIBI_OF_ELEMENTS),
        _ => Ok(()),
    }
}

/// For the MPI library whose jobs with buffers on GPUs have an odd number of ranks.
fn two_gibibytes_beside_another_rank(comm: &Communicator) -> Outcome {
    a_message_of_two_gibibytes(comm)
}

/// As above.
fn a_gibi_of_elements_beside_another_rank(comm: &Communicator) -> Outcome {
    a_message_of_a_gibi_of_elements(comm)
}

fn is_received_whole<T: Small>(comm: &Communicator, length: usize) -> Outcome {
    const AT_ONCE: usize = 4 << 20;
    let stream = stream(comm)?;
    // SAFETY: nobody reads it before it is received into; a simulated GPU fills it with what no message has.
    let mut buffer = unsafe { stream.alloc::<T>(length)? };
    let status = comm.recv(&mut buffer, 0, Tag(0))?;
    assert_eq!(status.count(), length as u64);

    let mut all_marks = marks(length).into_iter().enumerate().peekable();
    let mut part = Vec::new();
    for first in (0..length).step_by(AT_ONCE) {
        let end = length.min(first + AT_ONCE);
        part.resize(end - first, T::small(0));
        stream.memcpy_dtoh(&buffer.slice(first..end), &mut part)?;
        stream.synchronize()?;
        while let Some((number, position)) = all_marks.next_if(|(_, position)| *position < end) {
            let found = std::mem::replace(&mut part[position - first], T::small(0));
            assert_same(&[found], &[T::small(mark(number))], || {
                format!("element {position}")
            });
        }
        assert!(is_zero(&part), "elements from {first} on, between the marks");
    }
    Ok(())
}
