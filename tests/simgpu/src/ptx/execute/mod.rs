//! Running programs: blocks one after the other, or in turns where one waits for another.

mod barrier;
mod block;
mod bytes;
mod collective;
mod copies;
mod diagnosis;
mod memory;
mod print;
mod race;
#[cfg(test)]
mod tests;
mod thread;

use std::collections::VecDeque;

use block::{Block, Outcome};
use bytes::Bytes;
use memory::Global;

use super::program::{LOCAL_WINDOW, Program, Relocation};
use super::{Fault, GlobalMemory, Launch};

/// What all threads of a launch see.
pub struct Context<'a> {
    launch: &'a Launch<'a>,
    program: &'a Program,
    /// The new frame of each routine.
    templates: Vec<Vec<u64>>,
    parameters: Bytes,
    threads: u32,
}

/// How many threads are kept alive at most while their blocks wait for one another.
const RESIDENT_THREADS: usize = 1 << 16;

/// Runs all blocks of a launch.
pub fn run(launch: &Launch, memory: &dyn GlobalMemory) -> Result<(), Fault> {
    let program = launch.kernel.program();
    let name = launch.kernel.name();
    let [threads, blocks] = [launch.block, launch.grid]
        .map(|extents| extents.iter().map(|&extent| u64::from(extent)).product::<u64>());
    if threads == 0 || threads > 1024 || blocks == 0 {
        return Err(Fault::Illegal(format!(
            "kernel `{name}`: a grid of {:?} blocks of {:?} threads",
            launch.grid, launch.block
        )));
    }
    if program.required.is_some_and(|required| required != launch.block) {
        return Err(Fault::Illegal(format!(
            "kernel `{name}` requires blocks of {:?}",
            program.required
        )));
    }
    assert_eq!(
        launch.parameters.len(),
        launch.kernel.parameter_bytes(),
        "the bytes of the parameters"
    );
    assert_eq!(
        launch.globals.len(),
        launch.module.globals().len(),
        "an address of each global"
    );
    let mut parameters = Bytes::default();
    parameters.resize(launch.parameters.len());
    parameters.slice_mut().copy_from_slice(launch.parameters);
    let context = Context {
        launch,
        program,
        templates: templates(launch),
        parameters,
        threads: threads as u32,
    };
    let mut global = Global::new(memory, program.sites, launch);

    let resident = (RESIDENT_THREADS / threads as usize).max(1);
    let mut waiting: VecDeque<Block> = VecDeque::new();
    let mut spare: Vec<Block> = Vec::new();
    let mut next = 0;
    while next < blocks || !waiting.is_empty() {
        let mut block = if next < blocks && waiting.len() < resident {
            let mut block = spare.pop().unwrap_or_else(|| Block::new(&context));
            block.start(&context, next);
            next += 1;
            block
        } else {
            waiting.pop_front().expect("a block that waits")
        };
        match block.run(&context, &mut global)? {
            Outcome::Finished => spare.push(block),
            Outcome::Suspended => waiting.push_back(block),
        }
    }
    Ok(())
}

/// The frames' templates, with the addresses of this launch.
fn templates(launch: &Launch) -> Vec<Vec<u64>> {
    let patched = launch.kernel.program().routines.iter().map(|routine| {
        let mut template = routine.template.clone();
        for &(slot, relocation) in &routine.relocations {
            if let Relocation::Global(global) = relocation {
                let value = &mut template[slot as usize];
                *value = value.wrapping_add(launch.globals[global as usize]);
            }
        }
        template
    });
    patched.collect()
}

impl Context<'_> {
    /// Puts a routine's new frame at the end of `registers`.
    fn push_frame(&self, routine: u32, registers: &mut Vec<u64>, thread: u32, frame: u32) {
        let base = registers.len();
        registers.extend_from_slice(&self.templates[routine as usize]);
        for &(slot, relocation) in &self.program.routines[routine as usize].relocations {
            let start = match relocation {
                Relocation::Frame => u64::from(frame),
                Relocation::GenericFrame => LOCAL_WINDOW + (u64::from(thread) << 32) + u64::from(frame),
                Relocation::Global(_) | Relocation::Dynamic(_) => continue,
            };
            registers[base + slot as usize] += start;
        }
    }

    /// The coordinates of a thread in its block.
    fn thread_position(&self, index: u32) -> [u32; 3] {
        position(self.launch.block, index.into())
    }
}

/// The coordinates of the index-th of so many in x, y and z.
fn position([x, y, _]: [u32; 3], index: u64) -> [u32; 3] {
    let (x, y) = (u64::from(x), u64::from(y));
    [(index % x) as u32, (index / x % y) as u32, (index / x / y) as u32]
}

/// A fault of one kind with another text.
fn reworded(fault: Fault, text: impl FnOnce(String) -> String) -> Fault {
    match fault {
        Fault::IllegalAddress(what) => Fault::IllegalAddress(text(what)),
        Fault::Misaligned(what) => Fault::Misaligned(text(what)),
        Fault::Illegal(what) => Fault::Illegal(text(what)),
    }
}
