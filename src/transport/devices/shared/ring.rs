//! Pieces of messages in the slots that two processes share.

use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Poll;

use super::segment::{Content, Loan, Offer, Piece, SLOTS, Segment, Word};
use super::socket::{self, Listener};
use crate::device::cuda::{Borrower, Gpu, Mark, OpenWindow, Window, lend};
use crate::device::{Lane, device};
use crate::error::{Error, ErrorKind, Result};
use crate::path::Path;
use crate::transport::devices::{Line, Memory, Steps};
use crate::transport::pieces::SHARED_PIECE_BYTES;
use crate::transport::{Body, Delivery, End, Pieces, Ticket, Transport};

/// The bytes of a window with as many slots as a segment.
pub(super) const WINDOW_BYTES: usize = SLOTS * SHARED_PIECE_BYTES;

/// How many windows of this process its peers have open, and may have: 1 GiB of them.
static KEPT_WINDOWS: AtomicUsize = AtomicUsize::new(0);
const MOST_WINDOWS: usize = 64;

/// Whether the process may have another window; an error otherwise.
pub(super) fn check_windows() -> Result<()> {
    match KEPT_WINDOWS.load(Ordering::Relaxed) < MOST_WINDOWS {
        true => Ok(()),
        false => Err(Error::unsupported(format!(
            "the process has {MOST_WINDOWS} windows for its peers"
        ))),
    }
}

/// How many windows of lent buffers a receiver keeps open for one sender.
const MOST_OPEN: usize = 64;

/// Shared memory as one of its two ends uses it.
pub(in super::super) struct Ring {
    segment: Segment,
    end: End,
    slots: Mutex<[Slot; SLOTS]>,
    /// Memory of this end's GPU with as many slots, of a sender. Kept to the end of the process: nobody knows when the
    /// other end has closed it.
    window: OnceLock<ManuallyDrop<Window>>,
    /// The same as a receiver has it open.
    views: Mutex<Vec<View>>,
    /// Windows of lent buffers that this end has open, the latest used last.
    open: Mutex<Vec<(u64, Arc<OpenWindow>)>>,
    /// How often the sender has asked to close some, as far as this end has.
    closings: AtomicU32,
}

/// The sender's window as a receiver's GPU has it, and along which path; or why it has not.
struct View {
    gpu: &'static Gpu,
    window: Result<(Path, OpenWindow), String>,
}

impl View {
    fn new(gpu: &'static Gpu, offer: &Offer) -> View {
        let opened = || {
            let path = match gpu.uuid()? == offer.gpu {
                true => Path::SameGpuIpc,
                false => Path::PeerGpuIpc,
            };
            Ok((path, OpenWindow::open(gpu, &offer.handle)?))
        };
        View {
            gpu,
            window: opened().map_err(|error: Error| error.message().to_string()),
        }
    }

    fn path(&self) -> Result<Path, String> {
        let window = self.window.as_ref().map_err(String::clone);
        window.map(|(path, _)| *path)
    }
}

/// What this end does with a slot.
#[derive(Default)]
enum Slot {
    #[default]
    Nothing,
    /// A message uses it.
    InUse,
    /// A GPU still uses it up to here, and nothing else.
    Until(Mark),
}

impl Ring {
    fn new(segment: Segment, end: End) -> Ring {
        Ring {
            segment,
            end,
            slots: Mutex::default(),
            window: OnceLock::new(),
            views: Mutex::default(),
            open: Mutex::default(),
            closings: AtomicU32::new(0),
        }
    }

    /// Makes memory for two processes, and gives it with a number to the one that listens at an address.
    pub(in super::super) fn give(address: u64, number: u64) -> Result<Arc<Ring>, String> {
        let (segment, file) =
            Segment::create().map_err(|error| format!("the sender cannot make shared memory: {error}"))?;
        socket::give(address, number, &file)
            .map_err(|error| format!("the sender cannot pass shared memory on: {error}"))?;
        Ok(Arc::new(Ring::new(segment, End::Sender)))
    }

    /// The memory that was given with a number.
    pub(in super::super) fn take_given(listener: &Listener, number: u64) -> Result<Arc<Ring>, String> {
        let segment = listener.take(number).and_then(|file| Segment::open(&file));
        let segment = segment.map_err(|error| format!("the receiver cannot get shared memory: {error}"))?;
        Ok(Arc::new(Ring::new(segment, End::Receiver)))
    }

