//! The ways that elements can take from one rank to another.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// A way of elements from one rank to another.
///
/// | path | for | bytes move |
/// |---|---|---|
/// | [`Host`](Path::Host) | elements in the memories of hosts | as MPI carries them |
/// | [`Staged`](Path::Staged) | any two ranks | through pinned memory of each rank that has them on a GPU, and between these as MPI carries them |
/// | [`CudaAware`](Path::CudaAware) | two processes whose MPI takes the addresses of GPU memory, as was proved | as MPI carries them |
/// | [`SharedPinned`](Path::SharedPinned) | processes on one node | through pinned memory that both share: one copy down, one up, none by MPI |
/// | [`PeerGpuIpc`](Path::PeerGpuIpc) | processes on one node, from one GPU to another | through memory of the sender's GPU that both have open (CUDA IPC), or straight from a `DeviceBuffer` |
/// | [`SameGpuIpc`](Path::SameGpuIpc) | processes that share a GPU | the same |
/// | [`SameProcess`](Path::SameProcess) | ranks that are threads of one process, and a rank and itself | by one copy from GPU to GPU |
///
/// The fastest that works is taken where elements of more than the eager limit are on a GPU at one end at least; see
/// [`Communicator::path`](crate::Communicator::path) and [`Config::paths`](crate::Config::paths).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Path {
    /// Between the memories of hosts, as MPI carries them.
    Host,
    /// Through page-locked memory of every rank that has the elements on a GPU.
    Staged,
    /// As MPI carries them, which is given the addresses of GPU memory.
    CudaAware,
    /// Through page-locked memory that the two processes share.
    SharedPinned,
    /// Through memory of the sender's GPU that the receiver, with another GPU, has open.
    PeerGpuIpc,
    /// Through memory of the GPU of both that the receiver has open.
    SameGpuIpc,
    /// Between GPUs of one process, by one copy that the receiver starts.
    SameProcess,
}

impl Path {
    /// All of them, the slowest of those for GPUs first.
    ///
    /// ```
    /// use warpcomm::Path;
    ///
    /// let named = Path::ALL.iter().find(|path| path.name() == "staged");
    /// assert_eq!(named, Some(&Path::Staged));
    /// ```
    pub const ALL: &'static [Path] = &[
        Path::Host,
        Path::Staged,
        Path::CudaAware,
        Path::SharedPinned,
        Path::PeerGpuIpc,
        Path::SameGpuIpc,
        Path::SameProcess,
    ];

    /// Those that a program can choose from, the slowest first.
    const OF_GPUS: [Path; 6] = [
        Path::Staged,
        Path::CudaAware,
        Path::SharedPinned,
        Path::PeerGpuIpc,
        Path::SameGpuIpc,
        Path::SameProcess,
    ];

    /// Its name for programs, as `WARPCOMM_PATHS` and files have it: words are joined by hyphens. What is for people has
    /// the words of its `Display`.
    ///
    /// ```
    /// use warpcomm::Path;
    ///
    /// assert_eq!(Path::SameGpuIpc.name(), "same-gpu-ipc");
    /// assert_eq!(Path::SameGpuIpc.to_string(), "same GPU IPC");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Path::Host => "host",
            Path::Staged => "staged",
            Path::CudaAware => "cuda-aware",
            Path::SharedPinned => "shared-pinned",
            Path::PeerGpuIpc => "peer-gpu-ipc",
            Path::SameGpuIpc => "same-gpu-ipc",
            Path::SameProcess => "same-process",
        }
    }

    /// Whether two processes hand the pieces over in memory that they share.
    pub(crate) fn is_shared(self) -> bool {
        self == Path::SharedPinned || self.is_ipc()
    }

    /// Whether the receiver copies from memory of the sender's GPU that it has open.
    pub(crate) fn is_ipc(self) -> bool {
        matches!(self, Path::PeerGpuIpc | Path::SameGpuIpc)
    }

    pub(crate) fn from_code(code: u8) -> Option<Path> {
        Path::ALL.iter().copied().find(|&path| path as u8 == code)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Path::Host => "host",
            Path::Staged => "staged",
            Path::CudaAware => "cuda-aware",
            Path::SharedPinned => "shared pinned",
            Path::PeerGpuIpc => "peer GPU IPC",
            Path::SameGpuIpc => "same GPU IPC",
            Path::SameProcess => "same process",
        })
    }
}

