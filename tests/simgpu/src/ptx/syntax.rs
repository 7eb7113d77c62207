//! The syntax tree of a module, borrowed from its text.

use super::types::Type;

/// A piece of text with its line, for messages.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub line: u32,
    pub start: u32,
    pub end: u32,
}

/// All that a module declares.
#[derive(Default)]
pub struct Tree<'a> {
    pub variables: Vec<Variable<'a>>,
    pub functions: Vec<Function<'a>>,
    pub aliases: Vec<(&'a str, &'a str)>,
}

/// The state space of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    Global,
    Const,
    Shared,
    Local,
    Param,
}

/// A declared variable.
pub struct Variable<'a> {
    pub place: Place,
    pub space: Space,
    pub name: &'a str,
    /// How many variables `name0`, `name1`, … this declares, for `name<count>`.
    pub count: Option<u32>,
    pub external: bool,
    pub align: usize,
    pub bytes: usize,
    pub element: Type,
    pub initial: Vec<Initial<'a>>,
}

/// An element of an initial value.
pub enum Initial<'a> {
    Bits(u64),
    /// A decimal fraction, for whatever type the element has.
    Fraction(f64),
    Address {
        symbol: &'a str,
        addend: u64,
    },
}

/// A formal parameter or a returned value of a function.
#[derive(Clone, Debug)]
pub struct Formal<'a> {
    pub name: &'a str,
    /// Whether it is a register rather than memory.
    pub register: bool,
    pub element: Type,
    pub bytes: usize,
    pub align: usize,
}

/// An `.entry` or `.func`.
pub struct Function<'a> {
    pub place: Place,
    pub name: &'a str,
    pub entry: bool,
    pub returns: Vec<Formal<'a>>,
    pub formals: Vec<Formal<'a>>,
    pub max_threads: Option<u32>,
    pub required: Option<[u32; 3]>,
    /// None: only declared.
    pub body: Option<Vec<Item<'a>>>,
}

/// What a body consists of.
pub enum Item<'a> {
    Open,
    Close,
    Registers {
        element: Type,
        name: &'a str,
        count: Option<u32>,
    },
    Variable(Variable<'a>),
    Label(&'a str),
    Targets {
        label: &'a str,
        names: Vec<&'a str>,
    },
    Prototype {
        label: &'a str,
        returns: Vec<Formal<'a>>,
        formals: Vec<Formal<'a>>,
    },
    Statement(Statement<'a>),
}

/// An instruction.
pub struct Statement<'a> {
    pub place: Place,
    /// The predicate and whether it is negated.
    pub guard: Option<(&'a str, bool)>,
    /// With all its modifiers.
    pub opcode: &'a str,
    pub operands: Vec<Operand<'a>>,
}

/// An operand of an instruction.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand<'a> {
    /// A register, a special register with its component, a variable, a label or a function.
    Name(&'a str),
    /// `name+offset`.
    Sum(&'a str, i64),
    Integer(u64),
    Float32(u32),
    Float64(u64),
    /// `!name`.
    Not(&'a str),
    /// `[base+offset]`, or `[offset]`.
    Address(Option<&'a str>, i64),
    /// `{a, b}`.
    Vector(Vec<Operand<'a>>),
    /// `(a, b)`.
    List(Vec<Operand<'a>>),
    /// `a|b`.
    Pair(Box<Operand<'a>>, Box<Operand<'a>>),
    /// `_`.
    Sink,
}
