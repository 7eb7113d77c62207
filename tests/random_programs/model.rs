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
            Action::Split(first, wishes) => {
                let made = (*first..program.communicators.len()).find(|made| {
                    wishes[me].0.is_some() && is_part(program, *first, *made, wishes) && {
                        program.communicators[*made].contains(&rank)
                    }
                });
                let text = made.map_or_else(|| "none".to_owned(), |made| place(program, made, rank));
                seen.insert((number, 0), (text, Vec::new()));
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

/// Whether communicator `made` is one of a split that made those from `first` on.
fn is_part(program: &Program, first: usize, made: usize, wishes: &[(Option<u32>, i32)]) -> bool {
    let parts = [0, 1]
        .into_iter()
        .filter(|color| wishes.iter().any(|wish| wish.0 == Some(*color)))
        .count();
    (first..first + parts).contains(&made) && made < program.communicators.len()
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
