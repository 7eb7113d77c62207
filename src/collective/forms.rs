//! The forms of a collective that goes on while its caller does something else: non-blocking, in a scope, persistent.
//!
//! Each collective's file stamps its own with [`apart_forms!`] and [`in_place_forms!`].

use std::sync::Arc;

use super::{Apart, Call, Collective, InPlace, Lists, Spans};
use crate::buffer::{AnyOwnedBuffer, AnyOwnedBufferMut, OwnedBuffer, OwnedBufferMut, Parked, Span};
use crate::comm::Communicator;
use crate::dtype::Dtype;
use crate::engine::{Memory, Phase, Sequence, Task, Unfinished, task};
use crate::error::Result;
use crate::message::Status;
use crate::request::{Persistent, Request};
use crate::scope::{Scope, ScopedRequest};

/// How buffers that a request owns are lowered.
///
/// # Safety
/// As for [`Span::owned`]: the buffers outlive the spans, and nobody uses their elements meanwhile.
type LowerOwned<B, S> = unsafe fn(&mut B) -> S;

/// # Safety
/// As [`LowerOwned`] says.
pub(super) unsafe fn apart<S: OwnedBuffer, R: OwnedBufferMut>(buffers: &mut (S, R)) -> Apart<'static> {
    // SAFETY: the caller's promise.
    unsafe { (buffers.0.lower().owned(), buffers.1.lower_mut().owned()) }
}

/// # Safety
/// As [`LowerOwned`] says.
pub(super) unsafe fn in_place<B: OwnedBufferMut>(buffer: &mut B) -> InPlace<'static> {
    // SAFETY: the caller's promise.
    unsafe { buffer.lower_mut().owned() }
}

/// # Safety
/// There is nothing to promise.
pub(super) unsafe fn none(_: &mut ()) {}

/// # Safety
/// As [`LowerOwned`] says.
pub(super) unsafe fn lists(
    (send, recv): &mut (Vec<AnyOwnedBuffer>, Vec<AnyOwnedBufferMut>),
) -> Lists<'static> {
    // SAFETY: the caller's promise.
    let send = send.iter().map(|buffer| unsafe { buffer.lower().owned() });
    // SAFETY: the caller's promise.
    (send.collect(), unsafe { list(recv) })
}

/// # Safety
/// As [`LowerOwned`] says.
#[expect(clippy::ptr_arg, reason = "requests own vectors")]
pub(super) unsafe fn list(buffers: &mut Vec<AnyOwnedBufferMut>) -> Vec<Span<'static>> {
    // SAFETY: the caller's promise.
    let spans = buffers
        .iter_mut()
        .map(|buffer| unsafe { buffer.lower_mut().owned() });
    spans.collect()
}

impl Communicator {
    /// Starts a collective that owns its buffers.
    pub(super) fn start_collective<B, S, C>(
        &self,
        name: &'static str,
        what: C,
        buffers: B,
        lower: LowerOwned<B, S>,
    ) -> Request<B>
    where
        B: Send + 'static,
        S: Spans + 'static,
        C: Collective<S> + 'static,
    {
        let mut buffers = Parked::new(buffers);
        // SAFETY: the request keeps the buffers until the task is over, or leaks them.
        let spans = unsafe { lower(buffers.get_mut()) };
        match start(self, name, Arc::new(what), spans, Memory::Owned, None) {
            Ok(task) => Request::started(self, task, buffers),
            Err(error) => Request::over(Err(error), buffers.unpark()),
        }
    }

