//! Every rank writes what it does into a file that Perfetto and chrome://tracing open (`WARPCOMM_TRACE`). Under MPI the cases
//! of `tests/ranks/trace_files.rs` show the same.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::HashMap;
use std::env;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value, json};
use warpcomm::{Blocks, Communicator, Config, ErrorKind, Op, PROC_NULL, Result, Source, Tag};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, which also counts.
struct Counting;

// SAFETY: the system's allocator does it all; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends has no counter any more.
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// An operation with the phases inside it.
#[derive(Debug)]
struct Shown {
    name: String,
    category: String,
    lane: u64,
    /// In nanoseconds.
    start: u64,
    end: u64,
    arguments: Map<String, Value>,
    phases: Vec<String>,
}

fn nanoseconds(value: &Value) -> u64 {
    // With three digits behind the point, of which a double has all.
    (value.as_f64().unwrap() * 1000.0).round() as u64
}

/// The operations in the text of a rank's file, checked to be in order.
fn read(text: &str, rank: usize) -> Vec<Shown> {
    let events: Vec<Value> = serde_json::from_str(text).unwrap();
    let names = |event: &&Value, what: &str| event["ph"] == "M" && event["name"] == what;
    for what in ["warpcomm", "process_name", "process_sort_index"] {
        assert!(events.iter().any(|event| names(&event, what)), "{what}");
    }
    let lanes: HashMap<u64, &str> = events
        .iter()
        .filter(|event| names(event, "thread_name"))
        .map(|event| {
            (
                event["tid"].as_u64().unwrap(),
                event["args"]["name"].as_str().unwrap(),
            )
        })
        .collect();
    let mut shown: Vec<Shown> = Vec::new();
    for event in &events {
        assert_eq!(event["pid"], rank, "{event}");
        if event["ph"] != "X" {
            assert_eq!(event["ph"], "M", "{event}");
            continue;
        }
        let start = nanoseconds(&event["ts"]);
        let end = start + nanoseconds(&event["dur"]);
        let lane = event["tid"].as_u64().unwrap();
        assert!(lanes.contains_key(&lane), "{event} is in a lane without a name");
        if event["cat"] == "phase" {
            // Phases are behind their operation, in their order, one ending where the next begins.
            let operation = shown.last_mut().unwrap();
            assert_eq!(lane, operation.lane);
            assert!(
                start >= operation.start && end <= operation.end,
                "{event} in {operation:?}"
            );
            // Whether there was another thread that ran meanwhile is nobody's business.
            if event["name"] != "turn" {
                operation.phases.push(event["name"].as_str().unwrap().to_owned());
            }
            continue;
        }
        shown.push(Shown {
            name: event["name"].as_str().unwrap().to_owned(),
            category: event["cat"].as_str().unwrap().to_owned(),
            lane,
            start,
            end,
            arguments: event["args"].as_object().unwrap().clone(),
            phases: Vec::new(),
        });
    }
    // Operations that overlap are in different lanes.
    let mut by_lane: Vec<(u64, u64, u64)> = shown
        .iter()
        .map(|shown| (shown.lane, shown.start, shown.end))
        .collect();
    by_lane.sort();
    for pair in by_lane.windows(2) {
        let ((lane, _, end), (next_lane, start, _)) = (pair[0], pair[1]);
        assert!(lane != next_lane || end <= start, "{pair:?}");
    }
    shown
}

fn file(directory: &Path, rank: usize) -> PathBuf {
    directory.join(format!("trace.{rank}.json"))
}

/// What the ranks of a program have written.
fn traced(ranks: usize, program: impl Fn(Communicator) -> Result<()> + Sync) -> Vec<Vec<Shown>> {
    let directory = tempfile::tempdir().unwrap();
    let config = Config::default().trace(Some(directory.path().join("trace.json")));
    let outcomes = Communicator::threads_with(&config, ranks, program).unwrap();
    outcomes.into_iter().for_each(|outcome| outcome.unwrap());
    assert_eq!(
        fs::read_dir(directory.path()).unwrap().count(),
        ranks,
        "a file each"
    );
    (0..ranks)
        .map(|rank| read(&fs::read_to_string(file(directory.path(), rank)).unwrap(), rank))
        .collect()
}

