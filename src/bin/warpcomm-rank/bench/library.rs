//! The MPI library's own functions, called as a C program calls them.

use std::ffi::{c_int, c_void};

use mpi::ffi;
use warpcomm::{Dtype, Op};

use super::element::Sample;
use super::memory::{Host, Memory};
use super::pairs::{Pairs, Role};
use super::shape::Shape;
use super::subject::{self, Made, Run, not_here};
use super::{collective, messages};
use crate::Failure;
use crate::mpi_call::check;
use crate::operation::Operation;

/// Calls a function of MPI, and looks at what it returns.
macro_rules! call {
    ($function:ident ($($argument:expr),* $(,)?)) => {
        check(ffi::$function($($argument),*), stringify!($function))
    };
}

/// What elements of a type are to MPI.
#[derive(Clone, Copy)]
struct Types {
    datatype: ffi::MPI_Datatype,
    /// How many of it an element is.
    each: usize,
    op: Option<ffi::MPI_Op>,
}

impl Types {
    fn new(dtype: Dtype, op: Option<Op>) -> Result<Types, Failure> {
        // SAFETY: constants of the MPI library.
        let (datatype, each) = unsafe {
            match dtype {
                Dtype::I8 => (ffi::RSMPI_INT8_T, 1),
                Dtype::I16 => (ffi::RSMPI_INT16_T, 1),
                Dtype::I32 => (ffi::RSMPI_INT32_T, 1),
                Dtype::I64 => (ffi::RSMPI_INT64_T, 1),
                Dtype::U8 => (ffi::RSMPI_UINT8_T, 1),
                Dtype::U16 => (ffi::RSMPI_UINT16_T, 1),
                Dtype::U32 => (ffi::RSMPI_UINT32_T, 1),
                Dtype::U64 => (ffi::RSMPI_UINT64_T, 1),
                Dtype::F32 => (ffi::RSMPI_FLOAT, 1),
                Dtype::F64 => (ffi::RSMPI_DOUBLE, 1),
                Dtype::C32 => (ffi::RSMPI_FLOAT_COMPLEX, 1),
                Dtype::C64 => (ffi::RSMPI_DOUBLE_COMPLEX, 1),
                Dtype::Bool => (ffi::RSMPI_C_BOOL, 1),
                _ if op.is_some() => return Err(not_here(format!("MPI has no reductions of {dtype}"))),
                // Moved as what is as long.
                _ if dtype.size() == 2 => (ffi::RSMPI_UINT16_T, 1),
                _ => (ffi::RSMPI_UINT32_T, dtype.size() / 4),
            }
        };
        let op = op.map(|op| reduction(op, dtype)).transpose()?;
        Ok(Types { datatype, each, op })
    }

    fn count(&self, elements: usize) -> Result<c_int, Failure> {
        let count = elements.checked_mul(self.each);
        let count = count.and_then(|count| c_int::try_from(count).ok());
        count.ok_or_else(|| {
            not_here(format!(
                "MPI's functions take an int, and {elements} elements are too many"
            ))
        })
    }
}

/// MPI's reduction, where the standard has it for the type (section 6.9.2).
fn reduction(op: Op, dtype: Dtype) -> Result<ffi::MPI_Op, Failure> {
    let is_float = matches!(dtype, Dtype::F32 | Dtype::F64);
    let is_logical = matches!(op, Op::LogicalAnd | Op::LogicalOr | Op::LogicalXor);
    let is_of_bool = is_logical || dtype != Dtype::Bool;
    // SAFETY: constants of the MPI library.
    let found = unsafe {
        match op {
            Op::Sum => Some(ffi::RSMPI_SUM),
            Op::Prod => Some(ffi::RSMPI_PROD),
            Op::Min => Some(ffi::RSMPI_MIN),
            Op::Max => Some(ffi::RSMPI_MAX),
            Op::LogicalAnd => Some(ffi::RSMPI_LAND),
            Op::LogicalOr => Some(ffi::RSMPI_LOR),
            Op::LogicalXor => Some(ffi::RSMPI_LXOR),
            Op::BitAnd => Some(ffi::RSMPI_BAND),
            Op::BitOr => Some(ffi::RSMPI_BOR),
            Op::BitXor => Some(ffi::RSMPI_BXOR),
            _ => None,
        }
    };
    let found = found.filter(|_| is_of_bool && !(is_float && is_logical) && op.supports(dtype));
    found.ok_or_else(|| not_here(format!("MPI has no {op} of {dtype}")))
}

