//! A job in two networks of this machine, which are for it two hosts that only a cable joins.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::launcher::{Flavour, Launcher};

const SCRIPT: &str = include_str!("two_networks.sh");

/// The host name there, if it is to have its own.
const NAME: &str = "there";

/// New network and process namespaces, for root and for everybody else.
const AS_ROOT: &[&str] = &["--net", "--pid", "--mount-proc", "--fork", "--kill-child"];
const AS_USER: &[&str] = &[
    "--map-root-user",
    "--net",
    "--pid",
    "--mount-proc",
    "--fork",
    "--kill-child",
];

/// A command in the first of two networks.
fn inside(namespaces: &[&str], directory: &Path, has_names: bool) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(namespaces)
        .args(["sh", "-c", SCRIPT, "sh"])
        .arg(directory)
        .arg(if has_names { NAME } else { "" });
    command
}

/// How networks can be made here, or why not.
fn namespaces() -> Result<&'static [&'static str], String> {
    static FOUND: OnceLock<Result<&'static [&'static str], String>> = OnceLock::new();
    FOUND.get_or_init(find_namespaces).clone()
}

fn find_namespaces() -> Result<&'static [&'static str], String> {
    let mut why = String::new();
    for namespaces in [AS_ROOT, AS_USER] {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut command = inside(namespaces, directory.path(), true);
        let output = command.arg("true").stdin(Stdio::null()).output();
        match output {
            Ok(output) if output.status.success() => return Ok(namespaces),
            Ok(output) => why = String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => why = format!("unshare: {error}"),
        }
    }
    Err(why)
}

/// Why a job cannot be in two networks.
pub fn obstacle() -> Option<String> {
    let namespaces = namespaces().map_err(|why| format!("networks cannot be made here: {why}"));
    namespaces.and_then(|_| options(1)).err()
}

/// The command of a job, half of whose ranks are in each network.
pub fn command(job: &Command, ranks: usize, directory: &Path, has_names: bool) -> Result<Command, String> {
    let mut command = inside(namespaces()?, directory, has_names);
    command.arg(job.get_program());
    command.args(options(ranks.div_ceil(2))?);
    command.args(job.get_args());
    for (name, value) in job.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let agent = directory.join("agent");
    let variables = [
        // What launchers keep there has the numbers of processes in its name, and here they are others' too.
        ("TMPDIR", directory),
        ("OMPI_MCA_plm_rsh_agent", &agent),
    ];
    command.envs(variables);
    Ok(command)
}

/// How a launcher is told of the two hosts, and its MPI of the wire between them.
fn options(on_each: usize) -> Result<Vec<String>, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let launcher = Launcher::find(&program, None).map_err(|error| error.to_string())?;
    // MPICH 4.0.2 over UCX's TCP hangs in `MPI_Finalize` now and then, of programs in C too.
    if launcher.flavour != Flavour::OpenMpi4 {
        return Err(format!("jobs of {launcher} are not tested in two networks"));
    }
    // Whoever makes networks is root in them.
    let words = "--allow-run-as-root --mca oob_tcp_if_include wire --mca btl_tcp_if_include wire --mca pml ob1 \
                 --mca btl self,tcp --host";
    let hosts = format!("10.66.0.1:{on_each},10.66.0.2:{on_each}");
    Ok(words.split(' ').map(str::to_owned).chain([hosts]).collect())
}
