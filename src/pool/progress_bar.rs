//! The progress bar of a call.

use std::env;
use std::fs::File;
use std::io::{IsTerminal, stderr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use console::Term;
use indicatif::{
    HumanCount, HumanDuration, HumanFloatCount, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle,
};

use super::progress::Progress;

/// The variable in which `warpcomm run` names the terminal that it was started from: launchers give ranks pipes.
const TERMINAL_VARIABLE: &str = "WARPCOMM_TERMINAL";

/// The shortest time between two drawings of a bar.
const PERIOD: Duration = Duration::from_millis(100);

/// How many columns the bar itself has.
const CELLS: usize = 16;

/// The bars of all calls of a master, below each other: several can be under way at a time.
pub(super) struct Bars {
    drawn: MultiProgress,
    /// How many columns there are.
    columns: Rc<dyn Fn() -> usize>,
}

/// The bar of one call.
pub(super) struct Bar {
    drawn: ProgressBar,
    name: String,
    /// The ranks that work for the call.
    ranks: Vec<usize>,
    /// All tasks, as it was known before the call was stopped.
    total: Option<u64>,
    columns: Rc<dyn Fn() -> usize>,
    /// When it may be drawn again.
    due: Instant,
}

/// How a call goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Running,
    /// Nothing is begun any more.
    Stopping,
    /// It has ended before all tasks were over.
    Stopped,
    Over,
}

impl Bars {
    /// Bars on the terminal of the program; none where it has none.
    pub(super) fn new() -> Bars {
        match terminal() {
            Some(terminal) => Bars {
                drawn: MultiProgress::with_draw_target(ProgressDrawTarget::term(terminal.clone(), 20)),
                columns: Rc::new(move || usize::from(terminal.size().1)),
            },
            None => Bars {
                drawn: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()),
                columns: Rc::new(|| 0),
            },
        }
    }

    /// A bar for a call of so many tasks; none where nobody would see it, and where there are no tasks.
    pub(super) fn bar(&self, name: &str, ranks: &[usize], total: Option<u64>) -> Option<Bar> {
        if total == Some(0) || self.drawn.is_hidden() {
            return None;
        }
        let name = match name {
            "" => String::new(),
            name => format!("{name} "),
        };
        let template = match total {
            Some(_) => format!("{{prefix}}{{bar:{CELLS}}} {{wide_msg}}"),
            None => "{prefix}{spinner} {wide_msg}".to_owned(),
        };
        // Added before anything of it is drawn.
        let drawn = self.drawn.add(match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::new_spinner(),
        });
        if let Ok(style) = ProgressStyle::with_template(&template) {
            drawn.set_style(style);
        }
        Some(Bar {
            drawn: drawn.with_prefix(name.clone()),
            name,
            ranks: ranks.to_vec(),
            total,
            columns: Rc::clone(&self.columns),
            due: Instant::now(),
        })
    }
}

impl Bar {
    /// Whether it is time to draw it again.
    pub(super) fn is_due(&self) -> bool {
        self.due <= Instant::now()
    }

    /// Draws how far the call is, which stays on the terminal when the call has ended.
    pub(super) fn draw(&mut self, mut progress: Progress, stage: Stage) {
        match stage {
            Stage::Running | Stage::Over => self.total = progress.total,
            // What has not been given does not count any more.
            Stage::Stopping | Stage::Stopped => progress.total = self.total,
        }
        let cells = if self.total.is_some() { CELLS } else { 1 };
        let before = self.name.chars().count() + cells + 1;
        let room = (self.columns)().saturating_sub(before);
        // Nothing is drawn by what changes a bar together with its message.
        let drawn = self
            .drawn
            .clone()
            .with_message(text(&progress, &self.ranks, stage, room));
        let over = progress.done + progress.failed;
        match stage {
            Stage::Running | Stage::Stopping => drawn.set_position(over),
            Stage::Stopped | Stage::Over => drawn.with_position(over).abandon(),
        }
        self.due = Instant::now() + PERIOD;
    }
}

