//! Timelines on a terminal.

use std::time::Duration;

use super::Timeline;

/// The fewest columns of a row of bars.
const LEAST: usize = 10;

impl Timeline {
    /// A picture of so many columns for a terminal: a row for each worker, in which `#` is a time in which it ran tasks, `x` one in
    /// which one failed, `.` one in which it ran none; with its share of time without a task, and below that of all of them,
    /// and how far the clocks of ranks may be apart.
    pub fn to_text(&self, columns: usize) -> String {
        let begin = self.entries.iter().map(|entry| entry.begin).min().unwrap_or(0);
        let makespan = self.makespan().max(1);
        let labels: Vec<String> = self.workers.iter().map(|rank| format!("rank {rank} ")).collect();
        let widest = labels.iter().map(String::len).max().unwrap_or(0);
        let cells = columns.saturating_sub(widest + " 100%".len()).max(LEAST);
        let mut text = String::new();
        for (label, &rank) in labels.iter().zip(&self.workers) {
            let row = self.row(rank);
            let mut bar = vec!['.'; cells];
            for entry in &row {
                let cell =
                    |time: u64| ((u128::from(time - begin) * cells as u128) / u128::from(makespan)) as usize;
                let first = cell(entry.begin).min(cells - 1);
                let last = cell(entry.end.saturating_sub(1).max(entry.begin)).min(cells - 1);
                for mark in &mut bar[first..=last] {
                    if *mark != 'x' {
                        *mark = if entry.has_failed { 'x' } else { '#' };
                    }
                }
            }
            let busy: f64 = row.iter().map(|entry| entry.ran() as f64).sum();
            let idle = percent(1.0 - busy / makespan as f64);
            text.push_str(&format!(
                "{label:<widest$}{} {idle:>4}\n",
                bar.iter().collect::<String>()
            ));
        }
        text + &self.caption()
    }

    /// What the picture says in words.
    fn caption(&self) -> String {
        let failed = self.entries.iter().filter(|entry| entry.has_failed).count();
        let failed = match failed {
            0 => String::new(),
            failed => format!(", of which {failed} failed"),
        };
        format!(
            "{} tasks by {} workers in {:.3?}{failed}; idle {}; clocks agree within {:.1?}",
            self.entries.len(),
            self.workers.len(),
            Duration::from_nanos(self.makespan()),
            percent(self.idle()),
            Duration::from_nanos(self.clock_errors.iter().copied().max().unwrap_or(0))
        )
    }
}

fn percent(share: f64) -> String {
    format!("{:.0}%", 100.0 * share.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::super::Entry;
    use super::*;

    fn entry(rank: usize, task: u64, begin: u64, end: u64, has_failed: bool) -> Entry {
        Entry {
            name: String::new(),
            call: 0,
            task,
            attempt: 1,
            rank,
            gpu: None,
            given: begin,
            begin,
            end,
            bytes_in: 1,
            bytes_out: 1,
            has_failed,
        }
    }

    #[test]
    fn rows_are_workers_and_as_wide_as_asked_for() {
        let timeline = Timeline {
            workers: vec![1, 2, 12],
            clock_errors: vec![3000, 7000, 0],
            entries: vec![
                entry(1, 0, 1_000_000, 2_000_000, false),
                entry(2, 1, 1_000_000, 1_500_000, false),
                entry(2, 2, 1_750_000, 2_000_000, true),
            ],
        };
        let text = timeline.to_text(33);
        let expected = "rank 1  ####################   0%\n\
                        rank 2  ##########.....xxxxx  25%\n\
                        rank 12 .................... 100%\n\
                        3 tasks by 3 workers in 1.000ms, of which 1 failed; idle 42%; clocks agree within 7.0µs";
        assert_eq!(text, expected);
        assert!(Timeline::default().to_text(0).starts_with("0 tasks"));
    }

    #[test]
    fn times_at_the_end_and_of_nothing_have_a_place() {
        let timeline = Timeline {
            workers: vec![0],
            clock_errors: vec![0],
            entries: vec![entry(0, 0, 5, 5, false), entry(0, 1, u64::MAX, u64::MAX, false)],
        };
        assert!(timeline.to_text(30).contains('#'));
    }

    #[test]
    fn times_of_a_file_may_be_any() {
        let endless = |task| entry(0, task, 0, u64::MAX, false);
        let timeline = Timeline {
            workers: vec![0],
            clock_errors: vec![0],
            entries: vec![endless(0), endless(1)],
        };
        assert_eq!(timeline.idle(), 0.0);
        assert!(timeline.to_text(30).contains("  0%\n"));
    }
}
