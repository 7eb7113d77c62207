//! In which pieces the elements of a long message travel.

use crate::path::Path;

/// The most bytes of one message that MPI carries from memory to memory of its users: small enough for MPI's counts, large enough for nobody to
/// notice the seams.
pub(crate) const LARGEST_MESSAGE_BYTES: usize = 64 << 20;

/// The most bytes of a piece in memory that two processes share, which holds a [`WINDOW`] of them.
pub(crate) const SHARED_PIECE_BYTES: usize = 4 << 20;

/// How many pieces of one message are under way at the same time, where one copy waits for another.
pub(crate) const WINDOW: usize = 4;

/// The pieces of a message: both sides cut it alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pieces {
    /// The way that they take.
    pub path: Path,
    bytes: usize,
    /// The length in bytes of all but the last.
    pub length: usize,
}

impl Pieces {
    /// The pieces of `bytes` bytes on a path; `chunk` is what to cut elements into that go through pinned memory, if
    /// they are cut.
    pub(crate) fn new(bytes: usize, path: Path, chunk: Option<usize>) -> Pieces {
        let length = match path {
            Path::Host | Path::CudaAware => LARGEST_MESSAGE_BYTES,
            Path::SameProcess => bytes.max(1),
            Path::Staged => chunk.unwrap_or(bytes.max(1)),
            Path::SharedPinned | Path::PeerGpuIpc | Path::SameGpuIpc => {
                chunk.unwrap_or(bytes.max(1)).min(SHARED_PIECE_BYTES)
            }
        };
        Pieces { path, bytes, length }
    }

    pub(crate) fn count(self) -> usize {
        self.bytes.div_ceil(self.length)
    }

    /// The first byte and the length in bytes of a piece, if there are so many.
    pub(crate) fn nth(self, piece: usize) -> Option<(usize, usize)> {
        let first = piece
            .checked_mul(self.length)
            .filter(|&first| first < self.bytes)?;
        Some((first, self.length.min(self.bytes - first)))
    }

    /// The first byte and the length in bytes of each.
    pub(crate) fn iter(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.count()).filter_map(move |piece| self.nth(piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_cover_the_message_once(bytes in 0usize..100 << 20, chunk in prop::option::of(1usize..5 << 20)) {
            let pieces = Pieces::new(bytes, Path::Staged, chunk);
            let mut next = 0;
            for piece in 0..pieces.count().min(1000) {
                let (first, length) = pieces.nth(piece).unwrap();
                prop_assert_eq!(first, next);
                prop_assert!(length > 0 && length <= pieces.length);
                next += length;
            }
            prop_assert!(next == bytes || pieces.count() > 1000);
            prop_assert_eq!(pieces.nth(pieces.count()), None);
            prop_assert!(Pieces::new(bytes, Path::SharedPinned, chunk).length <= SHARED_PIECE_BYTES);
        }
    }

    #[test]
    fn what_mpi_carries_alone_is_whole() {
        for path in [Path::Host, Path::CudaAware] {
            assert_eq!(Pieces::new(64 << 20, path, Some(1)).count(), 1);
        }
        assert_eq!(
            Pieces::new((64 << 20) + 1, Path::Host, None).nth(1),
            Some((64 << 20, 1))
        );
        assert_eq!(Pieces::new(0, Path::Host, None).count(), 0);
    }
}
