//! Linking: a kernel and every function that it may call become one program.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::{Lower, SharedPlace};
use crate::ptx::LoadError;
use crate::ptx::program::{Instruction, Program, Relocation, Routine, SHARED_BYTES};
use crate::ptx::syntax::{Item, Place, Space, Tree, Variable};

/// The names that a module declares.
pub struct Symbols<'t> {
    pub tree: &'t Tree<'t>,
    pub functions: HashMap<&'t str, usize>,
    /// The module's shared variables.
    pub shared: HashMap<&'t str, &'t Variable<'t>>,
    /// The global and constant variables, those within functions too, and their index in the module.
    pub globals: HashMap<&'t str, u32>,
    /// The variables that `globals` counts.
    pub placed: Vec<&'t Variable<'t>>,
}

impl<'t> Symbols<'t> {
    pub fn new(tree: &'t Tree<'t>) -> Result<Self, LoadError> {
        let mut symbols = Self {
            tree,
            functions: HashMap::new(),
            shared: HashMap::new(),
            globals: HashMap::new(),
            placed: Vec::new(),
        };
        for (index, function) in tree.functions.iter().enumerate() {
            match symbols.functions.entry(function.name) {
                Entry::Vacant(entry) => {
                    entry.insert(index);
                }
                // A declaration may come before or after the definition.
                Entry::Occupied(mut entry) if tree.functions[*entry.get()].body.is_none() => {
                    entry.insert(index);
                }
                Entry::Occupied(_) if function.body.is_none() => {}
                Entry::Occupied(_) => return Err(twice(function.place, function.name)),
            }
        }
        for &(alias, name) in &tree.aliases {
            let Some(&index) = symbols.functions.get(name) else {
                return Err(LoadError::Syntax(format!(
                    "`{alias}` is an alias of no function `{name}`"
                )));
            };
            symbols.functions.insert(alias, index);
        }
        let bodies = tree
            .functions
            .iter()
            .filter_map(|function| function.body.as_ref())
            .flatten();
        let inner = bodies.filter_map(|item| match item {
            Item::Variable(variable) => Some(variable),
            _ => None,
        });
        for variable in &tree.variables {
            if variable.space == Space::Shared {
                symbols.shared.insert(variable.name, variable);
            } else {
                symbols.place(variable)?;
            }
        }
        for variable in inner.filter(|variable| matches!(variable.space, Space::Global | Space::Const)) {
            symbols.place(variable)?;
        }
        Ok(symbols)
    }

    fn place(&mut self, variable: &'t Variable<'t>) -> Result<(), LoadError> {
        if variable.external {
            let defined = |other: &&Variable| other.name == variable.name && !other.external;
            if self.tree.variables.iter().any(|other| defined(&other)) {
                return Ok(());
            }
            let name = variable.name;
            return Err(LoadError::Syntax(format!(
                "line {}: `{name}` is defined in no module",
                variable.place.line
            )));
        }
        if self
            .globals
            .insert(variable.name, self.placed.len() as u32)
            .is_some()
        {
            return Err(twice(variable.place, variable.name));
        }
        self.placed.push(variable);
        Ok(())
    }
}

fn twice(place: Place, name: &str) -> LoadError {
    LoadError::Syntax(format!("line {}: `{name}` is there twice", place.line))
}

/// A program in the making.
pub struct Linker {
    pub code: Vec<Instruction>,
    pub places: Vec<Place>,
    /// The functions of the program, in the order of its routines.
    pub queue: Vec<usize>,
    pub by_function: Vec<Option<u32>>,
    shared: HashMap<*const u8, SharedPlace>,
    shared_bytes: u32,
    pub granule: u32,
    pub cross_warp: bool,
    pub sites: u32,
}

impl Linker {
    /// The routine that a function is or will be.
    pub fn routine(&mut self, function: usize) -> u32 {
        *self.by_function[function].get_or_insert_with(|| {
            self.queue.push(function);
            self.queue.len() as u32 - 1
        })
    }

    /// The place of a shared variable, which it gets when it is first named; none if there is no room.
    pub fn shared(&mut self, variable: &Variable) -> Option<SharedPlace> {
        if variable.external {
            return Some(SharedPlace::Dynamic(variable.align as u32));
        }
        // Variables of the same name may be in several functions; a name's place in the text is its own.
        let key = variable.name.as_ptr();
        if let Some(&place) = self.shared.get(&key) {
            return Some(place);
        }
        let offset = self.shared_bytes.next_multiple_of(variable.align as u32);
        let end = offset as usize + variable.bytes;
        if end > SHARED_BYTES {
            return None;
        }
        self.shared_bytes = end as u32;
        self.shared.insert(key, SharedPlace::Static(offset));
        Some(SharedPlace::Static(offset))
    }

    pub fn site(&mut self) -> u32 {
        self.sites += 1;
        self.sites - 1
    }
}

/// Links the kernel or function with all that it calls; also the bytes of its `.local` variables.
pub fn link(symbols: &Symbols, root: usize, source: &Arc<str>) -> Result<(Program, u32), LoadError> {
    let functions = &symbols.tree.functions;
    let mut linker = Linker {
        code: Vec::new(),
        places: Vec::new(),
        queue: Vec::new(),
        by_function: vec![None; functions.len()],
        shared: HashMap::new(),
        shared_bytes: 0,
        granule: 16,
        cross_warp: false,
        sites: 0,
    };
    linker.routine(root);
    let mut routines: Vec<Routine> = Vec::new();
    let mut local_bytes = 0;
    while let Some(&function) = linker.queue.get(routines.len()) {
        let (routine, local) = Lower::new(symbols, &mut linker, &functions[function]).routine()?;
        if routines.is_empty() {
            local_bytes = local;
        }
        routines.push(routine);
    }
    for routine in &mut routines {
        for &(slot, relocation) in &routine.relocations {
            if let Relocation::Dynamic(align) = relocation {
                let start = linker.shared_bytes.next_multiple_of(align.max(16));
                routine.template[slot as usize] = routine.template[slot as usize].wrapping_add(start.into());
            }
        }
        routine
            .relocations
            .retain(|(_, relocation)| !matches!(relocation, Relocation::Dynamic(_)));
    }
    let program = Program {
        code: linker.code,
        places: linker.places,
        source: Arc::clone(source),
        routines,
        by_function: linker.by_function,
        static_shared_bytes: linker.shared_bytes,
        granule: linker.granule,
        cross_warp: linker.cross_warp,
        sites: linker.sites,
        required: functions[root].required,
    };
    Ok((program, local_bytes))
}
