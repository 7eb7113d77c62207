//! The support matrix: what the tests have seen work, and what they have seen refused. It is a page for each wire,
//! `docs/support.md` and `docs/support-plain.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use warpcomm::{Dtype, Op};

use super::BLESS_VARIABLE;
use super::Place;
use super::job::{Report, Setting};
use super::record::Cell;
use super::world::World;

/// Operations that move elements as they are.
const MOVING: &[&str] = &[
    "send",
    "ssend",
    "rsend",
    "bsend",
    "recv",
    "sendrecv",
    "sendrecv_replace",
    "isend",
    "issend",
    "irsend",
    "ibsend",
    "irecv",
    "probe",
    "iprobe",
    "mprobe",
    "improbe",
    "Message::recv",
    "Message::irecv",
    "send_init",
    "ssend_init",
    "rsend_init",
    "recv_init",
    "Scope::isend",
    "Scope::issend",
    "Scope::irsend",
    "Scope::irecv",
    "bcast",
    "gather",
    "gather_in_place",
    "gatherv",
    "gatherv_in_place",
    "scatter",
    "scatter_in_place",
    "scatterv",
    "scatterv_in_place",
    "allgather",
    "allgather_in_place",
    "allgatherv",
    "allgatherv_in_place",
    "alltoall",
    "alltoall_in_place",
    "alltoallv",
    "alltoallv_in_place",
    "alltoallw",
    "alltoallw_in_place",
];

/// Operations that fold elements.
const FOLDING: &[&str] = &[
    "reduce",
    "reduce_in_place",
    "allreduce",
    "allreduce_in_place",
    "reduce_scatter_block",
    "reduce_scatter_block_in_place",
    "reduce_scatter",
    "reduce_scatter_in_place",
    "scan",
    "scan_in_place",
    "exscan",
    "exscan_in_place",
];

/// Operations without elements.
const OTHERS: &[&str] = &[
    "barrier",
    "send_object",
    "recv_object",
    "sendrecv_object",
    "isend_object",
    "irecv_object",
    "bcast_object",
    "gather_object",
    "scatter_object",
    "allgather_object",
    "alltoall_object",
    "reduce_object",
    "allreduce_object",
    "duplicate",
    "split",
    "split_shared",
    "create",
    "create_group",
    "create_intercommunicator",
    "merge",
];

/// Operations that plain communicators do not have, beside those on objects and persistent collectives.
const NATIVE: &[&str] = &["create_group", "create_intercommunicator", "merge"];

/// The communicators that a page is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    Native,
    Plain,
}

impl Wire {
    fn of(world: World) -> Wire {
        match world.to_string().as_str() {
            "plain" => Wire::Plain,
            _ => Wire::Native,
        }
    }

    fn path(self) -> &'static str {
        match self {
            Wire::Native => "docs/support.md",
            Wire::Plain => "docs/support-plain.md",
        }
    }

    fn head(self) -> &'static str {
        match self {
            Wire::Native => HEAD,
            Wire::Plain => HEAD_OF_PLAIN,
        }
    }

    fn has(self, operation: &str) -> bool {
        self == Wire::Native || !NATIVE.contains(&operation) && !operation.ends_with("_object")
    }
}

/// Compares the pages with what the jobs have covered, or writes them.
pub fn check(reports: &[(Setting, &Report)]) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let is_blessed = std::env::var_os(BLESS_VARIABLE).is_some_and(|value| value == "1");
    let mut wrong = Vec::new();
    for wire in [Wire::Native, Wire::Plain] {
        let page = Page {
            wire,
            found: found(wire, reports),
            reasons: Reasons::read(&root.join("docs/support-reasons.md"), wire)?,
            cases: Vec::new(),
            used: BTreeSet::new(),
        };
        let path = root.join(wire.path());
        match page.written() {
            Err(gaps) => wrong.push(gaps),
            Ok(page) if is_blessed => {
                fs::write(&path, page).map_err(|error| format!("{}: {error}", path.display()))?;
            }
            Ok(page) if fs::read_to_string(&path).unwrap_or_default() == page => {}
            Ok(_) => wrong.push(format!(
                "{} is not what the tests have found; run them all with {BLESS_VARIABLE}=1 to write it anew",
                path.display()
            )),
        }
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(wrong.join("\n")),
    }
}

