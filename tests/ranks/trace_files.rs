//! The files in which ranks write down what they do, where they are processes. `tests/trace_files.rs` has the rest.

use std::fs;

use serde_json::{Value, json};
use warpcomm::{Config, ErrorKind, Op, Runtime, Tag};

use super::lifecycle::rank_by_launcher;
use crate::harness::{Failure, Outcome, Solo, Start, expect_error, solo_directory};

pub const SOLOS: &[Solo] = &[
    Solo {
        name: "every_rank_writes_its_file",
        start: Start::Ranks(3),
        environment: &[],
        program: every_rank_writes_its_file,
        release: None,
        expect: |ended| ended.check(true, &["rank 0 has all", "rank 1 has all", "rank 2 has all"]),
    },
    Solo {
        name: "a_rank_that_cannot_write_its_file",
        start: Start::Ranks(2),
        environment: &[],
        program: a_rank_that_cannot_write_its_file,
        release: None,
        expect: |ended| ended.check(false, &["rank 1 refuses: "]),
    },
];

fn every_rank_writes_its_file() -> Outcome {
    let directory = solo_directory();
    let runtime = Runtime::init_with(&Config::default().trace(Some(directory.join("trace.json"))))?;
    let world = runtime.world()?;
    let (rank, next, before) = (world.rank(), (world.rank() + 1) % 3, (world.rank() + 2) % 3);
    let sending = world.isend(vec![1u8; 65536], next, Tag(5));
    world.recv(&mut vec![0u8; 65536], before, Tag(5))?;
    sending.wait()?;
    world.allreduce(&1i32, &mut 0, Op::Sum)?;
    drop(world);
    runtime.finalize()?;
    let text = fs::read_to_string(directory.join(format!("trace.{rank}.json")))?;
    let events: Vec<Value> = serde_json::from_str(&text)?;
    let only = |name: &str| {
        let mut of_name = events.iter().filter(|event| event["name"] == name);
        let first = of_name.next().cloned().unwrap_or_default();
        assert!(of_name.next().is_none(), "{name} is there once");
        first
    };
    let arguments = |peer: &str, number: usize| json!({peer: number, "tag": 5, "bytes": 65536, "dtype": "u8", "path": "rendezvous", "outcome": "ok"});
    assert_eq!(only("isend")["args"], arguments("dest", next));
    assert_eq!(only("recv")["args"], arguments("source", before));
    let fold = only("allreduce");
    assert_eq!(
        (&fold["args"]["bytes"], &fold["args"]["outcome"]),
        (&json!(4), &json!("ok"))
    );
    assert!(events.iter().all(|event| event["pid"] == rank));
    println!("rank {rank} has all");
    Ok(())
}

/// The others do not wait for it: the launcher ends them, as it does where a rank does not finalize MPI.
fn a_rank_that_cannot_write_its_file() -> Outcome {
    let directory = solo_directory();
    if rank_by_launcher()? == 0 {
        fs::create_dir(directory.join("0"))?;
    }
    let config = Config::default().trace(Some(directory.join("%r/trace.json")));
    if rank_by_launcher()? == 1 {
        println!(
            "rank 1 refuses: {}",
            expect_error(Runtime::init_with(&config), ErrorKind::InvalidArgument)
        );
        return Err(Failure("as it should".to_owned()));
    }
    let runtime = Runtime::init_with(&config)?;
    runtime.world()?;
    Ok(())
}
