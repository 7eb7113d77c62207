//! The module that reads parts of `.npy` files, on its own.

use std::path::Path;

use proptest::prelude::*;
use warpcomm::Dtype;

use crate::arrays::{raw, save};

#[allow(dead_code, reason = "the examples use more of it")]
#[path = "../../examples/shared/npy.rs"]
mod npy;

use npy::Array;

const ALL: [Dtype; 4] = [Dtype::F32, Dtype::F64, Dtype::I32, Dtype::I64];

#[test]
fn reads_any_part() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.npy");
    let values: Vec<f64> = (0..12).map(f64::from).collect();
    save(&path, &[4, 3], &values);
    let mut array = Array::open(&path, &ALL).unwrap();
    assert_eq!((array.dtype(), array.shape()), (Dtype::F64, &[4, 3][..]));
    for (first, last) in [(9, 12), (0, 12), (3, 6), (12, 12), (0, 0)] {
        assert_eq!(array.read::<f64>(first..last).unwrap(), values[first..last]);
    }
}

#[test]
fn reads_every_version_of_the_header() {
    let data: Vec<u8> = (1..=6_i32).flat_map(i32::to_ne_bytes).collect();
    for version in [1, 2, 3] {
        let mut array = open(&raw(version, "'<i4'", "False", "(6,)", &data)).unwrap();
        assert_eq!(array.read::<i32>(2..5).unwrap(), [3, 4, 5], "version {version}");
    }
}

#[test]
fn ignores_what_follows_the_array() {
    let mut array = open(&raw(1, "'<f4'", "False", "(1,)", &[0, 0, 128, 63, 255])).unwrap();
    assert_eq!(array.read::<f32>(0..1).unwrap(), [1.0]);
}

#[test]
fn order_means_nothing_in_one_dimension() {
    assert!(open(&raw(1, "'<f4'", "True", "(2,)", &[0; 8])).is_ok());
    assert!(open(&raw(1, "'<f4'", "True", "(2, 1)", &[0; 8])).is_err());
}

#[test]
fn a_named_pipe_is_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipe.npy");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    let error = Array::open(&path, &ALL).err().unwrap();
    assert!(error.ends_with("pipe.npy: not a regular file"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a header says, opening it ends in an array or in an error of one line.
    #[test]
    fn survives_any_header(
        version in 0_u8..5,
        descr in r#"'[<>|=a-zA-Z]{0,2}[0-9]{0,20}'|"[a-z<'\\]{0,8}"|(\[|\(|\{){0,30}|[ -~\n]{0,30}"#,
        order in "True|False|[a-z0-9]{0,5}",
        shape in r"\(([0-9]{0,21}L?, ?){0,4}\)|\((\([0-9+*-]{1,9}\),){0,40}\)|[ -~\n]{0,30}",
    ) {
        check(&raw(version, &descr, &order, &shape, &[0; 64]));
    }

    /// Nor do damaged files end in anything else.
    #[test]
    fn survives_damage(damage in prop::collection::vec((0_usize..192, any::<u8>()), 0..6), length in 0_usize..192) {
        let mut bytes = raw(1, "'<f8'", "False", "(2, 3)", &[0; 48]);
        for (position, byte) in damage {
            let position = position % bytes.len();
            bytes[position] = byte;
        }
        bytes.truncate(length);
        check(&bytes);
    }
}

fn check(bytes: &[u8]) {
    match open(bytes) {
        Ok(array) => {
            let elements: usize = array.shape().iter().product();
            assert!(elements * array.dtype().size() <= bytes.len());
        }
        Err(error) => assert_eq!(error.lines().count(), 1, "{error:?}"),
    }
}

fn open(bytes: &[u8]) -> Result<Array, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.npy");
    std::fs::write(&path, bytes).unwrap();
    Array::open(Path::new(&path), &ALL)
}
