//! The report: one page of HTML that needs nothing beside it, on a light and on a dark ground.

use std::fmt::Write;

use super::colours::{DARK, LIGHT, Rgb, Theme};
use super::scene::Scene;
use super::series::{Chart, Point};
use super::speed_up::SpeedUp;
use super::svg::{self, escaped};
use crate::reading::Measured;
use crate::units;

const CSS: &str = include_str!("report.css");
const SCRIPT: &str = include_str!("report.js");

/// What warnings are marked with, on the light and on the dark ground.
const WARNING: [Rgb; 2] = [Rgb(0xb3, 0x42, 0x00), Rgb(0xe6, 0x8a, 0x1f)];
const LINK: [Rgb; 2] = [Rgb(0x00, 0x5e, 0xa8), Rgb(0x7c, 0xc4, 0xf5)];

/// What a report is made of.
pub struct Report<'a> {
    /// The runs, with the names of their files.
    pub runs: &'a [(String, Measured)],
    /// The operations, with their pictures.
    pub operations: &'a [Operation],
    /// The picture of all speed-ups.
    pub heat_map: Option<&'a Scene>,
    /// The picture of a traced job.
    pub timeline: Option<&'a Scene>,
    /// What a reader must know of the traces.
    pub notes: &'a [String],
}

/// An operation, and what is shown of it.
pub struct Operation {
    pub chart: Chart,
    pub speed_ups: Vec<SpeedUp>,
    pub latency: Option<Scene>,
    pub bandwidth: Option<Scene>,
}

