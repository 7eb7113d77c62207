//! `warpcomm man`: the manual pages of this command.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command};
use clap_mangen::Man;

use crate::standard_output;

const MORE_HELP: &str = "\
Examples:
  warpcomm man | man -l -
  warpcomm man --output ~/.local/share/man/man1";

/// Print the manual page of this command, or write it and those of all subcommands
#[derive(Args)]
#[command(after_help = MORE_HELP)]
pub struct Arguments {
    /// The directory in which a page for each subcommand is written
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// Prints or writes the pages of `command`, the whole command.
pub fn run(arguments: &Arguments, command: Command) -> ExitCode {
    let outcome = match &arguments.output {
        Some(directory) => write(command, directory),
        None => print(command),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("warpcomm man: {message}");
            ExitCode::FAILURE
        }
    }
}

fn write(command: Command, directory: &Path) -> Result<(), String> {
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(command, directory))
        .map_err(|error| format!("cannot write to `{}`: {error}", directory.display()))
}

fn print(command: Command) -> Result<(), String> {
    let mut page = Vec::new();
    Man::new(command)
        .render(&mut page)
        .map_err(|error| error.to_string())?;
    standard_output::print(page)
}
