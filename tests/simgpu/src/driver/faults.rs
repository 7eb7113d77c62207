//! Faults on demand: the n-th call of a class fails.

use std::cell::RefCell;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use super::library;
use super::status::{Result, Status};

macro_rules! define {
    ($($(#[$documentation:meta])* $class:ident $name:literal;)*) => {
        /// What calls are counted and made to fail by.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Class {
            $($(#[$documentation])* $class,)*
        }

        impl Class {
            pub const ALL: &[Class] = &[$(Class::$class),*];

            pub fn name(self) -> &'static str {
                match self {
                    $(Class::$class => $name,)*
                }
            }
        }
    };
}

define! {
    /// Device memory is allocated, in stream order or not, or managed memory.
    Alloc "alloc";
    /// Host memory is allocated or registered.
    Pinned "pinned";
    Copy "copy";
    Memset "memset";
    Launch "launch";
    /// A module is loaded.
    Module "module";
    /// A function of a module is looked up.
    Function "function";
    /// A context is made or retained.
    Context "context";
    /// A stream is created.
    Stream "stream";
    /// An event is created.
    Event "event";
    Record "record";
    /// A stream is made to wait for an event.
    Wait "wait";
    /// A stream is made to write a word.
    Write "write";
    /// A host function is put into a stream.
    Host "host";
    /// The host waits, or asks whether it would have to.
    Synchronize "synchronize";
    /// A handle for other processes is made.
    IpcGet "ipc_get";
    /// A handle of another process is opened.
    IpcOpen "ipc_open";
    /// Peer access is asked for.
    Peer "peer";
    /// An operation of a stream: it is put into the stream, and fails when its turn comes.
    Async "async";
}

/// The calls that are to fail: of which class, which one from now on, and how.
#[derive(Clone, Debug, Default)]
pub struct Faults(Vec<Fault>);

#[derive(Clone, Debug)]
struct Fault {
    class: Class,
    calls_left: u64,
    status: Status,
}

impl FromStr for Faults {
    type Err = String;

    /// Reads `class:n=result`, any number of them with commas in between.
    fn from_str(list: &str) -> std::result::Result<Self, String> {
        let mut faults = Vec::new();
        for word in list.split(',').filter(|word| !word.is_empty()) {
            let parts = word.split_once(':').and_then(|(class, rest)| {
                let (number, result) = rest.split_once('=')?;
                Some((
                    class.trim(),
                    number.trim().parse().ok()?,
                    result.trim().parse().ok()?,
                ))
            });
            let (class, calls_left, code) =
                parts.ok_or_else(|| format!("`{word}` is not of the form class:n=result"))?;
            let class = Class::ALL.iter().copied().find(|known| known.name() == class);
            let class = class.ok_or_else(|| {
                let known: Vec<_> = Class::ALL.iter().map(|class| class.name()).collect();
                format!("`{word}`: the classes are {}", known.join(", "))
            })?;
            if calls_left == 0 {
                return Err(format!("`{word}`: calls are counted from 1"));
            }
            let status = Status(code);
            if code == 0 || status.describe().is_none() {
                return Err(format!("`{word}`: {code} is no error of CUDA"));
            }
            faults.push(Fault {
                class,
                calls_left,
                status,
            });
        }
        Ok(Self(faults))
    }
}

impl Faults {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn count(&mut self, class: Class) -> Option<Status> {
        let mut fired = None;
        self.0.retain_mut(|fault| {
            if fault.class != class {
                return true;
            }
            fault.calls_left -= 1;
            if fault.calls_left == 0 {
                fired.get_or_insert(fault.status);
            }
            fault.calls_left != 0
        });
        fired
    }
}

static CALLS: [AtomicU64; Class::ALL.len()] = [const { AtomicU64::new(0) }; Class::ALL.len()];
static FIRED: AtomicU64 = AtomicU64::new(0);
static OF_PROCESS: Armed = Armed::new();
static OF_PROGRAM: Armed = Armed::new();

/// Faults that any thread counts.
struct Armed {
    is_armed: AtomicBool,
    faults: Mutex<Faults>,
}

impl Armed {
    const fn new() -> Self {
        Self {
            is_armed: AtomicBool::new(false),
            faults: Mutex::new(Faults(Vec::new())),
        }
    }

    fn set(&self, faults: Faults) {
        let mut own = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_armed.store(!faults.is_empty(), Relaxed);
        *own = faults;
    }

    /// Counts a call, if it is one that is counted here.
    fn count(&self, class: Class, is_counted: fn() -> bool) -> Option<Status> {
        (self.is_armed.load(Relaxed) && is_counted()).then(|| {
            self.faults
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .count(class)
        })?
    }
}

thread_local! {
    static OF_THREAD: RefCell<Faults> = const { RefCell::new(Faults(Vec::new())) };
}

/// Replaces the faults of the process.
pub fn set_for_process(faults: Faults) {
    OF_PROCESS.set(faults);
}

/// Replaces the faults of calls that the program itself makes, and not a library that it has loaded.
pub fn set_for_program(faults: Faults) {
    OF_PROGRAM.set(faults);
}

/// Replaces the faults of the calling thread.
pub fn set_for_thread(faults: Faults) {
    OF_THREAD.set(faults);
}

/// Counts a call; an error if it is to fail.
pub fn check(class: Class) -> Result {
    CALLS[class as usize].fetch_add(1, Relaxed);
    // A thread that is ending may have lost its faults, and has none then.
    let of_thread = OF_THREAD
        .try_with(|faults| faults.borrow_mut().count(class))
        .ok()
        .flatten();
    let of_process = OF_PROCESS.count(class, || true);
    let of_program = OF_PROGRAM.count(class, library::is_called_by_program);
    match of_thread.or(of_process).or(of_program) {
        Some(status) => {
            FIRED.fetch_add(1, Relaxed);
            Err(status)
        }
        None => Ok(()),
    }
}

/// How many calls of a class there were.
pub fn calls(class: Class) -> u64 {
    CALLS[class as usize].load(Relaxed)
}

/// How many calls were made to fail.
pub fn fired() -> u64 {
    FIRED.load(Relaxed)
}
