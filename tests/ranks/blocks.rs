//! Blocks and lists of buffers that one rank has wrong: `InvalidArgument` there, `PeerFailed` elsewhere, and nothing
//! is written.

use warpcomm::{Blocks, Dtype, ErrorKind, Op};

use super::alltoallw::blank;
use super::common::still_works;
use crate::harness::{Outcome, expect_error};
use crate::placed::{Communicator, Part, alltoallw, alltoallw_in_place};

cases! {
    blocks_of_gatherv: 1..=4;
    blocks_of_scatterv: 1..=4;
    buffers_of_alltoall: 2..=4;
    blocks_of_alltoallv: 2..=4;
    lists_of_alltoallw: 2..=4;
    blocks_of_reduce_scatter: 2..=4;
    buffers_of_scan: 2..=4;
}

fn blocks_of_gatherv(comm: &Communicator) -> Outcome {
    let ranks = comm.size();
    let mut bad = vec![
        Blocks::packed(vec![1; ranks + 1]),
        Blocks::packed(vec![1000; ranks]),
        Blocks::new(vec![1; ranks], vec![usize::MAX; ranks]),
    ];
    if ranks > 1 {
        bad.push(Blocks::new(vec![1; ranks], vec![0; ranks]));
    }
    for blocks in bad {
        for is_in_place in [false, true] {
            let mut all = vec![5u32; 999];
            let outcome = match is_in_place {
                true => comm.gatherv_in_place(&mut all[..if comm.rank() == 0 { 999 } else { 1 }], &blocks, 0),
                false => comm.gatherv(&[1u32], &mut all, &blocks, 0),
            };
            let kind = if comm.rank() == 0 {
                ErrorKind::InvalidArgument
            } else {
                ErrorKind::PeerFailed
            };
            expect_error(outcome, kind);
            assert_eq!(all, [5; 999]);
        }
    }
    expect_error(
        comm.gatherv(&[1u32], &mut [0; 7], &Blocks::packed(vec![1; ranks]), ranks),
        ErrorKind::InvalidArgument,
    );
    still_works(comm)
}

fn blocks_of_scatterv(comm: &Communicator) -> Outcome {
    let ranks = comm.size();
    for blocks in [
        Blocks::packed(vec![1; ranks + 1]),
        Blocks::packed(vec![1000; ranks]),
        Blocks::new(vec![1; ranks], vec![usize::MAX; ranks]),
    ] {
        for is_in_place in [false, true] {
            let mut own = [5u32; 1];
            let outcome = match is_in_place {
                true => comm.scatterv_in_place(&mut own, &blocks, 0),
                false => comm.scatterv(&[1u32; 999], &blocks, &mut own, 0),
            };
            let kind = if comm.rank() == 0 {
                ErrorKind::InvalidArgument
            } else {
                ErrorKind::PeerFailed
            };
            expect_error(outcome, kind);
            assert_eq!(own, [5]);
        }
    }
    expect_error(
        comm.scatterv(&[1u32; 7], &Blocks::packed(vec![1; ranks]), &mut [0], ranks),
        ErrorKind::InvalidArgument,
    );
    still_works(comm)
}

fn buffers_of_alltoall(comm: &Communicator) -> Outcome {
    for length in [1, 3000] {
        for bad in [0, comm.size() - 1] {
            let kind = if comm.rank() == bad {
                ErrorKind::InvalidArgument
            } else {
                ErrorKind::PeerFailed
            };
            let whole = comm.size() * length;
            let short = if comm.rank() == bad { whole - 1 } else { whole };
            let (own, mut all) = (vec![1u32; whole], vec![5u32; whole]);
            expect_error(comm.alltoall(&own, &mut all[..short]), kind);
            expect_error(comm.alltoall(&own[..short], &mut all), kind);
            expect_error(comm.alltoall_in_place(&mut all[..short]), kind);
            assert!(all.iter().all(|element| *element == 5));
        }
    }
    still_works(comm)
}

