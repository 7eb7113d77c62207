//! What the driver says of one GPU.

use serde::Serialize;
use warpcomm::cudarc::driver::sys::{self, CUdevice_attribute as Attribute};
use warpcomm::cudarc::driver::{CudaContext, result};

use crate::Failure;
use crate::found::Found;
use crate::sharing::{self, Sharing};
use crate::timing::{self, Timing};

#[derive(Serialize)]
pub struct Gpu {
    pub name: String,
    pub uuid: String,
    pub compute_capability: String,
    pub memory_bytes: usize,
    pub multiprocessors: i32,
    /// Whether memory is allocated in the order of streams, from a pool.
    pub has_memory_pools: bool,
    pub has_unified_addressing: bool,
    /// What other processes can do with memory and events of this one.
    pub sharing: Sharing,
    pub timing: Found<Timing>,
}

impl Gpu {
    pub fn is_simulated(&self) -> bool {
        is_simulated(&self.name)
    }
}

pub fn describe(ordinal: usize) -> Result<Gpu, Failure> {
    let context = CudaContext::new(ordinal)?;
    let (major, minor) = context.compute_capability()?;
    let has = |attribute| context.attribute(attribute).map(|value| value != 0);
    let name = context.name()?;
    let has_memory_pools = has(Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED)?;
    Ok(Gpu {
        uuid: sharing::hexadecimal(&context.uuid()?.bytes),
        compute_capability: format!("{major}.{minor}"),
        memory_bytes: context.total_mem()?,
        multiprocessors: context.attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        has_memory_pools,
        has_unified_addressing: has(Attribute::CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING)?,
        sharing: sharing::of(&context, has_memory_pools)?,
        timing: Found::new(timing::of(&context, is_simulated(&name))),
        name,
    })
}

fn is_simulated(name: &str) -> bool {
    name.to_lowercase().contains("simulated")
}

pub fn peers(of: usize, count: usize) -> Result<Vec<usize>, Failure> {
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
