//! Every setting of the library: the builder [`Config`] and the `WARPCOMM_*` variables it reads.

mod settings;

use std::env;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::path::{Path, Paths};
use settings::CHUNK_BYTES;
pub(crate) use settings::LARGEST_EAGER_LIMIT;
pub use settings::Setting;

/// How an MPI library lets threads call it.
///
/// MPI standard, section 11.6 (`MPI_Init_thread`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ThreadLevel {
    /// The process has one thread.
    Single,
    /// Only the thread that initialized MPI calls it.
    Funneled,
    /// One thread at a time calls it.
    Serialized,
    /// Any thread calls it at any time.
    Multiple,
}

impl FromStr for ThreadLevel {
    type Err = Error;

    fn from_str(text: &str) -> Result<ThreadLevel> {
        match text {
            "single" => Ok(ThreadLevel::Single),
            "funneled" => Ok(ThreadLevel::Funneled),
            "serialized" => Ok(ThreadLevel::Serialized),
            "multiple" => Ok(ThreadLevel::Multiple),
            _ => Err(Error::invalid(format!(
                "{text:?} is none of single, funneled, serialized, multiple"
            ))),
        }
    }
}

impl fmt::Display for ThreadLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ThreadLevel::Single => "single",
            ThreadLevel::Funneled => "funneled",
            ThreadLevel::Serialized => "serialized",
            ThreadLevel::Multiple => "multiple",
        })
    }
}

/// What a [`Fault`] does to its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultAction {
    /// Sending it returns an error, and it is not sent.
    Fail,
    /// It is sent after the sender has looked for completions 100 times more.
    Delay,
    /// It is never sent, and the sender believes that it was.
    Drop,
    /// It is sent after the next message that MPI would allow to overtake it.
    Reorder,
}

/// A fault to be injected into the messages that a rank sends, for tests of programs and of this
/// library.
///
/// Messages are counted from 1, those of the library's own protocol (envelopes, replies, bodies,
/// frames) included. The text form is `ACTION:N` for every rank or `ACTION:N@RANK` for one, with
/// the actions `fail`, `delay`, `drop` and `reorder`.
///
/// ```
/// use warpcomm::{Communicator, Config, ErrorKind, Tag};
///
/// let config = Config::default().fault("fail:1@0".parse()?);
/// let kinds = Communicator::threads_with(&config, 2, |comm| match comm.rank() {
///     0 => comm.send(&[1u8], 1, Tag(0)).map_err(|error| error.kind()),
///     _ => Ok(()),
/// })?;
/// assert_eq!(kinds, [Err(ErrorKind::Mpi), Ok(())]);
/// # Ok::<(), warpcomm::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fault {
    pub(crate) action: FaultAction,
    pub(crate) message: u64,
    pub(crate) rank: Option<usize>,
}

impl Fault {
    /// A fault that befalls the `message`-th message, counted from 1, that `rank` sends, or each
    /// rank where it is `None`.
    pub fn new(action: FaultAction, message: u64, rank: Option<usize>) -> Fault {
        Fault {
            action,
            message,
            rank,
        }
    }
}

impl FromStr for Fault {
    type Err = Error;

    fn from_str(text: &str) -> Result<Fault> {
        let bad = || {
            Error::invalid(format!(
                "{text:?} is not ACTION:N or ACTION:N@RANK with the action fail, delay, drop or reorder"
            ))
        };
        let (action, place) = text.split_once(':').ok_or_else(bad)?;
        let action = match action {
            "fail" => FaultAction::Fail,
            "delay" => FaultAction::Delay,
            "drop" => FaultAction::Drop,
            "reorder" => FaultAction::Reorder,
            _ => return Err(bad()),
        };
        let (message, rank) = match place.split_once('@') {
            Some((message, rank)) => (message, Some(rank.parse().map_err(|_| bad())?)),
            None => (place, None),
        };
        let message = message.parse().ok().filter(|&n| n > 0).ok_or_else(bad)?;
        Ok(Fault::new(action, message, rank))
    }
}

/// Where measured crossovers are read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TuningFile {
    /// From where `warpcomm tune` writes them for this machine.
    OfThisMachine,
    None,
    Named(PathBuf),
}

