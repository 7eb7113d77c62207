//! `warpcomm doctor`, on machines that pretend to have what it looks for, or to lack it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::machine::{MPICH, Machine, OPEN_MPI_4, output, text};
use crate::schema::complaints;

const OPEN_MPI_COMPILER: &str = "#!/bin/sh\necho 'mpicc: Open MPI 4.1.4 (Language: C)'\n";
const MPICH_COMPILER: &str = "#!/bin/sh\n[ \"$1\" != -v ] || echo 'mpicc for MPICH version 4.0.2'\n";

/// A machine, the files of its system, and what the doctor is told.
struct Patient {
    machine: Machine,
    variables: Vec<(&'static str, String)>,
}

impl Patient {
    /// With nothing but the command.
    fn bare() -> Patient {
        let machine = Machine::new();
        machine.program("warpcomm", &fs::read(env!("CARGO_BIN_EXE_warpcomm")).unwrap());
        let tmp = machine.path("tmp");
        fs::create_dir(&tmp).unwrap();
        let patient = Patient {
            machine,
            variables: vec![("TMPDIR", tmp.display().to_string())],
        };
        patient.file("dev/shm/segment", "");
        patient.file(
            "proc/self/limits",
            "Limit  Soft Limit  Hard Limit  Units\nMax locked memory  8388608  8388608  bytes\n",
        );
        patient.file("proc/self/status", "Name:\twarpcomm\nCpus_allowed_list:\t0-3\n");
        patient.file("proc/self/cgroup", "0::/job/step\n");
        patient.file("proc/sys/kernel/yama/ptrace_scope", "1\n");
        patient
    }

    /// With everything that there can be but a GPU.
    fn healthy() -> Patient {
        let mut patient = Patient::bare();
        patient.machine = patient.machine.launcher("mpirun", OPEN_MPI_4, "exit 9");
        patient.program("warpcomm-rank", "#!/bin/sh\n");
        patient.program("mpicc", OPEN_MPI_COMPILER);
        patient.file("usr/lib/llvm-14/lib/libclang.so.1", "");
        patient
    }

    /// With GPUs, too.
    fn with_gpus(number: usize, version: &str) -> Patient {
        let patient = Patient::healthy();
        let module = format!(
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  {version}  Sat Aug 19 01:15:15 UTC 2023\n"
        );
        patient.file("proc/driver/nvidia/version", &module);
        patient.file("dev/nvidiactl", "");
        patient.file("usr/lib/x86_64-linux-gnu/libcuda.so.1", "");
        patient.file(
            "proc/self/limits",
            "Max locked memory  unlimited  unlimited  bytes\n",
        );
        for gpu in 0..number {
            let file = format!("proc/driver/nvidia/gpus/0000:0{gpu}:00.0/information");
            patient.file(
                &file,
                &format!("Model: \t\t NVIDIA H200\nGPU UUID: \t GPU-{gpu}\n"),
            );
        }
        patient
    }

    fn root(&self) -> std::path::PathBuf {
        self.machine.path("system")
    }

    fn file(&self, name: &str, contents: &str) {
        let file = self.root().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, contents).unwrap();
    }

    fn without(self, name: &str) -> Patient {
        let file = self.root().join(name);
        match file.is_dir() {
            true => fs::remove_dir_all(file).unwrap(),
            false => fs::remove_file(file).unwrap(),
        }
        self
    }

    fn and(self, name: &str, contents: &str) -> Patient {
        self.file(name, contents);
        self
    }

    fn program(&self, name: &str, contents: &str) {
        self.machine.program(name, contents.as_bytes());
    }

    fn set(mut self, name: &'static str, value: impl Into<String>) -> Patient {
        self.variables.push((name, value.into()));
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.machine.path("bin/warpcomm"));
        command
            .env_clear()
            .env("PATH", self.machine.path("bin"))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .arg("doctor")
            .args(arguments);
        command
    }

    /// The findings that are warnings or errors: level, check, message and remedy in one line.
    fn complains(&self, arguments: &[&str]) -> Vec<String> {
        let root = self.root();
        let arguments = [arguments, &["--json", "--sysroot", root.to_str().unwrap()]].concat();
        findings(&output(&mut self.command(&arguments)))
    }

    /// The only finding that is a warning or an error.
    fn complaint(&self, arguments: &[&str]) -> String {
        let found = self.complains(arguments);
        let [only] = &found[..] else { panic!("{found:#?}") };
        only.clone()
    }
}

