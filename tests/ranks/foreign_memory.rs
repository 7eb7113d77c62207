//! Memory that others have allocated, on GPUs, managed and pinned; and pointers that are none.

use std::sync::Arc;

use warpcomm::cudarc::driver::{CudaContext, CudaSlice, CudaStream, DevicePtr, DevicePtrMut, result, sys};
use warpcomm::{Communicator, Dtype, ErrorKind, MemoryKind, Op, RawSlice, Tag};

use super::common::{next, previous};
use super::device::{LENGTHS, another_gpu, stream};
use crate::harness::{Outcome, expect_error, expect_text};
use crate::oracle::{assert_same, folded, vector};

cases! {
    device_memory_of_others: 1..=3;
    managed_memory: 1..=3;
    pinned_memory_of_others: 1..=3;
    memory_that_the_driver_does_not_know: 1..=3;
    pointers_that_are_refused: 1..=1;
}

/// A reduction and a message on foreign memory whose elements are `own`, and what is there afterwards.
fn on_raw(
    comm: &Communicator,
    raw: &mut RawSlice<'_, f32>,
    own: &[f32],
    read: &dyn Fn() -> Vec<f32>,
) -> Outcome {
    let length = own.len();
    comm.sendrecv(
        raw,
        next(comm),
        Tag(0),
        &mut vec![0f32; length],
        previous(comm),
        Tag(0),
    )?;
    assert_same(&read(), own, || "after a send".to_owned());
    let mut other = vec![0f32; length];
    comm.sendrecv(own, next(comm), Tag(0), raw, previous(comm), Tag(0))?;
    assert_same(&read(), &vector(5, previous(comm), length), || {
        "after a receive".to_owned()
    });
    comm.sendrecv(raw, previous(comm), Tag(0), &mut other, next(comm), Tag(0))?;
    assert_same(&other, own, || "sent back".to_owned());
    comm.allreduce_in_place(raw, Op::Sum)?;
    // What each rank has is what its neighbour had at first.
    let of_ranks: Vec<Vec<f32>> = (0..comm.size())
        .map(|rank| vector(5, (rank + comm.size() - 1) % comm.size(), length))
        .collect();
    let result = folded(Op::Sum, &of_ranks).unwrap_or_default();
    assert_same(&read(), &result, || "after a reduction".to_owned());
    Ok(())
}

fn device_memory_of_others(comm: &Communicator) -> Outcome {
    for length in LENGTHS {
        let stream = stream(comm)?;
        let own: Vec<f32> = vector(5, comm.rank(), length);
        // From a pool where there are pools, and not.
        let mut whole: CudaSlice<f32> = stream.clone_htod(&[&[0.0], &own[..]].concat())?;
        let from_pool = whole.device_ptr_mut(&stream).0;
        // SAFETY: freed below.
        let direct = unsafe { result::malloc_sync((length + 1) * size_of::<f32>()) }?;
        // SAFETY: as many bytes, and the memory of both lives.
        unsafe {
            result::memcpy_dtod_async(
                direct,
                from_pool,
                (length + 1) * size_of::<f32>(),
                stream.cu_stream(),
            )
        }?;
        for address in [from_pool, direct] {
            let pointer = (address + 4) as *mut f32;
            // SAFETY: so many elements, used here alone.
            let mut raw = unsafe { RawSlice::new(pointer, length, &stream) }?;
            assert_eq!((raw.kind(), raw.len()), (MemoryKind::Device, length));
            let read = || {
                let mut found = vec![0f32; length];
                // SAFETY: so many elements; pageable memory, so that the copy is over afterwards.
                unsafe { result::memcpy_dtoh_async(&mut found, address + 4, stream.cu_stream()) }
                    .expect("a copy");
                found
            };
            on_raw(comm, &mut raw, &own, &read)?;
        }
        stream.synchronize()?;
        // SAFETY: allocated above; nobody uses it any more.
        unsafe { result::free_sync(direct) }?;
    }
    Ok(())
}