/// A case for each cell, which covered it in every kind of world with such communicators, with the usual settings, and
/// with buffers in every place.
fn found(wire: Wire, reports: &[(Setting, &Report)]) -> BTreeMap<Cell, String> {
    let mut covered: BTreeMap<(&Cell, &String), BTreeSet<(World, Place)>> = BTreeMap::new();
    // Which path elements take makes no difference to what can be done.
    let is_usual = |(setting, _): &&(Setting, &Report)| {
        setting
            .variables
            .iter()
            .all(|&(name, _)| name == "WARPCOMM_PATHS")
            && Wire::of(setting.world) == wire
    };
    for (setting, report) in reports.iter().filter(is_usual) {
        for (cell, cases) in &report.covered {
            for case in cases {
                let settings = covered.entry((cell, case)).or_default();
                settings.insert((setting.world, setting.place));
            }
        }
    }
    let worlds = World::ALL
        .iter()
        .filter(|world| Wire::of(**world) == wire)
        .count();
    let mut found = BTreeMap::new();
    for ((cell, case), settings) in covered {
        // Objects are in no memory but the host's.
        let places = if cell.operation.ends_with("_object") {
            1
        } else {
            Place::ALL.len()
        };
        if settings.len() >= worlds * places {
            found.entry(cell.clone()).or_insert_with(|| case.clone());
        }
    }
    found
}

struct Page {
    wire: Wire,
    found: BTreeMap<Cell, String>,
    reasons: Reasons,
    /// The cases in the order in which the page first names them.
    cases: Vec<String>,
    /// The reasons that a cell has named.
    used: BTreeSet<usize>,
}

impl Page {
    fn written(mut self) -> Result<String, String> {
        let mut blank = Vec::new();
        let mut tables = String::new();
        tables.push_str("\n## Moving elements\n\n");
        self.table(
            &mut tables,
            "operation",
            MOVING,
            |row| (row.to_owned(), None),
            &mut blank,
        );
        for &operation in FOLDING {
            let _ = write!(tables, "\n## {operation}\n\n");
            let ops: Vec<&str> = Op::ALL.iter().map(|op| op.name()).collect();
            let place = |row: &str| (operation.to_owned(), Some(row.to_owned()));
            self.table(&mut tables, "op", &ops, place, &mut blank);
        }
        self.forms(&mut tables, &mut blank);
        tables.push_str("\n## Without elements\n\n| operation | test |\n|---|---|\n");
        let wire = self.wire;
        for &operation in OTHERS.iter().filter(|operation| wire.has(operation)) {
            let cell = self.cell(operation.to_owned(), None, None, &mut blank);
            let _ = writeln!(tables, "| `{operation}` | {cell} |");
        }
        let own = self.reasons.list.iter().enumerate().skip(self.reasons.shared);
        let unused = own.filter(|(index, _)| !self.used.contains(index));
        let unused: Vec<String> = unused
            .map(|(_, reason)| format!("a reason that no cell needs: {}", reason.text))
            .collect();
        blank.extend(unused);
        if !blank.is_empty() {
            return Err(format!("{} has gaps:\n{}", self.wire.path(), blank.join("\n")));
        }
        let mut page = self.wire.head().to_owned();
        page.push_str(&tables);
        page.push_str("\n## Tests\n\n");
        for (index, case) in self.cases.iter().enumerate() {
            let _ = writeln!(page, "{}. `{case}`", index + 1);
        }
        page.push_str("\n## Reasons\n\n");
        for (index, reason) in self.reasons.list.iter().enumerate() {
            let _ = writeln!(page, "- {}: {}", letter(index), reason.text);
        }
        Ok(page)
    }

    /// A table of the collectives that go on by themselves.
    fn forms(&mut self, page: &mut String, blank: &mut Vec<String>) {
        page.push_str(FORMS);
        let wire = self.wire;
        let moving = MOVING.iter().skip_while(|operation| **operation != "bcast");
        for operation in ["barrier"].iter().chain(moving).chain(FOLDING) {
            let mut test = |form: String| self.cell(form, None, None, blank);
            let request = test(format!("i{operation}"));
            let scoped = match *operation {
                "barrier" => "-".to_owned(),
                _ => test(format!("Scope::i{operation}")),
            };
            let persistent = match wire {
                Wire::Native => test(format!("{operation}_init")),
                Wire::Plain => "-".to_owned(),
            };
            let _ = writeln!(page, "| `{operation}` | {request} | {scoped} | {persistent} |");
        }
    }

    /// A table whose columns are the element types.
    fn table(
        &mut self,
        page: &mut String,
        corner: &str,
        rows: &[&str],
        place: impl Fn(&str) -> (String, Option<String>),
        blank: &mut Vec<String>,
    ) {
        let names: Vec<&str> = Dtype::ALL.iter().map(|dtype| dtype.name()).collect();
        let _ = writeln!(page, "| {corner} | {} |", names.join(" | "));
        let _ = writeln!(page, "|---|{}", "---|".repeat(names.len()));
        for row in rows {
            let (operation, op) = place(row);
            let mut cell =
                |dtype: &&str| self.cell(operation.clone(), Some((*dtype).to_owned()), op.clone(), blank);
            let cells: Vec<String> = names.iter().map(&mut cell).collect();
            let _ = writeln!(page, "| `{row}` | {} |", cells.join(" | "));
        }
    }

