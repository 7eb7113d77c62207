//! Memory and events of other processes.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::ptr;

use cudarc::driver::sys::{CUdeviceptr, CUevent, CUipcEventHandle, CUipcMemHandle, CUresult};

use crate::cases;
use crate::support::*;

cases! {
    memory_is_shared;
    what_was_freed_elsewhere_is_out_of_reach [SIMGPU_QUIET = "1"];
    memory_outlives_a_killed_process;
    a_handle_of_a_killed_process_is_refused;
    handles_are_for_other_processes;
    nonsense_is_refused;
    memory_of_another_device_needs_peer_access [SIMGPU_DEVICES = "2", SIMGPU_PEER = "0"];
    events_are_shared;
    either_process_records_a_shared_event;
    an_event_that_its_process_has_destroyed_is_refused;
    an_event_of_a_killed_process_fails [SIMGPU_QUIET = "1"];
}

/// The scene of the other process, which is told what to do line by line.
const OTHER: &str = "driver::ipc::other";

struct Other {
    process: Child,
    input: ChildStdin,
    output: BufReader<std::process::ChildStdout>,
}

impl Other {
    fn start() -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .env(SCENE, OTHER)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self {
            process,
            input,
            output,
        }
    }

    fn tell(&mut self, line: &str) -> String {
        writeln!(self.input, "{line}").unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        assert!(answer.ends_with('\n'), "the other process has ended at `{line}`");
        answer.trim_end().to_owned()
    }

    fn memory(&mut self) -> CUipcMemHandle {
        from_text(&self.tell("memory"))
    }

    fn event(&mut self) -> CUipcEventHandle {
        from_text(&self.tell("event"))
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the other process does.
pub fn other(scene: &str) {
    assert_eq!(scene, OTHER);
    enter(0);
    let (stream, address, event) = (stream(NON_BLOCKING), alloc(64), event(6));
    let mut gate = None;
    write(address, &[1; 64]);
    ok!(cuCtxSynchronize());
    for line in std::io::stdin().lines() {
        let answer = match line.unwrap().as_str() {
            "memory" => {
                let mut handle = CUipcMemHandle { reserved: [0; 64] };
                ok!(cuIpcGetMemHandle(&mut handle, address));
                to_text(&handle)
            }
            "event" => {
                let mut handle = CUipcEventHandle { reserved: [0; 64] };
                ok!(cuIpcGetEventHandle(&mut handle, event));
                to_text(&handle)
            }
            "read" => format!("{:?}", &read(address, 64)[..2]),
            "free" => {
                ok!(cuMemFree_v2(address));
                "freed".into()
            }
            "record" => {
                gate = Some(Gate::close(stream));
                ok!(cuMemsetD8Async(address, 9, 64, stream));
                ok!(cuEventRecord(event, stream));
                "recorded".into()
            }
            "wait" => {
                ok!(cuStreamWaitEvent(stream, event, 0));
                ok!(cuMemsetD8Async(address, 3, 64, stream));
                let is_over = code!(cuStreamQuery(stream)) == CUresult::CUDA_SUCCESS;
                format!("{is_over}")
            }
            "synchronize" => {
                ok!(cuStreamSynchronize(stream));
                "synchronized".into()
            }
            "destroy" => {
                ok!(cuEventDestroy_v2(event));
                "destroyed".into()
            }
            "open" => {
                gate.take().unwrap().open();
                "opened".into()
            }
            line => panic!("{line}"),
        };
        println!("{answer}");
    }
}

fn open(handle: CUipcMemHandle) -> CUdeviceptr {
    let mut address = 0;
    ok!(cuIpcOpenMemHandle_v2(&mut address, handle, 1));
    address
}

fn memory_is_shared() {
    enter(0);
    let mut other = Other::start();
    let handle = other.memory();
    let address = open(handle);
    assert_eq!(read(address, 64), [1; 64]);
    put(function(load(PTX), "put"), ptr::null_mut(), address, 0x07070707);
    ok!(cuCtxSynchronize());
    assert_eq!(other.tell("read"), "[7, 7]");
    fails!(CUDA_ERROR_INVALID_VALUE: cuMemsetD8_v2(address, 0, 65));
    fails!(CUDA_ERROR_INVALID_VALUE: cuMemFree_v2(address));
    // Opened once more it is at the same place, until it was closed as often.
    assert_eq!(open(handle), address);
    assert_eq!(counter("ipc_handles"), 2);
    ok!(cuIpcCloseMemHandle(address));
    assert_eq!(read(address, 1), [7]);
    ok!(cuIpcCloseMemHandle(address));
    fails!(CUDA_ERROR_INVALID_VALUE: cuIpcCloseMemHandle(address));
    fails!(CUDA_ERROR_INVALID_VALUE: cuMemsetD8_v2(address, 0, 1));
    assert_eq!(counter("ipc_handles"), 0);
    assert_eq!(counter("device_allocations"), 0);
}

fn what_was_freed_elsewhere_is_out_of_reach() {
    enter(0);
    let mut other = Other::start();
    let handle = other.memory();
    let address = open(handle);
    other.tell("free");
    fails!(CUDA_ERROR_INVALID_HANDLE: cuIpcOpenMemHandle_v2(&mut 0, handle, 1));
    let mut host = [0_u8; 64];
    fails!(CUDA_ERROR_ILLEGAL_ADDRESS: cuMemcpyDtoH_v2(host.as_mut_ptr().cast(), address, 64));
}

fn memory_outlives_a_killed_process() {
    let files = || std::fs::read_dir("/dev/shm").map_or(0, Iterator::count);
    let before = files();
    enter(0);
    let mut other = Other::start();
    let address = open(other.memory());
    other.kill();
    assert_eq!(read(address, 64), [1; 64]);
    ok!(cuIpcCloseMemHandle(address));
    // Nothing has a name that could stay behind.
    assert!(files() <= before);
}

fn a_handle_of_a_killed_process_is_refused() {
    enter(0);
    let mut other = Other::start();
    let (memory, event) = (other.memory(), other.event());
    other.kill();
    fails!(CUDA_ERROR_INVALID_HANDLE: cuIpcOpenMemHandle_v2(&mut 0, memory, 1));
    fails!(CUDA_ERROR_INVALID_HANDLE: cuIpcOpenEventHandle(&mut ptr::null_mut(), event));
}

fn handles_are_for_other_processes() {
    enter(0);
    let mut memory = CUipcMemHandle { reserved: [0; 64] };
    ok!(cuIpcGetMemHandle(&mut memory, alloc(16)));
    fails!(CUDA_ERROR_INVALID_CONTEXT: cuIpcOpenMemHandle_v2(&mut 0, memory, 1));
    let mut shared = CUipcEventHandle { reserved: [0; 64] };
    ok!(cuIpcGetEventHandle(&mut shared, event(6)));
    fails!(CUDA_ERROR_INVALID_CONTEXT: cuIpcOpenEventHandle(&mut ptr::null_mut(), shared));
    fails!(CUDA_ERROR_INVALID_HANDLE: cuIpcGetEventHandle(&mut shared, event(2)));
    fails!(CUDA_ERROR_INVALID_VALUE: cuIpcGetMemHandle(&mut memory, pinned(16) as u64));
}

fn nonsense_is_refused() {
    enter(0);
    let nonsense = CUipcMemHandle { reserved: [5; 64] };
    fails!(CUDA_ERROR_INVALID_VALUE: cuIpcOpenMemHandle_v2(&mut 0, nonsense, 1));
    let mut other = Other::start();
    let handle = other.memory();
    fails!(CUDA_ERROR_INVALID_VALUE: cuIpcOpenMemHandle_v2(&mut 0, handle, 0));
    // A handle of memory is none of an event.
    let event = CUipcEventHandle {
        reserved: handle.reserved,
    };
    fails!(CUDA_ERROR_INVALID_VALUE: cuIpcOpenEventHandle(&mut ptr::null_mut(), event));
}

fn memory_of_another_device_needs_peer_access() {
    enter(1);
    let mut other = Other::start();
    let handle = other.memory();
    fails!(CUDA_ERROR_PEER_ACCESS_UNSUPPORTED: cuIpcOpenMemHandle_v2(&mut 0, handle, 1));
    enter(0);
    open(handle);
}

fn events_are_shared() {
    enter(0);
    let mut other = Other::start();
    let (address, mut event): (_, CUevent) = (open(other.memory()), ptr::null_mut());
    ok!(cuIpcOpenEventHandle(&mut event, other.event()));
    ok!(cuEventQuery(event));
    other.tell("record");
    fails!(CUDA_ERROR_NOT_READY: cuEventQuery(event));
    let (stream, host) = (stream(NON_BLOCKING), pinned(1));
    ok!(cuStreamWaitEvent(stream, event, 0));
    ok!(cuMemcpyDtoHAsync_v2(host.cast(), address, 1, stream));
    fails!(CUDA_ERROR_NOT_READY: cuStreamQuery(stream));
    other.tell("open");
    ok!(cuStreamSynchronize(stream));
    ok!(cuEventSynchronize(event));
    ok!(cuEventQuery(event));
    // SAFETY: the copy has ended.
    assert_eq!(unsafe { ptr::read_volatile(host) }, 9);
}

fn either_process_records_a_shared_event() {
    enter(0);
    let mut other = Other::start();
    let (address, mut event): (_, CUevent) = (open(other.memory()), ptr::null_mut());
    ok!(cuIpcOpenEventHandle(&mut event, other.event()));
    let (stream, host) = (stream(NON_BLOCKING), pinned(64));
    let gate = Gate::close(stream);
    ok!(cuMemcpyDtoHAsync_v2(host.cast(), address, 64, stream));
    ok!(cuEventRecord(event, stream));
    // The process that has made the event waits for what this one does.
    assert_eq!(other.tell("wait"), "false");
    gate.open();
    ok!(cuStreamSynchronize(stream));
    other.tell("synchronize");
    // SAFETY: the copy has ended.
    assert_eq!(unsafe { ptr::read_volatile(host) }, 1);
    assert_eq!(read(address, 1), [3]);
    // An event that was opened is not handed on.
    fails!(CUDA_ERROR_INVALID_HANDLE: cuIpcGetEventHandle(&mut CUipcEventHandle { reserved: [0; 64] }, event));
}

fn an_event_that_its_process_has_destroyed_is_refused() {
    enter(0);
    let mut other = Other::start();
    let (mut event, handle) = (ptr::null_mut(), other.event());
    ok!(cuIpcOpenEventHandle(&mut event, handle));
    other.tell("destroy");
    let stream = stream(NON_BLOCKING);
    fails!(CUDA_ERROR_INVALID_HANDLE: cuEventRecord(event, stream));
    fails!(CUDA_ERROR_INVALID_HANDLE: cuEventQuery(event));
    fails!(CUDA_ERROR_INVALID_HANDLE: cuStreamWaitEvent(stream, event, 0));
    fails!(CUDA_ERROR_INVALID_HANDLE: cuIpcOpenEventHandle(&mut ptr::null_mut(), handle));
    ok!(cuEventDestroy_v2(event));
    assert_eq!(counter("events"), 0);
}

fn an_event_of_a_killed_process_fails() {
    enter(0);
    let mut other = Other::start();
    let mut event = ptr::null_mut();
    ok!(cuIpcOpenEventHandle(&mut event, other.event()));
    other.tell("record");
    other.kill();
    fails!(CUDA_ERROR_LAUNCH_FAILED: cuEventSynchronize(event));
}
