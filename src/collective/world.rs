//! The communicator of all ranks that MPI has started.

use super::duplicate::created;
use super::{Blocking, Call, allgather::allgather, bcast::bcast};
use crate::buffer::lower::{Lower, LowerMut};
use crate::comm::Communicator;
use crate::engine::{Endpoint, Engine, Family, OF_THE_WORLD};
use crate::error::{Error, ErrorKind, Result};
use crate::node;
use crate::plan::{Operation, Table};
use crate::transport::Context;
use crate::transport::mpi::Process;
#[cfg(feature = "cuda")]
use crate::transport::mpi::node::local_rank;
use crate::tuning::{self, Machine};
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{self, Poll, Waker};

/// The communicator of all ranks, duplicated from MPI's.
pub(crate) fn world(engine: &Arc<Engine>, parent: &Context) -> Result<Communicator> {
    let private = duplicate_of(engine, parent)?;
    engine.listen_on(duplicate_of(engine, parent)?);
    let family = Family::founded(private, OF_THE_WORLD);
    engine.families().add_world(&family);
    native(engine, parent, &family)
}

/// A communicator of some ranks, duplicated from one of theirs that is not of this library.
pub(crate) fn native_of(engine: &Arc<Engine>, parent: &Context) -> Result<Communicator> {
    let family = Family::new(duplicate_of(engine, parent)?);
    native(engine, parent, &family)
}

fn duplicate_of(engine: &Engine, parent: &Context) -> Result<Context> {
    let handle = finish(created(engine.transport(), parent, 0))?;
    Ok(Context {
        handle,
        ..parent.clone()
    })
}

/// The first communicator of a family, which compares the settings that change the wire.
fn native(engine: &Arc<Engine>, parent: &Context, family: &Arc<Family>) -> Result<Communicator> {
    let user = duplicate_of(engine, parent)?;
    let endpoint = Endpoint::new(engine, user, family, 0)?;
    let comm = Communicator::new(endpoint, engine.config().timeout);
    let blocking = Blocking::enter(&comm, Operation::World, &())?;
    let _all_know_their_gpu = blocking.run(compare_settings(&blocking.call()))?;
    let table = blocking.run(table_of_rank_0(&blocking.call()))?;
    comm.endpoint.plan_by(&Arc::new(table));
    #[cfg(feature = "cuda")]
    if !_all_know_their_gpu {
        // No rank leaves the comparison before all are in it, so that all come here.
        engine.binding().set_local_rank(local_rank(parent)?);
    }
    drop(blocking);
    Ok(comm)
}

/// Runs a creation to its end, before there is a communicator that could wait for it.
fn finish<T>(creation: impl Future<Output = T>) -> T {
    let mut creation = pin!(creation);
    loop {
        if let Poll::Ready(outcome) = creation
            .as_mut()
            .poll(&mut task::Context::from_waker(Waker::noop()))
        {
            return outcome;
        }
        std::thread::yield_now();
    }
}

/// Reads the measured crossovers on rank 0, and tells them to all: a rank that reads its own might have others, or none.
async fn table_of_rank_0(call: &Call<'_>) -> Result<Table> {
    let (mut bytes, local) = match call.rank() {
        0 => {
            let here = Machine::here(&Process::library_version(), call.ranks()).on_nodes(nodes(call));
            let table = tuning::load(call.endpoint().engine.config(), Some(here));
            table.map_or_else(
                |error| (Vec::new(), Err(error)),
                |table| (table.to_bytes(), Ok(())),
            )
        }
        _ => (Vec::new(), Ok(())),
    };
    let mut length = [bytes.len() as u64];
    bcast(call, &length.lower_mut(), 0, local).await?;
    bytes.resize(length[0] as usize, 0);
    bcast(call, &bytes.lower_mut(), 0, Ok(())).await?;
    Table::read(&bytes)
}

/// How many nodes the ranks are on, as they have told each other.
fn nodes(call: &Call<'_>) -> usize {
    let endpoint = call.endpoint();
    let nodes = endpoint.engine.nodes().of(&endpoint.context.group);
    nodes.map_or(1, |nodes| nodes.into_iter().collect::<BTreeSet<_>>().len())
}

/// The value of a setting, as far as its variable takes no number.
fn shown(name: &str, value: u64) -> String {
    match (name, value) {
        ("WARPCOMM_CUDA_AWARE" | "WARPCOMM_CHUNK", 0) => "nothing".to_owned(),
        ("WARPCOMM_CUDA_AWARE", 1) => "no".to_owned(),
        ("WARPCOMM_CUDA_AWARE", _) => "yes".to_owned(),
        _ => value.to_string(),
    }
}

/// Compares the settings, and says whether every rank knows its number on its node.
async fn compare_settings(call: &Call<'_>) -> Result<bool> {
    let engine = &call.endpoint().engine;
    let config = engine.config();
    #[cfg(feature = "cuda")]
    let knows_local_rank = engine.binding().is_known();
    #[cfg(not(feature = "cuda"))]
    let knows_local_rank = true;
    // A rank that does not know where it is is on a node of its own, the same in every communicator.
    let own_node = call
        .endpoint()
        .context
        .group
        .get(call.rank())
        .map_or(0, |&rank| rank as u64);
    let node = |named| node::identity(named).map_or(own_node, |node| node as u64);
    let own = [
        config.eager_limit as u64,
        u64::from(config.check),
        config.chunk.unwrap_or(0) as u64,
        u64::from(config.paths.bits()),
        config.cuda_aware.map_or(0, |is_aware| 1 + u64::from(is_aware)),
        // MPI does not ask what the program calls its nodes.
        node(None),
        node(config.node_id.as_deref()),
        u64::from(knows_local_rank),
    ];
    let mut all = vec![0u64; own.len() * call.ranks()];
    allgather(call, &own.lower(), &all.lower_mut(), Ok(())).await?;
    const NAMES: [&str; 5] = [
        "WARPCOMM_EAGER_LIMIT",
        "WARPCOMM_CHECK",
        "WARPCOMM_CHUNK",
        "WARPCOMM_PATHS",
        "WARPCOMM_CUDA_AWARE",
    ];
    for (setting, name) in NAMES.into_iter().enumerate() {
        let value = |rank: usize| all[own.len() * rank + setting];
        if let Some(odd) = (1..call.ranks()).find(|&rank| value(rank) != value(0)) {
            return Err(Error::new(
                ErrorKind::Mismatch,
                format!(
                    "rank {odd} has {name}={} where rank 0 has {}",
                    shown(name, value(odd)),
                    shown(name, value(0))
                ),
            ));
        }
    }
    let node = |rank: usize| all[own.len() * rank + NAMES.len()];
    let several_nodes = (1..call.ranks()).any(|rank| node(rank) != node(0));
    engine.transport().spans(several_nodes);
    let named: Vec<u64> = all.chunks(own.len()).map(|rank| rank[NAMES.len() + 1]).collect();
    engine.nodes().note(&call.endpoint().context.group, &named);
    Ok(all.chunks(own.len()).all(|rank| rank.last() == Some(&1)))
}
