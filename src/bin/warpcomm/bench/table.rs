//! A table for each series, whose rows are printed as they are measured.

use std::collections::BTreeMap;

use super::view::{
    SIMULATED, View, elements, elements_of, has_elements, is_point_to_point, microseconds, times_as_fast,
};
use super::way::Way;
use crate::record::{Key, LeftOut, Row, Run};

/// Characters of a column.
const WIDTH: usize = 11;

/// Of one with the name of an algorithm or a path.
const WIDTH_OF_NAMES: usize = 14;

/// The tables.
pub struct Tables {
    baseline: Option<Way>,
    /// Medians of the baseline in seconds, by elements and length.
    of_baseline: BTreeMap<(String, u64), f64>,
    /// The key of the last row but for its length.
    series: Option<Key>,
    columns: Vec<Column>,
    is_simulated: bool,
}

/// What stands in a column.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Bytes,
    Samples,
    Minimum,
    Median,
    P99,
    Maximum,
    AlgorithmBandwidth,
    BusBandwidth,
    MessageRate,
    Overlap,
    SpeedUp,
    Algorithm,
    Carried,
}

/// Those that every table has.
const FIRST: [Column; 6] = [
    Column::Bytes,
    Column::Samples,
    Column::Minimum,
    Column::Median,
    Column::P99,
    Column::Maximum,
];

impl Tables {
    /// Tables whose rows are compared with the baseline, if there is one.
    pub fn new(baseline: Option<Way>) -> Tables {
        Tables {
            baseline,
            of_baseline: BTreeMap::new(),
            series: None,
            columns: Vec::new(),
            is_simulated: false,
        }
    }

    /// The lines above the rows of a series, of which this is the first.
    fn heading(&mut self, row: &Row) -> Vec<String> {
        self.columns = FIRST.to_vec();
        let mut add = |column, is_there| {
            if is_there {
                self.columns.push(column);
            }
        };
        add(Column::AlgorithmBandwidth, row.algorithm_bandwidth.is_some());
        // Between two ranks both are the same.
        let is_collective = !is_point_to_point(&row.key.operation);
        add(Column::BusBandwidth, row.bus_bandwidth.is_some() && is_collective);
        add(Column::MessageRate, row.message_rate.is_some());
        add(Column::Overlap, row.overlap.is_some());
        add(Column::SpeedUp, self.baseline.is_some());
        add(Column::Algorithm, row.algorithm.is_some());
        // Who is forced to a path takes it.
        let is_chosen = row.key.place == "device" && row.key.by == "warpcomm" && row.key.path.is_none();
        add(Column::Carried, is_chosen);
        let key = &row.key;
        let checked = match row.checked {
            _ if !has_elements(&key.operation) => "",
            true => ", each element checked",
            false => ", not checked",
        };
        let ranks = match key.ranks {
            1 => "1 rank".to_owned(),
            ranks => format!("{ranks} ranks"),
        };
        let mut title = format!(
            "# {}, {}, {ranks}{checked}",
            elements_of(key),
            shown_way(Way::of_key(key), &key.by, &key.place)
        );
        if self.means_nothing(key) {
            title += &format!(", {SIMULATED}");
        }
        let names = self.line(|column| column.name(self.baseline).0.to_owned());
        let units = self.line(|column| column.name(self.baseline).1.to_owned());
        // The first column is wide enough for the sign of what is no row.
        let commented = |line: String| format!("#{}", line.get(1..).unwrap_or_default());
        vec![String::new(), title, commented(names), commented(units)]
    }

    /// Whether times are those of GPUs that do not exist.
    fn means_nothing(&self, key: &Key) -> bool {
        self.is_simulated && key.place == "device"
    }

    /// What there is in each column, to the right.
    fn line(&self, cell: impl Fn(Column) -> String) -> String {
        let cells = self.columns.iter().map(|&column| {
            let width = match column {
                Column::Algorithm | Column::Carried => WIDTH_OF_NAMES,
                _ => WIDTH,
            };
            format!(" {:>width$}", cell(column), width = width - 1)
        });
        cells.collect::<String>().trim_end().to_owned()
    }

