//! Programs made up from a seed, alike on every rank, whose results a sequential model knows.

mod collective;
mod execute;
mod model;
#[cfg(feature = "serde")]
mod objects;
mod program;

use std::collections::BTreeMap;

pub use execute::execute;
pub use model::expected;
pub use program::Program;

/// Where in a program something was received: the step, and the message or buffer in it.
pub type Place = (usize, usize);

/// What a rank has seen: a description, and the bytes of a buffer.
pub type Seen = BTreeMap<Place, (String, Vec<u8>)>;

/// Says where a rank saw something else than the model; nothing if it did not.
pub fn difference(seen: &Seen, expected: &Seen) -> Option<String> {
    let places: std::collections::BTreeSet<&Place> = seen.keys().chain(expected.keys()).collect();
    places.into_iter().find_map(|place| match (seen.get(place), expected.get(place)) {
        (seen, expected) if seen == expected => None,
        (Some((text, bytes)), Some((expected_text, expected_bytes))) => {
            let at = bytes.iter().zip(expected_bytes).position(|(one, other)| one != other);
            Some(format!(
                "step {}, buffer {}: {text:?}, {} bytes, instead of {expected_text:?}, {} bytes; first different byte: {at:?}",
                place.0,
                place.1,
                bytes.len(),
                expected_bytes.len()
            ))
        }
        (seen, _) => Some(format!("step {}, buffer {}: {}", place.0, place.1, if seen.is_some() { "extra" } else { "missing" })),
    })
}