/// Checks that one operation of this name, and no other of the rank, has just these arguments.
fn expect<'a>(shown: &'a [Shown], name: &str, arguments: &Value) -> &'a Shown {
    let of_name: Vec<&Shown> = shown.iter().filter(|shown| shown.name == name).collect();
    let mut found = of_name
        .iter()
        .filter(|shown| Some(&shown.arguments) == arguments.as_object());
    match (found.next(), found.next()) {
        (Some(shown), None) => shown,
        _ => panic!("{name} with {arguments}, among {of_name:#?}"),
    }
}

#[test]
fn messages() {
    let (short, long) = ([1.5f64; 3], vec![2.5f64; 1000]);
    let ranks = traced(2, |comm| {
        let mut into = vec![0f64; 1000];
        if comm.rank() == 0 {
            comm.send(&short, 1, Tag(7))?;
            comm.send(&long, 1, Tag(8))?;
            comm.isend(short.to_vec(), 1, Tag(9)).wait()?;
            let mut persistent = comm.send_init(long.clone(), 1, Tag(10));
            persistent.start()?;
            persistent.wait()?;
            comm.send(&short, PROC_NULL, Tag(11))?;
        } else {
            comm.recv(&mut into, 0, Tag(7))?;
            comm.recv(&mut into, Source::Any, Tag::ANY)?;
            comm.irecv(into, 0, Tag(9)).wait()?;
            let mut persistent = comm.recv_init(vec![0f64; 1000], 0, Tag(10));
            persistent.start()?;
            persistent.wait()?;
        }
        let peer = 1 - comm.rank();
        comm.sendrecv(&short, peer, Tag(12), &mut [0f64; 3], peer, Tag(12))?;
        Ok(())
    });
    let sent = |tag: i32, bytes: usize, path: &str| json!({"dest": 1, "tag": tag, "bytes": bytes, "dtype": "f64", "path": path, "outcome": "ok"});
    let received = |tag: i32, path: &str| json!({"source": 0, "tag": tag, "bytes": 8000, "dtype": "f64", "path": path, "outcome": "ok"});
    let calls = [
        expect(&ranks[0], "send", &sent(7, 24, "inline")),
        expect(&ranks[0], "send", &sent(8, 8000, "rendezvous")),
    ];
    assert_eq!(calls[0].phases, ["envelope"]);
    assert_eq!(calls[1].phases, ["envelope", "go", "body"]);
    assert!(
        calls
            .iter()
            .all(|call| call.lane == 0 && call.category == "message")
    );
    let request = expect(&ranks[0], "isend", &sent(9, 24, "inline"));
    assert_ne!(request.lane, 0, "it goes on without a call");
    expect(&ranks[0], "persistent send", &sent(10, 8000, "rendezvous"));
    let nobody = json!({"dest": "nobody", "tag": 11, "bytes": 24, "dtype": "f64", "outcome": "ok"});
    assert!(expect(&ranks[0], "send", &nobody).phases.is_empty());
    expect(&ranks[1], "recv", &received(7, "inline"));
    let any = json!({
        "source": "any", "tag": "any", "bytes": 8000, "dtype": "f64", "path": "rendezvous", "outcome": "ok"
    });
    assert_eq!(expect(&ranks[1], "recv", &any).phases, ["match", "body"]);
    expect(&ranks[1], "irecv", &received(9, "inline"));
    expect(&ranks[1], "persistent recv", &received(10, "rendezvous"));
    for (rank, shown) in ranks.iter().enumerate() {
        for direction in ["source", "dest"] {
            let arguments = json!({
                direction: 1 - rank, "tag": 12, "bytes": 24, "dtype": "f64", "path": "inline", "outcome": "ok"
            });
            expect(shown, "sendrecv", &arguments);
        }
    }
    assert_eq!((ranks[0].len(), ranks[1].len()), (5 + 2, 4 + 2), "each once");
}

