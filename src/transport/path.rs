//! Which way elements take from one rank to another, by where both have them.

use crate::device::Place;

/// A way of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Path {
    /// Between the memories of hosts, as the transport carries them.
    Host,
    /// Through page-locked memory of every rank that has them on a GPU.
    Staged,
    /// Between GPUs of one process, by one copy that the receiver starts.
    SameProcess,
}

impl Path {
    /// The way between two places, of ranks in one process or not.
    pub(crate) fn between(ends: [Place; 2], share_a_process: bool) -> Path {
        match ends {
            [Place::Host, Place::Host] => Path::Host,
            [Place::Device, Place::Device] if share_a_process => Path::SameProcess,
            _ => Path::Staged,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_between_gpus_needs_gpus_at_both_ends_of_one_process() {
        let ends = [
            [Place::Host, Place::Host],
            [Place::Host, Place::Device],
            [Place::Device, Place::Host],
            [Place::Device, Place::Device],
        ];
        assert_eq!(
            ends.map(|ends| Path::between(ends, true)),
            [Path::Host, Path::Staged, Path::Staged, Path::SameProcess]
        );
        assert_eq!(
            ends.map(|ends| Path::between(ends, false)),
            [Path::Host, Path::Staged, Path::Staged, Path::Staged]
        );
    }
}
