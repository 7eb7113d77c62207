//! Several launches of the same jobs, shown as one when all are over.

use super::view::View;
use crate::record::{LeftOut, Row, Run};
use crate::statistics::{Summary, quantile};

/// Keeps what launches give, and shows another view what they say together.
pub struct Launches<V> {
    view: V,
    wanted: usize,
    begun: usize,
    /// In the order in which they first came.
    items: Vec<Item>,
}

/// What the other view is shown.
enum Item {
    /// The rows of one key, a launch each.
    Rows(Vec<Row>),
    LeftOut(LeftOut),
}

impl<V: View> Launches<V> {
    /// So many launches, of which the view shows what they say together.
    pub fn new(view: V, wanted: usize) -> Launches<V> {
        Launches {
            view,
            wanted,
            begun: 0,
            items: Vec::new(),
        }
    }
}

impl<V: View> View for Launches<V> {
    fn begin(&mut self, run: &Run) {
        self.begun += 1;
        self.view.begin(run);
    }

    fn row(&mut self, row: &Row) -> Vec<String> {
        let of_key = self.items.iter_mut().find_map(|item| match item {
            Item::Rows(rows) if rows[0].key == row.key => Some(rows),
            _ => None,
        });
        match of_key {
            Some(rows) => rows.push(row.clone()),
            None => self.items.push(Item::Rows(vec![row.clone()])),
        }
        Vec::new()
    }

    fn left_out(&mut self, left_out: &LeftOut) -> Vec<String> {
        let mut others = self.items.iter();
        if !others.any(|item| matches!(item, Item::LeftOut(other) if other == left_out)) {
            self.items.push(Item::LeftOut(left_out.clone()));
        }
        Vec::new()
    }

    fn end(&mut self) -> Vec<String> {
        let launches = match self.begun == self.wanted {
            true => self.wanted.to_string(),
            false => format!("{} of {}", self.begun, self.wanted),
        };
        let mut lines = vec![format!(
            "# launches: {launches}; the minimum and the maximum are over all of them, every other figure is the median of theirs"
        )];
        for item in std::mem::take(&mut self.items) {
            lines.extend(match item {
                Item::Rows(rows) => self.view.row(&together(&rows)),
                Item::LeftOut(left_out) => self.view.left_out(&left_out),
            });
        }
        lines.extend(self.view.end());
        lines
    }

    fn is_late(&self) -> bool {
        true
    }
}

/// What rows of one key, one at least, say together: the least minimum, the greatest maximum, and medians.
fn together(rows: &[Row]) -> Row {
    let median = |of: &dyn Fn(&Row) -> f64| typical(rows.iter().map(of)).unwrap_or(f64::NAN);
    let rate = |of: fn(&Row) -> Option<f64>| typical(rows.iter().filter_map(of));
    let of_all = |of: fn(&Row) -> f64| rows.iter().map(of);
    Row {
        seconds: Summary {
            minimum: of_all(|row| row.seconds.minimum).fold(f64::INFINITY, f64::min),
            median: median(&|row| row.seconds.median),
            p99: median(&|row| row.seconds.p99),
            maximum: of_all(|row| row.seconds.maximum).fold(0.0, f64::max),
        },
        samples: rows.iter().flat_map(|row| row.samples.iter().copied()).collect(),
        algorithm_bandwidth: rate(|row| row.algorithm_bandwidth),
        bus_bandwidth: rate(|row| row.bus_bandwidth),
        message_rate: rate(|row| row.message_rate),
        overlap: rate(|row| row.overlap),
        checked: rows.iter().all(|row| row.checked),
        ..rows[0].clone()
    }
}

/// The median; `None` of nothing.
fn typical(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    (!values.is_empty()).then(|| quantile(&values, 0.5))
}
