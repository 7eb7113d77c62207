//! `cuModule…`, `cuLibrary…` and `cuFunc…`: modules and their functions.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::devices::SHARED_OPT_IN;
use super::launches::resident_blocks;
use super::{call, give, offer, string, take};
use crate::driver::context;
use crate::driver::faults::{self, Class};
use crate::driver::launch::THREADS;
use crate::driver::machine::machine;
use crate::driver::module::{self, Module};
use crate::driver::status::{Result, Status};

/// Where a loader's messages go.
#[derive(Default)]
struct Log {
    place: Option<(*mut c_char, usize)>,
}

impl Log {
    fn write(&self, text: &str) {
        if let Some((place, room)) = self.place
            && !place.is_null()
            && room != 0
        {
            let length = text.len().min(room - 1);
            // SAFETY: the program said that there is that much room.
            unsafe {
                std::ptr::copy_nonoverlapping(text.as_ptr().cast(), place, length);
                place.add(length).write(0);
            }
        }
    }
}

/// The first bytes of a cubin, which is an ELF file, and of a fatbin.
const ELF: [u8; 4] = *b"\x7fELF";
const FATBIN: [u8; 4] = [0x50, 0xed, 0x55, 0xba];

/// # Safety
/// The image is a string, or begins as a cubin or fatbin does.
unsafe fn load_data(image: *const c_void, log: &Log) -> Result<Arc<Module>> {
    if image.is_null() {
        return Err(Status::ERROR_INVALID_VALUE);
    }
    // SAFETY: a string has all of its bytes, up to the zero, and the others are longer.
    let text = unsafe { CStr::from_ptr(image.cast()) };
    if [ELF, FATBIN]
        .iter()
        .any(|magic| text.to_bytes().starts_with(magic))
    {
        eprintln!("simgpu: a module of machine code cannot be loaded; PTX can");
        return Err(Status::ERROR_NO_BINARY_FOR_GPU);
    }
    load(text.to_str().map_err(|_| Status::ERROR_INVALID_IMAGE)?, log)
}

fn load(text: &str, log: &Log) -> Result<Arc<Module>> {
    let context = context::current()?;
    faults::check(Class::Module)?;
    module::load(&context, text).map_err(|(status, message)| {
        eprintln!("simgpu: a module cannot be loaded: {message}");
        log.write(&message);
        status
    })
}

