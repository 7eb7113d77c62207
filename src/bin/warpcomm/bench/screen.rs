//! What is seen while it is measured: a bar on a terminal, and lines.

use std::io::{IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Without colours, so that there is nothing for `NO_COLOR` to take away.
const BAR: &str = "{wide_msg} {bar:30} {pos}/{len}, {eta} left";

/// The standard output and the standard error of this command.
pub struct Screen {
    /// On the standard error, and hidden where that is no terminal.
    bar: ProgressBar,
}

impl Screen {
    /// A screen for so many rows.
    pub fn new(rows: u64) -> Screen {
        let bar = match std::io::stderr().is_terminal() {
            true => ProgressBar::with_draw_target(Some(rows), ProgressDrawTarget::stderr()),
            false => ProgressBar::hidden(),
        };
        if let Ok(style) = ProgressStyle::with_template(BAR) {
            bar.set_style(style);
        }
        Screen { bar }
    }

    /// Prints lines on the standard output.
    pub fn print(&self, lines: &[String]) -> Result<(), String> {
        self.bar.suspend(|| {
            let mut output = std::io::stdout().lock();
            lines
                .iter()
                .try_for_each(|line| writeln!(output, "{line}"))
                .and_then(|()| output.flush())
                .map_err(|error| format!("cannot write to the standard output: {error}"))
        })
    }

    /// Prints a line on the standard error, if there is one.
    pub fn tell(&self, line: &str) {
        self.bar.suspend(|| {
            let _ = writeln!(std::io::stderr(), "{line}");
        });
    }

    /// Rows have been measured, or left out, the last one such; without a terminal it is told if `is_told`.
    pub fn step(&self, rows: u64, what: String, is_told: bool) {
        if is_told && self.bar.is_hidden() {
            self.tell(&what);
        }
        self.bar.inc(rows);
        self.bar.set_message(what);
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