impl Report<'_> {
    /// The page.
    pub fn page(&self) -> String {
        let mut page = String::new();
        let title = self.title();
        let head = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
             script-src 'unsafe-inline'; img-src data:\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n\
             <title>{title}</title>\n<style>\n:root{{{}}}{}@media (prefers-color-scheme: dark){{:root{{{}}}{}}}\n{CSS}</style>\n\
             </head>\n<body>\n<main>\n<h1>{title}</h1>\n",
            variables(&LIGHT, 0),
            svg::style(&LIGHT),
            variables(&DARK, 1),
            svg::style(&DARK),
            title = escaped(&title),
        );
        page.push_str(&head);
        self.warnings(&mut page);
        self.contents(&mut page);
        if let Some(scene) = self.heat_map {
            page.push_str("<section id=\"speed-up\">\n<h2>Speed-up</h2>\n");
            figure(&mut page, scene, "speed-up");
            self.crossovers(&mut page);
            page.push_str("</section>\n");
        }
        for operation in self.operations {
            operation.section(&mut page);
        }
        if let Some(scene) = self.timeline {
            page.push_str("<section id=\"timeline\">\n<h2>Timeline</h2>\n");
            figure(&mut page, scene, "timeline-picture");
            page.push_str("</section>\n");
        }
        self.left_out(&mut page);
        self.provenance(&mut page);
        let _ = write!(
            page,
            "</main>\n<footer class=\"muted\"><p>Made by warpcomm {}.</p></footer>\n<div id=\"tip\" aria-hidden=\"true\"></div>\n\
             <script>\n{SCRIPT}</script>\n</body>\n</html>\n",
            env!("CARGO_PKG_VERSION")
        );
        page
    }

    fn title(&self) -> String {
        let names: Vec<&str> = self
            .operations
            .iter()
            .map(|operation| &*operation.chart.operation)
            .collect();
        match (names.len(), self.timeline) {
            (0, _) => "A traced job".to_owned(),
            (1..=4, _) => format!("Measurements of {}", names.join(", ")),
            (number, _) => format!("Measurements of {number} operations"),
        }
    }

    fn warnings(&self, page: &mut String) {
        let warnings = self.warned_of();
        if warnings.is_empty() && self.notes.is_empty() {
            return;
        }
        page.push_str("<div class=\"warnings\" role=\"note\" aria-label=\"Warnings\">\n<ul>\n");
        for (warning, runs) in &warnings {
            let of = match &runs[..] {
                [run] => (*run).clone(),
                [run, ..] => format!("{run} and {}", units::count(runs.len() - 1, "other run")),
                [] => String::new(),
            };
            let _ = writeln!(page, "<li>{}: {}</li>", escaped(&of), escaped(warning));
        }
        for note in self.notes {
            let _ = writeln!(page, "<li>{}</li>", escaped(note));
        }
        page.push_str("</ul>\n</div>\n");
    }

    /// What a reader must know of the runs: each with the runs that it is true of.
    fn warned_of(&self) -> Vec<(String, Vec<String>)> {
        let mut found: Vec<(String, Vec<String>)> = Vec::new();
        for (file, measured) in self.runs {
            for warning in warnings(measured) {
                let which = format!("{file}, {}", measured.run.date);
                match found.iter_mut().find(|(known, _)| *known == warning) {
                    Some((_, runs)) => runs.push(which),
                    None => found.push((warning, vec![which])),
                }
            }
        }
        found
    }

    fn contents(&self, page: &mut String) {
        page.push_str("<nav aria-label=\"Contents\">\n<ul>\n");
        let mut entry = |id: &str, name: &str| {
            let _ = writeln!(
                page,
                "<li><a href=\"#{}\">{}</a></li>",
                escaped(id),
                escaped(name)
            );
        };
        if self.heat_map.is_some() {
            entry("speed-up", "speed-up");
        }
        for operation in self.operations {
            entry(&operation.id(), &operation.chart.operation);
        }
        if self.timeline.is_some() {
            entry("timeline", "timeline");
        }
        if self.runs.iter().any(|(_, run)| !run.left_out.is_empty()) {
            entry("left-out", "left out");
        }
        if !self.runs.is_empty() {
            entry("runs", "runs");
        }
        page.push_str("</ul>\n</nav>\n");
    }

    fn crossovers(&self, page: &mut String) {
        let rows = self
            .operations
            .iter()
            .flat_map(|operation| &operation.speed_ups)
            .map(|speed_up| {
                let best = speed_up
                    .ratios
                    .iter()
                    .max_by(|one, other| one.1.total_cmp(&other.1));
                vec![
                    speed_up.operation.clone(),
                    speed_up.label.clone(),
                    speed_up.baseline_label.clone(),
                    speed_up.crossover.to_string(),
                    best.map_or_else(String::new, |(bytes, ratio)| {
                        format!("{} at {}", units::ratio(*ratio), units::bytes(*bytes))
                    }),
                ]
            });
        let headings = ["operation", "way", "against", "crossover", "most"];
        table(page, "Where ways become faster", &headings, rows, true);
    }

    fn left_out(&self, page: &mut String) {
        if self.runs.iter().all(|(_, run)| run.left_out.is_empty()) {
            return;
        }
        page.push_str("<section id=\"left-out\">\n<h2>What was left out</h2>\n");
        let rows = self.runs.iter().flat_map(|(file, run)| {
            run.left_out.iter().map(move |left_out| {
                let place = match &left_out.path {
                    Some(path) => format!("{}/{path}", left_out.place),
                    None => left_out.place.clone(),
                };
                vec![
                    left_out.operation.clone(),
                    left_out.by.clone(),
                    place,
                    left_out.dtype.clone(),
                    left_out.op.clone().unwrap_or_default(),
                    left_out.bytes.map(units::bytes).unwrap_or_default(),
                    left_out.reason.clone(),
                    file.clone(),
                ]
            })
        });
        let headings = ["operation", "by", "place", "dtype", "op", "size", "why", "file"];
        table(page, "What could not be measured", &headings, rows, true);
        page.push_str("</section>\n");
    }

    fn provenance(&self, page: &mut String) {
        if self.runs.is_empty() {
            return;
        }
        page.push_str("<section id=\"runs\">\n<h2>Runs</h2>\n");
        for (file, measured) in self.runs {
            let rows = provenance(measured)
                .into_iter()
                .map(|(name, value)| vec![name.to_owned(), value]);
            table(
                page,
                &format!("{file}, {}", measured.run.date),
                &["", ""],
                rows,
                true,
            );
        }
        page.push_str("</section>\n");
    }
}