    fn slots(&self) -> MutexGuard<'_, [Slot; SLOTS]> {
        // Each change is one assignment.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, Vec<(u64, Arc<OpenWindow>)>> {
        // Each change is one insertion or removal.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn segment(&self) -> &Segment {
        &self.segment
    }

    pub(super) fn say(&self, handshake: u64, word: Word) {
        self.segment.say(handshake, word);
    }

    pub(super) fn heard(&self, handshake: u64) -> Word {
        self.segment.heard(handshake)
    }

    pub(super) fn lock_pages(&self, gpu: &'static Gpu) -> Result<()> {
        self.segment.lock_pages(gpu)
    }

    /// Keeps the window that the receiver has open.
    pub(super) fn keep_window(&self, window: Window) {
        KEPT_WINDOWS.fetch_add(1, Ordering::Relaxed);
        let _ = self.window.set(ManuallyDrop::new(window));
    }

    fn views(&self) -> MutexGuard<'_, Vec<View>> {
        // Each change is one.
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Along which path a GPU of the receiver's has the sender's window, which is opened if it was not tried.
    pub(in super::super) fn path_to(&self, gpu: &'static Gpu) -> Result<Path, String> {
        let mut views = self.views();
        let known = views.iter().find(|view| std::ptr::eq(view.gpu, gpu));
        match known {
            Some(view) => view.path(),
            None => {
                let view = View::new(gpu, &self.segment.offered());
                let path = view.path();
                views.push(view);
                path
            }
        }
    }

    /// Whether what a GPU of the receiver's has open is the window that the sender has offered.
    pub(super) fn prove_window(&self, gpu: &'static Gpu) -> Result<(), String> {
        let address = self.window_of(gpu).map_err(|error| error.message().to_string())?;
        // SAFETY: the sender has written as many bytes to the window, and nobody writes to it yet.
        let found = unsafe { gpu.read_now(address) }.map_err(|error| error.message().to_string())?;
        match found == self.segment.offered().secret {
            true => Ok(()),
            false => Err("what is opened is not what the sender has".to_owned()),
        }
    }

    /// Closes the sender's window.
    pub(super) fn forget_window(&self) {
        self.views().clear();
    }

    /// The address of the sender's window for a GPU of this end.
    fn window_of(&self, gpu: &'static Gpu) -> Result<usize> {
        if let Some(window) = self.window.get() {
            return Ok(window.address());
        }
        let views = self.views();
        let view = views.iter().find(|view| std::ptr::eq(view.gpu, gpu));
        match view.map(|view| &view.window) {
            Some(Ok((_, window))) => Ok(window.address()),
            _ => Err(Error::unsupported("the ranks do not share a window")),
        }
    }

    /// The address of the first slot on a path, for elements of a GPU.
    fn base(&self, path: Path, lane: Option<&Arc<Lane>>) -> Result<usize> {
        match lane.filter(|_| path.is_ipc()) {
            None => Ok(self.segment.slot(0) as usize),
            Some(lane) => self.window_of(lane.gpu()),
        }
    }

    /// Opens the window of a lent buffer, if it is not open.
    pub(in super::super) fn open_window(&self, gpu: &'static Gpu, loan: &Loan) -> Result<Arc<OpenWindow>> {
        let mut open = self.open();
        let is_it = |(number, window): &(u64, Arc<OpenWindow>)| {
            *number == loan.window && std::ptr::eq(window.gpu(), gpu)
        };
        let known = open.iter().position(is_it).map(|at| open.remove(at));
        let (number, window) = match known {
            Some(known) => known,
            None => {
                if open.len() >= MOST_OPEN
                    && let Some(at) = open.iter().position(|(_, window)| Arc::strong_count(window) == 1)
                {
                    open.remove(at);
                }
                (loan.window, Arc::new(OpenWindow::open(gpu, &loan.handle)?))
            }
        };
        open.push((number, Arc::clone(&window)));
        Ok(window)
    }

    /// Closes the windows that the sender wants to free.
    pub(in super::super) fn close_windows(&self) {
        let asked = self.segment.closings();
        if self.end == End::Receiver && self.closings.swap(asked, Ordering::Relaxed) != asked {
            self.segment.close(|number| {
                self.open().retain(|(open, _)| *open != number);
            });
        }
    }

    /// Frees the slots that GPUs are done with.
    fn tidy(&self) {
        self.close_windows();
        for (number, slot) in self.slots().iter_mut().enumerate() {
            // A GPU that has failed does nothing.
            if matches!(slot, Slot::Until(mark) if mark.is_over().unwrap_or(true)) {
                self.free(number, slot);
            }
        }
    }

    fn free(&self, number: usize, slot: &mut Slot) {
        *slot = Slot::Nothing;
        if self.end == End::Receiver {
            self.segment.give_back(number);
        }
    }

    /// A slot to put a piece in, if there is one.
    fn claim(&self) -> Option<usize> {
        let mut slots = self.slots();
        let is_free =
            |(number, slot): (usize, &Slot)| matches!(slot, Slot::Nothing) && self.segment.is_empty(number);
        let number = slots.iter().enumerate().position(is_free)?;
        slots[number] = Slot::InUse;
        Some(number)
    }

    /// Hands a claimed slot to the receiver.
    fn publish(&self, number: usize, piece: Piece) {
        self.segment.publish(number, piece);
        self.slots()[number] = Slot::Nothing;
    }

    /// Hands a claimed slot to the receiver, to be looked at again.
    fn lend(&self, number: usize, piece: Piece) {
        self.segment.publish(number, piece);
    }

    /// A piece of a message that has come, and its slot.
    fn take(&self, message: u64) -> Option<(usize, Piece)> {
        let mut slots = self.slots();
        let find = |is_end| {
            (0..SLOTS)
                .filter(|&number| matches!(slots[number], Slot::Nothing))
                .filter_map(|number| Some((number, self.segment.published(number)?)))
                .find(|(_, piece)| piece.number == message && (piece.content == Content::End) == is_end)
        };
        // The end is handed over behind all pieces, and may lie in front of them.
        let end = find(true);
        let (number, piece) = find(false).or(end)?;
        self.segment.take(number, &piece).then(|| {
            slots[number] = Slot::InUse;
            (number, piece)
        })
    }

    /// Hands back a piece that cannot be had.
    fn refuse(&self, number: usize) {
        let mut slots = self.slots();
        slots[number] = Slot::Nothing;
        self.segment.refuse(number);
    }

    /// Frees a slot when a GPU is done with it, or at once.
    fn release(&self, number: usize, until: Option<Mark>) {
        let slot = &mut self.slots()[number];
        match until {
            Some(mark) => *slot = Slot::Until(mark),
            None => self.free(number, slot),
        }
    }
}

