//! What a launcher is to start.

use std::ffi::{OsStr, OsString};
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use super::binding::Binding;
use super::hosts::Hosts;

/// What to start.
#[derive(Clone, Debug)]
pub struct Job {
    /// How many ranks run the program.
    pub ranks: NonZeroUsize,
    /// The program that each of these ranks runs, a path or a name on `PATH`.
    pub program: OsString,
    /// The program's own arguments, passed on unchanged.
    pub args: Vec<OsString>,
    /// Other programs, whose ranks have the next numbers.
    pub others: Vec<Part>,
    /// Variables that every rank gets, on every host; where a name occurs twice, the last one counts.
    pub environment: Vec<(OsString, OsString)>,
    /// The hosts of the ranks, filled in their order; without them, those of the batch system, or else this host.
    pub hosts: Option<Hosts>,
    /// To which cores ranks are bound; the launcher's own choice, if it is not said.
    pub binding: Option<Binding>,
    /// Whether each line that a rank prints is to begin with its number.
    pub tag_output: bool,
    /// After how long the ranks may be ended by a launcher that can do so even when it is killed.
    pub time_limit: Option<Duration>,
}

/// Ranks of a job that run one program.
#[derive(Clone, Debug)]
pub struct Part {
    /// How many ranks.
    pub ranks: NonZeroUsize,
    /// The program, a path or a name on `PATH`.
    pub program: OsString,
    /// The program's own arguments, passed on unchanged.
    pub args: Vec<OsString>,
}

/// Ranks of a job that run one program, wherever it is kept.
#[derive(Clone, Copy, Debug)]
pub struct PartRef<'a> {
    /// How many ranks.
    pub ranks: NonZeroUsize,
    /// The program.
    pub program: &'a OsString,
    /// Its arguments.
    pub args: &'a [OsString],
}

impl Job {
    /// A job of one program without arguments, whose ranks get the variables of [`passed_on`].
    pub fn new(ranks: NonZeroUsize, program: impl Into<OsString>) -> Self {
        Self {
            ranks,
            program: program.into(),
            args: Vec::new(),
            others: Vec::new(),
            environment: passed_on(),
            hosts: None,
            binding: None,
            tag_output: false,
            time_limit: None,
        }
    }

    /// All programs, in the order of their ranks.
    pub fn parts(&self) -> impl Iterator<Item = PartRef<'_>> {
        let first = PartRef {
            ranks: self.ranks,
            program: &self.program,
            args: &self.args,
        };
        let others = self.others.iter().map(|part| PartRef {
            ranks: part.ranks,
            program: &part.program,
            args: &part.args,
        });
        std::iter::once(first).chain(others)
    }

    /// How many ranks there are in all.
    pub fn size(&self) -> NonZeroUsize {
        self.others
            .iter()
            .fold(self.ranks, |size, part| size.saturating_add(part.ranks.get()))
    }

    /// Has every rank run `program` with `args`, and behind these its own program with its own arguments.
    pub fn run_by(&mut self, program: &OsStr, args: &[OsString]) {
        let put = |own: &mut OsString, own_args: &mut Vec<OsString>| {
            let own = std::mem::replace(own, program.to_owned());
            own_args.splice(0..0, args.iter().cloned().chain([own]));
        };
        put(&mut self.program, &mut self.args);
        for part in &mut self.others {
            put(&mut part.program, &mut part.args);
        }
    }
}

/// The variables of this process that ranks on other hosts need too, in the order of their names: `WARPCOMM_*`,
/// `RUST_BACKTRACE` and `RUST_LOG`. Launchers copy the whole environment only on the host where they run.
pub fn passed_on() -> Vec<(OsString, OsString)> {
    let mut variables: Vec<_> = std::env::vars_os()
        .filter(|(name, _)| {
            name.as_bytes().starts_with(b"WARPCOMM_") || name == "RUST_BACKTRACE" || name == "RUST_LOG"
        })
        .collect();
    variables.sort();
    variables
}
