//! The structure that DESIGN.md describes, held against the source: files name their own floor or lower ones,
//! foreign libraries stay behind their fences, and `unsafe` where it is argued for.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The floor of each module at the crate's root.
const FLOORS: &[(&str, u32)] = &[
    ("error", 0),
    ("dtype", 0),
    ("op", 0),
    ("config", 0),
    ("message", 0),
    ("group", 0),
    ("fingerprint", 0),
    ("node", 0),
    ("path", 0),
    ("awareness", 0),
    ("replace", 0),
    ("buffer", 1),
    ("device", 1),
    ("transport", 2),
    ("engine", 3),
    ("plan", 3),
    ("tuning", 4),
    ("comm", 4),
    ("route", 4),
    ("request", 5),
    ("collective", 5),
    ("object", 5),
    ("intercommunicator", 5),
    ("point_to_point", 5),
    ("scope", 5),
    ("pool", 6),
    ("threads", 6),
    ("runtime", 6),
    ("wire", 6),
    ("interop", 7),
    ("bin", 8),
];

/// Where a foreign library may be named.
const FENCES: &[(&str, &[&str])] = &[
    // Users share communicators of its bindings.
    (
        "mpi::",
        &[
            "src/transport/mpi/",
            "src/interop.rs",
            "src/bin/shared/mpi_call.rs",
            "src/bin/warpcomm-rank/bench/library.rs",
        ],
    ),
    // The crate's root gives it to users.
    (
        "cudarc",
        &[
            "src/device/",
            "src/lib.rs",
            "src/bin/warpcomm-rank/bench/element.rs",
            "src/bin/warpcomm-rank/bench/memory.rs",
            "src/bin/warpcomm-rank/bench/nccl.rs",
            "src/bin/warpcomm-rank/bench/pinned.rs",
            "src/bin/warpcomm-rank/bench/staging.rs",
            "src/bin/warpcomm-rank/gpus.rs",
            "src/bin/warpcomm-rank/info/routes.rs",
            "src/bin/warpcomm-rank/proof.rs",
        ],
    ),
    ("cbor4ii", &["src/object/"]),
    ("console", &["src/pool/progress_bar.rs"]),
    (
        "indicatif",
        &["src/bin/warpcomm/bench/screen.rs", "src/pool/progress_bar.rs"],
    ),
    (
        "serde_json",
        &["src/pool/timeline/files.rs", "src/tuning/file.rs", "src/bin/"],
    ),
    ("rustix", &["src/transport/devices/shared/", "src/bin/warpcomm/"]),
    (
        "libloading",
        &[
            "src/bin/warpcomm-rank/bench/nccl.rs",
            "src/engine/trace/nvtx.rs",
            "src/transport/mpi/",
        ],
    ),
    (
        "tracing",
        &[
            "src/bin/shared/carried.rs",
            "src/engine/activity.rs",
            "src/engine/trace.rs",
        ],
    ),
    (
        "signal_hook",
        &[
            "src/bin/warpcomm/bench/signals.rs",
            "src/bin/warpcomm/run/time_limit.rs",
            "src/engine/reporter.rs",
            "src/pool/interrupt.rs",
        ],
    ),
    ("loom", &["src/engine/sync.rs", "src/engine/baton.rs"]),
];

/// Where `unsafe` blocks and implementations may stand.
const UNSAFE: &[&str] = &[
    // What the driver says of GPUs that are not in use.
    "src/bin/warpcomm-rank/gpus.rs",
    // MPI's own functions, and NCCL's, beside which the library is measured.
    "src/bin/shared/mpi_call.rs",
    "src/bin/warpcomm-rank/bench/library.rs",
    "src/bin/warpcomm-rank/bench/nccl.rs",
    // Memory that the driver has locked.
    "src/bin/warpcomm-rank/bench/pinned.rs",
    // Memory that is allocated in every way that there is.
    "src/bin/warpcomm-rank/proof.rs",
    "src/buffer/",
    "src/collective/",
    "src/device/",
    "src/dtype",
    "src/engine/",
    // An allocator that counts.
    "src/object/tests.rs",
    "src/point_to_point.rs",
    "src/point_to_point/replace.rs",
    "src/request.rs",
    "src/request/persistent.rs",
    "src/scope.rs",
    "src/transport/",
];

