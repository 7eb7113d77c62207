//! `info`: each rank finds out where it is and how it reaches the others, and rank 0 prints it for the job.

mod here;
mod routes;

use std::env;
use std::io::Write;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};
use warpcomm::{Communicator, Config, Place, Runtime};

use crate::Failure;
#[cfg(feature = "cuda")]
use crate::gpus;
use crate::launched::launched;
use crate::overview::{Choice, CudaAwareness, FORMAT, Gpu, Job, Overview, Plan, Rank, Route};
use crate::variables;

/// How long a call may take where the user has not said it: a machine on which it takes longer has something wrong that
/// is better told than waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// The variable that says how long.
const TIMEOUT_VARIABLE: &str = "WARPCOMM_TIMEOUT";

/// The variable that says whether MPI takes addresses of GPU memory.
const CUDA_AWARE_VARIABLE: &str = "WARPCOMM_CUDA_AWARE";

/// Print what the ranks of the job know of their machine
#[derive(Args)]
pub struct Arguments {
    /// Who has started the ranks
    #[arg(long)]
    launcher: Option<String>,

    /// Print an object of JSON
    #[arg(long)]
    json: bool,

    /// The GPUs are simulated
    #[arg(long)]
    simulated: bool,

    /// The operation whose algorithms are told
    #[arg(long, requires = "bytes")]
    operation: Option<String>,

    /// The length of its elements
    #[arg(long, requires = "operation")]
    bytes: Option<usize>,
}

/// What a rank tells rank 0.
#[derive(Serialize, Deserialize)]
struct Told {
    host: String,
    /// The first rank of its node.
    first_of_node: u64,
    processors: String,
    numa_nodes: Vec<u32>,
    gpus: Vec<Gpu>,
    /// The number of its own among these, or why it has none.
    own: Result<usize, String>,
    routes: Vec<Route>,
}

/// Takes this rank's part; rank 0 prints.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = Config::from_env()?;
    let config = match env::var_os(TIMEOUT_VARIABLE) {
        Some(_) => config,
        None => config.timeout(PATIENCE),
    };
    let runtime = Runtime::init_with(&config)?;
    let world = runtime.world()?;
    let plan = match (&arguments.operation, arguments.bytes) {
        (Some(operation), Some(bytes)) => Some(plan(&world, operation, bytes)?),
        _ => None,
    };
    // A plan needs no paths, which take the longest to find out; JSON has everything.
    let told = tell(&world, plan.is_none() || arguments.json)?;
    if let Some(told) = world.gather_object(&told, 0)? {
        let overview = Overview {
            format: FORMAT,
            program: concat!("warpcomm ", env!("CARGO_PKG_VERSION")).to_owned(),
            host: here::host(),
            gpus: all_gpus(&told),
            job: Some(job(&runtime, &config, arguments, told)),
            why_no_job: None,
            settings: variables::known(),
            unknown_variables: variables::unknown(),
            plan,
        };
        let text = match arguments.json {
            true => serde_json::to_string_pretty(&overview)? + "\n",
            false => overview.to_string(),
        };
        std::io::stdout().write_all(text.as_bytes())?;
    }
    runtime.finalize()?;
    Ok(())
}

/// What this rank knows.
fn tell(world: &Communicator, with_routes: bool) -> Result<Told, Failure> {
    let node = world.split_shared(0)?;
    let mut first_of_node = world.rank() as u64;
    node.bcast(&mut first_of_node, 0)?;
    let processors = here::processors();
    let host = here::host();
    let (gpus, own) = gpus_and_own(world, &host);
    let routes = match with_routes {
        true => routes::routes(world, own.is_ok())?,
        false => Vec::new(),
    };
    Ok(Told {
        first_of_node,
        numa_nodes: here::numa_nodes(&processors),
        processors,
        host,
        gpus,
        own,
        routes,
    })
}

/// The GPUs that this rank sees, and the number of its own, or why it has none.
#[cfg(feature = "cuda")]
fn gpus_and_own(world: &Communicator, host: &str) -> (Vec<Gpu>, Result<usize, String>) {
    let gpus = gpus::visible(host);
    // Why there is none, all ranks say in the same words.
    let own = Place::Device.check().and_then(|()| world.device());
    let own = own
        .map(|context| context.ordinal())
        .map_err(|error| error.to_string());
    match gpus {
        Ok(gpus) => (gpus, own),
        Err(error) => (Vec::new(), own.and(Err(error.to_string()))),
    }
}

#[cfg(not(feature = "cuda"))]
fn gpus_and_own(_world: &Communicator, _host: &str) -> (Vec<Gpu>, Result<usize, String>) {
    (
        Vec::new(),
        Err("warpcomm was built without the feature cuda".to_owned()),
    )
}

/// Those that any rank sees, each once.
fn all_gpus(told: &[Told]) -> Vec<Gpu> {
    let mut all: Vec<Gpu> = Vec::new();
    for gpu in told.iter().flat_map(|told| &told.gpus) {
        if !all
            .iter()
            .any(|known| known.host == gpu.host && known.uuid == gpu.uuid)
        {
            all.push(gpu.clone());
        }
    }
    all
}

