//! Requests whose elements are their task's own.

use std::future::Future;
use std::sync::Arc;

use super::{Request, Running};
use crate::buffer::{Parked, Span};
use crate::comm::Communicator;
use crate::dtype::Dtype;
use crate::engine::{Activity, Memory, task};
use crate::error::Result;
use crate::message::Status;
use crate::route::Route;

impl<B: Send + 'static> Request<B> {
    /// Starts an operation that owns whatever it moves; `buffer` is what the request gives back.
    pub(crate) fn spawn<F>(
        comm: &Communicator,
        operation: &'static str,
        route: Route,
        buffer: B,
        work: impl FnOnce(Communicator, Arc<Activity>) -> F,
    ) -> Request<B>
    where
        F: Future<Output = Result<Status>> + Send + 'static,
    {
        let activity = Arc::new(comm.message(operation, &Span::empty(Dtype::U8), route));
        let checked = comm
            .endpoint
            .enter()
            .and_then(|inside| comm.check_route(route).map(|()| inside));
        let _inside = match checked {
            Err(error) => return Request::over(Err(activity.name(error)), buffer),
            Ok(inside) => inside,
        };
        let work = work(comm.clone(), Arc::clone(&activity));
        // A transfer that nobody waits for any more is leaked with its memory.
        let task = task(activity, Memory::Owned, work);
        comm.endpoint.engine.spawn(&task);
        Request {
            running: Some(Running::Started(comm.clone(), task, Parked::new(buffer))),
            polled: None,
        }
    }
}