impl Borrower for Ring {
    fn ask_to_close(&self, window: u64) -> bool {
        self.segment.ask_to_close(window)
    }

    fn is_closing(&self, window: u64) -> bool {
        self.segment.is_closing(window)
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // The memory is about to go.
        for slot in self.slots().iter() {
            if let Slot::Until(mark) = slot {
                mark.wait();
            }
        }
    }
}

/// A GPU's or the host's memory.
struct Elements {
    lane: Option<Arc<Lane>>,
    first: usize,
    bytes: usize,
}

impl Elements {
    fn new(body: &Body<'_>) -> Elements {
        Elements {
            lane: body.lane.cloned(),
            first: body.address,
            bytes: body.bytes,
        }
    }

    /// Makes the segment such that a GPU copies to and from it by itself. Where that is impossible the driver copies
    /// with the CPU's help, which takes longer.
    fn prepare(&self, ring: &Ring, path: Path) {
        if let Some(lane) = &self.lane
            && path == Path::SharedPinned
        {
            let _ = ring.lock_pages(lane.gpu());
        }
    }

    /// Copies between elements and a slot, and says until when a GPU does.
    ///
    /// # Safety
    /// Both are valid for so many bytes until then, and nobody else uses the target meanwhile.
    unsafe fn copy(&self, source: *const u8, target: *mut u8, bytes: usize) -> Result<Option<Mark>> {
        // SAFETY: the caller's promise.
        unsafe { device(self.lane.as_deref()).copy(source, target, bytes) }?;
        let Some(lane) = &self.lane else {
            return Ok(None);
        };
        lane.mark().inspect_err(|_| lane.wait()).map(Some)
    }
}

/// A message that is sent.
pub(in super::super) struct Sending {
    line: Line,
    ring: Arc<Ring>,
    /// The receiver's number for it.
    number: u64,
    elements: Elements,
    pieces: Pieces,
    /// The next piece.
    next: usize,
    /// From here on a copy does not wait for what was in the buffer's stream before.
    ready: Option<Mark>,
    copied: VecDeque<(usize, Mark, Piece)>,
    /// The address of the first slot.
    base: usize,
    /// Where the elements are, if the receiver can have them from there.
    loan: Option<Loan>,
    /// The slot in which it is told so.
    lent: Option<usize>,
    failure: Option<Error>,
    /// Whether the receiver is only told that there is nothing.
    is_withheld: bool,
    is_over: bool,
}

