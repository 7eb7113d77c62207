//! Memory: loads, stores, fences and addresses.

use super::access::{self, Access};
use super::{Lower, Modifiers};
use crate::ptx::LoadError;
use crate::ptx::program::{
    AccessSpace, FUNCTION_WINDOW, LOCAL_WINDOW, Op, Order, PARAMETER_WINDOW, SHARED_WINDOW, Ternary, WINDOWS,
};
use crate::ptx::syntax::{Operand, Statement};
use crate::ptx::types::Type;

pub fn lanes(m: &mut Modifiers) -> usize {
    match m.accept_any(&["v2", "v4"]) {
        Some("v2") => 2,
        Some(_) => 4,
        None => 1,
    }
}

/// The parts of a vector operand, or the operand itself.
pub fn parts<'t>(operand: &'t Operand<'t>) -> &'t [Operand<'t>] {
    match operand {
        Operand::Vector(parts) => parts,
        single => std::slice::from_ref(single),
    }
}

/// Whether values of a type are moved, loaded and stored as such.
pub fn storable(of: Type) -> bool {
    of.integer() || of.untyped() || matches!(of, Type::F32 | Type::F64)
}

impl<'t> Lower<'t, '_> {
    pub fn memory(
        &mut self,
        base: &str,
        mut m: Modifiers<'t>,
        s: &'t Statement<'t>,
    ) -> Result<(), LoadError> {
        match base {
            "ld" | "ldu" => self.load(m, s),
            "st" => self.store(m, s),
            "atom" | "red" => self.atomic(base == "atom", m, s),
            "membar" => {
                m.expect_any(&["cta", "gl", "sys"])?;
                m.finish()?;
                self.fence(Order::Both);
                Ok(())
            }
            "fence" => {
                let order = match m.accept_any(&["sc", "acq_rel", "acquire", "release"]) {
                    Some("acquire") => Order::Acquire,
                    Some("release") => Order::Release,
                    _ => Order::Both,
                };
                m.expect_any(&access::SCOPES)?;
                m.finish()?;
                self.fence(order);
                Ok(())
            }
            "cvta" => self.convert_address(m, s),
            "isspacep" => self.is_space(m, s),
            // Hints of what will be used.
            "prefetch" | "prefetchu" => {
                if base == "prefetch" {
                    m.accept_any(&["global", "local"]);
                }
                m.expect_any(&["L1", "L2", "L2::evict_last", "L2::evict_normal"])?;
                m.finish()
            }
            "applypriority" => {
                m.accept("global");
                m.expect("L2::evict_normal")?;
                m.finish()
            }
            _ => Err(m.unknown()),
        }
    }

    pub fn fence(&mut self, order: Order) {
        self.linker.cross_warp = true;
        self.emit(Op::Fence(order));
    }

    fn load(&mut self, mut m: Modifiers<'t>, s: &'t Statement<'t>) -> Result<(), LoadError> {
        let Access {
            space,
            strong,
            order,
            hint,
        } = access::of_load(&mut m)?;
        let count = lanes(&mut m);
        let of = m.of_type()?;
        m.finish()?;
        m.require(storable(of) && of.bytes() * count <= 16)?;
        let (d, a) = match (&s.operands[..], hint) {
            ([d, a], false) | ([d, a, _], true) => (parts(d), a),
            _ => return Err(self.wrong_operands(s)),
        };
        if d.len() != count {
            return Err(self.wrong_operands(s));
        }
        let address = self.address(a, space, (of.bytes() * count) as u32, strong)?;
        let mut slots = [0; 4];
        let mut mask = u64::MAX;
        for (slot, operand) in slots.iter_mut().zip(d) {
            let register;
            (*slot, register) = self.wide_destination(operand, of)?;
            mask &= register.mask();
        }
        self.emit(Op::Load {
            address,
            size: of.bytes() as u8,
            lanes: count as u8,
            signed: of.signed(),
            mask,
            d: slots,
        });
        if order == Order::Acquire {
            self.fence(order);
        }
        Ok(())
    }

    fn store(&mut self, mut m: Modifiers<'t>, s: &'t Statement<'t>) -> Result<(), LoadError> {
        let Access {
            space,
            strong,
            order,
            hint,
        } = access::of_store(&mut m)?;
        let count = lanes(&mut m);
        let of = m.of_type()?;
        m.finish()?;
        m.require(storable(of) && of.bytes() * count <= 16)?;
        let (d, a) = match (&s.operands[..], hint) {
            ([d, a], false) | ([d, a, _], true) => (d, parts(a)),
            _ => return Err(self.wrong_operands(s)),
        };
        if a.len() != count {
            return Err(self.wrong_operands(s));
        }
        let address = self.address(d, space, (of.bytes() * count) as u32, strong)?;
        let mut slots = [0; 4];
        for (slot, operand) in slots.iter_mut().zip(a) {
            *slot = self.wide_source(operand, of)?;
        }
        if order == Order::Release {
            self.fence(order);
        }
        self.emit(Op::Store {
            address,
            size: of.bytes() as u8,
            lanes: count as u8,
            a: slots,
        });
        Ok(())
    }

    fn convert_address(&mut self, mut m: Modifiers<'t>, s: &'t Statement<'t>) -> Result<(), LoadError> {
        let from_generic = m.accept("to");
        let space = access::space(&mut m);
        m.require(space != AccessSpace::Generic)?;
        let of = m.last_type(&[Type::U64])?;
        let [d, a] = &s.operands[..] else {
            return Err(self.wrong_operands(s));
        };
        let a = self.source(a, of)?;
        let d = self.destination(d, of)?;
        match (space, from_generic) {
            (AccessSpace::Local, false) => self.emit(Op::LocalToGeneric { d, a }),
            (AccessSpace::Local, true) => self.emit(Op::GenericToLocal { d, a }),
            (AccessSpace::Shared, false) => self.compute(|a, _, _| a.wrapping_add(SHARED_WINDOW), d, &[a]),
            (AccessSpace::Shared, true) => self.compute(|a, _, _| a.wrapping_sub(SHARED_WINDOW), d, &[a]),
            // Addresses of global memory, constants and parameters are generic ones already.
            _ => self.compute(|a, _, _| a, d, &[a]),
        }
        Ok(())
    }

    fn is_space(&mut self, mut m: Modifiers<'t>, s: &'t Statement<'t>) -> Result<(), LoadError> {
        let name = m.take();
        m.finish()?;
        let [d, a] = &s.operands[..] else {
            return Err(self.wrong_operands(s));
        };
        let a = self.source(a, Type::U64)?;
        let d = self.destination(d, Type::Pred)?;
        let f: Ternary = match name {
            "global" => |a, _, _| u64::from(a & WINDOWS == 0 || a & WINDOWS == FUNCTION_WINDOW),
            "shared" | "shared::cta" => |a, _, _| u64::from(a & WINDOWS == SHARED_WINDOW),
            "local" => |a, _, _| u64::from(a & WINDOWS == LOCAL_WINDOW),
            "param" | "param::entry" => |a, _, _| u64::from(a & WINDOWS == PARAMETER_WINDOW),
            "const" => {
                self.emit(Op::IsConstant { d, a });
                return Ok(());
            }
            _ => return Err(m.unknown()),
        };
        self.compute(f, d, &[a]);
        Ok(())
    }
}
