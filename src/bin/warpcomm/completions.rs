//! `warpcomm completions`: what a shell completes the arguments of this command with.

use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::Shell;

use crate::standard_output::print;

const MORE_HELP: &str = "\
Examples:
  warpcomm completions bash > ~/.local/share/bash-completion/completions/warpcomm
  warpcomm completions zsh > ~/.zfunc/_warpcomm
  warpcomm completions fish > ~/.config/fish/completions/warpcomm.fish";

/// Print what a shell needs to complete the arguments of this command
#[derive(Args)]
#[command(after_help = MORE_HELP)]
pub struct Arguments {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints the script for the shell; `command` is the whole command.
pub fn run(arguments: &Arguments, mut command: Command) -> ExitCode {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, name, &mut script);
    match print(script) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("warpcomm completions: {error}");
            ExitCode::FAILURE
        }
    }
}