    /// The number of the case that covered a cell, or the letter of the reason why it is refused.
    fn cell(
        &mut self,
        operation: String,
        dtype: Option<String>,
        op: Option<String>,
        blank: &mut Vec<String>,
    ) -> String {
        let cell = Cell {
            operation,
            dtype,
            op,
            supported: true,
        };
        let refused = Cell {
            supported: false,
            ..cell.clone()
        };
        let name = || [Some(&cell.operation), cell.op.as_ref(), cell.dtype.as_ref()];
        let name = name()
            .into_iter()
            .flatten()
            .cloned()
            .collect::<Vec<_>>()
            .join(" ");
        match (self.found.get(&cell).cloned(), self.found.get(&refused)) {
            (Some(_), Some(refused)) => {
                blank.push(format!("{name}: {refused} found it unsupported, others did not"))
            }
            (Some(case), None) => {
                let known = self.cases.iter().position(|other| *other == case);
                let index = known.unwrap_or_else(|| {
                    self.cases.push(case);
                    self.cases.len() - 1
                });
                return (index + 1).to_string();
            }
            (None, Some(_)) => match self.reasons.of(&cell) {
                Some(index) => {
                    self.used.insert(index);
                    return letter(index).to_string();
                }
                None => blank.push(format!(
                    "{name}: unsupported without a reason in docs/support-reasons.md"
                )),
            },
            (None, None) => blank.push(format!(
                "{name}: no passing test covers it in every kind of world with every placement"
            )),
        }
        String::new()
    }
}

fn letter(index: usize) -> char {
    char::from(b'a' + index as u8)
}

/// Why pairs of a reduction and an element type are unsupported.
struct Reasons {
    list: Vec<Reason>,
    /// So many of them are also those of another page.
    shared: usize,
}

struct Reason {
    ops: Vec<String>,
    dtypes: Vec<String>,
    text: String,
}

impl Reasons {
    /// Reads the rows of the tables in a page: ops, element types, reason. The second is about plain communicators.
    fn read(path: &PathBuf, wire: Wire) -> Result<Reasons, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let (native, _) = text
            .split_once("\n## ")
            .ok_or_else(|| format!("{}: only one table", path.display()))?;
        let is_row = |line: &&str| line.starts_with("| `");
        let (text, shared) = match wire {
            Wire::Native => (native, 0),
            Wire::Plain => (&*text, native.lines().filter(is_row).count()),
        };
        let words = |cell: &str| {
            cell.replace('`', " ")
                .split_whitespace()
                .map(str::to_owned)
                .collect()
        };
        let rows = text.lines().filter(is_row);
        let reasons = rows.map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            match cells[..] {
                [ops, dtypes, text] => Ok(Reason {
                    ops: words(ops),
                    dtypes: words(dtypes),
                    text: text.to_owned(),
                }),
                _ => Err(format!("{}: not three cells: {row}", path.display())),
            }
        });
        let list = reasons.collect::<Result<_, String>>()?;
        Ok(Reasons { list, shared })
    }

    fn of(&self, cell: &Cell) -> Option<usize> {
        let (op, dtype) = (cell.op.as_ref()?, cell.dtype.as_ref()?);
        // The page's own ones are behind those that it shares.
        self.list
            .iter()
            .rposition(|reason| reason.ops.contains(op) && reason.dtypes.contains(dtype))
    }
}

/// What the page says before the table of forms.
const FORMS: &str = "
## Collectives that go on by themselves

They do with elements what the blocking ones do, of which the tables above tell; the tests of those call every form in
turn. A barrier lends nothing to a scope.

| operation | request: `i`... | `Scope::i`... | persistent: ...`_init` |
|---|---|---|---|
";

/// What the page about plain communicators says before its tables.
const HEAD_OF_PLAIN: &str = "\
# What plain communicators support

Written by the tests, as [support.md](support.md), which explains it. Here communicators are plain: ranks may be other
programs of MPI, and messages and collectives are MPI's own. Objects, persistent collectives (a dash), `create_group` and
intercommunicators are `Unsupported` there (`plain::what_needs_envelopes_is_unsupported`).
";

/// What the page says before its tables.
const HEAD: &str = "\
# What is supported

Written by the tests (`WARPCOMM_TEST_BLESS=1 cargo test --test ranks`), which fail if it is out of date. Do not
edit it.

A number is the [test](#tests) that passed for this operation and element type, with ranks as threads and as
processes of an MPI job, and in both with each of these placements of the buffers. A letter says that the
combination is `Unsupported`, which a test has found to be an `Err` with each of them, for this
[reason](#reasons).

| placement | what the operations get |
|---|---|
| host | vectors, slices, arrays, boxes, `Arc`s and single elements |
| pinned | cudarc's `PinnedHostSlice` |
| device | cudarc's `CudaSlice`, `CudaView` and `CudaViewMut` at any alignment, and `RawSlice`, on GPUs |
| mixed | another one of all these for each buffer on each rank, on several GPUs |

The GPUs are simulated ones, whose streams take their time at random, unless the tests were told to require real
ones.
";
