//! `--host` and `--hostfile`: lists of hosts, in the form of each launcher.

use std::ffi::OsStr;
use std::fs;
use std::num::NonZeroUsize;

use crate::launcher::hosts::Hosts;
use crate::launcher::on_path;
use crate::machine::{INTEL_MPI, MPICH, Machine, OPEN_MPI_4, OPEN_MPI_5, SLURM, output, text};
use crate::real::{REAL, real_run, when_all_run};

/// What is wrong with arguments, where that is all that is said.
pub fn usage_error(machine: &Machine, arguments: &[&str]) -> String {
    let done = machine.run(arguments);
    assert_eq!(done.status.code(), Some(2), "{arguments:?}");
    assert_eq!(text(&done.stdout), "");
    let message = text(&done.stderr);
    let first = message.split("\n\n").next().unwrap();
    first.strip_prefix("error: ").unwrap().to_owned()
}

#[test]
fn lists_are_read() {
    let read = |list| Hosts::of_list(list).map(|hosts| hosts.to_string());
    assert_eq!(read("a:2,b"), Ok("a:2,b:1".to_owned()));
    assert_eq!(read("a,b-1.c_d:3,a:2,a"), Ok("a:4,b-1.c_d:3".to_owned()));
    for (list, word) in [
        ("", "``"),
        ("a,,b", "``"),
        ("a:2,b:", "`` in `b:`"),
        ("a:0", "`0` in `a:0`"),
        ("a:-1", "`-1` in `a:-1`"),
        ("a:two", "`two` in `a:two`"),
        ("a:1:2", "`1:2` in `a:1:2`"),
        (":2", "`:2`"),
        ("-a", "`-a`"),
        ("user@a", "`user@a`"),
        ("node[1-4]", "`node[1-4]`"),
        ("a b", "`a b`"),
    ] {
        let message = read(list).unwrap_err();
        assert!(message.starts_with(word), "{list}: {message}");
    }
}

#[test]
fn files_are_read_in_the_forms_of_all_launchers() {
    let read = |text| Hosts::of_lines(text).map(|hosts| hosts.to_string());
    assert_eq!(
        read("# cluster\n\na slots=2 # two\n  b:4\r\nc\na\n"),
        Ok("a:3,b:4,c:1".to_owned())
    );
    assert_eq!(
        read("a slots=2 max_slots=4\nb max-slots=2\n"),
        Ok("a:2,b:1".to_owned())
    );
    for (text, word) in [
        ("", "it names no host"),
        ("# a\n", "it names no host"),
        ("a\nb slot=2\n", "line 2: `slot=2`"),
        ("a slots=2 max_slots=x", "line 1: `x` in `max_slots=x`"),
        ("\n\na slots=", "line 3: `` in `slots=`"),
        ("a slots=0", "line 1: `0` in `slots=0`"),
        ("a:2 slots=2", "line 1: `slots=2`"),
        ("a slots=2 slots=3", "line 1: `slots=3`"),
        ("a\nb:x", "line 2: `x` in `b:x`"),
        ("a\n:2", "line 2: `:2`"),
    ] {
        let message = read(text).unwrap_err();
        assert!(message.starts_with(word), "{text:?}: {message}");
    }
}

#[test]
fn ranks_fill_hosts_in_their_order() {
    let hosts = Hosts::of_list("a:2,b:3,c:1").unwrap();
    let number = |ranks| NonZeroUsize::new(ranks).unwrap();
    assert_eq!(hosts.filled_by(number(1)), [("a", 1)]);
    assert_eq!(hosts.filled_by(number(6)), [("a", 2), ("b", 3), ("c", 1)]);
    assert_eq!(
        hosts.filled_by_each([1, 3, 1].map(number).into_iter()),
        [vec![("a", 1)], vec![("a", 1), ("b", 2)], vec![("b", 1)]]
    );
}

#[test]
fn each_launcher_gets_hosts_in_its_form() {
    let line = |name, version| {
        let machine = Machine::new().launcher(name, version, "exit 9");
        fs::write(machine.path("hosts"), "a slots=2\nb:4\n").unwrap();
        let line = machine.line(&["-n", "5", "--host", "a:2,b:4"]);
        assert_eq!(line, machine.line(&["-n", "5", "--hostfile", "hosts"]));
        line
    };
    let open_mpi = "mpirun -n 5 --host a:2,b:4 program";
    assert_eq!(line("mpirun", OPEN_MPI_4), open_mpi);
    assert_eq!(line("mpirun", OPEN_MPI_5), open_mpi);
    assert_eq!(line("mpiexec", MPICH), "mpiexec -n 5 -hosts a:2,b:4 program");
    assert_eq!(
        line("mpiexec", INTEL_MPI),
        "mpiexec -n 2 -host a program : -n 3 -host b program"
    );
    let srun = line("srun", SLURM);
    let options = "-n 5 --export=ALL --nodes=2 '--nodelist=a*2,b*3' --distribution=arbitrary program";
    assert!(srun.ends_with(options), "{srun}");
}

