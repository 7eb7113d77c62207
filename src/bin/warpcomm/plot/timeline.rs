//! The picture of a traced job: what each rank does when, and arrows from sends to receives.

use std::collections::{BTreeMap, BTreeSet};

use super::axis::steps;
use super::colours::Colour;
use super::messages::{Kind, TASK, messages};
use super::scene::{Anchor, Form, Point, Scene, Shape, text_width};
use super::traces::{Event, PHASE, Traces};
use crate::units;

const WIDTH: f64 = 980.0;
const LANE: f64 = 18.0;
const BETWEEN_RANKS: f64 = 12.0;
const TOP: f64 = 64.0;
const SIZE: f64 = 12.0;

/// The most arrows that can be told apart.
const ARROWS: usize = 250;

/// The most lanes of a rank that have a row of their own.
const LANES: usize = 8;

/// Operations of one kind that are too short to be told apart, or one.
#[derive(Clone, Debug, PartialEq)]
struct Block {
    kind: Kind,
    start: f64,
    end: f64,
    /// How many there are.
    number: usize,
    /// The first.
    event: usize,
    /// Whether one of them is a task that has failed.
    has_failed: bool,
}

/// The rows of a picture, those of each rank together.
struct Rows {
    ranks: BTreeMap<usize, RowsOfRank>,
}

/// The rows of a rank.
struct RowsOfRank {
    /// Where they begin.
    top: f64,
    /// The lanes that have operations, going up; each has a row, and the last row has all further lanes, too.
    lanes: Vec<u32>,
}

/// What ranks did, a row each. `None` where nothing was done.
pub fn timeline(traces: &Traces) -> Option<Scene> {
    let (events, names) = (&traces.events, &traces.ranks);
    let operations: Vec<&Event> = events.iter().filter(|event| event.category != PHASE).collect();
    let last = operations
        .iter()
        .map(|event| event.start_us + event.duration_us)
        .fold(0.0, f64::max);
    if operations.is_empty() || last <= 0.0 {
        return None;
    }
    let tasks: BTreeSet<&str> = operations
        .iter()
        .filter(|event| event.category == TASK)
        .map(|event| &*event.name)
        .collect();
    let tasks = Vec::from_iter(tasks);
    let rows = Rows::of(&operations, names.keys().copied().filter(|_| !tasks.is_empty()));
    let name = |rank: &usize| names.get(rank).cloned().unwrap_or_else(|| format!("rank {rank}"));
    let widest = rows
        .ranks
        .keys()
        .map(|rank| text_width(&name(rank), SIZE))
        .fold(60.0, f64::max);
    let left = (widest + 28.0).min(WIDTH / 2.0);
    let scale = (WIDTH - 24.0 - left) / last;
    let bottom = rows.bottom();
    let messages = messages(&operations);
    let mut scene = Scene::new(
        WIDTH,
        bottom + 64.0,
        "What each rank does when".to_owned(),
        match pool(traces, &operations, &rows, last) {
            Some(words) => format!("A row for each worker: {words}."),
            None => format!(
                "A row for each of {}, over {}: {}, of which {} are drawn as arrows from send to receive.",
                units::count(rows.ranks.len(), "rank"),
                units::time(last * 1e-6),
                units::count(operations.len(), "operation"),
                if messages.len() <= ARROWS {
                    units::count(messages.len(), "message")
                } else {
                    "no messages".to_owned()
                }
            ),
        },
    );
    let title = scene.title.clone();
    scene.text((24.0, 20.0), title, 16.0, Colour::Text, Anchor::Start);
    for time in steps(last, 8) {
        let x = left + time * scale;
        scene.line(vec![(x, TOP - 4.0), (x, bottom)], Colour::Grid, 1.0);
        scene.text(
            (x, bottom + 14.0),
            axis_label(time),
            SIZE,
            Colour::Muted,
            Anchor::Middle,
        );
    }
    for (rank, of_rank) in &rows.ranks {
        let middle = of_rank.top + of_rank.height() / 2.0;
        scene.text((left - 10.0, middle), name(rank), SIZE, Colour::Text, Anchor::End);
    }
    let place = |event: &Event, time: f64| (left + time * scale, rows.lane(event) + LANE / 2.0);
    for block in blocks(&operations, &tasks, 0.5 / scale) {
        let event = operations[block.event];
        let at = (left + block.start * scale, rows.lane(event) + 1.5);
        let width = ((block.end - block.start) * scale).max(0.75);
        scene.rectangle(
            at,
            width,
            LANE - 3.0,
            colour(block.kind),
            Some(tip(&block, event, &tasks)),
        );
        // Neighbours of one colour can be told apart.
        if event.category == TASK && block.number == 1 && width > 3.0 {
            let (x, y) = (at.0 + width, at.1);
            scene.line(vec![(x, y), (x, y + LANE - 3.0)], Colour::Ground, 1.0);
        }
        if block.has_failed {
            scene.shapes.push(Shape::Marker {
                at: (at.0 + width / 2.0, at.1 + LANE / 2.0 - 1.5),
                form: Form::Cross,
                colour: Colour::Text,
                tip: None,
            });
        }
    }
    if messages.len() <= ARROWS {
        for message in &messages {
            let (send, receive) = (operations[message.send], operations[message.receive]);
            let end = place(receive, receive.start_us + receive.duration_us);
            arrow(&mut scene, place(send, send.start_us), end);
        }
    }
    legend(&mut scene, &operations, &tasks, (left, TOP - 24.0));
    let note = match messages.len() {
        0 => pool(traces, &operations, &rows, last).unwrap_or_default(),
        number if number > ARROWS => format!("{number} messages: too many for arrows"),
        number => format!(
            "arrows: {}, from the start of the send to the end of the receive",
            units::count(number, "message")
        ),
    };
    scene.text((left, bottom + 40.0), note, 11.0, Colour::Muted, Anchor::Start);
    Some(scene)
}

