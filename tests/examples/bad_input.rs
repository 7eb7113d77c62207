//! Bad input ends an example with status 1 and one line that names the file and the reason, on every
//! number of ranks.

use std::path::Path;

use crate::arrays::{Files, raw, save, save_fortran};
use crate::job::{run, run_alone};

/// Checks what an example prints on one rank and on three.
fn refused(example: &str, arguments: &[&str], parts: &[&str]) {
    run_alone(example, arguments).failure(example, parts);
    run(example, 3, arguments).failure(example, parts);
}

/// Matrices to multiply by a vector of three elements.
struct Matrices {
    files: Files,
    vector: String,
}

impl Matrices {
    fn new() -> Matrices {
        let files = Files::new();
        let vector = files.file("x.npy");
        save(Path::new(&vector), &[3], &[1.0; 3]);
        Matrices { files, vector }
    }

    fn refused(&self, matrix: &str, reason: &str) {
        let arguments = ["--matrix", matrix, "--vector", &self.vector];
        refused("matvec", &arguments, &[matrix, reason]);
    }

    /// Checks a file of these bytes.
    fn refused_bytes(&self, bytes: &[u8], reason: &str) {
        self.refused(&self.files.write("A.npy", bytes), reason);
    }
}

/// A file in C order with data for six elements of 8 bytes.
fn array(descr: &str, shape: &str) -> Vec<u8> {
    raw(1, descr, "False", shape, &[0; 48])
}

#[test]
fn matrices_that_cannot_be_read() {
    let matrices = Matrices::new();
    matrices.refused(&matrices.files.file("missing.npy"), "No such file");
    matrices.refused(&matrices.files.path().display().to_string(), "not a regular file");
    let good = array("'<f8'", "(2, 3)");
    for (bytes, reason) in [
        (&[][..], "ends within the header"),
        (&good[..40], "ends within the header"),
        (&good[..good.len() - 1], "truncated"),
        (b"PK\x03\x04 something else", "not a .npy file"),
        (&array("'<f8'", "(2, 3"), "malformed"),
        (&array("'<f8'", "(-2, 3)"), "malformed"),
        (&array("'<f8'", "(4294967296, 4294967296)"), "malformed"),
        (&array("'<f8'", "(1000000000, 3)"), "truncated"),
        (&array("'<f8'", &"(".repeat(5000)), "malformed"),
        (&raw(9, "'<f8'", "False", "(2, 3)", &[0; 48]), "malformed"),
    ] {
        matrices.refused_bytes(bytes, reason);
    }
}

#[test]
fn matrices_of_the_wrong_kind() {
    let matrices = Matrices::new();
    for (descr, shape, reason) in [
        ("'<c16'", "(1, 3)", "<c16"),
        ("'<i8'", "(2, 3)", "i64"),
        ("'<f2'", "(2, 3)", "<f2"),
        ("'>f8'", "(2, 3)", "byte order"),
        ("[('a', '<f8')]", "(2, 3)", "structures"),
        ("'|O'", "(2, 3)", "|O"),
        ("'<f8'", "(6,)", "1 dimensions"),
        ("'<f8'", "(1, 2, 3)", "3 dimensions"),
    ] {
        matrices.refused_bytes(&array(descr, shape), reason);
    }
    let fortran = matrices.files.file("fortran.npy");
    save_fortran(Path::new(&fortran), &[2, 3], &[1.0; 6]);
    matrices.refused(&fortran, "Fortran order");
}

#[test]
fn vectors_that_do_not_fit_the_matrix() {
    let files = Files::new();
    let matrix = files.file("A.npy");
    save(Path::new(&matrix), &[2, 3], &[1.0; 6]);
    let name = files.file("x.npy");
    let vector = Path::new(&name);
    let refused = |parts: &[&str]| {
        let arguments = ["--matrix", &matrix, "--vector", &name];
        refused("matvec", &arguments, &[&["x.npy"], parts].concat());
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
fn an_out_that_cannot_be_written() {
    let files = Files::new();
    let out = files.file("missing/y.npy");
    refused("matvec", &["--out", &out], &[&out, "No such file"]);
    // It can be opened; what fails is the last write.
    refused("matvec", &["--out", "/dev/full"], &["/dev/full", "No space left"]);
}

#[test]
fn vectors_that_cannot_be_summed() {
    let files = Files::new();
    let missing = files.file("missing.npy");
    refused("sum", &["--vector", &missing], &[&missing, "No such file"]);
    for (bytes, reason) in [
        (&[][..], "ends within the header"),
        (&array("'<f8'", "(7,)"), "truncated"),
        (&array("'<c8'", "(6,)"), "<c8"),
        (&array("'>i4'", "(6,)"), "byte order"),
        (&array("'<f8'", "(2, 3)"), "2 dimensions"),
        (&array("'<f8'", "()"), "0 dimensions"),
    ] {
        let vector = files.write("x.npy", bytes);
        refused("sum", &["--vector", &vector], &[&vector, reason]);
    }
}

#[test]
fn device_buffers_are_unsupported() {
    // Where there is a GPU they are supported.
    if warpcomm::Place::Device.check().is_ok() {
        return;
    }
    for example in ["pingpong", "matvec", "sum"] {
        refused(
            example,
            &["--place", "device"],
            &["--place device", "not supported"],
        );
    }
}

#[test]
fn options_that_do_not_exist() {
    refused("sum", &["--place", "moon"], &["--place", "moon"]);
    refused("matvec", &["--matrix", "A.npy"], &["--vector"]);
    refused("hello", &["--loud"], &["--loud"]);
    run_alone("hello", &["--ranks", "0"]).failure("hello", &["--ranks", "0"]);
}

/// A rank that cannot read its file must not leave the others waiting.
#[cfg(feature = "mpi")]
#[test]
fn a_file_that_one_rank_lacks() {
    let files = Files::new();
    let directories: Vec<_> = (0..3).map(|rank| files.path().join(rank.to_string())).collect();
    for (rank, directory) in directories.iter().enumerate() {
        std::fs::create_dir(directory).unwrap();
        save(&directory.join("A.npy"), &[4, 3], &[1.0; 12]);
        if rank != 2 {
            save(&directory.join("x.npy"), &[3], &[1.0; 3]);
        }
    }
    let arguments = ["--matrix", "A.npy", "--vector", "x.npy"];
    let run = || crate::job::run_in("matvec", &directories, &arguments);
    run().failure("matvec", &["x.npy", "No such file", "(on rank 2)"]);
    save(&directories[2].join("x.npy"), &[3], &[1.0; 3]);
    run().success();
    save(&directories[1].join("A.npy"), &[5, 3], &[1.0; 15]);
    let reason = "the matrix is not the one that rank 0 has";
    run().failure("matvec", &[reason, "(on rank 1)"]);
}
