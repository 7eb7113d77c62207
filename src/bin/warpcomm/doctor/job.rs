//! What ranks find out: a short job of them tells it as `warpcomm info` does.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;

use super::report::Finding;
use crate::awaited::{self, Done};
use crate::launched::launched;
use crate::launcher::surroundings::{Surroundings, in_slurm_allocation};
use crate::launcher::{Flavour, Job, Launcher};
use crate::overview::{self, Overview};
use crate::record::mpi_version;
use crate::sim::Driver;

const CHECK: &str = "job";

/// Starts ranks, at least two, and judges what they tell.
pub fn findings(
    program: &Path,
    launcher: &Launcher,
    ranks: Option<NonZeroUsize>,
    gpus: Option<u8>,
) -> Vec<Finding> {
    // Outside an allocation a job may have to wait for the cluster.
    if launcher.flavour == Flavour::Slurm && !in_slurm_allocation() {
        return vec![Finding::note(
            CHECK,
            "none was tried: this is outside of a Slurm allocation",
        )];
    }
    if launched().is_some() {
        return vec![Finding::note(CHECK, "none was tried: this is a rank of one")];
    }
    let number = number(ranks, Surroundings::of_this_process().slots);
    match overview_of(program, launcher, number, gpus) {
        Ok(overview) => {
            let mut findings = judged(&overview, number.get(), ranks.is_some());
            findings.extend(overview.job.and_then(|job| versions(launcher, &job.mpi)));
            findings
        }
        Err(message) => vec![Finding::error(
            CHECK,
            format!("ranks that {launcher} was to start have failed: {message}"),
            format!("`warpcomm info -n {number}` shows all that they say"),
        )],
    }
}

/// How many ranks are started: as many as are wanted, if each has a core, and two otherwise.
fn number(wanted: Option<NonZeroUsize>, cores: Option<NonZeroUsize>) -> NonZeroUsize {
    let two = NonZeroUsize::MIN.saturating_add(1);
    match (wanted, cores) {
        (Some(wanted), Some(cores)) => wanted.min(cores.max(two)),
        _ => two,
    }
}

fn overview_of(
    program: &Path,
    launcher: &Launcher,
    ranks: NonZeroUsize,
    gpus: Option<u8>,
) -> Result<Overview, String> {
    let mut job = Job::new(ranks, program);
    job.args = ["info", "--json"].map(Into::into).to_vec();
    let driver = gpus.map(|gpus| Driver::for_job(gpus, None)).transpose()?;
    if let Some(driver) = &driver {
        driver.put_before(&mut job);
    }
    let Done {
        succeeded,
        stdout,
        stderr,
    } = awaited::run(&mut launcher.command(&job))?;
    // Launchers may say something of their own before and after it.
    let object = stdout.find("\n{").map_or(0, |at| at + 1)..stdout.rfind('}').map_or(0, |at| at + 1);
    let told = stdout.get(object).map(serde_json::from_str);
    match told {
        Some(Ok(overview)) if succeeded => Ok(overview),
        _ => {
            let mut lines = stderr.lines().map(str::trim);
            // Lines of hyphens frame what Open MPI says.
            let said = lines.find(|line| line.chars().any(char::is_alphanumeric));
            Err(said.unwrap_or("they said nothing").to_owned())
        }
    }
}

/// Whether the library that the ranks have loaded is of another version than the launcher.
fn versions(launcher: &Launcher, mpi: &str) -> Option<Finding> {
    let name = match launcher.flavour {
        Flavour::OpenMpi4 | Flavour::OpenMpi5 => "Open MPI v",
        Flavour::Mpich => "MPICH Version:",
        Flavour::IntelMpi | Flavour::Slurm => return None,
    };
    let version = mpi
        .strip_prefix(name)?
        .split_whitespace()
        .next()?
        .trim_end_matches(',');
    // A launcher without its library has a version of its own.
    let is_known =
        launcher.version.starts_with(|c: char| c.is_ascii_digit()) && !launcher.version.contains(' ');
    (is_known && version != launcher.version).then(|| {
        Finding::warning(
            CHECK,
            format!("the launcher is {launcher}, and the ranks load version {version} of that MPI"),
            "put both of one installation first: its bin into PATH, its lib into LD_LIBRARY_PATH",
        )
    })
}

