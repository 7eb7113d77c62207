//! Requests as futures, on an executor of a few lines.

use std::future::{Future, IntoFuture, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use warpcomm::{Error, ErrorKind, Tag};

use super::common::{next, others, previous, still_works};
use crate::harness::{Outcome, expect_error};
use crate::oracle::vector;
use crate::placed::Communicator;

cases! {
    around_the_ring: 1..=4;
    a_sleeping_task_is_woken: 2..=2;
    many_at_once: 2..=4;
    bad_arguments_give_the_buffer_back: 1..=2;
    a_waker_may_change: 2..=2, threads;
    a_deadline_wakes: 2..=2, threads;
    a_waker_may_call_the_library: 2..=2, threads;
    a_waker_that_panics_harms_nobody: 2..=2, threads;
}

/// A thread that sleeps until its task is woken.
struct Sleeper {
    thread: Thread,
    wakes: AtomicUsize,
}

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
        self.thread.unpark();
    }
}

/// Runs a future to its end; how often it was polled is told too.
pub fn block_on<F: Future>(future: F) -> (F::Output, usize) {
    let sleeper = Arc::new(Sleeper {
        thread: thread::current(),
        wakes: AtomicUsize::new(0),
    });
    let waker = Waker::from(Arc::clone(&sleeper));
    let mut future = pin!(future);
    let mut seen = 0;
    for polls in 1.. {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return (output, polls);
        }
        while sleeper.wakes.load(Ordering::Relaxed) == seen {
            // A wake that is lost ends in the deadline of the case.
            thread::park();
        }
        seen = sleeper.wakes.load(Ordering::Relaxed);
    }
    unreachable!("it never gives up")
}

/// All futures at the same time.
struct JoinAll<F: Future>(Vec<Result<F::Output, Pin<Box<F>>>>);

impl<F: Future> Unpin for JoinAll<F> {}

impl<F: Future> Future for JoinAll<F> {
    type Output = Vec<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Vec<F::Output>> {
        for slot in &mut self.0 {
            if let Err(future) = slot
                && let Poll::Ready(output) = future.as_mut().poll(context)
            {
                *slot = Ok(output);
            }
        }
        match self.0.iter().all(Result::is_ok) {
            true => Poll::Ready(std::mem::take(&mut self.0).into_iter().flatten().collect()),
            false => Poll::Pending,
        }
    }
}

fn join_all<F: IntoFuture>(futures: impl IntoIterator<Item = F>) -> JoinAll<F::IntoFuture> {
    let pinned = |future: F| Err(Box::pin(future.into_future()));
    JoinAll(futures.into_iter().map(pinned).collect())
}

fn around_the_ring(comm: &Communicator) -> Outcome {
    for length in [0, 1, 5000] {
        let own = vector::<i64>(1, comm.rank(), length);
        let receive = comm.irecv(vec![0i64; length], previous(comm), Tag(0));
        let send = comm.issend(own.clone(), next(comm), Tag(0));
        let (outcome, _) = block_on(async {
            let (received, status) = receive.await?;
            let (sent, _) = send.await?;
            Ok::<_, Error>((received, status, sent))
        });
        let (received, status, sent) = outcome?;
        assert_eq!(received, vector::<i64>(1, previous(comm), length));
        assert_eq!((status.count(), sent), (length as u64, own));
    }
    Ok(())
}

fn a_sleeping_task_is_woken(comm: &Communicator) -> Outcome {
    for length in [1, 5000] {
        if comm.rank() == 0 {
            comm.barrier()?;
            comm.send(&vec![5u32; length], 1, Tag(0))?;
        } else {
            let mut receive = comm.irecv(vec![0u32; length], 0, Tag(0)).into_future();
            let mut nobody = Context::from_waker(Waker::noop());
            assert!(Pin::new(&mut receive).poll(&mut nobody).is_pending());
            comm.barrier()?;
            assert_eq!(block_on(receive).0?.0, vec![5; length]);
        }
    }
    Ok(())
}

fn many_at_once(comm: &Communicator) -> Outcome {
    const MESSAGES: usize = 50;
    let length = |number: usize| if number % 7 == 3 { 1500 } else { number % 4 };
    let contents = |number: usize, rank: usize| vector::<u32>(number as u64, rank, length(number));
    let pairs = || others(comm).flat_map(|peer| (0..MESSAGES).map(move |number| (peer, number)));
    let receives =
        pairs().map(|(peer, number)| comm.irecv(vec![0u32; length(number)], peer, Tag(number as i32 % 5)));
    let receives: Vec<_> = receives.collect();
    let sends =
        pairs().map(|(peer, number)| comm.isend(contents(number, comm.rank()), peer, Tag(number as i32 % 5)));
    let sends: Vec<_> = sends.collect();
    let ((received, sent), _) = block_on(async { (join_all(receives).await, join_all(sends).await) });
    for ((peer, number), outcome) in pairs().zip(received) {
        assert_eq!(outcome?.0, contents(number, peer), "message {number} of {peer}");
    }
    for outcome in sent {
        outcome?;
    }
    Ok(())
}

