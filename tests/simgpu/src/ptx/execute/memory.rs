//! The memory that a thread addresses: device memory, the block's shared memory, its own local memory, and the
//! kernel's parameters.

use super::Context;
use super::bytes::Bytes;
use super::race::{Races, Touch};
use crate::ptx::program::{
    AccessSpace, Address, FUNCTION_WINDOW, LOCAL_WINDOW, PARAMETER_WINDOW, SHARED_WINDOW, WINDOWS,
};
use crate::ptx::{Access, Fault, GlobalMemory, Launch};

/// Device memory, and the ranges of it that were touched.
pub struct Global<'a> {
    device: &'a dyn GlobalMemory,
    extents: Vec<Extent>,
    /// The extent that each instruction last touched.
    sites: Vec<u32>,
    constants: Vec<(u64, u64)>,
}

#[derive(Clone, Copy)]
struct Extent {
    start: u64,
    bytes: u64,
    pointer: *mut u8,
    access: Access,
}

impl<'a> Global<'a> {
    pub fn new(device: &'a dyn GlobalMemory, sites: u32, launch: &Launch) -> Self {
        let globals = launch.module.globals().iter().zip(launch.globals);
        let constants = globals.filter(|(global, _)| global.constant);
        Self {
            device,
            extents: vec![Extent {
                start: 0,
                bytes: 0,
                pointer: std::ptr::null_mut(),
                access: Access::Read,
            }],
            sites: vec![0; sites as usize],
            constants: constants
                .map(|(global, &start)| (start, global.bytes as u64))
                .collect(),
        }
    }

    /// Whether an address is one of a constant's.
    pub fn is_constant(&self, address: u64) -> bool {
        self.constants
            .iter()
            .any(|&(start, bytes)| address.wrapping_sub(start) < bytes)
    }

    #[inline(always)]
    fn pointer(&mut self, address: u64, bytes: u64, access: Access, site: u32) -> Result<*mut u8, Fault> {
        let extent = &self.extents[self.sites[site as usize] as usize];
        let offset = address.wrapping_sub(extent.start);
        if offset < extent.bytes && extent.bytes - offset >= bytes {
            // SAFETY: the offset lies within the extent.
            return Ok(unsafe { extent.pointer.add(offset as usize) });
        }
        self.find(address, bytes, access, site)
    }

    #[cold]
    fn find(&mut self, address: u64, bytes: u64, access: Access, site: u32) -> Result<*mut u8, Fault> {
        let holds = |extent: &Extent| {
            let offset = address.wrapping_sub(extent.start);
            extent.access == access && offset < extent.bytes && extent.bytes - offset >= bytes
        };
        let index = match self.extents.iter().position(holds) {
            Some(index) => index,
            None => {
                // This names what is wrong if the access does not lie in one allocation.
                self.device.resolve(address, bytes, access)?;
                let (start, pointer, length) = self.device.extent(address, access)?;
                assert_eq!(
                    start % 16,
                    pointer as u64 % 16,
                    "device memory is aligned as its addresses are"
                );
                self.extents.push(Extent {
                    start,
                    bytes: length,
                    pointer,
                    access,
                });
                self.extents.len() - 1
            }
        };
        self.sites[site as usize] = index as u32;
        let extent = &self.extents[index];
        // SAFETY: `resolve` accepted the access, so it lies within the extent around its address.
        Ok(unsafe { extent.pointer.add((address - extent.start) as usize) })
    }
}

/// The shared memory of a block.
pub struct Shared {
    pub bytes: Bytes,
    pub races: Races,
}

/// All that a thread may address.
pub struct Memory<'m, 'a> {
    pub global: &'m mut Global<'a>,
    pub shared: &'m mut Shared,
    pub context: &'m Context<'m>,
}

/// The thread that accesses memory, and its instruction.
#[derive(Clone, Copy)]
pub struct Who {
    pub thread: u32,
    pub pc: u32,
}

