//! The command line of each launcher for a job.

use std::ffi::{OsStr, OsString};
use std::process::Command;

use super::binding::Binding;
use super::job::PartRef;
use super::surroundings::Surroundings;
use super::{Flavour, Job, Launcher, shell};

/// Ranks of one program, on one host if that is said.
struct Set<'a> {
    ranks: usize,
    host: Option<&'a str>,
    part: PartRef<'a>,
}

impl Launcher {
    /// The command that starts `job` from this process.
    pub fn command(&self, job: &Job) -> Command {
        self.command_in(job, &Surroundings::of_this_process())
    }

    /// The command that starts `job` in given surroundings.
    pub fn command_in(&self, job: &Job, surroundings: &Surroundings) -> Command {
        let mut command = Command::new(&self.program);
        let sets = self.sets(job);
        let first = match self.flavour {
            Flavour::Slurm => job.size().get(),
            _ => sets.first().map_or(job.ranks.get(), |set| set.ranks),
        };
        command.arg("-n").arg(first.to_string());
        let is_crowded = surroundings.are_crowded_by(job);
        match self.flavour {
            Flavour::OpenMpi4 | Flavour::OpenMpi5 => {
                if surroundings.root {
                    command.arg("--allow-run-as-root");
                }
                // Ranks that share cores are not bound, unless somebody says so.
                let binding = job.binding.or(is_crowded.then_some(Binding::Nothing));
                bind(&mut command, self.flavour, binding, is_crowded);
            }
            // Neither counts slots, and neither needs a setting to share cores: MPICH binds nothing by default
            // and has no documented one (MPIR_CVAR_POLLS_BEFORE_YIELD is not read by its device ch4); Intel
            // MPI yields by default.
            Flavour::Mpich | Flavour::IntelMpi => bind(&mut command, self.flavour, job.binding, is_crowded),
            Flavour::Slurm => {
                // Inside `sbatch --export=NONE` a step would get none of the variables otherwise.
                command.arg("--export=ALL");
                // Outside an allocation srun asks the cluster for cores, and this host's do not count.
                if is_crowded && surroundings.in_slurm_allocation {
                    command.arg("--overcommit");
                }
                // It would wait for the cores of the step. As a variable, because versions before 20.11 know no such option.
                if surroundings.in_slurm_step {
                    command.env("SLURM_OVERLAP", "1");
                }
                bind(&mut command, self.flavour, job.binding, is_crowded);
            }
        }
        self.append_hosts(&mut command, job);
        if job.tag_output {
            command.args(match self.flavour {
                Flavour::OpenMpi4 => ["--tag-output"].as_slice(),
                Flavour::OpenMpi5 => &["--output", "tag"],
                Flavour::Mpich | Flavour::IntelMpi => &["-prepend-rank"],
                Flavour::Slurm => &["--label"],
            });
        }
        if let (Flavour::Slurm, Some(limit)) = (self.flavour, job.time_limit) {
            // It counts in minutes, but it reaches ranks that nobody else does when srun is killed.
            let seconds = limit.as_secs();
            command.arg(format!("--time={}:{:02}", seconds / 60, seconds % 60));
        }
        if is_crowded {
            self.let_ranks_yield(&mut command);
        }
        self.append_environment(&mut command, job);
        match self.flavour {
            Flavour::Slurm if !job.others.is_empty() => append_programs_by_rank(&mut command, job),
            _ => self.append_programs(&mut command, job, &sets, is_crowded),
        }
        command
    }

