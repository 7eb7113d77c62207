//! Decoding: from the syntax tree of a kernel and what it calls to a linked program.

mod access;
mod atomic;
mod bits;
mod calls;
mod carry;
mod collective;
mod compare;
mod control;
mod convert;
mod copy;
mod floating;
mod half;
mod integer;
mod link;
mod memory;
mod modifiers;
mod moves;
mod operands;
mod special;
mod stack;

use std::collections::HashMap;

pub use link::{Symbols, link};
use modifiers::Modifiers;

use super::LoadError;
use super::program::{Guard, Held, Instruction, Op, Relocation, Routine, STACK_BYTES, Slot, Ternary};
use super::syntax::{Formal, Function, Item, Operand, Place, Space, Statement, Variable};
use super::types::Type;

/// What a name stands for within a function.
#[derive(Clone, Copy)]
enum Local {
    Register {
        slot: Slot,
        of: Type,
    },
    /// `name0`, `name1`, …
    Family {
        slot: Slot,
        of: Type,
        count: u32,
    },
    /// A variable in the frame's local memory: `.local`, or a parameter.
    Frame {
        offset: u32,
        bytes: u32,
        parameter: bool,
    },
    Shared(SharedPlace),
    /// A parameter of the kernel.
    Parameter {
        offset: u32,
    },
}

/// Where a shared variable is.
#[derive(Clone, Copy)]
enum SharedPlace {
    Static(u32),
    /// In the memory whose size the launch says, at an alignment.
    Dynamic(u32),
}

/// What a label marks.
enum Label<'t> {
    Code(u32),
    Targets(&'t [&'t str]),
    Prototype,
}

/// A scope between braces.
struct Scope<'t> {
    parent: usize,
    names: HashMap<&'t str, Local>,
    labels: HashMap<&'t str, Label<'t>>,
}

/// A branch whose target's position is not known yet.
struct Pending<'t> {
    instruction: usize,
    scope: usize,
    label: &'t str,
    line: u32,
}

/// The decoding of one function into a program.
struct Lower<'t, 'l> {
    symbols: &'l Symbols<'t>,
    linker: &'l mut link::Linker,
    function: &'t Function<'t>,
    scopes: Vec<Scope<'t>>,
    scope: usize,
    template: Vec<u64>,
    relocations: Vec<(Slot, Relocation)>,
    constants: HashMap<u64, Slot>,
    relocated: HashMap<(Relocation, u64), Slot>,
    carry: Option<Slot>,
    frame_bytes: u32,
    local_bytes: u32,
    pending: Vec<Pending<'t>>,
    place: Place,
}

impl<'t, 'l> Lower<'t, 'l> {
    fn new(symbols: &'l Symbols<'t>, linker: &'l mut link::Linker, function: &'t Function<'t>) -> Self {
        let scope = Scope {
            parent: 0,
            names: HashMap::new(),
            labels: HashMap::new(),
        };
        Self {
            symbols,
            linker,
            function,
            scopes: vec![scope],
            scope: 0,
            template: Vec::new(),
            relocations: Vec::new(),
            constants: HashMap::new(),
            relocated: HashMap::new(),
            carry: None,
            frame_bytes: 0,
            local_bytes: 0,
            pending: Vec::new(),
            place: function.place,
        }
    }

    /// Decodes the function; its routine and the bytes of its `.local` variables.
    fn routine(mut self) -> Result<(Routine, u32), LoadError> {
        let entry = self.linker.code.len() as u32;
        // Slot 0 is what operands that are not used read.
        self.slot();
        let function = self.function;
        let returns = function
            .returns
            .iter()
            .map(|formal| self.formal(formal))
            .collect::<Result<_, _>>()?;
        let formals = if function.entry {
            self.kernel_parameters();
            Vec::new()
        } else {
            function
                .formals
                .iter()
                .map(|formal| self.formal(formal))
                .collect::<Result<_, _>>()?
        };
        for item in function.body.iter().flatten() {
            self.item(item)?;
        }
        // Falling off the end returns.
        self.emit(Op::Return);
        self.resolve()?;
        let routine = Routine {
            entry,
            template: self.template,
            relocations: self.relocations,
            frame_bytes: self.frame_bytes.next_multiple_of(16),
            formals,
            returns,
        };
        Ok((routine, self.local_bytes))
    }

