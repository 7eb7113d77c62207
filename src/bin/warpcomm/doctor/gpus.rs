//! The GPUs and their driver, as far as files tell.

use std::env;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use super::report::Finding;
use super::system::System;
use crate::gpu_files::{VISIBLE_GPUS, gpus, visible_gpus};
use crate::nvidia::driver_version;

/// The first version of the driver for CUDA 12.0, which the kernels are compiled for.
const LEAST_VERSION: u32 = 525;

/// The driver's library.
const LIBRARY: &str = "libcuda.so.1";

/// Where it lies if no list says so.
const DIRECTORIES: [&str; 9] = [
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/lib64",
    "/lib",
    "/usr/local/lib",
    "/usr/local/nvidia/lib64",
    "/usr/lib/wsl/lib",
];

/// NVIDIA's number among the makers of devices, and the class of displays and their like.
const NVIDIA: &str = "0x10de";
const DISPLAYS: &str = "0x03";

/// The driver: its module, its library and its devices.
pub fn driver(system: &System) -> Finding {
    let check = "CUDA driver";
    let version = driver_version(system.root());
    let Some(version) = version else {
        let has_gpu = has_gpu(system);
        // A system in Windows has the library and no module of its own.
        return match (has_gpu, find_library(system)) {
            (false, None) => Finding::note(
                check,
                "there is no GPU of NVIDIA's; programs with device buffers run on a simulated one, by --sim",
            ),
            (false, Some(library)) => {
                Finding::ok(check, format!("{}, of unknown version", library.display()))
            }
            (true, _) => Finding::error(
                check,
                "there is a GPU of NVIDIA's, and its driver is not loaded",
                "install the driver from 525 on (Debian: nvidia-driver), and `modprobe nvidia`; in a container, start it with \
                 --gpus all",
            ),
        };
    };
    let major = version
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major < LEAST_VERSION) {
        return Finding::error(
            check,
            format!("version {version} is older than {LEAST_VERSION}, which the kernels need"),
            "install a newer driver; CUDA itself is not needed",
        );
    }
    if find_library(system).is_none() {
        return Finding::error(
            check,
            format!("version {version} is loaded, and its library {LIBRARY} is not found"),
            "install it (Debian: libcuda1), or start the container with --gpus all; LD_LIBRARY_PATH can name its directory",
        );
    }
    if !system.exists("/dev/nvidiactl") {
        return Finding::error(
            check,
            format!("version {version} is loaded, and /dev/nvidiactl is missing"),
            "run nvidia-smi as root once, or nvidia-modprobe; start the container with --gpus all; ask the batch system for a GPU",
        );
    }
    Finding::ok(check, format!("version {version}"))
}

fn has_gpu(system: &System) -> bool {
    system.entries("/sys/bus/pci/devices").iter().any(|device| {
        let starts = |file: &str, with: &str| {
            std::fs::read_to_string(device.join(file)).is_ok_and(|text| text.starts_with(with))
        };
        starts("vendor", NVIDIA) && starts("class", DISPLAYS)
    })
}

/// Where the dynamic linker would find the driver's library.
fn find_library(system: &System) -> Option<PathBuf> {
    let named = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let named: Vec<PathBuf> = env::split_paths(&named)
        .filter(|path| path.is_absolute())
        .collect();
    let directories = named
        .iter()
        .map(PathBuf::as_path)
        .chain(DIRECTORIES.iter().map(Path::new));
    let found = directories
        .map(|directory| directory.join(LIBRARY))
        .find(|file| system.exists(file));
    found.or_else(|| {
        let cache = std::fs::read(system.path("/etc/ld.so.cache")).ok()?;
        let name = [LIBRARY.as_bytes(), b"\0"].concat();
        let is_listed = cache.windows(name.len()).any(|window| window == name);
        is_listed.then(|| PathBuf::from(LIBRARY))
    })
}

/// Whether ranks have GPUs of their own.
pub fn enough(system: &System, ranks: Option<NonZeroUsize>) -> Option<Finding> {
    let check = "GPUs";
    let all = gpus(system.root(), "").len();
    if all == 0 {
        return None;
    }
    let mut seen = visible_gpus(system.root(), env::var(VISIBLE_GPUS).ok().as_deref());
    // Parts of one GPU are one.
    seen.sort_by_key(|gpu| gpu.number);
    seen.dedup_by_key(|gpu| gpu.number);
    let seen = seen.len();
    if seen == 0 {
        return Some(Finding::error(
            check,
            format!("{VISIBLE_GPUS} hides all {all} GPUs"),
            format!("unset it, or name some: {VISIBLE_GPUS}=0"),
        ));
    }
    Some(match ranks.map(NonZeroUsize::get) {
        Some(ranks) if ranks > 1 && seen == 1 && all > 1 => Finding::warning(
            check,
            format!("all {ranks} ranks would be on one GPU of {all}, because {VISIBLE_GPUS} shows no other"),
            format!("unset {VISIBLE_GPUS}: ranks take the GPUs that they see in turn"),
        ),
        Some(ranks) if ranks > seen => Finding::warning(
            check,
            format!("{ranks} ranks would share {seen} of {all} GPUs on this host"),
            format!("start {seen} ranks on a host, for speed"),
        ),
        _ => Finding::ok(check, format!("{seen} of {all} can be used")),
    })
}
