//! The largest Lyapunov exponent of the Hénon map for each pair of its parameters, with a record to go on from.
//!
//! ```text
//! $ warpcomm run -n 4 parameter_scan --parameters ab.npy --out exponents.npy --record exponents.record
//! ```
//!
//! Each row of `ab.npy` is a task; without a file the parameters are a grid of 8 by 8. Whatever ends the program, the next
//! run takes the results that are in the record from there, and computes the others. Ctrl-C ends it once the tasks that
//! are running are in the record.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use npyz::WriterBuilder;
use warpcomm::Dtype;
use warpcomm::pool::{Function, Master, Pool, Stopped};

#[path = "parameter_scan/henon.rs"]
mod henon;
#[allow(dead_code, reason = "the type is the only one that is accepted")]
#[path = "shared/npy.rs"]
mod npy;
#[path = "shared/ranks.rs"]
mod ranks;
#[path = "parameter_scan/record.rs"]
mod record;

use npy::Array;
use ranks::{Failure, Rank};
use record::Record;

/// The parameters that Hénon chose, and their exponent to three digits (Sprott, "Chaos and Time-Series Analysis", 2003).
const CLASSICAL: [f64; 2] = [1.4, 0.3];
const CLASSICAL_EXPONENT: f64 = 0.419;
/// How far an exponent may be off after so many steps.
const TOLERANCE: f64 = 0.01;
const ENOUGH: u64 = 10_000;

/// Scans parameters of the Hénon map.
#[derive(clap::Args)]
struct Options {
    /// The parameters: rows of a and b, f64.
    #[arg(long, value_name = "AB.npy")]
    parameters: Option<PathBuf>,
    /// The file to write the exponents to.
    #[arg(long, value_name = "EXPONENTS.npy")]
    out: Option<PathBuf>,
    /// The file to record each result in, and to go on from.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// How many steps to follow each orbit.
    #[arg(long, default_value = "20000")]
    steps: NonZeroU64,
}

fn main() -> ExitCode {
    ranks::run("parameter_scan", parameter_scan)
}

fn parameter_scan(rank: &Rank, options: &Options) -> Result<(), Failure> {
    let parameters = rank.agree(match rank.comm.rank() {
        0 => parameters(options),
        _ => Ok(Vec::new()),
    })?;
    let steps = options.steps.get();
    let mut pool = Pool::new(&rank.comm);
    let exponent = pool.function(move |_, ab: [f64; 2]| Ok(henon::exponent(ab, steps)));
    let report = pool.run(|master| scan(master, exponent, options, &parameters))?;
    let report = rank.agree(report.unwrap_or_else(|| Ok(String::new())))?;
    rank.print(&format!(
        "parameter_scan: {report}, ranks {}, path {}",
        rank.comm.size(),
        rank.path
    ))
}

/// The parameters in the file, or a grid that ends with the classical ones.
fn parameters(options: &Options) -> Result<Vec<[f64; 2]>, String> {
    let Some(path) = &options.parameters else {
        let part = |place: usize| (place + 1) as f64 / 8.0;
        let [a, b] = CLASSICAL;
        return Ok((0..64)
            .map(|row| [a * part(row / 8), b * part(row % 8)])
            .collect());
    };
    let mut array = Array::open(path, &[Dtype::F64])?;
    match *array.shape() {
        [rows, 2] => {
            let values = array.read::<f64>(0..2 * rows)?;
            Ok(values.chunks_exact(2).map(|row| [row[0], row[1]]).collect())
        }
        ref shape => Err(array.error(format!(
            "an array of {}; rows of 2 parameters are needed",
            npy::times(shape)
        ))),
    }
}

/// Computes what is not in the record; what there is to say of all.
fn scan(
    master: &Master,
    exponent: Function<[f64; 2], f64>,
    options: &Options,
    parameters: &[[f64; 2]],
) -> Result<String, String> {
    let steps = options.steps.get();
    let bits: Vec<u64> = parameters
        .as_flattened()
        .iter()
        .map(|number| number.to_bits())
        .collect();
    let title = format!(
        "Henon map, {steps} steps, {} parameters {:016x}",
        parameters.len(),
        record::checksum(&bits)
    );
    let (mut record, mut results) = match &options.record {
        None => (None, BTreeMap::new()),
        Some(path) => {
            let (record, results) = Record::open(path, &title, parameters.len())?;
            (Some(record), results)
        }
    };
    let recorded = results.len();

    let missing: Vec<usize> = (0..parameters.len())
        .filter(|row| !results.contains_key(row))
        .collect();
    let tasks = missing.iter().map(|&row| parameters[row]).collect::<Vec<_>>();
    let view = master.load_balanced().name("orbits").progress_bar(true);
    for item in view.map_unordered(exponent, tasks) {
        let (task, result) = item.map_err(|stopped| match stopped {
            Stopped::Interrupted => {
                let kept = if record.is_some() { " and recorded" } else { "" };
                format!(
                    "interrupted: {} of {} results are there{kept}",
                    results.len(),
                    parameters.len()
                )
            }
            other => other.to_string(),
        })?;
        let row = missing[task as usize];
        let value = result.map_err(|failure| failure.to_string())?;
        if let Some(record) = &mut record {
            record.add(row, value)?;
        }
        results.insert(row, value);
    }

    let exponents: Vec<f64> = results.values().copied().collect();
    check(parameters, &exponents, steps)?;
    if let Some(path) = &options.out {
        write(path, &exponents)?;
    }
    Ok(format!(
        "{} parameters, {steps} steps, {recorded} results from the record, {} computed, {} chaotic, checksum {:016x}",
        parameters.len(),
        missing.len(),
        exponents.iter().filter(|&&exponent| exponent > 0.0).count(),
        record::checksum(
            &exponents
                .iter()
                .map(|exponent| exponent.to_bits())
                .collect::<Vec<_>>()
        ),
    ))
}

/// Checks that each result is there, and what is known of them.
fn check(parameters: &[[f64; 2]], exponents: &[f64], steps: u64) -> Result<(), String> {
    let (rows, results) = (parameters.len(), exponents.len());
    if results != rows {
        return Err(format!("{results} results of {rows} parameters"));
    }
    if steps < ENOUGH {
        return Ok(());
    }
    for (&[a, b], &exponent) in parameters.iter().zip(exponents) {
        // The map shrinks every area by |b|, which both exponents have a part in.
        let mean = b.abs().ln() / 2.0;
        if exponent < mean - TOLERANCE {
            return Err(format!("the exponent of {a}, {b} is {exponent}, below {mean}"));
        }
        if [a, b] == CLASSICAL && (exponent - CLASSICAL_EXPONENT).abs() > TOLERANCE {
            return Err(format!(
                "the exponent of {a}, {b} is {exponent} instead of {CLASSICAL_EXPONENT}"
            ));
        }
    }
    Ok(())
}

/// Writes the exponents as a NumPy array of one dimension.
fn write(path: &Path, exponents: &[f64]) -> Result<(), String> {
    let write = || {
        let mut file = BufWriter::new(File::create(path)?);
        let options = npyz::WriteOptions::new()
            .default_dtype()
            .shape(&[exponents.len() as u64]);
        let mut writer = options.writer(&mut file).begin_nd()?;
        writer.extend(exponents)?;
        writer.finish()?;
        file.flush()
    };
    write().map_err(|error: std::io::Error| format!("{}: {error}", path.display()))
}