impl Sending {
    /// # Safety
    /// As for [`Transport::isend_body`].
    pub(in super::super) unsafe fn new(
        line: Line,
        ring: Arc<Ring>,
        number: u64,
        body: &Body<'_>,
        pieces: Pieces,
    ) -> Sending {
        let elements = Elements::new(body);
        elements.prepare(&ring, pieces.path);
        let ready = elements.lane.as_ref().map(|lane| lane.mark()).transpose();
        let base = ring.base(pieces.path, body.lane);
        let lent = || {
            let borrower: Arc<dyn Borrower> = Arc::<Ring>::clone(&ring);
            lend(body.address, body.bytes, Some(&borrower))
        };
        let loan = pieces.path.is_ipc().then(lent).flatten();
        let mut sending = Sending {
            line,
            number,
            elements,
            pieces,
            next: 0,
            ready: None,
            copied: VecDeque::with_capacity(SLOTS),
            base: 0,
            loan: loan.map(|(window, handle, offset)| Loan {
                window,
                handle,
                offset,
            }),
            lent: None,
            failure: None,
            is_withheld: false,
            is_over: false,
            ring,
        };
        match ready.and_then(|ready| Ok((ready, base?))) {
            Ok((ready, base)) => (sending.ready, sending.base) = (ready, base),
            Err(error) => sending.failure = Some(error),
        }
        sending
    }

    /// A message of which nothing is sent but that.
    pub(in super::super) fn failed(line: Line, ring: Arc<Ring>, number: u64) -> Sending {
        Sending {
            line,
            ring,
            number,
            elements: Elements {
                lane: None,
                first: 0,
                bytes: 0,
            },
            pieces: Pieces::new(0, Path::SharedPinned, None),
            next: 0,
            ready: None,
            copied: VecDeque::new(),
            base: 0,
            loan: None,
            lent: None,
            failure: None,
            is_withheld: true,
            is_over: false,
        }
    }

    /// Starts the copies of the next pieces, as far as there are slots.
    fn copy_next(&mut self) {
        while self.failure.is_none()
            && let Some((first, bytes)) = self.pieces.nth(self.next)
            && let Some(slot) = self.ring.claim()
        {
            self.next += 1;
            let piece = Piece {
                number: self.number,
                first,
                bytes,
                content: Content::Bytes,
            };
            let source = (self.elements.first + first) as *const u8;
            let target = (self.base + slot * SHARED_PIECE_BYTES) as *mut u8;
            // SAFETY: whoever has started the send promises the elements; a piece is no longer than a slot, which is
            // this message's until it is published.
            match unsafe { self.elements.copy(source, target, bytes) } {
                Ok(Some(mark)) => self.copied.push_back((slot, mark, piece)),
                Ok(None) => self.ring.publish(slot, piece),
                Err(error) => {
                    self.ring.release(slot, None);
                    self.failure = Some(error);
                }
            }
        }
    }

    /// Lends the elements to the receiver, if it can have them so; whether that is under way.
    fn lend(&mut self) -> bool {
        if let Some(slot) = self.lent {
            if !self.ring.segment.is_empty(slot) {
                return true;
            }
            self.returned(slot);
        }
        if self.failure.is_some() {
            self.loan = None;
        }
        let Some(loan) = self.loan else {
            return false;
        };
        if let Some(slot) = self.ring.claim() {
            self.loan = None;
            let piece = Piece {
                number: self.number,
                first: 0,
                bytes: self.elements.bytes,
                content: Content::Loan(loan),
            };
            self.ring.lend(slot, piece);
            self.lent = Some(slot);
        }
        true
    }

    /// Notes that the receiver has handed back what was lent: copied, or else it goes in pieces.
    fn returned(&mut self, slot: usize) {
        if !self.ring.segment.is_refused(slot) {
            self.next = self.pieces.count();
        }
        self.lent = None;
        self.ring.release(slot, None);
    }

    /// Hands over what is copied.
    fn publish_copied(&mut self) {
        while let Some((slot, mark, piece)) = self.copied.front() {
            match mark.is_over() {
                Ok(false) => return,
                Ok(true) => self.ring.publish(*slot, *piece),
                Err(error) => {
                    self.ring.release(*slot, None);
                    self.failure.get_or_insert(error);
                }
            }
            self.copied.pop_front();
        }
    }
}

