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

use super::{Line, Memory, Steps, still_used};
use crate::device::{Device, Lane};
use crate::error::Result;
use crate::transport::{Delivery, DeviceMemory, Posted, Tested, Ticket, Transport, taken_back};

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
    /// The message that tells the receiver, until it has gone.
    told: Option<(Ticket, Memory)>,
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
        let memory = Memory::Pageable(number.to_ne_bytes().into());
        let mut lending = Lending {
            line,
            bytes: body.bytes,
            number,
            told: None,
        };
        let Line { context, peer, tags } = &lending.line;
        // SAFETY: the memory has that many bytes, and is kept until the inner send is over.
        let posted =
            unsafe { inner.isend(context, *peer, tags.body, memory.pointer(), size_of::<Number>()) }?;
        if let Posted::Pending(ticket) = posted {
            lending.told = Some((ticket, memory));
        }
        Ok(lending)
    }
}

impl Steps for Lending {
    fn advance(&mut self, inner: &dyn Transport) -> Poll<Result<Delivery>> {
        if let Some((ticket, _)) = &self.told {
            match inner.test(ticket) {
                Ok(Tested::Pending) => return Poll::Pending,
                Ok(Tested::Completed(_)) => self.told = None,
                ended => {
                    self.told = None;
                    return Poll::Ready(Err(ended.err().unwrap_or_else(taken_back)));
                }
            }
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
        still_used(inner, self.told.take())
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
    /// The message that tells the number of the loan.
    told: Option<(Posted, Memory)>,
}

impl Taking {
    /// Waits for elements.
    ///
    /// # Safety
    /// As for [`Transport::irecv_body`].
    pub(super) unsafe fn new(line: Line, body: &DeviceMemory<'_>, inner: &dyn Transport) -> Result<Taking> {
        let memory = Memory::Pageable(Number::default().into());
        let Line { context, peer, tags } = &line;
        let pointer = memory.pointer().cast_mut();
        // SAFETY: the memory has that many bytes, and is kept until the inner receive is over.
        let posted = unsafe {
            inner.irecv(
                context,
                Some(*peer),
                Some(tags.body),
                pointer,
                size_of::<Number>(),
            )
        }?;
        Ok(Taking {
            line,
            lane: Arc::clone(body.lane),
            address: body.address,
            bytes: body.bytes,
            told: Some((posted, memory)),
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
        let tested = match &self.told {
            Some((Posted::Pending(ticket), _)) => inner.test(ticket),
            Some((Posted::Done(delivery), _)) => Ok(Tested::Completed(*delivery)),
            None => return Poll::Pending,
        };
        let delivery = match tested {
            Ok(Tested::Pending) => return Poll::Pending,
            Ok(Tested::Completed(delivery)) => Ok(delivery),
            Ok(Tested::Released) => Err(taken_back()),
            Err(error) => Err(error),
        };
        let told = self.told.take();
        let taken = delivery.and_then(|delivery| match told {
            Some((_, Memory::Pageable(number))) if delivery.bytes == size_of::<Number>() => {
                self.take(u64::from_ne_bytes(Number::try_from(&*number).unwrap_or_default()))
            }
            // A mark.
            _ => Ok(0),
        });
        Poll::Ready(taken.map(|bytes| self.line.delivery(bytes)))
    }

    fn abandon(&mut self, inner: &dyn Transport) -> Vec<(Ticket, Memory)> {
        match self.told.take() {
            Some((Posted::Pending(ticket), memory)) => still_used(inner, [(ticket, memory)]),
            _ => Vec::new(),
        }
    }
}