/// What is accessed of which space.
pub struct Place {
    pub pointer: *mut u8,
    /// Whether others than the block's threads may touch it.
    pub device: bool,
}

impl Memory<'_, '_> {
    /// Where the access of a thread's instruction goes, checked.
    #[inline(always)]
    pub fn place(
        &mut self,
        at: &Address,
        base: u64,
        bytes: u64,
        access: Access,
        who: Who,
        stack: &mut Bytes,
    ) -> Result<Place, Fault> {
        let Who { thread, pc } = who;
        let mut space = at.space;
        // Shared and local addresses may be held in 32 bits; the offsets are what is signed.
        let mut address = base.wrapping_add(at.offset as u64);
        if address & (bytes - 1) != 0 {
            return Err(Fault::Misaligned(format!(
                "{} of {bytes} bytes at {address:#x}, which is no multiple of them",
                verb(access)
            )));
        }
        if space == AccessSpace::Generic {
            (space, address) = match address & WINDOWS {
                SHARED_WINDOW => (AccessSpace::Shared, address - SHARED_WINDOW),
                LOCAL_WINDOW if (address - LOCAL_WINDOW) >> 32 == u64::from(thread) => {
                    (AccessSpace::Local, u64::from(address as u32))
                }
                LOCAL_WINDOW => {
                    return Err(Fault::IllegalAddress(format!(
                        "{} through {address:#x}, the local memory of another thread",
                        verb(access)
                    )));
                }
                PARAMETER_WINDOW => (AccessSpace::Parameter, address - PARAMETER_WINDOW),
                FUNCTION_WINDOW => {
                    return Err(Fault::IllegalAddress(format!("{} of a function", verb(access))));
                }
                _ => (AccessSpace::Global, address),
            };
        }
        let pointer = match space {
            AccessSpace::Global => {
                let pointer = self.global.pointer(address, bytes, access, at.site)?;
                return Ok(Place {
                    pointer,
                    device: true,
                });
            }
            AccessSpace::Shared => {
                let pointer = self.shared.bytes.pointer(address, bytes);
                if pointer.is_some() {
                    let write = access == Access::Write;
                    let touch = Touch {
                        thread,
                        pc,
                        offset: address,
                        bytes,
                        write,
                        strong: at.strong,
                    };
                    if let Err(race) = self.shared.races.touch(touch) {
                        return Err(Fault::Illegal(format!(
                            "a race: {} of {bytes} bytes at {address:#x} of shared memory, which thread {:?} {} \
                             in line {}, and nothing orders the two",
                            verb(access),
                            self.context.thread_position(race.other),
                            if race.wrote { "wrote" } else { "read" },
                            self.context.program.places[race.pc as usize].line,
                        )));
                    }
                }
                pointer
            }
            AccessSpace::Local => stack.pointer(address, bytes),
            _ if access == Access::Read => self.parameter(address, bytes),
            _ => None,
        };
        let pointer = pointer.ok_or_else(|| {
            Fault::IllegalAddress(format!(
                "{} of {bytes} bytes at {address:#x} of {space:?} memory, which has {} bytes",
                verb(access),
                match space {
                    AccessSpace::Shared => self.shared.bytes.len(),
                    AccessSpace::Local => stack.len(),
                    _ => self.context.parameters.len(),
                }
            ))
        })?;
        Ok(Place {
            pointer,
            device: false,
        })
    }

    fn parameter(&self, offset: u64, bytes: u64) -> Option<*mut u8> {
        let parameters = self.context.parameters.slice();
        let len = parameters.len() as u64;
        // It is only read through.
        (offset <= len && len - offset >= bytes).then(|| parameters[offset as usize..].as_ptr().cast_mut())
    }
}

fn verb(access: Access) -> &'static str {
    match access {
        Access::Read => "a read",
        Access::Write => "a write",
    }
}
