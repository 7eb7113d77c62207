//! The programs of the tutorials of mpi4py: what they print, in host memory and, by `device.rs`, on GPUs.

use crate::job::{Outcome, run, run_threads};

/// A program, and the lines that it prints on so many ranks.
pub struct Program(&'static str, fn(usize) -> Vec<String>);

pub const ALL: [Program; 6] = [
    Program("array", array),
    Program("larger_buffer", larger_buffer),
    Program("nonblocking", nonblocking),
    Program("bcast", bcast),
    Program("scatterv", scatterv),
    Program("alltoall", alltoall),
];

impl Program {
    /// Checks what the program prints.
    pub fn check(&self, place: &str, run: fn(&str, usize, &[&str]) -> Outcome, ranks: usize) {
        let Program(name, lines) = self;
        let printed = run(name, ranks, &["--place", place]).success();
        let expected: String = lines(ranks).iter().map(|line| format!("{line}\n")).collect();
        assert_eq!(printed, expected, "{name} on {ranks} ranks");
    }
}

/// What rank 0 says, and what each other rank does.
fn first_and_others(ranks: usize, first: String, other: impl Fn(usize) -> String) -> Vec<String> {
    std::iter::once(first).chain((1..ranks).map(other)).collect()
}

fn array(ranks: usize) -> Vec<String> {
    [("i32", 77, "0, 1, ..., 99"), ("f64", 13, "0.0, 1.0, ..., 99.0")]
        .into_iter()
        .flat_map(|(dtype, tag, values)| {
            let message = format!("100 elements of type {dtype} with tag {tag}");
            first_and_others(ranks, format!("rank 0 sends {message}"), |rank| {
                format!("rank {rank} received {message}: {values}")
            })
        })
        .collect()
}

fn larger_buffer(ranks: usize) -> Vec<String> {
    first_and_others(ranks, "rank 0 sends [0.0, 1.0, 2.0, 3.0]".to_owned(), |rank| {
        format!("rank {rank} received 4 elements from rank 0: [0.0, 1.0, 2.0, 3.0, -1.0, -1.0]")
    })
}

fn nonblocking(ranks: usize) -> Vec<String> {
    first_and_others(ranks, "rank 0 sends [0.0, 1.0, 2.0, 3.0]".to_owned(), |rank| {
        format!("rank {rank} received [0.0, 1.0, 2.0, 3.0] with tag {rank}")
    })
}

fn bcast(ranks: usize) -> Vec<String> {
    let line = |rank| format!("rank {rank} has 0, 1, ..., 99");
    (0..ranks).map(line).collect()
}

fn scatterv(ranks: usize) -> Vec<String> {
    let blocks: &[(&str, &str)] = match ranks {
        1 => &[(
            "0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0",
            "105.0",
        )],
        2 => &[
            ("0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0", "28.0"),
            ("8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0", "77.0"),
        ],
        3 => &[
            ("0.0, 1.0, 2.0, 3.0, 4.0", "10.0"),
            ("5.0, 6.0, 7.0, 8.0, 9.0", "35.0"),
            ("10.0, 11.0, 12.0, 13.0, 14.0", "60.0"),
        ],
        4 => &[
            ("0.0, 1.0, 2.0, 3.0", "6.0"),
            ("4.0, 5.0, 6.0, 7.0", "22.0"),
            ("8.0, 9.0, 10.0, 11.0", "38.0"),
            ("12.0, 13.0, 14.0", "39.0"),
        ],
        5 => &[
            ("0.0, 1.0, 2.0", "3.0"),
            ("3.0, 4.0, 5.0", "12.0"),
            ("6.0, 7.0, 8.0", "21.0"),
            ("9.0, 10.0, 11.0", "30.0"),
            ("12.0, 13.0, 14.0", "39.0"),
        ],
        6 => &[
            ("0.0, 1.0, 2.0", "3.0"),
            ("3.0, 4.0, 5.0", "12.0"),
            ("6.0, 7.0, 8.0", "21.0"),
            ("9.0, 10.0", "19.0"),
            ("11.0, 12.0", "23.0"),
            ("13.0, 14.0", "27.0"),
        ],
        _ => &[
            ("0.0, 1.0, 2.0", "3.0"),
            ("3.0, 4.0", "7.0"),
            ("5.0, 6.0", "11.0"),
            ("7.0, 8.0", "15.0"),
            ("9.0, 10.0", "19.0"),
            ("11.0, 12.0", "23.0"),
            ("13.0, 14.0", "27.0"),
        ],
    };
    let all: Vec<&str> = blocks.iter().map(|(block, _)| *block).collect();
    let mut lines = Vec::new();
    for (rank, (block, sum)) in blocks.iter().enumerate() {
        lines.push(format!(
            "after scatterv rank {rank} has [{block}], their sum is {sum}"
        ));
    }
    lines.push(format!("after gatherv rank 0 has [{}]", all.join(", ")));
    lines.push("after reduce rank 0 has 105.0".to_owned());
    lines
}

fn alltoall(ranks: usize) -> Vec<String> {
    let multiples = |factor: usize| (0..ranks).map(|number| factor * number).collect::<Vec<_>>();
    let line = |rank: usize| {
        let received: Vec<usize> = (0..ranks).map(|source| (source + 1) * rank).collect();
        format!(
            "rank {rank} sends {:?} and receives {received:?}",
            multiples(rank + 1)
        )
    };
    (0..ranks).map(line).collect()
}

#[test]
fn the_programs_of_the_tutorials() {
    for program in ALL {
        for ranks in 1..=7 {
            program.check("host", run_threads, ranks);
        }
        for ranks in [1, 4, 7] {
            program.check("host", run, ranks);
        }
    }
}
