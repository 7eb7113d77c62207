//! The simulated machine: what `cuInit` finds.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::arena::Arena;
use super::context::Primary;
use super::faults;
use super::library;
use super::settings::Settings;
use super::status::{Result, Status};

/// The machine of this process.
pub struct Machine {
    pub settings: Settings,
    /// All GPUs of the machine.
    pub devices: Vec<Device>,
    /// Which of them the process sees, in its order.
    pub visible: Vec<usize>,
}

/// A GPU.
pub struct Device {
    /// Its place among all GPUs of the machine.
    pub index: usize,
    /// What it is known by in all processes.
    pub uuid: [u8; 16],
    /// All of its memory, in bytes.
    pub memory: u64,
    used: AtomicU64,
    arena: OnceLock<Arena>,
    making_arena: Mutex<()>,
    pub primary: Mutex<Primary>,
}

static MACHINE: OnceLock<std::result::Result<Machine, ()>> = OnceLock::new();
static FORKED: AtomicBool = AtomicBool::new(false);

extern "C" fn in_forked_child() {
    FORKED.store(true, Relaxed);
}

/// Builds the machine, once.
pub fn initialize() -> Result {
    let machine = MACHINE.get_or_init(|| {
        library::keep_loaded();
        // SAFETY: the handler only stores to a static.
        unsafe { libc::pthread_atfork(None, None, Some(in_forked_child)) };
        let settings = Settings::read().map_err(|error| eprintln!("simgpu: {error}"))?;
        faults::set_for_process(settings.faults.clone());
        Ok(Machine::new(settings))
    });
    match machine {
        Err(()) => Err(Status::ERROR_OPERATING_SYSTEM),
        Ok(_) if FORKED.load(Relaxed) => Err(Status::ERROR_NOT_INITIALIZED),
        Ok(machine) if machine.visible.is_empty() => Err(Status::ERROR_NO_DEVICE),
        Ok(_) => Ok(()),
    }
}

/// The machine, if `cuInit` has been called; a forked child has none, as CUDA has it.
pub fn machine() -> Result<&'static Machine> {
    match MACHINE.get() {
        Some(Ok(machine)) if !FORKED.load(Relaxed) => Ok(machine),
        _ => Err(Status::ERROR_NOT_INITIALIZED),
    }
}

impl Machine {
    fn new(settings: Settings) -> Self {
        let devices: Vec<_> = (0..settings.devices)
            .map(|index| Device::new(index, settings.memory))
            .collect();
        let visible = match &settings.visible {
            Some(list) => visible(list, &devices),
            None => (0..devices.len()).collect(),
        };
        Self {
            settings,
            devices,
            visible,
        }
    }

    /// The device of a `CUdevice`.
    pub fn device(&self, ordinal: i32) -> Result<&Device> {
        let index = usize::try_from(ordinal)
            .ok()
            .and_then(|ordinal| self.visible.get(ordinal));
        index
            .map(|&index| &self.devices[index])
            .ok_or(Status::ERROR_INVALID_DEVICE)
    }

    /// The `CUdevice` of a device.
    pub fn ordinal(&self, index: usize) -> Option<i32> {
        self.visible
            .iter()
            .position(|&visible| visible == index)
            .map(|ordinal| ordinal as i32)
    }

    /// Whether the address is one of a device's, of allocated memory or not.
    pub fn is_device_address(&self, address: u64) -> bool {
        self.devices
            .iter()
            .any(|device| device.arena.get().is_some_and(|arena| arena.contains(address)))
    }
}

/// The devices that `CUDA_VISIBLE_DEVICES` lists, by number or UUID, up to the first that does not exist.
fn visible(list: &str, devices: &[Device]) -> Vec<usize> {
    let mut visible = Vec::new();
    for word in list.split(',').map(str::trim) {
        let named = match word.parse::<usize>() {
            Ok(index) => (index < devices.len()).then_some(index),
            Err(_) if word.len() > 4 => devices
                .iter()
                .position(|device| device.uuid_text().starts_with(word)),
            Err(_) => None,
        };
        match named {
            Some(index) if !visible.contains(&index) => visible.push(index),
            // CUDA sees no device at all when one is listed twice.
            Some(_) => return Vec::new(),
            None => break,
        }
    }
    visible
}

impl Device {
    fn new(index: usize, memory: u64) -> Self {
        let mut uuid = *b"simulated GPU\0\0\0";
        uuid[15] = index as u8;
        Self {
            index,
            uuid,
            memory,
            used: AtomicU64::new(0),
            arena: OnceLock::new(),
            making_arena: Mutex::default(),
            primary: Mutex::default(),
        }
    }

    /// Its UUID as `nvidia-smi` and `CUDA_VISIBLE_DEVICES` spell it.
    pub fn uuid_text(&self) -> String {
        let mut text = "GPU".to_owned();
        for (place, byte) in self.uuid.iter().enumerate() {
            if [0, 4, 6, 8, 10].contains(&place) {
                text.push('-');
            }
            text += &format!("{byte:02x}");
        }
        text
    }

    /// Where its memory is.
    pub fn arena(&self) -> Result<&Arena> {
        if let Some(arena) = self.arena.get() {
            return Ok(arena);
        }
        let _making = self.making_arena.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(arena) = self.arena.get() {
            return Ok(arena);
        }
        let arena = Arena::new(self.memory).map_err(|error| {
            eprintln!("simgpu: cannot make the memory of a device: {error}");
            Status::ERROR_OUT_OF_MEMORY
        })?;
        Ok(self.arena.get_or_init(|| arena))
    }

    /// Takes `bytes` bytes of its memory.
    pub fn charge(&self, bytes: u64) -> Result {
        let charged = self.used.fetch_update(Relaxed, Relaxed, |used| {
            used.checked_add(bytes).filter(|&used| used <= self.memory)
        });
        charged.map(drop).map_err(|_| Status::ERROR_OUT_OF_MEMORY)
    }

    /// Gives back what [`charge`](Self::charge) took.
    pub fn discharge(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Relaxed);
    }

    /// The memory that is not taken by this process.
    pub fn free_memory(&self) -> u64 {
        self.memory - self.used.load(Relaxed)
    }
}
