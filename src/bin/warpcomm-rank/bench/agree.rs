//! What ranks agree about, so that all of them measure the same.

use std::error::Error;
use std::fmt;

use warpcomm::{Communicator, ErrorKind, Op};

use super::subject::{NotHere, not_here};
use crate::Failure;

/// That another rank has failed, which says why.
#[derive(Debug)]
pub struct Elsewhere;

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another rank says what failed")
    }
}

impl Error for Elsewhere {}

/// A failure that ends the job, of which all ranks know.
#[derive(Debug)]
pub struct Known(Failure);

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Known {}

/// What all ranks could do is this rank's outcome; what one could not is an error with the same reason on every rank, where
/// it is no failure of the whole job.
pub fn all<T>(comm: &Communicator, own: Result<T, Failure>) -> Result<Result<T, Failure>, Failure> {
    let mut worst = match &own {
        Ok(_) => 0u8,
        Err(_) => 1,
    };
    comm.allreduce_in_place(&mut worst, Op::Max)?;
    if worst == 0 {
        return Ok(own);
    }
    // What ranks say: nothing where it has worked, or where another one says why it has not.
    let said = match &own {
        Err(error) if error.is::<NotHere>() || is_unsupported(error) => Some((true, error.to_string())),
        Err(error) if !is_of_another_rank(error) => Some((false, error.to_string())),
        _ => None,
    };
    let is_own = matches!(said, Some((false, _)));
    let said: Vec<Option<(bool, String)>> = comm.allgather_object(&said)?;
    match said.iter().flatten().find(|(is_fine, _)| !is_fine) {
        Some(_) if is_own => own
            .map(Ok)
            .map_err(|failure| -> Failure { Box::new(Known(failure)) }),
        Some(_) => Err(Box::new(Elsewhere)),
        None => {
            let reason = said.into_iter().flatten().next();
            let reason = reason.map_or("a rank cannot take part".to_owned(), |(_, reason)| reason);
            Ok(Err(not_here(reason)))
        }
    }
}

fn of_library(error: &Failure) -> Option<ErrorKind> {
    error.downcast_ref::<warpcomm::Error>().map(warpcomm::Error::kind)
}

/// Whether the other ranks of an operation have an error, too: then it is over everywhere.
pub fn is_shared(error: &Failure) -> bool {
    error.is::<NotHere>() || is_unsupported(error) || is_of_another_rank(error)
}

fn is_unsupported(error: &Failure) -> bool {
    of_library(error) == Some(ErrorKind::Unsupported)
}

fn is_of_another_rank(error: &Failure) -> bool {
    of_library(error) == Some(ErrorKind::PeerFailed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What ranks get of what each has.
    fn agreed(of: fn(usize) -> Result<usize, Failure>) -> Vec<Result<Result<usize, String>, String>> {
        let outcomes = Communicator::threads(3, |comm| {
            let agreed = all(&comm, of(comm.rank()));
            let agreed = agreed.map(|outcome| outcome.map_err(|reason| reason.to_string()));
            agreed.map_err(|failure| {
                assert!(failure.is::<Known>() || failure.is::<Elsewhere>());
                failure.to_string()
            })
        });
        outcomes.unwrap()
    }

    #[test]
    fn what_one_rank_cannot_do_all_leave_out() {
        assert_eq!(agreed(Ok), [Ok(Ok(0)), Ok(Ok(1)), Ok(Ok(2))]);
        let left_out = agreed(|rank| {
            if rank == 1 {
                Err(not_here("no GPU"))
            } else {
                Ok(rank)
            }
        });
        assert_eq!(left_out, vec![Ok(Err("no GPU".to_owned())); 3]);
    }

    #[test]
    fn a_failure_of_one_rank_is_one_of_all() {
        let failed = agreed(|rank| match rank {
            0 => Err(not_here("no GPU")),
            1 => Err("broken".into()),
            _ => Ok(rank),
        });
        let elsewhere = Err(Elsewhere.to_string());
        assert_eq!(failed, [elsewhere.clone(), Err("broken".to_owned()), elsewhere]);
    }
}
