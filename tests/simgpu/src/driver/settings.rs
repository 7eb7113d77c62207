//! What the environment says about the simulated machine.

use std::env;
use std::fmt::Display;
use std::str::FromStr;

use super::faults::Faults;

/// The variables of the environment, read once by `cuInit`.
pub struct Settings {
    /// `SIMGPU_DEVICES`: how many GPUs there are.
    pub devices: usize,
    /// `SIMGPU_MEMORY`: the memory of each of them, in bytes.
    pub memory: u64,
    /// `SIMGPU_DELAY`: the longest delay before an operation of a stream, in microseconds.
    pub delay: u64,
    /// `SIMGPU_SEED`: what the delays are drawn from.
    pub seed: u64,
    /// `SIMGPU_PEER`: whether GPUs can be given access to each other's memory.
    pub peer: bool,
    /// `SIMGPU_COMPUTE_CAPABILITY`: major and minor.
    pub compute_capability: (u32, u32),
    /// `SIMGPU_QUIET`: whether faults of kernels are not printed.
    pub quiet: bool,
    /// `SIMGPU_FAULT`, unless `SIMGPU_FAULT_RANK` names another rank than this process.
    pub faults: Faults,
    /// `CUDA_VISIBLE_DEVICES`.
    pub visible: Option<String>,
}

/// The variables in which launchers tell a process its rank.
const RANKS: [&str; 4] = ["OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "SLURM_PROCID"];

const KNOWN: [&str; 9] = [
    "SIMGPU_DEVICES",
    "SIMGPU_MEMORY",
    "SIMGPU_DELAY",
    "SIMGPU_SEED",
    "SIMGPU_PEER",
    "SIMGPU_COMPUTE_CAPABILITY",
    "SIMGPU_QUIET",
    "SIMGPU_FAULT",
    "SIMGPU_FAULT_RANK",
];

const MOST_DEVICES: usize = 64;

impl Settings {
    /// Reads the environment; an error names the variable.
    pub fn read() -> Result<Self, String> {
        for (name, _) in env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("SIMGPU_") && !KNOWN.contains(&&*name) {
                return Err(format!(
                    "there is no variable {name}; known are {}",
                    KNOWN.join(", ")
                ));
            }
        }
        let devices = number("SIMGPU_DEVICES", 1)?;
        if devices > MOST_DEVICES {
            return Err(format!(
                "SIMGPU_DEVICES={devices}: there are at most {MOST_DEVICES}"
            ));
        }
        let faults = match text("SIMGPU_FAULT")? {
            Some(list) if is_this_rank()? => list
                .parse()
                .map_err(|error| format!("SIMGPU_FAULT={list}: {error}"))?,
            Some(list) => {
                list.parse::<Faults>()
                    .map_err(|error| format!("SIMGPU_FAULT={list}: {error}"))?;
                Faults::default()
            }
            None => Faults::default(),
        };
        Ok(Self {
            devices,
            memory: number("SIMGPU_MEMORY", 16 << 30)?,
            delay: number("SIMGPU_DELAY", 0)?,
            seed: number("SIMGPU_SEED", 1)?,
            peer: number("SIMGPU_PEER", 1)? != 0,
            compute_capability: compute_capability()?,
            quiet: number("SIMGPU_QUIET", 0)? != 0,
            faults,
            visible: text("CUDA_VISIBLE_DEVICES")?,
        })
    }
}

fn text(name: &str) -> Result<Option<String>, String> {
    match env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(format!("{name} is not UTF-8")),
    }
}

fn number<T: FromStr>(name: &str, default: T) -> Result<T, String>
where
    T::Err: Display,
{
    match text(name)? {
        Some(value) => value.parse().map_err(|error| format!("{name}={value}: {error}")),
        None => Ok(default),
    }
}

fn compute_capability() -> Result<(u32, u32), String> {
    let Some(value) = text("SIMGPU_COMPUTE_CAPABILITY")? else {
        return Ok((8, 0));
    };
    let parsed = value
        .split_once('.')
        .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    parsed.ok_or_else(|| format!("SIMGPU_COMPUTE_CAPABILITY={value}: not of the form 8.0"))
}

fn is_this_rank() -> Result<bool, String> {
    let Some(wanted) = text("SIMGPU_FAULT_RANK")? else {
        return Ok(true);
    };
    let wanted: u64 = wanted
        .parse()
        .map_err(|error| format!("SIMGPU_FAULT_RANK={wanted}: {error}"))?;
    let own = RANKS
        .iter()
        .find_map(|name| env::var(name).ok()?.parse::<u64>().ok());
    own.map(|own| own == wanted).ok_or_else(|| {
        format!(
            "SIMGPU_FAULT_RANK={wanted}, but none of {} tells the rank of this process",
            RANKS.join(", ")
        )
    })
}