    /// What stands between colons.
    fn sets<'a>(&self, job: &'a Job) -> Vec<Set<'a>> {
        match &job.hosts {
            // It takes no slots but from a file, which nobody could remove.
            Some(hosts) if self.flavour == Flavour::IntelMpi => {
                let shares = hosts.filled_by_each(job.parts().map(|part| part.ranks));
                let sets = job.parts().zip(shares).flat_map(|(part, shares)| {
                    shares.into_iter().map(move |(name, ranks)| Set {
                        ranks,
                        host: Some(name),
                        part,
                    })
                });
                sets.collect()
            }
            _ => job
                .parts()
                .map(|part| Set {
                    ranks: part.ranks.get(),
                    host: None,
                    part,
                })
                .collect(),
        }
    }

    fn append_hosts(&self, command: &mut Command, job: &Job) {
        let Some(hosts) = &job.hosts else { return };
        match self.flavour {
            Flavour::OpenMpi4 | Flavour::OpenMpi5 => command.arg("--host").arg(hosts.to_string()),
            Flavour::Mpich => command.arg("-hosts").arg(hosts.to_string()),
            // With the programs.
            Flavour::IntelMpi => command,
            Flavour::Slurm => {
                let filled = hosts.filled_by(job.size());
                let list: Vec<String> = filled
                    .iter()
                    .map(|(name, ranks)| format!("{name}*{ranks}"))
                    .collect();
                command
                    .arg(format!("--nodes={}", filled.len()))
                    .arg(format!("--nodelist={}", list.join(",")))
                    .arg("--distribution=arbitrary")
            }
        };
    }

    /// Has ranks of Open MPI that share cores give theirs up while they wait.
    ///
    /// `mpi_yield_when_idle`: `ompi_info --all` of versions 4.1 and 5.0.
    fn let_ranks_yield(&self, command: &mut Command) {
        match self.flavour {
            Flavour::OpenMpi4 => {
                command.args(["--mca", "mpi_yield_when_idle", "1"]);
            }
            // As a variable, because `prterun` does not give MPI's parameters to the ranks as `mpirun` does.
            Flavour::OpenMpi5 => {
                command.args(["-x", "OMPI_MCA_mpi_yield_when_idle=1"]);
            }
            Flavour::Mpich | Flavour::IntelMpi | Flavour::Slurm => {}
        }
    }

    fn append_environment(&self, command: &mut Command, job: &Job) {
        for (name, value) in last_of_each(&job.environment) {
            match self.flavour {
                Flavour::OpenMpi4 | Flavour::OpenMpi5 => command.arg("-x").arg(assignment(name, value)),
                Flavour::Mpich | Flavour::IntelMpi => command.arg("-genv").arg(name).arg(value),
                // `--export=ALL,NAME=VALUE` loses to a variable of the caller, and ends a value at a comma.
                Flavour::Slurm => command.env(name, value),
            };
        }
    }

    /// Appends the programs with a colon between them.
    fn append_programs(&self, command: &mut Command, job: &Job, sets: &[Set<'_>], is_crowded: bool) {
        for (position, set) in sets.iter().enumerate() {
            if position > 0 {
                command.args([":", "-n"]).arg(set.ranks.to_string());
                if matches!(self.flavour, Flavour::OpenMpi4 | Flavour::OpenMpi5) {
                    // Hosts, parameters and variables are of one program each, not in all versions alike.
                    self.append_hosts(command, job);
                    if is_crowded {
                        self.let_ranks_yield(command);
                    }
                    self.append_environment(command, job);
                }
            }
            if let Some(host) = set.host {
                command.args(["-host", host]);
            }
            append_program(command, set.part);
        }
    }
}

fn bind(command: &mut Command, flavour: Flavour, binding: Option<Binding>, is_crowded: bool) {
    if let Some(binding) = binding {
        command.args(binding.options(flavour, is_crowded));
    }
}

/// Appends a program and its arguments.
fn append_program(command: &mut Command, part: PartRef<'_>) {
    if part.args.iter().any(|argument| argument == ":") {
        // All launchers take a lone colon, even behind the program, for the start of the next program.
        command.args(["sh", "-c"]).arg(exec(part));
    } else {
        command.arg(part.program).args(part.args);
    }
}

/// Appends a shell that becomes the program of the rank that it is.
///
/// Not `--multi-prog`: its file would have to last as long as srun reads it, and cannot write every word.
fn append_programs_by_rank(command: &mut Command, job: &Job) {
    let mut script = OsString::new();
    let mut end = 0;
    for part in job.parts() {
        end += part.ranks.get();
        let word = if script.is_empty() { "if" } else { "; elif" };
        script.push(format!(r#"{word} [ "$SLURM_PROCID" -lt {end} ]; then "#));
        script.push(exec(part));
    }
    script.push("; fi");
    command.args(["sh", "-c"]).arg(script);
}

/// A line for a shell that becomes the program.
fn exec(part: PartRef<'_>) -> OsString {
    let mut line = OsString::from("exec");
    for word in std::iter::once(part.program).chain(part.args) {
        line.push(" ");
        line.push(shell::quoted(word));
    }
    line
}

/// The variables without those that a later one of the same name replaces.
fn last_of_each(variables: &[(OsString, OsString)]) -> impl Iterator<Item = (&OsStr, &OsStr)> {
    variables
        .iter()
        .enumerate()
        .filter_map(|(position, (name, value))| {
            let replaced = variables[position + 1..].iter().any(|(later, _)| later == name);
            (!replaced).then_some((name.as_os_str(), value.as_os_str()))
        })
}

/// `NAME=VALUE` as one word.
fn assignment(name: &OsStr, value: &OsStr) -> OsString {
    let mut word = name.to_owned();
    word.push("=");
    word.push(value);
    word
}
