//! 64 uneven tasks in blocks and load-balanced, as the lines that are printed and the timelines say.

use std::path::Path;

use warpcomm::pool::Timeline;

use crate::arrays::Files;
#[cfg(all(feature = "mpi", feature = "cli"))]
use crate::job::by_command;
use crate::job::{Job, on_threads, run, run_alone, run_threads};

/// Checks what was printed on so many ranks, and returns the makespans: of blocks, load-balanced and of list scheduling.
fn makespans(stdout: &str, ranks: usize) -> [f64; 3] {
    let lines: Vec<&str> = stdout.lines().collect();
    let [blocks, balanced, list] = lines[..] else {
        panic!("{stdout}");
    };
    let workers = (ranks - 1).max(1);
    let seconds = |line: &str, before: &str| -> f64 {
        let rest = line.strip_prefix(before).unwrap_or_else(|| panic!("{stdout}"));
        rest.split_once(" s").unwrap().0.parse().unwrap()
    };
    let of_tasks = |line, name| seconds(line, &format!("{name}: 64 tasks on {workers} workers, makespan "));
    [
        of_tasks(blocks, "static blocks"),
        of_tasks(balanced, "load-balanced"),
        seconds(list, "list scheduling takes "),
    ]
}

#[test]
fn any_number_of_ranks_runs_every_task_once() {
    for ranks in [1, 2, 4, 7] {
        let [blocks, balanced, list] = makespans(&run("pool_map", ranks, &[]).success(), ranks);
        // List scheduling is never longer than an even share of the work and, of the longest task, what the others idle meanwhile.
        let workers = (ranks - 1).max(1) as f64;
        let least = (list - 0.020 * (1.0 - 1.0 / workers)).max(0.0) - 1e-3;
        assert!(blocks >= least && balanced >= least, "{ranks} ranks");
    }
}

#[test]
fn the_timelines_show_who_ran_what() {
    let files = Files::new();
    let directory = files.file("made/timelines");
    makespans(&run_threads("pool_map", 4, &["--out", &directory]).success(), 4);
    for name in ["static", "balanced"] {
        let file = |end| Path::new(&directory).join(format!("{name}.{end}"));
        let timeline = Timeline::read(file("json")).unwrap();
        assert_eq!(timeline.workers, [1, 2, 3]);
        assert_eq!(timeline.clock_errors.len(), 3);
        let mut tasks: Vec<u64> = timeline.entries.iter().map(|entry| entry.task).collect();
        tasks.sort_unstable();
        assert_eq!(tasks, (0..64).collect::<Vec<_>>());
        assert!(timeline.entries.iter().all(|entry| entry.name == name));
        let of_rank = |rank| timeline.entries.iter().filter(|entry| entry.rank == rank).count();
        let bars = [1, 2, 3].map(of_rank);
        assert!(name == "balanced" || bars == [22, 21, 21], "{bars:?}");
        #[cfg(feature = "cli")]
        draw(&file("trace.json"), &file("pictures"));
    }
}

/// Draws a timeline by `warpcomm plot`.
#[cfg(feature = "cli")]
fn draw(trace: &Path, pictures: &Path) {
    let mut plot = std::process::Command::new(env!("CARGO_BIN_EXE_warpcomm"));
    plot.arg("plot").arg(trace).arg("--output").arg(pictures);
    let outcome = plot.output().unwrap();
    assert!(outcome.status.success(), "{outcome:?}");
    let picture = std::fs::read_to_string(pictures.join("timeline.svg")).unwrap();
    assert!(
        picture.contains("3 workers") && picture.contains("64 tasks"),
        "{picture}"
    );
}

#[test]
fn a_directory_that_cannot_be_made_is_refused() {
    let files = Files::new();
    let out = format!("{}/timelines", files.write("file", b""));
    for outcome in [
        run_alone("pool_map", &["--out", &out]),
        run("pool_map", 3, &["--out", &out]),
    ] {
        outcome.failure("pool_map", &[&out, "Not a directory"]);
    }
}

#[test]
fn bars_are_drawn_on_a_terminal_and_nowhere_else() {
    let outcome = run_threads("pool_map", 3, &[]);
    assert_eq!(outcome.stderr, "");
    makespans(&outcome.success(), 3);

    let commands = [
        on_threads("pool_map", 3, &[]),
        #[cfg(all(feature = "mpi", feature = "cli"))]
        by_command("pool_map", 3, &[]),
    ];
    for command in commands {
        let outcome = Job::on_terminal(command).finish();
        for name in ["static", "balanced"] {
            let drawn = outcome.stderr.matches(&format!("{name} ")).count();
            assert!(drawn > 1, "{:?}", outcome.stderr);
        }
        let last = outcome.stderr.trim_end().rsplit('\r').next().unwrap();
        assert!(
            last.contains("balanced ") && last.contains("64 of 64, ") && last.contains(", load 1:"),
            "{:?}",
            outcome.stderr
        );
        makespans(&outcome.success(), 3);
    }
}
