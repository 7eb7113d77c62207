//! Ranks as threads of one process: no MPI, no launcher.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::thread;

use crate::comm::Communicator;
use crate::config::Config;
use crate::engine::{Endpoint, Engine, Family, OF_THE_WORLD, Recorder};
use crate::error::{Error, Result};
use crate::plan::Table;
use crate::transport::local::{Local, World};
use crate::transport::{self, Transport};
use crate::tuning;

impl Communicator {
    /// Runs a closure on `ranks` threads, each a rank of one communicator; returns their values in the order
    /// of the ranks when all have ended.
    ///
    /// Everything works as between processes, with the same engine. If a rank panics, the communicators
    /// of the others are poisoned, all threads end, and the panic goes on in the caller.
    ///
    /// The settings are those of the environment; see [`Config`].
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a `WARPCOMM_*` variable that cannot be
    /// read, for a file with measured crossovers that cannot be, or if a rank ended with operations pending.
    ///
    /// ```
    /// use warpcomm::{Communicator, Op};
    ///
    /// let sums = Communicator::threads(4, |comm| {
    ///     let mut sum = 0;
    ///     comm.allreduce(&1i32, &mut sum, Op::Sum).map(|()| sum)
    /// })?;
    /// assert!(sums.into_iter().all(|sum| sum.unwrap() == 4));
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn threads<R: Send>(ranks: usize, body: impl Fn(Communicator) -> R + Sync) -> Result<Vec<R>> {
        Communicator::threads_with(&Config::from_env()?, ranks, body)
    }

    /// As [`threads`](Self::threads), with settings of the caller's.
    ///
    /// # Errors
    /// As for [`threads`](Self::threads).
    pub fn threads_with<R: Send>(
        config: &Config,
        ranks: usize,
        body: impl Fn(Communicator) -> R + Sync,
    ) -> Result<Vec<R>> {
        Communicator::threads_on_nodes(config, &vec![0; ranks], body)
    }

    /// Runs ranks that count as being on these nodes, wherever memory is shared.
    pub(crate) fn threads_on_nodes<R: Send>(
        config: &Config,
        nodes: &[u64],
        body: impl Fn(Communicator) -> R + Sync,
    ) -> Result<Vec<R>> {
        let ranks = nodes.len();
        let table = Arc::new(tuning::load(config, None)?);
        // Before any rank waits for another.
        let recorders = (0..ranks).map(|rank| Recorder::of_rank(config, rank));
        let recorders = recorders.collect::<Result<Vec<_>>>()?;
        let world = World::new(ranks);
        let outcomes = thread::scope(|scope| {
            let threads: Vec<_> = (0..ranks)
                .map(|rank| {
                    let (world, table, body, recorder) = (&world, &table, &body, recorders[rank]);
                    let spawned = thread::Builder::new()
                        .name(format!("rank {rank}"))
                        .spawn_scoped(scope, move || {
                            run_rank(world, (config, recorder), table, (rank, nodes), body)
                        });
                    spawned.map_err(|error| {
                        world.lose(rank, "could not be started");
                        Error::new(
                            crate::ErrorKind::Unsupported,
                            format!("cannot start rank {rank}: {error}"),
                        )
                        .with_source(error)
                    })
                })
                .collect();
            let join = |thread: Result<thread::ScopedJoinHandle<'_, Result<R>>>| match thread {
                Ok(thread) => thread.join(),
                Err(error) => Ok(Err(error)),
            };
            threads.into_iter().map(join).collect::<Vec<_>>()
        });
        let mut results = Vec::with_capacity(ranks);
        let mut panic = None;
        for (rank, outcome) in outcomes.into_iter().enumerate() {
            match outcome {
                Ok(result) => results.push(result),
                // The first to panic has poisoned the others, whose panics are only its consequences.
                Err(payload) if panic.is_none() || world.first_lost() == Some(rank) => panic = Some(payload),
                Err(_) => {}
            }
        }
        match panic {
            Some(payload) => resume_unwind(payload),
            None => results.into_iter().collect(),
        }
    }
}

fn run_rank<R>(
    world: &Arc<World>,
    (config, recorder): (&Config, Option<&'static Recorder>),
    table: &Arc<Table>,
    (rank, nodes): (usize, &[u64]),
    body: &(impl Fn(Communicator) -> R + Sync),
) -> Result<R> {
    let local: Arc<dyn Transport> = Arc::new(Local {
        world: Arc::clone(world),
        rank,
    });
    let transport = transport::complete(local, config, rank);
    let engine = Engine::new(transport, config.clone(), rank, recorder, None);
    #[cfg(feature = "cuda")]
    engine.binding().set_local_rank(rank);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let (user, private) = (world.context(0, rank), world.context(1, rank));
        engine.nodes().note(&user.group, nodes);
        engine.listen_on(world.context(2, rank));
        let family = Family::founded(private, OF_THE_WORLD);
        engine.families().add_world(&family);
        let endpoint = Endpoint::new(&engine, user, &family, 0)?;
        endpoint.plan_by(table);
        Ok(body(Communicator::new(endpoint, config.timeout)))
    }));
    if outcome.is_err() {
        world.lose(rank, "has panicked");
    }
    world.end();
    // Others may need this rank's engine until they end too.
    let mut rounds = 0;
    while !world.has_ended() {
        engine.poll_in_passing();
        rounds += 1;
        engine.transport().idle(rounds);
    }
    let pending = engine.stop();
    match outcome {
        Err(panic) => resume_unwind(panic),
        Ok(Err(error)) => Err(error),
        Ok(Ok(_)) if !pending.is_empty() => Err(Error::invalid(format!(
            "rank {rank} has ended with operations pending: {}",
            pending.join("; ")
        ))),
        Ok(Ok(value)) => Ok(value),
    }
}
