//! Modules and their functions.

use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::context::Context;
use super::handles::{self, Handles};
use super::memory::{self, Allocation, Kind};
use super::status::{Result, Status};
use crate::ptx::{Kernel, LoadError, Module as Ptx};

/// A module in a context.
pub struct Module {
    pub handle: usize,
    /// The handle of its context.
    pub context: usize,
    pub ptx: Ptx,
    /// Where its variables are, in the order in which the PTX has them.
    pub globals: Vec<Arc<Allocation>>,
}

/// A function of a module.
pub struct Function {
    pub handle: usize,
    pub module: Arc<Module>,
    pub name: String,
    pub c_name: CString,
    /// The dynamic shared memory that was asked for.
    pub dynamic_shared: AtomicU32,
}

/// What a block may have without being asked for.
pub const SHARED_BYTES: u32 = 48 << 10;

static MODULES: Handles<Module> = Handles::new();
static FUNCTIONS: Handles<Function> = Handles::new();

/// How many modules there are.
pub fn count() -> usize {
    MODULES.len()
}

/// The module of a handle.
pub fn of(handle: usize) -> Result<Arc<Module>> {
    MODULES.get(handle).ok_or(Status::ERROR_INVALID_HANDLE)
}

/// The function of a handle.
pub fn function(handle: usize) -> Result<Arc<Function>> {
    FUNCTIONS.get(handle).ok_or(Status::ERROR_INVALID_HANDLE)
}

/// Loads a text of PTX; what is wrong with it, beside the status.
pub fn load(context: &Context, text: &str) -> std::result::Result<Arc<Module>, (Status, String)> {
    let ptx = Ptx::parse(text).map_err(|error| match error {
        LoadError::Syntax(text) => (Status::ERROR_INVALID_PTX, text),
        LoadError::Unknown(text) => (
            Status::ERROR_INVALID_PTX,
            format!("not known to this simulator: {text}"),
        ),
    })?;
    let globals = place(context, &ptx).map_err(|status| (status, "no memory for its variables".into()))?;
    let module = Module {
        handle: handles::fresh(),
        context: context.handle,
        ptx,
        globals,
    };
    let module = Arc::new(module);
    MODULES.insert(module.handle, Arc::clone(&module));
    Ok(module)
}

/// Puts the variables of a module into memory.
fn place(context: &Context, ptx: &Ptx) -> Result<Vec<Arc<Allocation>>> {
    let mut placed: Vec<Arc<Allocation>> = Vec::new();
    for global in ptx.globals() {
        let kind = Kind::Variable {
            constant: global.constant,
        };
        match memory::allocate(context, (global.bytes as u64).max(1), kind) {
            Ok(allocation) => placed.push(allocation),
            Err(status) => {
                placed.iter().for_each(|allocation| memory::free(allocation));
                return Err(status);
            }
        }
    }
    for (global, allocation) in ptx.globals().iter().zip(&placed) {
        let mut initial = global.initial.clone();
        for relocation in &global.relocations {
            let address = placed[relocation.global].address.wrapping_add(relocation.addend);
            initial[relocation.offset..][..8].copy_from_slice(&address.to_le_bytes());
        }
        // SAFETY: the allocation is as long as the initial value, and no kernel knows of it yet.
        unsafe { std::ptr::copy_nonoverlapping(initial.as_ptr(), allocation.pointer, initial.len()) };
    }
    Ok(placed)
}

/// Unloads a module, with its functions and variables.
pub fn unload(handle: usize) -> Result {
    let module = MODULES.remove(handle).ok_or(Status::ERROR_INVALID_HANDLE)?;
    FUNCTIONS.retain(|function| function.module.handle != handle);
    let context = Context::of(module.context)?;
    // Kernels of the module may be on their way.
    context.wait();
    module
        .globals
        .iter()
        .for_each(|allocation| memory::free(allocation));
    context.check()
}

/// Unloads all modules of a context; their variables go with its memory.
pub fn forget(context: usize) {
    FUNCTIONS.retain(|function| function.module.context != context);
    MODULES.retain(|module| module.context != context);
}

impl Module {
    /// The function of a name, always with the same handle.
    pub fn function(self: &Arc<Self>, name: &str) -> Result<Arc<Function>> {
        static LOOKING: std::sync::Mutex<()> = std::sync::Mutex::new(());
        self.ptx.kernel(name).ok_or(Status::ERROR_NOT_FOUND)?;
        let _looking = LOOKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let same = |function: &Function| function.module.handle == self.handle && function.name == name;
        if let Some(function) = FUNCTIONS.find(same) {
            return Ok(function);
        }
        let function = Arc::new(Function {
            handle: handles::fresh(),
            module: Arc::clone(self),
            name: name.to_owned(),
            c_name: CString::new(name).map_err(|_| Status::ERROR_NOT_FOUND)?,
            dynamic_shared: AtomicU32::new(0),
        });
        let room = SHARED_BYTES.saturating_sub(function.kernel().static_shared_bytes());
        function.dynamic_shared.store(room, Relaxed);
        FUNCTIONS.insert(function.handle, Arc::clone(&function));
        Ok(function)
    }

    /// The variable of a name.
    pub fn global(&self, name: &str) -> Result<&Arc<Allocation>> {
        let index = self.ptx.globals().iter().position(|global| global.name == name);
        index
            .map(|index| &self.globals[index])
            .ok_or(Status::ERROR_NOT_FOUND)
    }
}

impl Function {
    pub fn kernel(&self) -> &Kernel {
        let kernel = self.module.ptx.kernel(&self.name);
        kernel.unwrap_or_else(|| unreachable!("a function is made of a kernel of its module"))
    }
}
