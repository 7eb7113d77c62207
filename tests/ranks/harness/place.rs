//! Where the buffers of a job lie.

use std::fmt;

/// What the buffers of a job are; see [`crate::placed`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The cases' own: vectors, arrays, slices and so on.
    #[default]
    Host,
    /// Page-locked memory of the host.
    Pinned,
    /// The memory of GPUs.
    Device,
    /// Any of these, another one for each buffer on each rank.
    Mixed,
}

impl Place {
    pub const ALL: &[Place] = &[Place::Host, Place::Pinned, Place::Device, Place::Mixed];

    /// The place of a name.
    pub fn named(name: &str) -> Option<Place> {
        Place::ALL.iter().copied().find(|place| place.to_string() == name)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Place::Host => "host",
            Place::Pinned => "pinned",
            Place::Device => "device",
            Place::Mixed => "mixed",
        })
    }
}
