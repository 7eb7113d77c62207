//! The picture of speed-ups: a row for each way, a column for each length.

use std::collections::BTreeSet;

use super::colours::{Colour, cell};
use super::scene::{Anchor, Scene, text_width};
use super::speed_up::SpeedUp;
use crate::units;

const CELL: f64 = 58.0;
const ROW: f64 = 24.0;
const TOP: f64 = 70.0;
const SIZE: f64 = 12.0;

/// How many times as fast each way is as its baseline; `None` where nothing is compared.
pub fn heat_map(speed_ups: &[SpeedUp]) -> Option<Scene> {
    let lengths: BTreeSet<u64> = speed_ups
        .iter()
        .flat_map(|speed_up| speed_up.ratios.iter().map(|(bytes, _)| *bytes))
        .collect();
    if lengths.is_empty() {
        return None;
    }
    let label = |speed_up: &SpeedUp| format!("{}: {}", speed_up.operation, speed_up.label);
    let widest = speed_ups
        .iter()
        .map(|speed_up| text_width(&label(speed_up), SIZE));
    let left = widest.fold(120.0, f64::max) + 24.0;
    let baselines: BTreeSet<&str> = speed_ups
        .iter()
        .map(|speed_up| &*speed_up.baseline_label)
        .collect();
    let baselines: Vec<&str> = baselines.into_iter().collect();
    let title = format!("Times as fast as {}", baselines.join(" or "));
    let description = "A table of colours: a row for each operation and way, a column for each length; blue is faster than the baseline, \
                       orange slower. The ratios are written in the cells.";
    let width = (left + lengths.len() as f64 * CELL + 24.0).max(text_width(&title, 16.0) + 48.0);
    let height = TOP + speed_ups.len() as f64 * ROW + 16.0;
    let mut scene = Scene::new(width, height, title.clone(), description.to_owned());
    scene.text((24.0, 20.0), title, 16.0, Colour::Text, Anchor::Start);
    for (column, bytes) in lengths.iter().enumerate() {
        let x = left + (column as f64 + 0.5) * CELL;
        scene.text(
            (x, TOP - 14.0),
            units::bytes(*bytes),
            11.0,
            Colour::Muted,
            Anchor::Middle,
        );
    }
    for (number, speed_up) in speed_ups.iter().enumerate() {
        let y = TOP + number as f64 * ROW;
        scene.text(
            (left - 10.0, y + ROW / 2.0),
            label(speed_up),
            SIZE,
            Colour::Text,
            Anchor::End,
        );
        for (bytes, ratio) in &speed_up.ratios {
            let column = lengths.range(..bytes).count();
            let x = left + column as f64 * CELL;
            let (ground, text) = cell(*ratio);
            let tip = format!(
                "{}, {}\n{} as fast as {}",
                label(speed_up),
                units::bytes(*bytes),
                units::ratio(*ratio),
                speed_up.baseline_label
            );
            scene.rectangle(
                (x + 1.0, y + 1.0),
                CELL - 2.0,
                ROW - 2.0,
                Colour::Fixed(ground),
                Some(tip),
            );
            let place = (x + CELL / 2.0, y + ROW / 2.0);
            scene.text(
                place,
                units::ratio(*ratio),
                SIZE,
                Colour::Fixed(text),
                Anchor::Middle,
            );
        }
    }
    Some(scene)
}