/// What is suspicious about a job of so many ranks.
fn judged(overview: &Overview, started: usize, is_wanted: bool) -> Vec<Finding> {
    let Some(job) = &overview.job else {
        return vec![Finding::error(
            CHECK,
            "the ranks know of no job",
            "build warpcomm-rank anew",
        )];
    };
    let mut findings = Vec::new();
    let mpi = mpi_version(&job.mpi);
    let ranks = job.ranks.len();
    findings.push(match ranks == started {
        true => Finding::ok(
            CHECK,
            format!("{ranks} ranks of {mpi}, thread level {}", job.thread_level),
        ),
        false => Finding::error(
            CHECK,
            format!("{started} ranks were started, and MPI knows of {ranks}"),
            "start them with the launcher of the MPI that they are linked with",
        ),
    });
    if job.thread_level != "multiple" {
        findings.push(Finding::warning(
            "thread level",
            format!(
                "MPI grants {}: operations go on inside calls only",
                job.thread_level
            ),
            "unset WARPCOMM_THREAD_LEVEL, or use an MPI that is built for threads",
        ));
    }
    findings.extend(awareness(&job.cuda_awareness));
    findings.extend(sharing(overview, job, is_wanted));
    findings.extend(ipc(job));
    findings
}

fn awareness(awareness: &overview::CudaAwareness) -> Vec<Finding> {
    let check = "CUDA awareness";
    let remedy = "run `warpcomm tune -n 2 --proof`, or set WARPCOMM_CUDA_AWARE=no";
    let works = |expected| {
        awareness
            .proved
            .iter()
            .filter(move |proved| proved.works == expected)
    };
    if awareness.proved.is_empty() {
        return Vec::new();
    }
    let disproved = works(Some(false)).find_map(|proved| proved.reason.clone());
    vec![match (awareness.configuration.as_deref(), awareness.says) {
        (Some("yes"), _) if works(Some(true)).count() < awareness.proved.len() => Finding::warning(
            check,
            "WARPCOMM_CUDA_AWARE=yes, and it is not proved: where it is wrong, programs end by a signal",
            "run `warpcomm tune -n 2 --proof` without that variable",
        ),
        (Some(value), _) => Finding::ok(check, format!("WARPCOMM_CUDA_AWARE={value}")),
        (None, Some(true)) if works(None).next().is_some() => Finding::warning(
            check,
            "MPI says that it takes addresses of GPU memory, and nobody has proved it: messages are staged",
            remedy,
        ),
        (None, Some(true)) => match disproved {
            Some(reason) => Finding::warning(
                check,
                format!(
                    "MPI says that it takes addresses of GPU memory, and it does not: {reason}; messages are staged"
                ),
                "use an MPI that is built with CUDA, or set WARPCOMM_CUDA_AWARE=no to be told no more",
            ),
            None => Finding::ok(check, "MPI takes addresses of GPU memory, as was proved"),
        },
        (None, _) => Finding::note(
            check,
            "MPI takes no addresses of GPU memory; messages between nodes are staged",
        ),
    }]
}

/// Ranks that share GPUs while others are idle, or because there are too few.
fn sharing(overview: &Overview, job: &overview::Job, is_wanted: bool) -> Vec<Finding> {
    let mut of_gpus: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for rank in &job.ranks {
        if let Some(gpu) = &rank.gpu {
            *of_gpus.entry((&rank.host, gpu)).or_default() += 1;
        }
    }
    let ranks: usize = of_gpus.values().sum();
    let (used, all) = (of_gpus.len(), overview.gpus.len());
    if used == 0 || ranks <= used {
        return Vec::new();
    }
    if used == 1 && all > 1 {
        return vec![Finding::warning(
            "GPUs",
            format!("all {ranks} ranks are on one GPU of {all}"),
            "have the launcher show each rank all GPUs, which they take in turn, or one of its own",
        )];
    }
    // How many ranks there are was not the user's wish otherwise.
    let too_many = is_wanted.then(|| {
        Finding::warning(
            "GPUs",
            format!("{ranks} ranks share the {used} that they have"),
            "start one rank for each GPU, for speed",
        )
    });
    too_many.into_iter().collect()
}

