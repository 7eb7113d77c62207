//! A rank that is warpcomm: takes part in the cases of a job, as peer.py does for mpi4py.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use warpcomm::{Communicator, Dtype, Runtime};

use crate::buffers::{Buffers, Stage};
use crate::case::Case;
use crate::harness::deadline;
use crate::harness::watchdog::Watchdog;
use crate::job::Orders;
use crate::record::{Event, Record};
use crate::{collectives, communicators, messages};

pub type Outcome = Result<(), Box<dyn Error>>;

/// What a case has on a rank.
pub struct Run<'a> {
    pub case: &'a Case,
    pub comm: &'a Communicator,
    pub buffers: Buffers<'a>,
    pub record: &'a Record,
    pub runtime: &'a Runtime,
}

impl Run<'_> {
    pub fn rank(&self) -> usize {
        self.comm.rank()
    }

    pub fn dtype(&self) -> Dtype {
        self.case.dtype.parse().expect("the name of a type")
    }
}

pub fn main(job: &Path) -> ExitCode {
    match ranks(job) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            // Without finalizing MPI, which would wait for the others.
            std::process::exit(1);
        }
    }
}

fn ranks(job: &Path) -> Outcome {
    let watchdog = Watchdog::start();
    watchdog.watch(deadline(), || {
        eprintln!("MPI was not initialized within the deadline")
    });
    let orders: Orders = serde_json::from_str(&fs::read_to_string(job.join("job.json"))?)?;
    let runtime = Runtime::init()?;
    let world = match orders.native {
        true => runtime.world()?,
        false => runtime.world_plain()?,
    };
    let stage = Stage::new(match orders.native {
        true => None,
        false => Some(runtime.device()?),
    });
    let record = Record::open(job, world.rank())?;
    let control = world.duplicate()?;
    for case in &orders.cases {
        let overdue = case.name.clone();
        watchdog.watch(deadline(), move || {
            eprintln!("{overdue}: not done within {} s", deadline().as_secs());
        });
        record.start(&case.name);
        if let Err(error) = run(case, &world, &stage, &record, &runtime) {
            // The other ranks may wait for this one: nothing after it can be relied on.
            record.write(Event::Failed {
                text: error.to_string(),
            });
            return Err(error);
        }
        record.write(Event::Done);
        control.barrier()?;
    }
    watchdog.watch(deadline(), || {
        eprintln!("MPI was not finalized within the deadline")
    });
    control.free()?;
    drop(world);
    record.write(Event::Ended);
    runtime.finalize()?;
    Ok(())
}

/// Runs one case on a communicator of its own.
fn run(case: &Case, world: &Communicator, stage: &Stage, record: &Record, runtime: &Runtime) -> Outcome {
    let comm = match case.on.as_str() {
        "world" => world.clone(),
        "reversed" => world.split(Some(0), -(world.rank() as i32))?.ok_or("no part")?,
        _ => world.duplicate()?,
    };
    let run = Run {
        case,
        comm: &comm,
        buffers: Buffers {
            case,
            rank: comm.rank(),
            stage,
        },
        record,
        runtime,
    };
    if !messages::run(&run)? && !collectives::run(&run)? && !communicators::run(&run)? {
        return Err(format!("no operation {}", case.op).into());
    }
    if case.on != "world" {
        comm.free()?;
    }
    Ok(())
}