fn sources() -> BTreeMap<String, String> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => walk(&path, found),
                false if path.extension().is_some_and(|extension| extension == "rs") => found.push(path),
                false => {}
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    walk(&root.join("src"), &mut found);
    let name = |path: &Path| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    found
        .iter()
        .map(|path| (name(path), fs::read_to_string(path).unwrap()))
        .collect()
}

/// The code of a file, without comments and without its tests.
fn code(text: &str) -> String {
    let end = text
        .find("#[cfg(test)]\nmod")
        .or(text.find("#[cfg(all(test"))
        .unwrap_or(text.len());
    let line = |line: &str| line.split("//").next().unwrap_or("").to_owned() + "\n";
    text[..end].lines().map(line).collect()
}

/// The module at the crate's root to which a file belongs.
fn root_module(file: &str) -> &str {
    let file = file.trim_start_matches("src/").trim_end_matches(".rs");
    file.split('/').next().unwrap_or(file)
}

fn floor(module: &str) -> Option<u32> {
    FLOORS
        .iter()
        .find(|(name, _)| *name == module)
        .map(|(_, floor)| *floor)
}

/// The modules that code names by `crate::`.
fn named(code: &str) -> Vec<String> {
    code.match_indices("crate::")
        .filter(|(at, _)| !code[..*at].ends_with('$'))
        .map(|(at, path)| {
            let rest = &code[at + path.len()..];
            rest.chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect()
        })
        .collect()
}