fn blocks_of_alltoallv(comm: &Communicator) -> Outcome {
    let ranks = comm.size();
    let good = Blocks::packed(vec![2; ranks]);
    let same = Blocks::new(vec![2; ranks], vec![0; ranks]);
    let bad = [
        Blocks::packed(vec![2; ranks - 1]),
        Blocks::packed(vec![1000; ranks]),
        Blocks::new(vec![2; ranks], vec![usize::MAX; ranks]),
    ];
    for odd in [0, ranks - 1] {
        let is_odd = comm.rank() == odd;
        let kind = if is_odd {
            ErrorKind::InvalidArgument
        } else {
            ErrorKind::PeerFailed
        };
        let (own, mut all) = (vec![1u32; 2 * ranks], vec![5u32; 2 * ranks]);
        for bad in &bad {
            let blocks = if is_odd { bad } else { &good };
            expect_error(comm.alltoallv(&own, blocks, &mut all, &good), kind);
            expect_error(comm.alltoallv(&own, &good, &mut all, blocks), kind);
            expect_error(comm.alltoallv_in_place(&mut all, blocks), kind);
        }
        // Blocks to receive into must not overlap, those to send may.
        let blocks = if is_odd { &same } else { &good };
        expect_error(comm.alltoallv(&own, &good, &mut all, blocks), kind);
        expect_error(comm.alltoallv_in_place(&mut all, blocks), kind);
        assert!(all.iter().all(|element| *element == 5));
        comm.alltoallv(&own, blocks, &mut all, &good)?;
        assert!(all.iter().all(|element| *element == 1));
    }
    still_works(comm)
}

fn lists_of_alltoallw(comm: &Communicator) -> Outcome {
    for odd in [0, comm.size() - 1] {
        let is_odd = comm.rank() == odd;
        let kind = if is_odd {
            ErrorKind::InvalidArgument
        } else {
            ErrorKind::PeerFailed
        };
        let ranks = comm.size();
        let parts = |length| -> Vec<Box<dyn Part>> { (0..length).map(|_| blank(Dtype::F32, 2)).collect() };
        let other = if is_odd { ranks - 1 } else { ranks };
        expect_error(alltoallw(comm, &parts(other), &mut parts(ranks)), kind);
        expect_error(alltoallw(comm, &parts(ranks), &mut parts(other)), kind);
        let other = if is_odd { 20 * ranks } else { ranks };
        expect_error(alltoallw_in_place(comm, &mut parts(other)), kind);
    }
    still_works(comm)
}

fn blocks_of_reduce_scatter(comm: &Communicator) -> Outcome {
    let ranks = comm.size();
    let good = Blocks::packed(vec![500; ranks]);
    let bad = [
        Blocks::packed(vec![500; ranks + 1]),
        Blocks::packed(vec![1000; ranks]),
        Blocks::new(vec![500; ranks], vec![usize::MAX; ranks]),
        Blocks::new(vec![usize::MAX; ranks], vec![0; ranks]),
    ];
    for odd in [0, ranks - 1] {
        let is_odd = comm.rank() == odd;
        let kind = if is_odd {
            ErrorKind::InvalidArgument
        } else {
            ErrorKind::PeerFailed
        };
        let (own, mut result) = (vec![1u32; 500 * ranks], vec![5u32; 500 * ranks]);
        for bad in &bad {
            let blocks = if is_odd { bad } else { &good };
            expect_error(comm.reduce_scatter(&own, blocks, &mut result, Op::Sum), kind);
            expect_error(comm.reduce_scatter_in_place(&mut result, blocks, Op::Sum), kind);
        }
        let short = if is_odd { 499 } else { 500 };
        expect_error(
            comm.reduce_scatter(&own, &good, &mut result[..short], Op::Sum),
            kind,
        );
        expect_error(
            comm.reduce_scatter_block(&own, &mut result[..short], Op::Sum),
            kind,
        );
        let whole = 500 * ranks - usize::from(is_odd);
        expect_error(
            comm.reduce_scatter_block(&own[..whole], &mut result, Op::Sum),
            kind,
        );
        expect_error(
            comm.reduce_scatter_block_in_place(&mut result[..whole], Op::Sum),
            kind,
        );
        assert!(result.iter().all(|element| *element == 5));
    }
    still_works(comm)
}

fn buffers_of_scan(comm: &Communicator) -> Outcome {
    for length in [2, 3000] {
        let is_odd = comm.rank() == comm.size() - 1;
        let kind = if is_odd {
            ErrorKind::InvalidArgument
        } else {
            ErrorKind::PeerFailed
        };
        let (own, mut result) = (vec![1u32; length], vec![5u32; length]);
        let short = length - usize::from(is_odd);
        expect_error(comm.scan(&own, &mut result[..short], Op::Sum), kind);
        expect_error(comm.exscan(&own, &mut result[..short], Op::Sum), kind);
        assert!(result.iter().all(|element| *element == 5));
    }
    still_works(comm)
}
