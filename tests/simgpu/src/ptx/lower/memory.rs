//! Memory: loads, stores, atomics, fences and addresses.

use super::{Lower, Modifiers, half};
use crate::ptx::LoadError;
use crate::ptx::exact::{self, F32, F64};
use crate::ptx::program::{
    AccessSpace, Atomic, FUNCTION_WINDOW, LOCAL_WINDOW, Op, Order, PARAMETER_WINDOW, SHARED_WINDOW, Ternary,
    Update, WINDOWS,
};
use crate::ptx::syntax::{Operand, Statement};
use crate::ptx::types::Type;

/// What a cache may do with an access has no effect here.
const CACHE_OPERATORS: [&str; 8] = ["ca", "cg", "cs", "lu", "cv", "nc", "wb", "wt"];
const CACHE_HINTS: [&str; 13] = [
    "L1::evict_normal",
    "L1::evict_unchanged",
    "L1::evict_first",
    "L1::evict_last",
    "L1::no_allocate",
    "L2::evict_last",
    "L2::evict_normal",
    "L2::evict_first",
    "L2::cache_hint",
    "L2::64B",
    "L2::128B",
    "L2::256B",
    "unified",
];
const SCOPES: [&str; 4] = ["cta", "cluster", "gpu", "sys"];

/// The state space that comes next; generic if none does.
fn space(m: &mut Modifiers) -> AccessSpace {
    match m.accept_any(&[
        "global",
        "const",
        "shared",
        "shared::cta",
        "local",
        "param",
        "param::entry",
        "param::func",
    ]) {
        Some("global" | "const") => AccessSpace::Global,
        Some("shared" | "shared::cta") => AccessSpace::Shared,
        Some("local") => AccessSpace::Local,
        Some(_) => AccessSpace::Parameter,
        None => AccessSpace::Generic,
    }
}

/// Takes the cache modifiers that come next; whether one of them brings an operand.
fn cache_modifiers(m: &mut Modifiers) -> bool {
    let mut operand = false;
    while let Some(hint) = m
        .accept_any(&CACHE_OPERATORS)
        .or_else(|| m.accept_any(&CACHE_HINTS))
    {
        operand |= hint == "L2::cache_hint";
    }
    operand
}

fn lanes(m: &mut Modifiers) -> usize {
    match m.accept_any(&["v2", "v4"]) {
        Some("v2") => 2,
        Some(_) => 4,
        None => 1,
    }
}

/// The parts of a vector operand, or the operand itself.
fn parts<'t>(operand: &'t Operand<'t>) -> &'t [Operand<'t>] {
    match operand {
        Operand::Vector(parts) => parts,
        single => std::slice::from_ref(single),
    }
}

fn storable(of: Type) -> bool {
    of.integer() || of.untyped() || matches!(of, Type::F32 | Type::F64)
}

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
        ("add", U64 | S64) => |old, a, _| old.wrapping_add(a),
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
                m.expect_any(&SCOPES)?;
                m.finish()?;
                self.fence(order);
                Ok(())
            }
            "cvta" => self.convert_address(m, s),
            "isspacep" => self.is_space(m, s),
            // Hints of what will be used.
            "prefetch" | "prefetchu" => {
                space(&mut m);
                m.expect_any(&["L1", "L2", "L2::evict_last", "L2::evict_normal"])?;
                m.finish()
            }
            "applypriority" => {
                space(&mut m);
                m.expect("L2::evict_normal")?;
                m.finish()
            }
            _ => Err(m.unknown()),
        }
    }

    fn fence(&mut self, order: Order) {
        self.linker.cross_warp = true;
        self.emit(Op::Fence(order));
    }

    fn load(&mut self, mut m: Modifiers<'t>, s: &'t Statement<'t>) -> Result<(), LoadError> {
        let strength = m.accept_any(&["weak", "volatile", "relaxed", "acquire"]);
        m.accept_any(&SCOPES);
        let space = space(&mut m);
        let hint = cache_modifiers(&mut m);
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
        let strong = strength.is_some_and(|strength| strength != "weak");
        let address = self.address(a, space, (of.bytes() * count) as u32, strong)?;
        let mut slots = [0; 4];
        let mut mask = u64::MAX;
        for (slot, operand) in slots.iter_mut().zip(d) {
            let register;
            (*slot, register) = self.wide_destination(operand, of)?;
            mask &= register.mask();
        }
        if strength == Some("acquire") {
            self.linker.cross_warp = true;
        }
        self.emit(Op::Load {
            address,
            size: of.bytes() as u8,
            lanes: count as u8,
            signed: of.signed(),
            mask,
            d: slots,
        });
        if strength == Some("acquire") {
            self.fence(Order::Acquire);
        }
        Ok(())
    }

    fn store(&mut self, mut m: Modifiers<'t>, s: &'t Statement<'t>) -> Result<(), LoadError> {
        let strength = m.accept_any(&["weak", "volatile", "relaxed", "release"]);
        m.accept_any(&SCOPES);
        let space = space(&mut m);
        let hint = cache_modifiers(&mut m);
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
        let strong = strength.is_some_and(|strength| strength != "weak");
        let address = self.address(d, space, (of.bytes() * count) as u32, strong)?;
        let mut slots = [0; 4];
        for (slot, operand) in slots.iter_mut().zip(a) {
            *slot = self.wide_source(operand, of)?;
        }
        if strength == Some("release") {
            self.fence(Order::Release);
        }
        self.emit(Op::Store {
            address,
            size: of.bytes() as u8,
            lanes: count as u8,
            a: slots,
        });
        Ok(())
    }

    fn atomic(&mut self, returns: bool, mut m: Modifiers<'t>, s: &'t Statement<'t>) -> Result<(), LoadError> {
        let order = match m.accept_any(&["relaxed", "acquire", "release", "acq_rel"]) {
            Some("acquire") => Order::Acquire,
            Some("release") => Order::Release,
            Some("acq_rel") => Order::Both,
            _ => Order::None,
        };
        m.accept_any(&SCOPES);
        let space = space(&mut m);
        // The older order.
        m.accept_any(&SCOPES);
        m.require(!matches!(space, AccessSpace::Local | AccessSpace::Parameter))?;
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

    fn convert_address(&mut self, mut m: Modifiers<'t>, s: &'t Statement<'t>) -> Result<(), LoadError> {
        let from_generic = m.accept("to");
        let space = space(&mut m);
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
