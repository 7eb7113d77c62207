//! The examples, run as a user runs them: their results for several numbers of ranks, and that bad
//! input ends them with status 1 and one line that names the file and the reason.

use std::path::Path;

use tempfile::TempDir;

#[path = "examples/arrays.rs"]
mod arrays;
#[path = "examples/job.rs"]
mod job;
#[cfg(feature = "mpi")]
#[allow(dead_code, reason = "the command uses more of it")]
#[path = "../src/bin/warpcomm/launcher.rs"]
mod launcher;
#[path = "examples/npy.rs"]
mod npy;

use arrays::{Real, check_product, load, raw, save, save_fortran, write_problem};
use job::{run, run_threads};

const RANKS: [usize; 5] = [1, 2, 3, 5, 7];

/// A directory for one test and the files in it.
struct Files(TempDir);

impl Files {
    fn new() -> Files {
        Files(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self, name: &str) -> String {
        self.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        std::fs::write(self.path().join(name), bytes).unwrap();
        self.file(name)
    }
}

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

#[test]
fn pingpong_measures_every_size() {
    for ranks in [1, 2, 3] {
        let stdout = run("pingpong", ranks, &[]).success();
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
                .all(|row| row.len() == 4 && row[1] >= 1.0 && row[3] > 0.0),
            "{stdout}"
        );
    }
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
    let files = Files::new();
    write_problem::<T>(files.path(), rows, columns);
    let [matrix, vector, out] = ["A.npy", "x.npy", "y.npy"].map(|name| files.file(name));
    let mut first = None;
    for ranks in RANKS {
        let arguments = ["--matrix", &matrix, "--vector", &vector, "--out", &out];
        let summary = run("matvec", ranks, &arguments).success();
        assert_eq!(summary.lines().count(), 1, "{summary}");
        for part in [
            &format!("{rows}x{columns}"),
            &format!("ranks {ranks},"),
            "place host",
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
        let sum = |file| run("sum", ranks, &["--vector", file]).success();
        assert_eq!(sum(&f32s), "sum = 8386560\n");
        assert_eq!(sum(&f64s), "sum = 1.25\n");
        assert_eq!(sum(&i32s), "sum = 8589934588\n");
        assert_eq!(sum(&i64s), "sum = 1152921504606846977\n");
        assert_eq!(sum(&none), "sum = 0\n");
    }
}

#[test]
fn matvec_refuses_bad_matrices() {
    let files = Files::new();
    let numbers = [0_u8; 6 * 8];
    let vector = files.file("x.npy");
    save(Path::new(&vector), &[3], &[1.0; 3]);
    let file = |name: &str, bytes: &[u8]| files.write(name, bytes);
    let fortran = files.file("fortran.npy");
    save_fortran(Path::new(&fortran), &[2, 3], &[1.0; 6]);
    let two_by_three = |descr, shape| raw(1, descr, "False", shape, &numbers);
    let good = two_by_three("'<f8'", "(2, 3)");

    for (matrix, reason) in [
        (files.file("missing.npy"), "No such file"),
        (files.path().display().to_string(), "not a regular file"),
        (file("empty.npy", &[]), "ends within the header"),
        (file("other.npy", b"PK\x03\x04 something else"), "not a .npy file"),
        (file("cut-header.npy", &good[..40]), "ends within the header"),
        (file("cut-data.npy", &good[..good.len() - 1]), "truncated"),
        (
            file("syntax.npy", &raw(1, "'<f8'", "False", "(2, 3", &numbers)),
            "malformed",
        ),
        (
            file("negative.npy", &raw(1, "'<f8'", "False", "(-2, 3)", &numbers)),
            "malformed",
        ),
        (
            file("huge.npy", &two_by_three("'<f8'", "(4294967296, 4294967296)")),
            "malformed",
        ),
        (
            file("large.npy", &two_by_three("'<f8'", "(1000000000, 3)")),
            "truncated",
        ),
        (
            file("deep.npy", &raw(1, "'<f8'", "False", &"(".repeat(5000), &numbers)),
            "malformed",
        ),
        (
            file("version.npy", &raw(9, "'<f8'", "False", "(2, 3)", &numbers)),
            "malformed",
        ),
        (file("complex.npy", &two_by_three("'<c16'", "(1, 3)")), "<c16"),
        (file("integers.npy", &two_by_three("'<i8'", "(2, 3)")), "i64"),
        (file("half.npy", &two_by_three("'<f2'", "(2, 3)")), "<f2"),
        (
            file("big-endian.npy", &two_by_three("'>f8'", "(2, 3)")),
            "byte order",
        ),
        (
            file("structure.npy", &two_by_three("[('a', '<f8')]", "(2, 3)")),
            "structures",
        ),
        (file("objects.npy", &two_by_three("'|O'", "(2, 3)")), "|O"),
        (fortran, "Fortran order"),
        (file("one.npy", &two_by_three("'<f8'", "(6,)")), "1 dimensions"),
        (
            file("three.npy", &two_by_three("'<f8'", "(1, 2, 3)")),
            "3 dimensions",
        ),
    ] {
        for ranks in [1, 3] {
            let outcome = run("matvec", ranks, &["--matrix", &matrix, "--vector", &vector]);
            outcome.failure("matvec", &[&matrix, reason]);
        }
    }
}

#[test]
fn matvec_refuses_bad_vectors() {
    let files = Files::new();
    let matrix = files.file("A.npy");
    save(Path::new(&matrix), &[2, 3], &[1.0; 6]);
    let vector = files.file("x.npy");
    let vector = Path::new(&vector);
    let refused = |parts: &[&str]| {
        for ranks in [1, 3] {
            let outcome = run(
                "matvec",
                ranks,
                &["--matrix", &matrix, "--vector", vector.to_str().unwrap()],
            );
            outcome.failure("matvec", &[&["x.npy"], parts].concat());
        }
    };
    refused(&["No such file"]);
    save(vector, &[4], &[1.0; 4]);
    refused(&["4 elements", "2x3", "needs 3"]);
    save(vector, &[3, 1], &[1.0; 3]);
    refused(&["2 dimensions"]);
    save(vector, &[3], &[1.0_f32; 3]);
    refused(&["f32", "f64"]);
}

#[test]
fn matvec_refuses_an_out_that_cannot_be_written() {
    let files = Files::new();
    let out = files.file("missing/y.npy");
    for ranks in [1, 3] {
        run("matvec", ranks, &["--out", &out]).failure("matvec", &[&out, "No such file"]);
    }
    // The open succeeds, and only the last flush fails.
    run("matvec", 3, &["--out", "/dev/full"]).failure("matvec", &["/dev/full", "No space left"]);
}

#[test]
fn sum_refuses_bad_vectors() {
    let files = Files::new();
    let numbers = [0_u8; 48];
    for (vector, reason) in [
        (files.file("missing.npy"), "No such file"),
        (files.write("empty.npy", &[]), "ends within the header"),
        (
            files.write("cut.npy", &raw(1, "'<f8'", "False", "(7,)", &numbers)),
            "truncated",
        ),
        (
            files.write("complex.npy", &raw(1, "'<c8'", "False", "(6,)", &numbers)),
            "<c8",
        ),
        (
            files.write("big-endian.npy", &raw(1, "'>i4'", "False", "(6,)", &numbers)),
            "byte order",
        ),
        (
            files.write("two.npy", &raw(1, "'<f8'", "False", "(2, 3)", &numbers)),
            "2 dimensions",
        ),
        (
            files.write("none.npy", &raw(1, "'<f8'", "False", "()", &numbers)),
            "0 dimensions",
        ),
    ] {
        for ranks in [1, 3] {
            run("sum", ranks, &["--vector", &vector]).failure("sum", &[&vector, reason]);
        }
    }
}

#[test]
fn device_buffers_are_unsupported() {
    for example in ["pingpong", "matvec", "sum"] {
        for ranks in [1, 3] {
            let outcome = run(example, ranks, &["--place", "device"]);
            outcome.failure(example, &["--place device", "not supported"]);
        }
    }
}

#[test]
fn bad_options_are_one_line_too() {
    for ranks in [1, 3] {
        run("sum", ranks, &["--place", "moon"]).failure("sum", &["--place", "moon"]);
        run("matvec", ranks, &["--matrix", "A.npy"]).failure("matvec", &["--vector"]);
        run("hello", ranks, &["--loud"]).failure("hello", &["--loud"]);
    }
    run_threads("hello", 0, &[]).failure("hello", &["0"]);
}

#[test]
fn help_is_no_failure_and_printed_once() {
    let stdout = run("matvec", 3, &["--help"]).success();
    assert_eq!(stdout.matches("--matrix").count(), 1, "{stdout}");
}

/// A rank that cannot read its file must not leave the others waiting.
#[cfg(feature = "mpi")]
#[test]
fn a_file_that_one_rank_lacks_stops_all() {
    let files = Files::new();
    let directories: Vec<_> = (0..3).map(|rank| files.path().join(rank.to_string())).collect();
    for (rank, directory) in directories.iter().enumerate() {
        std::fs::create_dir(directory).unwrap();
        save(&directory.join("A.npy"), &[4, 3], &[1.0; 12]);
        if rank != 2 {
            save(&directory.join("x.npy"), &[3], &[1.0; 3]);
        }
    }
    let run = || {
        job::run_in(
            "matvec",
            &directories,
            &["--matrix", "A.npy", "--vector", "x.npy"],
        )
    };
    run().failure("matvec", &["x.npy", "No such file", "(on rank 2)"]);
    save(&directories[2].join("x.npy"), &[3], &[1.0; 3]);
    run().success();
    save(&directories[1].join("A.npy"), &[5, 3], &[1.0; 15]);
    run().failure(
        "matvec",
        &["the matrix is not the one that rank 0 has", "(on rank 1)"],
    );
}
