//! The examples, run as a user runs them: what they print and compute for several numbers of ranks.

use std::path::Path;

#[path = "examples/arrays.rs"]
mod arrays;
#[path = "examples/bad_input.rs"]
mod bad_input;
#[cfg(all(feature = "mpi", feature = "cli", feature = "cuda"))]
#[path = "examples/device.rs"]
mod device;
#[path = "examples/heat2d.rs"]
mod heat2d;
#[path = "examples/job.rs"]
mod job;
#[cfg(feature = "mpi")]
#[allow(dead_code, reason = "the command uses more of it")]
#[path = "../src/bin/warpcomm/launcher.rs"]
mod launcher;
#[cfg(feature = "pool")]
#[path = "examples/mandelbrot.rs"]
mod mandelbrot;
#[path = "examples/npy_files.rs"]
mod npy_files;
#[cfg(feature = "pool")]
#[path = "examples/parameter_scan.rs"]
mod parameter_scan;
#[cfg(feature = "pool")]
#[path = "examples/pool_map.rs"]
mod pool_map;
#[path = "examples/tutorial.rs"]
mod tutorial;

use arrays::{Files, Real, check_product, load, save, write_problem};
use job::{Outcome, run, run_threads};

const RANKS: [usize; 4] = [1, 2, 3, 7];

#[test]
fn hello_names_every_rank_in_order() {
    for ranks in [1, 3] {
        let stdout = run("hello", ranks, &[]).success();
        let lines: Vec<&str> = stdout.lines().collect();
        assert_eq!(lines.len(), ranks, "{stdout}");
        for (rank, line) in lines.iter().enumerate() {
            let host = line.strip_prefix(&format!("hello from rank {rank} of {ranks} on "));
            assert!(host.is_some_and(|host| !host.is_empty()), "{stdout}");
        }
    }
}

