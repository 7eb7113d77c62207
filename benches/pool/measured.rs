//! What has been measured.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::plan::Plan;

#[derive(Serialize, Deserialize)]
pub struct Measured {
    /// The programs that took part, with their versions.
    pub versions: Vec<String>,
    pub rows: Vec<Row>,
}

/// Calls of one kind.
#[derive(Serialize, Deserialize)]
pub struct Row {
    /// `empty`, `payload` or `uneven`.
    pub case: String,
    /// The bytes of a payload.
    pub bytes: usize,
    /// How tasks are bundled: `1` where they are not.
    pub chunk: String,
    /// The tasks of a call.
    pub tasks: usize,
    /// What each call took.
    pub seconds: Vec<f64>,
}

impl Measured {
    pub fn new(rows: Vec<Row>, mpi_library: Option<&str>) -> Measured {
        let mut versions = vec![format!("warpcomm {}", env!("CARGO_PKG_VERSION"))];
        versions.extend(
            mpi_library
                .and_then(|text| text.lines().next())
                .map(str::to_owned),
        );
        Measured { versions, rows }
    }

    pub fn write(&self, file: &Path) -> Result<(), Failure> {
        Ok(std::fs::write(file, serde_json::to_vec(self)?)?)
    }

    /// Prints it.
    pub fn show(&self, ranks: &str, plan: &Plan, workers: usize) {
        println!("{workers} workers that are {ranks}");
        for row in &self.rows {
            let seconds = median(&row.seconds);
            let name = match row.bytes {
                0 => row.case.clone(),
                bytes => format!("{} of {bytes} B", row.case),
            };
            let figure = match row.case.as_str() {
                "uneven" => {
                    let list = plan.list_makespan(workers);
                    format!(
                        "{:.1} ms, {:.3} of list scheduling's",
                        1e3 * seconds,
                        seconds / list
                    )
                }
                _ => format!("{:.0} tasks/s", row.tasks as f64 / seconds),
            };
            println!(
                "{name:<20} chunk {:<9} {:>8} tasks: {figure}",
                row.chunk, row.tasks
            );
        }
    }
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