    /// Prepares a collective that owns its buffers.
    pub(super) fn prepare_collective<B, S, C>(
        &self,
        name: &'static str,
        what: C,
        buffers: B,
        lower: LowerOwned<B, S>,
    ) -> Persistent<B>
    where
        B: Send + 'static,
        S: Spans + 'static,
        C: Collective<S> + 'static,
    {
        let (what, sequence) = (Arc::new(what), self.endpoint.count_persistent());
        Persistent::new(self, name, buffers, move |comm, buffers| {
            // SAFETY: the persistent request keeps the buffers until the task is over, or leaks them.
            let spans = unsafe { lower(buffers) };
            start(
                comm,
                name,
                Arc::clone(&what),
                spans,
                Memory::Owned,
                Some(sequence),
            )
        })
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Starts a collective on buffers that `lent` stands for.
    pub(super) fn start_collective<B, S, C>(
        &'scope self,
        name: &'static str,
        what: C,
        lent: B,
        spans: S,
    ) -> Result<ScopedRequest<'scope, B>>
    where
        S: Spans + 'static,
        C: Collective<S> + 'static,
    {
        let task = start(self.comm(), name, Arc::new(what), spans, Memory::Borrowed, None)?;
        Ok(self.hold(task, lent))
    }
}

/// Starts a collective as a task of the engine; a persistent one has its number already.
fn start<S, C>(
    comm: &Communicator,
    name: &'static str,
    what: Arc<C>,
    spans: S,
    memory: Memory,
    persistent: Option<Sequence>,
) -> Result<Arc<dyn Task>>
where
    S: Spans + 'static,
    C: Collective<S> + 'static,
{
    let mut activity = comm.activity(name);
    spans.describe(&activity);
    let named = |error| activity.name(error);
    let _inside = comm.endpoint.enter().map_err(named)?;
    let sequence = match persistent {
        Some(sequence) => comm.endpoint.check_native().map(|()| sequence).map_err(named)?,
        None => {
            comm.endpoint
                .enter_collective(C::OPERATION)
                .map_err(named)?
                .sequence
        }
    };
    activity.sequence = Some(sequence);
    let activity = Arc::new(activity);
    let mut unfinished = Unfinished::new(&comm.endpoint, sequence);
    let (own, about) = (comm.clone(), Arc::clone(&activity));
    let task = task(activity, memory, async move {
        unfinished.has_its_turn().await;
        let call = Call {
            comm: &own,
            operation: C::OPERATION,
            activity: &about,
            sequence,
            on_device: spans.on_device(),
            errand: None,
        };
        let mut outcome = what.run(&call, &spans).await;
        drop(unfinished);
        if memory == Memory::Owned {
            // An owner takes its buffers back without asking their streams.
            for span in spans.each() {
                outcome = outcome.and(span.settle().await);
            }
        }
        about.waits_for(Phase::Over);
        outcome.map(|()| Status::null(Dtype::U8))
    });
    comm.endpoint.engine.spawn(&task);
    Ok(task)
}

/// Stamps the forms of a collective with a buffer to send and one to receive into.
///
/// A line is the method's name and MPI's, the names of the forms with what stands before and behind the receive
/// buffer, and the [`Collective`] that they make of it. The documentation is an example of the non-blocking form.
macro_rules! apart_forms {
    (
        $(#[$example:meta])*
        $blocking:literal $mpi:literal: $start:ident $prepare:ident
        ($send:ident $(, $before:ident: $before_type:ty)*; $recv:ident $(, $after:ident: $after_type:ty)*)
        => $what:expr
    ) => {
        impl crate::comm::Communicator {
            #[doc = concat!("Starts what [`", $blocking, "`](Self::", $blocking, ") does; the request owns the buffers.")]
            ///
            /// It goes on by itself; waiting gives both buffers back. Ranks start their collectives in the same order.
            /// On a [native](crate::Wire::Native) communicator others may call the blocking form, and see no
            /// difference.
            ///
            #[doc = concat!("MPI standard, section 6.12 (`MPI_I", $blocking, "`).")]
            ///
            /// # Errors
            #[doc = concat!("Those of [`", $blocking, "`](Self::", $blocking, "), arguments included, arrive at")]
            /// [`Request::wait`](crate::Request::wait).
            ///
            $(#[$example])*
            pub fn $start<S, R>(
                &self, $send: S, $($before: $before_type,)* $recv: R $(, $after: $after_type)*
            ) -> crate::request::Request<(S, R)>
            where
                S: crate::buffer::OwnedBuffer,
                R: crate::buffer::OwnedBufferMut<Element = S::Element>,
            {
                self.start_collective(stringify!($start), $what, ($send, $recv), super::forms::apart)
            }

            #[doc = concat!("Prepares what [`", $blocking, "`](Self::", $blocking, ") does, to be started many times.")]
            ///
            /// Nothing happens before [`Persistent::start`](crate::Persistent::start). Ranks prepare their collectives
            /// in the same order, and start them in any. It meets persistent ones only: a rank that calls another form
            /// meanwhile is waited for.
            ///
            #[doc = concat!("MPI standard, section 6.13 (`MPI_", $mpi, "_init`).")]
            ///
            /// # Errors
            #[doc = concat!("Those of [`", $blocking, "`](Self::", $blocking, ") arrive when it is started or waited for, and")]
            /// [`Unsupported`](crate::ErrorKind::Unsupported) on a [plain](crate::Wire::Plain) communicator.
            pub fn $prepare<S, R>(
                &self, $send: S, $($before: $before_type,)* $recv: R $(, $after: $after_type)*
            ) -> crate::request::Persistent<(S, R)>
            where
                S: crate::buffer::OwnedBuffer,
                R: crate::buffer::OwnedBufferMut<Element = S::Element>,
            {
                let name = concat!("persistent ", $blocking);
                self.prepare_collective(name, $what, ($send, $recv), super::forms::apart)
            }
        }

        impl<'scope> crate::scope::Scope<'scope, '_> {
            #[doc = concat!("Starts what [`", $blocking, "`](crate::Communicator::", $blocking, ") does, on borrowed buffers.")]
            ///
            /// # Errors
            #[doc = concat!("Those of [`", $blocking, "`](crate::Communicator::", $blocking, "), at")]
            /// [`ScopedRequest::wait`](crate::ScopedRequest::wait) or at the end of the scope; at once what keeps it from
            /// starting: a poisoned communicator, another thread in a collective.
            pub fn $start<S, R>(
                &'scope self,
                $send: &'scope S,
                $($before: $before_type,)*
                $recv: &'scope mut R
                $(, $after: $after_type)*
            ) -> crate::error::Result<crate::scope::ScopedRequest<'scope, (&'scope S, &'scope mut R)>>
            where
                S: crate::buffer::Buffer + ?Sized,
                R: crate::buffer::BufferMut<Element = S::Element> + ?Sized,
            {
                // SAFETY: borrowed for 'scope, which ends after every task of the scope is over.
                let spans = unsafe { ($send.lower().detach(), $recv.lower_mut().detach()) };
                self.start_collective(stringify!($start), $what, ($send, $recv), spans)
            }
        }
    };
}
pub(super) use apart_forms;

/// Stamps the forms of a collective with one buffer; see [`apart_forms!`].
macro_rules! in_place_forms {
    (
        $(#[$example:meta])*
        $blocking:literal $mpi:literal: $start:ident $prepare:ident ($buffer:ident $(, $after:ident: $after_type:ty)*)
        => $what:expr
    ) => {
        impl crate::comm::Communicator {
            #[doc = concat!("Starts what [`", $blocking, "`](Self::", $blocking, ") does; the request owns the buffer.")]
            ///
            /// It goes on by itself; waiting gives the buffer back. Ranks start their collectives in the same order.
            /// On a [native](crate::Wire::Native) communicator others may call the blocking form, and see no
            /// difference.
            ///
            #[doc = concat!("MPI standard, section 6.12 (the non-blocking form of `MPI_", $mpi, "`).")]
            ///
            /// # Errors
            #[doc = concat!("Those of [`", $blocking, "`](Self::", $blocking, "), arguments included, arrive at")]
            /// [`Request::wait`](crate::Request::wait).
            ///
            $(#[$example])*
            pub fn $start<B: crate::buffer::OwnedBufferMut>(
                &self, $buffer: B $(, $after: $after_type)*
            ) -> crate::request::Request<B> {
                self.start_collective(stringify!($start), $what, $buffer, super::forms::in_place)
            }

            #[doc = concat!("Prepares what [`", $blocking, "`](Self::", $blocking, ") does, to be started many times.")]
            ///
            /// Nothing happens before [`Persistent::start`](crate::Persistent::start). Ranks prepare their collectives
            /// in the same order, and start them in any. It meets persistent ones only: a rank that calls another form
            /// meanwhile is waited for.
            ///
            #[doc = concat!("MPI standard, section 6.13 (`MPI_", $mpi, "_init`).")]
            ///
            /// # Errors
            #[doc = concat!("Those of [`", $blocking, "`](Self::", $blocking, ") arrive when it is started or waited for, and")]
            /// [`Unsupported`](crate::ErrorKind::Unsupported) on a [plain](crate::Wire::Plain) communicator.
            pub fn $prepare<B: crate::buffer::OwnedBufferMut>(
                &self, $buffer: B $(, $after: $after_type)*
            ) -> crate::request::Persistent<B> {
                let name = concat!("persistent ", $blocking);
                self.prepare_collective(name, $what, $buffer, super::forms::in_place)
            }
        }

        impl<'scope> crate::scope::Scope<'scope, '_> {
            #[doc = concat!("Starts what [`", $blocking, "`](crate::Communicator::", $blocking, ") does, on a borrowed buffer.")]
            ///
            /// # Errors
            #[doc = concat!("Those of [`", $blocking, "`](crate::Communicator::", $blocking, "), at")]
            /// [`ScopedRequest::wait`](crate::ScopedRequest::wait) or at the end of the scope; at once what keeps it from
            /// starting: a poisoned communicator, another thread in a collective.
            pub fn $start<B: crate::buffer::BufferMut + ?Sized>(
                &'scope self, $buffer: &'scope mut B $(, $after: $after_type)*
            ) -> crate::error::Result<crate::scope::ScopedRequest<'scope, &'scope mut B>> {
                // SAFETY: borrowed for 'scope, which ends after every task of the scope is over.
                let span = unsafe { $buffer.lower_mut().detach() };
                self.start_collective(stringify!($start), $what, $buffer, span)
            }
        }
    };
}
pub(super) use in_place_forms;
