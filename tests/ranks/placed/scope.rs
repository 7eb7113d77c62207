//! Scopes, in which operations borrow copies of the case's buffers.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use warpcomm::RawSlice;
use warpcomm::cudarc::driver::{CudaView, CudaViewMut};
use warpcomm::{Buffer, Result, Source, Status, Tag};

use super::memory::Memory;
use super::memory::{Device, Form};
use super::request::Mode;
use super::{Communicator, Elements, ElementsMut, Stage};

/// Where operations on borrowed buffers are started.
pub struct Scope<'scope, 'env: 'scope> {
    inner: &'scope warpcomm::Scope<'scope, 'env>,
    stage: Arc<Stage>,
    ends: Rc<Ends>,
}

/// What is to be done with copies when their operations are over; done by `drop` at the latest.
#[derive(Default)]
struct Ends(RefCell<Vec<Option<End>>>);

type End = Box<dyn FnOnce()>;

impl Ends {
    fn add(&self, end: impl FnOnce() + 'static) -> usize {
        let mut ends = self.0.borrow_mut();
        ends.push(Some(Box::new(end)));
        ends.len() - 1
    }

    fn run(&self, number: usize) {
        let end = self.0.borrow_mut().get_mut(number).and_then(Option::take);
        if let Some(end) = end {
            end();
        }
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        for end in self.0.take().into_iter().flatten() {
            end();
        }
    }
}

/// Runs a scope of the library; when it has ended, deals with the copies that nobody has waited for.
pub(super) fn run<'env, R>(
    comm: &Communicator,
    body: impl for<'scope> FnOnce(Scope<'scope, 'env>) -> Result<R>,
) -> Result<R> {
    let ends = Rc::<Ends>::default();
    comm.inner.scope(|inner| {
        body(Scope {
            inner,
            stage: Arc::clone(&comm.stage),
            ends: Rc::clone(&ends),
        })
    })
}

/// A copy of a buffer at an address of its own, with what operations need to borrow.
struct Copy<T: crate::oracle::Value> {
    view: Option<CudaView<'static, T>>,
    view_mut: Option<CudaViewMut<'static, T>>,
    raw: Option<RawSlice<'static, T>>,
    memory: Memory<T>,
}

impl<T: crate::oracle::Value> Copy<T> {
    fn new(memory: Memory<T>) -> *mut Copy<T> {
        Box::into_raw(Box::new(Copy {
            view: None,
            view_mut: None,
            raw: None,
            memory,
        }))
    }

    /// Takes back what [`new`](Self::new) gave away.
    ///
    /// # Safety
    /// Once, when no operation uses it any more.
    unsafe fn end(copy: *mut Copy<T>, end: impl FnOnce(&Memory<T>)) {
        // SAFETY: made by `new`, the caller's promise.
        let copy = *unsafe { Box::from_raw(copy) };
        {}
        if !std::thread::panicking() {
            end(&copy.memory);
        }
    }
}

/// A request of any buffer.
trait Waited {
    fn is_done(&self) -> bool;
    fn wait(self: Box<Self>) -> Result<Status>;
}

impl<B> Waited for warpcomm::ScopedRequest<'_, B> {
    fn is_done(&self) -> bool {
        self.is_done()
    }

    fn wait(self: Box<Self>) -> Result<Status> {
        (*self).wait().map(|(_, status)| status)
    }
}

/// An operation of a scope under way.
pub struct ScopedRequest<'scope, B> {
    inner: Box<dyn Waited + 'scope>,
    ends: Rc<Ends>,
    end: Option<usize>,
    buffer: Box<dyn FnOnce() -> B + 'scope>,
}

impl<B> ScopedRequest<'_, B> {
    pub fn is_done(&self) -> bool {
        self.inner.is_done()
    }

    pub fn wait(self) -> Result<(B, Status)> {
        let status = self.inner.wait()?;
        if let Some(end) = self.end {
            self.ends.run(end);
        }
        Ok(((self.buffer)(), status))
    }
}

/// Starts a send of a scope.
fn send<'scope, B: Buffer + ?Sized>(
    scope: &'scope warpcomm::Scope<'scope, '_>,
    mode: Mode,
    buffer: &'scope B,
    dest: usize,
    tag: Tag,
) -> Result<Box<dyn Waited + 'scope>> {
    Ok(Box::new(match mode {
        Mode::Synchronous => scope.issend(buffer, dest, tag)?,
        Mode::Ready => scope.irsend(buffer, dest, tag)?,
        Mode::Standard | Mode::Buffered => scope.isend(buffer, dest, tag)?,
    }))
}