/// The standard error, if it is a terminal, or the terminal that `warpcomm run` names.
fn terminal() -> Option<Term> {
    if stderr().is_terminal() {
        return Some(Term::buffered_stderr());
    }
    let path = env::var_os(TERMINAL_VARIABLE)?;
    let file = File::options().read(true).write(true).open(path).ok()?;
    let writing = file.try_clone().ok()?;
    file.is_terminal().then(|| Term::read_write_pair(file, writing))
}

/// What is said of a call, with the load of each rank, or of all of them, if it fits into so many columns.
fn text(progress: &Progress, ranks: &[usize], stage: Stage, columns: usize) -> String {
    let done = HumanCount(progress.done);
    let mut parts = vec![match progress.total {
        Some(total) => format!("{done} of {}", HumanCount(total)),
        None => format!("{done} done"),
    }];
    if progress.failed > 0 {
        parts.push(format!("{} failed", HumanCount(progress.failed)));
    }
    let rate = progress.rate();
    if rate > 0.0 {
        let digits = match rate {
            100.0.. => 0,
            10.0.. => 1,
            _ => 2,
        };
        parts.push(format!("{:.digits$}/s", HumanFloatCount(rate)));
    }
    let duration = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    let elapsed = duration(progress.seconds);
    parts.push(match (stage, progress.remaining()) {
        (Stage::Running, Some(left)) => format!("{:#} left", HumanDuration(duration(left))),
        (Stage::Running, None) => format!("for {:#}", HumanDuration(elapsed)),
        (Stage::Stopping, _) => "stopping".to_owned(),
        (Stage::Stopped, _) => format!("stopped after {elapsed:.1?}"),
        (Stage::Over, _) => format!("in {elapsed:.1?}"),
    });
    let text = parts.join(", ");
    let loads = progress.load.iter().map(|load| (100.0 * load).round() as u64);
    let each: Vec<String> = ranks
        .iter()
        .zip(loads.clone())
        .map(|(rank, load)| format!("{rank}:{load}%"))
        .collect();
    let (least, most) = (loads.clone().min().unwrap_or(0), loads.max().unwrap_or(0));
    [each.join(" "), format!("{least}-{most}%")]
        .into_iter()
        .map(|loads| format!("{text}, load {loads}"))
        .find(|with_loads| with_loads.chars().count() <= columns)
        .unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comm::Communicator;
    use crate::error::Result;
    use crate::pool::{Function, Master, Pool};
    use indicatif::{InMemoryTerm, ProgressDrawTarget, TermLike};

    fn progress(done: u64, failed: u64, total: Option<u64>, seconds: f64, load: &[f64]) -> Progress {
        Progress {
            done,
            failed,
            running: 2,
            total,
            seconds,
            load: load.to_vec(),
        }
    }

    #[test]
    fn what_is_said_of_a_call() {
        let load = [0.9749, 0.0, 1.0];
        let ranks = [1, 2, 12];
        let said = |progress, stage| text(&progress, &ranks, stage, 100);
        assert_eq!(
            said(progress(30, 0, Some(64), 10.0, &load), Stage::Running),
            "30 of 64, 3/s, 11s left, load 1:97% 2:0% 12:100%"
        );
        assert_eq!(
            said(progress(1200, 34, Some(5678), 12.0, &load), Stage::Running),
            "1,200 of 5,678, 34 failed, 103/s, 43s left, load 1:97% 2:0% 12:100%"
        );
        assert_eq!(
            said(progress(0, 0, Some(64), 3.0, &[0.0; 3]), Stage::Running),
            "0 of 64, for 3s, load 1:0% 2:0% 12:0%"
        );
        assert_eq!(
            said(progress(0, 0, Some(64), 0.0, &[0.0; 3]), Stage::Running),
            "0 of 64, for 0s, load 1:0% 2:0% 12:0%"
        );
        assert_eq!(
            said(progress(100, 0, None, 8.0, &load), Stage::Running),
            "100 done, 12.5/s, for 8s, load 1:97% 2:0% 12:100%"
        );
        assert_eq!(
            said(progress(30, 1, Some(64), 10.0, &load), Stage::Stopping),
            "30 of 64, 1 failed, 3.1/s, stopping, load 1:97% 2:0% 12:100%"
        );
        assert_eq!(
            said(progress(30, 1, Some(64), 0.25, &load), Stage::Stopped),
            "30 of 64, 1 failed, 124/s, stopped after 250.0ms, load 1:97% 2:0% 12:100%"
        );
        assert_eq!(
            said(progress(64, 0, Some(64), 1.5, &load), Stage::Over),
            "64 of 64, 42.7/s, in 1.5s, load 1:97% 2:0% 12:100%"
        );
    }

    #[test]
    fn more_ranks_than_a_line_has_room_for_are_a_range() {
        let load: Vec<f64> = (0..32).map(|rank| 0.5 + f64::from(rank) / 100.0).collect();
        let ranks: Vec<usize> = (1..33).collect();
        let some = progress(8, 0, Some(64), 4.0, &load[..2]);
        let listed = "8 of 64, 2/s, 28s left, load 1:50% 2:51%";
        assert_eq!(text(&some, &ranks[..2], Stage::Running, listed.len()), listed);
        assert_eq!(
            text(&some, &ranks[..2], Stage::Running, listed.len() - 1),
            "8 of 64, 2/s, 28s left, load 50-51%"
        );
        assert_eq!(
            text(&some, &ranks[..2], Stage::Running, 30),
            "8 of 64, 2/s, 28s left"
        );
        let many = progress(8, 0, Some(64), 4.0, &load);
        assert_eq!(
            text(&many, &ranks, Stage::Running, 100),
            "8 of 64, 2/s, 28s left, load 50-81%"
        );
    }

    /// Runs `body` on the master of a pool whose bars are on a terminal of so many columns; what is on the terminal then.
    fn on_terminal(
        columns: u16,
        body: impl Fn(&Master, Function<u64, u64>, &InMemoryTerm) + Sync,
    ) -> Vec<String> {
        let terminal = InMemoryTerm::new(24, columns);
        let ended: Result<Vec<Option<()>>> = Communicator::threads(3, |comm| {
            let mut pool = Pool::new(&comm);
            let next = pool.function(|_, number: u64| match number {
                13 => Err("unlucky".into()),
                14 => Ok(changes(&terminal)),
                number => Ok(number + 1),
            });
            pool.run(|master| {
                let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
                let bars = Bars {
                    drawn: MultiProgress::with_draw_target(target),
                    columns: Rc::new(|| 100),
                };
                assert!(master.bars.set(bars).is_ok());
                body(master, next, &terminal);
            })
        })
        .expect("threads")
        .into_iter()
        .collect();
        ended.expect("the pool");
        terminal.contents().lines().map(str::to_owned).collect()
    }

    /// Waits until what is on a terminal has changed 3 times; how often it has, within what is far more than it takes.
    fn changes(terminal: &InMemoryTerm) -> u64 {
        let begun = Instant::now();
        let (mut seen, mut changes) = (terminal.contents(), 0);
        while changes < 3 && begun.elapsed() < Duration::from_secs(60) {
            let now = terminal.contents();
            changes += u64::from(now != seen);
            seen = now;
            std::thread::yield_now();
        }
        changes
    }

    /// Whether a line is a name, a bar of so many full cells, and what is said at first.
    fn is_line(line: &str, name: &str, full: usize, said: &str) -> bool {
        let bar = format!("{}{}", "█".repeat(full), "░".repeat(CELLS - full));
        line.starts_with(&format!("{name} {bar} {said}"))
    }

    #[test]
    fn a_call_leaves_its_last_line_and_what_follows_has_its_own() {
        let lines = on_terminal(100, |master, next, terminal| {
            let view = master.load_balanced().name("next").progress_bar(true);
            assert_eq!(view.map(next, 20..84).unwrap().len(), 64);
            terminal.write_str("printed").unwrap();
            terminal.write_line("").unwrap();
            let direct = master.direct().name("blocks").progress_bar(true);
            assert_eq!(direct.map(next, 20..84).unwrap().len(), 64);
            assert!(view.map(next, []).unwrap().is_empty());
            assert_eq!(master.map(next, [1]).unwrap(), [2]);
        });
        assert_eq!(lines.len(), 3, "{lines:#?}");
        assert!(is_line(&lines[0], "next", CELLS, "64 of 64, "), "{lines:#?}");
        assert!(
            lines[0].contains("/s, in ") && lines[0].contains(", load 1:"),
            "{lines:#?}"
        );
        assert_eq!(lines[1], "printed");
        assert!(is_line(&lines[2], "blocks", CELLS, "64 of 64, "), "{lines:#?}");
    }

    #[test]
    fn calls_that_end_early_say_so() {
        let lines = on_terminal(100, |master, next, _| {
            let view = master.load_balanced().name("next").progress_bar(true);
            // The one that fails is the first one.
            view.map(next, [13; 10]).unwrap_err();
            let tried = view.try_map(next, [1, 13, 2, 13]).unwrap();
            assert_eq!(tried.iter().flatten().count(), 2);
            let unknown = (0..8).filter(|number| number % 2 == 0);
            assert_eq!(view.map(next, unknown).unwrap().len(), 4);
            let mut endless = view.map_unordered(next, std::iter::repeat(1));
            endless.next().unwrap().unwrap().1.unwrap();
            drop(endless);
            let mut cancelled = view.start(next, std::iter::repeat_n(1, 1_000_000));
            cancelled.cancel();
            cancelled.results().unwrap_err();
            drop(view.map_unordered(next, 0..5));
        });
        let [failed, tried, unknown, endless, cancelled, unused] = &lines[..] else {
            panic!("{lines:#?}");
        };
        assert!(
            failed.contains(" of 10, ") && failed.contains(" failed, "),
            "{failed}"
        );
        assert!(failed.contains("/s, stopped after "), "{failed}");
        assert!(is_line(tried, "next", CELLS, "2 of 4, 2 failed, "), "{tried}");
        assert!(tried.contains("/s, in "), "{tried}");
        assert!(
            unknown.contains(" 4 of 4, ") && unknown.contains("/s, in "),
            "{unknown}"
        );
        assert!(
            endless.contains(" done, ") && endless.contains("/s, stopped after "),
            "{endless}"
        );
        assert!(
            cancelled.contains(" of 1,000,000, ") && cancelled.contains("stopped after "),
            "{cancelled}"
        );
        assert!(is_line(unused, "next", 0, "0 of 5, stopped after "), "{unused}");
    }

    #[test]
    fn calls_that_go_on_together_have_a_line_each() {
        let lines = on_terminal(100, |master, next, terminal| {
            let view = master.load_balanced().progress_bar(true);
            let first = view.clone().name("first").start(next, 20..30);
            let second = view.clone().name("second").start(next, 20..30);
            let seen = terminal.contents();
            assert!(seen.contains("first ") && seen.contains("\nsecond "), "{seen}");
            assert_eq!(second.results().unwrap().len(), 10);
            assert_eq!(first.results().unwrap().len(), 10);
        });
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert!(is_line(&lines[0], "first", CELLS, "10 of 10, "), "{lines:#?}");
        assert!(is_line(&lines[1], "second", CELLS, "10 of 10, "), "{lines:#?}");
    }

    #[test]
    fn a_bar_moves_while_nothing_is_reported() {
        let lines = on_terminal(100, |master, next, _| {
            let view = master.load_balanced().progress_bar(true);
            // Where nobody knows how many there are it turns.
            let unknown = (0..20).filter(|&number| number == 14);
            assert_eq!(view.map(next, unknown).unwrap(), [3]);
        });
        assert_eq!(lines.len(), 1, "{lines:#?}");
    }

    #[test]
    fn a_narrow_terminal_has_one_line_too() {
        let lines = on_terminal(40, |master, next, _| {
            let view = master.load_balanced().name("next").progress_bar(true);
            assert_eq!(view.map(next, 20..84).unwrap().len(), 64);
        });
        assert_eq!(lines.len(), 1, "{lines:#?}");
        assert!(is_line(&lines[0], "next", CELLS, "64 of 64, "), "{lines:#?}");
    }
}
