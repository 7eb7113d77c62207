//! Ranks on two hosts, which are network namespaces of this machine: between them there is MPI over TCP, and nothing else.

use std::fs;

use warpcomm::{Blocks, Communicator, ErrorKind, Op, Path, Tag};

use super::lifecycle::with_world;
use super::transfers::{Rank, Transfer, to_one};
use crate::harness::{Failure, Outcome, Solo, Start, expect_error, expect_text};
use crate::oracle::{assert_same, folded, vector};

const RANKS: usize = 4;

pub const SOLOS: &[Solo] = &[
    Solo {
        name: "two_hosts",
        start: Start::TwoHosts(RANKS),
        environment: &[],
        program: || with_world(|world| everything_works(world, 2, "on different nodes")),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    // They see the same shared memory under the same host name, and are taken for near; but what is to be shared cannot
    // be passed on.
    Solo {
        name: "two_networks_of_one_host",
        start: Start::TwoNetworks(RANKS),
        environment: &[],
        program: || with_world(|world| everything_works(world, RANKS, "cannot pass shared memory on")),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "two_networks_without_staging",
        start: Start::TwoNetworks(RANKS),
        environment: &[("WARPCOMM_PATHS", "^staged")],
        program: || with_world(no_path_is_left),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
];

/// Random transfers between all ranks.
const TRANSFERS: usize = 400;

/// Which ranks are in the first network, as each says of itself.
fn first_network(comm: &Communicator) -> Result<Vec<bool>, Failure> {
    let name = fs::read_link("/proc/self/ns/net")?.display().to_string();
    let digits: String = name.chars().filter(char::is_ascii_digit).collect();
    let mut networks = vec![0u64; comm.size()];
    comm.allgather(&[digits.parse::<u64>()?], &mut networks)?;
    Ok(networks.iter().map(|&network| network == networks[0]).collect())
}

fn everything_works(comm: &Communicator, on_a_node: usize, reason: &str) -> Outcome {
    let is_first = first_network(comm)?;
    assert_eq!(is_first, [true, true, false, false]);
    assert_eq!(comm.split_shared(0)?.size(), on_a_node);
    let on = Rank::new(comm)?;
    for length in [100, 40_000, 300_000] {
        collectives(&on, length)?;
    }
    for number in 0..TRANSFERS {
        Transfer::new(number, comm.size(), true).take_part(&on)?;
    }
    for root in 0..comm.size() {
        to_one(&on, root, 100_000)?;
    }
    let own = is_first[comm.rank()];
    for peer in (0..comm.size()).filter(|&peer| peer != comm.rank()) {
        let chosen = comm.path(peer)?.ok_or_else(|| Failure("no path".to_owned()))?;
        if is_first[peer] == own {
            assert_eq!(chosen.path(), Path::PeerGpuIpc, "{chosen}");
        } else {
            assert_eq!(chosen.path(), Path::Staged, "{chosen}");
            assert!(chosen.reason().contains(reason), "{chosen}");
        }
    }
    comm.barrier()?;
    Ok(())
}

fn collectives(on: &Rank<'_>, length: usize) -> Outcome {
    let (comm, stream) = (on.comm, &on.stream);
    let (rank, size) = (comm.rank(), comm.size());
    let of_ranks: Vec<Vec<f32>> = (0..size).map(|rank| vector(1, rank, length)).collect();
    let own = stream.clone_htod(&of_ranks[rank])?;
    let mut found = stream.alloc_zeros::<f32>(length)?;
    comm.allreduce(&own, &mut found, Op::Sum)?;
    let sum = folded(Op::Sum, &of_ranks).unwrap_or_default();
    assert_same(&stream.clone_dtoh(&found)?, &sum, || {
        format!("allreduce of {length}")
    });
    for root in 0..size {
        let mut message = stream.clone_htod(&of_ranks[rank])?;
        comm.bcast(&mut message, root)?;
        assert_same(&stream.clone_dtoh(&message)?, &of_ranks[root], || {
            format!("bcast of {length} from {root}")
        });
    }
    // Everybody sends what is in the place of the receiver.
    let blocks = Blocks::even(length, size);
    let mine = blocks.range(rank).len();
    let received = Blocks::packed(vec![mine; size]);
    let mut gathered = stream.alloc_zeros::<f32>(mine * size)?;
    comm.alltoallv(&own, &blocks, &mut gathered, &received)?;
    let expected: Vec<f32> = of_ranks
        .iter()
        .flat_map(|elements| elements[blocks.range(rank)].to_vec())
        .collect();
    assert_same(&stream.clone_dtoh(&gathered)?, &expected, || {
        format!("alltoallv of {length}")
    });
    Ok(())
}

fn no_path_is_left(comm: &Communicator) -> Outcome {
    let is_first = first_network(comm)?;
    let stream = comm.device()?.new_stream()?;
    let message = vector::<f32>(2, 0, 50_000);
    let mut buffer = stream.clone_htod(&message)?;
    let (rank, partner) = (comm.rank(), comm.rank() ^ 1);
    // In one network it goes.
    let mut theirs = stream.alloc_zeros::<f32>(message.len())?;
    comm.sendrecv(&buffer, partner, Tag(0), &mut theirs, partner, Tag(0))?;
    assert_same(&stream.clone_dtoh(&theirs)?, &message, || "next door".to_owned());
    // From one to the other it is an error for both, for the second message too.
    let there = (rank + 2) % comm.size();
    assert_ne!(is_first[rank], is_first[there]);
    for kind_at_sender in [ErrorKind::Unsupported, ErrorKind::PeerFailed] {
        let (outcome, kind) = match is_first[rank] {
            true => (comm.send(&buffer, there, Tag(1)), kind_at_sender),
            false => (
                comm.recv(&mut buffer, there, Tag(1)).map(drop),
                ErrorKind::Unsupported,
            ),
        };
        let error = expect_error(outcome, kind);
        if kind == ErrorKind::Unsupported {
            expect_text(
                &error,
                &["cannot pass shared memory on", "WARPCOMM_PATHS leaves it out"],
            );
        }
    }
    // Elements of hosts go as ever.
    let mut sum = [0u64; 5_000];
    comm.allreduce(&[1; 5_000], &mut sum, Op::Sum)?;
    assert_eq!(sum, [RANKS as u64; 5_000]);
    Ok(())
}
