//! The few calls of the CUDA driver that a replay needs, from whatever `libcuda.so.1` there is.

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::ptr;

use libloading::Library;

use crate::replay::{Argument, Job};

const CAPABILITY_MAJOR: c_int = 75;
const CAPABILITY_MINOR: c_int = 76;

/// A device with its context.
pub struct Device {
    library: Library,
    handle: c_int,
    /// What the driver calls it.
    pub name: String,
    /// The compute capability, as in `sm_70`.
    pub capability: u32,
    /// The newest PTX that the driver reads.
    pub ptx: (u32, u32),
    /// The CUDA version of the driver.
    pub version: String,
}

/// Where a job was refused.
pub enum Refused {
    /// When its module was loaded.
    Module(String),
    /// When its kernel was launched or ran.
    Launch(String),
}

/// Calls a function of the driver; an `Err` with the name of the error when it does not return 0.
macro_rules! call {
    ($device:expr, $name:ident($($value:expr => $type:ty),*)) => {{
        // SAFETY: the function has this signature in every CUDA driver, and the values are what it asks for.
        let result = unsafe {
            $device
                .library
                .get::<unsafe extern "C" fn($($type),*) -> c_int>(stringify!($name).as_bytes())
                .map(|function| function($($value),*))
        };
        match result {
            Ok(0) => Ok(()),
            Ok(code) => Err(format!("{} returned {code} ({})", stringify!($name), $device.error_name(code))),
            Err(error) => Err(error.to_string()),
        }
    }};
}

impl Device {
    /// The first device of the driver.
    pub fn open() -> Result<Self, String> {
        // SAFETY: the driver's initializers have no preconditions.
        let library = unsafe { Library::new("libcuda.so.1") }.map_err(|error| error.to_string())?;
        let mut device = Self {
            library,
            handle: 0,
            name: String::new(),
            capability: 0,
            ptx: (0, 0),
            version: String::new(),
        };
        call!(device, cuInit(0 => c_uint))?;
        let mut version: c_int = 0;
        call!(device, cuDriverGetVersion(&mut version => *mut c_int))?;
        let (major, minor) = (version as u32 / 1000, version as u32 % 1000 / 10);
        device.version = format!("{major}.{minor}");
        device.ptx = ptx_of(major, minor);
        let mut handle = 0;
        call!(device, cuDeviceGet(&mut handle => *mut c_int, 0 => c_int))?;
        device.handle = handle;
        let mut name = [0; 256];
        call!(device, cuDeviceGetName(name.as_mut_ptr() => *mut c_char, 255 => c_int, handle => c_int))?;
        // SAFETY: the last byte was left zero.
        device.name = unsafe { CStr::from_ptr(name.as_ptr()) }
            .to_string_lossy()
            .into_owned();
        device.capability = 10 * device.attribute(CAPABILITY_MAJOR)? + device.attribute(CAPABILITY_MINOR)?;
        device.enter()?;
        Ok(device)
    }

    /// Whether this is no GPU.
    pub fn simulated(&self) -> bool {
        self.name.to_lowercase().contains("simulated")
    }

    /// The device in one line.
    pub fn describe(&self) -> String {
        let kind = if self.simulated() { "simulated GPU" } else { "GPU" };
        format!(
            "{kind} ({}, sm_{}, driver for CUDA {})",
            self.name, self.capability, self.version
        )
    }

    /// Runs a job; what its buffers hold afterwards.
    pub fn run(&self, job: &Job) -> Result<Vec<Vec<u8>>, Refused> {
        let image = CString::new(job.ptx.as_str()).expect("PTX has no zero byte");
        let mut module: *mut c_void = ptr::null_mut();
        call!(self, cuModuleLoadData(&mut module => *mut *mut c_void, image.as_ptr().cast() => *const c_void))
            .map_err(Refused::Module)?;
        let ended = self.launch(job, module).map_err(Refused::Launch);
        let unloaded = call!(self, cuModuleUnload(module => *mut c_void));
        if ended.is_err() || unloaded.is_err() {
            // A fault stays with its context: the next job gets a new one.
            self.leave()
                .and_then(|()| self.enter())
                .map_err(Refused::Launch)?;
        }
        ended
    }

