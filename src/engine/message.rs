//! One message, on the wire that its communicator has.

use std::sync::Arc;

use super::activity::Activity;
use super::arrived::Matched;
use super::endpoint::Endpoint;
use super::rendezvous::{self, Mode};
use crate::buffer::Span;
use crate::error::{Error, Result};
use crate::message::{Source, Status, Tag};

/// Sends a span to `dest`.
pub(crate) async fn send(
    endpoint: &Arc<Endpoint>,
    activity: &Activity,
    span: &Span<'_>,
    to: (usize, Tag),
    mode: Mode,
) -> Result<Status> {
    match &endpoint.plain {
        None => rendezvous::send(endpoint, activity, span, to, mode).await,
        // Boxed, so that native messages need no room for it.
        Some(plain) => Box::pin(plain.send(endpoint, activity, span, to, mode)).await,
    }
}

/// Receives into a span that may be written.
pub(crate) async fn receive(
    endpoint: &Arc<Endpoint>,
    activity: &Activity,
    span: &Span<'_>,
    source: Source,
    tag: Tag,
) -> Result<Status> {
    match &endpoint.plain {
        None => rendezvous::receive(endpoint, activity, span, source, tag).await,
        Some(plain) => Box::pin(plain.receive(endpoint, activity, span, source, tag)).await,
    }
}

/// Receives a message that a matched probe has taken into a span that may be written.
pub(crate) async fn receive_matched(
    endpoint: &Arc<Endpoint>,
    activity: &Activity,
    span: &Span<'_>,
    matched: Matched,
) -> Result<Status> {
    match (matched, &endpoint.plain) {
        (Matched::Native(message), _) => rendezvous::receive_matched(endpoint, activity, span, message).await,
        (Matched::Plain(arrived), Some(plain)) => {
            Box::pin(plain.receive_found(endpoint, activity, span, arrived)).await
        }
        (Matched::Plain(_), None) => Err(Error::invalid("a plain message of a native communicator")),
    }
}