/// The warnings and errors, and whether the exit status is as they say.
fn findings(done: &Output) -> Vec<String> {
    let report: Value = serde_json::from_slice(&done.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", text(&done.stdout), text(&done.stderr)));
    assert_eq!(complaints("doctor.schema.json", &report), [""; 0]);
    let mut found = Vec::new();
    for finding in report["findings"].as_array().unwrap() {
        let word = |name: &str| finding[name].as_str();
        match (word("level").unwrap(), word("remedy")) {
            ("ok" | "note", None) => {}
            (level, remedy) => found.push(format!(
                "{level} {}: {} -> {}",
                word("check").unwrap(),
                word("message").unwrap(),
                remedy.unwrap()
            )),
        }
    }
    let has_errors = found.iter().any(|line| line.starts_with("error "));
    assert_eq!(done.status.code(), Some(i32::from(has_errors)), "{found:#?}");
    found
}

#[test]
fn nothing_is_wrong_with_a_healthy_machine() {
    assert_eq!(Patient::healthy().complains(&[]), [""; 0]);
    assert_eq!(
        Patient::with_gpus(4, "525.60.13").complains(&["-n", "1"]),
        [""; 0]
    );
    let patient = Patient::healthy();
    let root = patient.root();
    let done = output(&mut patient.command(&["--sysroot", root.to_str().unwrap()]));
    assert!(done.status.success());
    let told = text(&done.stdout);
    assert!(
        told.contains("ok       launcher        Open MPI 4.1.4, `mpirun`\n"),
        "{told}"
    );
    assert!(
        told.contains("note     CUDA driver     there is no GPU of NVIDIA's"),
        "{told}"
    );
    assert!(told.ends_with("\nNothing is wrong.\n"), "{told}");
}

#[test]
fn a_machine_without_mpi_is_told_what_to_install() {
    let patient = Patient::bare();
    let found = patient.complains(&[]);
    let starts = [
        "error warpcomm-rank: warpcomm-rank is not in `",
        "error launcher: no MPI launcher (mpirun, mpiexec or srun); there is none on PATH -> install one (Debian",
        "error MPI compiler: `mpicc` is not there, which building with MPI needs -> install an MPI",
        "error libclang: there is no libclang, which building with MPI needs -> install it",
    ];
    assert_eq!(found.len(), starts.len(), "{found:#?}");
    for (line, start) in found.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }
    assert!(found[0].ends_with(" -> Build it with an MPI: `cargo build --release --features cli`"));
    let root = patient.root();
    let done = output(&mut patient.command(&["--sysroot", root.to_str().unwrap()]));
    assert!(
        text(&done.stdout).ends_with("\n4 errors.\n"),
        "{}",
        text(&done.stdout)
    );
}

#[test]
fn what_building_needs_is_a_warning_where_it_is_built() {
    let patient = Patient::healthy().without("usr/lib/llvm-14");
    assert!(patient.complaint(&[]).starts_with("warning libclang: "));
    let patient = patient.set("LIBCLANG_PATH", "/nowhere");
    let found = patient.complaint(&[]);
    assert!(
        found.starts_with("warning libclang: LIBCLANG_PATH=/nowhere has no libclang.so"),
        "{found}"
    );
    let unbuilt = Patient::bare().set("LIBCLANG_PATH", "/nowhere").complains(&[]);
    assert!(
        unbuilt
            .iter()
            .any(|line| line.starts_with("error libclang: LIBCLANG_PATH=/nowhere")),
        "{unbuilt:#?}"
    );
    let patient = patient.and("nowhere/libclang.so", "");
    assert_eq!(patient.complains(&[]), [""; 0]);
    let patient = Patient::healthy().set("MPICC", "mpicc.other");
    let found = patient.complaint(&[]);
    assert!(
        found.starts_with("warning MPI compiler: `mpicc.other` is not there"),
        "{found}"
    );
}

