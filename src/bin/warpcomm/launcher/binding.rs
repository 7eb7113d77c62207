//! How each launcher is told to which cores it binds ranks.

use super::Flavour;

/// To which cores a launcher binds ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// To none.
    Nothing,
    /// Each to one core, the next to the next core of the host, and from the first on again where there are more.
    RoundRobin,
    /// Each to one core of its own.
    Exclusive,
}

impl Binding {
    /// The options, for a job that may have more ranks than cores (`is_crowded`).
    ///
    /// mpirun(1) of Open MPI 4.1 and 5.0; `mpiexec -bind-to -help` of Hydra; the developer reference of Intel MPI;
    /// srun(1), whose ranks have as many cores as the allocation says.
    pub fn options(self, flavour: Flavour, is_crowded: bool) -> &'static [&'static str] {
        match (flavour, self) {
            (Flavour::OpenMpi4, Self::Nothing) if is_crowded => &["--oversubscribe", "--bind-to", "none"],
            (Flavour::OpenMpi5, Self::Nothing) if is_crowded => {
                &["--map-by", ":OVERSUBSCRIBE", "--bind-to", "none"]
            }
            (Flavour::OpenMpi4 | Flavour::OpenMpi5, Self::Nothing) => &["--bind-to", "none"],
            (Flavour::OpenMpi4, Self::RoundRobin) if is_crowded => &[
                "--map-by",
                "core:OVERSUBSCRIBE",
                "--bind-to",
                "core:overload-allowed",
            ],
            // Otherwise ranks that follow each other would share a core.
            (Flavour::OpenMpi5, Self::RoundRobin) if is_crowded => &[
                "--map-by",
                "core:OVERSUBSCRIBE",
                "--rank-by",
                "slot",
                "--bind-to",
                "core:overload-allowed",
            ],
            (Flavour::OpenMpi4 | Flavour::OpenMpi5, _) => &["--map-by", "core", "--bind-to", "core"],
            (Flavour::Mpich, Self::Nothing) => &["-bind-to", "none"],
            (Flavour::Mpich, _) => &["-bind-to", "core"],
            (Flavour::IntelMpi, Self::Nothing) => &["-genv", "I_MPI_PIN", "off"],
            (Flavour::IntelMpi, _) => &[
                "-genv",
                "I_MPI_PIN",
                "on",
                "-genv",
                "I_MPI_PIN_DOMAIN",
                "core",
                "-genv",
                "I_MPI_PIN_ORDER",
                "compact",
            ],
            (Flavour::Slurm, Self::Nothing) => &["--cpu-bind=none"],
            (Flavour::Slurm, _) => &["--cpu-bind=cores"],
        }
    }
}