/// The path of long messages from one rank's GPU to another's, and why they take it; see
/// [`Communicator::path`](crate::Communicator::path).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChosenPath {
    path: Path,
    reason: String,
}

impl ChosenPath {
    pub(crate) fn new(path: Path, reason: impl Into<String>) -> ChosenPath {
        ChosenPath {
            path,
            reason: reason.into(),
        }
    }

    /// The path.
    pub fn path(&self) -> Path {
        self.path
    }

    /// Why it is this one and no faster one, in a few words.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for ChosenPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}

/// The paths that elements on GPUs may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Paths(u8);

impl Paths {
    pub(crate) const ALL: Paths = Paths::of(&Path::OF_GPUS);

    pub(crate) const fn of(paths: &[Path]) -> Paths {
        let mut bits = 0;
        let mut at = 0;
        while at < paths.len() {
            // Between hosts there is no choice.
            if !matches!(paths[at], Path::Host) {
                bits |= 1 << paths[at] as u8;
            }
            at += 1;
        }
        Paths(bits)
    }

    #[cfg_attr(
        not(feature = "cuda"),
        allow(dead_code, reason = "without GPUs there is one path")
    )]
    pub(crate) fn allow(self, path: Path) -> bool {
        self.0 & (1 << path as u8) != 0
    }

    #[cfg_attr(
        not(feature = "mpi"),
        allow(dead_code, reason = "ranks that are threads have the same settings")
    )]
    pub(crate) fn bits(self) -> u8 {
        self.0
    }
}

impl FromStr for Paths {
    type Err = Error;

    /// Reads those that are allowed, or with `^` in front those that are not.
    fn from_str(text: &str) -> Result<Paths> {
        let (names, are_excluded) = match text.strip_prefix('^') {
            Some(names) => (names, true),
            None => (text, false),
        };
        let named = |name: &str| {
            let is_named = |path: &Path| path.name() == name.trim();
            Path::OF_GPUS.into_iter().find(is_named)
        };
        let paths: Option<Vec<Path>> = names.split(',').map(named).collect();
        let Paths(bits) = Paths::of(&paths.ok_or_else(|| {
            Error::invalid(
                "not a list of staged, cuda-aware, shared-pinned, peer-gpu-ipc, same-gpu-ipc and same-process, or of what is \
                 left out behind ^",
            )
        })?);
        let Paths(all) = Paths::ALL;
        match if are_excluded { all & !bits } else { bits } {
            0 => Err(Error::invalid("no path is left")),
            bits => Ok(Paths(bits)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_chosen_or_left_out_by_name() {
        let allowed = |text: &str| {
            text.parse::<Paths>()
                .ok()
                .map(|paths| Path::OF_GPUS.map(|path| paths.allow(path)))
        };
        assert_eq!(allowed("staged"), Some([true, false, false, false, false, false]));
        assert_eq!(
            allowed("same-process, same-gpu-ipc"),
            Some([false, false, false, false, true, true])
        );
        assert_eq!(
            allowed("^shared-pinned,peer-gpu-ipc"),
            Some([true, true, false, false, true, true])
        );
        assert_eq!(
            allowed("cuda-aware"),
            Some([false, true, false, false, false, false])
        );
        for bad in [
            "",
            "host",
            "staged,",
            "^staged,cuda-aware,shared-pinned,peer-gpu-ipc,same-gpu-ipc,same-process",
            "shared pinned",
            "same-GPU-IPC",
        ] {
            assert_eq!(allowed(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_path_has_one_name() {
        assert_eq!(Path::ALL[1..], Path::OF_GPUS);
        for path in Path::OF_GPUS {
            assert!(path.name().parse::<Paths>().unwrap().allow(path), "{path}");
            let words: Vec<&str> = path.name().split('-').collect();
            let shown = path.to_string().to_lowercase();
            assert_eq!(shown.split([' ', '-']).collect::<Vec<_>>(), words);
        }
    }

    #[test]
    fn codes_are_read_as_they_are_written() {
        for &path in Path::ALL {
            assert_eq!(Path::from_code(path as u8), Some(path));
        }
        assert_eq!(Path::from_code(99), None);
    }
}
