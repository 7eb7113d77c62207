//! Parsing a module into its syntax tree.

use super::LoadError;
use super::scan::{Number, Scanner};
use super::syntax::{Formal, Function, Initial, Place, Space, Tree, Variable};
use super::types::Type;

/// The syntax tree of a text.
pub fn parse(text: &str) -> Result<Tree<'_>, LoadError> {
    let mut parser = Parser {
        scanner: Scanner::new(text),
        tree: Tree::default(),
    };
    while !parser.scanner.at_end() {
        parser.declaration()?;
    }
    Ok(parser.tree)
}

/// A module being parsed.
pub struct Parser<'a> {
    pub scanner: Scanner<'a>,
    tree: Tree<'a>,
}

/// What a variable's or parameter's declaration says before its name.
pub struct Declarator {
    pub element: Type,
    pub lanes: usize,
    pub align: Option<usize>,
}

impl<'a> Parser<'a> {
    fn declaration(&mut self) -> Result<(), LoadError> {
        let scanner = &mut self.scanner;
        let mut external = false;
        loop {
            let place = scanner.place();
            let directive = scanner.directive();
            match directive {
                ".visible" | ".weak" | ".common" => {
                    scanner.word();
                }
                ".extern" => {
                    scanner.word();
                    external = true;
                }
                ".version" => {
                    scanner.word();
                    scanner.number()?;
                    return Ok(());
                }
                ".target" => return self.target(),
                ".address_size" => {
                    scanner.word();
                    if scanner.natural()? != 64 {
                        return Err(scanner.unknown("`.address_size` other than 64"));
                    }
                    return Ok(());
                }
                ".file" => {
                    scanner.skip_line();
                    return Ok(());
                }
                ".section" => {
                    scanner.skip_past(b'{');
                    scanner.skip_past(b'}');
                    return Ok(());
                }
                ".pragma" => {
                    scanner.skip_past(b';');
                    return Ok(());
                }
                ".alias" => {
                    scanner.word();
                    let name = scanner.name()?;
                    scanner.expect(b',')?;
                    self.tree.aliases.push((name, scanner.name()?));
                    return scanner.expect(b';');
                }
                ".entry" | ".func" => {
                    scanner.word();
                    let function = self.function(place, directive == ".entry")?;
                    self.tree.functions.push(function);
                    return Ok(());
                }
                ".global" | ".const" | ".shared" => {
                    let variables = self.variables(external)?;
                    self.tree.variables.extend(variables);
                    return Ok(());
                }
                "" if scanner.accept(b';') => return Ok(()),
                "" => return Err(scanner.syntax("expected a directive")),
                other => return Err(scanner.unknown(&format!("directive `{other}`"))),
            }
        }
    }

    fn target(&mut self) -> Result<(), LoadError> {
        self.scanner.word();
        loop {
            let name = self.scanner.name()?;
            let architecture = name
                .strip_prefix("sm_")
                .map(|digits| digits.trim_end_matches(['a', 'f']));
            let known = architecture.and_then(|digits| digits.parse().ok());
            if !known.is_some_and(|number: u32| (30..=121).contains(&number))
                && !matches!(name, "debug" | "texmode_independent" | "texmode_unified")
            {
                return Err(self.scanner.unknown(&format!("target `{name}`")));
            }
            if !self.scanner.accept(b',') {
                return Ok(());
            }
        }
    }

