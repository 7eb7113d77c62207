//! The opcode table and the corpus as jobs: a kernel, its arguments and what they must hold afterwards,
//! whoever runs it.

pub mod case;
pub mod coverage;
pub mod expect;
pub mod form;
pub mod listings;

use expect::Check;

/// The first PTX version and the first target that have what a job uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Major and minor version of the PTX language.
    pub ptx: (u32, u32),
    /// The compute capability, as in `sm_70`.
    pub target: u32,
}

impl Needs {
    /// Reads `7.0 sm_80`.
    pub fn parse(text: &str) -> Option<Self> {
        let (version, target) = text.split_once(' ')?;
        let (major, minor) = version.split_once('.')?;
        // `sm_90a` is sm_90 with features that no other target has.
        let target = target.trim().strip_prefix("sm_")?.trim_end_matches('a');
        Some(Self {
            ptx: (major.parse().ok()?, minor.parse().ok()?),
            target: target.parse().ok()?,
        })
    }
}

/// One kernel launch and its expected results.
pub struct Job {
    /// What a test is called.
    pub name: String,
    /// What a device must have to run it.
    pub needs: Needs,
    /// The whole module.
    pub ptx: String,
    /// The kernel's name.
    pub entry: String,
    /// Blocks in x, y and z.
    pub grid: [u32; 3],
    /// Threads of a block in x, y and z.
    pub block: [u32; 3],
    /// Bytes of dynamic shared memory.
    pub shared: u32,
    /// The kernel's arguments, in order.
    pub arguments: Vec<Argument>,
    /// How it must end.
    pub end: End,
}

/// An argument of a kernel.
pub enum Argument {
    /// Passed by value.
    Value(Vec<u8>),
    /// The address of memory that holds `initial` before, and after the kernel what the checks say.
    Buffer {
        /// The bytes before.
        initial: Vec<u8>,
        /// What must be in it after.
        checks: Vec<Check>,
    },
}

/// How a job must end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The checks hold.
    Returns,
    /// The module is refused, and the message contains this.
    Unknown(String),
    /// The kernel is stopped for an access outside of memory.
    IllegalAddress(String),
    /// The kernel is stopped for a misaligned access.
    Misaligned(String),
    /// The kernel is stopped for what is illegal or undefined.
    Illegal(String),
}

impl Job {
    /// Makes every expectation wrong; whether there was any.
    pub fn spoil(&mut self) -> bool {
        let mut known = false;
        for argument in &mut self.arguments {
            if let Argument::Buffer { checks, .. } = argument {
                known |= checks
                    .iter_mut()
                    .fold(false, |known, check| check.expected.spoil() | known);
            }
        }
        known
    }

    /// Compares the buffers after the run, in the order of the arguments, with what is expected.
    pub fn verdict(&self, after: &[Vec<u8>]) -> Result<(), String> {
        let buffers = self.arguments.iter().filter_map(|argument| match argument {
            Argument::Buffer { checks, .. } => Some(checks),
            Argument::Value(_) => None,
        });
        let mut wrong = Vec::new();
        for (checks, bytes) in buffers.zip(after) {
            wrong.extend(checks.iter().filter_map(|check| check.disagreement(bytes)));
        }
        if wrong.is_empty() {
            return Ok(());
        }
        let shown: Vec<_> = wrong.iter().take(8).map(String::as_str).collect();
        Err(format!("{} values differ:\n{}", wrong.len(), shown.join("\n")))
    }
}

/// Splits a listing into records: `keyword rest` lines, a new record at each `first` keyword.
fn records<'a>(text: &'a str, first: &str) -> Vec<Vec<(&'a str, &'a str)>> {
    let mut records: Vec<Vec<_>> = Vec::new();
    for line in text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let (keyword, rest) = line.split_once(' ').unwrap_or((line, ""));
        if keyword == first {
            records.push(Vec::new());
        }
        records
            .last_mut()
            .expect("a listing starts with a record")
            .push((keyword, rest));
    }
    records
}

/// Three numbers, as of a grid.
fn shape(text: &str) -> [u32; 3] {
    let numbers: Vec<u32> = text
        .split(' ')
        .map(|number| number.parse().expect("a number"))
        .collect();
    numbers.try_into().expect("three numbers")
}
