//! What is in the buffers of a case: the same bytes as contents.py makes.

use warpcomm::Dtype;

/// The number of a buffer that nothing was received into yet.
pub const UNTOUCHED: u64 = 200;

/// A number of 64 bits (splitmix64).
fn random(rank: usize, buffer: u64, index: usize) -> u64 {
    let seed = ((rank as u64) << 40) | (buffer << 32);
    let z = seed
        .wrapping_add(index as u64 + 1)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Elements of any bits; where mpi4py has any byte for a truth value, here are its values in Rust.
pub fn any_bytes(dtype: Dtype, rank: usize, buffer: u64, count: usize) -> Vec<u8> {
    let bytes = count * dtype.size();
    let words = (0..bytes.div_ceil(8)).flat_map(|index| random(rank, buffer, index).to_le_bytes());
    let mut filled: Vec<u8> = words.take(bytes).collect();
    if dtype == Dtype::Bool {
        filled.iter_mut().for_each(|byte| *byte %= 2);
    }
    filled
}

/// Elements whose reductions are exact in any order, and do not overflow.
pub fn numbers(dtype: Dtype, rank: usize, buffer: u64, count: usize) -> Vec<u8> {
    if dtype == Dtype::Bool {
        return any_bytes(dtype, rank, buffer, count);
    }
    let is_unsigned = dtype.name().starts_with('u');
    let mut filled = Vec::with_capacity(count * dtype.size());
    for index in 0..count {
        let word = random(rank, buffer, index);
        let small = |shift: u32| ((word >> shift) % 4) as i64 - i64::from(!is_unsigned);
        let (first, second, place) = (small(0), small(8), (word >> 16) % 50);
        let half = |number: i64| number as f64 * 0.5;
        match dtype {
            Dtype::F32 => filled.extend((half(first) as f32).to_le_bytes()),
            Dtype::F64 => filled.extend(half(first).to_le_bytes()),
            Dtype::C32 => {
                filled.extend((half(first) as f32).to_le_bytes());
                filled.extend((half(second) as f32).to_le_bytes());
            }
            Dtype::C64 => {
                filled.extend(half(first).to_le_bytes());
                filled.extend(half(second).to_le_bytes());
            }
            Dtype::F32Loc => {
                filled.extend((half(first) as f32).to_le_bytes());
                filled.extend((place as u32).to_le_bytes());
            }
            Dtype::I32Loc => {
                filled.extend((first as i32).to_le_bytes());
                filled.extend((place as u32).to_le_bytes());
            }
            _ => filled.extend(&first.to_le_bytes()[..dtype.size()]),
        }
    }
    filled
}