    pub fn declarator(&mut self) -> Result<Declarator, LoadError> {
        let scanner = &mut self.scanner;
        let (mut element, mut lanes, mut align) = (None, 1, None);
        loop {
            match scanner.directive() {
                "" => break,
                ".align" => {
                    scanner.word();
                    let value = scanner.natural()? as usize;
                    if !value.is_power_of_two() || value > 1 << 12 {
                        return Err(scanner.syntax("no alignment before"));
                    }
                    align = Some(value);
                }
                ".ptr" => {
                    scanner.word();
                    // What a pointer points at, its space and alignment, promises something to an optimizer.
                    while matches!(scanner.directive(), ".global" | ".shared" | ".const" | ".local") {
                        scanner.word();
                    }
                    if scanner.accept_directive(".align") {
                        scanner.natural()?;
                    }
                }
                ".attribute" => {
                    scanner.word();
                    scanner.expect(b'(')?;
                    let name = scanner.word();
                    if name != ".managed" {
                        return Err(scanner.unknown(&format!("attribute `{name}`")));
                    }
                    scanner.expect(b')')?;
                }
                ".v2" | ".v4" => lanes = if scanner.word() == ".v2" { 2 } else { 4 },
                name => {
                    element = Type::named(&name[1..]);
                    if element.is_none() {
                        return Err(scanner.unknown(&format!("directive `{name}`")));
                    }
                    scanner.word();
                }
            }
        }
        let element = element.ok_or_else(|| scanner.syntax("expected a type"))?;
        Ok(Declarator {
            element,
            lanes,
            align,
        })
    }

    /// The dimensions behind a name: the number of elements, None for `[]`.
    fn elements(&mut self) -> Result<Option<usize>, LoadError> {
        let mut count = Some(1usize);
        while self.scanner.accept(b'[') {
            if self.scanner.accept(b']') {
                count = None;
                continue;
            }
            let dimension = self.scanner.natural()? as usize;
            self.scanner.expect(b']')?;
            count = match count {
                Some(count) => Some(
                    count
                        .checked_mul(dimension)
                        .filter(|&elements| elements < 1 << 31)
                        .ok_or_else(|| self.scanner.syntax("an array too large before"))?,
                ),
                None => None,
            };
        }
        Ok(count)
    }

