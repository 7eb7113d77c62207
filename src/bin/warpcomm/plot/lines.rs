//! Pictures of lines: how long an operation takes, and how much it moves, by the length of messages.

use super::axis::{Logarithmic, Tick};
use super::colours::Colour;
use super::scene::{Anchor, Form, Point as Place, Scene, Shape, text_width};
use super::series::{Chart, Point};
use super::speed_up::SpeedUp;
use crate::crossover::about;
use crate::units;

const WIDTH: f64 = 760.0;
/// Of the part with the lines.
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 44.0;
/// From the lines to the legend.
const BELOW: f64 = 52.0;
const LEGEND_LINE: f64 = 20.0;
const SIZE: f64 = 12.0;

/// A line of a picture.
struct Line {
    label: String,
    series: usize,
    dashed: bool,
    /// Each with its figure, and what is said of it.
    points: Vec<(f64, f64, String)>,
    /// From where to where most samples are.
    band: Vec<(f64, f64, f64)>,
}

/// How long an operation takes: medians, with bands up to the 99th percentile, and marks where lines cross.
///
/// `None` where nothing has a length.
pub fn latency(chart: &Chart, speed_ups: &[SpeedUp]) -> Option<Scene> {
    let lines = chart.series.iter().enumerate().map(|(number, series)| {
        let points = || series.points.iter().filter(|point| is_drawn(point));
        Line {
            label: series.label.clone(),
            series: number,
            dashed: false,
            points: points()
                .map(|point| {
                    let tip = format!(
                        "{}\n{}: median {}, 99% {}",
                        series.label,
                        units::bytes(point.bytes),
                        units::time(point.seconds.median),
                        units::time(point.seconds.p99)
                    );
                    (point.bytes as f64, point.seconds.median, tip)
                })
                .collect(),
            band: points()
                .map(|point| (point.bytes as f64, point.seconds.median, point.seconds.p99))
                .collect(),
        }
    });
    let marks = speed_ups.iter().filter_map(|speed_up| {
        let bytes = speed_up.crossover.bytes()?;
        Some((bytes, speed_up.series, about(bytes)))
    });
    Picture {
        title: format!("{}: time", chart.operation),
        description: format!(
            "Median time of {} by the length of messages, both logarithmic, with bands up to the 99th percentile. A vertical line \
             marks where a line crosses its baseline for the last time. The figures are in the table of the operation.",
            chart.operation
        ),
        lines: lines.collect(),
        label: units::time,
        marks: marks.collect(),
    }
    .draw()
}

/// How much an operation moves: what its caller sees, and, dashed, what the busiest link does where that is another figure.
///
/// `None` where nothing is moved.
pub fn bandwidth(chart: &Chart) -> Option<Scene> {
    let mut lines = Vec::new();
    for (number, series) in chart.series.iter().enumerate() {
        let line = |of: fn(&Point) -> Option<f64>, name: &str, dashed: bool| Line {
            label: format!("{}{name}", series.label),
            series: number,
            dashed,
            points: series
                .points
                .iter()
                .filter(|point| is_drawn(point))
                .filter_map(|point| Some((point.bytes, of(point).filter(|bandwidth| *bandwidth > 0.0)?)))
                .map(|(bytes, bandwidth)| {
                    let tip = format!(
                        "{}{name}\n{}: {}",
                        series.label,
                        units::bytes(bytes),
                        units::bandwidth(bandwidth)
                    );
                    (bytes as f64, bandwidth, tip)
                })
                .collect(),
            band: Vec::new(),
        };
        let differs = series.points.iter().any(|point| {
            let both = point.algorithm_bandwidth.zip(point.bus_bandwidth);
            both.is_some_and(|(algorithm, bus)| (algorithm - bus).abs() > 1e-6 * algorithm)
        });
        if differs {
            lines.push(line(|point| point.algorithm_bandwidth, " (algorithm)", false));
            lines.push(line(|point| point.bus_bandwidth, " (bus)", true));
        } else {
            lines.push(line(
                |point| point.algorithm_bandwidth.or(point.bus_bandwidth),
                "",
                false,
            ));
        }
    }
    Picture {
        title: format!("{}: bandwidth", chart.operation),
        description: format!(
            "Bandwidth of {} by the length of messages, both logarithmic: what the caller sees (algorithm) and, dashed, what the \
             busiest link does (bus). The figures are in the table of the operation.",
            chart.operation
        ),
        lines,
        label: units::bandwidth,
        marks: Vec::new(),
    }
    .draw()
}

/// Whether a logarithmic picture has a place for it.
fn is_drawn(point: &Point) -> bool {
    point.bytes > 0 && point.seconds.median > 0.0
}

struct Picture {
    title: String,
    description: String,
    lines: Vec<Line>,
    /// What is written beside a height.
    label: fn(f64) -> String,
    /// At how many bytes, of which series, with which words.
    marks: Vec<(f64, usize, String)>,
}

