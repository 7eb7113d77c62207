//! Requests as futures.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::{Request, RequestError, Running, reclaim};
use crate::comm::Communicator;
use crate::engine::Task;
use crate::error::{Error, ErrorKind, Result};
use crate::message::Status;

/// The buffer is never pinned by a request: its elements stay in place when it is moved.
impl<B: Send + 'static> Unpin for Request<B> {}

impl<B: Send + 'static> Future for Request<B> {
    type Output = Result<(B, Status), RequestError<B>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let request = self.get_mut();
        let over = match &request.running {
            Some(Running::Started(comm, task, _)) => poll_over(comm, task, &mut request.polled, context),
            _ => Poll::Ready(Ok(())),
        };
        match over {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => Poll::Ready(request.end()),
            Poll::Ready(Err(error)) => Poll::Ready(Err(request.fail(error))),
        }
    }
}

impl<B: Send + 'static> Request<B> {
    /// Ends a request whose operation may never be over.
    fn fail(&mut self, error: Error) -> RequestError<B> {
        match self.running.take() {
            Some(Running::Started(comm, task, buffer)) => RequestError {
                error: task.state().activity.name(error),
                buffer: reclaim(&comm, &task, buffer),
            },
            _ => RequestError { error, buffer: None },
        }
    }
}

/// Whether a task is over; an error if nobody should wait for it any more. If neither, it wakes the context.
fn poll_over(
    comm: &Communicator,
    task: &Arc<dyn Task>,
    polled: &mut Option<Instant>,
    context: &Context<'_>,
) -> Poll<Result<()>> {
    let (endpoint, state) = (&comm.endpoint, task.state());
    if state.is_done() {
        return Poll::Ready(Ok(()));
    }
    let engine = &endpoint.engine;
    let _inside = endpoint.enter()?;
    engine.poll_in_passing();
    if state.wake_when_over(context.waker()) {
        return Poll::Ready(Ok(()));
    }
    if let Some(lost) = engine.transport().lost() {
        endpoint.poison_with(&lost);
        return Poll::Ready(Err(lost));
    }
    if let Some(timeout) = comm.timeout()
        && polled.get_or_insert_with(Instant::now).elapsed() >= timeout
    {
        let message = format!("not done within {} s: {}", timeout.as_secs_f64(), state.activity);
        let error = Error::new(ErrorKind::Timeout, message);
        endpoint.poison_with(&error);
        return Poll::Ready(Err(error));
    }
    if !engine.goes_on_by_itself() {
        context.waker().wake_by_ref();
    }
    Poll::Pending
}
