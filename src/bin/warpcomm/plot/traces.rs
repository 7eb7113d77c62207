//! The traces of a job's ranks (`WARPCOMM_TRACE`), read together and written as one file.
//!
//! A trace is an array of events in the format that Perfetto and chrome://tracing open ("Trace Event Format", the array form).
//! Beside the events of operations and of their phases it has those that name a rank, and one that only warpcomm reads: from
//! when on the times of the file count, and, of pools, by how much they may be wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::error::Category;

/// The version of what ranks write. Another one is refused.
const FORMAT: u64 = 1;

/// The category of an event that is a phase of the operation around it, and no operation.
pub const PHASE: &str = "phase";

/// Times of one job are no further apart, in seconds: they count from the midnight before it.
const LONGEST_JOB: u64 = 2 * 86400;

/// Something that a rank did, from when to when.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The rank in the world.
    pub rank: usize,
    /// What a rank does at the same time is in different lanes. The phases of an operation are in its lane.
    pub lane: u32,
    /// Of the operation or the phase.
    pub name: String,
    /// `message`, `collective` or `operation`, or [`PHASE`].
    pub category: String,
    /// Counted from the first event of all ranks.
    pub start_us: f64,
    pub duration_us: f64,
    /// What is known beside: `peer`, `bytes`, `outcome`, ...
    pub arguments: BTreeMap<String, String>,
}

/// The traces of a job.
#[derive(Debug, Default, PartialEq)]
pub struct Traces {
    /// In the order of their starts; an operation is before its phases.
    pub events: Vec<Event>,
    /// What each rank is called: `rank 0 (host, GPU)`.
    pub ranks: BTreeMap<usize, String>,
    /// What the lanes of each rank are called.
    pub lanes: BTreeMap<(usize, u32), String>,
    /// By how much the times of ranks may be wrong, of those that say it.
    pub clock_errors_us: BTreeMap<usize, f64>,
    /// What is missing, in words.
    pub notes: Vec<String>,
}

impl Traces {
    /// The events of all ranks, in the order of their starts, from the files that they wrote or a merged one.
    ///
    /// A file that ends too early, because its rank was killed, counts as far as it goes; a note says so.
    ///
    /// # Errors
    /// The file and the place in it where it is no trace of warpcomm; that two files are of one rank, or of different jobs.
    pub fn read(files: &[PathBuf]) -> Result<Traces, String> {
        let mut all = Traces::default();
        let mut origins = BTreeMap::new();
        for file in files {
            let name = file.display();
            let text = fs::read(file).map_err(|error| format!("{name}: {error}"))?;
            let read = Contents::read(&text).map_err(|error| format!("{name}: {error}"))?;
            if let Some(rank) = read.origins.keys().find(|rank| origins.contains_key(*rank)) {
                return Err(format!("{name}: rank {rank} is in another of the files too"));
            }
            if read.is_cut_off {
                all.notes
                    .push(format!("{name} ends too early; what is there is used"));
            }
            all.notes.extend(
                read.traces
                    .notes
                    .into_iter()
                    .map(|note| format!("{name}: {note}")),
            );
            origins.extend(read.origins);
            all.events.extend(read.traces.events);
            all.ranks.extend(read.traces.ranks);
            all.lanes.extend(read.traces.lanes);
            all.clock_errors_us.extend(read.traces.clock_errors_us);
        }
        for rank in origins.keys() {
            all.ranks.entry(*rank).or_insert_with(|| format!("rank {rank}"));
        }
        let first = origins.values().copied().min().unwrap_or(0);
        if origins.values().any(|origin| origin - first > LONGEST_JOB) {
            return Err("the files are of different jobs: their times are days apart".to_owned());
        }
        for event in &mut all.events {
            event.start_us += (origins[&event.rank] - first) as f64 * 1e6;
        }
        all.events.sort_by(|left, right| {
            let longest_first = right.duration_us.total_cmp(&left.duration_us);
            left.start_us.total_cmp(&right.start_us).then(longest_first)
        });
        let start = all.events.first().map_or(0.0, |event| event.start_us);
        all.events.iter_mut().for_each(|event| event.start_us -= start);
        Ok(all)
    }

