//! A program of cudarc's safe interface.

use cudarc::driver::{CudaContext, LaunchConfig, PushKernelArg};
use cudarc::nvrtc::Ptx;

use crate::cases;
use crate::support::PTX;

cases! {
    buffers_kernels_and_streams;
    the_same_under_delays [SIMGPU_DELAY = "500"];
    two_devices [SIMGPU_DEVICES = "2", SIMGPU_DELAY = "1000"];
}

fn the_same_under_delays() {
    buffers_kernels_and_streams();
}

fn buffers_kernels_and_streams() {
    let context = CudaContext::new(0).unwrap();
    assert_eq!(context.name().unwrap(), "Simulated GPU 0");
    assert_eq!(context.compute_capability().unwrap(), (8, 0));
    assert!(context.has_async_alloc());
    let put = context
        .load_module(Ptx::from_src(PTX))
        .unwrap()
        .load_function("put")
        .unwrap();
    let first = context.new_stream().unwrap();
    let second = context.new_stream().unwrap();
    for round in 0..30_u32 {
        let source: Vec<u32> = (round..round + 1000).collect();
        let mut buffer = first.clone_htod(&source).unwrap();
        let copy = second.clone_dtod(&buffer).unwrap();
        let launch = LaunchConfig {
            grid_dim: (1, 1, 1),
            block_dim: (1, 1, 1),
            shared_mem_bytes: 0,
        };
        // SAFETY: the kernel takes an address and a word, and stores the word there.
        unsafe {
            second
                .launch_builder(&put)
                .arg(&mut buffer.slice_mut(..1))
                .arg(&77_u32)
                .launch(launch)
        }
        .unwrap();
        drop(source);
        let back = first.clone_dtoh(&buffer).unwrap();
        assert_eq!((back[0], back[1], back[999]), (77, round + 1, round + 999));
        assert_eq!(first.clone_dtoh(&copy).unwrap()[0], round);
        let zeros = first.alloc_zeros::<u64>(100).unwrap();
        // SAFETY: the elements are written before they are read.
        let mut host = unsafe { context.alloc_pinned::<u64>(100) }.unwrap();
        host.as_mut_slice().unwrap().fill(5);
        second.memcpy_dtoh(&zeros, &mut host).unwrap();
        assert_eq!(host.as_slice().unwrap(), [0; 100]);
    }
    context.synchronize().unwrap();
    let (free, total) = context.mem_get_info().unwrap();
    // The module's variables are what is left.
    assert_eq!(total - free, 8);
    drop((first, second, put));
    drop(context);
    assert_eq!(crate::support::counter("device_allocations"), 0);
    assert_eq!(crate::support::counter("streams"), 0);
    assert_eq!(crate::support::counter("events"), 0);
    assert_eq!(crate::support::counter("contexts"), 0);
}

fn two_devices() {
    let contexts = [0, 1].map(|device| CudaContext::new(device).unwrap());
    // Not the default streams: cudarc copies between devices in that of the other device.
    let streams = contexts.each_ref().map(|context| context.new_stream().unwrap());
    let there = streams[1].clone_htod(&[1_u8, 2, 3]).unwrap();
    assert_ne!(
        contexts[0].uuid().unwrap().bytes,
        contexts[1].uuid().unwrap().bytes
    );
    let here = streams[0].clone_dtod(&there).unwrap();
    assert_eq!(streams[0].clone_dtoh(&here).unwrap(), [1, 2, 3]);
}
