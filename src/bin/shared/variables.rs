//! The `WARPCOMM_*` variables of this process: those of the library and of the command, and those that nobody reads.

use std::env;

use serde::{Deserialize, Serialize};

use crate::settings::Setting;

/// What only the command `warpcomm` reads: the variable, what it says, and what counts without it.
const OF_THE_COMMAND: [[&str; 3]; 3] = [
    [
        "WARPCOMM_LAUNCHER",
        "the MPI launcher that the command warpcomm starts, a path or a name on PATH",
        "the first on PATH that fits the program",
    ],
    [
        "WARPCOMM_SIMGPU",
        "the file of the simulated GPU",
        "libsimgpu.so beside the command warpcomm",
    ],
    [
        "WARPCOMM_TERMINAL",
        "the file of the terminal on which pools show how far they are",
        "the standard error, or the terminal of warpcomm run",
    ],
];

/// What tests and benches are told, and tell their parts: all that begin so, and one.
const OF_TESTS: [&str; 2] = ["WARPCOMM_TEST_", "WARPCOMM_REQUIRE_GPU"];

/// How much alike names are of which one is meant to be the other: as clap has it.
const ALIKE: f64 = 0.7;

/// A variable that is read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Variable {
    pub name: String,
    /// What it is set to, if it is.
    pub value: Option<String>,
    /// What counts where it is not set, in words.
    pub default: String,
    pub meaning: String,
    /// Why it cannot have this value, if it cannot.
    pub problem: Option<String>,
}

/// A variable that is set and that nobody reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unknown {
    pub name: String,
    /// What may be meant.
    pub nearest: Option<String>,
}

/// All that are read.
pub fn known() -> Vec<Variable> {
    let of_the_library = Setting::ALL.iter().map(|setting| {
        let value = setting.value();
        Variable {
            name: setting.name().to_owned(),
            problem: value.as_deref().and_then(|value| setting.check(value).err()),
            value,
            default: setting.default().to_owned(),
            meaning: setting.meaning().to_owned(),
        }
    });
    let of_the_command = OF_THE_COMMAND.iter().map(|[name, meaning, default]| Variable {
        name: (*name).to_owned(),
        value: env::var_os(name).map(|value| value.to_string_lossy().into_owned()),
        default: (*default).to_owned(),
        meaning: (*meaning).to_owned(),
        problem: None,
    });
    of_the_library.chain(of_the_command).collect()
}

/// All that are set and that nobody reads, in the order of their names.
pub fn unknown() -> Vec<Unknown> {
    let mut names: Vec<String> = env::vars_os()
        .map(|(name, _)| name.to_string_lossy().into_owned())
        .filter(|name| name.starts_with("WARPCOMM_") && !is_of_tests(name) && !is_known(name))
        .collect();
    names.sort();
    let unknown = |name: String| Unknown {
        nearest: nearest(&name, names_that_are_read()).map(str::to_owned),
        name,
    };
    names.into_iter().map(unknown).collect()
}

/// Whether a variable is for tests and benches alone, and says nothing about what is measured.
pub fn is_of_tests(name: &str) -> bool {
    let [beginning, one] = OF_TESTS;
    name.starts_with(beginning) || name == one
}

/// That of several names which is most like one that is not among them, if any is like it.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|other| (strsim::jaro(name, other), other))
        .filter(|(likeness, _)| *likeness > ALIKE)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, other)| other)
}

fn names_that_are_read() -> impl Iterator<Item = &'static str> {
    let of_the_command = OF_THE_COMMAND.iter().map(|[name, ..]| *name);
    Setting::ALL.iter().map(Setting::name).chain(of_the_command)
}

fn is_known(name: &str) -> bool {
    names_that_are_read().any(|known| known == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found() {
        // All begin alike, and what differs counts.
        let nearest = |name| nearest(name, names_that_are_read());
        assert_eq!(nearest("WARPCOMM_TIMOUT"), Some("WARPCOMM_TIMEOUT"));
        assert_eq!(nearest("WARPCOMM_EAGERLIMIT"), Some("WARPCOMM_EAGER_LIMIT"));
        assert_eq!(nearest("WARPCOMM_CUDAAWARE"), Some("WARPCOMM_CUDA_AWARE"));
        assert_eq!(nearest("X"), None);
    }
}