fn bad_arguments_give_the_buffer_back(comm: &Communicator) -> Outcome {
    let (outcome, polls) = block_on(comm.isend(vec![1u8, 2], comm.size(), Tag(0)).into_future());
    let (error, buffer) = outcome.unwrap_err().into_parts();
    assert_eq!(
        (error.kind(), buffer, polls),
        (ErrorKind::InvalidArgument, Some(vec![1, 2]), 1)
    );
    still_works(comm)
}

/// A future may be polled by one task and then by another, which is the one to be woken.
fn a_waker_may_change(comm: &Communicator) -> Outcome {
    if comm.rank() == 0 {
        comm.recv(&mut [0u8], 1, Tag(1))?;
        return comm.send(&[5u32], 1, Tag(0)).map_err(Into::into);
    }
    let mut receive = pin!(comm.irecv(vec![0u32], 0, Tag(0)).into_future());
    let mut nobody = Context::from_waker(Waker::noop());
    assert!(receive.as_mut().poll(&mut nobody).is_pending());
    let mut is_told = false;
    let (outcome, _) = block_on(poll_fn(|context| {
        let polled = receive.as_mut().poll(context);
        // The message comes when there is another waker.
        if !std::mem::replace(&mut is_told, true) {
            comm.send(&[1u8], 0, Tag(1)).expect("it fits into its envelope");
        }
        polled
    }));
    assert_eq!(outcome?.0, [5]);
    Ok(())
}

fn a_deadline_wakes(comm: &Communicator) -> Outcome {
    let impatient = comm.duplicate()?.with_timeout(Some(Duration::from_millis(20)));
    if comm.rank() == 0 {
        let begun = Instant::now();
        let receive = impatient.irecv(vec![7u32], 1, Tag(0));
        let (outcome, _) = block_on(receive.into_future());
        let (error, buffer) = outcome.unwrap_err().into_parts();
        assert_eq!((error.kind(), buffer), (ErrorKind::Timeout, Some(vec![7])));
        assert!(begun.elapsed() >= Duration::from_millis(20));
        expect_error(impatient.send(&[1u8], 1, Tag(0)), ErrorKind::Timeout);
    }
    still_works(comm)
}

/// Does something when it is woken.
struct Then<F>(F, AtomicUsize);

impl<F: Fn() + Send + Sync> Wake for Then<F> {
    fn wake(self: Arc<Self>) {
        self.1.fetch_add(1, Ordering::Relaxed);
        (self.0)();
    }
}

/// Receives as a future whose waker does something, while this thread is in a blocking receive.
fn woken_meanwhile(comm: &Communicator, does: impl Fn() + Send + Sync + 'static) -> Outcome {
    for length in [1, 5000] {
        if comm.rank() == 1 {
            comm.barrier()?;
            comm.send(&vec![5u32; length], 0, Tag(0))?;
            comm.send(&[6u32], 0, Tag(1))?;
        }
    }
    if comm.rank() == 1 {
        return still_works(comm);
    }
    let then = Arc::new(Then(does, AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&then));
    for (round, length) in [1, 5000].into_iter().enumerate() {
        let mut receive = pin!(comm.irecv(vec![0u32; length], 1, Tag(0)).into_future());
        assert!(
            receive
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        comm.barrier()?;
        let mut last = [0u32];
        comm.recv(&mut last, 1, Tag(1))?;
        // Whichever thread has ended the receive.
        while then.1.load(Ordering::Relaxed) <= round {
            thread::yield_now();
        }
        let (outcome, _) = block_on(receive);
        assert_eq!((outcome?.0, last), (vec![5; length], [6]));
    }
    still_works(comm)
}

fn a_waker_may_call_the_library(comm: &Communicator) -> Outcome {
    let own = warpcomm::Communicator::clone(comm).duplicate()?;
    woken_meanwhile(comm, move || {
        let mut received = [0u8];
        let outcome = own.sendrecv(&[7u8], own.rank(), Tag(9), &mut received, own.rank(), Tag(9));
        assert!(outcome.is_ok() && received == [7], "{outcome:?}");
    })
}

fn a_waker_that_panics_harms_nobody(comm: &Communicator) -> Outcome {
    woken_meanwhile(comm, || panic!("of the waker, as it should"))
}