    fn launch(&self, job: &Job, module: *mut c_void) -> Result<Vec<Vec<u8>>, String> {
        let entry = CString::new(job.entry.as_str()).expect("a name has no zero byte");
        let mut function: *mut c_void = ptr::null_mut();
        call!(self, cuModuleGetFunction(&mut function => *mut *mut c_void, module => *mut c_void,
            entry.as_ptr() => *const c_char))?;
        // Values are passed by pointers to them, which must stay where they are.
        let mut values: Vec<Vec<u8>> = Vec::new();
        let mut buffers = Vec::new();
        for argument in &job.arguments {
            match argument {
                Argument::Value(bytes) => values.push(bytes.clone()),
                Argument::Buffer { initial, .. } => {
                    let mut address: u64 = 0;
                    call!(self, cuMemAlloc_v2(&mut address => *mut u64, initial.len() => usize))?;
                    call!(self, cuMemcpyHtoD_v2(address => u64, initial.as_ptr().cast() => *const c_void,
                        initial.len() => usize))?;
                    buffers.push((address, initial.len()));
                    values.push(address.to_le_bytes().to_vec());
                }
            }
        }
        let mut pointers: Vec<*mut c_void> =
            values.iter_mut().map(|value| value.as_mut_ptr().cast()).collect();
        let ([gx, gy, gz], [bx, by, bz]) = (job.grid, job.block);
        call!(self, cuLaunchKernel(function => *mut c_void, gx => c_uint, gy => c_uint, gz => c_uint,
            bx => c_uint, by => c_uint, bz => c_uint, job.shared => c_uint, ptr::null_mut() => *mut c_void,
            pointers.as_mut_ptr() => *mut *mut c_void, ptr::null_mut() => *mut *mut c_void))?;
        call!(self, cuCtxSynchronize())?;
        let mut after = Vec::new();
        for (address, bytes) in buffers {
            let mut contents = vec![0u8; bytes];
            call!(self, cuMemcpyDtoH_v2(contents.as_mut_ptr().cast() => *mut c_void, address => u64, bytes => usize))?;
            call!(self, cuMemFree_v2(address => u64))?;
            after.push(contents);
        }
        Ok(after)
    }

    fn enter(&self) -> Result<(), String> {
        let mut context: *mut c_void = ptr::null_mut();
        call!(self, cuDevicePrimaryCtxRetain(&mut context => *mut *mut c_void, self.handle => c_int))?;
        call!(self, cuCtxSetCurrent(context => *mut c_void))
    }

    fn leave(&self) -> Result<(), String> {
        call!(self, cuDevicePrimaryCtxRelease_v2(self.handle => c_int))
    }

    fn attribute(&self, attribute: c_int) -> Result<u32, String> {
        let mut value: c_int = 0;
        call!(self, cuDeviceGetAttribute(&mut value => *mut c_int, attribute => c_int, self.handle => c_int))?;
        Ok(value as u32)
    }

    fn error_name(&self, code: c_int) -> String {
        let mut name: *const c_char = ptr::null();
        // SAFETY: the function has this signature in every CUDA driver.
        let called = unsafe {
            let function = self
                .library
                .get::<unsafe extern "C" fn(c_int, *mut *const c_char) -> c_int>(b"cuGetErrorName");
            function.map(|function| function(code, &mut name))
        };
        if called.is_err() || name.is_null() {
            return "an unknown error".to_owned();
        }
        // SAFETY: the driver gave a string that lives as long as itself.
        unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
    }
}

/// The newest PTX version that a driver for this CUDA version reads (PTX ISA, "Release Notes").
fn ptx_of(major: u32, minor: u32) -> (u32, u32) {
    match (major, minor) {
        (..=10, _) => (6, 0),
        (11, minor) => (7, minor),
        (12, 0..=5) => (8, minor),
        (12, minor) => (8, minor - 1),
        (major, minor) => (major - 4, minor),
    }
}