/// The settings of a `Runtime` or of ranks as threads.
///
/// | variable | meaning | default |
/// |---|---|---|
/// | `WARPCOMM_TIMEOUT` | seconds a call may wait before it gives [`Timeout`](crate::ErrorKind::Timeout) | none: calls wait |
/// | `WARPCOMM_HANG_REPORT` | seconds after which a waiting call prints a report, and goes on; see below | 300 |
/// | `WARPCOMM_EAGER_LIMIT` | largest message in bytes that travels with its envelope, at most 4000; the same on all ranks | 4000 |
/// | `WARPCOMM_CHUNK` | bytes, 4096 to 64 MiB, of the pieces in which long messages from or to GPUs are staged, and of the chunks in which long blocks are folded, which have 32 KiB or more; the same on all ranks | by the length of the message, 256 KiB to 4 MiB |
/// | `WARPCOMM_PATHS` | paths that long messages from or to GPUs may take, separated by commas: `staged`, `cuda-aware`, `shared-pinned`, `peer-gpu-ipc`, `same-gpu-ipc`, `same-process`; behind `^` those that they may not; the same on all ranks; see [`Path`] | all |
/// | `WARPCOMM_CUDA_AWARE` | `yes`: MPI takes addresses of GPU memory, whatever it says and was proved; `no`: it does not; the same on all ranks | none: what `warpcomm run` and `warpcomm tune` have proved on the rank's host |
/// | `WARPCOMM_CACHE` | the directory in which what was proved or measured is kept | `warpcomm` in `XDG_CACHE_HOME`, else in `~/.cache` |
/// | `WARPCOMM_NODE_ID` | any text: ranks are on one node where it is the same, whatever the system says | none: the system says |
/// | `WARPCOMM_BUFFERED_LIMIT` | most bytes that the copies of a rank's buffered sends take together | 1 GiB (1073741824) |
/// | `WARPCOMM_CHECK` | `1`: collectives compare their arguments before they move data; `0`: they trust them; the same on all ranks | 1 |
/// | `WARPCOMM_TUNING` | the file that `warpcomm tune` writes and ranks read, or `none`; that of rank 0 counts for all ranks; see [`Tuning`](crate::Tuning) | the file for this machine in `WARPCOMM_CACHE`, if there is one |
/// | `WARPCOMM_THREAD_LEVEL` | `single`, `funneled`, `serialized` or `multiple`, asked of MPI | `multiple` |
/// | `WARPCOMM_FAULT` | faults to inject, separated by commas; see [`Fault`] | none |
/// | `WARPCOMM_TRACE` | a file: every rank writes down its operations, in `FILE.RANK.json` for `FILE.json`; see [below](Config#files-of-traces) | none |
///
/// # Reports of hangs
///
/// A call that has waited for long prints to the standard error what is pending on its rank: every operation with
/// what it waits for and its age. So does every rank of a process that gets `SIGUSR1`, whether it is in a call or not;
/// a handler that the program has installed before is called too, and one that it installs later replaces this one.
///
/// Rank 0 then asks all ranks where they are, and prints within some seconds who is behind and in which collective:
///
/// ```text
/// warpcomm: rank 0 has asked the 3 ranks where they are:
/// warpcomm:   rank 2 has not entered allreduce #17, as ranks 0, 1 have; it was last in bcast #16, which it left about 12 s ago
/// warpcomm:   rank 0: allreduce #17, 8 bytes, waits for rank 2 to enter it (12.4 s)
/// warpcomm:   rank 1: allreduce #17, 8 bytes, waits for rank 2 to enter it (12.3 s)
/// warpcomm:   rank 2: nothing is pending
/// ```
///
/// Collectives are counted from 0 on each communicator. Where MPI grants [`ThreadLevel::Multiple`], and among ranks that
/// are threads, a rank answers whatever it does, within a second. Below that level it answers only in a call that has
/// waited for a moment. A rank in user code, or one that is gone, does not answer then: its line ends with `it does
/// not answer`, and says what those know who wait for it, which is that nothing of it has arrived, and in which
/// collective all were before. Nor can rank 0 ask while it is itself in no call. Two communicators of the same ranks
/// in the same order that come from different splits cannot be told apart, and nobody is said to be behind in them.
///
/// # Traces
///
/// Every operation is a span of the crate `tracing`, named `operation`, with the target `warpcomm` and the level
/// debug, from its start to its end; that of a request ends when its operation does. Its fields are `operation` and
/// `rank`; of messages `source` or `dest`, and `tag`; of collectives `sequence`; `bytes`, which of an object are known
/// once it is on its way, and `dtype`; `path`, how the elements went: `inline` or `rendezvous`, or by which algorithm,
/// `frames`, `direct`, `tree` or `blocks`, and, if some of this rank's buffers are on a GPU, the [`Path`] of its long
/// messages, of several the last in the list there, or `staged` where it had none; `outcome`, which is `ok` or the [`ErrorKind`](crate::ErrorKind). A call that only waits for requests,
/// as [`wait_any`](crate::wait_any), has no span of its own, and what becomes of it is not the outcome of theirs. What
/// is refused, because the rank does not exist or another thread is in a collective, has a span too. A subscriber that
/// panics where an operation ends is not called again for that operation, which goes on.
///
/// Under a profiler that takes NVTX ranges (Nsight Systems sets `NVTX_INJECTION64_PATH`), every operation is a range
/// of the domain `warpcomm` too, named as the operation, with its bytes as payload.
///
/// # Files of traces
///
/// With `WARPCOMM_TRACE=trace.json` each rank writes all that into a file that <https://ui.perfetto.dev> and
/// chrome://tracing open, `trace.0.json` for rank 0; a `%r` in the name stands for the number of the rank in the world
/// instead. `warpcomm plot` merges the files of a job. Calls are in the lanes named `calls`, and requests, which go on
/// without one, in those named `requests`; what overlaps is in different lanes. The fields of spans are the arguments,
/// with the name of the communicator, if it has one, and this rank's number in it, if that is another than in the world.
///
/// Within an operation are its phases, with the rank that it waited for, where there is one (`awaited`): of a message `envelope`,
/// until the transport has taken it, `match`, until a send matches, `go`, until a receive does, and `body`; of a collective
/// `agreement`, until all have entered it, and `data`, which includes the folds; `step`, `meeting` and `creation` of
/// what makes communicators, `library` in a collective of MPI's own, and `turn`, if it had to wait for an earlier
/// collective. Of an operation with more than 24 phases the last goes on to its end.
///
/// Times are those of the system's clock when the process began to trace, and go on evenly: within a node they can be
/// compared to about a microsecond, between nodes as far as the clocks agree. Operations are written forty times a second
/// by a thread of the process, at the end of the rank, and when the process exits; a process that is killed by a signal
/// leaves all but the last moment. The array in the file is ended whenever nobody writes to it, and where a signal
/// came in between, both programs read it without its end. At most 131,072 operations wait to be written, about 17 MiB;
/// more are left out, and an event named `left out` says how many. Ranks that are threads have a file each, too, and a
/// process that runs such ranks again writes behind what is there.
///
/// ```
/// use std::time::Duration;
/// use warpcomm::{Communicator, Config, ErrorKind, Tag};
///
/// let config = Config::default().timeout(Duration::from_millis(50));
/// let error = Communicator::threads_with(&config, 1, |comm| {
///     comm.recv(&mut [0u8], 0, Tag(0)).unwrap_err()
/// })?;
/// assert_eq!(error[0].kind(), ErrorKind::Timeout);
/// # Ok::<(), warpcomm::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) timeout: Option<Duration>,
    pub(crate) hang_report: Duration,
    pub(crate) eager_limit: usize,
    pub(crate) chunk: Option<usize>,
    pub(crate) paths: Paths,
    pub(crate) cuda_aware: Option<bool>,
    pub(crate) cache: Option<PathBuf>,
    pub(crate) node_id: Option<String>,
    pub(crate) buffered_limit: usize,
    pub(crate) check: bool,
    pub(crate) tuning: TuningFile,
    pub(crate) thread_level: ThreadLevel,
    pub(crate) faults: Vec<Fault>,
    pub(crate) trace: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            timeout: None,
            hang_report: Duration::from_secs(300),
            eager_limit: LARGEST_EAGER_LIMIT,
            chunk: None,
            paths: Paths::ALL,
            cuda_aware: None,
            cache: None,
            node_id: None,
            buffered_limit: 1 << 30,
            check: true,
            tuning: TuningFile::OfThisMachine,
            thread_level: ThreadLevel::Multiple,
            faults: Vec::new(),
            trace: None,
        }
    }
}

