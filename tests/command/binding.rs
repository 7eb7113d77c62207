//! `--bind` and `--tag-output`: which cores ranks use, and how their lines begin.

use std::ffi::OsStr;
use std::fs;

use crate::hosts::usage_error;
use crate::launcher::on_path;
use crate::launcher::surroundings::{Surroundings, numbers_in};
use crate::machine::{INTEL_MPI, MPICH, Machine, OPEN_MPI_4, OPEN_MPI_5, SLURM, output, text};
use crate::real::{REAL, real_run, when_all_run};

const LAUNCHERS: [(&str, &str); 5] = [
    ("mpirun", OPEN_MPI_4),
    ("mpirun", OPEN_MPI_5),
    ("mpiexec", MPICH),
    ("mpiexec", INTEL_MPI),
    ("srun", SLURM),
];

/// The options between the number of ranks and the program, for each launcher.
fn options(arguments: &[&str]) -> Vec<String> {
    LAUNCHERS
        .iter()
        .map(|(name, version)| {
            let machine = Machine::new().launcher(name, version, "exit 9");
            let line = machine.line(arguments);
            let (_, line) = line.split_once(" -n ").unwrap();
            let (_, line) = line.split_once(' ').unwrap();
            line.trim_start_matches("--export=ALL ")
                .trim_end_matches("program")
                .trim_end()
                .to_owned()
        })
        .collect()
}

#[test]
fn each_launcher_is_told_to_bind() {
    assert_eq!(options(&["-n", "1"]), [""; 5]);
    assert_eq!(
        options(&["-n", "1", "--bind", "none"]),
        [
            "--bind-to none",
            "--bind-to none",
            "-bind-to none",
            "-genv I_MPI_PIN off",
            "--cpu-bind=none"
        ]
    );
    let core = [
        "--map-by core --bind-to core",
        "--map-by core --bind-to core",
        "-bind-to core",
        "-genv I_MPI_PIN on -genv I_MPI_PIN_DOMAIN core -genv I_MPI_PIN_ORDER compact",
        "--cpu-bind=cores",
    ];
    assert_eq!(options(&["-n", "1", "--bind", "round-robin"]), core);
    let exclusive = options(&["-n", "1", "--bind", "exclusive", "--env", "CUDA_VISIBLE_DEVICES="]);
    for (said, core) in exclusive.iter().zip(core) {
        assert!(said.starts_with(core), "{said}");
    }
}

#[test]
fn more_ranks_than_cores_share_them_as_the_policy_says() {
    let crowd = |policy| options(&["-n", "1000000", "--bind", policy]);
    assert_eq!(
        crowd("none")[..2],
        [
            "--oversubscribe --bind-to none --mca mpi_yield_when_idle 1",
            "--map-by :OVERSUBSCRIBE --bind-to none -x OMPI_MCA_mpi_yield_when_idle=1"
        ]
    );
    assert_eq!(
        crowd("round-robin"),
        [
            "--map-by core:OVERSUBSCRIBE --bind-to core:overload-allowed --mca mpi_yield_when_idle 1",
            "--map-by core:OVERSUBSCRIBE --rank-by slot --bind-to core:overload-allowed -x \
             OMPI_MCA_mpi_yield_when_idle=1",
            "-bind-to core",
            "-genv I_MPI_PIN on -genv I_MPI_PIN_DOMAIN core -genv I_MPI_PIN_ORDER compact",
            "--cpu-bind=cores",
        ]
    );
    for (name, version) in &LAUNCHERS[..4] {
        let machine = Machine::new().launcher(name, version, "echo started");
        let message = usage_error(&machine, &["-n", "1000000", "--bind", "exclusive", "program"]);
        assert!(
            message.starts_with("--bind exclusive: 1000000 ranks on one host, which has "),
            "{message}"
        );
    }
}