fn managed_memory(comm: &Communicator) -> Outcome {
    for length in LENGTHS {
        let stream = stream(comm)?;
        let own: Vec<f32> = vector(5, comm.rank(), length);
        // SAFETY: freed below.
        let address = unsafe {
            result::malloc_managed(
                length * size_of::<f32>(),
                sys::CUmemAttach_flags::CU_MEM_ATTACH_GLOBAL,
            )
        }?;
        let pointer = address as *mut f32;
        // SAFETY: as many bytes of both; no operation has it yet.
        unsafe { result::memcpy_htod_async(address, &own, stream.cu_stream()) }?;
        {
            // SAFETY: so many elements, used here alone.
            let mut raw = unsafe { RawSlice::new(pointer, length, &stream) }?;
            assert_eq!(raw.kind(), MemoryKind::Managed);
            let read = || {
                stream.synchronize().expect("the stream works");
                // SAFETY: nobody writes it now.
                unsafe { std::slice::from_raw_parts(pointer, length) }.to_vec()
            };
            on_raw(comm, &mut raw, &own, &read)?;
        }
        // SAFETY: allocated above; nobody uses it any more.
        unsafe { result::free_sync(address) }?;
    }
    Ok(())
}

fn pinned_memory_of_others(comm: &Communicator) -> Outcome {
    for length in LENGTHS {
        let stream = stream(comm)?;
        let own: Vec<f32> = vector(5, comm.rank(), length);
        let device = stream.clone_htod(&own)?;
        // SAFETY: freed below.
        let pointer = unsafe { result::malloc_host(length * size_of::<f32>(), 0) }?.cast::<f32>();
        // SAFETY: as many elements of both. The copy may still be under way when the operation starts.
        unsafe {
            result::memcpy_dtoh_async(
                std::slice::from_raw_parts_mut(pointer, length),
                device.device_ptr(&stream).0,
                stream.cu_stream(),
            )
        }?;
        {
            // SAFETY: so many elements, used here alone.
            let mut raw = unsafe { RawSlice::new(pointer, length, &stream) }?;
            assert_eq!(raw.kind(), MemoryKind::Pinned);
            // SAFETY: nobody writes it between operations.
            let read = || unsafe { std::slice::from_raw_parts(pointer, length) }.to_vec();
            on_raw(comm, &mut raw, &own, &read)?;
        }
        // SAFETY: allocated above; nobody uses it any more.
        unsafe { result::free_host(pointer.cast()) }?;
    }
    Ok(())
}

fn memory_that_the_driver_does_not_know(comm: &Communicator) -> Outcome {
    for length in LENGTHS {
        let stream = stream(comm)?;
        let own: Vec<f32> = vector(5, comm.rank(), length);
        let mut memory = own.clone();
        let pointer = memory.as_mut_ptr();
        // SAFETY: so many elements, used through it alone.
        let mut raw = unsafe { RawSlice::new(pointer, length, &stream) }?;
        assert_eq!(raw.kind(), MemoryKind::Host);
        // SAFETY: nobody writes it between operations.
        let read = || unsafe { std::slice::from_raw_parts(pointer, length) }.to_vec();
        on_raw(comm, &mut raw, &own, &read)?;
    }
    Ok(())
}

fn pointers_that_are_refused(comm: &Communicator) -> Outcome {
    let stream = stream(comm)?;
    // SAFETY: freed below; no operation uses any of what follows.
    let address = unsafe { result::malloc_sync(4096) }?;
    let refused = |address: u64, elements, stream: &Arc<CudaStream>, text: &str| {
        // SAFETY: as above.
        let outcome = unsafe { RawSlice::new(address as *mut f64, elements, stream) };
        let error = expect_error(outcome, ErrorKind::InvalidArgument);
        expect_text(&error, &[text]);
    };
    refused(0, 1, &stream, "null");
    refused(address + 4, 1, &stream, "aligned");
    refused(address, usize::MAX / 4, &stream, "more than");
    refused(address, 513, &stream, "where the allocation has 4096");
    refused(address + 8, 512, &stream, "where the allocation has 4088");
    if CudaContext::device_count()? > 1 {
        let other = another_gpu(comm, 1)?.new_stream()?;
        refused(address, 1, &other, "with a stream of GPU");
    }
    // SAFETY: a null pointer is as good as any for no elements.
    let empty = unsafe { RawSlice::<f64>::new(std::ptr::null_mut(), 0, &stream) }?;
    assert_eq!(
        (empty.is_empty(), <f64 as warpcomm::Element>::DTYPE),
        (true, Dtype::F64)
    );
    comm.device()?.bind_to_thread()?;
    // SAFETY: allocated above.
    unsafe { result::free_sync(address) }?;
    Ok(())
}
