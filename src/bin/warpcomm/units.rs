//! Figures as people read them.

use crate::record::Key;

/// A number of bytes, exactly: `8 B`, `4 KiB`, `1000 B`.
pub fn bytes(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut number, mut unit) = (bytes, 0);
    while number >= 1024 && number.is_multiple_of(1024) && unit + 1 < units.len() {
        number /= 1024;
        unit += 1;
    }
    format!("{number} {}", units[unit])
}

/// A number of bytes, to three digits: `23.5 GiB`.
pub fn memory(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB"), (0, "B")];
    scaled(
        bytes as f64,
        &units.map(|(power, unit)| (f64::from(power).exp2(), unit)),
    )
}

/// A time in seconds, to three digits: `1.25 µs`.
pub fn time(seconds: f64) -> String {
    scaled(seconds, &[(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")])
}

/// Bytes a second, to three digits: `12.3 GB/s`.
pub fn bandwidth(bytes: f64) -> String {
    scaled(
        bytes,
        &[
            (1e12, "TB/s"),
            (1e9, "GB/s"),
            (1e6, "MB/s"),
            (1e3, "kB/s"),
            (1.0, "B/s"),
        ],
    )
}

/// A ratio: `1.20×`.
pub fn ratio(ratio: f64) -> String {
    format!("{}×", digits(ratio))
}

/// In the largest unit of which it is one at least, else in the last.
fn scaled(value: f64, units: &[(f64, &str)]) -> String {
    // What is rounded up to a thousand of a unit is one of the next.
    let fits = |(size, _): &&(f64, &str)| value.abs() >= size * 0.9995;
    let found = units.iter().find(fits).or(units.last());
    found.map_or_else(String::new, |(size, unit)| {
        format!("{} {unit}", digits(value / size))
    })
}

/// Three digits, more only before the point.
fn digits(value: f64) -> String {
    match value.abs() {
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// What is measured under a key, without its length: `allreduce sum f32 · warpcomm · device/ipc · 2 ranks`.
pub fn series(key: &Key) -> String {
    let reduction = key.op.as_ref().map_or_else(String::new, |op| format!(" {op}"));
    format!(
        "{}{reduction} {} · {} · {} · {}",
        key.operation,
        key.dtype,
        key.by,
        place(key),
        ranks(key.ranks)
    )
}

/// Where buffers are, and what carries their elements: `device/ipc`.
pub fn place(key: &Key) -> String {
    match &key.path {
        Some(path) => format!("{}/{path}", key.place),
        None => key.place.clone(),
    }
}

/// `1 rank`, `2 ranks`.
pub fn ranks(ranks: usize) -> String {
    count(ranks, "rank")
}

/// Things by their number: `1 run`, `2 runs`.
pub fn count(number: usize, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        _ => format!("{number} {thing}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_exact() {
        for (number, expected) in [
            (0, "0 B"),
            (1000, "1000 B"),
            (1024, "1 KiB"),
            (1536, "1536 B"),
            (1 << 20, "1 MiB"),
            (5 << 40, "5 TiB"),
            (1 << 52, "4096 TiB"),
        ] {
            assert_eq!(bytes(number), expected);
        }
    }

    #[test]
    fn figures_have_three_digits() {
        for (seconds, expected) in [
            (1.0, "1.00 s"),
            (0.9999, "1.00 s"),
            (0.000_012_34, "12.3 µs"),
            (0.000_000_999_9, "1.00 µs"),
            (123e-9, "123 ns"),
            (1e-12, "0.00 ns"),
            (0.0, "0.00 ns"),
            (5000.0, "5000 s"),
        ] {
            assert_eq!(time(seconds), expected);
        }
        assert_eq!(bandwidth(12.34e9), "12.3 GB/s");
        assert_eq!(memory(25_276_510_208), "23.5 GiB");
        assert_eq!(bandwidth(1.5), "1.50 B/s");
        assert_eq!(ratio(0.5), "0.50×");
    }
}