/// The arguments of a collective, made before it is timed.
pub struct Call {
    shape: Shape,
    types: Types,
    elements: c_int,
    counts: Vec<c_int>,
    /// Of functions whose counts differ by rank.
    displacements: Vec<c_int>,
    /// Of `MPI_Alltoallw`, which counts bytes from the start.
    bytes: Vec<c_int>,
    datatypes: Vec<ffi::MPI_Datatype>,
}

impl Call {
    pub fn new(shape: Shape, dtype: Dtype) -> Result<Call, Failure> {
        let types = Types::new(dtype, shape.op)?;
        let counts = shape.counts().into_iter().map(|count| types.count(count));
        let counts: Vec<c_int> = counts.collect::<Result<_, _>>()?;
        // Where the blocks begin, which not every function has to be told.
        let starts = |size: usize| -> Result<Vec<c_int>, Failure> {
            let start = |rank: usize| {
                let before: usize = counts[..rank].iter().map(|&count| count as usize).sum();
                c_int::try_from(before * size)
                    .map_err(|_| not_here("MPI's functions take an int, and the blocks are too far apart"))
            };
            (0..counts.len()).map(start).collect()
        };
        let (displacements, bytes) = match shape.operation {
            Operation::Scatterv | Operation::Gatherv | Operation::Allgatherv | Operation::Alltoallv => {
                (starts(1)?, Vec::new())
            }
            Operation::Alltoallw => (Vec::new(), starts(dtype.size() / types.each)?),
            _ => (Vec::new(), Vec::new()),
        };
        Ok(Call {
            elements: types.count(shape.elements)?,
            displacements,
            bytes,
            datatypes: vec![types.datatype; shape.ranks],
            counts,
            shape,
            types,
        })
    }

    /// Runs it so many times.
    pub fn repeat<T: Sample>(&self, send: &[T], recv: &mut [T], repeats: u64) -> Result<(), Failure> {
        if send.len() != self.shape.sent() || recv.len() != self.shape.received() {
            return Err("buffers of another length".into());
        }
        // SAFETY: the buffers are as long as the shape says, and of the type that the arguments were made for.
        unsafe { self.enter(send.as_ptr().cast(), recv.as_mut_ptr().cast(), repeats) }
    }

