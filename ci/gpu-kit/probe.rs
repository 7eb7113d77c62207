//! What the CUDA driver says of this machine's GPUs, and whether it does what other libraries only hope for,
//! as JSON on the standard output. Fails where there is no GPU.

use std::error::Error;
use std::process::{Command, ExitCode};

use serde::Serialize;
use warpcomm::cudarc::driver::sys::{self, CUdevice_attribute as Attribute};
use warpcomm::cudarc::driver::{CudaContext, DriverError, result};

/// The argument before a GPU and a handle, by which the program starts itself as the other process.
const OPEN: &str = "--open";

/// What is written into memory by the process that has it, and read by the other.
const PATTERN: [u8; 64] = [0xa5; 64];

#[derive(Serialize)]
struct Report {
    driver_version: i32,
    kernel_module: Option<String>,
    gpus: Vec<Gpu>,
    /// For each GPU the others whose memory it can access.
    peers: Vec<Vec<usize>>,
}

#[derive(Serialize)]
struct Gpu {
    name: String,
    uuid: String,
    compute_capability: String,
    memory_bytes: usize,
    multiprocessors: i32,
    /// Whether memory is allocated in the order of streams, from a pool.
    has_memory_pools: bool,
    has_unified_addressing: bool,
    /// Whether another process reads memory through a handle; the reason if not.
    ipc: String,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match &arguments[..] {
        [word, ordinal, handle] if word == OPEN => open(ordinal, handle),
        _ => probe().and_then(|report| {
            println!("{}", serde_json::to_string_pretty(&report)?);
            Ok(())
        }),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gpu_probe: {error}");
            ExitCode::FAILURE
        }
    }
}

fn probe() -> Result<Report, Box<dyn Error>> {
    start()?;
    let count = usize::try_from(result::device::get_count()?)?;
    if count == 0 {
        return Err("the CUDA driver finds no GPU".into());
    }
    let mut driver_version = 0;
    // SAFETY: writes one number.
    unsafe { sys::cuDriverGetVersion(&mut driver_version) }.result()?;
    let module = std::fs::read_to_string("/proc/driver/nvidia/version").ok();
    Ok(Report {
        driver_version,
        kernel_module: module.and_then(|text| text.lines().next().map(str::to_owned)),
        gpus: (0..count).map(gpu).collect::<Result<_, _>>()?,
        peers: (0..count).map(|of| peers(of, count)).collect::<Result<_, _>>()?,
    })
}

/// Initializes the driver, of which no other function may be called where its library is missing.
fn start() -> Result<(), Box<dyn Error>> {
    // SAFETY: looks for the library and its functions.
    if !unsafe { sys::is_culib_present() } {
        return Err("there is no CUDA driver (libcuda.so.1)".into());
    }
    Ok(result::init()?)
}

fn gpu(ordinal: usize) -> Result<Gpu, Box<dyn Error>> {
    let context = CudaContext::new(ordinal)?;
    let (major, minor) = context.compute_capability()?;
    let has = |attribute| context.attribute(attribute).map(|value| value != 0);
    Ok(Gpu {
        name: context.name()?,
        uuid: hexadecimal(&context.uuid()?.bytes.map(|byte| byte as u8)),
        compute_capability: format!("{major}.{minor}"),
        memory_bytes: context.total_mem()?,
        multiprocessors: context.attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        has_memory_pools: has(Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED)?,
        has_unified_addressing: has(Attribute::CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING)?,
        ipc: share(ordinal).map_or_else(|error| error.to_string(), |()| "works".to_owned()),
    })
}

fn peers(of: usize, count: usize) -> Result<Vec<usize>, Box<dyn Error>> {
    let device = |ordinal: usize| result::device::get(ordinal as i32);
    let mut found = Vec::new();
    for other in (0..count).filter(|&other| other != of) {
        let mut can_access = 0;
        // SAFETY: writes one number.
        unsafe { sys::cuDeviceCanAccessPeer(&mut can_access, device(of)?, device(other)?) }.result()?;
        if can_access != 0 {
            found.push(other);
        }
    }
    Ok(found)
}

/// Has another process read this one's memory.
fn share(ordinal: usize) -> Result<(), Box<dyn Error>> {
    // SAFETY: of no other condition; freed below.
    let memory = unsafe { result::malloc_sync(PATTERN.len()) }?;
    let read = || -> Result<(), Box<dyn Error>> {
        // SAFETY: as many bytes as were allocated.
        unsafe { result::memcpy_htod_sync(memory, &PATTERN) }?;
        let mut handle = sys::CUipcMemHandle { reserved: [0; 64] };
        // SAFETY: writes the handle of the memory that was allocated.
        unsafe { sys::cuIpcGetMemHandle(&mut handle, memory) }.result()?;
        let handle = hexadecimal(&handle.reserved.map(|byte| byte as u8));
        let other = Command::new(std::env::current_exe()?)
            .args([OPEN, &ordinal.to_string(), &handle])
            .output()?;
        match other.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&other.stderr).trim().to_owned().into()),
        }
    };
    let outcome = read();
    // SAFETY: allocated above, and no longer used: the other process has ended.
    unsafe { result::free_sync(memory) }?;
    outcome
}

/// Reads another process's memory.
fn open(ordinal: &str, handle: &str) -> Result<(), Box<dyn Error>> {
    start()?;
    let _context = CudaContext::new(ordinal.parse()?)?;
    let mut bytes = sys::CUipcMemHandle { reserved: [0; 64] };
    for (at, byte) in bytes.reserved.iter_mut().enumerate() {
        let digits = handle.get(2 * at..2 * at + 2).ok_or("half a handle")?;
        *byte = u8::from_str_radix(digits, 16)? as _;
    }
    let (mut memory, lazily) = (0, sys::CUipcMem_flags::CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS);
    // SAFETY: writes one address.
    unsafe { sys::cuIpcOpenMemHandle_v2(&mut memory, bytes, lazily as u32) }.result()?;
    let mut read = [0; PATTERN.len()];
    // SAFETY: as many bytes as the other process has allocated.
    let copied: Result<(), DriverError> = unsafe { result::memcpy_dtoh_sync(&mut read, memory) };
    // SAFETY: opened above, and no longer used.
    unsafe { sys::cuIpcCloseMemHandle(memory) }.result()?;
    copied?;
    match read == PATTERN {
        true => Ok(()),
        false => Err("the other process reads something else".into()),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
