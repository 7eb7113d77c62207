//! Which send of a trace belongs to which receive.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

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
    /// A task of a pool, of the calls of this number among the names that there are.
    Task(usize),
}

/// The category of a task of a pool.
pub const TASK: &str = "task";

impl Kind {
    /// By what is known of the operation; `tasks` has the names of tasks.
    pub fn of(event: &Event, tasks: &[&str]) -> Kind {
        if event.category == TASK {
            Kind::Task(tasks.iter().position(|name| *name == event.name).unwrap_or(0))
        } else if event.category == "collective" {
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
    pub fn name<'a>(self, tasks: &[&'a str]) -> &'a str {
        match self {
            Kind::Send => "sends",
            Kind::Receive => "receives",
            Kind::Collective => "collectives",
            Kind::Other => "other operations",
            Kind::Task(number) => tasks.get(number).copied().unwrap_or("tasks"),
        }
    }
}

/// Messages that arrive in the order in which they were sent: from which rank to which, in which communicator and with which
/// tag. A receive may be of all sources, or of all tags.
type Queue<'a> = (Option<usize>, usize, &'a str, Option<&'a str>);

/// From which rank to which, in which communicator.
type Channel<'a> = (Option<usize>, usize, &'a str);

/// The messages among operations, which are in the order of their starts.
///
/// Receives from any rank do not say whose message they have got, nor do failed operations say whether there was one. What is
/// behind one of them in a queue has no partner that is known for certain.
pub fn messages(operations: &[&Event]) -> Vec<Message> {
    let mut sends: BTreeMap<Channel<'_>, VecDeque<Sent<'_>>> = BTreeMap::new();
    let of_kind = |wanted| {
        let operations = operations.iter().enumerate();
        let queues = operations.filter_map(|(number, event)| Some((number, *event, queue(event)?)));
        queues.filter(move |(_, event, _)| Kind::of(event, &[]) == wanted)
    };
    for (number, event, (source, dest, group, tag)) in of_kind(Kind::Send) {
        let number = has_succeeded(event).then_some(number);
        let queue = sends.entry((source, dest, group)).or_default();
        queue.push_back(Sent { tag, number });
    }
    let mut doubts = Doubts::default();
    let mut messages = Vec::new();
    for (receive, event, queue) in of_kind(Kind::Receive) {
        let (source, dest, group, wanted) = queue;
        if source.is_none() || !has_succeeded(event) {
            doubts.add(queue);
            continue;
        }
        let sent = sends.get_mut(&(source, dest, group));
        let first = sent.as_ref().and_then(|sent| {
            sent.iter()
                .position(|sent| wanted.is_none() || sent.tag == wanted)
        });
        let (Some(sent), Some(at)) = (sent, first) else {
            continue;
        };
        match sent[at].number.filter(|_| !doubts.has(queue)) {
            Some(send) => {
                sent.remove(at);
                messages.push(Message { send, receive });
            }
            // One of any tag may have got a message of any queue.
            None => doubts.add(queue),
        }
    }
    messages
}

/// A send.
struct Sent<'a> {
    tag: Option<&'a str>,
    /// Its number among the operations, if it has succeeded.
    number: Option<usize>,
}

/// The queues of which it is not known what has been received so far.
#[derive(Default)]
struct Doubts<'a> {
    queues: BTreeSet<Queue<'a>>,
    channels: BTreeSet<Channel<'a>>,
}

impl<'a> Doubts<'a> {
    fn add(&mut self, queue: Queue<'a>) {
        let (source, dest, group, _) = queue;
        self.queues.insert(queue);
        self.channels.insert((source, dest, group));
    }

    /// Whether there is one about this queue, or about any of those that it stands for.
    fn has(&self, (source, dest, group, tag): Queue<'a>) -> bool {
        [source, None].into_iter().any(|source| match tag {
            None => self.channels.contains(&(source, dest, group)),
            Some(_) => [tag, None]
                .into_iter()
                .any(|tag| self.queues.contains(&(source, dest, group, tag))),
        })
    }
}