    fn cell(&self, row: &Row, column: Column) -> String {
        let seconds = row.seconds;
        let gigabytes = |bandwidth: Option<f64>| shown(bandwidth.map(|bytes| format!("{:.3}", bytes / 1e9)));
        match column {
            Column::Bytes => row.key.bytes.to_string(),
            Column::Samples => row.samples.len().to_string(),
            Column::Minimum => microseconds(seconds.minimum),
            Column::Median => microseconds(seconds.median),
            Column::P99 => microseconds(seconds.p99),
            Column::Maximum => microseconds(seconds.maximum),
            Column::AlgorithmBandwidth => gigabytes(row.algorithm_bandwidth),
            Column::BusBandwidth => gigabytes(row.bus_bandwidth),
            Column::MessageRate => shown(row.message_rate.map(|rate| format!("{rate:.0}"))),
            Column::Overlap => shown(row.overlap.map(|part| format!("{:.1}", part * 100.0))),
            Column::SpeedUp => {
                let of_baseline = self.of_baseline.get(&place_in_baseline(&row.key));
                let of_baseline = of_baseline.filter(|_| !self.means_nothing(&row.key));
                shown(of_baseline.map(|baseline| times_as_fast(baseline / seconds.median)))
            }
            Column::Algorithm => shown(row.algorithm.clone()),
            Column::Carried => shown(row.carried.clone()),
        }
    }
}

impl View for Tables {
    fn begin(&mut self, run: &Run) {
        self.is_simulated = run.simulated;
    }

    fn row(&mut self, row: &Row) -> Vec<String> {
        let series = Key {
            bytes: 0,
            ..row.key.clone()
        };
        let mut lines = Vec::new();
        if self.series.as_ref() != Some(&series) {
            lines = self.heading(row);
            self.series = Some(series);
        }
        if self.baseline.is_some() && Way::of_key(&row.key) == self.baseline && !self.means_nothing(&row.key)
        {
            self.of_baseline
                .insert(place_in_baseline(&row.key), row.seconds.median);
        }
        lines.push(self.line(|column| self.cell(row, column)));
        lines
    }

    fn left_out(&mut self, left_out: &LeftOut) -> Vec<String> {
        self.series = None;
        let elements = elements(&left_out.operation, &left_out.dtype, left_out.op.as_deref());
        let way = Way::of(&left_out.by, &left_out.place, left_out.path.as_deref());
        let way = shown_way(way, &left_out.by, &left_out.place);
        let length = left_out.bytes.map(|bytes| format!(", {bytes} bytes"));
        let length = length.unwrap_or_default();
        vec![
            String::new(),
            format!("# {elements}, {way}{length}: left out: {}", left_out.reason),
        ]
    }

    fn end(&mut self) -> Vec<String> {
        Vec::new()
    }

    fn is_late(&self) -> bool {
        false
    }
}

impl Column {
    /// Its name, and the unit below.
    fn name(self, baseline: Option<Way>) -> (&'static str, &'static str) {
        match self {
            Column::Bytes => ("bytes", ""),
            Column::Samples => ("samples", ""),
            Column::Minimum => ("minimum", "us"),
            Column::Median => ("median", "us"),
            Column::P99 => ("p99", "us"),
            Column::Maximum => ("maximum", "us"),
            Column::AlgorithmBandwidth => ("alg", "GB/s"),
            Column::BusBandwidth => ("bus", "GB/s"),
            Column::MessageRate => ("messages", "1/s"),
            Column::Overlap => ("overlap", "%"),
            Column::SpeedUp => ("as fast as", baseline.map_or("", |way| way.name)),
            Column::Algorithm => ("algorithm", ""),
            Column::Carried => ("path", ""),
        }
    }
}

/// The name of a way, and what it is.
fn shown_way(way: Option<Way>, by: &str, place: &str) -> String {
    match way {
        Some(way) => format!("{}: {}", way.name, way.meaning),
        None => format!("{place} by {by}"),
    }
}

/// What finds the row of the baseline to compare with.
fn place_in_baseline(key: &Key) -> (String, u64) {
    (elements_of(key), key.bytes)
}

fn shown(cell: Option<String>) -> String {
    cell.unwrap_or_else(|| "-".to_owned())
}
