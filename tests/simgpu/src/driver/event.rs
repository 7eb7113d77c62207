//! Events: moments in streams.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use super::context::{self, Context};
use super::failure::Outcome;
use super::handles::{self, Handles};
use super::ipc::SharedEvent;
use super::status::{Result, Status};
use super::stream::{Stream, Wait, Work};

const DISABLE_TIMING: u32 = 2;
const INTERPROCESS: u32 = 4;
const KNOWN_FLAGS: u32 = 1 | DISABLE_TIMING | INTERPROCESS;

/// An event.
pub struct Event {
    pub handle: usize,
    /// The handle of its context.
    pub context: usize,
    flags: u32,
    /// When it was recorded last.
    last: Mutex<Option<Arc<Moment>>>,
    /// What it shares with other processes.
    pub shared: Option<Arc<SharedEvent>>,
}

/// One recording of an event.
pub enum Moment {
    /// By this process.
    Own {
        passed: Mutex<Option<(Instant, Status)>>,
        passing: Condvar,
    },
    /// Of an event that processes share: by any of them, with its number.
    Shared { event: Arc<SharedEvent>, number: u32 },
}

static EVENTS: Handles<Event> = Handles::new();

/// How many events there are.
pub fn count() -> usize {
    EVENTS.len()
}

/// The event of a handle.
pub fn of(handle: usize) -> Result<Arc<Event>> {
    EVENTS.get(handle).ok_or(Status::ERROR_INVALID_HANDLE)
}

/// Makes an event.
pub fn create(context: &Context, flags: u32) -> Result<Arc<Event>> {
    if flags & !KNOWN_FLAGS != 0 || flags & (INTERPROCESS | DISABLE_TIMING) == INTERPROCESS {
        return Err(Status::ERROR_INVALID_VALUE);
    }
    let shared = match flags & INTERPROCESS {
        0 => None,
        _ => Some(Arc::new(SharedEvent::new()?)),
    };
    Ok(insert(context, flags, shared))
}

/// Makes an event of another process's.
pub fn adopt(context: &Context, shared: SharedEvent) -> Arc<Event> {
    insert(context, DISABLE_TIMING | INTERPROCESS, Some(Arc::new(shared)))
}

fn insert(context: &Context, flags: u32, shared: Option<Arc<SharedEvent>>) -> Arc<Event> {
    let handle = handles::fresh();
    let event = Arc::new(Event {
        handle,
        context: context.handle,
        flags,
        last: Mutex::default(),
        shared,
    });
    EVENTS.insert(handle, Arc::clone(&event));
    event
}

/// Destroys an event; operations that wait for it go on waiting.
pub fn destroy(handle: usize) -> Result {
    let event = EVENTS.remove(handle).ok_or(Status::ERROR_INVALID_HANDLE)?;
    Context::of(event.context)?.check()
}

/// Destroys all events of a context.
pub fn forget(context: usize) {
    EVENTS.retain(|event| event.context != context);
}

impl Event {
    /// Records it behind what is in the stream.
    pub fn record(&self, stream: &Arc<Stream>) -> Result {
        if stream.context()?.handle != self.context {
            return Err(Status::ERROR_INVALID_HANDLE);
        }
        let moment = Arc::new(match &self.shared {
            Some(event) => Moment::Shared {
                event: Arc::clone(event),
                number: event.begin(),
            },
            None => Moment::Own {
                passed: Mutex::default(),
                passing: Condvar::new(),
            },
        });
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&moment));
        stream.submit(
            Vec::new(),
            Work::Brief(Box::new(move |status| moment.pass(status))),
        )
    }

    /// When it was recorded last, by whatever process.
    pub fn last(&self) -> Option<Arc<Moment>> {
        match &self.shared {
            Some(event) => match event.recorded() {
                0 => None,
                number => Some(Arc::new(Moment::Shared {
                    event: Arc::clone(event),
                    number,
                })),
            },
            None => self.last.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Has a stream wait for it.
    pub fn awaited_by(&self, stream: &Arc<Stream>) -> Result {
        match self.last() {
            Some(moment) => stream.submit(vec![Wait::Moment(moment)], Work::Brief(Box::new(drop))),
            None => Ok(()),
        }
    }

    /// The milliseconds from `start` to it.
    pub fn elapsed_since(&self, start: &Event) -> Result<f32> {
        if (self.flags | start.flags) & DISABLE_TIMING != 0 || self.context != start.context {
            return Err(Status::ERROR_INVALID_HANDLE);
        }
        let (Some(from), Some(to)) = (start.last(), self.last()) else {
            return Err(Status::ERROR_INVALID_HANDLE);
        };
        let (Some((from, _)), Some((to, _))) = (from.passed(), to.passed()) else {
            return Err(Status::ERROR_NOT_READY);
        };
        let seconds = match to.checked_duration_since(from) {
            Some(later) => later.as_secs_f64(),
            None => -(from - to).as_secs_f64(),
        };
        Ok((seconds * 1e3) as f32)
    }
}

impl Moment {
    fn pass(&self, status: Status) {
        match self {
            Self::Own { passed, passing } => {
                *passed.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), status));
                passing.notify_all();
            }
            Self::Shared { event, number } => event.complete(*number),
        }
    }

    /// When this process's stream came to it.
    fn passed(&self) -> Option<(Instant, Status)> {
        match self {
            Self::Own { passed, .. } => *passed.lock().unwrap_or_else(PoisonError::into_inner),
            Self::Shared { .. } => None,
        }
    }

    pub fn has_passed(&self) -> bool {
        match self {
            Self::Own { .. } => self.passed().is_some(),
            Self::Shared { event, number } => event.has_completed(*number),
        }
    }

    /// Waits for it; fails only where another process has died before it.
    pub fn wait(&self) -> Outcome {
        match self {
            Self::Own { passed, passing } => {
                let mut passed = passed.lock().unwrap_or_else(PoisonError::into_inner);
                while passed.is_none() {
                    passed = passing.wait(passed).unwrap_or_else(PoisonError::into_inner);
                }
                Ok(())
            }
            Self::Shared { event, number } => event.wait(*number),
        }
    }
}

/// The context of an event, which must be alive and not have failed, as the calling thread's must.
pub fn usable(handle: usize) -> Result<(Arc<Event>, Arc<Context>)> {
    context::current()?;
    let event = of(handle)?;
    let context = Context::of(event.context)?;
    context.check()?;
    match event.shared.as_ref().is_some_and(|shared| shared.is_destroyed()) {
        true => Err(Status::ERROR_INVALID_HANDLE),
        false => Ok((event, context)),
    }
}