/// What tasks come to, where there is nothing else: how many, in which time, and how much of it workers had none; and how
/// far the clocks of the workers may be apart.
fn pool(traces: &Traces, operations: &[&Event], rows: &Rows, last: f64) -> Option<String> {
    if !operations.iter().all(|event| event.category == TASK) {
        return None;
    }
    let busy: f64 = operations.iter().map(|event| event.duration_us).sum();
    let workers = rows.ranks.len();
    let idle = 100.0 * (1.0 - busy / (last * workers as f64)).clamp(0.0, 1.0);
    let failed = operations.iter().filter(|event| has_failed(event)).count();
    Some(format!(
        "{} by {} in {}, idle {idle:.0}%{}{}",
        units::count(operations.len(), "task"),
        units::count(workers, "worker"),
        units::time(last * 1e-6),
        match failed {
            0 => String::new(),
            failed => format!(", {failed} failed"),
        },
        match traces.clock_errors_us.values().copied().reduce(f64::max) {
            None => String::new(),
            Some(error_us) => format!(", clocks agree within {}", units::time(error_us * 1e-6)),
        }
    ))
}

/// Whether a task has failed.
fn has_failed(event: &Event) -> bool {
    event.category == TASK
        && event
            .arguments
            .get("outcome")
            .is_some_and(|outcome| outcome != "ok")
}

impl Rows {
    /// Those of operations, and of ranks that have a row whether they did anything or not.
    fn of(operations: &[&Event], always: impl Iterator<Item = usize>) -> Rows {
        let mut ranks: BTreeMap<usize, BTreeSet<u32>> =
            always.map(|rank| (rank, BTreeSet::from([0]))).collect();
        for event in operations {
            ranks.entry(event.rank).or_default().insert(event.lane);
        }
        let mut top = TOP;
        let ranks = ranks.into_iter().map(|(rank, lanes)| {
            let lanes = lanes.into_iter().collect();
            let of_rank = RowsOfRank { top, lanes };
            top += of_rank.height() + BETWEEN_RANKS;
            (rank, of_rank)
        });
        Rows {
            ranks: ranks.collect(),
        }
    }

    /// Where the row of an event begins.
    fn lane(&self, event: &Event) -> f64 {
        self.ranks.get(&event.rank).map_or(TOP, |of_rank| {
            let before = of_rank.lanes.partition_point(|lane| *lane < event.lane);
            of_rank.top + before.min(LANES - 1) as f64 * LANE
        })
    }

