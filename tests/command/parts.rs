//! What the launcher's options and the choice among launchers are made of.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::Path;

use crate::launcher::library::{MpiLibrary, needed_libraries};
use crate::launcher::surroundings::{Surroundings, numbers_in, tasks_on_all_nodes};
use crate::launcher::{Flavour, Job, Launcher, shell};
use crate::machine::{INTEL_MPI, MPICH, Machine, OPEN_MPI_4, OPEN_MPI_5, SLURM, elf_that_needs};

#[test]
fn root_and_slots_decide_the_options_of_open_mpi() {
    let launcher = Launcher {
        program: "mpirun".into(),
        flavour: Flavour::OpenMpi4,
        version: "4.1.4".to_owned(),
    };
    let mut job = Job::new(NonZeroUsize::new(4).unwrap(), "program");
    job.environment.clear();
    let line = |slots, root| {
        let surroundings = Surroundings {
            slots: NonZeroUsize::new(slots),
            in_slurm_allocation: false,
            in_slurm_step: false,
            root,
        };
        shell::line(&launcher.command_in(&job, &surroundings))
            .into_string()
            .unwrap()
    };
    let crowded = "--oversubscribe --bind-to none --mca mpi_yield_when_idle 1";
    assert_eq!(line(4, false), "mpirun -n 4 program");
    assert_eq!(line(4, true), "mpirun -n 4 --allow-run-as-root program");
    assert_eq!(line(3, false), format!("mpirun -n 4 {crowded} program"));
    assert_eq!(
        line(3, true),
        format!("mpirun -n 4 --allow-run-as-root {crowded} program")
    );
    assert_eq!(line(0, false), "mpirun -n 4 program", "unknown slots");
}

#[test]
fn versions_are_read_from_what_launchers_print() {
    let read = |text| Flavour::of_version(text).map(|(flavour, version)| (flavour, version.leak() as &str));
    assert_eq!(read(OPEN_MPI_4), Some((Flavour::OpenMpi4, "4.1.4")));
    assert_eq!(
        read("orterun (OpenRTE) 4.1.4"),
        Some((Flavour::OpenMpi4, "4.1.4"))
    );
    assert_eq!(
        read("mpirun (Open MPI) 10.0.0rc1"),
        Some((Flavour::OpenMpi5, "10.0.0rc1"))
    );
    assert_eq!(read(OPEN_MPI_5), Some((Flavour::OpenMpi5, "5.0.11")));
    assert_eq!(
        read("prterun (PRRTE) 3.0.14"),
        Some((Flavour::OpenMpi5, "5 (PRRTE 3.0.14)"))
    );
    assert_eq!(read(MPICH), Some((Flavour::Mpich, "4.0.2")));
    assert_eq!(read(INTEL_MPI), Some((Flavour::IntelMpi, "2021.19.0")));
    assert_eq!(read(SLURM), Some((Flavour::Slurm, "22.05.8")));
    assert_eq!(read("slurm 24.11.1"), Some((Flavour::Slurm, "24.11.1")));
    assert_eq!(read("mpirun (Open MPI) soon"), None);
    assert_eq!(read("mpirun (Open MPI)"), None);
    assert_eq!(read("ls (GNU coreutils) 9.1"), None);
    assert_eq!(read(""), None);
}

#[test]
fn the_needed_libraries_tell_the_mpi() {
    let among = |names: &[&str]| MpiLibrary::among(&names.iter().map(OsString::from).collect::<Vec<_>>());
    assert_eq!(among(&["libc.so.6", "libmpi.so.40"]), Some(MpiLibrary::OpenMpi));
    assert_eq!(among(&["libmpi.so.12"]), Some(MpiLibrary::MpichInterface));
    assert_eq!(
        among(&["libmpich.so.12", "libmpi.so.40"]),
        Some(MpiLibrary::DebianMpich)
    );
    assert_eq!(among(&["libmpi.so.1", "libc.so.6"]), None);

    let own = needed_libraries(&std::env::current_exe().unwrap()).unwrap();
    assert_eq!(
        own.iter().any(|name| name == "libc.so.6"),
        cfg!(target_env = "gnu"),
        "{own:?}"
    );
    assert_eq!(needed_libraries(Path::new(file!())), None);
    assert_eq!(needed_libraries(Path::new("/")), None);
}

#[test]
fn a_damaged_program_has_no_known_library() {
    let machine = Machine::new();
    let whole = elf_that_needs(&["libmpi.so.40"]);
    for length in 0..whole.len() {
        machine.program("damaged", &whole[..length]);
        assert_eq!(
            MpiLibrary::of(&machine.path("bin/damaged")),
            None,
            "{length} bytes"
        );
    }
    machine.program("whole", &whole);
    assert_eq!(
        MpiLibrary::of(&machine.path("bin/whole")),
        Some(MpiLibrary::OpenMpi)
    );
}

#[test]
fn lists_of_tasks_and_processors_are_read() {
    assert_eq!(tasks_on_all_nodes("3"), NonZeroUsize::new(3));
    assert_eq!(tasks_on_all_nodes("4(x2),1"), NonZeroUsize::new(9));
    for wrong in ["", "0", "4(x2", "4(xa)", "2,", "18446744073709551615(x2)"] {
        assert_eq!(tasks_on_all_nodes(wrong), None, "{wrong}");
    }
    assert_eq!(numbers_in("0-2,8"), Some(vec![0, 1, 2, 8]));
    assert_eq!(numbers_in("0-"), None);
}
