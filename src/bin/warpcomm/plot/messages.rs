//! Which send of a trace belongs to which receive.

use std::collections::{BTreeMap, VecDeque};

use super::traces::Event;

/// A message: the numbers of its send and of its receive among the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    pub send: usize,
    pub receive: usize,
}

/// What an event of an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Send,
    Receive,
    Collective,
    Other,
}

impl Kind {
    /// By what is known of the operation.
    pub fn of(event: &Event) -> Kind {
        if event.category == "collective" {
            Kind::Collective
        } else if event.arguments.contains_key("dest") {
            Kind::Send
        } else if event.arguments.contains_key("source") {
            Kind::Receive
        } else {
            Kind::Other
        }
    }

    /// What a picture calls it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Send => "sends",
            Kind::Receive => "receives",
            Kind::Collective => "collectives",
            Kind::Other => "other operations",
        }
    }
}

/// From which rank to which, in which communicator.
type Channel<'a> = (usize, usize, &'a str);

/// The messages among events, which are in the order of their starts.
///
/// Messages between two ranks with one tag arrive in the order in which they were sent. Receives from any rank do not say whose
/// message they have got.
pub fn messages(events: &[Event]) -> Vec<Message> {
    let mut sends: BTreeMap<Channel<'_>, VecDeque<(&str, usize)>> = BTreeMap::new();
    for (number, event) in events.iter().enumerate() {
        if let Some(peer) = peer(event, "dest") {
            let queue = sends.entry((own(event), peer, group(event))).or_default();
            queue.push_back((tag(event), number));
        }
    }
    let receives = events.iter().enumerate().filter_map(|(number, event)| {
        let queue = sends.get_mut(&(peer(event, "source")?, own(event), group(event)))?;
        let wanted = tag(event);
        let at = queue
            .iter()
            .position(|(tag, _)| wanted == "any" || *tag == wanted)?;
        let (_, send) = queue.remove(at)?;
        Some(Message {
            send,
            receive: number,
        })
    });
    receives.collect()
}

/// The other rank, if it is known and an operation is one of messages.
fn peer(event: &Event, name: &str) -> Option<usize> {
    match event.category.as_str() {
        "message" => event.arguments.get(name)?.parse().ok(),
        _ => None,
    }
}

/// The rank in the communicator, in which peers are numbered.
fn own(event: &Event) -> usize {
    let rank = event.arguments.get("rank").and_then(|rank| rank.parse().ok());
    rank.unwrap_or(event.rank)
}

fn tag(event: &Event) -> &str {
    event.arguments.get("tag").map_or("", String::as_str)
}

/// The communicator, where it has a name.
fn group(event: &Event) -> &str {
    event.arguments.get("communicator").map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(rank: usize, arguments: &[(&str, &str)]) -> Event {
        Event {
            rank,
            lane: 0,
            name: "an operation".to_owned(),
            category: "message".to_owned(),
            start_us: 0.0,
            duration_us: 1.0,
            arguments: arguments
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
        }
    }

    #[test]
    fn messages_of_one_tag_arrive_in_order() {
        let events = [
            event(0, &[("dest", "1"), ("tag", "5")]),
            event(0, &[("dest", "1"), ("tag", "6")]),
            event(0, &[("dest", "1"), ("tag", "5")]),
            event(0, &[("dest", "2"), ("tag", "5")]),
            event(1, &[("source", "0"), ("tag", "6")]),
            event(1, &[("source", "0"), ("tag", "5")]),
            event(1, &[("source", "0"), ("tag", "any")]),
            event(1, &[("source", "0"), ("tag", "5")]),
            event(2, &[("source", "any"), ("tag", "5")]),
        ];
        let found: Vec<_> = messages(&events)
            .iter()
            .map(|message| (message.send, message.receive))
            .collect();
        assert_eq!(found, [(1, 4), (0, 5), (2, 6)]);
    }

    #[test]
    fn peers_are_ranks_of_the_communicator() {
        let events = [
            event(5, &[("dest", "1"), ("communicator", "row"), ("rank", "0")]),
            event(0, &[("dest", "1")]),
            event(7, &[("source", "0"), ("communicator", "row"), ("rank", "1")]),
        ];
        let found = messages(&events);
        assert_eq!(found, [Message { send: 0, receive: 2 }]);
    }

    #[test]
    fn collectives_have_no_messages() {
        let mut bcast = event(0, &[("dest", "1")]);
        bcast.category = "collective".to_owned();
        assert_eq!(Kind::of(&bcast), Kind::Collective);
        assert_eq!(messages(&[bcast, event(1, &[("source", "0")])]), []);
    }
}