    fn bottom(&self) -> f64 {
        let last = self.ranks.values().next_back();
        last.map_or(TOP, |of_rank| {
            of_rank.top + of_rank.height() + BETWEEN_RANKS / 2.0
        })
    }
}

impl RowsOfRank {
    fn height(&self) -> f64 {
        self.lanes.len().min(LANES) as f64 * LANE
    }
}

/// The events as they are drawn: those that are shorter than `least`, and no further from each other, are one.
fn blocks(operations: &[&Event], tasks: &[&str], least: f64) -> Vec<Block> {
    let mut open: BTreeMap<(usize, u32, Kind), Block> = BTreeMap::new();
    let mut blocks = Vec::new();
    for (number, event) in operations.iter().enumerate() {
        let kind = Kind::of(event, tasks);
        let (start, end) = (event.start_us, event.start_us + event.duration_us);
        let is_short = event.duration_us < least;
        let key = (event.rank, event.lane, kind);
        if let Some(block) = open.get_mut(&key)
            && is_short
            && start - block.end < least
        {
            block.end = block.end.max(end);
            block.number += 1;
            block.has_failed |= has_failed(event);
            continue;
        }
        let block = Block {
            kind,
            start,
            end,
            number: 1,
            event: number,
            has_failed: has_failed(event),
        };
        match is_short {
            true => blocks.extend(open.insert(key, block)),
            false => blocks.push(block),
        }
    }
    blocks.extend(open.into_values());
    blocks
}

fn colour(kind: Kind) -> Colour {
    Colour::Series(match kind {
        Kind::Send => 0,
        Kind::Receive => 2,
        Kind::Collective => 1,
        Kind::Other => 5,
        Kind::Task(number) => number,
    })
}

fn tip(block: &Block, event: &Event, tasks: &[&str]) -> String {
    if block.number > 1 {
        return format!(
            "{} {} within {}",
            block.number,
            block.kind.name(tasks),
            units::time((block.end - block.start) * 1e-6)
        );
    }
    let mut tip = format!(
        "{}: {} from {}",
        event.name,
        units::time(event.duration_us * 1e-6),
        units::time(event.start_us * 1e-6)
    );
    for (name, value) in &event.arguments {
        tip.push_str(&format!("\n{name}: {value}"));
    }
    tip
}

fn axis_label(time_us: f64) -> String {
    match time_us {
        0.0 => "0".to_owned(),
        time => units::time(time * 1e-6),
    }
}

fn arrow(scene: &mut Scene, from: Point, to: Point) {
    scene.line(vec![from, to], Colour::Text, 1.0);
    let (across, down) = (to.0 - from.0, to.1 - from.1);
    let length = across.hypot(down);
    if length < 8.0 {
        return;
    }
    let (across, down) = (across / length, down / length);
    let corner = |side: f64| {
        (
            to.0 - 7.0 * across - 3.0 * side * down,
            to.1 - 7.0 * down + 3.0 * side * across,
        )
    };
    scene.shapes.push(Shape::Area {
        points: vec![to, corner(1.0), corner(-1.0)],
        colour: Colour::Text,
        opacity: 1.0,
    });
}

