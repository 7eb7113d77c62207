//! What a request owns is no view: nothing would keep the elements behind it.

use warpcomm::{Communicator, Tag};

fn slices(comm: &Communicator) {
    let mut data = vec![1.0; 4];
    let _ = comm.isend(&data[..2], 1, Tag(0));
    let _ = comm.irecv(&mut data[2..], 0, Tag(0));
    let _ = comm.send_init(&data, 1, Tag(0));
}

fn arrays(comm: &Communicator) {
    let _ = comm.isend([1.0; 4], 1, Tag(0));
}

fn main() {}
