//! The GPUs that this process sees, as the driver describes them. None of them is used for that.

use std::path::Path;

use warpcomm::cudarc::driver::sys::{self, CUdevice_attribute as Attribute};
use warpcomm::cudarc::driver::{DriverError, result};

use crate::nvidia;
use crate::overview::Gpu;
use crate::simulated::is_simulated;

/// Those of this host; none without a driver.
pub fn visible(host: &str) -> Result<Vec<Gpu>, DriverError> {
    // SAFETY: looks for the driver's shared library; any other call of the driver panics where there is none.
    let has_driver = unsafe { sys::is_culib_present() };
    if !has_driver || result::init().is_err() {
        return Ok(Vec::new());
    }
    (0..result::device::get_count()?)
        .map(|number| describe(number, host))
        .collect()
}

fn describe(number: i32, host: &str) -> Result<Gpu, DriverError> {
    let device = result::device::get(number)?;
    let name = result::device::get_name(device)?;
    let is_simulated = is_simulated(&name);
    // SAFETY: the device is one that the driver has named.
    let memory = unsafe { result::device::total_mem(device) }?;
    let place = [
        Attribute::CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID,
        Attribute::CU_DEVICE_ATTRIBUTE_PCI_BUS_ID,
        Attribute::CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID,
    ];
    // SAFETY: as above.
    let place = place.map(|attribute| unsafe { result::device::get_attribute(device, attribute) });
    let numa_node = match place {
        // Its place is one of the real machine's.
        [Ok(domain), Ok(bus), Ok(slot)] if !is_simulated => {
            nvidia::numa_node(Path::new("/"), &format!("{domain:04x}:{bus:02x}:{slot:02x}.0"))
        }
        _ => None,
    };
    Ok(Gpu {
        host: host.to_owned(),
        number: usize::try_from(number).unwrap_or(0),
        uuid: uuid(&result::device::get_uuid(device)?),
        memory_bytes: Some(memory as u64),
        driver: driver(&name)?,
        numa_node,
        name,
    })
}

/// As `nvidia-smi` writes it.
pub fn uuid(uuid: &sys::CUuuid) -> String {
    let mut text = "GPU".to_owned();
    for (at, byte) in uuid.bytes.iter().enumerate() {
        if [0, 4, 6, 8, 10].contains(&at) {
            text.push('-');
        }
        text += &format!("{:02x}", *byte as u8);
    }
    text
}

/// The version of the driver of a GPU of this name.
pub fn driver(name: &str) -> Result<String, DriverError> {
    let mut version = 0;
    // SAFETY: writes one number.
    unsafe { sys::cuDriverGetVersion(&mut version) }.result()?;
    let cuda = format!("CUDA {}.{}", version / 1000, version % 1000 / 10);
    let module = (!is_simulated(name))
        .then(|| nvidia::driver_version(Path::new("/")))
        .flatten();
    Ok(match module {
        Some(module) => format!("{module} ({cuda})"),
        None => cuda,
    })
}
