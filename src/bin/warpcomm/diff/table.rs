//! What `warpcomm diff` prints.

use std::fmt::Write;

use super::launches::Only;
use super::verdict::{Change, Kind, Verdict};
use crate::units;

/// How a terminal shows what follows.
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const PLAIN: &str = "\x1b[0m";

/// Everything that is compared.
pub struct Report<'a> {
    /// The worst first.
    pub changes: &'a [Change],
    pub only_in_first: &'a [Only],
    pub only_in_second: &'a [Only],
    /// Whether what has not changed is shown, too.
    pub all: bool,
    /// Whether lines are coloured.
    pub colours: bool,
}

impl Report<'_> {
    /// As lines.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let shown: Vec<&Change> = self
            .changes
            .iter()
            .filter(|change| self.all || change.verdict != Verdict::Unchanged)
            .collect();
        if !shown.is_empty() {
            self.table(&shown, &mut text);
        }
        for (all, which, other) in [
            (self.only_in_first, "first", "second"),
            (self.only_in_second, "second", "first"),
        ] {
            for Only { key, left_out } in all {
                let why = match left_out {
                    Some(reason) => format!("; the {other} has left it out: {reason}"),
                    None => String::new(),
                };
                let _ = writeln!(
                    text,
                    "only in the {which} file: {}, {}{why}",
                    units::series(key),
                    units::bytes(key.bytes)
                );
            }
        }
        let _ = writeln!(text, "{}", self.summary());
        text
    }

    fn table(&self, shown: &[&Change], text: &mut String) {
        let names: Vec<String> = shown.iter().map(|change| units::series(&change.key)).collect();
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let _ = writeln!(
            text,
            "{:<9} {:<width$} {:>9} {:>9} {:>9} {:>8} {:>9} {:>7}",
            "verdict", "measurement", "size", "first", "second", "change", "launches", "chance"
        );
        for (change, name) in shown.iter().zip(&names) {
            let [first, second] = change.launches;
            let line = format!(
                "{:<9} {name:<width$} {:>9} {:>9} {:>9} {:>8} {:>9} {:>7}",
                word(change.verdict),
                units::bytes(change.key.bytes),
                units::time(change.seconds[0]),
                units::time(change.seconds[1]),
                percent(change),
                format!("{first}, {second}"),
                change.chance.map_or_else(|| "?".to_owned(), chance)
            );
            match (self.colours, colour(change.verdict)) {
                (true, Some(colour)) => {
                    let _ = writeln!(text, "{colour}{line}{PLAIN}");
                }
                _ => {
                    let _ = writeln!(text, "{line}");
                }
            }
        }
        if shown.iter().any(|change| change.without_shared) {
            text.push_str("~: without what all measurements of a launch have in common, so that the times differ otherwise\n");
        }
    }

    fn summary(&self) -> String {
        let of = |verdict| {
            let changes = self.changes.iter();
            changes.filter(|change| change.verdict == verdict).count()
        };
        let mut summary = format!(
            "{} compared: {} slower, {} faster",
            units::count(self.changes.len(), "measurement"),
            of(Verdict::Slower),
            of(Verdict::Faster)
        );
        let of_the_machine = of(Verdict::Machine);
        if of_the_machine > 0 {
            let _ = write!(
                summary,
                "; {of_the_machine} not of the library: the machine is not as it was; measure the two in turn"
            );
        }
        let too_few = of(Verdict::TooFew);
        let untold = self
            .changes
            .iter()
            .filter(|change| change.chance.is_none())
            .count();
        if untold > 0 {
            let _ = write!(
                summary,
                "; of {untold} there are too few launches to tell, {too_few} of them differ by more than the \
                 threshold: measure 6 launches or more for each file (`warpcomm bench --launches 6`)"
            );
        }
        summary
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Slower => "slower",
        Verdict::Faster => "faster",
        Verdict::TooFew => "perhaps",
        Verdict::Machine => "machine",
        Verdict::Unchanged => "same",
    }
}

fn colour(verdict: Verdict) -> Option<&'static str> {
    match verdict {
        Verdict::Slower => Some(RED),
        Verdict::Faster => Some(GREEN),
        Verdict::TooFew | Verdict::Machine => Some(YELLOW),
        Verdict::Unchanged => None,
    }
}

/// Of the time, or of the bandwidth.
fn percent(change: &Change) -> String {
    let (ratio, letter) = match change.kind {
        Kind::Latency => (change.ratio, 't'),
        Kind::Throughput => (1.0 / change.ratio, 'b'),
    };
    let mark = if change.without_shared { "~" } else { "" };
    format!("{mark}{:+.0}% {letter}", (ratio - 1.0) * 100.0)
}

fn chance(chance: f64) -> String {
    match chance < 0.01 {
        true => format!("{chance:.4}"),
        false => format!("{chance:.2}"),
    }
}
