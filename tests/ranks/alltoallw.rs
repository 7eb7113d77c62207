//! `alltoallw` and `alltoallw_in_place`.

use warpcomm::Dtype;

use super::common::lengths;
use crate::harness::{Outcome, covered};
use crate::oracle::{DTYPES, mixed, untouched, vector};
use crate::placed::{Communicator, Part, alltoallw, alltoallw_in_place};

cases! {
    every_type_and_length: 1..=7;
    every_type_and_length_in_place: 1..=7;
    nothing_of_whatever_type: 1..=4;
    mpich_alltoallw: 1..=7;
    mpich_alltoallw_zeros: 1..=4;
}

/// The type and length of what goes from one rank to another.
type Plan<'a> = &'a dyn Fn(usize, usize) -> (Dtype, usize);

fn part(dtype: Dtype, salt: u64, rank: usize, length: usize) -> Box<dyn Part> {
    with_element!(dtype, T => Box::new(vector::<T>(salt, rank, length)))
}

/// A buffer to receive into.
pub fn blank(dtype: Dtype, length: usize) -> Box<dyn Part> {
    with_element!(dtype, T => Box::new(untouched::<T>(length)))
}

fn bytes_of(parts: &[Box<dyn Part>]) -> Vec<Vec<u8>> {
    parts.iter().map(|part| part.bytes()).collect()
}

fn outgoing(comm: &Communicator, plan: Plan<'_>) -> Vec<Box<dyn Part>> {
    let part = |to| {
        let (dtype, length) = plan(comm.rank(), to);
        part(dtype, to as u64, comm.rank(), length)
    };
    (0..comm.size()).map(part).collect()
}

fn incoming(comm: &Communicator, plan: Plan<'_>) -> Vec<Box<dyn Part>> {
    let part = |from| {
        let (dtype, length) = plan(from, comm.rank());
        part(dtype, comm.rank() as u64, from, length)
    };
    (0..comm.size()).map(part).collect()
}

fn exchanged(comm: &Communicator, plan: Plan<'_>) -> Outcome {
    let blank = |from| {
        let (dtype, length) = plan(from, comm.rank());
        blank(dtype, length)
    };
    let mut received: Vec<Box<dyn Part>> = (0..comm.size()).map(blank).collect();
    alltoallw(comm, &outgoing(comm, plan), &mut received)?;
    assert_eq!(bytes_of(&received), bytes_of(&incoming(comm, plan)));
    Ok(())
}

fn every_type_and_length(comm: &Communicator) -> Outcome {
    // Every type between every two ranks, with others beside it.
    for (number, dtype) in DTYPES.iter().enumerate() {
        for length in lengths(comm.size(), dtype.size()) {
            exchanged(comm, &|from, to| {
                let random = mixed((from * 10 + to) as u64) as usize;
                let other = DTYPES[(number + from + 2 * to) % DTYPES.len()];
                (other, random % (2 * length * dtype.size() / other.size() + 1))
            })?;
        }
        covered("alltoallw", Some(*dtype), None);
    }
    Ok(())
}

fn every_type_and_length_in_place(comm: &Communicator) -> Outcome {
    for (number, dtype) in DTYPES.iter().enumerate() {
        for length in lengths(comm.size(), dtype.size()) {
            let plan = |from: usize, to: usize| {
                let (low, high) = (from.min(to), from.max(to));
                let random = mixed((low * 10 + high) as u64) as usize;
                let other = DTYPES[(number + low + 2 * high) % DTYPES.len()];
                (other, random % (2 * length * dtype.size() / other.size() + 1))
            };
            let mut buffers = outgoing(comm, &plan);
            alltoallw_in_place(comm, &mut buffers)?;
            assert_eq!(bytes_of(&buffers), bytes_of(&incoming(comm, &plan)));
        }
        covered("alltoallw_in_place", Some(*dtype), None);
    }
    Ok(())
}

fn nothing_of_whatever_type(comm: &Communicator) -> Outcome {
    use warpcomm::{AnyBuffer, AnyBufferMut};

    let outgoing = (0..comm.size()).map(|_| AnyBuffer::new(&[0f64; 0]));
    let incoming = (0..comm.size()).map(|_| AnyBufferMut::empty());
    let (outgoing, mut incoming): (Vec<_>, Vec<_>) = (outgoing.collect(), incoming.collect());
    comm.alltoallw(&outgoing, &mut incoming)?;
    comm.alltoallw_in_place(&mut incoming)?;
    Ok(())
}

/// What the tests `coll/alltoallw1` and `alltoallw2` of MPICH are about: a matrix of rows of different lengths is
/// transposed, every rank sending each other a piece in a type of its own.
fn mpich_alltoallw(comm: &Communicator) -> Outcome {
    let types = [Dtype::I32, Dtype::F64, Dtype::U8];
    for length in [1, 100, 2000] {
        exchanged(comm, &|from, to| {
            (types[(from + to) % types.len()], length * (from + 1))
        })?;
    }
    Ok(())
}

/// What the test `coll/alltoallw_zeros` of MPICH is about: zero elements of whatever types, and in place too.
fn mpich_alltoallw_zeros(comm: &Communicator) -> Outcome {
    let part = |other: usize| blank(DTYPES[(other + comm.rank()) % DTYPES.len()], 0);
    let send: Vec<Box<dyn Part>> = (0..comm.size()).map(part).collect();
    let mut received: Vec<Box<dyn Part>> = (0..comm.size()).map(|_| blank(Dtype::F16, 0)).collect();
    alltoallw(comm, &send, &mut received)?;
    alltoallw_in_place(comm, &mut received)?;
    Ok(())
}
