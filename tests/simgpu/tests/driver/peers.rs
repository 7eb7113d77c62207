//! Devices and each other's memory.

use std::ptr;

use crate::cases;
use crate::support::*;

cases! {
    memory_of_another_device_is_out_of_reach [SIMGPU_DEVICES = "2", SIMGPU_QUIET = "1"];
    peer_access_brings_it_into_reach [SIMGPU_DEVICES = "2", SIMGPU_QUIET = "1"];
    there_may_be_no_peer_access [SIMGPU_DEVICES = "2", SIMGPU_PEER = "0"];
    copies_need_no_peer_access [SIMGPU_DEVICES = "2", SIMGPU_PEER = "0"];
}

fn memory_of_another_device_is_out_of_reach() {
    enter(1);
    let address = alloc(4);
    enter(0);
    put(function(load(PTX), "put"), ptr::null_mut(), address, 1);
    fails!(CUDA_ERROR_ILLEGAL_ADDRESS: cuCtxSynchronize());
    // The other context has not failed.
    enter(1);
    ok!(cuCtxSynchronize());
    assert_eq!(read(address, 4), [POISON; 4]);
}

fn peer_access_brings_it_into_reach() {
    let other = enter(1);
    let address = alloc(4);
    let own = enter(0);
    let mut can = 0;
    ok!(cuDeviceCanAccessPeer(&mut can, 0, 1));
    assert_eq!(can, 1);
    ok!(cuDeviceCanAccessPeer(&mut can, 0, 0));
    assert_eq!(can, 0);
    fails!(CUDA_ERROR_INVALID_CONTEXT: cuCtxEnablePeerAccess(own, 0));
    fails!(CUDA_ERROR_PEER_ACCESS_NOT_ENABLED: cuCtxDisablePeerAccess(other));
    ok!(cuCtxEnablePeerAccess(other, 0));
    fails!(CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED: cuCtxEnablePeerAccess(other, 0));
    let put_word = function(load(PTX), "put");
    put(put_word, ptr::null_mut(), address, 0x01010101);
    ok!(cuCtxSynchronize());
    assert_eq!(read(address, 4), [1; 4]);
    ok!(cuCtxDisablePeerAccess(other));
    put(put_word, ptr::null_mut(), address, 0);
    fails!(CUDA_ERROR_ILLEGAL_ADDRESS: cuCtxSynchronize());
}

fn there_may_be_no_peer_access() {
    let other = enter(1);
    enter(0);
    let mut can = 1;
    ok!(cuDeviceCanAccessPeer(&mut can, 0, 1));
    assert_eq!(can, 0);
    fails!(CUDA_ERROR_PEER_ACCESS_UNSUPPORTED: cuCtxEnablePeerAccess(other, 0));
}

fn copies_need_no_peer_access() {
    let other = enter(1);
    let there = alloc(4);
    let own = enter(0);
    let here = alloc(4);
    write(there, &[7; 4]);
    ok!(cuMemcpyPeer(here, own, there, other, 4));
    assert_eq!(read(here, 4), [7; 4]);
    let stream = stream(NON_BLOCKING);
    ok!(cuMemsetD8Async(here, 8, 4, stream));
    ok!(cuMemcpyPeerAsync(there, other, here, own, 4, stream));
    ok!(cuStreamSynchronize(stream));
    assert_eq!(read(there, 4), [8; 4]);
}
