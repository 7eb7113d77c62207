//! A buffer without its type.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::device::{self, Device, Lane, Place};
use crate::dtype::{Dtype, Element};
use crate::error::{Error, ErrorKind, Result};
use crate::message::Content;

/// Something that is done when a buffer's operation is over, behind the operation's work.
type Guard<'a> = Box<dyn Send + Sync + 'a>;

/// The elements of a buffer: where they are, how many and of what type.
///
/// A span borrows its buffer. Whether it may be written is known to whoever lowered it.
pub struct Span<'a> {
    pointer: *mut u8,
    elements: usize,
    content: Content,
    place: Place,
    /// Orders what is done with the elements, if they are on a GPU.
    lane: Option<Arc<Lane>>,
    guard: Option<Guard<'a>>,
    /// Why the elements cannot be used.
    failure: Option<Error>,
    buffer: PhantomData<&'a mut [u8]>,
}

// SAFETY: a span stands for a borrow of elements, which are `Send` and `Sync` by `Element`'s contract.
unsafe impl Send for Span<'_> {}
// SAFETY: as above; a shared span gives out nothing but the address.
unsafe impl Sync for Span<'_> {}

/// Waits, when it is dropped, until a lane is done with elements that are about to be given back.
struct Settle(Arc<Lane>);

impl Drop for Settle {
    fn drop(&mut self) {
        self.0.wait();
    }
}

