//! Starts the examples as a user does, and waits for them no longer than a deadline.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Far more than any example takes on a busy machine; a job that is not over by then hangs.
const DEADLINE: Duration = Duration::from_secs(180);

/// What a job left behind.
pub struct Outcome {
    /// What the job was, for messages.
    pub title: String,
    /// The exit status, or nothing if a signal ended the launcher.
    pub status: Option<i32>,
    /// The standard output of all ranks.
    pub stdout: String,
    /// The standard error of all ranks and of the launcher.
    pub stderr: String,
}

impl Outcome {
    /// Returns the standard output of a job that must have succeeded.
    #[track_caller]
    pub fn success(self) -> String {
        assert!(self.status == Some(0), "{}", self.report());
        self.stdout
    }

    /// Checks that the job ended with status 1 and that one line, printed once, is `name: ` and
    /// then all of `parts`.
    #[track_caller]
    pub fn failure(self, name: &str, parts: &[&str]) {
        assert!(self.status == Some(1), "{}", self.report());
        assert!(!self.stderr.contains("panicked"), "{}", self.report());
        let prefix = format!("{name}: ");
        let lines: Vec<&str> = self
            .stderr
            .lines()
            .filter(|line| line.starts_with(&prefix))
            .collect();
        let [line] = lines[..] else {
            panic!("{} lines begin with {prefix:?}\n{}", lines.len(), self.report());
        };
        for part in parts {
            assert!(
                line.contains(part),
                "{line:?} does not say {part:?}\n{}",
                self.report()
            );
        }
    }

    fn report(&self) -> String {
        let Outcome {
            title,
            status,
            stdout,
            stderr,
        } = self;
        format!("{title}: status {status:?}\nstandard output:\n{stdout}\nstandard error:\n{stderr}")
    }
}

/// Runs an example on `ranks` ranks: as processes under the launcher that fits, or in a build
/// without MPI as threads of one process.
pub fn run(example: &str, ranks: usize, arguments: &[&str]) -> Outcome {
    let program = program(example);
    let title = format!("{example} {arguments:?} on {ranks} ranks");
    #[cfg(feature = "mpi")]
    let command = launch(&program, &program, ranks, arguments);
    #[cfg(not(feature = "mpi"))]
    let command = {
        let mut command = Command::new(program);
        command.args(["--ranks", &ranks.to_string()]).args(arguments);
        command
    };
    finish(title, command)
}

/// Runs an example without a launcher, so that it is one rank.
pub fn run_alone(example: &str, arguments: &[&str]) -> Outcome {
    let mut command = Command::new(program(example));
    command.args(arguments);
    finish(format!("{example} {arguments:?} alone"), command)
}

/// Runs an example with its ranks as threads, which every build can.
pub fn run_threads(example: &str, ranks: usize, arguments: &[&str]) -> Outcome {
    let title = format!("{example} {arguments:?} on {ranks} threads");
    finish(title, on_threads(example, ranks, arguments))
}

/// An example with its ranks as threads.
pub fn on_threads(example: &str, ranks: usize, arguments: &[&str]) -> Command {
    let mut command = Command::new(program(example));
    command.args(["--ranks", &ranks.to_string()]).args(arguments);
    command
}

/// An example under `warpcomm run`.
#[cfg(all(feature = "pool", feature = "mpi", feature = "cli"))]
pub fn by_command(example: &str, ranks: usize, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warpcomm"));
    command
        .args(["run", "-n", &ranks.to_string()])
        .arg(program(example))
        .args(arguments)
        .env("WARPCOMM_TIMEOUT", "60");
    command
}

