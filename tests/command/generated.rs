//! Help, completions and manual pages.

use std::fs;
use std::process::Command;

use crate::machine::{output, text};

fn printed(arguments: &[&str]) -> String {
    let done = output(Command::new(env!("CARGO_BIN_EXE_warpcomm")).args(arguments));
    assert!(done.status.success(), "{arguments:?}: {}", text(&done.stderr));
    text(&done.stdout)
}

/// The subcommands that the help of a command lists.
fn subcommands(command: &[&str]) -> Vec<String> {
    let help = printed(&[command, &["--help"]].concat());
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn the_help_of_every_command_has_an_example() {
    let commands = subcommands(&[]);
    assert!(commands.len() > 4, "{commands:?}");
    for command in &commands {
        for arguments in [vec!["--help"], vec!["-h"]] {
            let help = printed(&[&[command.as_str()], &arguments[..]].concat());
            assert!(
                help.contains(&format!("Examples:\n  warpcomm {command}")),
                "{help}"
            );
        }
    }
    let help = printed(&["--help"]);
    assert!(help.contains("Examples:\n  warpcomm doctor"), "{help}");
    assert_eq!(subcommands(&["bench"]), ["compare"]);
    let help = printed(&["bench", "compare", "--help"]);
    assert!(help.contains("Examples:\n  warpcomm bench compare"), "{help}");
}

#[test]
fn each_shell_gets_completions() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = printed(&["completions", shell]);
        for word in ["warpcomm", "bench", "compare", "sizes"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
        // fish knows those of options, the others none.
        let has_values = ["bash", "fish", "zsh"].contains(&shell);
        assert_eq!(script.contains("allreduce"), has_values, "{shell}");
    }
    let script = "eval \"$0\" && complete -p warpcomm";
    let known = output(Command::new("bash").args(["-c", script, &printed(&["completions", "bash"])]));
    assert!(known.status.success(), "{}", text(&known.stderr));
    let refused = output(Command::new(env!("CARGO_BIN_EXE_warpcomm")).args(["completions", "bush"]));
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("a similar value exists: 'bash'"));
}

#[test]
fn every_command_has_a_manual_page() {
    assert!(printed(&["man"]).contains(".TH warpcomm 1"));
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("man1");
    printed(&["man", "--output", pages.to_str().unwrap()]);
    for command in subcommands(&[]) {
        let page = fs::read_to_string(pages.join(format!("warpcomm-{command}.1"))).unwrap();
        assert!(page.contains("Examples:"), "{command}");
    }
    assert!(pages.join("warpcomm.1").is_file());
    assert!(pages.join("warpcomm-bench-compare.1").is_file());
    let refused =
        output(Command::new(env!("CARGO_BIN_EXE_warpcomm")).args(["man", "--output", "/proc/absent"]));
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).starts_with("warpcomm man: cannot write to `/proc/absent`: "));
}
