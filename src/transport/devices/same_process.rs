//! Elements from GPU to GPU of one process, by one copy that the receiver starts.
//!
//! ```text
//! sender                                     receiver
//! lends its elements: a number      ------>  waits for the sender's lane, copies; the sender's lane waits for the copy
//! waits until they are taken
//! ```
//!
//! Nobody waits for the copy itself: what comes later in the lanes does.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use super::letter::Letter;
use super::{Line, Memory, Steps};
use crate::device::{Device, Lane};
use crate::error::Result;
use crate::transport::{Delivery, DeviceMemory, Ticket, Transport};

/// The number of a loan, as it travels.
type Number = [u8; size_of::<u64>()];

/// Elements that a rank of this process lends to another.
struct Loan {
    lane: Arc<Lane>,
    address: usize,
}

/// What is lent in this process and was not taken yet. A copy is started under the lock, so that what was taken back is
/// not read any more.
static LOANS: Mutex<Option<HashMap<u64, Loan>>> = Mutex::new(None);

fn loans() -> MutexGuard<'static, Option<HashMap<u64, Loan>>> {
    // Each change is one insertion or removal.
    LOANS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A message that lends elements.
pub(super) struct Lending {
    line: Line,
    bytes: usize,
    number: u64,
    /// Tells the receiver.
    told: Letter,
}

impl Lending {
    /// Lends the elements.
    ///
    /// # Safety
    /// As for [`Transport::isend_body`].
    pub(super) unsafe fn new(line: Line, body: &DeviceMemory<'_>, inner: &dyn Transport) -> Result<Lending> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let loan = Loan {
            lane: Arc::clone(body.lane),
            address: body.address,
        };
        loans().get_or_insert_default().insert(number, loan);
        let mut lending = Lending {
            line,
            bytes: body.bytes,
            number,
            told: Letter::None,
        };
        lending.told = Letter::send(
            &lending.line,
            lending.line.tags.body,
            &number.to_ne_bytes(),
            inner,
        )?;
        Ok(lending)
    }
}

impl Steps for Lending {
    fn advance(&mut self, inner: &dyn Transport) -> Poll<Result<Delivery>> {
        if self.told.poll(inner)?.is_pending() {
            return Poll::Pending;
        }
        let is_lent = loans()
            .as_ref()
            .is_some_and(|loans| loans.contains_key(&self.number));
        match is_lent {
            true => Poll::Pending,
            false => Poll::Ready(Ok(self.line.delivery(self.bytes))),
        }
    }

    fn abandon(&mut self, inner: &dyn Transport) -> Vec<(Ticket, Memory)> {
        self.told.abandon(inner)
    }
}

impl Drop for Lending {
    fn drop(&mut self) {
        // Only what was not taken is there.
        if let Some(loans) = loans().as_mut() {
            loans.remove(&self.number);
        }
    }
}

/// A message that takes lent elements.
pub(super) struct Taking {
    line: Line,
    lane: Arc<Lane>,
    address: usize,
    bytes: usize,
    /// Tells the number of the loan.
    told: Letter,
}

impl Taking {
    /// Waits for elements.
    ///
    /// # Safety
    /// As for [`Transport::irecv_body`].
    pub(super) unsafe fn new(line: Line, body: &DeviceMemory<'_>, inner: &dyn Transport) -> Result<Taking> {
        let told = Letter::expect(&line, line.tags.body, size_of::<Number>(), inner)?;
        Ok(Taking {
            line,
            lane: Arc::clone(body.lane),
            address: body.address,
            bytes: body.bytes,
            told,
        })
    }

    /// Starts the copy; how many bytes come.
    fn take(&self, number: u64) -> Result<usize> {
        let mut loans = loans();
        let Some(loan) = loans.as_mut().and_then(|loans| loans.remove(&number)) else {
            // It was taken back.
            return Ok(0);
        };
        let copied = self.lane.after(&loan.lane).and_then(|()| {
            // SAFETY: whoever lends the elements keeps them until they are taken; whoever has started this receive
            // promises the target.
            unsafe {
                self.lane
                    .copy(loan.address as *const u8, self.address as *mut u8, self.bytes)
            }
        });
        // What the lender does next waits for the copy; in the worst case here.
        let ordered = loan.lane.after(&self.lane).inspect_err(|_| self.lane.wait());
        copied.and(ordered).map(|()| self.bytes)
    }
}

impl Steps for Taking {
    fn advance(&mut self, inner: &dyn Transport) -> Poll<Result<Delivery>> {
        let Poll::Ready(told) = self.told.poll(inner)? else {
            return Poll::Pending;
        };
        let taken = match Number::try_from(told) {
            Ok(number) => self.take(u64::from_ne_bytes(number)),
            // A mark.
            Err(_) => Ok(0),
        };
        Poll::Ready(taken.map(|bytes| self.line.delivery(bytes)))
    }

    fn abandon(&mut self, inner: &dyn Transport) -> Vec<(Ticket, Memory)> {
        self.told.abandon(inner)
    }
}
