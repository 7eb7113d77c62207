//! How far a call is, on a terminal.

use std::env;
use std::fs::File;
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use console::Term;
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::progress::Progress;

/// The variable in which `warpcomm run` names the terminal that it was started from: launchers of MPI give ranks pipes.
const TERMINAL_VARIABLE: &str = "WARPCOMM_TERMINAL";

/// The time between two pictures.
const EVERY: Duration = Duration::from_millis(100);

/// Without colours, so that there is nothing for `NO_COLOR` to take away.
const KNOWN: &str = "{prefix}{bar:20} {wide_msg}";
const UNKNOWN: &str = "{prefix}{spinner} {wide_msg}";

/// More workers are not listed one by one.
const LISTED: usize = 8;

/// A line that is drawn over and over.
pub(super) struct Bar {
    bar: ProgressBar,
    /// When it was drawn last.
    drawn: Instant,
}

impl Bar {
    /// A bar on the terminal of the program; none without one.
    pub(super) fn of_program(name: &str, total: Option<u64>) -> Option<Bar> {
        terminal().map(|terminal| Bar::new(terminal, name, total))
    }

    fn new(terminal: ProgressDrawTarget, name: &str, total: Option<u64>) -> Bar {
        let bar = ProgressBar::with_draw_target(total, terminal);
        let template = if total.is_some() { KNOWN } else { UNKNOWN };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        if !name.is_empty() {
            bar.set_prefix(format!("{name} "));
        }
        let drawn = Instant::now();
        Bar { bar, drawn }
    }

    /// Draws how far the call is, if it is time to.
    pub(super) fn show(&mut self, progress: impl FnOnce() -> Progress) {
        if self.drawn.elapsed() >= EVERY {
            self.drawn = Instant::now();
            self.draw(&progress());
            self.bar.tick();
        }
    }

    /// Leaves how far the call has come on the terminal.
    pub(super) fn end(self, progress: &Progress) {
        self.draw(progress);
        self.bar.abandon();
    }

    fn draw(&self, progress: &Progress) {
        self.bar.set_position(progress.done + progress.failed);
        self.bar.set_message(text(progress));
    }
}

/// The standard error, if it is a terminal, or the one that `warpcomm run` names.
fn terminal() -> Option<ProgressDrawTarget> {
    if stderr().is_terminal() {
        return Some(ProgressDrawTarget::stderr());
    }
    let file = File::options()
        .read(true)
        .write(true)
        .open(env::var_os(TERMINAL_VARIABLE)?);
    let file = file.ok().filter(File::is_terminal)?;
    let terminal = Term::read_write_pair(file.try_clone().ok()?, file);
    Some(ProgressDrawTarget::term(terminal, 20))
}

/// What is beside the bar.
fn text(progress: &Progress) -> String {
    let over = progress.done + progress.failed;
    let mut text = match progress.total {
        Some(total) => format!("{over} of {total}"),
        None => format!("{over} tasks"),
    };
    if progress.failed > 0 {
        text += &format!(", {} failed", progress.failed);
    }
    let rate = progress.rate();
    text += &match rate < 100.0 {
        true => format!(", {rate:.1} a second"),
        false => format!(", {rate:.0} a second"),
    };
    text += &match progress.remaining().filter(|_| progress.total != Some(over)) {
        Some(remaining) => format!(", {} left", time(remaining)),
        None => format!(", {} so far", time(progress.seconds)),
    };
    let percent = |load: f64| format!("{:.0}%", 100.0 * load);
    match progress.load.len() {
        0 => {}
        workers if workers <= LISTED => {
            let loads: Vec<String> = progress.load.iter().copied().map(percent).collect();
            text += &format!(", load {}", loads.join(" "));
        }
        workers => {
            let least = progress.load.iter().copied().fold(1.0, f64::min);
            let most = progress.load.iter().copied().fold(0.0, f64::max);
            text += &format!(", load of {workers} {} to {}", percent(least), percent(most));
        }
    }
    text
}

/// A time in the unit that fits it.
fn time(seconds: f64) -> String {
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if seconds >= 60.0 => format!("{:#}", HumanDuration(time)),
        _ => format!("{seconds:.1} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::InMemoryTerm;

    fn progress(done: u64, failed: u64, total: Option<u64>, load: &[f64]) -> Progress {
        Progress {
            done,
            failed,
            running: 2,
            total,
            seconds: 4.0,
            load: load.to_vec(),
        }
    }

    #[test]
    fn the_text_says_what_is_known() {
        for (progress, expected) in [
            (
                progress(9, 1, Some(40), &[0.934, 1.0]),
                "10 of 40, 1 failed, 2.5 a second, 12.0 s left, load 93% 100%",
            ),
            (
                progress(40, 0, Some(40), &[0.5]),
                "40 of 40, 10.0 a second, 4.0 s so far, load 50%",
            ),
            (
                progress(0, 0, Some(40), &[0.0]),
                "0 of 40, 0.0 a second, 4.0 s so far, load 0%",
            ),
            (
                progress(4000, 0, None, &[]),
                "4000 tasks, 1000 a second, 4.0 s so far",
            ),
            (
                progress(1, 0, Some(1000), &[0.1; 9]),
                "1 of 1000, 0.2 a second, 67m left, load of 9 10% to 10%",
            ),
        ] {
            assert_eq!(text(&progress), expected);
        }
    }

    #[test]
    fn a_line_is_drawn_over_and_left() {
        for (total, bar) in [(Some(8), "halves ██████████░░░░░░░░░░ "), (None, "halves ")]
        {
            let screen = InMemoryTerm::new(3, 78);
            let terminal = ProgressDrawTarget::term_like(Box::new(screen.clone()));
            let mut bar_of_call = Bar::new(terminal, "halves", total);
            bar_of_call.show(|| panic!("it is too soon"));
            bar_of_call.drawn -= 2 * EVERY;
            bar_of_call.show(|| progress(4, 0, total, &[0.5, 0.75]));
            let shown = screen.contents();
            assert!(
                shown.contains("1.0 a second") && shown.contains("load 50% 75%"),
                "{shown}"
            );
            assert!(shown.lines().count() == 1 && shown.starts_with(bar), "{shown}");
            bar_of_call.end(&progress(7, 1, total, &[0.5, 0.75]));
            let left = screen.contents();
            assert!(left.contains(", 1 failed, 2.0 a second, 4.0 s so far"), "{left}");
            assert_eq!(left.lines().count(), 1, "{left}");
        }
    }
}