impl Config {
    /// The defaults, changed by the `WARPCOMM_*` variables that are set.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) naming the variable whose value
    /// cannot be used.
    pub fn from_env() -> Result<Config> {
        Config::from_variables(|name| env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Config> {
        let read = |name: &str, parse: &mut dyn FnMut(&str) -> Result<()>| match variable(name) {
            Some(value) => parse(value.trim())
                .map_err(|error| Error::invalid(format!("{name}={value}: {}", error.message()))),
            None => Ok(()),
        };
        let mut config = Config::default();
        read("WARPCOMM_TIMEOUT", &mut |value| {
            config.timeout = Some(plain(settings::seconds(value))?);
            Ok(())
        })?;
        read("WARPCOMM_HANG_REPORT", &mut |value| {
            config.hang_report = plain(settings::seconds(value))?;
            Ok(())
        })?;
        read("WARPCOMM_EAGER_LIMIT", &mut |value| {
            config.eager_limit = plain(settings::bytes_within(value, 0..=LARGEST_EAGER_LIMIT))?;
            Ok(())
        })?;
        read("WARPCOMM_CHUNK", &mut |value| {
            config.chunk = Some(plain(settings::bytes_within(value, CHUNK_BYTES))?);
            Ok(())
        })?;
        read("WARPCOMM_PATHS", &mut |value| {
            config.paths = value.parse()?;
            Ok(())
        })?;
        read("WARPCOMM_CUDA_AWARE", &mut |value| {
            config.cuda_aware = Some(plain(settings::one_of(value, ["no", "yes"]))?);
            Ok(())
        })?;
        read("WARPCOMM_CACHE", &mut |value| {
            config.cache = Some(plain(settings::absolute(value))?);
            Ok(())
        })?;
        read("WARPCOMM_NODE_ID", &mut |value| {
            config.node_id = Some(value.to_owned());
            Ok(())
        })?;
        read("WARPCOMM_BUFFERED_LIMIT", &mut |value| {
            config.buffered_limit = plain(settings::bytes(value))?;
            Ok(())
        })?;
        read("WARPCOMM_CHECK", &mut |value| {
            config.check = plain(settings::one_of(value, ["0", "1"]))?;
            Ok(())
        })?;
        read("WARPCOMM_TUNING", &mut |value| {
            let file = plain(settings::file(value))?;
            config.tuning = file.map_or(TuningFile::None, TuningFile::Named);
            Ok(())
        })?;
        read("WARPCOMM_THREAD_LEVEL", &mut |value| {
            config.thread_level = value.parse()?;
            Ok(())
        })?;
        read("WARPCOMM_FAULT", &mut |value| {
            config.faults = value
                .split(',')
                .map(|fault| fault.trim().parse())
                .collect::<Result<_>>()?;
            Ok(())
        })?;
        read("WARPCOMM_TRACE", &mut |value| {
            config.trace = Some(settings::trace_file(value).map_err(Error::invalid)?);
            Ok(())
        })?;
        Ok(config)
    }

    /// Every variable that [`from_env`](Self::from_env) reads.
    ///
    /// ```
    /// for setting in warpcomm::Config::settings() {
    ///     println!("{} ({}): {}", setting.name(), setting.default(), setting.meaning());
    /// }
    /// ```
    pub fn settings() -> &'static [Setting] {
        Setting::ALL
    }

    /// Sets the time after which a waiting call gives [`Timeout`](crate::ErrorKind::Timeout) and
    /// the communicator is poisoned.
    pub fn timeout(mut self, timeout: Duration) -> Config {
        self.timeout = Some(timeout);
        self
    }

    /// Sets the time after which a waiting call prints what is pending on its rank, and rank 0 who is behind, once, and
    /// goes on; see [above](Config#reports-of-hangs).
    pub fn hang_report(mut self, after: Duration) -> Config {
        self.hang_report = after;
        self
    }

    /// Sets the largest message in bytes that travels with its envelope; above 4,000 it is 4,000.
    ///
    /// All ranks must use the same limit; `Runtime::world` compares.
    pub fn eager_limit(mut self, bytes: usize) -> Config {
        self.eager_limit = bytes.min(LARGEST_EAGER_LIMIT);
        self
    }

    /// Sets the length in bytes of the pieces in which long messages from or to GPUs go through pinned memory: while one
    /// piece is copied, another is on its way. Below 4,096 it is 4,096, above 64 MiB it is 64 MiB, and where two processes
    /// share the memory 4 MiB.
    ///
    /// Without it, messages of up to 256 KiB are staged whole, up to 4 MiB in pieces of 512 KiB, up to 32 MiB of
    /// 2 MiB, and longer ones of 4 MiB. All ranks must use the same; `Runtime::world` compares.
    pub fn chunk(mut self, bytes: usize) -> Config {
        self.chunk = Some(bytes.clamp(*CHUNK_BYTES.start(), *CHUNK_BYTES.end()));
        self
    }

    /// Sets which paths long messages from or to GPUs may take; [`Path::Host`] is not one of them, and cannot be left
    /// out. All ranks must use the same; `Runtime::world` compares.
    ///
    /// A message that can take none of them is [`Unsupported`](crate::ErrorKind::Unsupported) for its receiver. Its sender
    /// gets the same if both find it out with this message, and [`PeerFailed`](crate::ErrorKind::PeerFailed) if the
    /// receiver knows it before.
    ///
    /// ```
    /// use warpcomm::{Config, Path};
    ///
    /// let config = Config::default().paths(&[Path::Staged]); // everything through MPI
    /// ```
    pub fn paths(mut self, paths: &[Path]) -> Config {
        self.paths = Paths::of(paths);
        self
    }

    /// Sets whether MPI takes addresses of GPU memory, for somebody who knows: where it says so and does not, programs
    /// end by a signal. Without it, it does where it says so and `warpcomm run` or `warpcomm tune` has proved it.
    ///
    /// All ranks must say the same; `Runtime::world` compares.
    pub fn cuda_aware(mut self, is_aware: bool) -> Config {
        self.cuda_aware = Some(is_aware);
        self
    }

    /// Sets the directory in which what was proved or measured is kept.
    pub fn cache(mut self, directory: impl Into<PathBuf>) -> Config {
        self.cache = Some(directory.into());
        self
    }

    /// Sets on which node this rank is: with those that have set the same, whatever the system says. For tests of
    /// programs, and for systems that tell it wrongly.
    ///
    /// ```
    /// use warpcomm::{Communicator, Config};
    ///
    /// let config = Config::default().node_id("here");
    /// let sizes = Communicator::threads_with(&config, 2, |comm| Ok(comm.split_shared(0)?.size()))?;
    /// assert_eq!(sizes.into_iter().collect::<warpcomm::Result<Vec<_>>>()?, [2, 2]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn node_id(mut self, node: impl Into<String>) -> Config {
        self.node_id = Some(node.into());
        self
    }