    fn kernel_parameters(&mut self) {
        let offsets = parameter_offsets(&self.function.formals);
        for (formal, offset) in self.function.formals.iter().zip(offsets) {
            self.scopes[0].names.insert(
                formal.name,
                Local::Parameter {
                    offset: offset as u32,
                },
            );
        }
    }

    fn formal(&mut self, formal: &'t Formal<'t>) -> Result<Held, LoadError> {
        let (local, held) = if formal.register {
            let slot = self.slot();
            (
                Local::Register {
                    slot,
                    of: formal.element,
                },
                Held::Slot(slot),
            )
        } else {
            let (offset, bytes) = (self.in_frame(formal.align, formal.bytes)?, formal.bytes as u32);
            (
                Local::Frame {
                    offset,
                    bytes,
                    parameter: true,
                },
                Held::Memory { offset, bytes },
            )
        };
        self.scopes[0].names.insert(formal.name, local);
        Ok(held)
    }

    /// The place of a shared variable.
    fn shared(&mut self, variable: &Variable) -> Result<SharedPlace, LoadError> {
        self.linker
            .shared(variable)
            .ok_or_else(|| self.syntax("more shared memory than a block may have"))
    }

    /// Room in the frame's local memory.
    fn in_frame(&mut self, align: usize, bytes: usize) -> Result<u32, LoadError> {
        let offset = self.frame_bytes.next_multiple_of(align as u32);
        let end = offset as usize + bytes;
        if end > STACK_BYTES {
            return Err(self.syntax("more local variables than a thread may have"));
        }
        self.frame_bytes = end as u32;
        Ok(offset)
    }

    fn item(&mut self, item: &'t Item<'t>) -> Result<(), LoadError> {
        match item {
            Item::Open => {
                let scope = Scope {
                    parent: self.scope,
                    names: HashMap::new(),
                    labels: HashMap::new(),
                };
                self.scope = self.scopes.len();
                self.scopes.push(scope);
            }
            Item::Close => self.scope = self.scopes[self.scope].parent,
            Item::Registers { element, name, count } => {
                let slot = self.template.len() as Slot;
                self.template
                    .resize(self.template.len() + count.unwrap_or(1) as usize, 0);
                let local = match *count {
                    None => Local::Register { slot, of: *element },
                    Some(count) => Local::Family {
                        slot,
                        of: *element,
                        count,
                    },
                };
                self.scopes[self.scope].names.insert(name, local);
            }
            Item::Variable(variable) => self.variable(variable)?,
            Item::Label(name) => {
                let here = Label::Code(self.linker.code.len() as u32);
                if self.scopes[self.scope].labels.insert(name, here).is_some() {
                    return Err(self.syntax(&format!("label `{name}` is there twice")));
                }
            }
            Item::Targets { label, names } => {
                self.scopes[self.scope]
                    .labels
                    .insert(label, Label::Targets(names));
            }
            Item::Prototype { label, .. } => {
                self.scopes[self.scope].labels.insert(label, Label::Prototype);
            }
            Item::Statement(statement) => self.statement(statement)?,
        }
        Ok(())
    }