    /// # Safety
    /// The buffers have the elements of the shape, of the type that it was made for.
    unsafe fn enter(&self, send: *const c_void, recv: *mut c_void, repeats: u64) -> Result<(), Failure> {
        let Types { datatype, op, .. } = self.types;
        let (elements, counts) = (self.elements, self.counts.as_ptr());
        let displacements = self.displacements.as_ptr();
        let own = self.counts[self.shape.rank];
        // SAFETY: the caller's promise; the lists are as long as there are ranks.
        unsafe {
            let world = ffi::RSMPI_COMM_WORLD;
            macro_rules! repeat {
                ($function:ident ($($argument:expr),* $(,)?)) => {
                    for _ in 0..repeats {
                        call!($function($($argument),*))?;
                    }
                };
            }
            let op = || op.ok_or("a reduction without an operation");
            match self.shape.operation {
                Operation::Barrier => repeat!(MPI_Barrier(world)),
                Operation::Bcast => repeat!(MPI_Bcast(recv, elements, datatype, 0, world)),
                Operation::Scatter => {
                    repeat!(MPI_Scatter(
                        send, elements, datatype, recv, elements, datatype, 0, world
                    ))
                }
                Operation::Scatterv => repeat!(MPI_Scatterv(
                    send,
                    counts,
                    displacements,
                    datatype,
                    recv,
                    elements,
                    datatype,
                    0,
                    world,
                )),
                Operation::Gather => {
                    repeat!(MPI_Gather(
                        send, elements, datatype, recv, elements, datatype, 0, world
                    ))
                }
                Operation::Gatherv => repeat!(MPI_Gatherv(
                    send,
                    elements,
                    datatype,
                    recv,
                    counts,
                    displacements,
                    datatype,
                    0,
                    world,
                )),
                Operation::Allgather => {
                    repeat!(MPI_Allgather(
                        send, elements, datatype, recv, elements, datatype, world
                    ))
                }
                Operation::Allgatherv => repeat!(MPI_Allgatherv(
                    send,
                    elements,
                    datatype,
                    recv,
                    counts,
                    displacements,
                    datatype,
                    world,
                )),
                Operation::Alltoall => {
                    repeat!(MPI_Alltoall(
                        send, elements, datatype, recv, elements, datatype, world
                    ))
                }
                Operation::Alltoallv => repeat!(MPI_Alltoallv(
                    send,
                    counts,
                    displacements,
                    datatype,
                    recv,
                    counts,
                    displacements,
                    datatype,
                    world,
                )),
                Operation::Alltoallw => {
                    let (bytes, datatypes) = (self.bytes.as_ptr(), self.datatypes.as_ptr());
                    repeat!(MPI_Alltoallw(
                        send, counts, bytes, datatypes, recv, counts, bytes, datatypes, world,
                    ))
                }
                Operation::Reduce => {
                    let op = op()?;
                    repeat!(MPI_Reduce(send, recv, elements, datatype, op, 0, world))
                }
                Operation::Allreduce => {
                    let op = op()?;
                    repeat!(MPI_Allreduce(send, recv, elements, datatype, op, world))
                }
                Operation::ReduceScatter => {
                    let op = op()?;
                    repeat!(MPI_Reduce_scatter(send, recv, counts, datatype, op, world))
                }
                Operation::ReduceScatterBlock => {
                    let op = op()?;
                    repeat!(MPI_Reduce_scatter_block(send, recv, own, datatype, op, world))
                }
                Operation::Scan => {
                    let op = op()?;
                    repeat!(MPI_Scan(send, recv, elements, datatype, op, world))
                }
                Operation::Exscan => {
                    let op = op()?;
                    repeat!(MPI_Exscan(send, recv, elements, datatype, op, world))
                }
                other => return Err(not_here(format!("{other} is no collective"))),
            }
        }
        Ok(())
    }
}

/// A collective of MPI on buffers of the host.
pub struct Collective {
    call: Call,
}

impl Collective {
    pub fn new<T: Sample>(
        shape: Shape,
        memory: Host,
    ) -> Result<Made<collective::Buffers<T, Host>, Self>, Failure> {
        let call = Call::new(shape.clone(), T::DTYPE)?;
        Ok(Made {
            // MPI does not say what sums that are too large become.
            buffers: collective::Buffers::new(shape, memory, false, false)?,
            run: Collective { call },
        })
    }
}

impl<T: Sample> Run<collective::Buffers<T, Host>> for Collective {
    const IS_OF_ANOTHER_LIBRARY: bool = true;

    fn run(&mut self, buffers: &mut collective::Buffers<T, Host>, repeats: u64) -> Result<(), Failure> {
        let ([send], [recv]) = (&buffers.send[..], &mut buffers.recv[..]) else {
            return Err("a collective has several buffers".into());
        };
        self.call.repeat(send.as_slice()?, recv.as_mut_slice()?, repeats)
    }
}

const DATA: c_int = 0;
const REPLY: c_int = 1;

/// Where the messages of a rank come from and go to.
#[derive(Clone, Copy)]
pub struct Peer {
    rank: c_int,
    types: Types,
    elements: c_int,
}

impl Peer {
    pub fn new(role: Role, dtype: Dtype, elements: usize) -> Result<Peer, Failure> {
        let types = Types::new(dtype, None)?;
        Ok(Peer {
            rank: c_int::try_from(role.peer)?,
            elements: types.count(elements)?,
            types,
        })
    }