/// Runs an example under `warpcomm run --sim`, on ranks that share two simulated GPUs.
#[cfg(all(feature = "mpi", feature = "cli", feature = "cuda"))]
pub fn run_simulated(example: &str, ranks: usize, arguments: &[&str]) -> Outcome {
    static LIBRARY: std::sync::Once = std::sync::Once::new();
    let command = Path::new(env!("CARGO_BIN_EXE_warpcomm"));
    LIBRARY.call_once(|| build_simulated_gpu(command));
    let title = format!("{example} {arguments:?} on {ranks} ranks with simulated GPUs");
    let mut run = Command::new(command);
    run.args(["run", "--sim=2", "-n", &ranks.to_string()])
        .arg(program(example))
        .args(arguments)
        .env("WARPCOMM_CACHE", env!("CARGO_TARGET_TMPDIR"))
        .env("WARPCOMM_TIMEOUT", "60");
    finish(title, run)
}

/// Builds the library that `command` looks for beside itself.
#[cfg(all(feature = "mpi", feature = "cli", feature = "cuda"))]
fn build_simulated_gpu(command: &Path) {
    let profile = command.parent().expect("it lies in target/PROFILE");
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    build
        .args(["build", "--quiet", "--package", "simgpu", "--target-dir"])
        .arg(profile.parent().expect("it lies in target/PROFILE"))
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    if profile.ends_with("release") {
        build.arg("--release");
    }
    let built = build.status().expect("cargo runs the tests");
    assert!(built.success(), "the simulated GPU is not built");
}

/// Runs an example on one process for each of `directories`, in which it is at home.
#[cfg(feature = "mpi")]
pub fn run_in(example: &str, directories: &[PathBuf], arguments: &[&str]) -> Outcome {
    // Every launcher tells a process its rank in a variable of its own.
    let script = r#"
        rank=${OMPI_COMM_WORLD_RANK-${PMI_RANK-$SLURM_PROCID}}
        ranks=$1
        shift
        eval "cd \"\${$((rank + 1))}\""
        shift "$ranks"
        exec "$@"
    "#;
    let program = program(example);
    let ranks = directories.len().to_string();
    let mut words = vec!["-c", script, "sh", &ranks];
    words.extend(directories.iter().map(|directory| text(directory)));
    words.push(text(&program));
    words.extend(arguments);
    let command = launch(&program, Path::new("/bin/sh"), directories.len(), &words);
    finish(format!("{example} {arguments:?} in {directories:?}"), command)
}

#[cfg(feature = "mpi")]
fn text(path: &Path) -> &str {
    path.to_str().expect("the paths of tests are text")
}

/// The file of an example, which cargo puts beside the directory of the tests.
fn program(example: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own file");
    let profile = test
        .parent()
        .and_then(Path::parent)
        .expect("tests lie in target/PROFILE/deps");
    let program = profile.join("examples").join(example);
    assert!(
        program.is_file(),
        "{} is missing: run cargo build --examples",
        program.display()
    );
    program
}

/// Starts `started`, which is or becomes `program`, under the launcher that fits it.
#[cfg(feature = "mpi")]
fn launch(program: &Path, started: &Path, ranks: usize, arguments: &[&str]) -> Command {
    use crate::launcher::{Job, Launcher};

    let launcher = Launcher::find(program, None).unwrap_or_else(|error| panic!("{error}"));
    let ranks = std::num::NonZeroUsize::new(ranks).expect("a job has ranks");
    let mut job = Job::new(ranks, started);
    job.args = arguments.iter().map(|&argument| argument.into()).collect();
    // A hang becomes an error that says where.
    job.environment.push(("WARPCOMM_TIMEOUT".into(), "60".into()));
    launcher.command(&job)
}

fn finish(title: String, command: Command) -> Outcome {
    Job::start(title, command).finish()
}

/// A job that goes on beside the test.
pub struct Job {
    title: String,
    child: Child,
    /// Its standard error.
    stderr: Box<dyn Read + Send>,
}

/// What is written on a terminal.
#[cfg(feature = "pool")]
struct Terminal(std::fs::File);

#[cfg(feature = "pool")]
impl Read for Terminal {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(buffer) {
            // Nobody has it any more.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => Ok(0),
            read => read,
        }
    }
}

