//! Input for the examples, and what they should make of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use npyz::WriterBuilder;
use tempfile::TempDir;

/// A directory for one test and the files in it.
pub struct Files(TempDir);

impl Files {
    /// A new directory, which goes with the value.
    pub fn new() -> Files {
        Files(tempfile::tempdir().unwrap())
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The path of a file in it, as text.
    pub fn file(&self, name: &str) -> String {
        self.path().join(name).display().to_string()
    }

    /// Writes a file in it and returns its path.
    pub fn write(&self, name: &str, bytes: &[u8]) -> String {
        std::fs::write(self.path().join(name), bytes).unwrap();
        self.file(name)
    }
}

/// An element of a matrix, with what its product may be off by.
pub trait Real: npyz::AutoSerialize + npyz::Deserialize + Copy + Into<f64> + PartialEq {
    /// The name that NumPy has for it.
    const NUMPY: &'static str;
    /// The error that is allowed in a scalar product, as a part of the sum of the magnitudes.
    const TOLERANCE: f64;
    /// The nearest number of this type.
    fn nearest(value: f64) -> Self;
}

impl Real for f32 {
    const NUMPY: &'static str = "float32";
    const TOLERANCE: f64 = 1e-5;

    fn nearest(value: f64) -> f32 {
        value as f32
    }
}

impl Real for f64 {
    const NUMPY: &'static str = "float64";
    const TOLERANCE: f64 = 1e-12;

    fn nearest(value: f64) -> f64 {
        value
    }
}

/// Writes `values` in C order.
pub fn save<T: npyz::AutoSerialize>(path: &Path, shape: &[u64], values: &[T]) {
    save_in(npyz::Order::C, path, shape, values);
}

/// Writes `values` in Fortran order.
pub fn save_fortran<T: npyz::AutoSerialize>(path: &Path, shape: &[u64], values: &[T]) {
    save_in(npyz::Order::Fortran, path, shape, values);
}

fn save_in<T: npyz::AutoSerialize>(order: npyz::Order, path: &Path, shape: &[u64], values: &[T]) {
    let file = std::fs::File::create(path).unwrap();
    let options = npyz::WriteOptions::new()
        .default_dtype()
        .order(order)
        .shape(shape);
    let mut writer = options.writer(file).begin_nd().unwrap();
    writer.extend(values).unwrap();
    writer.finish().unwrap();
}

/// The bytes of a file of any version, header and data.
pub fn raw(version: u8, descr: &str, order: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let mut text = format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}");
    let preamble = if version == 1 { 10 } else { 12 };
    while (preamble + text.len() + 1) % 64 != 0 {
        text.push(' ');
    }
    text.push('\n');
    let mut bytes = vec![b'\x93', b'N', b'U', b'M', b'P', b'Y', version, 0];
    let length = (text.len() as u32).to_le_bytes();
    bytes.extend_from_slice(if version == 1 { &length[..2] } else { &length });
    bytes.extend_from_slice(text.as_bytes());
    bytes.extend_from_slice(data);
    bytes
}

/// Reads all elements of an array, and its shape.
pub fn load<T: npyz::Deserialize>(path: &Path) -> (Vec<u64>, Vec<T>) {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = npyz::NpyFile::new(&bytes[..]).unwrap();
    (file.shape().to_vec(), file.into_vec().unwrap())
}

/// Writes A.npy and x.npy, by NumPy where it is installed.
pub fn write_problem<T: Real>(directory: &Path, rows: usize, columns: usize) {
    if let Some(python) = numpy() {
        let directory = directory.to_str().unwrap();
        compare(
            &python,
            &[
                "write",
                directory,
                &rows.to_string(),
                &columns.to_string(),
                T::NUMPY,
            ],
        );
        return;
    }
    let matrix: Vec<T> = (0..rows * columns).map(number).collect();
    let vector: Vec<T> = (0..columns).map(|index| number(index + 1_000_003)).collect();
    save(&directory.join("A.npy"), &[rows as u64, columns as u64], &matrix);
    save(&directory.join("x.npy"), &[columns as u64], &vector);
}

/// Numbers of either sign, far from regular.
fn number<T: Real>(index: usize) -> T {
    T::nearest((index as f64 * 0.754_877_666_246_692_7).fract() * 3.0 - 1.4)
}

/// Checks that y.npy is the product of A.npy and x.npy: against a sum in twice the precision, and
/// against NumPy where it is installed.
pub fn check_product<T: Real>(directory: &Path) {
    let (shape, matrix) = load::<T>(&directory.join("A.npy"));
    let (_, x) = load::<T>(&directory.join("x.npy"));
    let (found, y) = load::<T>(&directory.join("y.npy"));
    assert_eq!(found, [shape[0]]);
    for (index, &element) in y.iter().enumerate() {
        let row = &matrix[index * x.len()..(index + 1) * x.len()];
        let (expected, magnitude) = product(row, &x);
        let difference = (element.into() - expected).abs();
        assert!(
            difference <= T::TOLERANCE * magnitude,
            "row {index} is off by {difference:e}, and |A||x| is {magnitude:e}"
        );
    }
    if let Some(python) = numpy() {
        let files = ["A.npy", "x.npy", "y.npy"].map(|name| directory.join(name).display().to_string());
        compare(&python, &["matvec", &files[0], &files[1], &files[2]]);
    }
}

/// The scalar product as if computed in twice the precision, and the sum of the magnitudes.
/// (T. Ogita, S. M. Rump, S. Oishi: Accurate sum and dot product, 2005, algorithm Dot2.)
fn product<T: Real>(a: &[T], b: &[T]) -> (f64, f64) {
    let (mut sum, mut error, mut magnitude) = (0.0_f64, 0.0_f64, 0.0_f64);
    for (&a, &b) in a.iter().zip(b) {
        let (a, b): (f64, f64) = (a.into(), b.into());
        let term = a * b;
        let term_error = a.mul_add(b, -term);
        let next = sum + term;
        let shared = next - sum;
        error += term_error + ((sum - (next - shared)) + (term - shared));
        sum = next;
        magnitude += term.abs();
    }
    (sum + error, magnitude)
}

/// The Python in which `ci/setup.sh` has installed NumPy.
///
/// Panics where it is missing if `WARPCOMM_TEST_REQUIRE_NUMPY` is 1.
fn numpy() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
    let found = Command::new(&python).args(["-c", "import numpy"]).output();
    let found = found.is_ok_and(|output| output.status.success());
    let required = std::env::var("WARPCOMM_TEST_REQUIRE_NUMPY").is_ok_and(|value| value == "1");
    assert!(
        found || !required,
        "{} has no NumPy; ci/setup.sh installs it",
        python.display()
    );
    found.then_some(python)
}

fn compare(python: &Path, arguments: &[&str]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("ci/compare.py");
    let output = Command::new(python).arg(script).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "compare.py {arguments:?}: {text}");
}