/// What a reader must know of a run.
fn warnings(measured: &Measured) -> Vec<String> {
    let run = &measured.run;
    let mut warnings = Vec::new();
    if run.simulated {
        warnings.push("GPUs are simulated: times with buffers on them say nothing.".to_owned());
    }
    match &measured.end {
        None => warnings.push("the run was killed before its end.".to_owned()),
        Some(end) if !end.complete => {
            let reason = end.reason.as_deref().unwrap_or("no reason is given");
            warnings.push(format!("the run is incomplete: {reason}."));
        }
        Some(_) => {}
    }
    let unchecked = measured.rows.iter().filter(|row| !row.checked).count();
    if unchecked > 0 {
        let rows = units::count(measured.rows.len(), "figure");
        warnings.push(format!(
            "the results behind {unchecked} of {rows} were not checked."
        ));
    }
    let [load, ..] = run.machine.load_average;
    if load > 0.5 * run.machine.processors as f64 {
        let processors = run.machine.processors;
        warnings.push(format!(
            "the machine was busy when it began, with others or with what was measured before: the load average was {load:.1} on {processors} processors."
        ));
    }
    warnings
}

/// What a run was measured with, by names.
fn provenance(measured: &Measured) -> Vec<(&'static str, String)> {
    let run = &measured.run;
    let machine = &run.machine;
    let none = || "none".to_owned();
    let job = run.job.as_ref();
    let list = |words: Vec<String>| {
        if words.is_empty() {
            none()
        } else {
            words.join("; ")
        }
    };
    let gpus = run.gpus.iter().map(|gpu| {
        let gibibytes = gpu.memory_bytes as f64 / f64::from(1 << 30);
        format!(
            "{} ({}, {gibibytes:.0} GiB, driver {})",
            gpu.name, gpu.uuid, gpu.driver
        )
    });
    let variables = run
        .variables
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    let [one, five, fifteen] = machine.load_average;
    vec![
        ("date", run.date.clone()),
        ("program", run.program.clone()),
        (
            "commit",
            run.commit.clone().unwrap_or_else(|| "unknown".to_owned()),
        ),
        ("build", run.build.clone().unwrap_or_else(|| "unknown".to_owned())),
        ("command", run.command.join(" ")),
        ("host", machine.host.clone()),
        (
            "processor",
            format!("{}, {} threads", machine.processor, machine.processors),
        ),
        ("kernel", machine.kernel.clone()),
        ("load average", format!("{one:.2}, {five:.2}, {fifteen:.2}")),
        (
            "MPI",
            job.map_or_else(|| "none: ranks are threads".to_owned(), |job| job.mpi.clone()),
        ),
        (
            "thread level",
            job.map_or_else(none, |job| job.thread_level.clone()),
        ),
        (
            "launcher",
            job.map_or_else(none, |job| {
                format!("{} {}", job.launcher, job.arguments.join(" "))
            }),
        ),
        (
            "ranks",
            format!(
                "{} on {}",
                units::ranks(run.ranks),
                units::count(run.nodes, "node")
            ),
        ),
        (
            "GPUs",
            format!(
                "{}{}",
                if run.simulated { "simulated: " } else { "" },
                list(gpus.collect())
            ),
        ),
        ("variables", list(variables.collect())),
        ("figures", measured.rows.len().to_string()),
        (
            "end",
            match &measured.end {
                None => "killed".to_owned(),
                Some(end) if end.complete => "complete".to_owned(),
                Some(end) => format!(
                    "incomplete: {}",
                    end.reason.as_deref().unwrap_or("no reason is given")
                ),
            },
        ),
    ]
}

impl Operation {
    /// What the section and its pictures are called in the page.
    fn id(&self) -> String {
        format!("operation-{}", slug(&self.chart.operation))
    }

    fn section(&self, page: &mut String) {
        let id = self.id();
        let _ = writeln!(
            page,
            "<section id=\"{id}\">\n<h2>{}</h2>",
            escaped(&self.chart.operation)
        );
        for (scene, name) in [(&self.latency, "time"), (&self.bandwidth, "bandwidth")] {
            if let Some(scene) = scene {
                figure(page, scene, &format!("{id}-{name}"));
            }
        }
        self.figures(page);
        page.push_str("</section>\n");
    }