fn job(runtime: &Runtime, config: &Config, arguments: &Arguments, told: Vec<Told>) -> Job {
    let mut firsts: Vec<u64> = told.iter().map(|told| told.first_of_node).collect();
    firsts.sort_unstable();
    firsts.dedup();
    let nodes = firsts.len();
    let gpu = told.first().and_then(own_gpu).map(|gpu| gpu.name.clone());
    let cuda_awareness = cuda_awareness(runtime, config, gpu.as_deref(), nodes > 1);
    let warnings = warnings(told.len());
    let mut paths = Vec::new();
    let mut ranks = Vec::new();
    for (rank, mut told) in told.into_iter().enumerate() {
        paths.append(&mut told.routes);
        let gpu = own_gpu(&told);
        ranks.push(Rank {
            rank,
            node: firsts.binary_search(&told.first_of_node).unwrap_or(0),
            gpu: gpu.map(|gpu| gpu.uuid.clone()),
            gpu_numa_node: gpu.and_then(|gpu| gpu.numa_node),
            why_no_gpu: told.own.err(),
            host: told.host,
            processors: told.processors,
            numa_nodes: told.numa_nodes,
        });
    }
    Job {
        mpi: runtime.library_version().trim().to_owned(),
        thread_level: runtime.thread_level().to_string(),
        launcher: arguments
            .launcher
            .clone()
            .or_else(|| launched().map(|launched| launched.launcher.to_owned())),
        nodes,
        simulated: arguments.simulated,
        cuda_awareness,
        ranks,
        paths,
        warnings,
    }
}

fn own_gpu(told: &Told) -> Option<&Gpu> {
    let own = told.own.as_ref().ok()?;
    told.gpus.iter().find(|gpu| gpu.number == *own)
}

#[cfg(feature = "cuda")]
fn cuda_awareness(
    runtime: &Runtime,
    config: &Config,
    gpu: Option<&str>,
    several_nodes: bool,
) -> CudaAwareness {
    let proved = |gpu: &str| {
        let proved = warpcomm::Allocation::ALL.map(|allocation| {
            let known = Runtime::cuda_awareness(config, gpu, several_nodes, allocation);
            crate::overview::Proved {
                memory: allocation.to_string(),
                works: known.as_ref().map(Result::is_ok),
                reason: known.and_then(Result::err),
            }
        });
        proved.to_vec()
    };
    CudaAwareness {
        says: Some(runtime.says_cuda_aware()),
        proved: gpu.map(proved).unwrap_or_default(),
        configuration: env::var(CUDA_AWARE_VARIABLE).ok(),
    }
}

#[cfg(not(feature = "cuda"))]
fn cuda_awareness(_: &Runtime, _: &Config, _: Option<&str>, _: bool) -> CudaAwareness {
    CudaAwareness {
        says: None,
        proved: Vec::new(),
        configuration: env::var(CUDA_AWARE_VARIABLE).ok(),
    }
}

fn warnings(ranks: usize) -> Vec<String> {
    let started = launched().and_then(|launched| launched.ranks);
    let warning = |started: usize| {
        format!(
            "the launcher has started {started} ranks, and MPI knows of {ranks}: it is not the launcher of this MPI"
        )
    };
    let different = started.filter(|&started| started != ranks);
    different.map(warning).into_iter().collect()
}

/// What is taken for elements at each place.
fn plan(world: &Communicator, operation: &str, bytes: usize) -> Result<Plan, Failure> {
    let mut choices = Vec::new();
    for (place, name) in [(Place::Host, "host"), (Place::Device, "device")] {
        choices.push((name, world.explain(operation, bytes, place)?));
    }
    // Only reductions are explained so.
    if let Ok(chosen) = world.explain_neighbours(operation, bytes) {
        choices.push(("neighbours", chosen));
    }
    let choice = |(place, chosen): (&str, warpcomm::ChosenAlgorithm)| Choice {
        place: place.to_owned(),
        algorithm: chosen.algorithm().to_string(),
        reason: chosen.reason().to_owned(),
    };
    Ok(Plan {
        operation: operation.to_owned(),
        bytes: bytes as u64,
        ranks: world.size(),
        choices: choices.into_iter().map(choice).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::OPERATIONS;

    #[test]
    fn every_operation_of_the_command_can_be_planned() {
        let planned = Communicator::threads(2, |comm| {
            OPERATIONS
                .iter()
                .map(|operation| plan(&comm, operation, 5000).map(|plan| plan.choices.len()))
                .collect::<Result<Vec<_>, _>>()
        });
        for rank in planned.unwrap() {
            for (operation, choices) in OPERATIONS.iter().zip(rank.unwrap()) {
                let is_reduction = ["reduce", "scan"].iter().any(|word| operation.contains(word));
                assert_eq!(choices, 2 + usize::from(is_reduction), "{operation}");
            }
        }
    }
}