    fn fits<T: Sample>(&self, buffer: &[T]) -> Result<(), Failure> {
        match buffer.len() * self.types.each == self.elements as usize {
            true => Ok(()),
            false => Err("a buffer of another length".into()),
        }
    }

    /// Sends to it.
    #[inline]
    pub fn send<T: Sample>(&self, buffer: &[T]) -> Result<(), Failure> {
        self.fits(buffer)?;
        let (rank, datatype, elements) = (self.rank, self.types.datatype, self.elements);
        // SAFETY: the buffer has the elements that the call reads.
        unsafe {
            let world = ffi::RSMPI_COMM_WORLD;
            Ok(call!(MPI_Send(
                buffer.as_ptr().cast(),
                elements,
                datatype,
                rank,
                DATA,
                world
            ))?)
        }
    }

    /// Receives from it.
    #[inline]
    pub fn recv<T: Sample>(&self, buffer: &mut [T]) -> Result<(), Failure> {
        self.fits(buffer)?;
        let (rank, datatype, elements) = (self.rank, self.types.datatype, self.elements);
        // SAFETY: the buffer has room for the elements that the call writes, which were some of this type.
        unsafe {
            let (world, status) = (ffi::RSMPI_COMM_WORLD, ffi::RSMPI_STATUS_IGNORE);
            Ok(call!(MPI_Recv(
                buffer.as_mut_ptr().cast(),
                elements,
                datatype,
                rank,
                DATA,
                world,
                status
            ))?)
        }
    }

    /// Tells it that all has arrived.
    pub fn reply(&self) -> Result<(), Failure> {
        let told = 0u8;
        // SAFETY: the call reads one byte.
        unsafe {
            let world = ffi::RSMPI_COMM_WORLD;
            Ok(call!(MPI_Send(
                (&raw const told).cast(),
                1,
                ffi::RSMPI_UINT8_T,
                self.rank,
                REPLY,
                world
            ))?)
        }
    }

    /// Waits until all has arrived there.
    pub fn wait_for_reply(&self) -> Result<(), Failure> {
        let mut told = 0u8;
        // SAFETY: the call writes one byte.
        unsafe {
            let (world, status) = (ffi::RSMPI_COMM_WORLD, ffi::RSMPI_STATUS_IGNORE);
            let told = (&raw mut told).cast();
            Ok(call!(MPI_Recv(
                told,
                1,
                ffi::RSMPI_UINT8_T,
                self.rank,
                REPLY,
                world,
                status
            ))?)
        }
    }

    /// Receives one message into each buffer, sends as many as are wanted, computes, and waits for all.
    fn exchange<T: Sample>(
        &self,
        (send, messages): (&[T], usize),
        recv: &mut [&mut [T]],
        steps: u64,
        requests: &mut Vec<ffi::MPI_Request>,
    ) -> Result<(), Failure> {
        self.fits(send)?;
        for buffer in recv.iter() {
            self.fits(buffer)?;
        }
        let (rank, datatype, elements) = (self.rank, self.types.datatype, self.elements);
        requests.clear();
        // SAFETY: the buffers have the elements that the calls read and write, and are not touched before all are over,
        // unless a call fails: then the job is ended.
        unsafe {
            let world = ffi::RSMPI_COMM_WORLD;
            for buffer in recv {
                let mut request = ffi::RSMPI_REQUEST_NULL;
                let start = buffer.as_mut_ptr().cast();
                call!(MPI_Irecv(
                    start,
                    elements,
                    datatype,
                    rank,
                    DATA,
                    world,
                    &mut request
                ))?;
                requests.push(request);
            }
            for _ in 0..messages {
                let mut request = ffi::RSMPI_REQUEST_NULL;
                let start = send.as_ptr().cast();
                call!(MPI_Isend(
                    start,
                    elements,
                    datatype,
                    rank,
                    DATA,
                    world,
                    &mut request
                ))?;
                requests.push(request);
            }
            subject::compute(steps);
            let count = requests.len() as c_int;
            Ok(call!(MPI_Waitall(
                count,
                requests.as_mut_ptr(),
                ffi::RSMPI_STATUSES_IGNORE
            ))?)
        }
    }
}