#[test]
fn a_program_of_the_ranks_that_does_not_start_is_an_error() {
    let patient = Patient::healthy();
    let script =
        "#!/bin/sh\necho 'warpcomm-rank: error while loading shared libraries: libmpi.so.40' >&2; exit 127\n";
    patient.program("warpcomm-rank", script);
    let found = patient.complaint(&[]);
    let start = "error warpcomm-rank: it does not start: warpcomm-rank: error while loading shared libraries: libmpi.so.40 -> \
                 name the directory";
    assert!(found.starts_with(start), "{found}");
}

#[test]
fn another_mpi_on_path_than_the_linked_one_is_a_warning() {
    let mut patient = Patient::healthy();
    patient.machine = patient
        .machine
        .launcher("mpiexec.mpich", MPICH, "exit 9")
        .elf("solver", &["libmpich.so.12"]);
    let solver = patient.machine.path("bin/solver").display().to_string();
    let found = patient.complains(&["--program", &solver]);
    let [launcher, compiler] = &found[..] else {
        panic!("{found:#?}")
    };
    let start = format!(
        "warning launcher: `mpirun` on PATH is of Open MPI 4.1.4, and `{solver}` is linked with libmpich.so.12"
    );
    assert!(launcher.starts_with(&start), "{launcher}");
    assert!(launcher.contains("`mpiexec.mpich`"), "{launcher}");
    assert!(
        compiler.starts_with("warning MPI compiler: `mpicc` is of Open MPI, and"),
        "{compiler}"
    );
    patient.program("mpicc", MPICH_COMPILER);
    assert_eq!(patient.complains(&["--program", &solver]).len(), 1);
    // No launcher of that MPI at all.
    fs::remove_file(patient.machine.path("bin/mpiexec.mpich")).unwrap();
    let found = patient.complaint(&["--program", &solver]);
    assert!(
        found.starts_with("error launcher: no MPI launcher that can start `"),
        "{found}"
    );
    let named = patient.complains(&["--program", &solver, "--launcher", "mpirun"]);
    assert!(
        named[0].starts_with("error launcher: the launcher `mpirun` is of Open MPI 4.1.4, but"),
        "{named:#?}"
    );
    let script = patient.machine.path("bin/mpicc").display().to_string();
    let found = patient.complaint(&["--program", &script]);
    assert!(
        found.starts_with("warning program: ") && found.contains("linked with no MPI library"),
        "{found}"
    );
    let absent = output(&mut patient.command(&["--program", "absent"]));
    assert_eq!(absent.status.code(), Some(1));
    assert_eq!(
        text(&absent.stderr),
        "warpcomm doctor: there is no file `absent`\n"
    );
    let absent = output(&mut patient.command(&["--sysroot", "absent"]));
    assert_eq!(absent.status.code(), Some(1));
    assert_eq!(
        text(&absent.stderr),
        "warpcomm doctor: there is no directory `absent`\n"
    );
}

#[test]
fn a_driver_that_lacks_something_is_an_error() {
    let gpus = || Patient::with_gpus(1, "535.104.05");
    for (patient, said) in [
        (
            Patient::with_gpus(1, "470.82.01"),
            "version 470.82.01 is older than 525",
        ),
        (
            gpus().without("usr/lib/x86_64-linux-gnu"),
            "version 535.104.05 is loaded, and its library libcuda.so.1 is not found",
        ),
        (
            gpus().without("dev/nvidiactl"),
            "version 535.104.05 is loaded, and /dev/nvidiactl is missing",
        ),
        (
            Patient::healthy()
                .and("sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n")
                .and("sys/bus/pci/devices/0000:01:00.0/class", "0x030200\n"),
            "there is a GPU of NVIDIA's, and its driver is not loaded",
        ),
    ] {
        let found = patient.complaint(&[]);
        assert!(
            found.starts_with(&format!("error CUDA driver: {said}")),
            "{found}"
        );
    }
    let listed = gpus()
        .without("usr/lib/x86_64-linux-gnu")
        .and("etc/ld.so.cache", "glibc-ld.so.cache1.1 libcuda.so.1\0");
    assert_eq!(listed.complains(&[]), [""; 0]);
}

