//! Files of measurements, made up.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// A launch, as a file has it. Nothing in it is random but what `seed` shifts.
pub struct Launch {
    pub seed: u64,
    /// How many times as long allreduce by warpcomm takes.
    pub allreduce: f64,
    pub simulated: bool,
    pub host: &'static str,
    pub is_complete: bool,
}

impl Launch {
    pub fn new(seed: u64) -> Launch {
        Launch {
            seed,
            allreduce: 1.0,
            simulated: false,
            host: "node",
            is_complete: true,
        }
    }

    /// Its records.
    pub fn records(&self) -> Vec<Value> {
        let mut records = vec![json!({
            "record": "run", "format": 1, "program": "warpcomm 0.1.0", "commit": "0123456789abcdef",
            "date": "2026-11-22T17:00:00Z", "command": ["warpcomm", "bench", "<script>alert(1)</script>"],
            "machine": {"host": self.host, "processor": "a CPU", "processors": 2, "kernel": "6.1",
                        "load_average": [0.5, 0.0, 0.0]},
            "job": {"mpi": "Open MPI v4.1.4, package: Debian", "thread_level": "multiple",
                    "launcher": "Open MPI 4.1.4", "arguments": ["-n", "2"]},
            "ranks": 2, "nodes": 1, "gpus": [], "simulated": self.simulated, "variables": {"WARPCOMM_CHECK": "1"}
        })];
        let ways = [
            ("mpi", "host", Value::Null, 1e-6, 5e9),
            ("warpcomm", "device", json!("ipc"), 5e-6, 50e9),
        ];
        for (operation, factor) in [("latency", 1.0), ("allreduce", self.allreduce)] {
            for (by, place, path, least, bandwidth) in &ways {
                let factor = if *by == "warpcomm" { factor } else { 1.0 };
                for bytes in [8_u64, 4096, 1 << 20, 64 << 20] {
                    let seconds = (least + bytes as f64 / bandwidth) * factor * self.noise(bytes);
                    records.push(row(operation, (by, place, path), bytes, seconds));
                }
            }
        }
        records.push(row(
            "barrier",
            ("mpi", "host", &Value::Null),
            0,
            1e-6 * self.noise(1),
        ));
        records.push(json!({
            "record": "left_out", "operation": "allreduce", "by": "nccl", "place": "device", "path": null,
            "dtype": "f32", "op": "sum", "reason": "there is no NCCL"
        }));
        if self.is_complete {
            records.push(json!({"record": "end", "complete": true, "reason": null}));
        }
        records
    }

    /// Up to 3% more, another part for each length.
    fn noise(&self, bytes: u64) -> f64 {
        let mixed = (self.seed * 31 + bytes.trailing_zeros() as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        1.0 + 0.03 * (mixed >> 40) as f64 / (1_u64 << 24) as f64
    }
}

fn row(operation: &str, (by, place, path): (&str, &str, &Value), bytes: u64, seconds: f64) -> Value {
    let op = if operation == "allreduce" {
        json!("sum")
    } else {
        Value::Null
    };
    let bandwidth = (bytes > 0).then(|| bytes as f64 / (seconds * 1.01));
    json!({
        "record": "row", "operation": operation, "by": by, "place": place, "path": path, "dtype": "f32", "op": op,
        "ranks": 2, "bytes": bytes, "algorithm": null, "checked": true, "repeats": 10,
        "seconds": {"minimum": seconds, "median": seconds * 1.01, "p99": seconds * 1.5, "maximum": seconds * 1.5},
        "samples": [seconds * 1.01, seconds, seconds * 1.5],
        "algorithm_bandwidth": bandwidth, "bus_bandwidth": bandwidth, "message_rate": null, "overlap": null
    })
}

/// A file of these launches.
pub fn file(directory: &Path, name: &str, launches: &[Launch]) -> PathBuf {
    let records = launches.iter().flat_map(Launch::records);
    let lines: String = records.map(|record| record.to_string() + "\n").collect();
    written(directory, name, &lines)
}

/// A file with this text.
pub fn written(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    path
}
