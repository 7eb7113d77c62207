//! The calls that are measured; `benches/peers/pool/peer.py` has the same.

use std::thread;
use std::time::{Duration, Instant};

use serde_bytes::ByteBuf;
use warpcomm::Communicator;
use warpcomm::pool::{Chunk, Function, Master, Payload, Pool};

use crate::Failure;
use crate::measured::Row;
use crate::plan::Plan;

/// Tasks of the first call of each kind.
const FIRST_TASKS: usize = 16;

/// How tasks are bundled, by the names of rows.
const CHUNKS: [(&str, Chunk); 3] = [
    ("1", Chunk::Fixed(1)),
    ("measured", Chunk::Measured),
    ("guided", Chunk::Guided),
];

/// Measures as one of the ranks; the master has the rows.
pub fn measure(comm: &Communicator, plan: &Plan) -> Result<Option<Vec<Row>>, Failure> {
    let mut pool = Pool::new(comm);
    let empty = pool.function(|_, number: u64| Ok(number));
    let echo = pool.function(|_, bytes: ByteBuf| Ok(bytes));
    let delay = pool.function(|_, seconds: f64| {
        thread::sleep(Duration::from_secs_f64(seconds));
        Ok(seconds)
    });
    let rows = pool.run(|master| -> Result<Vec<Row>, Failure> {
        let mut rows = Vec::new();
        for (name, chunk) in CHUNKS {
            let numbers = |tasks: usize| (0..tasks as u64).collect();
            let case = Case {
                master,
                function: empty,
                name,
                chunk,
                most_tasks: plan.most_tasks,
            };
            rows.push(case.row("empty", 0, plan, numbers)?);
        }
        for &bytes in &plan.payloads {
            for (name, chunk) in CHUNKS {
                let payloads = |tasks| vec![ByteBuf::from(content(bytes)); tasks];
                let most_tasks = plan.most_tasks.min(plan.most_bytes / bytes);
                let case = Case {
                    master,
                    function: echo,
                    name,
                    chunk,
                    most_tasks,
                };
                rows.push(case.row("payload", bytes, plan, payloads)?);
            }
        }
        for (name, chunk) in CHUNKS {
            let case = Case {
                master,
                function: delay,
                name,
                chunk,
                most_tasks: plan.delays.len(),
            };
            let seconds = case.call(&plan.delays)?;
            rows.push(Row {
                case: "uneven".into(),
                bytes: 0,
                chunk: name.into(),
                tasks: plan.delays.len(),
                seconds: vec![seconds],
            });
        }
        Ok(rows)
    })?;
    rows.transpose()
}

/// The bytes of a payload.
fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8).collect()
}

/// Calls of one function, whose tasks are bundled in one way.
struct Case<'m, T> {
    master: &'m Master,
    function: Function<T, T>,
    name: &'static str,
    chunk: Chunk,
    most_tasks: usize,
}

impl<T: Payload + Clone + PartialEq> Case<'_, T> {
    /// Finds how many tasks take long enough, which warms up too, and measures.
    fn row(
        &self,
        case: &str,
        bytes: usize,
        plan: &Plan,
        make: impl Fn(usize) -> Vec<T>,
    ) -> Result<Row, Failure> {
        let mut tasks = make(FIRST_TASKS.min(self.most_tasks));
        loop {
            // The first call of a pool is slow.
            let estimates = [self.call(&tasks)?, self.call(&tasks)?];
            let seconds = estimates[0].min(estimates[1]);
            if seconds >= plan.seconds || tasks.len() == self.most_tasks {
                break;
            }
            let enough = 1.2 * tasks.len() as f64 * plan.seconds / seconds;
            let more = (enough as usize).clamp(2 * tasks.len(), 16 * tasks.len());
            tasks = make(more.min(self.most_tasks));
        }
        let seconds = (0..plan.samples).map(|_| self.call(&tasks));
        Ok(Row {
            case: case.into(),
            bytes,
            chunk: self.name.into(),
            tasks: tasks.len(),
            seconds: seconds.collect::<Result<_, _>>()?,
        })
    }

    /// The seconds of a call, whose results are the tasks.
    fn call(&self, tasks: &[T]) -> Result<f64, Failure> {
        let own = tasks.to_vec();
        let view = self.master.load_balanced().chunk(self.chunk);
        let start = Instant::now();
        let results = view.map(self.function, own).map_err(|error| error.to_string())?;
        let seconds = start.elapsed().as_secs_f64();
        match results == tasks {
            true => Ok(seconds),
            false => Err(format!("a result of {} tasks is not what it should be", tasks.len()).into()),
        }
    }
}
