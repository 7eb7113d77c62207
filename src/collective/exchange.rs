//! Blocks between every pair of ranks.

use super::agreement::Agreed;
use super::courier::Courier;
use super::{Call, copy};
use crate::buffer::Span;
use crate::error::Result;

/// Starts to receive what each other rank sends, and to send each what is for it.
///
/// # Safety
/// What is received into may be written and is not used, and what is sent is not written, before
/// [`Courier::finish`] or the drop of the courier; the spans of `receive` overlap neither each other nor those of
/// `send`.
pub(super) unsafe fn start_exchange<'s>(
    call: &Call<'_>,
    courier: &mut Courier<'_>,
    send: impl Fn(usize) -> Result<Span<'s>>,
    receive: impl Fn(usize) -> Result<Span<'s>>,
) -> Result<()> {
    for other in call.others() {
        // SAFETY: the caller's promise.
        unsafe { courier.receive(other, &receive(other)?) };
    }
    for other in call.others() {
        // SAFETY: the caller's promise.
        unsafe { courier.send(other, &send(other)?) };
    }
    Ok(())
}

/// Brings each rank what is for it, this one too.
///
/// # Safety
/// What is received into may be written; the spans of `receive` overlap neither each other nor those of `send`, but
/// that this rank's own may be the same on both sides.
pub(super) async unsafe fn exchange<'s>(
    call: &Call<'_>,
    agreed: &mut Agreed<'_>,
    send: impl Fn(usize) -> Result<Span<'s>>,
    receive: impl Fn(usize) -> Result<Span<'s>>,
) -> Result<()> {
    let copied = copy(&send(call.rank())?, &receive(call.rank())?).await;
    let mut courier = Courier::new(call, agreed);
    courier.note(copied);
    // SAFETY: the caller's promise; this rank's own blocks have been dealt with.
    unsafe { start_exchange(call, &mut courier, send, receive) }?;
    courier.finish().await;
    courier.outcome()
}
