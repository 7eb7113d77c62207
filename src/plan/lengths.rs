//! From which lengths on the messages of operations are offered and cut: not measured, the same everywhere.

/// The longest message in bytes that goes without an offer wherever its elements are, if pieces are not shorter.
pub(crate) const UNOFFERED_BYTES: usize = 16 << 10;

/// The length in bytes of the pieces in which elements go through pinned memory, by the length of their message, unless
/// `WARPCOMM_CHUNK` sets it.
///
/// Pieces overlap their copies, and are long enough that nobody notices what each costs: near the square root of bytes
/// times the cost of a copy in bytes. Short messages are not cut.
pub(crate) fn chunk_bytes(bytes: usize) -> usize {
    const KIB: usize = 1 << 10;
    const MIB: usize = 1 << 20;
    match bytes {
        _ if bytes <= 256 * KIB => bytes.max(1),
        _ if bytes <= 4 * MIB => 512 * KIB,
        _ if bytes <= 32 * MIB => 2 * MIB,
        _ => 4 * MIB,
    }
}

/// The length in bytes of the messages in which a block of so many bytes comes to who folds it, in pieces of
/// `WARPCOMM_CHUNK` if that is set.
///
/// What has come is folded while the rest is on its way. Each of them but the last is long enough to be offered, and so to have a path of its own.
pub(crate) fn fold_chunk_bytes(bytes: usize, chunk: Option<usize>) -> usize {
    chunk
        .unwrap_or_else(|| chunk_bytes(bytes))
        .max(2 * UNOFFERED_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_messages_are_staged_whole_and_long_ones_overlap() {
        let pieces = |bytes: usize| bytes.div_ceil(chunk_bytes(bytes));
        let lengths = [0, 1, 256 << 10, 1 << 20, 16 << 20, 64 << 20];
        assert_eq!(lengths.map(pieces), [0, 1, 1, 2, 8, 16]);
    }

    #[test]
    fn blocks_are_folded_in_messages_that_are_offered() {
        let lengths = [1, 256 << 10, 1 << 20, 16 << 20];
        let chunks = lengths.map(|bytes| fold_chunk_bytes(bytes, None));
        assert_eq!(chunks, [32 << 10, 256 << 10, 512 << 10, 2 << 20]);
        assert_eq!(fold_chunk_bytes(1 << 20, Some(100_000)), 100_000);
        assert!(fold_chunk_bytes(1 << 20, Some(1)) > UNOFFERED_BYTES);
    }
}