impl<'a> Span<'a> {
    /// The span of `elements` elements of host memory.
    #[inline]
    pub(crate) fn host<T: Element>(pointer: *mut T, elements: usize) -> Span<'a> {
        Span {
            pointer: pointer.cast(),
            elements,
            ..Span::empty(T::DTYPE)
        }
    }

    /// The span of `elements` elements on the GPU of a lane; `guard` is dropped with it.
    #[cfg(feature = "cuda")]
    pub(crate) fn on_device<T: Element>(
        pointer: *mut u8,
        elements: usize,
        lane: Arc<Lane>,
        guard: Guard<'a>,
    ) -> Span<'a> {
        Span {
            pointer,
            elements,
            place: Place::Device,
            lane: Some(lane),
            guard: Some(guard),
            ..Span::empty(T::DTYPE)
        }
    }

    /// The span of a device buffer without elements.
    #[cfg(feature = "cuda")]
    pub(crate) fn none<T: Element>() -> Span<'a> {
        Span {
            place: Place::Device,
            ..Span::empty(T::DTYPE)
        }
    }

    /// The span of a buffer that cannot be used: its operation fails on all ranks that it concerns.
    #[cfg(feature = "cuda")]
    pub(crate) fn broken<T: Element>(elements: usize, failure: Error) -> Span<'a> {
        Span {
            elements,
            failure: Some(failure),
            ..Span::empty(T::DTYPE)
        }
    }

    /// The span of memory for intermediate results, on the GPU of a lane or the host.
    pub(crate) fn scratch(
        pointer: *mut u8,
        elements: usize,
        dtype: Dtype,
        place: Place,
        lane: Option<Arc<Lane>>,
    ) -> Span<'a> {
        Span {
            pointer,
            elements,
            place,
            lane,
            ..Span::empty(dtype)
        }
    }

    /// The span of an object's `bytes` bytes in host memory.
    #[cfg(feature = "serde")]
    pub(crate) fn object(pointer: *mut u8, bytes: usize) -> Span<'a> {
        Span {
            pointer,
            elements: bytes,
            content: Content::Object,
            ..Span::empty(Dtype::U8)
        }
    }

    /// An empty span, for a rank that takes no part in one side of an operation.
    #[inline]
    pub(crate) fn empty(dtype: Dtype) -> Span<'a> {
        Span {
            pointer: std::ptr::without_provenance_mut(64),
            elements: 0,
            content: Content::Elements(dtype),
            place: Place::Host,
            lane: None,
            guard: None,
            failure: None,
            buffer: PhantomData,
        }
    }

    /// The same span, of which an earlier failure says that it cannot be used.
    pub(crate) fn failed(&self, failure: &Error) -> Span<'static> {
        Span {
            elements: self.elements,
            content: self.content,
            failure: Some(failure.duplicate()),
            ..Span::empty(self.dtype())
        }
    }

    /// Whether the elements can be used.
    #[inline]
    pub(crate) fn check(&self) -> Result<()> {
        match &self.failure {
            None => Ok(()),
            Some(error) => Err(error.duplicate()),
        }
    }

    #[inline]
    pub(crate) fn pointer(&self) -> *mut u8 {
        self.pointer
    }

    #[inline]
    pub(crate) fn elements(&self) -> usize {
        self.elements
    }

    /// The length in bytes.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        // A Rust object has at most isize::MAX bytes.
        self.elements * self.dtype().size()
    }

    #[inline]
    pub(crate) fn dtype(&self) -> Dtype {
        self.content.dtype()
    }

    /// What a message of the elements is.
    #[inline]
    pub(crate) fn content(&self) -> Content {
        self.content
    }

    #[inline]
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// The lane of elements on a GPU.
    #[inline]
    pub(crate) fn lane(&self) -> Option<&Arc<Lane>> {
        self.lane.as_ref()
    }

    #[inline]
    pub(crate) fn device(&self) -> &dyn Device {
        device::device(self.lane.as_deref())
    }

    /// Whether the same kernels reach these elements and another span's.
    pub(crate) fn shares_memory(&self, other: &Span<'_>) -> bool {
        match (&self.lane, &other.lane) {
            (None, None) => true,
            (Some(own), Some(other)) => own.shares_memory(other),
            _ => false,
        }
    }

    /// Lets what is done with these elements wait for everything that was started with another span's.
    pub(crate) fn after(&self, earlier: &Span<'_>) -> Result<()> {
        match (&self.lane, &earlier.lane) {
            (Some(own), Some(earlier)) => own.after(earlier),
            _ => Ok(()),
        }
    }

    /// The same memory under a longer lifetime.
    ///
    /// # Safety
    /// The caller sees to it that the buffer outlives every use of the result, its drop too, and is not
    /// used otherwise meanwhile.
    pub(crate) unsafe fn detach(self) -> Span<'static> {
        // SAFETY: lifetimes alone differ; the caller's promise.
        unsafe { std::mem::transmute::<Span<'a>, Span<'static>>(self) }
    }

    /// The same memory, for a buffer that moves about: when the span is dropped, nothing works on it any more.
    ///
    /// # Safety
    /// As for [`detach`](Self::detach), but the buffer may be moved.
    pub(crate) unsafe fn owned(mut self) -> Span<'static> {
        // A guard may point into the buffer.
        self.guard = self.lane.clone().map(|lane| Box::new(Settle(lane)) as Guard<'a>);
        // SAFETY: the caller's promise.
        unsafe { self.detach() }
    }

    /// Waits until everything that was started with the elements is over.
    pub(crate) async fn settle(&self) -> Result<()> {
        match &self.lane {
            None => Ok(()),
            Some(lane) => lane.settle().await,
        }
    }

    /// Copies the elements' bytes to memory of the host.
    pub(crate) async fn read(&self, target: &mut [u8]) -> Result<()> {
        self.check_length(target.len())?;
        match &self.lane {
            None => {
                // SAFETY: the span has that many bytes, and is not in memory that is borrowed mutably.
                unsafe { std::ptr::copy_nonoverlapping(self.pointer, target.as_mut_ptr(), target.len()) };
                Ok(())
            }
            // Boxed, so that host memory needs no room for it.
            // SAFETY: the span has that many bytes.
            Some(lane) => Box::pin(unsafe { lane.read(self.pointer as usize, target) }).await,
        }
    }

    /// Copies bytes to the start of the elements, which may be written; the bytes may be used again afterwards.
    pub(crate) async fn write(&self, source: &[u8]) -> Result<()> {
        self.check_length(source.len())?;
        match &self.lane {
            None => {
                // SAFETY: the span has that many bytes, and is not in memory that is borrowed.
                unsafe { std::ptr::copy_nonoverlapping(source.as_ptr(), self.pointer, source.len()) };
                Ok(())
            }
            // SAFETY: the span has that many bytes.
            Some(lane) => Box::pin(unsafe { lane.write(source, self.pointer as usize) }).await,
        }
    }

    /// Copies as many bytes as there are to the elements, which may be written.
    pub(crate) async fn fill(&self, source: &[u8]) -> Result<()> {
        match source.len() == self.bytes() {
            true => self.write(source).await,
            false => Err(Error::invalid(format!(
                "{} bytes for a buffer of {}",
                source.len(),
                self.bytes()
            ))),
        }
    }

    fn check_length(&self, bytes: usize) -> Result<()> {
        match bytes <= self.bytes() {
            true => Ok(()),
            false => Err(Error::invalid(format!(
                "{bytes} bytes for a buffer of {}",
                self.bytes()
            ))),
        }
    }

    /// The same number and type of elements in other memory of the same device.
    pub(crate) fn at(&self, pointer: *mut u8) -> Span<'_> {
        Span {
            pointer,
            elements: self.elements,
            content: self.content,
            place: self.place,
            lane: self.lane.clone(),
            ..Span::empty(self.dtype())
        }
    }

    /// The same elements, while this span is borrowed.
    pub(crate) fn alias(&self) -> Span<'_> {
        Span {
            failure: self.failure.as_ref().map(Error::duplicate),
            ..self.at(self.pointer)
        }
    }

    /// A part of the span: `elements` elements from element `first` on.
    pub(crate) fn part(&self, first: usize, elements: usize) -> Result<Span<'_>> {
        if first.checked_add(elements).is_none_or(|end| end > self.elements) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "elements {first} to {first}+{elements} are not in a buffer of {}",
                    self.elements
                ),
            ));
        }
        // SAFETY: in bounds, as just checked.
        let pointer = unsafe { self.pointer.add(first * self.dtype().size()) };
        Ok(Span {
            pointer,
            elements,
            ..self.alias()
        })
    }
}

impl std::fmt::Debug for Span<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} on the {}", self.elements, self.dtype(), self.place)
    }
}