impl Job {
    /// Starts an example with its ranks as threads.
    #[cfg(feature = "pool")]
    pub fn of_threads(example: &str, ranks: usize, arguments: &[&str]) -> Job {
        let title = format!("{example} {arguments:?} on {ranks} threads");
        Job::start(title, on_threads(example, ranks, arguments))
    }

    /// Starts an example under `warpcomm run`, in a process group of its own as a shell does.
    #[cfg(all(feature = "pool", feature = "mpi", feature = "cli"))]
    pub fn of_command(example: &str, ranks: usize, arguments: &[&str]) -> Job {
        use std::os::unix::process::CommandExt;

        let mut command = by_command(example, ranks, arguments);
        command.process_group(0);
        let title = format!("{example} {arguments:?} on {ranks} ranks under warpcomm run");
        Job::start(title, command)
    }

    /// Gives a command a terminal for its standard error, which is the outcome's.
    #[cfg(feature = "pool")]
    pub fn on_terminal(mut command: Command) -> Job {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        use std::fs::File;
        use std::os::unix::ffi::OsStrExt;

        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
        grantpt(&terminal)
            .and_then(|()| unlockpt(&terminal))
            .expect("it is ours");
        let name = ptsname(&terminal, Vec::new()).expect("it has a name");
        let name = std::ffi::OsStr::from_bytes(name.as_bytes());
        let end = File::options().write(true).open(name).expect("its other end");
        command
            .env("TERM", "xterm")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(end);
        Job {
            title: format!("{command:?} on a terminal"),
            child: command.spawn().expect("it was built"),
            stderr: Box::new(Terminal(File::from(terminal))),
        }
    }

    fn start(title: String, mut command: Command) -> Job {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{title}: {error}"));
        let stderr = child.stderr.take().expect("it is piped");
        Job {
            title,
            child,
            stderr: Box::new(stderr),
        }
    }

    /// Whether it is not over yet.
    #[cfg(feature = "pool")]
    pub fn goes_on(&mut self) -> bool {
        self.child.try_wait().expect("it was started").is_none()
    }

    /// Sends a signal to it while it goes on.
    #[cfg(feature = "pool")]
    pub fn signal(&self, signal: rustix::process::Signal) {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, signal).expect("it was not waited for");
    }

    /// Sends a signal to its process group while it goes on, as a terminal does.
    #[cfg(all(feature = "pool", feature = "mpi", feature = "cli"))]
    pub fn signal_group(&self, signal: rustix::process::Signal) {
        let group = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process_group(group, signal).expect("it was not waited for");
    }

    /// Waits until it is over.
    pub fn finish(self) -> Outcome {
        let Job {
            title,
            mut child,
            mut stderr,
        } = self;
        let (sender, receiver) = mpsc::channel();
        let mut stdout = child.stdout.take().expect("it is piped");
        let read = move |from: &mut dyn Read| {
            let mut bytes = Vec::new();
            from.read_to_end(&mut bytes)
                .map(|_| String::from_utf8_lossy(&bytes).into_owned())
        };
        let stdout = thread::spawn(move || read(&mut stdout));
        let stderr = thread::spawn(move || {
            let text = read(&mut stderr);
            // The last rank and the launcher close their standard error when they end.
            let _ = sender.send(());
            text
        });
        let late = receiver.recv_timeout(DEADLINE).is_err();
        if late {
            // Launchers end their ranks when they are asked to end themselves, not when they are killed.
            let asked = Command::new("kill").arg(child.id().to_string()).status();
            assert!(asked.is_ok(), "{title} hangs and cannot be ended");
        }
        let status = child.wait().expect("it was started").code();
        let read = |thread: thread::JoinHandle<std::io::Result<String>>| {
            thread
                .join()
                .expect("reading does not panic")
                .expect("a pipe can be read")
        };
        let outcome = Outcome {
            title,
            status,
            stdout: read(stdout),
            stderr: read(stderr),
        };
        assert!(!late, "not over after {DEADLINE:?}: {}", outcome.report());
        outcome
    }
}
