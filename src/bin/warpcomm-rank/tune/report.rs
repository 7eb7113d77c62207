//! What `warpcomm tune` prints.

use warpcomm::{Algorithm, Place, Tuning};

use super::measure::Case;

/// What is measured, and of what.
pub fn heading(tuning: &Tuning, places: &[Place]) {
    let places: Vec<String> = places.iter().map(Place::to_string).collect();
    println!("{}; buffers on: {}", tuning.machine(), places.join(", "));
    println!("microseconds of the slowest rank, medians");
}

/// The times of a case, a line for each length, and what follows from them.
pub fn measured(
    case: &Case<'_>,
    ranks: usize,
    algorithms: &[Algorithm],
    times: &[Vec<f64>],
    steps: &[(usize, Algorithm)],
) {
    let Case { operation, place, .. } = case;
    println!("\n{operation}, {place}, {ranks} ranks");
    let names: String = algorithms
        .iter()
        .map(|name| format!("{:>14}", name.to_string()))
        .collect();
    println!("{:>12}{names}  choice", "bytes");
    for (&bytes, row) in case.sizes.iter().zip(times) {
        let figures: String = row.iter().map(|time| format!("{time:>14.2}")).collect();
        println!("{bytes:>12}{figures}  {}", taken(steps, bytes));
    }
    let steps: Vec<String> = steps
        .iter()
        .map(|(from, name)| format!("{name} from {from}"))
        .collect();
    println!("{:>12}{}", "", steps.join(", "));
}

/// The algorithm that the steps say for a length.
fn taken(steps: &[(usize, Algorithm)], bytes: usize) -> String {
    let last = steps.iter().rfind(|(from, _)| *from <= bytes);
    last.map_or_else(String::new, |(_, algorithm)| algorithm.to_string())
}