    /// What the first event of a rank says.
    fn head(&self, rank: usize) -> Value {
        let mut head = serde_json::json!({"format": FORMAT, "origin": 0});
        if let Some(error_us) = self.clock_errors_us.get(&rank) {
            head["clock_error_us"] = (*error_us).into();
        }
        head
    }

    /// Writes one file that Perfetto and chrome://tracing open.
    ///
    /// # Errors
    /// The file, and why it cannot be written.
    pub fn write(&self, file: &Path) -> Result<(), String> {
        let named = |(rank, name): (&usize, &String)| {
            [
                serde_json::json!({"ph": "M", "name": "warpcomm", "pid": rank, "args": self.head(*rank)}),
                serde_json::json!({"ph": "M", "name": "process_name", "pid": rank, "args": {"name": name}}),
                serde_json::json!({"ph": "M", "name": "process_sort_index", "pid": rank, "args": {"sort_index": rank}}),
            ]
        };
        let lane = |((rank, lane), name): (&(usize, u32), &String)| {
            [
                serde_json::json!({"ph": "M", "name": "thread_name", "pid": rank, "tid": lane, "args": {"name": name}}),
                serde_json::json!({
                    "ph": "M", "name": "thread_sort_index", "pid": rank, "tid": lane, "args": {"sort_index": lane}
                }),
            ]
        };
        let event = |event: &Event| {
            serde_json::json!({
                "ph": "X", "name": event.name, "cat": event.category, "pid": event.rank, "tid": event.lane,
                "ts": event.start_us, "dur": event.duration_us, "args": event.arguments
            })
        };
        let metadata = self
            .ranks
            .iter()
            .flat_map(named)
            .chain(self.lanes.iter().flat_map(lane));
        let events = metadata.chain(self.events.iter().map(event));
        write_array(events, file).map_err(|error| format!("{}: {error}", file.display()))
    }
}

/// Writes an array, a value a line.
fn write_array(values: impl Iterator<Item = Value>, file: &Path) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(file)?);
    file.write_all(b"[")?;
    let mut separator = "\n";
    for value in values {
        write!(file, "{separator}{value}")?;
        separator = ",\n";
    }
    file.write_all(b"\n]\n")?;
    file.flush()
}

/// What is in a file.
#[derive(Default)]
struct Contents {
    traces: Traces,
    /// From when on the times of each rank count, in seconds since 1970.
    origins: BTreeMap<usize, u64>,
    is_cut_off: bool,
}

impl Contents {
    fn read(text: &[u8]) -> Result<Contents, String> {
        let mut contents = Contents::default();
        let mut deserializer = serde_json::Deserializer::from_slice(text);
        let read = deserializer
            .deserialize_any(Whole(&mut contents))
            .and_then(|()| deserializer.end());
        match read {
            Ok(()) => {}
            Err(error) if error.classify() == Category::Eof && !contents.origins.is_empty() => {
                contents.is_cut_off = true;
            }
            Err(error) => return Err(error.to_string()),
        }
        match contents.origins.is_empty() {
            true => Err("no trace of warpcomm: it does not say of which rank it is".to_owned()),
            false => Ok(contents),
        }
    }

    /// Takes in one event; what it is not is said in words.
    fn take(&mut self, raw: Raw) -> Result<(), String> {
        let Raw {
            ph,
            name,
            pid,
            tid,
            ts,
            dur,
            cat,
            args,
        } = raw;
        match (ph.as_str(), name.as_str()) {
            ("M", "warpcomm") => {
                let number = |name: &str| args.get(name).and_then(Value::as_u64);
                match number("format") {
                    Some(FORMAT) => {}
                    Some(other) => {
                        return Err(format!(
                            "a trace of the format {other}; this program reads {FORMAT}"
                        ));
                    }
                    None => return Err("no trace of warpcomm: it does not say its format".to_owned()),
                }
                let origin = number("origin").ok_or("it is not said when its times begin")?;
                if self.origins.insert(pid, origin).is_some() {
                    return Err(format!("rank {pid} begins for the second time"));
                }
                let error_us = args.get("clock_error_us").and_then(Value::as_f64);
                self.traces
                    .clock_errors_us
                    .extend(error_us.map(|error_us| (pid, error_us)));
            }
            ("M", "process_name") => drop(self.traces.ranks.insert(pid, shown(args.get("name")))),
            ("M", "thread_name") => drop(self.traces.lanes.insert((pid, tid), shown(args.get("name")))),
            ("i", "left out") => {
                let number = shown(args.get("operations"));
                let note =
                    format!("rank {pid} left out {number} operations that came too fast to be written");
                self.traces.notes.push(note);
            }
            ("X", _) => {
                if !self.origins.contains_key(&pid) {
                    return Err("no trace of warpcomm: it does not say of which rank it is".to_owned());
                }
                let times = ts.zip(dur).filter(|(ts, dur)| ts.is_finite() && *dur >= 0.0);
                let (start_us, duration_us) = times.ok_or_else(|| format!("no times of {name:?}"))?;
                self.traces.events.push(Event {
                    rank: pid,
                    lane: tid,
                    name,
                    category: cat,
                    start_us,
                    duration_us,
                    arguments: args
                        .into_iter()
                        .map(|(name, value)| (name, shown(Some(&value))))
                        .collect(),
                });
            }
            // Of no use here.
            _ => {}
        }
        Ok(())
    }
}