impl Steps for Sending {
    fn advance(&mut self, _inner: &dyn Transport) -> Poll<Result<Delivery>> {
        self.ring.tidy();
        // A slot that waits for a kernel of the user's would be in the way of other messages.
        match self.ready.as_ref().map_or(Ok(true), Mark::is_over) {
            Ok(true) => self.ready = None,
            Ok(false) => return Poll::Pending,
            Err(error) => {
                self.ready = None;
                self.failure.get_or_insert(error);
            }
        }
        if self.lend() {
            return Poll::Pending;
        }
        self.publish_copied();
        self.copy_next();
        if !self.copied.is_empty() {
            return Poll::Pending;
        }
        if self.failure.is_none() && !self.is_withheld {
            self.is_over = self.next == self.pieces.count();
            return match self.is_over {
                true => Poll::Ready(Ok(self.line.delivery(self.elements.bytes))),
                false => Poll::Pending,
            };
        }
        let Some(slot) = self.ring.claim() else {
            return Poll::Pending;
        };
        let end = Piece {
            number: self.number,
            first: 0,
            bytes: 0,
            content: Content::End,
        };
        self.ring.publish(slot, end);
        self.is_over = true;
        Poll::Ready(self.failure.take().map_or(Ok(self.line.delivery(0)), Err))
    }

    fn abandon(&mut self, _inner: &dyn Transport) -> Vec<(Ticket, Memory)> {
        for (slot, mark, _) in self.copied.drain(..) {
            self.ring.release(slot, Some(mark));
        }
        Vec::new()
    }

    fn is_in_use(&mut self, _inner: &dyn Transport) -> bool {
        let Some(slot) = self.lent else {
            return false;
        };
        if self.ring.segment.take_back(slot) {
            self.lent = None;
            self.ring.release(slot, None);
        } else if self.ring.segment.is_empty(slot) {
            self.returned(slot);
            self.is_over = self.next == self.pieces.count();
        }
        self.lent.is_some()
    }

    fn rest(&mut self) -> Option<Box<dyn Steps>> {
        (!self.is_over).then(|| -> Box<dyn Steps> {
            let (line, ring) = (self.line.clone(), Arc::clone(&self.ring));
            Box::new(Sending::failed(line, ring, self.number))
        })
    }
}

/// A message that is received.
pub(in super::super) struct Receiving {
    line: Line,
    ring: Arc<Ring>,
    number: u64,
    elements: Elements,
    /// The address of the first slot.
    base: usize,
    /// Bytes that have come, and whether no more do.
    received: usize,
    is_over: bool,
    /// The slot that is handed back when a copy from a lent buffer is over, and what the copy reads.
    borrowed: Option<(usize, Mark, Arc<OpenWindow>)>,
    failure: Option<Error>,
}

impl Receiving {
    /// # Safety
    /// As for [`Transport::irecv_body`].
    pub(in super::super) unsafe fn new(
        line: Line,
        ring: Arc<Ring>,
        number: u64,
        body: &Body<'_>,
        path: Path,
    ) -> Receiving {
        let elements = Elements::new(body);
        elements.prepare(&ring, path);
        let (base, failure) = match ring.base(path, body.lane) {
            Ok(base) => (base, None),
            Err(error) => (0, Some(error)),
        };
        Receiving {
            line,
            ring,
            number,
            elements,
            base,
            received: 0,
            is_over: false,
            borrowed: None,
            failure,
        }
    }

    /// Starts the copy of a piece, and hands its slot back afterwards; how many bytes have come.
    fn receive(&mut self, slot: usize, piece: Piece) -> usize {
        match piece.content {
            Content::End => self.ring.release(slot, None),
            Content::Bytes => self.copy(slot, piece),
            Content::Loan(loan) => match self.borrow(piece, &loan) {
                Ok(Some((mark, window))) => self.borrowed = Some((slot, mark, window)),
                Ok(None) => self.ring.release(slot, None),
                // The elements come in pieces instead.
                Err(_) => {
                    self.ring.refuse(slot);
                    return 0;
                }
            },
        }
        piece.bytes
    }