impl<'scope> Scope<'scope, '_> {
    pub fn isend<B: Elements + ?Sized + 'static>(
        &self,
        buffer: &'scope B,
        dest: usize,
        tag: Tag,
    ) -> Result<ScopedRequest<'scope, &'scope B>> {
        self.send(Mode::Standard, buffer, dest, tag)
    }

    pub fn issend<B: Elements + ?Sized + 'static>(
        &self,
        buffer: &'scope B,
        dest: usize,
        tag: Tag,
    ) -> Result<ScopedRequest<'scope, &'scope B>> {
        self.send(Mode::Synchronous, buffer, dest, tag)
    }

    pub fn irsend<B: Elements + ?Sized + 'static>(
        &self,
        buffer: &'scope B,
        dest: usize,
        tag: Tag,
    ) -> Result<ScopedRequest<'scope, &'scope B>> {
        self.send(Mode::Ready, buffer, dest, tag)
    }

    fn send<B: Elements + ?Sized + 'static>(
        &self,
        mode: Mode,
        buffer: &'scope B,
        dest: usize,
        tag: Tag,
    ) -> Result<ScopedRequest<'scope, &'scope B>> {
        let memory = self.stage.place(buffer.elements());
        if let Memory::Own = memory {
            let inner = send(self.inner, mode, buffer, dest, tag)?;
            return Ok(self.request(inner, None, Box::new(move || buffer)));
        }
        let copy = Copy::new(memory);
        let own: *const B = buffer;
        // SAFETY: the copy stays until its operation is over, which is so when this is called, and the buffer
        // is borrowed until then.
        let end = self
            .ends
            .add(move || unsafe { Copy::end(copy, |memory| memory.assert_unchanged((*own).elements())) });
        // SAFETY: as above.
        let inner: Box<dyn Waited + 'scope> = match unsafe { &mut *copy } {
            Copy {
                memory: Memory::Own, ..
            } => send(self.inner, mode, buffer, dest, tag)?,
            Copy {
                memory: Memory::Pinned(pinned),
                ..
            } => send(self.inner, mode, &*pinned, dest, tag)?,
            Copy {
                memory: Memory::Device(device),
                view,
                raw,
                ..
            } => {
                let device: &'static Device<_> = device;
                match device.form {
                    Form::Whole => send(self.inner, mode, &*device.whole, dest, tag)?,
                    Form::View => {
                        let view = view.insert(device.whole.slice(device.range.clone()));
                        send(self.inner, mode, &*view, dest, tag)?
                    }
                    Form::Raw => send(self.inner, mode, &*raw.insert(device.raw()), dest, tag)?,
                }
            }
        };
        Ok(self.request(inner, Some(end), Box::new(move || buffer)))
    }

    pub fn irecv<B: ElementsMut + ?Sized + 'static>(
        &self,
        buffer: &'scope mut B,
        source: impl Into<Source>,
        tag: Tag,
    ) -> Result<ScopedRequest<'scope, &'scope mut B>> {
        let source = source.into();
        let memory = self.stage.place(buffer.elements());
        let own: *mut B = buffer;
        // SAFETY: borrowed for the scope, and given back when its operation is over.
        let give_back = Box::new(move || unsafe { &mut *own });
        if let Memory::Own = memory {
            // SAFETY: as above.
            let inner = Box::new(self.inner.irecv(unsafe { &mut *own }, source, tag)?);
            return Ok(self.request(inner, None, give_back));
        }
        let copy = Copy::new(memory);
        // SAFETY: as in `isend`; nobody has the buffer until this has been called.
        let end = self
            .ends
            .add(move || unsafe { Copy::end(copy, |memory| memory.copy_back((*own).elements_mut())) });
        // SAFETY: as in `isend`.
        let inner: Box<dyn Waited + 'scope> = match unsafe { &mut *copy } {
            Copy {
                memory: Memory::Own, ..
                // SAFETY: as above.
            } => Box::new(self.inner.irecv(unsafe { &mut *own }, source, tag)?),
            Copy {
                memory: Memory::Pinned(pinned),
                ..
            } => Box::new(self.inner.irecv(pinned, source, tag)?),
            Copy {
                memory: Memory::Device(device),
                view_mut,
                raw,
                ..
            } => {
                let device: &'static mut Device<_> = device;
                match device.form {
                    Form::Whole => Box::new(self.inner.irecv(device.whole.as_mut(), source, tag)?),
                    Form::View => {
                        let view = view_mut.insert(device.whole.slice_mut(device.range.clone()));
                        Box::new(self.inner.irecv(view, source, tag)?)
                    }
                    Form::Raw => Box::new(self.inner.irecv(raw.insert(device.raw()), source, tag)?),
                }
            }
        };
        Ok(self.request(inner, Some(end), give_back))
    }

    fn request<B>(
        &self,
        inner: Box<dyn Waited + 'scope>,
        end: Option<usize>,
        buffer: Box<dyn FnOnce() -> B + 'scope>,
    ) -> ScopedRequest<'scope, B> {
        ScopedRequest {
            inner,
            ends: Rc::clone(&self.ends),
            end,
            buffer,
        }
    }
}
