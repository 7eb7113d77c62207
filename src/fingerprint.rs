//! Short numbers for long values, for ranks to compare: the same in every program, whoever has compiled it.

/// The 64-bit FNV-1a hash of bytes. It never has the highest bit, so that it is a number for an `i64` too.
pub(crate) fn fingerprint(bytes: impl IntoIterator<Item = u8>) -> i64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    (hash >> 1) as i64
}

/// The fingerprint of a list of ranks.
pub(crate) fn fingerprint_of_ranks(ranks: &[usize]) -> i64 {
    fingerprint(ranks.iter().flat_map(|&rank| (rank as u64).to_le_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        // The published ones, shifted.
        assert_eq!(fingerprint(*b""), (0xcbf2_9ce4_8422_2325_u64 >> 1) as i64);
        assert_eq!(fingerprint(*b"foobar"), (0x8594_4171_f739_67e8_u64 >> 1) as i64);
    }

    #[test]
    fn order_counts() {
        assert_ne!(fingerprint_of_ranks(&[0, 1]), fingerprint_of_ranks(&[1, 0]));
        assert_ne!(fingerprint_of_ranks(&[0]), fingerprint_of_ranks(&[0, 0]));
    }
}
