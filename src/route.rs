//! The way of one message: to or from whom, with which tag.

use crate::buffer::Span;
use crate::comm::Communicator;
use crate::engine::{self, Activity, Phase};
use crate::error::{Peer, Result};
use crate::message::{Source, Status, Tag};

/// Where an operation sends to or receives from, checked before it starts.
#[derive(Clone, Copy)]
pub(crate) enum Route {
    To(usize, Tag),
    From(Source, Tag),
}

impl Communicator {
    /// Describes an operation on `span` for errors and reports.
    #[inline]
    pub(crate) fn message(&self, operation: &'static str, span: &Span<'_>, route: Route) -> Activity {
        let (peer, tag) = match route {
            Route::To(rank, tag) => (Peer::To(rank), tag),
            Route::From(Source::Rank(rank), tag) => (Peer::From(rank), tag),
            Route::From(Source::Any, tag) => (Peer::FromAny, tag),
        };
        let mut activity = self.activity(operation);
        activity.peer = Some(peer);
        activity.tag = Some(tag);
        activity.bytes = span.bytes();
        activity
    }

    #[inline]
    pub(crate) fn check_route(&self, route: Route) -> Result<()> {
        match route {
            Route::To(rank, tag) => {
                self.endpoint.check_rank(rank)?;
                self.endpoint.check_tag(tag.0)
            }
            Route::From(source, tag) => {
                if let Source::Rank(rank) = source {
                    self.endpoint.check_rank(rank)?;
                }
                if tag == Tag::ANY {
                    Ok(())
                } else {
                    self.endpoint.check_tag(tag.0)
                }
            }
        }
    }

    /// Moves one message along a checked route.
    pub(crate) async fn travel(&self, activity: &Activity, span: &Span<'_>, route: Route) -> Result<Status> {
        let status = match route {
            Route::To(dest, tag) => engine::send(&self.endpoint, activity, span, dest, tag).await,
            Route::From(source, tag) => engine::receive(&self.endpoint, activity, span, source, tag).await,
        }?;
        activity.waits_for(Phase::Over);
        Ok(status)
    }
}