    /// Sets how many bytes the copies of this rank's buffered sends may take together; a
    /// [`bsend`](crate::Communicator::bsend) beyond is an error. Ranks may differ.
    ///
    /// ```
    /// use warpcomm::{Communicator, Config, ErrorKind, Tag};
    ///
    /// let config = Config::default().buffered_limit(10_000);
    /// let outcomes = Communicator::threads_with(&config, 1, |comm| {
    ///     comm.bsend(&[1u8; 9_000], 0, Tag(0))?; // stays here until it is received
    ///     let beyond = comm.bsend(&[1u8; 2_000], 0, Tag(0));
    ///     comm.recv(&mut [0u8; 9_000], 0, Tag(0))?;
    ///     Ok::<_, warpcomm::Error>(beyond.map_err(|error| error.kind()))
    /// })?;
    /// assert_eq!(outcomes.into_iter().collect::<Result<Vec<_>, _>>()?, [Err(ErrorKind::Device)]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn buffered_limit(mut self, bytes: usize) -> Config {
        self.buffered_limit = bytes;
        self
    }

    /// Sets whether collectives compare their arguments before they move data.
    ///
    /// Without the comparison, unequal arguments hang or give wrong data, as with plain MPI, and a rank whose own
    /// arguments are bad, or whose GPU refuses memory for the operation, gets its error alone while the others
    /// wait. All ranks must choose the same; `Runtime::world` compares.
    pub fn check(mut self, check: bool) -> Config {
        self.check = check;
        self
    }

    /// The directory in which what was proved or measured is kept; none where nothing says where users have theirs.
    pub(crate) fn cache_directory(&self) -> Option<PathBuf> {
        let absolute = |variable: &str| {
            let path = env::var_os(variable).map(PathBuf::from);
            path.filter(|path| path.is_absolute())
        };
        let of_user = || absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
        self.cache.clone().or_else(|| Some(of_user()?.join("warpcomm")))
    }

    /// Sets the file with measured crossovers that decides which algorithms collectives take, or none: then they take
    /// those that they take by default. See [`Tuning`](crate::Tuning).
    ///
    /// The file of rank 0 counts for all ranks of a communicator, whatever the others have set.
    ///
    /// ```
    /// use warpcomm::{Communicator, Config, Place};
    ///
    /// let config = Config::default().tuning(None);
    /// let reasons = Communicator::threads_with(&config, 2, |comm| {
    ///     comm.explain("allreduce", 1000, Place::Host).map(|chosen| chosen.to_string())
    /// })?;
    /// let reason = "direct: 1000 bytes are below 16384, the default: WARPCOMM_TUNING=none";
    /// assert!(reasons.into_iter().all(|chosen| chosen.unwrap() == reason));
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn tuning(mut self, file: Option<PathBuf>) -> Config {
        self.tuning = file.map_or(TuningFile::None, TuningFile::Named);
        self
    }

    /// Sets the thread level that is asked of MPI.
    pub fn thread_level(mut self, level: ThreadLevel) -> Config {
        self.thread_level = level;
        self
    }

    /// Sets the file in which every rank writes down its operations, or none; see [above](Config#files-of-traces).
    ///
    /// Each rank has its own file, whose name has the number of the rank in the world for each `%r`, or else in front of
    /// the extension: `trace.0.json` for `trace.json`.
    ///
    /// ```
    /// use warpcomm::{Communicator, Config};
    ///
    /// # let directory = std::env::temp_dir().join(format!("warpcomm-trace-{}", std::process::id()));
    /// # std::fs::create_dir_all(&directory)?;
    /// let config = Config::default().trace(Some(directory.join("trace.json")));
    /// Communicator::threads_with(&config, 2, |comm| comm.barrier())?;
    /// let written = std::fs::read_to_string(directory.join("trace.1.json"))?;
    /// assert!(written.contains("barrier"));
    /// # std::fs::remove_dir_all(&directory)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn trace(mut self, file: Option<PathBuf>) -> Config {
        self.trace = file;
        self
    }

    /// Adds a fault to be injected.
    pub fn fault(mut self, fault: Fault) -> Config {
        self.faults.push(fault);
        self
    }
}