/// # Safety
/// The pointer is null or one to a string.
unsafe fn load_file(path: *const c_char) -> Result<Arc<Module>> {
    context::current()?;
    // SAFETY: as the caller says.
    let path = unsafe { string(path) }?;
    let mut image = std::fs::read(path).map_err(|_| Status::ERROR_FILE_NOT_FOUND)?;
    image.push(0);
    // SAFETY: the bytes end with a zero.
    unsafe { load_data(image.as_ptr().cast(), &Log::default()) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuModuleLoad(module: *mut usize, path: *const c_char) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { give(module, load_file(path)?.handle) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuModuleLoadData(module: *mut usize, image: *const c_void) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { give(module, load_data(image, &Log::default())?.handle) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuModuleLoadFatBinary(module: *mut usize, image: *const c_void) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { give(module, load_data(image, &Log::default())?.handle) })
}

/// Of all options only the buffer for errors has a meaning here.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuModuleLoadDataEx(
    module: *mut usize,
    image: *const c_void,
    count: c_uint,
    options: *const c_uint,
    values: *const *mut c_void,
) -> c_int {
    const ERROR_LOG: c_uint = 5;
    const ERROR_LOG_BYTES: c_uint = 6;
    call(|| {
        let (mut place, mut room) = (std::ptr::null_mut(), 0);
        for index in 0..count as usize {
            // SAFETY: as the caller says, both lists have as many entries.
            let (option, value) = unsafe { (take(options.add(index))?, take(values.add(index))?) };
            match option {
                ERROR_LOG => place = value.cast(),
                ERROR_LOG_BYTES => room = value as u32 as usize,
                _ => {}
            }
        }
        let log = Log {
            place: Some((place, room)),
        };
        // SAFETY: as the caller says.
        unsafe { give(module, load_data(image, &log)?.handle) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuModuleUnload(module: usize) -> c_int {
    call(|| {
        context::current_or_failed()?;
        module::unload(module)
    })
}

/// # Safety
/// The pointers are null or valid, the name one to a string.
unsafe fn get_function(function: *mut usize, module: usize, name: *const c_char) -> Result {
    context::current()?;
    faults::check(Class::Function)?;
    // SAFETY: as the caller says.
    unsafe { give(function, module::of(module)?.function(string(name)?)?.handle) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuModuleGetFunction(function: *mut usize, module: usize, name: *const c_char) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { get_function(function, module, name) })
}

/// # Safety
/// The pointers are null or valid, the name one to a string.
unsafe fn get_global(address: *mut u64, bytes: *mut usize, module: usize, name: *const c_char) -> Result {
    context::current()?;
    let module = module::of(module)?;
    // SAFETY: as the caller says.
    let global = module.global(unsafe { string(name) }?)?;
    // SAFETY: as the caller says.
    unsafe {
        offer(address, global.address);
        offer(bytes, global.bytes as usize);
    }
    Ok(())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuModuleGetGlobal_v2(
    address: *mut u64,
    bytes: *mut usize,
    module: usize,
    name: *const c_char,
) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { get_global(address, bytes, module, name) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuModuleGetLoadingMode(mode: *mut c_uint) -> c_int {
    const EAGER: c_uint = 1;
    call(|| {
        machine()?;
        // SAFETY: as the caller says.
        unsafe { give(mode, EAGER) }
    })
}

/// A library is a module of the context in which it was loaded.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuLibraryLoadData(
    library: *mut usize,
    image: *const c_void,
    _options: *const c_uint,
    _values: *const *mut c_void,
    _count: c_uint,
    _library_options: *const c_uint,
    _library_values: *const *mut c_void,
    _library_count: c_uint,
) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { give(library, load_data(image, &Log::default())?.handle) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuLibraryUnload(library: usize) -> c_int {
    call(|| {
        context::current_or_failed()?;
        module::unload(library)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuLibraryGetModule(module: *mut usize, library: usize) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { give(module, module::of(library)?.handle) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuLibraryGetKernel(kernel: *mut usize, library: usize, name: *const c_char) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { get_function(kernel, library, name) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuLibraryGetGlobal(
    address: *mut u64,
    bytes: *mut usize,
    library: usize,
    name: *const c_char,
) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { get_global(address, bytes, library, name) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuKernelGetFunction(function: *mut usize, kernel: usize) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { give(function, module::function(kernel)?.handle) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuFuncGetModule(module: *mut usize, function: usize) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { give(module, module::function(function)?.module.handle) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuFuncGetName(name: *mut *const c_char, function: usize) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { give(name, module::function(function)?.c_name.as_ptr()) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuFuncGetParamInfo(
    function: usize,
    index: usize,
    offset: *mut usize,
    bytes: *mut usize,
) -> c_int {
    call(|| {
        let function = module::function(function)?;
        let parameter = function
            .kernel()
            .parameters()
            .get(index)
            .ok_or(Status::ERROR_INVALID_VALUE)?;
        // SAFETY: as the caller says.
        unsafe {
            give(offset, parameter.offset)?;
            offer(bytes, parameter.bytes);
        }
        Ok(())
    })
}

const MAX_DYNAMIC_SHARED: c_uint = 8;
const CARVEOUT: c_uint = 9;

#[unsafe(no_mangle)]
unsafe extern "C" fn cuFuncGetAttribute(value: *mut c_int, attribute: c_uint, function: usize) -> c_int {
    /// What no kernel here is compiled to have: the registers of a thread.
    const REGISTERS: u32 = 32;
    call(|| {
        let function = module::function(function)?;
        let kernel = function.kernel();
        let (major, minor) = machine()?.settings.compute_capability;
        let found = match attribute {
            0 => kernel.max_threads().unwrap_or(THREADS).min(THREADS),
            1 => kernel.static_shared_bytes(),
            2 | 7 | 10..=15 => 0,
            3 => kernel.local_bytes(),
            4 => REGISTERS,
            5 | 6 => 10 * major + minor,
            MAX_DYNAMIC_SHARED => function.dynamic_shared.load(Relaxed),
            CARVEOUT => u32::MAX,
            _ => return Err(Status::ERROR_INVALID_VALUE),
        };
        // SAFETY: as the caller says.
        unsafe { give(value, found as c_int) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuFuncSetAttribute(function: usize, attribute: c_uint, value: c_int) -> c_int {
    call(|| {
        let function = module::function(function)?;
        match attribute {
            MAX_DYNAMIC_SHARED => {
                let most = SHARED_OPT_IN.saturating_sub(function.kernel().static_shared_bytes());
                let wanted = u32::try_from(value).ok().filter(|&wanted| wanted <= most);
                function
                    .dynamic_shared
                    .store(wanted.ok_or(Status::ERROR_INVALID_VALUE)?, Relaxed);
                Ok(())
            }
            CARVEOUT => Ok(()),
            _ => Err(Status::ERROR_INVALID_VALUE),
        }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuFuncSetCacheConfig(function: usize, _configuration: c_uint) -> c_int {
    call(|| module::function(function).map(drop))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuOccupancyAvailableDynamicSMemPerBlock(
    bytes: *mut usize,
    function: usize,
    blocks: c_int,
    threads: c_int,
) -> c_int {
    call(|| {
        let function = module::function(function)?;
        if blocks <= 0 || threads <= 0 {
            return Err(Status::ERROR_INVALID_VALUE);
        }
        let kernel = function.kernel();
        let fits = |dynamic: &u32| resident_blocks(kernel, threads as u32, *dynamic) >= blocks as u32;
        // A power of ten of bytes would do; whole kilobytes are finer than any use of this.
        let found = (0..=SHARED_OPT_IN).rev().step_by(1 << 10).find(fits).unwrap_or(0);
        // SAFETY: as the caller says.
        unsafe { give(bytes, found as usize) }
    })
}