/// Messages of MPI between buffers of hosts.
pub struct Messages {
    peer: Option<Peer>,
    requests: Vec<ffi::MPI_Request>,
    steps: u64,
}

impl Messages {
    pub fn new<T: Sample>(
        pairs: Pairs,
        memory: Host,
    ) -> Result<Made<messages::Buffers<T, Host>, Self>, Failure> {
        let peer = pairs.role().map(|role| Peer::new(role, T::DTYPE, pairs.elements));
        let run = Messages {
            peer: peer.transpose()?,
            requests: Vec::with_capacity(2 * pairs.window),
            steps: 0,
        };
        let buffers = messages::Buffers::new(pairs, memory)?;
        Ok(Made { buffers, run })
    }
}

impl<T: Sample> Run<messages::Buffers<T, Host>> for Messages {
    const IS_OF_ANOTHER_LIBRARY: bool = true;

    fn run(&mut self, buffers: &mut messages::Buffers<T, Host>, repeats: u64) -> Result<(), Failure> {
        let messages::Buffers {
            pairs,
            role,
            memory,
            send,
            recv,
            ..
        } = buffers;
        let (Some(Role { is_first, .. }), Some(peer)) = (*role, self.peer) else {
            return Ok(());
        };
        let (requests, steps, window) = (&mut self.requests, self.steps, pairs.window);
        let send = memory.view(send)?;
        let mut into = Vec::with_capacity(recv.len());
        for buffer in recv {
            into.push(memory.view_mut(buffer)?);
        }
        match pairs.operation {
            Operation::Latency => {
                let [into] = &mut into[..] else {
                    return Err("a message has no buffer to come to".into());
                };
                for _ in 0..repeats {
                    if is_first {
                        peer.send(send)?;
                        peer.recv(into)?;
                    } else {
                        peer.recv(into)?;
                        peer.send(send)?;
                    }
                }
            }
            Operation::Bandwidth | Operation::MessageRate if is_first => {
                for _ in 0..repeats {
                    peer.exchange((send, window), &mut [], 0, requests)?;
                    peer.wait_for_reply()?;
                }
            }
            Operation::Bandwidth | Operation::MessageRate => {
                for _ in 0..repeats {
                    peer.exchange((send, 0), &mut into, 0, requests)?;
                    peer.reply()?;
                }
            }
            Operation::Bibandwidth | Operation::Overlap => {
                for _ in 0..repeats {
                    peer.exchange((send, window), &mut into, steps, requests)?;
                }
            }
            other => return Err(not_here(format!("{other} is no message"))),
        }
        Ok(())
    }

    fn compute(&mut self, steps: u64) {
        self.steps = steps;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::subject::NotHere;

    #[test]
    fn what_mpi_takes_is_measured() {
        let call = |operation: Operation, elements| {
            let op = operation.is_reduction().then_some(Op::Sum);
            let (rank, ranks) = (0, 4);
            let shape = Shape {
                operation,
                rank,
                ranks,
                op,
                elements,
            };
            Call::new(shape, Dtype::I32)
        };
        let is_left_out =
            |operation, elements| call(operation, elements).is_err_and(|error| error.is::<NotHere>());
        let most = c_int::MAX as usize;
        for operation in [
            Operation::Bcast,
            Operation::Allreduce,
            Operation::Scan,
            Operation::Allgather,
        ] {
            assert!(call(operation, most).is_ok(), "{operation}");
            assert!(is_left_out(operation, most + 1), "{operation}");
        }
        // The last block begins behind three of them.
        for (operation, size) in [(Operation::Allgatherv, 1), (Operation::Alltoallw, 4)] {
            assert!(call(operation, most / size / 3).is_ok(), "{operation}");
            assert!(is_left_out(operation, most / size / 3 + 1), "{operation}");
        }
    }
}