#[test]
fn ranks_that_share_gpus_are_a_warning() {
    let patient = Patient::with_gpus(2, "535.104.05");
    assert_eq!(
        patient
            .complains(&["-n", "2"])
            .iter()
            .filter(|line| line.contains("GPUs"))
            .count(),
        0
    );
    let found = patient.complains(&["-n", "3"]);
    let of_gpus: Vec<&String> = found.iter().filter(|line| line.contains("GPUs")).collect();
    assert_eq!(
        of_gpus,
        ["warning GPUs: 3 ranks would share 2 of 2 GPUs on this host -> start 2 ranks on a host, for speed"]
    );
    let patient = patient.set("CUDA_VISIBLE_DEVICES", "1");
    let found = patient.complains(&["-n", "2"]);
    assert!(
        found[0].starts_with("warning GPUs: all 2 ranks would be on one GPU of 2"),
        "{found:#?}"
    );
    let mut patient = patient;
    for hidden in ["", "GPU-typo", "7"] {
        patient = patient.set("CUDA_VISIBLE_DEVICES", hidden);
        let found = patient.complaint(&[]);
        assert!(
            found.starts_with("error GPUs: CUDA_VISIBLE_DEVICES hides all 2 GPUs"),
            "{hidden}: {found}"
        );
    }
}

#[test]
fn limits_that_are_too_low_are_told() {
    let patient = Patient::with_gpus(1, "535.104.05")
        .and("proc/self/limits", "Max locked memory  65536  65536  bytes\n");
    let found = patient.complaint(&[]);
    assert!(
        found.starts_with("warning locked memory: a process may lock 64.0 KiB"),
        "{found}"
    );
    let found = Patient::healthy().without("dev/shm").complaint(&[]);
    assert!(
        found.starts_with("error shared memory: /dev/shm is missing"),
        "{found}"
    );
    let mounts = "shm /dev/shm tmpfs rw,nosuid,size=65536k 0 0\n";
    let found = Patient::healthy().and("proc/self/mounts", mounts).complaint(&[]);
    assert!(
        found.starts_with("warning shared memory: /dev/shm has 64.0 MiB"),
        "{found}"
    );
    let mounts = "tmpfs /dev/shm tmpfs rw 0 0\n";
    let patient = Patient::healthy()
        .and("proc/self/mounts", mounts)
        .and("proc/meminfo", "MemTotal: 8000000 kB\n");
    assert_eq!(patient.complains(&[]), [""; 0]);
    let patient = Patient::healthy().and("proc/sys/kernel/yama/ptrace_scope", "2\n");
    let found = patient.complaint(&[]);
    assert!(
        found.starts_with("warning processes: kernel.yama.ptrace_scope is 2"),
        "{found}"
    );
}