    /// Starts to copy from a lent buffer, if it can be opened.
    fn borrow(&mut self, piece: Piece, loan: &Loan) -> Result<Option<(Mark, Arc<OpenWindow>)>> {
        let (None, Some(lane)) = (&self.failure, &self.elements.lane) else {
            return Ok(None);
        };
        let window = self.ring.open_window(lane.gpu(), loan)?;
        if piece.first != 0 || piece.bytes != self.elements.bytes {
            self.failure = Some(not_of_this_message());
            return Ok(None);
        }
        let source = (window.address() + loan.offset) as *const u8;
        // SAFETY: the sender promises the elements in its window until the slot is handed back; whoever has started
        // the receive promises the target.
        match unsafe {
            self.elements
                .copy(source, self.elements.first as *mut u8, piece.bytes)
        } {
            Ok(mark) => Ok(mark.map(|mark| (mark, window))),
            Err(error) => {
                self.failure = Some(error);
                Ok(None)
            }
        }
    }

    /// Starts the copy of a piece out of its slot.
    fn copy(&mut self, slot: usize, piece: Piece) {
        let fits = piece.bytes <= SHARED_PIECE_BYTES
            && piece
                .first
                .checked_add(piece.bytes)
                .is_some_and(|end| end <= self.elements.bytes);
        let copied = match &self.failure {
            Some(_) => Ok(None),
            None if !fits => Err(not_of_this_message()),
            None => {
                let source = (self.base + slot * SHARED_PIECE_BYTES) as *const u8;
                let target = (self.elements.first + piece.first) as *mut u8;
                // SAFETY: within the elements, which whoever has started the receive promises; the slot is this
                // message's until it is released.
                unsafe { self.elements.copy(source, target, piece.bytes) }
            }
        };
        let until = copied.unwrap_or_else(|error| {
            self.failure = Some(error);
            None
        });
        self.ring.release(slot, until);
    }
}

impl Steps for Receiving {
    fn advance(&mut self, _inner: &dyn Transport) -> Poll<Result<Delivery>> {
        self.ring.tidy();
        while !self.is_over
            && let Some((slot, piece)) = self.ring.take(self.number)
        {
            self.received += self.receive(slot, piece);
            self.is_over = piece.content == Content::End || self.received >= self.elements.bytes;
        }
        if !self.is_over {
            return Poll::Pending;
        }
        // The sender waits until its buffer is free, and nobody may look at the slot later.
        if let Some((slot, mark, window)) = self.borrowed.take() {
            match mark.is_over() {
                Ok(false) => {
                    self.borrowed = Some((slot, mark, window));
                    return Poll::Pending;
                }
                Ok(true) => {}
                Err(error) => {
                    self.failure.get_or_insert(error);
                }
            }
            // The sender may free it from here on.
            drop(window);
            self.ring.release(slot, None);
        }
        let delivery = self.line.delivery(self.received);
        Poll::Ready(self.failure.take().map_or(Ok(delivery), Err))
    }

    fn abandon(&mut self, _inner: &dyn Transport) -> Vec<(Ticket, Memory)> {
        if let Some((slot, mark, window)) = self.borrowed.take() {
            mark.wait();
            drop(window);
            self.ring.release(slot, None);
        }
        Vec::new()
    }

    fn rest(&mut self) -> Option<Box<dyn Steps>> {
        (!self.is_over).then(|| -> Box<dyn Steps> {
            let left = self.elements.bytes - self.received;
            let (line, ring) = (self.line.clone(), Arc::clone(&self.ring));
            Box::new(Discarding::new(line, ring, self.number, left))
        })
    }
}

#[cold]
fn not_of_this_message() -> Error {
    Error::new(ErrorKind::Mismatch, "a piece that is not of this message")
}

/// A message that nobody wants any more: its pieces must not be in the way of others.
pub(super) struct Discarding {
    line: Line,
    ring: Arc<Ring>,
    number: u64,
    /// The bytes that are still to come.
    left: usize,
}

impl Discarding {
    pub(super) fn new(line: Line, ring: Arc<Ring>, number: u64, left: usize) -> Discarding {
        Discarding {
            line,
            ring,
            number,
            left,
        }
    }
}

impl Steps for Discarding {
    fn advance(&mut self, _inner: &dyn Transport) -> Poll<Result<Delivery>> {
        self.ring.tidy();
        while let Some((slot, piece)) = self.ring.take(self.number) {
            self.ring.release(slot, None);
            self.left = self.left.saturating_sub(piece.bytes);
            if piece.content == Content::End || self.left == 0 {
                return Poll::Ready(Ok(self.line.delivery(0)));
            }
        }
        Poll::Pending
    }

    fn abandon(&mut self, _inner: &dyn Transport) -> Vec<(Ticket, Memory)> {
        Vec::new()
    }
}
