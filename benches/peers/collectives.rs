//! `allreduce` and `bcast` of device buffers, each way in turn.

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use warpcomm::cudarc::driver::CudaStream;
use warpcomm::{Communicator, DeviceBuffer, Op};

use crate::nccl::Nccl;
use crate::{Effort, Failure, Peer, median, raw};

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    Allreduce,
    Bcast,
}

#[derive(Serialize)]
pub struct Measured {
    /// Its version, or why it was not compared.
    nccl: String,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    operation: Operation,
    bytes: usize,
    warpcomm: Peer,
    by_hand: Peer,
    nccl: Peer,
}

pub fn measure(comm: &Communicator, effort: Effort, say: &dyn Fn(&str)) -> Result<Measured, Failure> {
    let stream = comm.device()?.new_stream()?;
    let sizes: &[usize] = match effort.is_checked_only {
        true => &[8, 4096],
        false => &[8, 4 << 10, 64 << 10, 1 << 20, 16 << 20, 64 << 20],
    };
    let mut rows = Vec::new();
    for operation in [Operation::Allreduce, Operation::Bcast] {
        for &bytes in sizes {
            let mut buffers = Buffers::new(comm, &stream, operation, bytes)?;
            rows.push(Row {
                operation,
                bytes,
                warpcomm: buffers.time(effort, Buffers::by_warpcomm)?,
                by_hand: buffers.time(effort, Buffers::by_hand)?,
                nccl: Peer::Not {
                    error: "not there".to_owned(),
                },
            });
        }
    }
    // Last: an NCCL that does not return takes no other figure with it.
    for row in &rows {
        say(&row.line(effort));
    }
    let nccl = match Nccl::new(comm)? {
        Err(why) => why,
        Ok(nccl) => {
            for row in &mut rows {
                let mut buffers = Buffers::new(comm, &stream, row.operation, row.bytes)?;
                row.nccl = buffers.time(effort, |buffers| {
                    nccl.run(row.operation, &buffers.own, &mut buffers.result, &buffers.stream)?;
                    Ok(buffers.stream.synchronize()?)
                })?;
                say(&row.line(effort));
            }
            nccl.version().to_owned()
        }
    };
    say(&format!("NCCL: {nccl}"));
    Ok(Measured { nccl, rows })
}

impl Row {
    fn line(&self, effort: Effort) -> String {
        let name = match self.operation {
            Operation::Allreduce => "allreduce",
            Operation::Bcast => "bcast",
        };
        match effort.is_checked_only {
            true => format!("{name} of {} B: as it should be", self.bytes),
            false => format!(
                "{name:<9} {:>9} B: warpcomm {:>12}, by hand {:>12}, NCCL {:>12}",
                self.bytes,
                self.warpcomm.words(),
                self.by_hand.words(),
                self.nccl.words()
            ),
        }
    }
}

/// What an operation reads and writes. Rank 0 starts with 1, the others with 2.
struct Buffers<'a> {
    comm: &'a Communicator,
    stream: Arc<CudaStream>,
    operation: Operation,
    own: DeviceBuffer<f64>,
    result: DeviceBuffer<f64>,
    out: Vec<f64>,
    into: Vec<f64>,
}

impl<'a> Buffers<'a> {
    fn new(
        comm: &'a Communicator,
        stream: &Arc<CudaStream>,
        operation: Operation,
        bytes: usize,
    ) -> Result<Self, Failure> {
        let host = vec![if comm.rank() == 0 { 1.0 } else { 2.0 }; bytes / size_of::<f64>()];
        Ok(Self {
            comm,
            stream: Arc::clone(stream),
            operation,
            own: DeviceBuffer::from_slice(stream, &host)?,
            result: DeviceBuffer::from_slice(stream, &host)?,
            out: host.clone(),
            into: host,
        })
    }

    /// The median of the slower rank's time; fails if the result is wrong.
    fn time(
        &mut self,
        effort: Effort,
        run: impl Fn(&mut Self) -> Result<(), Failure>,
    ) -> Result<Peer, Failure> {
        run(self)?;
        self.check()?;
        let mut times = Vec::with_capacity(effort.rounds);
        for _ in 0..effort.rounds {
            raw::barrier()?;
            let start = Instant::now();
            run(self)?;
            let [time] = raw::longest([start.elapsed()])?;
            times.push(time.as_secs_f64());
        }
        self.check()?;
        Ok(Peer::Seconds(median(&mut times)))
    }

    fn by_warpcomm(&mut self) -> Result<(), Failure> {
        match self.operation {
            Operation::Allreduce => self.comm.allreduce(&self.own, &mut self.result, Op::Sum)?,
            Operation::Bcast => self.comm.bcast(&mut self.result, 0)?,
        }
        Ok(self.stream.synchronize()?)
    }

    fn by_hand(&mut self) -> Result<(), Failure> {
        match self.operation {
            Operation::Allreduce => {
                self.stream.memcpy_dtoh(&self.own, &mut self.out)?;
                self.stream.synchronize()?;
                raw::allreduce_sum(&self.out, &mut self.into)?;
            }
            Operation::Bcast => {
                self.stream.memcpy_dtoh(&self.result, &mut self.into)?;
                self.stream.synchronize()?;
                raw::bcast(&mut self.into)?;
            }
        }
        self.stream.memcpy_htod(&self.into, &mut self.result)?;
        Ok(self.stream.synchronize()?)
    }

    /// Compares the result, and forgets it.
    fn check(&mut self) -> Result<(), Failure> {
        let expected = match self.operation {
            Operation::Allreduce => (2 * self.comm.size() - 1) as f64,
            Operation::Bcast => 1.0,
        };
        let found = self.stream.clone_dtoh(&self.result)?;
        self.stream.memcpy_dtod(&self.own, &mut self.result)?;
        self.stream.synchronize()?;
        match found.iter().find(|&&element| element != expected) {
            None => Ok(()),
            Some(wrong) => Err(format!("{wrong} where {expected} should be").into()),
        }
    }
}