    fn figures(&self, page: &mut String) {
        type Cell = fn(&Point) -> Option<String>;
        let columns: [(&str, Cell); 11] = [
            ("minimum", |point| Some(units::time(point.seconds.minimum))),
            ("median", |point| Some(units::time(point.seconds.median))),
            ("99%", |point| Some(units::time(point.seconds.p99))),
            ("maximum", |point| Some(units::time(point.seconds.maximum))),
            ("algorithm bandwidth", |point| {
                point.algorithm_bandwidth.map(units::bandwidth)
            }),
            ("bus bandwidth", |point| point.bus_bandwidth.map(units::bandwidth)),
            ("messages a second", |point| {
                point.message_rate.map(|rate| format!("{rate:.0}"))
            }),
            ("overlap", |point| {
                point.overlap.map(|part| format!("{:.0}%", part * 100.0))
            }),
            ("algorithm", |point| point.algorithm.clone()),
            ("path taken", |point| point.carried.clone()),
            ("runs", |point| (point.runs > 1).then(|| point.runs.to_string())),
        ];
        let points = || self.chart.series.iter().flat_map(|series| &series.points);
        let shown: Vec<(&str, Cell)> = columns
            .into_iter()
            .filter(|(_, cell)| points().any(|point| cell(point).is_some()))
            .collect();
        let mut headings = vec!["way", "size"];
        headings.extend(shown.iter().map(|(name, _)| *name));
        headings.extend(["times as fast", "checked"]);
        let ratio = |series: usize, bytes: u64| {
            let of_series = self.speed_ups.iter().find(|speed_up| speed_up.series == series)?;
            let (_, ratio) = of_series.ratios.iter().find(|(length, _)| *length == bytes)?;
            Some(units::ratio(*ratio))
        };
        let rows = self.chart.series.iter().enumerate().flat_map(|(number, series)| {
            let shown = &shown;
            series.points.iter().map(move |point| {
                let mut row = vec![series.label.clone(), units::bytes(point.bytes)];
                row.extend(shown.iter().map(|(_, cell)| cell(point).unwrap_or_default()));
                row.push(ratio(number, point.bytes).unwrap_or_default());
                row.push(if point.checked { "yes" } else { "no" }.to_owned());
                row
            })
        });
        page.push_str("<details>\n<summary>Figures</summary>\n");
        table(
            page,
            &format!("Figures of {}", self.chart.operation),
            &headings,
            rows,
            false,
        );
        page.push_str("</details>\n");
    }
}

/// A name as it may stand in a file's name and in a page's address.
pub fn slug(name: &str) -> String {
    let allowed = |character: char| match character.is_ascii_alphanumeric() || "_-.".contains(character) {
        true => character,
        false => '-',
    };
    name.chars().map(allowed).collect()
}

fn variables(theme: &Theme, ground: usize) -> String {
    let colours = [
        ("ground", theme.ground),
        ("text", theme.text),
        ("muted", theme.muted),
        ("grid", theme.grid),
        ("warning", WARNING[ground]),
        ("link", LINK[ground]),
    ];
    let variable = |(name, colour): (&str, Rgb)| format!("--{name}:{};", colour.hex());
    colours.into_iter().map(variable).collect()
}

fn figure(page: &mut String, scene: &Scene, id: &str) {
    let _ = writeln!(
        page,
        "<figure>\n{}\n<figcaption>{}</figcaption>\n</figure>",
        svg::inline(scene, &slug(id)),
        escaped(&scene.description)
    );
}

fn table(
    page: &mut String,
    caption: &str,
    headings: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
    words: bool,
) {
    let class = if words { " class=\"words\"" } else { "" };
    let _ = write!(
        page,
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{caption}\">\n<table{class}>\n<caption class=\"muted\">{caption}</caption>\n",
        caption = escaped(caption)
    );
    if headings.iter().any(|heading| !heading.is_empty()) {
        page.push_str("<thead><tr>");
        for heading in headings {
            let _ = write!(page, "<th scope=\"col\">{}</th>", escaped(heading));
        }
        page.push_str("</tr></thead>\n");
    }
    page.push_str("<tbody>\n");
    for row in rows {
        page.push_str("<tr>");
        for (at, cell) in row.iter().enumerate() {
            let _ = match at {
                0 => write!(page, "<th scope=\"row\">{}</th>", escaped(cell)),
                _ => write!(page, "<td>{}</td>", escaped(cell)),
            };
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody>\n</table>\n</div>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_warnings_stand_out() {
        for (theme, ground) in [(LIGHT, 0), (DARK, 1)] {
            assert!(LINK[ground].contrast(theme.ground) >= 4.5);
            assert!(WARNING[ground].contrast(theme.ground) >= 3.0);
        }
    }

    #[test]
    fn names_of_files_are_tame() {
        assert_eq!(slug("reduce_scatter"), "reduce_scatter");
        assert_eq!(slug("../a b/ü"), "..-a-b--");
    }
}