fn legend(scene: &mut Scene, operations: &[&Event], tasks: &[&str], (left, y): Point) {
    let kinds: BTreeSet<Kind> = operations.iter().map(|event| Kind::of(event, tasks)).collect();
    let mut x = left;
    for kind in kinds {
        scene.rectangle((x, y - 6.0), 14.0, 12.0, colour(kind), None);
        scene.text((x + 20.0, y), kind.name(tasks), SIZE, Colour::Text, Anchor::Start);
        x += 20.0 + text_width(kind.name(tasks), SIZE) + 18.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(rank: usize, lane: u32, start_us: f64, duration_us: f64, peer: (&str, &str)) -> Event {
        Event {
            rank,
            lane,
            name: "op".to_owned(),
            category: "message".to_owned(),
            start_us,
            duration_us,
            arguments: [peer, ("outcome", "ok")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        }
    }

    #[test]
    fn short_operations_side_by_side_are_one() {
        let mut events: Vec<Event> = (0..1000)
            .map(|at| event(0, 0, f64::from(at), 0.5, ("dest", "1")))
            .collect();
        events.push(event(0, 0, 5000.0, 0.5, ("dest", "1")));
        events.push(event(0, 0, 5001.0, 400.0, ("dest", "1")));
        let blocks = blocks(&events.iter().collect::<Vec<_>>(), &[], 10.0);
        let mut numbers: Vec<usize> = blocks.iter().map(|block| block.number).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 1, 1000]);
    }

    #[test]
    fn ranks_have_rows_and_messages_arrows() {
        let events = [
            event(0, 0, 0.0, 5.0, ("dest", "1")),
            event(1, 0, 1.0, 9.0, ("source", "0")),
            event(1, 1001, 2.0, 3.0, ("source", "any")),
        ];
        let rows = Rows::of(&events.iter().collect::<Vec<_>>(), std::iter::empty());
        let heights: Vec<f64> = rows.ranks.values().map(RowsOfRank::height).collect();
        assert_eq!(heights, [LANE, 2.0 * LANE]);
        let scene = timeline(&Traces {
            events: events.into(),
            ranks: BTreeMap::from([(0, "rank 0 (node)".to_owned())]),
            ..Traces::default()
        })
        .unwrap();
        let texts: Vec<&str> = scene
            .shapes
            .iter()
            .filter_map(|shape| match shape {
                Shape::Text { text, .. } => Some(&**text),
                _ => None,
            })
            .collect();
        for text in ["rank 0 (node)", "rank 1", "sends", "receives", "10.0 µs"] {
            assert!(texts.contains(&text), "{text} in {texts:?}");
        }
        let arrows = scene
            .shapes
            .iter()
            .filter(|shape| matches!(shape, Shape::Area { .. }))
            .count();
        assert_eq!(arrows, 1);
        assert_eq!(timeline(&Traces::default()), None);
    }

    #[test]
    fn tasks_have_bars_of_their_own_in_rows_of_their_workers() {
        let task = |number: usize| Event {
            rank: 1 + number % 3,
            lane: 0,
            name: ["first", "second"][number / 40].to_owned(),
            category: TASK.to_owned(),
            start_us: 1000.0 * (number / 3) as f64,
            duration_us: 900.0,
            arguments: BTreeMap::from([(
                "outcome".to_owned(),
                if number == 5 { "failed" } else { "ok" }.to_owned(),
            )]),
        };
        let events: Vec<Event> = (0..64).map(task).collect();
        let names = (1..=4)
            .map(|rank| (rank, format!("rank {rank} (GPU 0)")))
            .collect();
        let scene = timeline(&Traces {
            events,
            ranks: names,
            clock_errors_us: BTreeMap::from([(1, 0.5), (2, 7.25), (3, 3.0), (4, 0.0)]),
            ..Traces::default()
        })
        .unwrap();
        let bars: Vec<(f64, f64, f64)> = scene
            .shapes
            .iter()
            .filter_map(|shape| match shape {
                Shape::Rectangle {
                    at,
                    width,
                    tip: Some(_),
                    ..
                } => Some((at.1, at.0, at.0 + width)),
                _ => None,
            })
            .collect();
        assert_eq!(bars.len(), 64);
        let mut sorted = bars.clone();
        sorted.sort_by(|left, right| left.partial_cmp(right).unwrap());
        assert!(
            sorted
                .windows(2)
                .all(|pair| pair[0].0 != pair[1].0 || pair[0].2 <= pair[1].1)
        );
        let rows: BTreeSet<u64> = bars.iter().map(|bar| bar.0.to_bits()).collect();
        assert_eq!(rows.len(), 3, "who ran nothing has no bars");
        let texts: Vec<&str> = scene
            .shapes
            .iter()
            .filter_map(|shape| match shape {
                Shape::Text { text, .. } => Some(&**text),
                _ => None,
            })
            .collect();
        for text in [
            "rank 4 (GPU 0)",
            "first",
            "second",
            "64 tasks by 4 workers in 21.9 ms, idle 34%, 1 failed, clocks agree within 7.25 µs",
        ] {
            assert!(texts.contains(&text), "{text} in {texts:?}");
        }
        let crosses = scene
            .shapes
            .iter()
            .filter(|shape| matches!(shape, Shape::Marker { .. }));
        assert_eq!(crosses.count(), 1);
    }
}