#[test]
fn files_name_their_own_floor_or_lower() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let module = root_module(&file);
        if module == "lib" {
            continue;
        }
        let own =
            floor(module).unwrap_or_else(|| panic!("{file} has no floor: add it to FLOORS and to DESIGN.md"));
        for other in named(&code(&text)) {
            match floor(&other) {
                Some(floor) if floor > own => {
                    wrong.push(format!("{file} (floor {own}) names {other} ({floor})"))
                }
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn foreign_libraries_stay_behind_their_fences() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        for line in code(&text).lines() {
            for (library, fence) in FENCES {
                let names = line.match_indices(library).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
                });
                let is_configuration = line.contains("cfg(");
                if names && !is_configuration && !fence.iter().any(|allowed| file.starts_with(allowed)) {
                    wrong.push(format!("{file}: {}", line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn unsafe_stays_where_it_is_argued_for() {
    for (file, text) in sources() {
        let fenced = UNSAFE.iter().any(|allowed| file.starts_with(allowed));
        let uses = code(&text)
            .lines()
            .any(|line| line.contains("unsafe ") || line.contains("unsafe{"));
        assert!(fenced || !uses, "{file} uses unsafe outside of the fence");
    }
}

#[test]
fn every_floor_has_a_file() {
    let files = sources();
    for (module, _) in FLOORS {
        assert!(
            files.keys().any(|file| root_module(file) == *module),
            "{module} is in FLOORS and not in src"
        );
    }
}

#[test]
fn only_the_launcher_knows_that_gpus_can_be_simulated() {
    for (file, text) in sources() {
        let names = code(&text).to_lowercase().contains("simgpu");
        let is_launcher = [
            "src/bin/warpcomm/sim.rs",
            "src/bin/warpcomm/run.rs",
            // What variables are for.
            "src/bin/shared/variables.rs",
        ]
        .contains(&&*file);
        assert!(!names || is_launcher, "{file} names the simulated GPU");
    }
}

/// Every row of the table of the field has tests, or waits for what is later.
#[test]
fn the_field_table_names_tests_that_exist() {
    let text = fs::read_to_string("docs/field.md").unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| ")).skip(1);
    let mut of_ours = 0;
    for row in rows {
        let ours = row.split('|').nth(2).unwrap_or_default().trim();
        if ours == "N, later" {
            continue;
        }
        of_ours += 1;
        for link in ours.split(' ') {
            let link = link.strip_prefix("[Y](").and_then(|link| link.strip_suffix(')'));
            let link = link.unwrap_or_else(|| panic!("neither links nor a reason: {row}"));
            assert!(Path::new("docs").join(link).exists(), "{row}: there is no {link}");
        }
    }
    assert_eq!(of_ours, 38, "what is ours");
}

/// A test by the program that it is in, and its name there.
struct Test {
    program: String,
    name: String,
}

/// The test that a promise names: a multi-rank case, a test of another program, or one of the library.
fn find(test: &str) -> Option<Test> {
    let read = |file: String| fs::read_to_string(file).unwrap_or_default();
    let (first, rest) = test.split_once("::")?;
    let is_case = |text: &str| {
        let in_table = |table: &str| {
            let (_, rows) = text.split_once(table)?;
            let (rows, _) = rows.split_once("\n}")?;
            let is_row = |row: &str| {
                row.trim()
                    .strip_prefix(rest)
                    .is_some_and(|row| row.starts_with(':'))
            };
            rows.lines().find(|row| is_row(row))
        };
        let is_solo = text.contains(&format!("name: \"{rest}\","));
        is_solo
            || ["\ncases! {", "\nsweeps! {"]
                .into_iter()
                .any(|table| in_table(table).is_some())
    };
    if is_case(&read(format!("tests/ranks/{first}.rs"))) {
        return Some(Test {
            program: "ranks".to_owned(),
            name: test.to_owned(),
        });
    }
    let (path, function) = test.rsplit_once("::")?;
    let definition = format!("fn {function}(");
    let is_test = |file: String| {
        let text = read(file);
        text.split_once("#[test]")
            .is_some_and(|(_, tests)| tests.contains(&definition))
    };
    let of_program = format!("tests/{}.rs", path.replace("::", "/"));
    if [of_program, format!("tests/{first}/{first}.rs")]
        .into_iter()
        .any(is_test)
    {
        return Some(Test {
            program: first.to_owned(),
            name: rest.to_owned(),
        });
    }
    let path = path.replace("::", "/");
    // The module of the tests may be in the file that they test.
    [&path, path.strip_suffix("/tests").unwrap_or(&path)]
        .into_iter()
        .any(|path| is_test(format!("src/{path}.rs")))
        .then(|| Test {
            program: "lib".to_owned(),
            name: test.to_owned(),
        })
}

/// The program and the filter of the command that catches a planted bug.
fn command(patch: &str) -> Option<(&str, &str)> {
    let command = patch.lines().find_map(|line| line.strip_prefix("caught by: "))?;
    let (_, arguments) = command.split_once("cargo test ")?;
    let mut words = arguments.split(' ');
    let (mut program, mut filter) = (None, "");
    while let Some(word) = words.next() {
        match word {
            "--lib" => program = Some("lib"),
            "--test" | "-p" => program = words.next(),
            // Its files are beside the library's.
            "--bin" => program = words.next().map(|_| "lib"),
            "--features" => drop(words.next()),
            option if option.starts_with('-') => {}
            name => filter = name,
        }
    }
    Some((program?, filter))
}

/// Every promise has tests by these names, and planted bugs that one of them catches.
#[test]
fn the_promises_name_tests_and_planted_bugs_that_exist() {
    let text = fs::read_to_string("docs/promises.md").unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| ")).skip(1);
    let mut wrong = Vec::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let names = |cell: &str| {
            cell.split_whitespace()
                .map(|name| name.replace('`', ""))
                .collect::<Vec<_>>()
        };
        let [promise, tests, planted] = cells[..] else {
            panic!("not three cells: {row}");
        };
        let (tests, planted) = (names(tests), names(planted));
        assert!(!tests.is_empty() && !planted.is_empty(), "{row}");
        let mut found = Vec::new();
        for test in &tests {
            match find(test) {
                Some(test) => found.push(test),
                None => wrong.push(format!("{promise}: there is no test {test}")),
            }
        }
        for patch in &planted {
            let file = Path::new("tests/planted").join(patch).with_extension("patch");
            let text = fs::read_to_string(file).unwrap_or_default();
            let Some((program, filter)) = command(&text) else {
                wrong.push(format!("{promise}: nothing catches {patch}"));
                continue;
            };
            let catches = |test: &Test| test.program == program && test.name.contains(filter);
            if !found.iter().any(catches) {
                wrong.push(format!("{promise}: {patch} is caught by {program} {filter}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