fn plain<T>(read: std::result::Result<T, String>) -> Result<T> {
    read.map_err(Error::invalid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn config(variables: &[(&str, &str)]) -> Result<Config> {
        Config::from_variables(|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| value.to_string())
        })
    }

    #[test]
    fn reads_every_variable() {
        let config = config(&[
            ("WARPCOMM_TIMEOUT", "1.5"),
            ("WARPCOMM_HANG_REPORT", "2"),
            ("WARPCOMM_EAGER_LIMIT", "0"),
            ("WARPCOMM_CHUNK", "8192"),
            ("WARPCOMM_PATHS", "^shared-pinned"),
            ("WARPCOMM_CUDA_AWARE", "no"),
            ("WARPCOMM_CACHE", "/var/cache/warpcomm"),
            ("WARPCOMM_NODE_ID", "left"),
            ("WARPCOMM_BUFFERED_LIMIT", "5000000000"),
            ("WARPCOMM_CHECK", "0"),
            ("WARPCOMM_TUNING", "/a/file"),
            ("WARPCOMM_THREAD_LEVEL", "funneled"),
            ("WARPCOMM_FAULT", "drop:3, delay:1@2"),
            ("WARPCOMM_TRACE", "a/trace.json"),
        ])
        .unwrap();
        assert_eq!(config.timeout, Some(Duration::from_millis(1500)));
        assert_eq!(config.hang_report, Duration::from_secs(2));
        assert_eq!(config.eager_limit, 0);
        assert_eq!(config.chunk, Some(8192));
        assert!(!config.paths.allow(Path::SharedPinned) && config.paths.allow(Path::Staged));
        assert_eq!(config.cuda_aware, Some(false));
        assert_eq!(config.cache, Some(PathBuf::from("/var/cache/warpcomm")));
        assert_eq!(config.node_id.as_deref(), Some("left"));
        assert_eq!(config.buffered_limit, 5_000_000_000);
        assert!(!config.check);
        assert_eq!(config.tuning, TuningFile::Named("/a/file".into()));
        assert_eq!(config.thread_level, ThreadLevel::Funneled);
        let faults = [
            Fault::new(FaultAction::Drop, 3, None),
            Fault::new(FaultAction::Delay, 1, Some(2)),
        ];
        assert_eq!(config.faults, faults);
        assert_eq!(config.trace, Some(PathBuf::from("a/trace.json")));
    }

    #[test]
    fn a_bad_value_is_an_error_that_names_its_variable() {
        for (name, value) in [
            ("WARPCOMM_TIMEOUT", "soon"),
            ("WARPCOMM_TIMEOUT", "0"),
            ("WARPCOMM_TIMEOUT", "1e300"),
            ("WARPCOMM_HANG_REPORT", "-1"),
            ("WARPCOMM_EAGER_LIMIT", "4001"),
            ("WARPCOMM_CHUNK", "4095"),
            ("WARPCOMM_PATHS", "fast"),
            ("WARPCOMM_BUFFERED_LIMIT", "lots"),
            ("WARPCOMM_CUDA_AWARE", "1"),
            ("WARPCOMM_CACHE", "cache"),
            ("WARPCOMM_CHECK", "yes"),
            ("WARPCOMM_TUNING", ""),
            ("WARPCOMM_THREAD_LEVEL", "MULTIPLE"),
            ("WARPCOMM_FAULT", "fail:0"),
            ("WARPCOMM_FAULT", "burn:1"),
            ("WARPCOMM_FAULT", "fail:1@x"),
            ("WARPCOMM_TRACE", ""),
            ("WARPCOMM_TRACE", "/"),
        ] {
            let error = config(&[(name, value)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(
                error.to_string().starts_with(&format!("{name}={value}: ")),
                "{error}"
            );
        }
    }

    /// The rows of the table in the documentation of [`Config`], as plain text: without links, and without where more is
    /// said.
    fn documented() -> Vec<[String; 3]> {
        let plain = |cell: &str| {
            let cell = cell.split("; see ").next().unwrap_or_default();
            let mut text = String::new();
            let mut rest = cell;
            while let Some((before, link)) = rest.split_once("](") {
                text += before;
                rest = link.split_once(')').map_or("", |(_, after)| after);
            }
            (text + rest).replace(['`', '['], "").trim().to_owned()
        };
        let row = |line: &str| {
            let cells: Vec<String> = line
                .strip_prefix("/// | `WARPCOMM_")?
                .split('|')
                .map(plain)
                .collect();
            let [name, meaning, default, _] = &cells[..] else {
                panic!("{line}");
            };
            Some([format!("WARPCOMM_{name}"), meaning.clone(), default.clone()])
        };
        include_str!("config.rs").lines().filter_map(row).collect()
    }

    #[test]
    fn the_documented_settings_are_those_that_are_listed_and_read() {
        let listed: Vec<[String; 3]> = Config::settings()
            .iter()
            .map(|setting| [setting.name(), setting.meaning(), setting.default()].map(str::to_owned))
            .collect();
        assert_eq!(documented(), listed);
        let read = std::cell::RefCell::new(Vec::new());
        Config::from_variables(|name| {
            read.borrow_mut().push(name.to_owned());
            None
        })
        .unwrap();
        let names: Vec<&str> = Config::settings().iter().map(Setting::name).collect();
        assert_eq!(*read.borrow(), names);
    }

    #[test]
    fn a_value_is_checked_as_it_is_read() {
        let values = [
            "",
            " ",
            "0",
            "1",
            "1.5",
            " 2 ",
            "-1",
            "1e300",
            "nan",
            "4000",
            "4001",
            "4095",
            "4096",
            "67108864",
            "67108865",
            "yes",
            "no",
            "Yes",
            "none",
            "relative",
            "/absolute",
            "staged",
            "^staged",
            "staged, cuda-aware",
            "staged,",
            "host",
            "^",
            "shared pinned",
            "^staged,cuda-aware,shared-pinned,peer-gpu-ipc,same-gpu-ipc,same-process",
            "staged,cuda-aware,shared-pinned,peer-gpu-ipc,same-gpu-ipc,same-process",
            "single",
            "funneled",
            "serialized",
            "multiple",
            "MULTIPLE",
            "fail:1",
            "delay:2@0",
            "drop:3, reorder:4@1",
            "fail:0",
            "burn:1",
            "fail:1@x",
            "fail",
            "a/trace.json",
            "/",
        ];
        for setting in Config::settings() {
            for value in values {
                let read = config(&[(setting.name(), value)]).map(drop);
                let read = read.map_err(|error| error.message().to_owned());
                let checked = setting.check(value);
                let checked = checked.map_err(|reason| format!("{}={value}: {reason}", setting.name()));
                assert_eq!(checked, read);
            }
        }
    }
}
