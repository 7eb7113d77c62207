//! Every rank says who it is; rank 0 prints what they say, in the order of the ranks.
//!
//! ```text
//! $ warpcomm run -n 3 hello
//! hello from rank 0 of 3 on node1
//! hello from rank 1 of 3 on node1
//! hello from rank 2 of 3 on node2
//! ```

use std::process::ExitCode;

use warpcomm::{Op, Tag};

#[path = "shared/ranks.rs"]
mod ranks;

use ranks::{Failure, Rank};

/// Prints the number of each rank and the host that it runs on.
#[derive(clap::Args)]
struct Options {}

fn main() -> ExitCode {
    ranks::run("hello", hello)
}

fn hello(rank: &Rank, _options: &Options) -> Result<(), Failure> {
    let (me, ranks) = (rank.comm.rank(), rank.comm.size());
    let line = format!("hello from rank {me} of {ranks} on {}", host());

    let mut lines = vec![line];
    if me > 0 {
        rank.comm.send(lines[0].as_bytes(), 0, Tag(0))?;
    } else {
        for source in 1..ranks {
            let mut bytes = [0; 1024];
            let status = rank.comm.recv(&mut bytes, source, Tag(0))?;
            lines.push(String::from_utf8_lossy(&bytes[..status.count() as usize]).into_owned());
        }
    }
    rank.print(&lines.join("\n"))?;

    let mut sum = 0_u64;
    rank.comm.allreduce(&(me as u64), &mut sum, Op::Sum)?;
    let expected = (ranks * (ranks - 1) / 2) as u64;
    rank.agree(match sum == expected {
        true => Ok(()),
        false => Err(format!("the ranks add up to {sum}, not to {expected}")),
    })
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "an unnamed host".to_string(),
        name => name.to_string(),
    }
}