#[test]
fn srun_binds_no_ranks_that_share_cores() {
    let machine = Machine::new().launcher("srun", SLURM, "echo started");
    for policy in ["round-robin", "exclusive"] {
        let mut command = machine.command(&["-n", "3", "--bind", policy, "program"]);
        command.envs([("SLURM_JOB_ID", "1"), ("SLURM_NTASKS", "2")]);
        let done = output(&mut command);
        assert_eq!(done.status.code(), Some(2));
        let message = text(&done.stderr);
        assert!(
            message.starts_with("error: srun binds no ranks that share cores: 3 are more than the 2 tasks"),
            "{message}"
        );
    }
    let mut none = machine.command(&["-n", "3", "--bind", "none"]);
    none.envs([("SLURM_JOB_ID", "1"), ("SLURM_NTASKS", "2")]);
    let line = machine.line_of(&mut none);
    assert!(
        line.ends_with(" -n 3 --export=ALL --overcommit --cpu-bind=none program"),
        "{line}"
    );
}

/// Launchers know nothing about GPUs, and nobody knows other hosts.
#[test]
fn ranks_bind_themselves_where_launchers_cannot() {
    let own = env!("CARGO_BIN_EXE_warpcomm");
    for (options, (name, version)) in options(&["-n", "1", "--bind", "numa"]).iter().zip(LAUNCHERS) {
        assert!(
            options.ends_with(&format!("{own} bind-rank numa --")),
            "{options}"
        );
        let machine = Machine::new().launcher(name, version, "exit 9");
        let elsewhere = machine.line(&["-n", "1000000", "--bind", "exclusive", "--host", "a:1000000"]);
        assert!(
            elsewhere.contains(&format!("{own} bind-rank exclusive -- program")),
            "{elsewhere}"
        );
    }
}

#[test]
fn gpus_of_ones_own_must_suffice() {
    // What `--sim` leaves is removed by `rm`.
    let machine = Machine::new()
        .launcher("mpiexec", MPICH, "echo started")
        .tools(&["rm"]);
    fs::write(machine.path("libsimgpu.so"), "").unwrap();
    let run = |ranks: &str, gpus: &str| {
        let mut command = machine.command(&["-n", ranks, "--bind", "exclusive", gpus, "program"]);
        output(command.env("WARPCOMM_SIMGPU", machine.path("libsimgpu.so")))
    };
    let cores = Surroundings::of_this_process().slots.unwrap().get();
    if cores > 1 {
        let refused = run("2", "--sim=1");
        assert_eq!(refused.status.code(), Some(2));
        let message = text(&refused.stderr);
        assert!(
            message.starts_with("error: --bind exclusive: 2 ranks on one host, which has 1 GPU "),
            "{message}"
        );
        let started = run("2", "--sim=2");
        assert!(started.status.success(), "{}", text(&started.stderr));
    }
}

#[test]
fn a_rank_sees_only_a_gpu_of_its_own() {
    let seen = |gpus: &str, visible: Option<&str>| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_warpcomm"));
        command
            .args(["bind-rank", "exclusive", gpus, "--", "sh", "-c"])
            .arg("echo ${CUDA_VISIBLE_DEVICES-all}")
            .env("OMPI_COMM_WORLD_LOCAL_RANK", "0")
            .env_remove("CUDA_VISIBLE_DEVICES");
        if let Some(visible) = visible {
            command.env("CUDA_VISIBLE_DEVICES", visible);
        }
        let done = output(&mut command);
        assert!(done.status.success(), "{}", text(&done.stderr));
        text(&done.stdout).trim().to_owned()
    };
    assert_eq!(seen("--simulated=2", None), "0");
    assert_eq!(seen("--simulated=2", Some("1,0")), "1");
    assert_eq!(seen("--simulated=0", None), "all");
}

