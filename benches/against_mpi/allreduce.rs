//! Sums over all ranks, of which every rank gets the result.

use warpcomm::{Communicator, Op};

use crate::Failure;
use crate::contest::Contest;
use crate::raw;

/// Ranks that add up their vectors of f64.
pub struct Allreduce<'a> {
    comm: &'a Communicator,
    own: Vec<f64>,
    sum: Vec<f64>,
}

impl<'a> Allreduce<'a> {
    /// Vectors of so many bytes, a multiple of 8.
    pub fn new(comm: &'a Communicator, bytes: usize) -> Self {
        let elements = bytes / size_of::<f64>();
        Allreduce {
            comm,
            own: vec![0.0; elements],
            sum: vec![0.0; elements],
        }
    }

    fn fill(&mut self, seed: usize) {
        self.sum.fill(f64::NAN);
        for (at, element) in self.own.iter_mut().enumerate() {
            *element = content(at, self.comm.rank(), seed);
        }
    }

    fn is_summed(&self, seed: usize, how: &str) -> Result<(), Failure> {
        let expected = |at| {
            (0..self.comm.size())
                .map(|rank| content(at, rank, seed))
                .sum::<f64>()
        };
        match (0..self.sum.len()).find(|&at| self.sum[at] != expected(at)) {
            None => Ok(()),
            Some(at) => Err(format!(
                "{how}: element {at} of a sum of {} is {}, but should be {}",
                self.sum.len(),
                self.sum[at],
                expected(at)
            )
            .into()),
        }
    }
}

/// Element `at` of a rank's vector: a quarter of a small integer, so that sums are exact in any order.
fn content(at: usize, rank: usize, seed: usize) -> f64 {
    ((at * 7 + rank * 1009 + seed * 13) % 4099) as f64 / 4.0
}

impl Contest for Allreduce<'_> {
    fn bytes(&self) -> usize {
        size_of_val(self.own.as_slice())
    }

    fn operations_per_repetition(&self) -> u32 {
        1
    }

    fn check(&mut self, seed: usize) -> Result<(), Failure> {
        self.fill(2 * seed);
        self.raw(1)?;
        self.is_summed(2 * seed, "raw MPI")?;
        self.fill(2 * seed + 1);
        self.ours(1)?;
        self.is_summed(2 * seed + 1, "warpcomm")
    }

    fn raw(&mut self, repetitions: u32) -> Result<(), Failure> {
        for _ in 0..repetitions {
            raw::allreduce_sum(&self.own, &mut self.sum)?;
        }
        Ok(())
    }

    fn ours(&mut self, repetitions: u32) -> Result<(), Failure> {
        for _ in 0..repetitions {
            self.comm.allreduce(&self.own, &mut self.sum, Op::Sum)?;
        }
        Ok(())
    }
}