#[test]
fn too_few_processors_are_a_warning() {
    let found = Patient::healthy().complaint(&["-n", "1000000"]);
    assert!(
        found.starts_with("warning cores: 1000000 ranks would share "),
        "{found}"
    );
    let unified = Patient::healthy().and("sys/fs/cgroup/job/cpu.max", "150000 100000\n");
    let found = unified.complaint(&[]);
    let start =
        "warning processor time: the control group gives the time of 1.5 processors, and 4 may be used";
    assert!(found.starts_with(start), "{found}");
    let separate = Patient::healthy()
        .and("proc/self/cgroup", "5:memory:/x\n4:cpu,cpuacct:/job\n")
        .and("sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "200000\n")
        .and("sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000\n");
    assert!(separate.complaint(&[]).contains("2.0 processors"));
    let unlimited = Patient::healthy().and("sys/fs/cgroup/job/cpu.max", "max 100000\n");
    assert_eq!(unlimited.complains(&[]), [""; 0]);
}

#[test]
fn variables_that_are_wrong_are_told_with_the_nearest() {
    let patient = Patient::healthy()
        .set("WARPCOMM_CHUNK", "tiny")
        .set("WARPCOMM_TIMOUT", "3")
        .set("WARPCOMM_TEST_DEADLINE", "8")
        .set("WARPCOMM_REQUIRE_GPU", "1");
    let found = patient.complains(&[]);
    let [unusable, unknown] = &found[..] else {
        panic!("{found:#?}")
    };
    let start = "error variables: WARPCOMM_CHUNK=tiny cannot be used: not a number of bytes from 4096 to 67108864 -> ";
    assert!(unusable.starts_with(start), "{unusable}");
    assert_eq!(
        unknown,
        "warning variables: WARPCOMM_TIMOUT is set, and nobody reads it -> did you mean WARPCOMM_TIMEOUT?"
    );
}

#[test]
fn a_directory_for_temporary_files_that_cannot_be_used_is_an_error() {
    let found = Patient::healthy().set("TMPDIR", "/proc/absent").complaint(&[]);
    assert!(
        found.starts_with("error TMPDIR: nothing can be made in `/proc/absent`"),
        "{found}"
    );
    let found = Patient::healthy()
        .set("TMPDIR", format!("/{}", "x".repeat(5000)))
        .complaint(&[]);
    assert!(
        found.starts_with("error TMPDIR: its name has 5001 bytes"),
        "{found}"
    );
    let patient = Patient::healthy();
    let odd = patient.machine.path("a:b");
    fs::create_dir(&odd).unwrap();
    let found = patient.set("TMPDIR", odd.display().to_string()).complaint(&[]);
    assert!(
        found.starts_with("warning TMPDIR: ") && found.contains("which --sim needs"),
        "{found}"
    );
}

#[test]
fn a_job_that_fails_is_an_error() {
    let patient = Patient::healthy();
    symlink("/dev/null", patient.machine.path("bin/libclang.so")).unwrap();
    let bin = patient.machine.path("bin").display().to_string();
    let mut command = patient.command(&["--json", "-n", "1"]);
    let machine = &patient.machine;
    let launcher = format!(
        "#!/bin/sh\nif [ \"$1\" = --version ]; then echo '{OPEN_MPI_4}'; exit; fi\necho broken >&2; exit 3\n"
    );
    machine.program("mpirun", launcher.as_bytes());
    let found = findings(&output(command.env("LIBCLANG_PATH", bin)));
    // Unless something is wrong with this machine.
    if !found
        .iter()
        .any(|line| line.starts_with("error ") && !line.starts_with("error job"))
    {
        let line = "error job: ranks that Open MPI 4.1.4 was to start have failed: broken -> `warpcomm info -n 1` shows all that they say";
        assert!(found.iter().any(|found| found == line), "{found:#?}");
    }
}

#[test]
fn wrong_arguments_exit_with_2() {
    let patient = Patient::bare();
    for arguments in [
        &["-n", "0"][..],
        &["--sim=17"],
        &["--sysroot", "/", "--sim"],
        &["extra"],
    ] {
        let done = output(&mut patient.command(arguments));
        assert_eq!(done.status.code(), Some(2), "{arguments:?}");
        assert!(text(&done.stderr).starts_with("error: "));
    }
}

#[cfg(all(feature = "mpi", feature = "serde", feature = "cuda"))]
#[test]
fn ranks_of_this_machine_are_tried() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warpcomm"));
    command
        .args(["doctor", "--sim=2", "--json"])
        .env_remove("WARPCOMM_PATHS");
    let done = output(&mut command);
    let found = findings(&done);
    assert!(!found.iter().any(|line| line.starts_with("error ")), "{found:#?}");
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    let of = |check: &str| {
        let findings = report["findings"].as_array().unwrap();
        let finding = findings.iter().find(|finding| finding["check"] == check);
        finding.unwrap_or_else(|| panic!("{check}: {report:#}")).clone()
    };
    assert!(of("job")["message"].as_str().unwrap().starts_with("2 ranks of "));
    assert_eq!(of("CUDA IPC")["level"], "ok");
    assert_eq!(of("simulated GPU")["level"], "ok");
    assert!(Path::new(of("simulated GPU")["message"].as_str().unwrap()).is_file());
}
