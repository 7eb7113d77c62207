//! Who sends messages to whom, how many, and what they hold.

use super::contents::{Kind, Segment};
use crate::operation::Operation;

/// The most messages that are under way at once in one direction, as in the OSU benchmarks, and the most bytes that they
/// have together. Each is received into a buffer of its own.
const WINDOW: usize = 64;
const WINDOW_BYTES: usize = 64 << 20;

/// The messages between two ranks, on one of them or on one that has no part in them.
#[derive(Clone, Debug)]
pub struct Pairs {
    pub operation: Operation,
    pub rank: usize,
    pub ranks: usize,
    /// Of a message.
    pub elements: usize,
    /// How many messages are under way at once in one direction.
    pub window: usize,
}

/// What a rank does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Role {
    pub peer: usize,
    /// Whether it begins, or is the one that sends where messages go in one direction.
    pub is_first: bool,
}

impl Pairs {
    pub fn new(operation: Operation, rank: usize, ranks: usize, elements: usize, size: usize) -> Pairs {
        let window = match operation {
            Operation::Latency | Operation::Overlap => 1,
            _ => (WINDOW_BYTES / (elements * size).max(1)).clamp(1, WINDOW),
        };
        Pairs {
            operation,
            rank,
            ranks,
            elements,
            window,
        }
    }

    /// Ranks 0 and 1, but for the message rate, where all ranks of the first half have one of the second.
    pub fn role(&self) -> Option<Role> {
        let pairs = self.count();
        let is_first = self.rank < pairs;
        let peer = if is_first {
            self.rank + pairs
        } else {
            self.rank.checked_sub(pairs)?
        };
        (self.rank < 2 * pairs).then_some(Role { peer, is_first })
    }

    /// How many pairs there are.
    pub fn count(&self) -> usize {
        match self.operation {
            Operation::MessageRate => self.ranks / 2,
            _ => 1,
        }
    }

    /// How many messages are received into buffers of their own.
    pub fn received(&self) -> usize {
        let is_one_way = matches!(self.operation, Operation::Bandwidth | Operation::MessageRate);
        match self.role() {
            Some(role) if !(is_one_way && role.is_first) => self.window,
            _ => 0,
        }
    }

    /// What is divided by to get the time of what a row is about: a message on its way in one direction.
    pub fn operations(&self) -> f64 {
        match self.operation {
            Operation::Latency => 2.0,
            _ => self.window as f64,
        }
    }

    pub fn kind(&self, round: u64) -> Kind {
        Kind {
            ranks: self.ranks,
            op: None,
            wraps: false,
            round,
        }
    }

    /// What should be in each buffer that is received into.
    pub fn results(&self, role: Role) -> [Segment; 1] {
        [Segment {
            of: role.peer..role.peer + 1,
            from: 0,
            elements: self.elements,
        }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(operation: Operation, ranks: usize) -> Vec<Option<(usize, bool)>> {
        let role = |rank| Pairs::new(operation, rank, ranks, 1, 1).role();
        (0..ranks)
            .map(|rank| role(rank).map(|role| (role.peer, role.is_first)))
            .collect()
    }

    #[test]
    fn two_ranks_exchange_messages_and_pairs_do_for_the_rate() {
        let two = [Some((1, true)), Some((0, false))];
        assert_eq!(roles(Operation::Latency, 2), two);
        assert_eq!(roles(Operation::MessageRate, 2), two);
        assert_eq!(roles(Operation::Bandwidth, 3), [&two[..], &[None]].concat());
        let five = [
            Some((2, true)),
            Some((3, true)),
            Some((0, false)),
            Some((1, false)),
            None,
        ];
        assert_eq!(roles(Operation::MessageRate, 5), five);
    }

    #[test]
    fn windows_are_no_longer_than_memory_allows() {
        let window = |bytes| Pairs::new(Operation::Bandwidth, 0, 2, bytes, 1).window;
        assert_eq!(window(0), 64);
        assert_eq!(window(1 << 20), 64);
        assert_eq!(window(4 << 20), 16);
        assert_eq!(window(1 << 30), 1);
    }
}