/// The messages that an operation sends or receives, if it does and has another rank.
fn queue(event: &Event) -> Option<Queue<'_>> {
    if event.category != "message" {
        return None;
    }
    let argument = |name: &str| event.arguments.get(name).map(String::as_str);
    let own = argument("rank").and_then(|rank| rank.parse().ok());
    let own = own.unwrap_or(event.rank);
    // The communicator, where it has a name.
    let group = argument("communicator").unwrap_or_default();
    let tag = Some(argument("tag").unwrap_or_default()).filter(|tag| *tag != "any");
    match (argument("dest"), argument("source")) {
        (Some(dest), _) => Some((Some(own), dest.parse().ok()?, group, tag)),
        (None, Some("any")) => Some((None, own, group, tag)),
        (None, source) => Some((Some(source?.parse().ok()?), own, group, tag)),
    }
}

fn has_succeeded(event: &Event) -> bool {
    event
        .arguments
        .get("outcome")
        .is_some_and(|outcome| outcome == "ok")
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
            arguments: [("outcome", "ok")]
                .iter()
                .chain(arguments)
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
        }
    }

    /// The numbers of the sends and of the receives.
    fn pairs(events: &[Event]) -> Vec<(usize, usize)> {
        let messages = messages(&events.iter().collect::<Vec<_>>());
        let pairs = messages.iter().map(|message| (message.send, message.receive));
        pairs.collect()
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
        assert_eq!(pairs(&events), [(1, 4), (0, 5), (2, 6)]);
    }

    #[test]
    fn what_any_receive_may_have_got_is_nobody_elses() {
        let send = |rank, tag| event(rank, &[("dest", "2"), ("tag", tag)]);
        let receive = |source, tag| event(2, &[("source", source), ("tag", tag)]);
        let events = [
            send(0, "5"),
            send(0, "6"),
            send(1, "5"),
            receive("any", "5"),
            receive("0", "5"),
            receive("0", "6"),
            receive("1", "5"),
        ];
        assert_eq!(pairs(&events), [(1, 5)]);
        // What was received before is certain.
        let events = [
            send(0, "5"),
            send(0, "5"),
            receive("0", "5"),
            receive("any", "5"),
            receive("0", "5"),
        ];
        assert_eq!(pairs(&events), [(0, 2)]);
        // One of any tag may have got a message of tag 5, and the next one then another.
        let events = [
            send(0, "5"),
            send(0, "6"),
            send(1, "6"),
            receive("any", "5"),
            receive("0", "any"),
            receive("0", "6"),
            receive("1", "6"),
        ];
        assert_eq!(pairs(&events), [(2, 6)]);
    }

    #[test]
    fn what_has_failed_is_no_message() {
        let send = |tag, outcome| event(0, &[("dest", "1"), ("tag", tag), ("outcome", outcome)]);
        let receive = |tag, outcome| event(1, &[("source", "0"), ("tag", tag), ("outcome", outcome)]);
        let events = [
            send("5", "ok"),
            send("6", "Timeout"),
            send("7", "ok"),
            receive("5", "Timeout"),
            receive("5", "ok"),
            receive("6", "ok"),
            receive("7", "ok"),
        ];
        assert_eq!(pairs(&events), [(2, 6)]);
    }

    #[test]
    fn peers_are_ranks_of_the_communicator() {
        let events = [
            event(5, &[("dest", "1"), ("communicator", "row"), ("rank", "0")]),
            event(0, &[("dest", "1")]),
            event(7, &[("source", "0"), ("communicator", "row"), ("rank", "1")]),
        ];
        assert_eq!(pairs(&events), [(0, 2)]);
    }

    #[test]
    fn collectives_have_no_messages() {
        let mut bcast = event(0, &[("dest", "1")]);
        bcast.category = "collective".to_owned();
        assert_eq!(Kind::of(&bcast, &[]), Kind::Collective);
        assert_eq!(pairs(&[bcast, event(1, &[("source", "0")])]), []);
    }
}