#[test]
fn collectives() {
    const RANKS: usize = 3;
    let ranks = traced(RANKS, |comm| {
        let one = [comm.rank() as i32];
        let mut three = [0i32; RANKS];
        let blocks = Blocks::even(RANKS, RANKS);
        let mut large = vec![1f32; 100_000];
        comm.barrier()?;
        comm.bcast(&mut large, 0)?;
        comm.allgatherv(&one, &mut three, &blocks)?;
        comm.allreduce(&one, &mut [0i32], Op::Sum)?;
        comm.allreduce_in_place(&mut large, Op::Sum)?;
        comm.iallreduce(one.to_vec(), vec![0i32], Op::Sum).wait()?;
        Ok(())
    });
    for (rank, shown) in ranks.iter().enumerate() {
        let expected = [
            ("barrier", json!({})),
            (
                "bcast",
                json!({"bytes": 400_000, "dtype": "f32", "path": "blocks"}),
            ),
            (
                "allgatherv",
                json!({"bytes": 4, "dtype": "i32", "path": "frames"}),
            ),
            ("allreduce", json!({"bytes": 4, "dtype": "i32", "path": "frames"})),
            (
                "allreduce",
                json!({"bytes": 400_000, "dtype": "f32", "path": "blocks"}),
            ),
            (
                "iallreduce",
                json!({"bytes": 4, "dtype": "i32", "path": "frames"}),
            ),
        ];
        assert_eq!(shown.len(), expected.len(), "each once: {shown:#?}");
        for (sequence, (name, mut arguments)) in expected.into_iter().enumerate() {
            let fields = arguments.as_object_mut().unwrap();
            fields.insert("sequence".to_owned(), sequence.into());
            fields.insert("outcome".to_owned(), "ok".into());
            let operation = expect(shown, name, &arguments);
            assert_eq!(operation.category, "collective");
            assert!(
                operation.phases.contains(&"agreement".to_owned()),
                "rank {rank}: {operation:?}"
            );
        }
        let long = shown
            .iter()
            .find(|shown| shown.arguments.get("path") == Some(&json!("blocks")));
        assert!(long.unwrap().phases.contains(&"data".to_owned()), "{long:?}");
    }
}

#[test]
fn what_fails_says_so() {
    let ranks = traced(2, |comm| {
        if comm.rank() == 0 {
            comm.isend(vec![1u8], 9, Tag(1)).wait().unwrap_err();
            comm.send(&[1u8], 9, Tag(2)).unwrap_err();
            comm.send(&[1u8; 5000], 1, Tag(3)).unwrap_err();
            comm.send(&[1u8], 1, Tag(-5)).unwrap_err();
        } else {
            comm.recv(&mut [0u8; 10], 0, Tag(3)).unwrap_err();
        }
        Ok(())
    });
    for (rank, name, tag, outcome) in [
        (0, "isend", 1, json!("InvalidArgument")),
        (0, "send", 2, json!("InvalidArgument")),
        (0, "send", 3, json!("Truncated")),
        (1, "recv", 3, json!("Truncated")),
    ] {
        let mut with_tag = ranks[rank].iter().filter(|shown| shown.arguments["tag"] == tag);
        let shown = with_tag.next().unwrap();
        assert_eq!(
            (shown.name.as_str(), &shown.arguments["outcome"]),
            (name, &outcome)
        );
        assert!(with_tag.next().is_none(), "each once");
    }
    assert_eq!((ranks[0].len(), ranks[1].len()), (4, 1));
}

#[test]
fn requests_that_overlap_are_in_lanes_of_their_own() {
    const REQUESTS: i32 = 100;
    let ranks = traced(2, |comm| {
        let peer = 1 - comm.rank();
        let receives: Vec<_> = (0..REQUESTS)
            .map(|tag| comm.irecv(vec![0u8; 10], peer, Tag(tag)))
            .collect();
        comm.barrier()?;
        for tag in (0..REQUESTS).rev() {
            comm.send(&[1u8; 10], peer, Tag(tag))?;
        }
        for receive in receives {
            receive.wait()?;
        }
        Ok(())
    });
    for shown in ranks {
        let mut lanes: Vec<u64> = shown
            .iter()
            .filter(|shown| shown.name == "irecv")
            .map(|shown| shown.lane)
            .collect();
        lanes.sort();
        lanes.dedup();
        assert_eq!(lanes.len(), REQUESTS as usize);
        let of_calls = shown.iter().filter(|shown| shown.name != "irecv");
        assert!(of_calls.into_iter().all(|shown| shown.lane == 0));
    }
}

#[test]
fn names_of_any_characters() {
    let name = "a \"b\" \\ \n\u{1} ä 中";
    let ranks = traced(1, |comm| {
        comm.set_name(name);
        comm.barrier()
    });
    assert_eq!(ranks[0][0].arguments["communicator"], name);
}

#[test]
fn ranks_of_parts_are_told_from_those_of_the_world() {
    let ranks = traced(2, |comm| {
        let alone = comm.split(Some(comm.rank() as u32), 0)?;
        alone.unwrap().barrier()
    });
    let rank = |world: usize| {
        let barrier = ranks[world].iter().find(|shown| shown.name == "barrier").unwrap();
        barrier.arguments.get("rank").cloned()
    };
    assert_eq!((rank(0), rank(1)), (None, Some(json!(0))));
}

