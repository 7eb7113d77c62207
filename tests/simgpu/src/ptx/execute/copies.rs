//! A thread's asynchronous copies. They happen when the thread waits for them, as late as they may: who reads
//! without waiting reads what was there before.

use super::bytes::{self, Bytes};
use super::memory::{Memory, Who};
use crate::ptx::program::{Address, AsyncCopy};
use crate::ptx::{Access, Fault};

/// A copy that has not happened yet.
struct Pending {
    group: u32,
    to: Address,
    base: u64,
    from: *mut u8,
    bytes: u32,
    /// How many of them come from the source; the others are zero.
    source_bytes: u32,
}

/// The copies of a thread.
#[derive(Default)]
pub struct Copies {
    pending: Vec<Pending>,
    /// The group that copies go to.
    group: u32,
}

impl Copies {
    pub fn clear(&mut self) {
        self.pending.clear();
        self.group = 0;
    }

    pub fn start(
        &mut self,
        copy: &AsyncCopy,
        frame: &[u64],
        memory: &mut Memory,
        who: Who,
        stack: &mut Bytes,
    ) -> Result<(), Fault> {
        let source_bytes = frame[copy.source_bytes as usize] as u32;
        if source_bytes > copy.bytes {
            return Err(Fault::Illegal(format!(
                "{source_bytes} bytes of a source of {}",
                copy.bytes
            )));
        }
        let base = frame[copy.from.base as usize];
        let from = if source_bytes == 0 {
            std::ptr::null_mut()
        } else {
            // All of the source is aligned, what is not copied of it need not exist.
            let address = base.wrapping_add(copy.from.offset as u64);
            if !address.is_multiple_of(copy.bytes.into()) {
                return Err(Fault::Misaligned(format!(
                    "a copy of {} bytes from {address:#x}",
                    copy.bytes
                )));
            }
            let last = Address {
                offset: copy.from.offset + i64::from(source_bytes) - 1,
                ..copy.from
            };
            memory.place(&last, base, 1, Access::Read, who, stack)?;
            memory
                .place(&copy.from, base, 1, Access::Read, who, stack)?
                .pointer
        };
        self.pending.push(Pending {
            group: self.group,
            to: copy.to,
            base: frame[copy.to.base as usize],
            from,
            bytes: copy.bytes,
            source_bytes,
        });
        Ok(())
    }

    /// What was started since the last time becomes a group.
    pub fn commit(&mut self) {
        self.group += 1;
    }

    /// All groups but the latest `groups` happen.
    pub fn wait(
        &mut self,
        groups: u32,
        memory: &mut Memory,
        who: Who,
        stack: &mut Bytes,
    ) -> Result<(), Fault> {
        let kept = self.group.saturating_sub(groups);
        let due = self.pending.partition_point(|pending| pending.group < kept);
        for copy in self.pending.drain(..due) {
            let place = memory.place(&copy.to, copy.base, copy.bytes.into(), Access::Write, who, stack)?;
            for byte in 0..copy.bytes as usize {
                // SAFETY: both places were checked; the source lies in memory that lives as long as the kernel.
                unsafe {
                    let held = byte < copy.source_bytes as usize;
                    let value = if held {
                        bytes::read(copy.from.add(byte), 1)
                    } else {
                        0
                    };
                    bytes::write(place.pointer.add(byte), 1, value);
                }
            }
        }
        Ok(())
    }
}