/// Ranks of one node, with GPUs, whose messages do not go by CUDA IPC, unless somebody wants it so.
fn ipc(job: &overview::Job) -> Vec<Finding> {
    let check = "CUDA IPC";
    let has_gpus = |route: &&overview::Route| {
        let ranks = [route.from, route.to].map(|rank| job.ranks.get(rank));
        let [Some(from), Some(to)] = ranks else {
            return false;
        };
        route.from != route.to && from.node == to.node && from.gpu.is_some() && to.gpu.is_some()
    };
    let is_by_ipc =
        |route: &&overview::Route| route.path.as_deref().is_some_and(|path| path.ends_with("-ipc"));
    let near: Vec<&overview::Route> = job.paths.iter().filter(has_gpus).collect();
    let blocked = near.iter().find(|route| !is_by_ipc(route));
    match (near.is_empty(), blocked) {
        (true, _) => Vec::new(),
        (false, None) => vec![Finding::ok(check, "it is used between all ranks of a node")],
        (false, Some(_)) if std::env::var_os("WARPCOMM_PATHS").is_some() => {
            vec![Finding::note(
                check,
                "WARPCOMM_PATHS decides which paths are taken",
            )]
        }
        (false, Some(route)) => {
            let path = route.path.as_deref().unwrap_or("no path");
            vec![Finding::warning(
                check,
                format!(
                    "messages between GPUs of one node do not take it: from rank {} to {} {path}, because {}",
                    route.from, route.to, route.reason
                ),
                "GPUs need access to each other (`nvidia-smi topo -p2p r`); containers need --ipc=host --pid=host, and all \
                 ranks the same one",
            )]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::Level;
    use super::*;

    /// A job of two ranks on one node with a GPU each, which say nothing suspicious.
    fn healthy() -> serde_json::Value {
        let rank = |rank: usize| {
            serde_json::json!({
                "rank": rank, "host": "a", "node": 0, "processors": "0", "numa_nodes": [0], "gpu": format!("GPU-{rank}"),
                "gpu_numa_node": 0, "why_no_gpu": null
            })
        };
        let gpu = |number: usize| {
            serde_json::json!({
                "host": "a", "number": number, "name": "NVIDIA H200", "uuid": format!("GPU-{number}"), "memory_bytes": 1,
                "driver": "535.104.05", "numa_node": 0
            })
        };
        let path = |from: usize, to: usize| serde_json::json!({"from": from, "to": to, "path": "peer-gpu-ipc", "reason": "one reaches the other"});
        serde_json::json!({
            "format": 2, "program": "warpcomm", "host": "a", "why_no_job": null, "gpus": [gpu(0), gpu(1)], "settings": [],
            "unknown_variables": [], "plan": null,
            "job": {
                "mpi": "Open MPI v4.1.4, package: Debian OpenMPI", "thread_level": "multiple", "launcher": null, "nodes": 1,
                "simulated": false,
                "cuda_awareness": {"says": false, "proved": [], "configuration": null},
                "ranks": [rank(0), rank(1)], "paths": [path(0, 1), path(1, 0)], "warnings": []
            }
        })
    }

    /// The warnings and errors of a job that is changed.
    fn complaints(started: usize, change: impl FnOnce(&mut serde_json::Value)) -> Vec<String> {
        let mut overview = healthy();
        change(&mut overview);
        let overview = serde_json::from_value(overview).unwrap();
        let found = judged(&overview, started, true);
        let found = found.into_iter().filter(|finding| finding.level > Level::Note);
        found
            .map(|finding| format!("{}: {}", finding.check, finding.message))
            .collect()
    }

    #[test]
    fn ranks_without_cores_are_not_tried() {
        let number = |wanted, cores| number(NonZeroUsize::new(wanted), NonZeroUsize::new(cores)).get();
        assert_eq!(number(0, 4), 2);
        assert_eq!(number(3, 4), 3);
        assert_eq!(number(1_000_000, 4), 4);
        assert_eq!(number(3, 1), 2);
        assert_eq!(number(1_000_000, 0), 2);
    }

    #[test]
    fn a_launcher_of_another_version_is_a_warning() {
        let warns = |flavour, version: &str, mpi: &str| {
            let launcher = Launcher {
                program: "mpirun".into(),
                flavour,
                version: version.to_owned(),
            };
            versions(&launcher, mpi).is_some()
        };
        let open_mpi = "Open MPI v5.0.11, package: Open MPI, ident: 5.0.11";
        assert!(warns(Flavour::OpenMpi4, "4.1.4", open_mpi));
        assert!(!warns(Flavour::OpenMpi5, "5.0.11", open_mpi));
        assert!(!warns(Flavour::OpenMpi5, "5 (PRRTE 3.0.14)", open_mpi));
        let mpich = "MPICH Version:\t4.0.2\nMPICH Release date:\tThu";
        assert!(warns(Flavour::Mpich, "5.0.2", mpich));
        assert!(!warns(Flavour::Mpich, "4.0.2", mpich));
        assert!(!warns(Flavour::Mpich, "4.0.2", "Intel(R) MPI Library 2021.18"));
    }

    #[test]
    fn nothing_is_wrong_with_a_healthy_job() {
        assert_eq!(complaints(2, |_| {}), [""; 0]);
    }

    #[test]
    fn ranks_that_do_not_find_each_other_are_an_error() {
        let found = complaints(3, |_| {});
        assert_eq!(found, ["job: 3 ranks were started, and MPI knows of 2"]);
    }

    #[test]
    fn a_thread_level_below_multiple_is_a_warning() {
        let found = complaints(2, |overview| overview["job"]["thread_level"] = "funneled".into());
        assert_eq!(
            found,
            ["thread level: MPI grants funneled: operations go on inside calls only"]
        );
    }

    #[test]
    fn ranks_that_share_gpus_are_a_warning() {
        let share = |overview: &mut serde_json::Value| overview["job"]["ranks"][1]["gpu"] = "GPU-0".into();
        assert_eq!(complaints(2, share), ["GPUs: all 2 ranks are on one GPU of 2"]);
        let found = complaints(2, |overview| {
            share(overview);
            overview["gpus"].as_array_mut().unwrap().truncate(1);
        });
        assert_eq!(found, ["GPUs: 2 ranks share the 1 that they have"]);
    }

    #[test]
    fn paths_of_one_node_without_ipc_are_a_warning() {
        let staged = |overview: &mut serde_json::Value| {
            overview["job"]["paths"][1]["path"] = "shared-pinned".into();
            overview["job"]["paths"][1]["reason"] = "no CUDA IPC: not permitted".into();
        };
        let found = complaints(2, staged);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].ends_with("from rank 1 to 0 shared-pinned, because no CUDA IPC: not permitted"),
            "{found:?}"
        );
        let far = complaints(2, |overview| {
            staged(overview);
            overview["job"]["ranks"][1]["node"] = 1.into();
        });
        assert_eq!(far, [""; 0]);
    }

    #[test]
    fn what_nobody_has_proved_is_a_warning() {
        let awareness = |says: bool, works: Option<bool>, configuration: Option<&str>| {
            let found = complaints(2, |overview| {
                let proved = serde_json::json!([{"memory": "plain", "works": works, "reason": works.map(|_| "it crashed")}]);
                overview["job"]["cuda_awareness"] =
                    serde_json::json!({"says": says, "proved": proved, "configuration": configuration});
            });
            found.into_iter().next().unwrap_or_default()
        };
        assert_eq!(awareness(false, None, None), "");
        assert_eq!(awareness(true, Some(true), None), "");
        assert_eq!(awareness(true, None, Some("no")), "");
        assert!(awareness(true, None, None).contains("nobody has proved it"));
        assert!(awareness(true, Some(false), None).contains("it does not: it crashed"));
        assert!(awareness(true, None, Some("yes")).contains("it is not proved"));
        assert_eq!(awareness(true, Some(true), Some("yes")), "");
    }
}
