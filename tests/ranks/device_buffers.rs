//! `DeviceBuffer`, memory that the library has allocated itself: what is in it, and when it is used again.

use warpcomm::cudarc::driver::{DevicePtr, result};
use warpcomm::{Communicator, DeviceBuffer, ErrorKind, Tag, release_device};

use super::common::{next, previous};
use super::device::{Gate, stream};
use crate::harness::{Outcome, expect_error, expect_text};
use crate::oracle::{assert_same, vector};

cases! {
    a_buffer_of_the_library_is_used_again: 1..=3;
    a_new_buffer_in_another_stream: 1..=3;
    buffers_of_the_library: 1..=3;
}

fn a_buffer_of_the_library_is_used_again(comm: &Communicator) -> Outcome {
    // One rank after the other: memory that goes back to the driver meanwhile would wait for the gate.
    for turn in 0..comm.size() {
        if comm.rank() == turn {
            release_device();
            memory_is_used_again(comm)?;
        }
        comm.barrier()?;
    }
    Ok(())
}

fn memory_is_used_again(comm: &Communicator) -> Outcome {
    const LENGTH: usize = 21 << 20;
    let (first, second) = (stream(comm)?, stream(comm)?);
    let earlier = DeviceBuffer::<u8>::zeros(&first, LENGTH)?;
    let gate = Gate::default();
    // SAFETY: the gate lives until the stream was waited for.
    unsafe { gate.stop(&first) }?;
    let address = earlier.device_ptr(&first).0;
    // SAFETY: the buffer has as many bytes.
    unsafe { result::memset_d8_async(address, 7, LENGTH, first.cu_stream()) }?;
    drop(earlier);
    let later = DeviceBuffer::<u8>::zeros(&second, LENGTH)?;
    let is_same = later.device_ptr(&second).0 == address;
    gate.open();
    first.synchronize()?;
    assert!(is_same);
    assert!(later.to_vec()? == vec![0; LENGTH]);
    Ok(())
}

fn a_new_buffer_in_another_stream(comm: &Communicator) -> Outcome {
    const LENGTH: usize = 1000;
    let (first, second) = (stream(comm)?, stream(comm)?);
    let gate = Gate::default();
    // SAFETY: the gate lives until the stream was waited for.
    unsafe { gate.stop(&first) }?;
    let mut buffer = DeviceBuffer::<u8>::zeros(&first, LENGTH)?;
    // Behind the zeros, though they are in a stream that waits.
    second.memcpy_htod(&[9; LENGTH], &mut buffer)?;
    gate.open();
    first.synchronize()?;
    second.synchronize()?;
    assert_eq!(buffer.to_vec()?, [9; LENGTH]);
    assert_eq!(buffer.try_clone()?.to_vec()?, [9; LENGTH]);
    Ok(())
}

fn buffers_of_the_library(comm: &Communicator) -> Outcome {
    let stream = stream(comm)?;
    let empty = DeviceBuffer::<f64>::zeros(&stream, 0)?;
    assert_eq!((empty.to_vec()?.len(), empty.len()), (0, 0));
    let bad = expect_error(
        DeviceBuffer::<f64>::zeros(&stream, usize::MAX),
        ErrorKind::InvalidArgument,
    );
    expect_text(&bad, &["f64"]);
    // Parts of one window do not overlap.
    let all: Vec<DeviceBuffer<u16>> = (0..100u16)
        .map(|number| DeviceBuffer::from_slice(&stream, &vec![number; 1 + 37 * usize::from(number)]))
        .collect::<Result<_, _>>()?;
    for (number, buffer) in all.iter().enumerate() {
        assert_eq!(buffer.to_vec()?, vec![number as u16; 1 + 37 * number]);
    }
    let mut buffer = DeviceBuffer::from_slice(&stream, &vector::<f32>(1, comm.rank(), 100))?;
    stream.memcpy_htod(
        &[5.0f32; 10],
        &mut buffer.try_slice_mut(90..).expect("10 elements"),
    )?;
    assert!(buffer.try_slice_mut(90..101).is_none());
    let request = comm.isend(buffer, next(comm), Tag(1));
    let mut received = DeviceBuffer::<f32>::zeros(&stream, 100)?;
    comm.recv(&mut received, previous(comm), Tag(1))?;
    let mut expected = vector::<f32>(1, previous(comm), 100);
    expected[90..].fill(5.0);
    assert_same(&received.to_vec()?, &expected, || {
        "a buffer of the library".to_owned()
    });
    let (sent, _) = request.wait()?;
    assert_eq!(sent.len(), 100);
    Ok(())
}
