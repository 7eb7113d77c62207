//! Whether a launcher has started this process as a rank, as its variables tell.

use std::env;

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
    ["PMI_RANK", "PMI_SIZE", "Hydra, of MPICH or Intel MPI"],
    ["SLURM_PROCID", "SLURM_STEP_NUM_TASKS", SLURM],
    ["PMIX_RANK", "PMIX_SIZE", "one that speaks PMIx"],
];

const SLURM: &str = "srun of Slurm";

/// Who has started this process, if it is a rank of a job.
pub fn launched() -> Option<Launched> {
    launched_by(|name| env::var(name).ok())
}

fn launched_by(variable: impl Fn(&str) -> Option<String>) -> Option<Launched> {
    // Everything in an allocation has a number, but only what srun has started is in a step.
    let is_in_step = variable("SLURM_STEP_ID").is_some();
    let is_of = |[rank, _, launcher]: &&[&'static str; 3]| {
        variable(rank).is_some() && (*launcher != SLURM || is_in_step)
    };
    let [rank, size, launcher] = LAUNCHERS.iter().find(is_of)?;
    let number = |name: &str| variable(name).and_then(|number| number.trim().parse().ok());
    let is_slurm = launcher.starts_with("Hydra") && is_in_step;
    Some(Launched {
        launcher: if is_slurm { SLURM } else { launcher },
        rank: number(rank),
        ranks: number(size),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(variables: &[(&str, &str)]) -> Option<(&'static str, [Option<usize>; 2])> {
        let launched = launched_by(|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        });
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
        assert_eq!(
            by(&hydra),
            Some(("Hydra, of MPICH or Intel MPI", [Some(0), Some(2)]))
        );
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
}