#[cfg(feature = "serde")]
#[test]
fn dictionary_prints_what_the_tutorial_sends() {
    for ranks in [1, 2, 3] {
        let receiver = 1 % ranks;
        let mut expected = vec![
            format!("send, recv: rank {receiver} has {{'a': 7, 'b': 3.14}}"),
            format!("isend, irecv: rank {receiver} has {{'a': 7, 'b': 3.14}}"),
        ];
        expected.extend((0..ranks).map(|rank| {
            format!("bcast: rank {rank} has {{'key1': [7, 2.72, (2+3j)], 'key2': ('abc', 'xyz')}}")
        }));
        let stdout = run("dictionary", ranks, &[]).success();
        assert_eq!(stdout.lines().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn pingpong_measures_every_size() {
    for ranks in [1, 2, 3] {
        check_table(&run("pingpong", ranks, &[]).success());
    }
}

/// Checks that the table has a row for every size.
fn check_table(stdout: &str) {
    let rows: Vec<Vec<f64>> = stdout
        .lines()
        .skip(2)
        .map(|line| {
            line.split_whitespace()
                .map(|word| word.parse().unwrap())
                .collect()
        })
        .collect();
    let sizes: Vec<f64> = rows.iter().map(|row| row[0]).collect();
    let expected: Vec<f64> = (0..=24).map(|power| f64::from(1 << power)).collect();
    assert_eq!(sizes, expected, "{stdout}");
    assert!(
        rows.iter()
            .all(|row| row.len() == 4 && row[1] >= 1.0 && row[2] > 0.0),
        "{stdout}"
    );
}

#[test]
fn matvec_1000_by_777() {
    matvec_for_all_ranks::<f64>(1000, 777);
}

#[test]
fn matvec_with_fewer_rows_than_ranks() {
    matvec_for_all_ranks::<f64>(5, 3);
}

#[test]
fn matvec_of_f32() {
    matvec_for_all_ranks::<f32>(129, 1000);
}

#[test]
fn matvec_of_one_element() {
    matvec_for_all_ranks::<f64>(1, 1);
}

fn matvec_for_all_ranks<T: Real>(rows: usize, columns: usize) {
    matvec_at::<T>("host", run, rows, columns);
}

/// Multiplies at a place, on ranks that `run` starts.
fn matvec_at<T: Real>(place: &str, run: fn(&str, usize, &[&str]) -> Outcome, rows: usize, columns: usize) {
    let files = Files::new();
    write_problem::<T>(files.path(), rows, columns);
    let [matrix, vector, out] = ["A.npy", "x.npy", "y.npy"].map(|name| files.file(name));
    let mut first = None;
    for ranks in RANKS {
        let arguments = [
            "--matrix", &matrix, "--vector", &vector, "--out", &out, "--place", place,
        ];
        let summary = run("matvec", ranks, &arguments).success();
        assert_eq!(summary.lines().count(), 1, "{summary}");
        for part in [
            &format!("{rows}x{columns}"),
            &format!("ranks {ranks},"),
            &format!("place {place}"),
            " s, ",
        ] {
            assert!(summary.contains(part), "{summary:?} does not say {part:?}");
        }
        check_product::<T>(files.path());
        let bytes = std::fs::read(&out).unwrap();
        assert!(
            *first.get_or_insert_with(|| bytes.clone()) == bytes,
            "the bits differ on {ranks} ranks"
        );
        std::fs::remove_file(&out).unwrap();
    }
}

#[test]
fn matvec_makes_the_same_data_on_any_number_of_ranks() {
    let files = Files::new();
    let out = files.file("y.npy");
    let mut results = Vec::new();
    for ranks in [1, 3] {
        let summary = run("matvec", ranks, &["--out", &out]).success();
        assert!(summary.contains("1000x777 f64 made from seed "), "{summary}");
        results.push(load::<f64>(Path::new(&out)));
    }
    results.push({
        run_threads("matvec", 4, &["--out", &out]).success();
        load::<f64>(Path::new(&out))
    });
    assert_eq!(results[0].0, [1000]);
    assert!(results.iter().all(|result| *result == results[0]));
}

#[test]
fn matvec_of_nothing() {
    for (rows, columns) in [(0, 5), (5, 0), (0, 0)] {
        let files = Files::new();
        let [matrix, vector, out] = ["A.npy", "x.npy", "y.npy"].map(|name| files.file(name));
        save::<f64>(Path::new(&matrix), &[rows, columns], &[]);
        save(Path::new(&vector), &[columns], &vec![1.5; columns as usize]);
        for ranks in [1, 3] {
            run(
                "matvec",
                ranks,
                &["--matrix", &matrix, "--vector", &vector, "--out", &out],
            )
            .success();
            assert_eq!(
                load::<f64>(Path::new(&out)),
                (vec![rows], vec![0.0; rows as usize])
            );
        }
    }
}

#[test]
fn sum_keeps_the_remainder() {
    for ranks in RANKS {
        assert_eq!(run("sum", ranks, &[]).success(), "sum = 8386560\n");
    }
}

#[test]
fn sum_of_files_of_each_type() {
    sum_of_each_type(|ranks, file| run("sum", ranks, &["--vector", file]));
}

fn sum_of_each_type(run: impl Fn(usize, &str) -> Outcome) {
    let files = Files::new();
    let [f32s, f64s, i32s, i64s, none] = ["f32", "f64", "i32", "i64", "none"].map(|name| files.file(name));
    save(
        Path::new(&f32s),
        &[4096],
        &(0..4096).map(|number| number as f32).collect::<Vec<_>>(),
    );
    save(Path::new(&f64s), &[3], &[0.25, -1.0, 2.0]);
    save(Path::new(&i32s), &[4], &[i32::MAX; 4]);
    save(Path::new(&i64s), &[5], &[1_i64 << 60, 3, -5, 2, 1]);
    save::<f64>(Path::new(&none), &[0], &[]);
    for ranks in [1, 3] {
        let sum = |file| run(ranks, file).success().lines().last().unwrap().to_owned();
        assert_eq!(sum(&f32s), "sum = 8386560");
        assert_eq!(sum(&f64s), "sum = 1.25");
        assert_eq!(sum(&i32s), "sum = 8589934588");
        assert_eq!(sum(&i64s), "sum = 1152921504606846977");
        assert_eq!(sum(&none), "sum = 0");
    }
}

#[test]
fn help_is_no_failure_and_printed_once() {
    let stdout = run("matvec", 3, &["--help"]).success();
    assert_eq!(stdout.matches("--matrix").count(), 1, "{stdout}");
}