#[test]
fn an_unknown_policy_is_told_what_comes_nearest() {
    let machine = Machine::new().launcher("mpirun", OPEN_MPI_4, "echo started");
    let done = machine.run(&["-n", "1", "--bind", "exclusiv", "program"]);
    assert_eq!(done.status.code(), Some(2));
    let message = text(&done.stderr);
    for part in [
        "'exclusiv'",
        "none, round-robin, exclusive, numa",
        "a similar value exists: 'exclusive'",
    ] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_rank_becomes_its_program_on_the_cores_of_its_node() {
    let bind = |policy: &str, rank: Option<&str>| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_warpcomm"));
        command
            .args([
                "bind-rank",
                policy,
                "--",
                "sh",
                "-c",
                "grep Cpus_allowed_list /proc/self/status; exit 5",
            ])
            .env_remove("OMPI_COMM_WORLD_LOCAL_RANK");
        if let Some(rank) = rank {
            command.env("OMPI_COMM_WORLD_LOCAL_RANK", rank);
        }
        output(&mut command)
    };
    let done = bind("numa", Some("0"));
    assert_eq!(done.status.code(), Some(5), "{}", text(&done.stderr));
    assert!(text(&done.stdout).starts_with("Cpus_allowed_list:"));
    let exclusive = bind("exclusive", Some("1000000"));
    assert_eq!(exclusive.status.code(), Some(1));
    assert!(text(&exclusive.stderr).contains("1000001 ranks on one host"));
    let unknown = bind("numa", None);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("does not tell a rank its number"));
}

#[test]
fn real_launchers_bind_round_robin() {
    let cores = Surroundings::of_this_process().slots.unwrap().get();
    let ranks = 2 * cores;
    if ranks > 16 {
        eprintln!("not tested, since this machine has many cores");
        return;
    }
    for (name, _) in REAL {
        if on_path(OsStr::new(name)).is_none() {
            eprintln!("not tested, since it is not installed: {name}");
            continue;
        }
        let cpus = |policy, ranks: usize| {
            let started = tempfile::tempdir().unwrap();
            let then = "echo $OMPI_COMM_WORLD_RANK$PMI_RANK $(grep Cpus_allowed_list /proc/self/status)";
            let script = when_all_run(ranks, started.path(), then);
            let number = ranks.to_string();
            let words = [
                "-n",
                &number,
                "--launcher",
                name,
                "--bind",
                policy,
                "sh",
                "-c",
                &script,
            ];
            let done = real_run(&words.map(OsStr::new));
            assert!(done.status.success(), "{name}: {}", text(&done.stderr));
            let mut cpus = vec![Vec::new(); ranks];
            for line in text(&done.stdout).lines() {
                let words: Vec<&str> = line.split_whitespace().collect();
                cpus[words[0].parse::<usize>().unwrap()] = numbers_in(words[2]).unwrap();
            }
            cpus
        };
        let round_robin = cpus("round-robin", ranks);
        assert_eq!(round_robin[..cores], round_robin[cores..], "{name}");
        let exclusive = cpus("exclusive", cores);
        for cpus in [&round_robin[..cores], &exclusive] {
            let mut all = cpus.concat();
            let number = all.len();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), number, "{name}: two ranks share a core: {cpus:?}");
        }
        let numa = cpus("numa", ranks);
        let none = cpus("none", 1);
        assert!(
            numa.iter().flatten().all(|cpu| none[0].contains(cpu)),
            "{name}: {numa:?}"
        );
    }
}

#[test]
fn lines_are_tagged_in_each_launchers_way() {
    assert_eq!(
        options(&["-n", "1", "--tag-output"]),
        [
            "--tag-output",
            "--output tag",
            "-prepend-rank",
            "-prepend-rank",
            "--label"
        ]
    );
    for (name, _) in REAL {
        if on_path(OsStr::new(name)).is_none() {
            eprintln!("not tested, since it is not installed: {name}");
            continue;
        }
        let started = tempfile::tempdir().unwrap();
        let script = when_all_run(2, started.path(), "echo rank $OMPI_COMM_WORLD_RANK$PMI_RANK");
        let words = ["-n", "2", "--launcher", name, "--tag-output", "sh", "-c", &script];
        let done = real_run(&words.map(OsStr::new));
        let lines = text(&done.stdout);
        for rank in ["0", "1"] {
            let line = lines
                .lines()
                .find(|line| line.ends_with(&format!("rank {rank}")))
                .unwrap();
            let (tag, _) = line.split_once("rank").unwrap();
            assert!(tag.contains(&format!("{rank}]")), "{name}: {lines}");
        }
    }
}