    fn variable(&mut self, variable: &'t Variable<'t>) -> Result<(), LoadError> {
        self.place = variable.place;
        let local = match variable.space {
            Space::Local | Space::Param => {
                if variable.count.is_some() {
                    return Err(self.unknown("a family of variables"));
                }
                if variable.space == Space::Local {
                    self.local_bytes += variable.bytes as u32;
                }
                let offset = self.in_frame(variable.align, variable.bytes)?;
                let parameter = variable.space == Space::Param;
                Local::Frame {
                    offset,
                    bytes: variable.bytes as u32,
                    parameter,
                }
            }
            Space::Shared => Local::Shared(self.shared(variable)?),
            // They are hoisted to the module's.
            Space::Global | Space::Const => return Ok(()),
        };
        self.scopes[self.scope].names.insert(variable.name, local);
        Ok(())
    }

    fn statement(&mut self, statement: &'t Statement<'t>) -> Result<(), LoadError> {
        self.place = statement.place;
        let guard = match statement.guard {
            None => None,
            Some((name, negated)) => {
                let slot = self.source(&Operand::Name(name), Type::Pred)?;
                Some(Guard { slot, negated })
            }
        };
        let first = self.linker.code.len();
        self.instruction(statement)?;
        let Some(guard) = guard else { return Ok(()) };
        let code = &mut self.linker.code;
        if code.len() == first + 1 && code[first].guard.is_none() {
            code[first].guard = Some(guard);
        } else if code.len() > first {
            // The guard may be among what is written, so it is read once.
            let skip = Op::Branch(code.len() as u32 + 1);
            let skipped = Guard {
                negated: !guard.negated,
                ..guard
            };
            code.insert(
                first,
                Instruction {
                    guard: Some(skipped),
                    op: skip,
                },
            );
            self.linker.places.insert(first, statement.place);
            for pending in &mut self.pending {
                if pending.instruction >= first {
                    pending.instruction += 1;
                }
            }
        }
        Ok(())
    }

    fn instruction(&mut self, s: &'t Statement<'t>) -> Result<(), LoadError> {
        let (base, m) = Modifiers::new(s.opcode, s.place.line);
        match base {
            "add" | "sub" | "mul" | "mad" | "min" | "max" | "abs" | "neg" | "div" | "fma" => {
                self.arithmetic(base, m, s)
            }
            "rem" | "sad" | "mul24" | "mad24" | "dp4a" | "dp2a" => self.integer(base, m, s),
            "addc" | "subc" | "madc" => self.carrying(base, m, s),
            "rcp" | "sqrt" | "rsqrt" | "sin" | "cos" | "lg2" | "ex2" | "tanh" | "testp" | "copysign" => {
                self.floating(base, m, s)
            }
            "and" | "or" | "xor" | "not" | "cnot" | "shl" | "shr" | "shf" | "lop3" | "prmt" | "bfe"
            | "bfi" | "bfind" | "brev" | "clz" | "popc" | "fns" | "bmsk" | "szext" => self.bits(base, m, s),
            "setp" | "set" | "selp" | "slct" => self.compare(base, m, s),
            "cvt" => self.convert(m, s),
            "mov" => self.moved(m, s),
            "ld" | "ldu" | "st" | "atom" | "red" | "prefetch" | "prefetchu" | "applypriority" | "discard"
            | "membar" | "fence" | "cvta" | "isspacep" => self.memory(base, m, s),
            "bra" | "brx" | "ret" | "exit" | "trap" | "brkpt" | "nanosleep" | "pmevent" => {
                self.control(base, m, s)
            }
            "call" => self.call(m, s),
            "cp" => self.copy(m, s),
            "alloca" | "stacksave" | "stackrestore" => self.stack(base, m, s),
            "shfl" | "vote" | "match" | "redux" | "activemask" | "elect" | "bar" | "barrier" => {
                self.collective(base, m, s)
            }
            _ => Err(m.unknown()),
        }
    }