    /// One directive of variables, which may name several.
    pub fn variables(&mut self, external: bool) -> Result<Vec<Variable<'a>>, LoadError> {
        let space = match self.scanner.word() {
            ".global" => Space::Global,
            ".const" => Space::Const,
            ".shared" => Space::Shared,
            ".local" => Space::Local,
            ".param" => Space::Param,
            other => return Err(self.scanner.unknown(&format!("directive `{other}`"))),
        };
        let Declarator {
            element,
            lanes,
            align,
        } = self.declarator()?;
        let mut variables = Vec::new();
        loop {
            let place = self.scanner.place();
            let name = self.scanner.name()?;
            let count = self.family()?;
            let elements = self.elements()?;
            let mut initial = Vec::new();
            if self.scanner.accept(b'=') {
                self.initial(&mut initial)?;
            }
            let elements = match elements {
                Some(elements) => elements * lanes,
                None => initial.len(),
            };
            if initial.len() > elements {
                return Err(self.scanner.syntax("more initial values than elements before"));
            }
            let size = element.bytes();
            variables.push(Variable {
                place: self.scanner.until_here(place),
                space,
                name,
                count,
                external,
                align: align.unwrap_or(size * lanes),
                bytes: elements * size,
                element,
                initial,
            });
            if !self.scanner.accept(b',') {
                self.scanner.expect(b';')?;
                return Ok(variables);
            }
        }
    }

    /// The count in `name<count>`.
    pub fn family(&mut self) -> Result<Option<u32>, LoadError> {
        if !self.scanner.accept(b'<') {
            return Ok(None);
        }
        let count = self.scanner.natural()?;
        self.scanner.expect(b'>')?;
        if count > 1 << 20 {
            return Err(self.scanner.syntax("too many registers before"));
        }
        Ok(Some(count as u32))
    }

    fn initial(&mut self, into: &mut Vec<Initial<'a>>) -> Result<(), LoadError> {
        if self.scanner.accept(b'{') {
            while !self.scanner.accept(b'}') {
                self.initial(into)?;
                if !self.scanner.accept(b',') && self.scanner.peek() != b'}' {
                    return Err(self.scanner.syntax("expected `,` or `}`"));
                }
            }
            return Ok(());
        }
        if self.scanner.at_name() {
            let mut symbol = self.scanner.name()?;
            if symbol == "generic" && self.scanner.accept(b'(') {
                symbol = self.scanner.name()?;
                self.scanner.expect(b')')?;
            }
            if self.scanner.peek() == b'(' {
                return Err(self.scanner.unknown(&format!("`{symbol}()` in an initial value")));
            }
            let signed = matches!(self.scanner.peek(), b'+' | b'-');
            let addend = if signed { self.scanner.natural()? } else { 0 };
            into.push(Initial::Address { symbol, addend });
            return Ok(());
        }
        into.push(match self.expression()? {
            Number::Integer(bits) => Initial::Bits(bits),
            Number::Float32(bits) => Initial::Bits(bits.into()),
            Number::Float64(bits) => Initial::Fraction(f64::from_bits(bits)),
        });
        Ok(())
    }

    pub fn formals(&mut self) -> Result<Vec<Formal<'a>>, LoadError> {
        let mut formals = Vec::new();
        if !self.scanner.accept(b'(') || self.scanner.accept(b')') {
            return Ok(formals);
        }
        loop {
            let register = match self.scanner.word() {
                ".param" => false,
                ".reg" => true,
                other => return Err(self.scanner.unknown(&format!("parameter space `{other}`"))),
            };
            let Declarator {
                element,
                lanes,
                align,
            } = self.declarator()?;
            let name = self.scanner.name()?;
            let elements = self.elements()?;
            let elements = elements.ok_or_else(|| self.scanner.unknown("a parameter of unspecified size"))?;
            let bytes = element.bytes() * lanes * elements;
            formals.push(Formal {
                name,
                register,
                element,
                bytes,
                align: align.unwrap_or(element.bytes() * lanes),
            });
            if !self.scanner.accept(b',') {
                self.scanner.expect(b')')?;
                return Ok(formals);
            }
        }
    }

    fn function(&mut self, place: Place, entry: bool) -> Result<Function<'a>, LoadError> {
        if self.scanner.directive() == ".attribute" {
            return Err(self.scanner.unknown("`.attribute` of a function"));
        }
        let returns = if entry { Vec::new() } else { self.formals()? };
        let name = self.scanner.name()?;
        let formals = self.formals()?;
        let place = self.scanner.until_here(place);
        let (mut max_threads, mut required) = (None, None);
        loop {
            match self.scanner.directive() {
                "" => break,
                ".noreturn" => {
                    self.scanner.word();
                }
                directive @ (".maxntid" | ".reqntid") => {
                    let shape = self.shape()?;
                    max_threads = Some(
                        shape
                            .iter()
                            .fold(1, |threads: u32, &extent| threads.saturating_mul(extent)),
                    );
                    if directive == ".reqntid" {
                        required = Some(shape);
                    }
                }
                // Hints of how many blocks should fit, and how few registers to use.
                ".minnctapersm" | ".maxnctapersm" | ".maxnreg" => {
                    self.scanner.word();
                    self.scanner.natural()?;
                }
                ".pragma" => self.scanner.skip_past(b';'),
                other => return Err(self.scanner.unknown(&format!("directive `{other}`"))),
            }
        }
        let body = if self.scanner.accept(b';') {
            None
        } else {
            Some(self.body()?)
        };
        Ok(Function {
            place,
            name,
            entry,
            returns,
            formals,
            max_threads,
            required,
            body,
        })
    }

    fn shape(&mut self) -> Result<[u32; 3], LoadError> {
        self.scanner.word();
        let mut shape = [1; 3];
        for (index, extent) in shape.iter_mut().enumerate() {
            if index > 0 && !self.scanner.accept(b',') {
                break;
            }
            *extent = self.scanner.natural()? as u32;
        }
        Ok(shape)
    }
}