impl Picture {
    fn draw(self) -> Option<Scene> {
        let lines: Vec<&Line> = self.lines.iter().filter(|line| !line.points.is_empty()).collect();
        if lines.is_empty() {
            return None;
        }
        let points = || lines.iter().flat_map(|line| &line.points);
        let tops = lines.iter().flat_map(|line| &line.band).map(|(_, _, top)| *top);
        let across = Logarithmic::new(points().map(|(bytes, _, _)| *bytes), LEFT, WIDTH - RIGHT);
        let up = Logarithmic::new(
            points().map(|(_, value, _)| *value).chain(tops),
            TOP + HEIGHT,
            TOP,
        );
        let legend = legend(&lines);
        let rows = legend.iter().map(|(_, (_, row))| row + 1).max().unwrap_or(0);
        let height = TOP + HEIGHT + BELOW + rows as f64 * LEGEND_LINE + 8.0;
        let mut scene = Scene::new(WIDTH, height, self.title.clone(), self.description.clone());
        scene.text(
            (LEFT, 20.0),
            self.title.as_str(),
            16.0,
            Colour::Text,
            Anchor::Start,
        );
        grid(&mut scene, &across.bytes(72.0), &up.decades(22.0, self.label));
        let middle = (LEFT + WIDTH - RIGHT) / 2.0;
        scene.text(
            (middle, TOP + HEIGHT + 38.0),
            "bytes of a message",
            SIZE,
            Colour::Muted,
            Anchor::Middle,
        );
        for line in &lines {
            band(&mut scene, line, &across, &up);
        }
        for (bytes, series, words) in &self.marks {
            let x = across.place(*bytes);
            let colour = Colour::Series(*series);
            scene.dashed_line(vec![(x, TOP), (x, TOP + HEIGHT)], colour, 1.0);
            scene.text(
                (x + 4.0, TOP + 8.0 + 13.0 * (series % 8) as f64),
                words.as_str(),
                11.0,
                Colour::Text,
                Anchor::Start,
            );
        }
        for line in &lines {
            draw(&mut scene, line, &across, &up);
        }
        for (line, (x, row)) in legend {
            let y = TOP + HEIGHT + BELOW + (row as f64 + 0.5) * LEGEND_LINE;
            key(&mut scene, line, (x, y));
        }
        Some(scene)
    }
}

/// Where each line is named: how far from the left, and in which row.
fn legend<'a>(lines: &[&'a Line]) -> Vec<(&'a Line, (f64, usize))> {
    let (mut x, mut row) = (LEFT, 0);
    lines
        .iter()
        .map(|line| {
            let width = 36.0 + text_width(&line.label, SIZE) + 18.0;
            if x > LEFT && x + width > WIDTH {
                (x, row) = (LEFT, row + 1);
            }
            let place = (x, row);
            x += width;
            (*line, place)
        })
        .collect()
}

fn grid(scene: &mut Scene, across: &[Tick], up: &[Tick]) {
    for tick in across {
        scene.line(vec![(tick.at, TOP), (tick.at, TOP + HEIGHT)], Colour::Grid, 1.0);
        if let Some(label) = &tick.label {
            scene.text(
                (tick.at, TOP + HEIGHT + 16.0),
                label.as_str(),
                SIZE,
                Colour::Muted,
                Anchor::Middle,
            );
        }
    }
    for tick in up {
        scene.line(vec![(LEFT, tick.at), (WIDTH - RIGHT, tick.at)], Colour::Grid, 1.0);
        if let Some(label) = &tick.label {
            scene.text(
                (LEFT - 8.0, tick.at),
                label.as_str(),
                SIZE,
                Colour::Muted,
                Anchor::End,
            );
        }
    }
}

fn band(scene: &mut Scene, line: &Line, across: &Logarithmic, up: &Logarithmic) {
    if line.band.len() < 2 {
        return;
    }
    let low = line
        .band
        .iter()
        .map(|(bytes, low, _)| (across.place(*bytes), up.place(*low)));
    let high = line
        .band
        .iter()
        .rev()
        .map(|(bytes, _, high)| (across.place(*bytes), up.place(*high)));
    scene.shapes.push(Shape::Area {
        points: low.chain(high).collect(),
        colour: Colour::Series(line.series),
        opacity: 0.15,
    });
}

fn draw(scene: &mut Scene, line: &Line, across: &Logarithmic, up: &Logarithmic) {
    let places = line
        .points
        .iter()
        .map(|(bytes, value, _)| (across.place(*bytes), up.place(*value)));
    let places: Vec<Place> = places.collect();
    path(scene, line, places.clone());
    for (at, (_, _, tip)) in places.into_iter().zip(&line.points) {
        marker(scene, line, at, Some(tip.clone()));
    }
}

fn path(scene: &mut Scene, line: &Line, places: Vec<Place>) {
    let colour = Colour::Series(line.series);
    match line.dashed {
        true => scene.dashed_line(places, colour, 1.5),
        false => scene.line(places, colour, 1.5),
    }
}

fn marker(scene: &mut Scene, line: &Line, at: Place, tip: Option<String>) {
    scene.shapes.push(Shape::Marker {
        at,
        form: Form::of(line.series),
        colour: Colour::Series(line.series),
        tip,
    });
}

/// A line of the legend.
fn key(scene: &mut Scene, line: &Line, (x, y): Place) {
    path(scene, line, vec![(x, y), (x + 28.0, y)]);
    marker(scene, line, (x + 14.0, y), None);
    scene.text(
        (x + 36.0, y),
        line.label.as_str(),
        SIZE,
        Colour::Text,
        Anchor::Start,
    );
}