#[test]
fn names_of_this_host_are_one_host() {
    let own = own_name();
    let read = |list: &str| Hosts::of_list(list).unwrap().to_string();
    assert_eq!(read(&format!("localhost,a,{own}:2")), "localhost:3,a:1");
    assert_eq!(
        read(&format!("{own}:2,127.0.0.1,localhost:4")),
        format!("{own}:7")
    );
}

fn own_name() -> String {
    let own = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    own.trim().to_owned()
}

/// The cores of this host say nothing about another.
#[test]
fn other_hosts_are_not_crowded() {
    let machine = Machine::new().launcher("mpirun", OPEN_MPI_4, "exit 9");
    let line = |host: &str| machine.line(&["-n", "1000000", "--host", host]);
    assert_eq!(line("a:1000000"), "mpirun -n 1000000 --host a:1000000 program");
    assert!(line("localhost:1000000").contains(" --oversubscribe "));
}

#[test]
fn more_ranks_than_slots_are_refused() {
    let machine = Machine::new().launcher("mpirun", OPEN_MPI_4, "echo started");
    assert_eq!(
        usage_error(&machine, &["-n", "4", "--host", "a:2,b", "program"]),
        "4 ranks are more than the 3 slots of the hosts a:2,b:1"
    );
    assert_eq!(
        usage_error(
            &machine,
            &["-n", "1", "--host", "a", "program", ":", "-n", "1", "program"]
        ),
        "2 ranks are more than the 1 slot of the hosts a:1"
    );
}

#[test]
fn what_is_wrong_in_a_host_file_is_named() {
    let machine = Machine::new().launcher("mpirun", OPEN_MPI_4, "echo started");
    fs::write(machine.path("hosts"), "a\nb slot=2\n").unwrap();
    let message = usage_error(&machine, &["-n", "1", "--hostfile", "hosts", "program"]);
    assert!(message.contains("'hosts'"), "{message}");
    assert!(
        message.contains("line 2: `slot=2` is not understood"),
        "{message}"
    );
    let absent = usage_error(&machine, &["-n", "1", "--hostfile", "absent", "program"]);
    assert!(absent.contains("No such file"), "{absent}");
    let word = usage_error(&machine, &["-n", "1", "--host", "a:2,b:x", "program"]);
    assert!(word.contains("`x` in `b:x`"), "{word}");
    usage_error(
        &machine,
        &["-n", "1", "--host", "a", "--hostfile", "hosts", "program"],
    );
    let sim = usage_error(&machine, &["-n", "1", "--sim", "--host", "a", "program"]);
    assert_eq!(
        sim,
        "with --sim all ranks run on this host, and a:1 names another"
    );
    let mut allocation = machine.command(&["-n", "1", "--sim", "program"]);
    allocation.envs([("SLURM_JOB_ID", "1"), ("SLURM_JOB_NUM_NODES", "2")]);
    let done = output(&mut allocation);
    assert_eq!(done.status.code(), Some(2));
    assert!(text(&done.stderr).contains("Name this one by `warpcomm run --host`"));
}

#[test]
fn real_launchers_take_hosts() {
    let hosts = format!("localhost:2,{}:2", own_name());
    for (name, _) in REAL {
        if on_path(OsStr::new(name)).is_none() {
            eprintln!("not tested, since it is not installed: {name}");
            continue;
        }
        let started = tempfile::tempdir().unwrap();
        let script = when_all_run(3, started.path(), "echo $OMPI_COMM_WORLD_RANK$PMI_RANK");
        let words = [
            "-n",
            "3",
            "--launcher",
            name,
            "--host",
            &hosts,
            "sh",
            "-c",
            &script,
        ];
        let done = real_run(&words.map(OsStr::new));
        assert!(done.status.success(), "{name}: {}", text(&done.stderr));
        let mut ranks: Vec<_> = text(&done.stdout).lines().map(str::to_owned).collect();
        ranks.sort();
        assert_eq!(ranks, ["0", "1", "2"], "{name}");
    }
}
