//! Operands: registers, constants and addresses become slots.

use super::{Local, Lower, SharedPlace};
use crate::ptx::LoadError;
use crate::ptx::program::{AccessSpace, Address, FUNCTION_WINDOW, Op, PARAMETER_WINDOW, Relocation, Slot};
use crate::ptx::syntax::Operand;
use crate::ptx::types::Type;

/// What an address operand or a variable's name leads to.
pub struct Based {
    pub space: Option<AccessSpace>,
    pub base: Slot,
    pub offset: i64,
}

impl<'t> Lower<'t, '_> {
    /// A new slot.
    pub fn slot(&mut self) -> Slot {
        self.template.push(0);
        self.template.len() as Slot - 1
    }

    /// The slot of a constant.
    pub fn constant(&mut self, value: u64) -> Slot {
        let next = self.template.len() as Slot;
        let slot = *self.constants.entry(value).or_insert(next);
        if slot == next {
            self.template.push(value);
        }
        slot
    }

    /// The slot of a value that a relocation adds to.
    fn relocated(&mut self, relocation: Relocation, value: u64) -> Slot {
        let next = self.template.len() as Slot;
        let slot = *self.relocated.entry((relocation, value)).or_insert(next);
        if slot == next {
            self.template.push(value);
            self.relocations.push((slot, relocation));
        }
        slot
    }

    fn lookup(&self, name: &str) -> Option<Local> {
        let mut scope = self.scope;
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let number = &name[stem.len()..];
        loop {
            let here = &self.scopes[scope];
            if let Some(&local) = here.names.get(name)
                && !matches!(local, Local::Family { .. })
            {
                return Some(local);
            }
            if let Some(&Local::Family { slot, of, count }) = here.names.get(stem)
                && (number == "0" || !number.starts_with('0'))
                && let Ok(index) = number.parse::<u32>()
                && index < count
            {
                return Some(Local::Register {
                    slot: slot + index,
                    of,
                });
            }
            if scope == 0 {
                return None;
            }
            scope = here.parent;
        }
    }

    /// The slot and type of a register, None if the name is none.
    pub fn register(&self, name: &str) -> Option<(Slot, Type)> {
        match self.lookup(name) {
            Some(Local::Register { slot, of }) => Some((slot, of)),
            _ => None,
        }
    }

    /// The address of a variable: its space, and the slot that holds it.
    pub fn variable_address(&mut self, name: &str) -> Option<(AccessSpace, Slot)> {
        Some(match self.lookup(name) {
            Some(Local::Frame { offset, .. }) => (
                AccessSpace::Local,
                self.relocated(Relocation::Frame, offset.into()),
            ),
            Some(Local::Shared(place)) => (AccessSpace::Shared, self.shared_slot(place)),
            Some(Local::Parameter { offset }) => (AccessSpace::Parameter, self.constant(offset.into())),
            Some(_) => return None,
            None => {
                if let Some(&global) = self.symbols.globals.get(name) {
                    (AccessSpace::Global, self.relocated(Relocation::Global(global), 0))
                } else {
                    let variable = *self.symbols.shared.get(name)?;
                    let place = self.linker.shared(variable)?;
                    (AccessSpace::Shared, self.shared_slot(place))
                }
            }
        })
    }

    fn shared_slot(&mut self, place: SharedPlace) -> Slot {
        match place {
            SharedPlace::Static(offset) => self.constant(offset.into()),
            SharedPlace::Dynamic(align) => self.relocated(Relocation::Dynamic(align), 0),
        }
    }

    /// Where a `.param` variable of this function is, in its frame.
    pub fn frame_variable(&self, name: &str) -> Option<(u32, u32)> {
        match self.lookup(name) {
            Some(Local::Frame { offset, bytes, .. }) => Some((offset, bytes)),
            _ => None,
        }
    }

    /// The value of a symbol as an operand: an address, of a parameter a generic one.
    pub fn symbol(&mut self, name: &str, offset: i64) -> Result<Slot, LoadError> {
        let value = match self.lookup(name) {
            Some(Local::Frame {
                offset: start,
                parameter,
                ..
            }) => {
                // `.local` variables are named by offsets, parameters by generic addresses, since a load from
                // the address of either kind of parameter looks the same.
                let kind = if parameter {
                    Relocation::GenericFrame
                } else {
                    Relocation::Frame
                };
                return Ok(self.relocated(kind, u64::from(start).wrapping_add(offset as u64)));
            }
            Some(Local::Parameter { offset: start }) => {
                return Ok(self.constant((PARAMETER_WINDOW + u64::from(start)).wrapping_add(offset as u64)));
            }
            Some(Local::Shared(SharedPlace::Static(start))) => {
                return Ok(self.constant(u64::from(start).wrapping_add(offset as u64)));
            }
            Some(Local::Shared(SharedPlace::Dynamic(align))) => {
                return Ok(self.relocated(Relocation::Dynamic(align), offset as u64));
            }
            Some(_) => None,
            None => self.module_symbol(name, offset),
        };
        value.ok_or_else(|| self.syntax(&format!("`{name}` is not declared")))
    }

    fn module_symbol(&mut self, name: &str, offset: i64) -> Option<Slot> {
        if let Some(&global) = self.symbols.globals.get(name) {
            return Some(self.relocated(Relocation::Global(global), offset as u64));
        }
        if let Some(&function) = self.symbols.functions.get(name) {
            self.linker.routine(function);
            return Some(self.constant(FUNCTION_WINDOW + function as u64));
        }
        let variable = *self.symbols.shared.get(name)?;
        match self.linker.shared(variable)? {
            SharedPlace::Static(start) => Some(self.constant(u64::from(start).wrapping_add(offset as u64))),
            SharedPlace::Dynamic(align) => Some(self.relocated(Relocation::Dynamic(align), offset as u64)),
        }
    }

    /// The slot of a source operand that has exactly the size of a type.
    pub fn source(&mut self, operand: &Operand<'t>, of: Type) -> Result<Slot, LoadError> {
        self.source_fitting(operand, of, |register| {
            register.bytes() == of.bytes() && (register == Type::Pred) == (of == Type::Pred)
        })
    }

    /// The slot of a source operand whose register may be larger than the type.
    pub fn wide_source(&mut self, operand: &Operand<'t>, of: Type) -> Result<Slot, LoadError> {
        self.source_fitting(operand, of, |register| {
            register.bytes() >= of.bytes() && register != Type::Pred
        })
    }

    fn source_fitting(
        &mut self,
        operand: &Operand<'t>,
        of: Type,
        fits: impl Fn(Type) -> bool,
    ) -> Result<Slot, LoadError> {
        Ok(match *operand {
            Operand::Name(name) => match self.register(name) {
                Some((slot, register)) => {
                    if !fits(register) {
                        return Err(self.syntax(&format!("`{name}` does not have the size of {of:?}")));
                    }
                    slot
                }
                None if name.starts_with('%') => {
                    let special = self.special(name)?;
                    let d = self.slot();
                    self.emit(Op::Special { d, what: special });
                    d
                }
                None => self.symbol(name, 0)?,
            },
            Operand::Sum(name, offset) => self.symbol(name, offset)?,
            Operand::Integer(bits) if !matches!(of, Type::F32 | Type::F64) => {
                self.constant(if of == Type::Pred {
                    u64::from(bits != 0)
                } else {
                    bits & of.mask()
                })
            }
            Operand::Float32(bits) if of.bytes() == 4 => self.constant(bits.into()),
            Operand::Float64(bits) if of.bytes() == 8 => self.constant(bits),
            Operand::Float64(bits) if of == Type::F32 => {
                self.constant((f64::from_bits(bits) as f32).to_bits().into())
            }
            Operand::Float32(bits) if of == Type::F64 => {
                self.constant(f64::from(f32::from_bits(bits)).to_bits())
            }
            Operand::Not(name) if of == Type::Pred => {
                let a = self.source(&Operand::Name(name), of)?;
                let d = self.slot();
                self.compute(|a, _, _| a ^ 1, d, &[a]);
                d
            }
            _ => return Err(self.syntax(&format!("`{operand:?}` is no source of {of:?}"))),
        })
    }

    /// The slot of a destination that has exactly the size of a type.
    pub fn destination(&mut self, operand: &Operand<'t>, of: Type) -> Result<Slot, LoadError> {
        let (slot, register) = self.wide_destination(operand, of)?;
        if register.bytes() != of.bytes() || (register == Type::Pred) != (of == Type::Pred) {
            return Err(self.syntax(&format!("`{operand:?}` does not have the size of {of:?}")));
        }
        Ok(slot)
    }

    /// The slot of a destination that may be larger than the type, and its type.
    pub fn wide_destination(&mut self, operand: &Operand<'t>, of: Type) -> Result<(Slot, Type), LoadError> {
        match *operand {
            Operand::Sink => Ok((self.slot(), of)),
            Operand::Name(name) => match self.register(name) {
                Some((slot, register)) if register.bytes() >= of.bytes() => Ok((slot, register)),
                Some(_) => Err(self.syntax(&format!("`{name}` is too small for {of:?}"))),
                None => Err(self.syntax(&format!("`{name}` is not declared"))),
            },
            _ => Err(self.syntax(&format!("`{operand:?}` is no destination"))),
        }
    }

    /// What an address operand leads to; `space` is None for a base in a register.
    pub fn based(&mut self, operand: &Operand<'t>) -> Result<Based, LoadError> {
        let Operand::Address(base, offset) = *operand else {
            return Err(self.syntax(&format!("`{operand:?}` is no address")));
        };
        let Some(name) = base else {
            let base = self.constant(offset as u64);
            return Ok(Based {
                space: None,
                base,
                offset: 0,
            });
        };
        if let Some((base, register)) = self.register(name) {
            if register.bytes() < 4 {
                return Err(self.syntax(&format!("`{name}` is no address")));
            }
            return Ok(Based {
                space: None,
                base,
                offset,
            });
        }
        match self.variable_address(name) {
            Some((space, base)) => Ok(Based {
                space: Some(space),
                base,
                offset,
            }),
            None => Err(self.syntax(&format!("`{name}` is not declared"))),
        }
    }

    /// The address of an access of `bytes` bytes.
    pub fn address(
        &mut self,
        operand: &Operand<'t>,
        space: AccessSpace,
        bytes: u32,
        strong: bool,
    ) -> Result<Address, LoadError> {
        let based = self.based(operand)?;
        let space = match (space, based.space) {
            // A parameter's space says whose it is; through a register it is a generic address.
            (AccessSpace::Parameter, Some(found @ (AccessSpace::Parameter | AccessSpace::Local))) => found,
            (AccessSpace::Parameter, None) => AccessSpace::Generic,
            // The bases of variables are offsets in their own space.
            (AccessSpace::Generic, Some(found)) => found,
            (space, Some(found)) if found != space => {
                return Err(self.syntax("the variable is in another space"));
            }
            (space, _) => space,
        };
        if matches!(space, AccessSpace::Generic | AccessSpace::Shared) {
            self.linker.granule = self.linker.granule.min(bytes);
        }
        let site = self.linker.site();
        Ok(Address {
            space,
            base: based.base,
            offset: based.offset,
            site,
            strong,
        })
    }
}
