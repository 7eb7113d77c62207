//! A machine with launchers that only pretend.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::RwLock;

pub const OPEN_MPI_4: &str =
    "mpirun (Open MPI) 4.1.4\n\nReport bugs to http://www.open-mpi.org/community/help/";
pub const OPEN_MPI_5: &str =
    "mpirun (Open MPI) 5.0.11\n\nReport bugs to https://www.open-mpi.org/community/help/";
pub const MPICH: &str =
    "HYDRA build details:\n    Version:                                 4.0.2\n    Release Date:";
pub const INTEL_MPI: &str =
    "Intel(R) MPI Library for Linux* OS, Version 2021.19.0 Build 20260929 (id: 1821d9b)";
pub const SLURM: &str = "slurm-wlm 22.05.8";

/// A program may not be started while any process has it open for writing, and a child that another test is
/// just starting has all of this process's files open until it becomes its program. So whoever writes a
/// program keeps everybody from starting one.
static PROGRAMS: RwLock<()> = RwLock::new(());

pub fn start(command: &mut Command) -> Child {
    let _no_program_is_written = PROGRAMS.read().unwrap();
    command.spawn().unwrap()
}

pub fn output(command: &mut Command) -> Output {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    start(command).wait_with_output().unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A directory in which programs pretend to be launchers, the only one on `PATH`.
pub struct Machine {
    directory: tempfile::TempDir,
}

impl Machine {
    pub fn new() -> Self {
        let machine = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(machine.directory.path().join("bin")).unwrap();
        machine.program("program", b"#!/bin/sh\n");
        machine
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn program(&self, name: &str, contents: &[u8]) {
        let file = self.path("bin").join(name);
        let _nobody_starts_a_program = PROGRAMS.write().unwrap();
        fs::write(&file, contents).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A launcher that answers `--version`, and otherwise runs the line `body`.
    pub fn launcher(self, name: &str, version: &str, body: &str) -> Self {
        let script =
            format!("#!/bin/sh\nif [ \"$1\" = --version ]; then echo '{version}'; exit; fi\n{body}\n");
        self.program(name, script.as_bytes());
        self
    }

    /// A 64-bit program that needs the given libraries, as far as its headers go.
    pub fn elf(self, name: &str, libraries: &[&str]) -> Self {
        self.program(name, &elf_that_needs(libraries));
        self
    }

    /// Tools of the real machine, which are otherwise not on `PATH`.
    pub fn tools(self, names: &[&str]) -> Self {
        for name in names {
            symlink(Path::new("/bin").join(name), self.path("bin").join(name)).unwrap();
        }
        self
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_warpcomm"));
        command
            .env_clear()
            .env("PATH", self.path("bin"))
            .current_dir(self.directory.path());
        command.arg("run").args(arguments);
        command
    }

    /// The command in the directory of its programs, where it finds `warpcomm-rank`, in the directory of the machine.
    pub fn installed(&self, arguments: &[&str]) -> Command {
        let file = self.path("bin/warpcomm");
        if !file.exists() {
            let built = env!("CARGO_BIN_EXE_warpcomm");
            if fs::hard_link(built, &file).is_err() {
                self.program("warpcomm", &fs::read(built).unwrap());
            }
        }
        let mut command = Command::new(file);
        command
            .env_clear()
            .env("PATH", self.path("bin"))
            .current_dir(self.directory.path())
            .args(arguments);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        output(&mut self.command(arguments))
    }

    /// The line that a dry run prints, with the option for root, where these tests run as root, as `[root]`.
    pub fn line(&self, arguments: &[&str]) -> String {
        self.line_of(&mut self.command(arguments))
    }

    pub fn line_of(&self, command: &mut Command) -> String {
        let done = output(command.arg("--dry-run").arg("program"));
        assert_eq!(text(&done.stderr), "");
        assert!(done.status.success());
        let line = text(&done.stdout);
        let line = line.strip_suffix('\n').unwrap();
        // A new file belongs to the effective user.
        let root = fs::metadata(self.path("bin")).unwrap().uid() == 0;
        assert_eq!(
            line.contains(" --allow-run-as-root"),
            root && line.starts_with("mpirun"),
            "{line}"
        );
        line.replace(" --allow-run-as-root", "")
    }

    /// The directory of its programs, with the slash behind it.
    pub fn bin(&self) -> String {
        format!("{}/", self.path("bin").display())
    }

    /// The message of a run that fails before it starts anything.
    pub fn refusal(&self, arguments: &[&str]) -> String {
        refusal(&mut self.command(arguments))
    }
}

pub fn refusal(command: &mut Command) -> String {
    let done = output(command);
    let message = text(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{message}");
    assert_eq!(text(&done.stdout), "");
    message
        .strip_prefix("warpcomm run: ")
        .unwrap_or_else(|| panic!("whose message? {message}"))
        .to_owned()
}

pub fn elf_that_needs(libraries: &[&str]) -> Vec<u8> {
    const HEADER: usize = 64;
    let mut strings = vec![0];
    let mut entries = Vec::new();
    for library in libraries {
        entries.extend([1, strings.len() as u64]);
        strings.extend(library.bytes().chain([0]));
    }
    entries.extend([0, 0]);
    strings.resize(strings.len().next_multiple_of(8), 0);
    let dynamic = HEADER + strings.len();
    let sections = dynamic + 8 * entries.len();

    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend([3_u16, 62].map(u16::to_le_bytes).concat());
    file.extend(1_u32.to_le_bytes());
    file.extend([0, 0, sections as u64].map(u64::to_le_bytes).concat());
    file.extend(0_u32.to_le_bytes());
    file.extend([HEADER as u16, 0, 0, 64, 3, 1].map(u16::to_le_bytes).concat());
    file.extend(strings.iter());
    file.extend(entries.iter().flat_map(|entry| entry.to_le_bytes()));
    // Type, offset, size and linked section: nothing, the strings, the dynamic section.
    let table = [
        (0, 0, 0, 0),
        (3, HEADER, strings.len(), 0),
        (6, dynamic, 8 * entries.len(), 1),
    ];
    for (kind, offset, size, link) in table {
        file.extend([0_u32, kind].map(u32::to_le_bytes).concat());
        file.extend([0, 0, offset as u64, size as u64].map(u64::to_le_bytes).concat());
        file.extend([link, 0_u32].map(u32::to_le_bytes).concat());
        file.extend(
            [8, if kind == 6 { 16_u64 } else { 0 }]
                .map(u64::to_le_bytes)
                .concat(),
        );
    }
    file
}