    /// The opcodes that integers and floating point share.
    fn arithmetic(&mut self, base: &str, m: Modifiers<'t>, s: &'t Statement<'t>) -> Result<(), LoadError> {
        let last = s.opcode.rsplit('.').next().unwrap_or_default();
        match Type::named(last) {
            Some(Type::F32 | Type::F64) => self.floating(base, m, s),
            Some(Type::F16 | Type::F16x2 | Type::Bf16 | Type::Bf16x2) => self.half(base, m, s),
            Some(_) if s.opcode.contains(".cc.") => self.carrying(base, m, s),
            _ => self.integer(base, m, s),
        }
    }

    fn emit(&mut self, op: Op) {
        self.linker.code.push(Instruction { guard: None, op });
        self.linker.places.push(self.place);
    }

    /// Emits `d = f(sources)`.
    fn compute(&mut self, f: Ternary, d: Slot, sources: &[Slot]) {
        let source = |index: usize| sources.get(index).copied().unwrap_or(0);
        self.emit(Op::Compute {
            f,
            d,
            a: source(0),
            b: source(1),
            c: source(2),
        });
    }

    /// Decodes an instruction that computes one value from operands of these types.
    fn plain(&mut self, s: &'t Statement<'t>, to: Type, from: &[Type], f: Ternary) -> Result<(), LoadError> {
        let [d, sources @ ..] = &s.operands[..] else {
            return Err(self.wrong_operands(s));
        };
        if sources.len() != from.len() {
            return Err(self.wrong_operands(s));
        }
        let mut slots = [0; 3];
        for (slot, (operand, &of)) in slots.iter_mut().zip(sources.iter().zip(from)) {
            *slot = self.source(operand, of)?;
        }
        let d = self.destination(d, to)?;
        self.compute(f, d, &slots[..from.len()]);
        Ok(())
    }

    /// Patches the branches of the function, now that all its labels are known.
    fn resolve(&mut self) -> Result<(), LoadError> {
        for pending in std::mem::take(&mut self.pending) {
            let missing =
                || LoadError::Syntax(format!("line {}: no label `{}`", pending.line, pending.label));
            match &self.linker.code[pending.instruction].op {
                Op::Branch(_) => {
                    let target = self
                        .code_label(pending.scope, pending.label)
                        .ok_or_else(missing)?;
                    self.linker.code[pending.instruction].op = Op::Branch(target);
                }
                &Op::BranchIndexed { index, .. } => {
                    let Some(Label::Targets(names)) = self.label(pending.scope, pending.label) else {
                        return Err(missing());
                    };
                    let targets = names.iter().map(|name| self.code_label(pending.scope, name));
                    let targets = targets.collect::<Option<Box<[u32]>>>().ok_or_else(missing)?;
                    self.linker.code[pending.instruction].op = Op::BranchIndexed { index, targets };
                }
                _ => return Err(missing()),
            }
        }
        Ok(())
    }

    fn label(&self, mut scope: usize, name: &str) -> Option<&Label<'t>> {
        loop {
            let here = &self.scopes[scope];
            if let Some(label) = here.labels.get(name) {
                return Some(label);
            }
            if scope == 0 {
                return None;
            }
            scope = here.parent;
        }
    }

    fn code_label(&self, scope: usize, name: &str) -> Option<u32> {
        match self.label(scope, name) {
            Some(&Label::Code(position)) => Some(position),
            _ => None,
        }
    }

    fn syntax(&self, what: &str) -> LoadError {
        LoadError::Syntax(format!("line {}: {what}", self.place.line))
    }

    fn unknown(&self, what: &str) -> LoadError {
        LoadError::Unknown(format!("line {}: {what}", self.place.line))
    }

    fn wrong_operands(&self, s: &Statement) -> LoadError {
        self.syntax(&format!("`{}` does not take these operands", s.opcode))
    }
}

/// The offsets of a kernel's parameters.
pub fn parameter_offsets(formals: &[Formal]) -> Vec<usize> {
    let mut end = 0usize;
    let place = |formal: &Formal| {
        let offset = end.next_multiple_of(formal.align);
        end = offset + formal.bytes;
        offset
    };
    formals.iter().map(place).collect()
}
