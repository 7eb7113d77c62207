//! The way of one message: to or from whom, with which tag.

use crate::buffer::Span;
use crate::comm::Communicator;
use crate::engine::{self, Activity, Matched, Mode, Phase};
use crate::error::{Peer, Result};
use crate::message::{PROC_NULL, Source, Status, Tag};

/// Where an operation sends to or receives from, checked before it starts.
#[derive(Clone, Copy)]
pub(crate) enum Route {
    To(usize, Tag, Mode),
    From(Source, Tag),
}

/// Which message an operation moves.
pub(crate) enum Way {
    /// One that is still to be matched.
    Open(Route),
    /// One that a matched probe has taken.
    Matched(Matched),
}

impl Communicator {
    /// Describes an operation on `span` for errors and reports.
    #[inline(always)]
    pub(crate) fn message(&self, operation: &'static str, span: &Span<'_>, route: Route) -> Activity {
        let (peer, tag) = match route {
            Route::To(rank, tag, _) => (Peer::To(rank), tag),
            Route::From(Source::Rank(rank), tag) => (Peer::From(rank), tag),
            Route::From(Source::Any, tag) => (Peer::FromAny, tag),
        };
        let mut activity = self.activity(operation);
        activity.peer = Some(peer);
        activity.tag = Some(tag);
        activity.measures(span.bytes());
        activity.carries(span.dtype());
        activity.has_elements_in(span.place());
        activity
    }

    #[inline]
    pub(crate) fn check_route(&self, route: Route) -> Result<()> {
        match route {
            Route::To(rank, tag, _) => {
                self.check_peer(rank)?;
                self.endpoint.check_tag(tag.0)
            }
            Route::From(source, tag) => {
                if let Source::Rank(rank) = source {
                    self.check_peer(rank)?;
                }
                if tag == Tag::ANY {
                    Ok(())
                } else {
                    self.endpoint.check_tag(tag.0)
                }
            }
        }
    }

    #[inline]
    fn check_peer(&self, rank: usize) -> Result<()> {
        match rank {
            PROC_NULL => Ok(()),
            rank => self.endpoint.check_rank(rank),
        }
    }

    /// Moves one message along a checked route.
    pub(crate) async fn travel(&self, activity: &Activity, span: &Span<'_>, route: Route) -> Result<Status> {
        // Of an object nobody knew before.
        activity.measures(span.bytes());
        let status = match route {
            Route::To(PROC_NULL, ..) | Route::From(Source::Rank(PROC_NULL), _) => {
                Ok(Status::null(span.dtype()))
            }
            Route::To(dest, tag, mode) => {
                engine::send(&self.endpoint, activity, span, (dest, tag), mode).await
            }
            Route::From(source, tag) => engine::receive(&self.endpoint, activity, span, source, tag).await,
        }?;
        activity.waits_for(Phase::Over);
        Ok(status)
    }

    /// Moves one message along a checked way.
    pub(crate) async fn go(&self, activity: &Activity, span: &Span<'_>, way: Way) -> Result<Status> {
        match way {
            Way::Open(route) => self.travel(activity, span, route).await,
            Way::Matched(matched) => {
                let status = engine::receive_matched(&self.endpoint, activity, span, matched).await?;
                activity.waits_for(Phase::Over);
                Ok(status)
            }
        }
    }
}
