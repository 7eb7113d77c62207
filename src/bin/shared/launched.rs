//! Whether a launcher has started this process as a rank, as its variables tell.

use std::env;
use std::fs::File;

/// What a launcher tells a rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launched {
    pub launcher: &'static str,
    /// The number of this rank.
    pub rank: Option<usize>,
    /// How many ranks it has started, where it tells that.
    pub ranks: Option<usize>,
}

/// Launchers by what they call a rank's number, with what they call the number of all.
const LAUNCHERS: [[&str; 3]; 7] = [
    [
        "OMPI_COMM_WORLD_RANK",
        "OMPI_COMM_WORLD_SIZE",
        "mpirun of Open MPI",
    ],
    ["MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "mpirun of MVAPICH"],
    ["PALS_RANKID", "PALS_SIZE", "PALS"],
    ["FLUX_TASK_RANK", "FLUX_JOB_SIZE", "Flux"],
    // A process manager's interface, which Slurm and others have too.
    ["PMI_RANK", "PMI_SIZE", HYDRA],
    ["SLURM_PROCID", "SLURM_STEP_NUM_TASKS", SLURM],
    ["PMIX_RANK", "PMIX_SIZE", PMIX],
];

const HYDRA: &str = "Hydra, of MPICH or Intel MPI";
const SLURM: &str = "srun of Slurm";
const PMIX: &str = "one that speaks PMIx";

/// The step of the shell that salloc starts on a node, by its number: `SLURM_INTERACTIVE_STEP` of slurm.h.
const STEP_OF_SALLOC: &str = "4294967290";

/// Who has started this process, if it is a rank of a job.
pub fn launched() -> Option<Launched> {
    // Only who has one can open it.
    let has_terminal = File::open("/dev/tty").is_ok();
    launched_by(|name| env::var(name).ok(), has_terminal)
}

fn launched_by(variable: impl Fn(&str) -> Option<String>, has_terminal: bool) -> Option<Launched> {
    let step = variable("SLURM_STEP_ID");
    // A shell that srun has started by --pty, or salloc, has all that a rank has. Ranks that are started in that shell
    // inherit its port, and no terminal.
    let is_shell =
        step.as_deref() == Some(STEP_OF_SALLOC) || variable("SLURM_PTY_PORT").is_some() && has_terminal;
    // Everything in an allocation has a number, but only what srun has started is in a step.
    let is_in_step = step.is_some() && !is_shell;
    let is_of = |[rank, size, launcher]: &&[&'static str; 3]| {
        let counts = match *launcher {
            SLURM => is_in_step,
            PMIX => !is_shell,
            // Slurm's manager has told the shell of the step, and a launcher in that shell tells its ranks of theirs.
            HYDRA => !is_shell || variable(size) != variable("SLURM_STEP_NUM_TASKS"),
            _ => true,
        };
        counts && variable(rank).is_some()
    };
    let [rank, size, launcher] = LAUNCHERS.iter().find(is_of)?;
    let number = |name: &str| variable(name).and_then(|number| number.trim().parse().ok());
    let is_slurm = *launcher == HYDRA && is_in_step;
    Some(Launched {
        launcher: if is_slurm { SLURM } else { launcher },
        rank: number(rank),
        ranks: number(size),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Told = Option<(&'static str, [Option<usize>; 2])>;

    fn by(variables: &[(&str, &str)]) -> Told {
        told(variables, false)
    }

    fn told(variables: &[(&str, &str)], has_terminal: bool) -> Told {
        let of = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let launched = launched_by(of, has_terminal);
        launched.map(|launched| (launched.launcher, [launched.rank, launched.ranks]))
    }

    #[test]
    fn launchers_are_told_by_their_variables() {
        assert_eq!(by(&[]), None);
        let open_mpi = [
            ("OMPI_COMM_WORLD_RANK", "1"),
            ("OMPI_COMM_WORLD_SIZE", "4"),
            ("PMIX_RANK", "1"),
        ];
        assert_eq!(by(&open_mpi), Some(("mpirun of Open MPI", [Some(1), Some(4)])));
        let hydra = [("PMI_RANK", "0"), ("PMI_SIZE", "2")];
        assert_eq!(by(&hydra), Some((HYDRA, [Some(0), Some(2)])));
    }

    #[test]
    fn a_batch_script_is_no_rank_of_slurm() {
        let script = [("SLURM_PROCID", "0"), ("SLURM_JOB_ID", "7")];
        assert_eq!(by(&script), None);
        let step = [
            ("SLURM_PROCID", "0"),
            ("SLURM_STEP_ID", "1"),
            ("SLURM_STEP_NUM_TASKS", "8"),
        ];
        assert_eq!(by(&step), Some((SLURM, [Some(0), Some(8)])));
        let with_manager = [("PMI_RANK", "0"), ("PMI_SIZE", "8"), ("SLURM_STEP_ID", "1")];
        assert_eq!(by(&with_manager), Some((SLURM, [Some(0), Some(8)])));
    }

    /// The variables are those that users show of such shells.
    #[test]
    fn a_shell_of_slurm_is_no_rank_and_what_it_starts_is() {
        let shell = |step, more: &[(&'static str, &'static str)]| {
            let its = [
                ("SLURM_PROCID", "0"),
                ("SLURM_STEP_ID", step),
                ("SLURM_STEP_NUM_TASKS", "1"),
                ("SLURM_PTY_PORT", "34889"),
            ];
            // Of two of a name the first counts.
            [more, &its].concat()
        };
        let (of_salloc, of_srun) = ("4294967290", "0");
        for step in [of_salloc, of_srun] {
            assert_eq!(told(&shell(step, &[]), true), None);
            let managed = [("PMI_RANK", "0"), ("PMI_SIZE", "1"), ("PMIX_RANK", "0")];
            assert_eq!(told(&shell(step, &managed), true), None);
            let by_mpirun = shell(
                step,
                &[("OMPI_COMM_WORLD_RANK", "1"), ("OMPI_COMM_WORLD_SIZE", "2")],
            );
            let open_mpi = Some(("mpirun of Open MPI", [Some(1), Some(2)]));
            assert_eq!(told(&by_mpirun, true), open_mpi);
            let by_hydra = shell(step, &[("PMI_RANK", "0"), ("PMI_SIZE", "2")]);
            assert_eq!(told(&by_hydra, true), Some((HYDRA, [Some(0), Some(2)])));
            let by_srun = [
                ("SLURM_PROCID", "1"),
                ("SLURM_STEP_ID", "3"),
                ("SLURM_STEP_NUM_TASKS", "2"),
            ];
            let by_srun = shell(step, &by_srun);
            assert_eq!(by(&by_srun), Some((SLURM, [Some(1), Some(2)])));
        }
        // Whatever runs in it without a terminal, as a server of notebooks.
        assert_eq!(by(&shell(of_salloc, &[])), None);
    }
}