#[test]
fn times_of_ranks_can_be_compared() {
    let ranks = traced(2, |comm| {
        for _ in 0..10 {
            comm.barrier()?;
        }
        Ok(())
    });
    // Nobody leaves a barrier before all have come to it.
    for (here, there) in ranks[0].iter().zip(&ranks[1]) {
        assert!(
            here.end >= there.start && there.end >= here.start,
            "{here:?} {there:?}"
        );
    }
}

#[test]
fn what_a_process_does_later_is_behind_it() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config::default().trace(Some(directory.path().join("of-%r")));
    for runs in 1..4 {
        Communicator::threads_with(&config, 2, |comm| comm.barrier().unwrap()).unwrap();
        for rank in 0..2 {
            let text = fs::read_to_string(directory.path().join(format!("of-{rank}"))).unwrap();
            assert_eq!(read(&text, rank).len(), runs);
        }
    }
}

#[test]
fn a_file_that_cannot_be_written() {
    let directory = tempfile::tempdir().unwrap();
    let nowhere = directory.path().join("nowhere/trace.json");
    let config = Config::default().trace(Some(nowhere));
    let error = Communicator::threads_with(&config, 2, |comm| comm.barrier()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let text = error.to_string();
    assert!(text.contains("WARPCOMM_TRACE: cannot write "), "{text}");
    assert!(text.contains("nowhere/trace.0.json: No such file"), "{text}");
}

#[test]
fn without_a_file_nothing_is_allocated() {
    let counted = Communicator::threads_with(&Config::default(), 1, |comm| {
        // What is made once is made.
        comm.barrier().unwrap();
        let before = ALLOCATIONS.get();
        comm.barrier().unwrap();
        let after = ALLOCATIONS.get();
        drop(black_box(Box::new(before)));
        (after - before, ALLOCATIONS.get() - after)
    });
    assert_eq!(counted.unwrap(), [(0, 1)], "one is counted");
}

/// Starts one of the programs below as a process, and returns what its rank 0 has left.
fn left_behind(program: &str) -> Vec<Shown> {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", program, "--ignored"])
        .env("WARPCOMM_TRACE", directory.path().join("trace.json"));
    assert!(!command.output().unwrap().status.success());
    read(&fs::read_to_string(file(directory.path(), 0)).unwrap(), 0)
}

#[test]
fn a_program_that_exits_leaves_all_it_did() {
    let shown = left_behind("one_that_exits");
    let numbers: Vec<_> = shown.iter().map(|shown| &shown.arguments["sequence"]).collect();
    assert_eq!(numbers, [0, 1, 2]);
}

#[test]
#[ignore = "a test starts it"]
fn one_that_exits() {
    let _ = Communicator::threads(1, |comm| {
        (0..3).for_each(|_| comm.barrier().unwrap());
        std::process::exit(3);
    });
}

#[test]
fn a_program_that_is_killed_leaves_what_was_written() {
    let shown = left_behind("one_that_is_killed");
    assert_eq!(shown[0].name, "barrier");
}

#[test]
#[ignore = "a test starts it"]
fn one_that_is_killed() {
    let file = PathBuf::from(env::var_os("WARPCOMM_TRACE").unwrap()).with_file_name("trace.0.json");
    let _ = Communicator::threads(1, |comm| {
        comm.barrier().unwrap();
        // By a thread of the library, while the rank does nothing.
        while !fs::read_to_string(&file).unwrap().contains("barrier") {}
        comm.barrier().unwrap();
        std::process::abort();
    });
}

#[test]
fn a_forked_child_leaves_the_file_alone() {
    let shown = left_behind("one_that_forks");
    let numbers: Vec<_> = shown.iter().map(|shown| &shown.arguments["sequence"]).collect();
    assert_eq!(numbers, [0, 1]);
}

unsafe extern "C" {
    /// Makes a child that has only the thread which calls (POSIX).
    safe fn fork() -> i32;
    /// Waits for a child to end (POSIX).
    fn waitpid(process: i32, status: *mut i32, options: i32) -> i32;
}

#[test]
#[ignore = "a test starts it"]
fn one_that_forks() {
    let _ = Communicator::threads(1, |comm| {
        comm.barrier().unwrap();
        let child = fork();
        if child == 0 {
            (0..10).for_each(|_| comm.barrier().unwrap());
            std::process::exit(0);
        }
        let mut status = -1;
        // SAFETY: the status is written to.
        assert_eq!(unsafe { waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0);
        comm.barrier().unwrap();
        std::process::exit(3);
    });
}
