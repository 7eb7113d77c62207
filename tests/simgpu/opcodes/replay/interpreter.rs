//! Runs a job on the interpreter alone, without a driver.

use std::cell::UnsafeCell;

use simgpu::ptx::{Access, Fault, GlobalMemory, Launch, LoadError, Module, run};

use crate::replay::{Argument, End, Job};

/// The distance between allocations: more than any of them is long, so that a stray address is in none.
const STRIDE: u64 = 1 << 32;
const FIRST: u64 = 0x7_0000_0000_0000;

/// Allocations at addresses that are far from each other.
struct Memory {
    /// In 16-byte words, as strictly aligned as any access of PTX.
    allocations: Vec<(Box<[UnsafeCell<u128>]>, usize)>,
}

// SAFETY: the cells are handed out as raw pointers only, to kernels, whose races are the interpreter's to find.
unsafe impl Sync for Memory {}

impl Memory {
    fn address(place: usize) -> u64 {
        FIRST + STRIDE * place as u64
    }

    fn push(&mut self, initial: &[u8]) -> u64 {
        let words = initial.chunks(16).map(|chunk| {
            let mut word = [0; 16];
            word[..chunk.len()].copy_from_slice(chunk);
            UnsafeCell::new(u128::from_le_bytes(word))
        });
        self.allocations.push((words.collect(), initial.len()));
        Self::address(self.allocations.len() - 1)
    }

    fn contents(&self, place: usize) -> Vec<u8> {
        let (words, bytes) = &self.allocations[place];
        // SAFETY: the kernel has ended, nobody else touches the cells.
        let words = words.iter().flat_map(|word| unsafe { *word.get() }.to_le_bytes());
        words.take(*bytes).collect()
    }
}

impl GlobalMemory for Memory {
    fn resolve(&self, address: u64, bytes: u64, access: Access) -> Result<*mut u8, Fault> {
        let (start, pointer, length) = self.extent(address, access)?;
        let offset = address - start;
        if offset + bytes > length {
            return Err(outside(address));
        }
        // SAFETY: the offset is inside the allocation.
        Ok(unsafe { pointer.add(offset as usize) })
    }

    fn extent(&self, address: u64, _: Access) -> Result<(u64, *mut u8, u64), Fault> {
        let place = address.checked_sub(FIRST).ok_or_else(|| outside(address))? / STRIDE;
        let (words, bytes) = self
            .allocations
            .get(place as usize)
            .ok_or_else(|| outside(address))?;
        let start = Self::address(place as usize);
        if address - start >= *bytes as u64 {
            return Err(outside(address));
        }
        Ok((start, words.as_ptr() as *mut u8, *bytes as u64))
    }
}

fn outside(address: u64) -> Fault {
    Fault::IllegalAddress(format!("{address:#x} is in no allocation"))
}

/// Runs a job and judges its end.
pub fn check(job: &Job) -> Result<(), String> {
    let module = match (Module::parse(&job.ptx), &job.end) {
        (Err(LoadError::Unknown(message)), End::Unknown(name)) if message.contains(name) => return Ok(()),
        (Err(error), _) => return Err(format!("{error:?}")),
        (Ok(_), End::Unknown(name)) => return Err(format!("{name} was accepted")),
        (Ok(module), _) => module,
    };
    let kernel = module
        .kernel(&job.entry)
        .ok_or_else(|| format!("no kernel {}", job.entry))?;
    let mut memory = Memory {
        allocations: Vec::new(),
    };
    let globals = place_globals(&module, &mut memory);
    let mut parameters = vec![0; kernel.parameter_bytes()];
    let mut buffers = Vec::new();
    if kernel.parameters().len() != job.arguments.len() {
        return Err(format!(
            "the kernel takes {} arguments",
            kernel.parameters().len()
        ));
    }
    for (argument, parameter) in job.arguments.iter().zip(kernel.parameters()) {
        let value = match argument {
            Argument::Value(bytes) => bytes.clone(),
            Argument::Buffer { initial, .. } => {
                buffers.push(memory.allocations.len());
                memory.push(initial).to_le_bytes().to_vec()
            }
        };
        parameters[parameter.offset..parameter.offset + value.len()].copy_from_slice(&value);
    }
    let launch = Launch {
        module: &module,
        kernel,
        grid: job.grid,
        block: job.block,
        dynamic_shared_bytes: job.shared,
        parameters: &parameters,
        globals: &globals,
    };
    let ended = run(&launch, &memory);
    match (&job.end, ended) {
        (End::Returns, Ok(())) => {
            let after: Vec<_> = buffers.iter().map(|place| memory.contents(*place)).collect();
            job.verdict(&after)
        }
        (End::IllegalAddress(says), Err(Fault::IllegalAddress(message)))
        | (End::Misaligned(says), Err(Fault::Misaligned(message)))
        | (End::Illegal(says), Err(Fault::Illegal(message)))
            if message.contains(says) =>
        {
            Ok(())
        }
        (end, ended) => Err(format!("{ended:?}, expected {end:?}")),
    }
}

fn place_globals(module: &Module, memory: &mut Memory) -> Vec<u64> {
    let first = memory.allocations.len();
    let addresses: Vec<_> = (0..module.globals().len())
        .map(|number| Memory::address(first + number))
        .collect();
    for global in module.globals() {
        let mut initial = global.initial.clone();
        for relocation in &global.relocations {
            let address = addresses[relocation.global].wrapping_add(relocation.addend);
            initial[relocation.offset..relocation.offset + 8].copy_from_slice(&address.to_le_bytes());
        }
        memory.push(&initial);
    }
    addresses
}