/// A value without the quotes of a text.
fn shown(value: Option<&Value>) -> String {
    match value {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// An event as it is in the file.
#[derive(Deserialize)]
struct Raw {
    ph: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    pid: usize,
    #[serde(default)]
    tid: u32,
    ts: Option<f64>,
    dur: Option<f64>,
    #[serde(default)]
    cat: String,
    #[serde(default)]
    args: BTreeMap<String, Value>,
}

/// A file: an array of events, or an object with one.
struct Whole<'a>(&'a mut Contents);

impl<'de> Visitor<'de> for Whole<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the events of a trace")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut events: A) -> Result<(), A::Error> {
        while let Some(raw) = events.next_element()? {
            self.0.take(raw).map_err(A::Error::custom)?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        while let Some(key) = object.next_key::<String>()? {
            match key.as_str() {
                "traceEvents" => object.next_value_seed(Whole(&mut *self.0))?,
                _ => drop(object.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Whole<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file of a rank that begins on this day, with these events behind its name.
    fn file(directory: &Path, rank: usize, day: u64, events: &str) -> PathBuf {
        let path = directory.join(format!("trace.{rank}.json"));
        let origin = day * 86400;
        let error = if rank == 1 { r#","clock_error_us":2.5"# } else { "" };
        let head = format!(
            r#"[
{{"ph":"M","name":"warpcomm","pid":{rank},"args":{{"format":1,"origin":{origin}{error}}}}},
{{"ph":"M","name":"process_name","pid":{rank},"args":{{"name":"rank {rank} (node, \"GPU\")"}}}}"#
        );
        fs::write(&path, head + events).unwrap();
        path
    }

    fn operation(rank: usize, name: &str, start: f64, duration: f64) -> String {
        format!(
            ",\n{{\"ph\":\"X\",\"name\":\"{name}\",\"cat\":\"message\",\"pid\":{rank},\"tid\":0,\"ts\":{start:.3},\
             \"dur\":{duration:.3},\"args\":{{\"dest\":1,\"path\":\"inline\"}}}}"
        )
    }

    #[test]
    fn ranks_are_put_together_by_their_times() {
        let directory = tempfile::tempdir().unwrap();
        let end = "\n]\n";
        // Midnight lies between the starts of the two.
        let files = [
            file(directory.path(), 1, 8, &(operation(1, "recv", 1.0, 2.0) + end)),
            file(
                directory.path(),
                0,
                7,
                &(operation(0, "phase", 86_399_999_999.5, 1.5)
                    + &operation(0, "send", 86_399_999_999.5, 2.0)
                    + end),
            ),
        ];
        let traces = Traces::read(&files).unwrap();
        let seen: Vec<_> = traces
            .events
            .iter()
            .map(|event| (&*event.name, event.rank, event.start_us, event.duration_us))
            .collect();
        assert_eq!(
            seen,
            [
                ("send", 0, 0.0, 2.0),
                ("phase", 0, 0.0, 1.5),
                ("recv", 1, 1.5, 2.0)
            ]
        );
        assert_eq!(traces.events[0].arguments["dest"], "1");
        assert_eq!(traces.events[0].arguments["path"], "inline");
        assert_eq!(traces.ranks[&0], "rank 0 (node, \"GPU\")");
        // What is written is read as the same.
        assert_eq!(traces.clock_errors_us, BTreeMap::from([(1, 2.5)]));
        let merged = directory.path().join("merged.json");
        traces.write(&merged).unwrap();
        assert_eq!(Traces::read(&[merged]).unwrap(), traces);
    }

    #[test]
    fn a_file_that_was_cut_off_counts_as_far_as_it_goes() {
        let directory = tempfile::tempdir().unwrap();
        let whole = operation(0, "send", 1.0, 2.0) + &operation(0, "recv", 4.0, 2.0);
        let path = file(directory.path(), 0, 1, &whole);
        let length = fs::read(&path).unwrap().len();
        let head = length - whole.len();
        let mut counts = Vec::new();
        for cut in head..=length {
            let text = fs::read(&path).unwrap();
            let part = directory.path().join("part.json");
            fs::write(&part, &text[..cut]).unwrap();
            let traces = Traces::read(&[part]).unwrap();
            assert_eq!(traces.notes.len(), 1);
            counts.push(traces.events.len());
        }
        assert!(
            counts.is_sorted() && counts[0] == 0 && counts[counts.len() - 1] == 2,
            "{counts:?}"
        );
    }

    #[test]
    fn what_is_no_trace_is_refused_with_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let refused = |text: &str| {
            let path = directory.path().join("bad.json");
            fs::write(&path, text).unwrap();
            let error = Traces::read(std::slice::from_ref(&path)).unwrap_err();
            error
                .strip_prefix(&format!("{}: ", path.display()))
                .unwrap()
                .to_owned()
        };
        let head = r#"[{"ph":"M","name":"warpcomm","pid":0,"args":{"format":1,"origin":0}},"#;
        for (text, message) in [
            (String::new(), "EOF while parsing a value at line 1 column 0"),
            (
                "[\n{\"ph\":\"X\"}]".to_owned(),
                "no trace of warpcomm: it does not say of which rank it is at line 2 column 11",
            ),
            (
                format!("{head}\n{{\"ph\" 1}}]"),
                "expected `:` at line 2 column 7",
            ),
            (
                format!("{head}\n{{\"ph\":\"X\"}}]"),
                "no times of \"\" at line 2 column 11",
            ),
            (format!("{head}\nx"), "expected value at line 2 column 1"),
            (
                "[]".to_owned(),
                "no trace of warpcomm: it does not say of which rank it is",
            ),
            (
                "{}".to_owned(),
                "no trace of warpcomm: it does not say of which rank it is",
            ),
            (
                "7".to_owned(),
                "invalid type: integer `7`, expected the events of a trace at line 1 column 1",
            ),
            (
                head.replace("\"format\":1", "\"format\":2"),
                "a trace of the format 2; this program reads 1 at line 1 column 69",
            ),
            (
                format!("{}]\n]", head.trim_end_matches(',')),
                "trailing characters at line 2 column 1",
            ),
        ] {
            assert_eq!(refused(&text), message, "{text}");
        }
    }

    #[test]
    fn files_of_one_rank_or_of_different_jobs_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let here = |name: &str| {
            fs::create_dir_all(directory.path().join(name)).unwrap();
            directory.path().join(name)
        };
        let first = file(&here("a"), 0, 1, "]");
        let error = Traces::read(&[first.clone(), file(&here("b"), 0, 1, "]")]).unwrap_err();
        assert!(error.contains("rank 0 is in another of the files too"), "{error}");
        let error = Traces::read(&[first, file(&here("c"), 1, 9, "]")]).unwrap_err();
        assert!(error.contains("different jobs"), "{error}");
    }

    #[test]
    fn operations_that_were_left_out_are_told_of() {
        let directory = tempfile::tempdir().unwrap();
        let note = ",\n{\"ph\":\"i\",\"name\":\"left out\",\"pid\":0,\"ts\":1.0,\"s\":\"p\",\"args\":{\"operations\":17}}\n]\n";
        let traces = Traces::read(&[file(directory.path(), 0, 1, note)]).unwrap();
        assert!(traces.notes[0].ends_with("rank 0 left out 17 operations that came too fast to be written"));
    }
}
