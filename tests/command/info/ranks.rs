//! `warpcomm info` with the ranks and launchers of this machine.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use super::object;
use crate::launcher::{Job, Launcher};
use crate::machine::{output, text};

fn info(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warpcomm"));
    command.arg("info").args(arguments);
    for variable in ["WARPCOMM_CUDA_AWARE", "WARPCOMM_PATHS", "WARPCOMM_TIMEOUT"] {
        command.env_remove(variable);
    }
    let done = output(&mut command);
    assert!(
        done.status.success(),
        "{}{}",
        text(&done.stdout),
        text(&done.stderr)
    );
    done
}

fn path(object: &Value, from: usize, to: usize) -> &Value {
    let paths = object["job"]["paths"].as_array().unwrap();
    let route = paths
        .iter()
        .find(|route| route["from"] == from && route["to"] == to);
    &route.unwrap()["path"]
}

#[test]
fn ranks_tell_their_gpus_and_paths() {
    // Three ranks have two GPUs: the first and the last share one.
    let object = object(&info(&["-n", "3", "--sim=2", "--json"]));
    let job = &object["job"];
    assert_eq!(job["simulated"], true);
    assert_eq!(job["nodes"], 1);
    let (own, same, peer) = ("same-process", "same-gpu-ipc", "peer-gpu-ipc");
    let expected = [[own, peer, same], [peer, own, peer], [same, peer, own]];
    assert_eq!(job["paths"].as_array().unwrap().len(), 9);
    for (from, row) in expected.iter().enumerate() {
        for (to, expected) in row.iter().enumerate() {
            assert_eq!(path(&object, from, to), expected, "from {from} to {to}");
        }
    }
    let gpus: Vec<&str> = object["gpus"]
        .as_array()
        .unwrap()
        .iter()
        .map(|gpu| gpu["uuid"].as_str().unwrap())
        .collect();
    let [first, second] = gpus[..] else {
        panic!("{gpus:?}")
    };
    let of_rank = |rank: usize| job["ranks"][rank]["gpu"].as_str().unwrap();
    assert_eq!([of_rank(0), of_rank(1), of_rank(2)], [first, second, first]);
    assert!(first.starts_with("GPU-") && first.len() == 40, "{first}");
    assert!(object["gpus"][0]["memory_bytes"].as_u64().unwrap() > 0);
    let proved = job["cuda_awareness"]["proved"].as_array().unwrap();
    assert_eq!(proved.len(), 2);
    let launcher = job["launcher"].as_str().unwrap();
    assert!(launcher.ends_with(')'), "{launcher}");
}

#[test]
fn without_gpus_messages_go_from_host_to_host() {
    let told = text(&info(&["-n", "2"]).stdout);
    let has_gpu = fs::exists("/proc/driver/nvidia/version").unwrap();
    if !has_gpu {
        assert!(told.contains("\nGPUs\n  none\n"), "{told}");
        assert!(told.contains("\n     0  1\n  0  X  H\n  1  H  X\n"), "{told}");
        assert!(
            told.contains("  H  2 pairs  host: neither rank has a GPU"),
            "{told}"
        );
    }
    assert!(told.contains("\n  thread level    "), "{told}");
}

#[test]
fn a_plan_tells_the_algorithms_and_nothing_else() {
    let told = text(&info(&["-n", "3", "--plan", "allreduce", "1M"]).stdout);
    assert!(
        told.contains("\nallreduce of 1048576 bytes among 3 ranks\n  buffers on the host\n      blocks: "),
        "{told}"
    );
    assert!(
        told.contains("\n  DeviceBuffers on GPUs of one node that reach"),
        "{told}"
    );
    assert!(!told.contains("Settings"), "{told}");
    let object = object(&info(&["-n", "2", "--plan", "bcast", "0", "--json"]));
    let choices = object["plan"]["choices"].as_array().unwrap();
    assert_eq!(choices.len(), 2);
    assert!(choices.iter().all(|choice| choice["algorithm"] == "frames"));
    assert_eq!(object["job"]["paths"].as_array().unwrap().len(), 4);
}

#[test]
fn under_a_launcher_one_process_tells_of_all() {
    let own = Path::new(env!("CARGO_BIN_EXE_warpcomm"));
    let launcher = Launcher::find(&own.with_file_name("warpcomm-rank"), None).unwrap();
    let mut job = Job::new(NonZeroUsize::new(3).unwrap(), own);
    job.args = vec!["info".into(), "--json".into()];
    let done = output(&mut launcher.command(&job));
    assert!(done.status.success(), "{}", text(&done.stderr));
    let object = object(&done);
    assert_eq!(object["job"]["ranks"].as_array().unwrap().len(), 3);
    assert_eq!(object["job"]["warnings"].as_array().unwrap().len(), 0);
}
