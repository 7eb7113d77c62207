//! Atomic operations.

use super::memory::{lanes, parts};
use super::{Lower, Modifiers, access, half};
use crate::ptx::LoadError;
use crate::ptx::exact::{self, F32, F64};
use crate::ptx::program::{AccessSpace, Atomic, Op, Order, Ternary, Update};
use crate::ptx::syntax::{Operand, Statement};
use crate::ptx::types::Type;

fn add_f32(old: u64, a: u64, _: u64) -> u64 {
    let sum = f32::from_bits(old as u32) + f32::from_bits(a as u32);
    if sum.is_nan() {
        0x7fff_ffff
    } else {
        sum.to_bits().into()
    }
}

/// Addition in global memory flushes what is subnormal.
fn add_f32_global(old: u64, a: u64, _: u64) -> u64 {
    let [old, a] = [old, a].map(exact::flush::<F32>);
    exact::flush::<F32>(add_f32(old, a, 0))
}

fn add_f64(old: u64, a: u64, _: u64) -> u64 {
    exact::add::<F64>(old, a, exact::NEAREST)
}

/// The update of an atomic operation, and the types it takes.
fn update(operation: &str, of: Type) -> Option<Ternary> {
    use Type::{B32, B64, Bf16, Bf16x2, F16, F16x2, S32, S64, U32, U64};
    Some(match (operation, of) {
        ("and", B32 | B64) => |old, a, _| old & a,
        ("or", B32 | B64) => |old, a, _| old | a,
        ("xor", B32 | B64) => |old, a, _| old ^ a,
        ("exch", B32 | B64) => |_, a, _| a,
        ("add", U32 | S32) => |old, a, _| old.wrapping_add(a) as u32 as u64,
        ("add", U64) => |old, a, _| old.wrapping_add(a),
        ("add", Type::F32) => add_f32,
        ("add", Type::F64) => add_f64,
        ("add", F16 | F16x2 | Bf16 | Bf16x2) => half::atomic_add(of),
        ("min", F16 | F16x2 | Bf16 | Bf16x2) => half::atomic_extreme(of, false),
        ("max", F16 | F16x2 | Bf16 | Bf16x2) => half::atomic_extreme(of, true),
        ("inc", U32) => |old, a, _| if old >= a { 0 } else { old + 1 },
        ("dec", U32) => |old, a, _| if old == 0 || old > a { a } else { old - 1 },
        ("min", U32 | U64) => |old, a, _| old.min(a),
        ("max", U32 | U64) => |old, a, _| old.max(a),
        ("min", S32) => |old, a, _| (old as i32).min(a as i32) as u32 as u64,
        ("max", S32) => |old, a, _| (old as i32).max(a as i32) as u32 as u64,
        ("min", S64) => |old, a, _| (old as i64).min(a as i64) as u64,
        ("max", S64) => |old, a, _| (old as i64).max(a as i64) as u64,
        _ => return None,
    })
}

impl<'t> Lower<'t, '_> {
    pub fn atomic(
        &mut self,
        returns: bool,
        mut m: Modifiers<'t>,
        s: &'t Statement<'t>,
    ) -> Result<(), LoadError> {
        let (space, order) = access::of_atomic(&mut m, returns)?;
        let operation = m
            .accept_any(&[
                "add", "min", "max", "inc", "dec", "and", "or", "xor", "exch", "cas",
            ])
            .ok_or_else(|| m.unknown())?;
        let noftz = m.accept("noftz");
        let hint = m.accept("L2::cache_hint");
        let count = lanes(&mut m);
        let of = m.of_type()?;
        m.finish()?;
        let halves = matches!(of, Type::F16 | Type::F16x2 | Type::Bf16 | Type::Bf16x2);
        m.require(noftz == halves)?;
        m.require(!halves || operation == "add" || count > 1)?;
        m.require(
            count == 1 || space == AccessSpace::Global && (halves || of == Type::F32 && operation == "add"),
        )?;
        m.require(of.bytes() * count <= 16)?;
        let swaps = operation == "cas";
        let bits = matches!(of, Type::B16 | Type::B32 | Type::B64);
        let update = if swaps {
            m.require(bits && returns)?;
            Update::CompareSwap
        } else if operation == "exch" {
            m.require(returns)?;
            Update::With(update(operation, of).ok_or_else(|| m.unknown())?)
        } else {
            Update::With(update(operation, of).ok_or_else(|| m.unknown())?)
        };
        let update_global = if operation == "add" && of == Type::F32 {
            Update::With(add_f32_global)
        } else {
            update
        };
        let operands = &s.operands[..s.operands.len() - usize::from(hint && !s.operands.is_empty())];
        let (d, address, a, b) = match (operands, returns, swaps) {
            ([d, address, a], true, false) => (Some(d), address, a, None),
            ([d, address, a, b], true, true) => (Some(d), address, a, Some(b)),
            ([address, a], false, false) => (None, address, a, None),
            _ => return Err(self.wrong_operands(s)),
        };
        let (mut a_slots, mut d_slots) = ([0; 4], [0; 4]);
        if parts(a).len() != count || d.is_some_and(|d| *d != Operand::Sink && parts(d).len() != count) {
            return Err(self.wrong_operands(s));
        }
        for (slot, operand) in a_slots.iter_mut().zip(parts(a)) {
            *slot = self.source(operand, of)?;
        }
        let b = match b {
            Some(b) => self.source(b, of)?,
            None => 0,
        };
        for (slot, operand) in d_slots.iter_mut().zip(d.into_iter().flat_map(parts)) {
            *slot = self.destination(operand, of)?;
        }
        let address = self.address(address, space, (of.bytes() * count) as u32, true)?;
        if matches!(order, Order::Release | Order::Both) {
            self.fence(Order::Release);
        }
        self.emit(Op::Atomic(Box::new(Atomic {
            address,
            size: of.bytes() as u8,
            lanes: count as u8,
            update,
            update_global,
            d: d.is_some_and(|d| *d != Operand::Sink).then_some(d_slots),
            a: a_slots,
            b,
        })));
        if matches!(order, Order::Acquire | Order::Both) {
            self.fence(Order::Acquire);
        }
        Ok(())
    }
}
