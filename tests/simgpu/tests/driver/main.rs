//! What the simulated driver promises, each in a process of its own that finds it as any program does.

mod cudarc_api;
mod devices;
mod events;
mod exit;
mod faults;
mod ipc;
mod kernels;
mod launches;
mod memory;
mod peers;
mod pools;
mod streams;
mod support;

use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use support::SCENE;

/// How the process of a case must end.
#[derive(Clone, Copy)]
pub enum End {
    /// By itself, with nothing to complain of.
    Well,
    /// By a signal.
    Signal(i32),
}

/// A case: what a process does, in which environment, and how it ends.
pub struct Case {
    name: &'static str,
    environment: &'static [(&'static str, &'static str)],
    run: fn(),
    end: End,
}

/// A case of one process that ends well, in the environment given.
macro_rules! cases {
    ($($name:ident $([$($variable:ident = $value:literal),*])? $(=> $end:expr)?;)*) => {
        pub const CASES: &[crate::Case] = &[$(crate::Case {
            name: concat!(module_path!(), "::", stringify!($name)),
            environment: &[$($((stringify!($variable), $value)),*)?],
            run: $name,
            end: crate::cases!(@end $($end)?),
        }),*];
    };
    (@end) => { crate::End::Well };
    (@end $end:expr) => { $end };
}
pub(crate) use cases;

const ALL: &[&[Case]] = &[
    cudarc_api::CASES,
    devices::CASES,
    events::CASES,
    exit::CASES,
    faults::CASES,
    ipc::CASES,
    kernels::CASES,
    launches::CASES,
    memory::CASES,
    peers::CASES,
    pools::CASES,
    streams::CASES,
];

/// Nothing here takes nearly as long.
const LIMIT: Duration = Duration::from_secs(120);

fn main() {
    if let Ok(scene) = std::env::var(SCENE) {
        match ALL.iter().copied().flatten().find(|case| case.name == scene) {
            Some(case) => (case.run)(),
            None => ipc::other(&scene),
        }
        return;
    }
    let mut arguments = Arguments::from_args();
    // Two processes of most cases would only wait for each other.
    arguments.test_threads.get_or_insert(4);
    let trials = ALL.iter().copied().flatten().map(|case| {
        let name = case
            .name
            .trim_start_matches("driver::")
            .replace("::", " ")
            .replace('_', " ");
        Trial::test(name, move || check(case))
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

/// Runs a case in a process that finds the simulated driver under the driver's names.
fn check(case: &Case) -> Result<(), Failed> {
    let directory = support::directory();
    let mut command = Command::new(std::env::current_exe()?);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SIMGPU_")) {
        command.env_remove(name);
    }
    command
        .env("LD_LIBRARY_PATH", directory.path())
        .env(SCENE, case.name);
    command.envs(case.environment.iter().copied());
    let output = directory.path().join("output");
    let file = std::fs::File::create(&output)?;
    let mut child = command.stdout(file.try_clone()?).stderr(file).spawn()?;
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if started.elapsed() > LIMIT {
            child.kill()?;
            break child.wait()?;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let as_expected = match case.end {
        End::Well => status.success(),
        End::Signal(signal) => status.signal() == Some(signal),
    };
    if as_expected {
        return Ok(());
    }
    Err(format!("{status}\n{}", std::fs::read_to_string(output)?).into())
}
