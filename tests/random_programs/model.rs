//! What every rank must see, found without communication.

use super::Seen;
use super::program::{Action, Program};
use crate::oracle::{Value, bytes, untouched, vector};

/// What `rank` of the world must see.
pub fn expected(program: &Program, rank: usize) -> Seen {
    let mut seen = Seen::new();
    for (number, step) in program.steps.iter().enumerate() {
        let members = &program.communicators[step.on];
        let Some(me) = members.iter().position(|member| *member == rank) else {
            continue;
        };
        let size = members.len();
        match &step.action {
            Action::Barrier | Action::Drop => {}
            Action::Duplicate(made) => {
                seen.insert((number, 0), (place(program, *made, rank), Vec::new()));
            }
            Action::Make(first, parts) => {
                let text = parts
                    .of(me)
                    .map_or_else(|| "none".to_owned(), |part| place(program, first + part, rank));
                seen.insert((number, 0), (text, Vec::new()));
            }
            #[cfg(feature = "serde")]
            Action::Objects(objects) => {
                seen.insert((number, 0), (objects.expected(me, size, step.salt), Vec::new()));
            }
            Action::Cancel { dtype, length, .. } => {
                let after = with_element!(*dtype, T => bytes(&untouched::<T>(*length)).to_vec());
                seen.insert((number, 0), ("cancelled".to_owned(), after));
            }
            Action::Collective(_, collective) => {
                let after = with_element!(collective.dtype, T => collective.expected::<T>(me, step.salt));
                seen.insert((number, 0), ("after".to_owned(), after));
            }
            Action::Messages(_, messages) => {
                for (index, message) in messages
                    .iter()
                    .enumerate()
                    .filter(|(_, message)| message.to == me)
                {
                    let salt = step.salt ^ index as u64;
                    let after = with_element!(message.dtype, T => {
                        received::<T>(salt, message.from, message.length, message.room)
                    });
                    let text = status(message.from, message.tag, message.length);
                    seen.insert((number, index), (text, after));
                }
            }
            Action::Shift {
                by,
                tag,
                dtype,
                length,
                ..
            } => {
                let from = (me + size - by) % size;
                let after = with_element!(*dtype, T => received::<T>(step.salt, from, *length, 0));
                seen.insert((number, 0), (status(from, *tag, *length), after));
            }
            Action::Collect {
                root,
                tag,
                dtype,
                length,
            } => {
                for from in (0..size).filter(|from| me == *root && from != root) {
                    let after = with_element!(*dtype, T => received::<T>(step.salt, from, *length, 0));
                    seen.insert((number, from), (status(from, *tag, *length), after));
                }
            }
        }
    }
    seen
}

/// The words for a new communicator as a rank sees it.
pub fn place(program: &Program, made: usize, rank: usize) -> String {
    let members = &program.communicators[made];
    let position = members.iter().position(|member| *member == rank);
    format!(
        "rank {} of {}",
        position.map_or(-1, |position| position as i64),
        members.len()
    )
}

/// The words for the status of a message.
pub fn status(source: usize, tag: i32, length: usize) -> String {
    format!("from {source}, tag {tag}, {length} elements")
}

fn received<T: Value>(salt: u64, from: usize, length: usize, room: usize) -> Vec<u8> {
    let mut buffer: Vec<T> = untouched(length + room);
    buffer[..length].copy_from_slice(&vector(salt, from, length));
    bytes(&buffer).to_vec()
}
