//! What `warpcomm tune` prints.

use std::fmt::Display;

use warpcomm::{Algorithm, Place, Tuning};

/// What is measured, and of what.
pub fn heading(tuning: &Tuning, places: &[Place]) {
    let places: Vec<String> = places.iter().map(Place::to_string).collect();
    println!("{}; buffers on: {}", tuning.machine(), places.join(", "));
    println!("microseconds of the slowest rank, medians");
}

/// The times of the candidates, a line for each length, and what follows from them.
pub fn measured<T: Display>(
    title: &str,
    candidates: &[T],
    sizes: &[usize],
    times: &[Vec<f64>],
    steps: &[(usize, T)],
) {
    println!("\n{title}");
    let names: String = candidates
        .iter()
        .map(|name| format!("{:>14}", name.to_string()))
        .collect();
    println!("{:>12}{names}  choice", "bytes");
    for (&bytes, row) in sizes.iter().zip(times) {
        let figures: String = row.iter().map(|time| format!("{time:>14.2}")).collect();
        println!("{bytes:>12}{figures}  {}", taken(steps, bytes));
    }
    let steps: Vec<String> = steps
        .iter()
        .map(|(from, name)| format!("{name} from {from}"))
        .collect();
    println!("{:>12}{}", "", steps.join(", "));
}

/// What is not measured, and why.
pub fn left_out(title: &str, algorithm: Algorithm, reason: &str) {
    println!("\n{title}: {algorithm} is not measured: {reason}");
}

/// What the steps say for a length.
fn taken<T: Display>(steps: &[(usize, T)], bytes: usize) -> String {
    let last = steps.iter().rfind(|(from, _)| *from <= bytes);
    last.map_or_else(String::new, |(_, name)| name.to_string())
}
