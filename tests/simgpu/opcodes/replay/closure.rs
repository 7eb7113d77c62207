//! Which forms the interpreter accepts beyond those of the table: each form's neighbours, one modifier more,
//! one less, or another one in its place, are tried.

use std::collections::{BTreeMap, BTreeSet};

use simgpu::ptx::Module;

use crate::replay::{Job, coverage};

/// Modifiers of PTX that no form of the table may have.
const OTHERS: &str = "async bulk cluster e4m3x2 f32x2 L1::evict_normal L1::evict_unchanged L2::64B L2::cache_hint \
    L2::evict_first L2::evict_last L2::evict_normal mmio oob param::func rna satfinite scaled u16x2 unified v8";

/// The table's forms, with a module that has each.
pub struct Table {
    modules: BTreeMap<String, String>,
    projections: BTreeSet<String>,
    alphabet: BTreeSet<String>,
}

impl Table {
    /// The table of these jobs.
    pub fn new<'a>(jobs: impl Iterator<Item = &'a Job>) -> Self {
        let mut modules = BTreeMap::new();
        for job in jobs {
            for form in coverage::forms(&job.ptx) {
                let module = modules.entry(form.clone()).or_insert_with(|| job.ptx.clone());
                // The form that a job is about stands in its code; others may be of the template.
                if job.name == form {
                    module.clone_from(&job.ptx);
                }
            }
        }
        let projections = modules.keys().flat_map(|form| projections(form)).collect();
        let mut alphabet: BTreeSet<String> = OTHERS.split_whitespace().map(str::to_owned).collect();
        alphabet.extend(
            modules
                .keys()
                .flat_map(|form| form.split('.').skip(1).map(str::to_owned)),
        );
        Self {
            modules,
            projections,
            alphabet,
        }
    }

    /// The accepted neighbours, without rows, of the forms that fall into one of `shards` equal parts.
    pub fn strangers(&self, shard: usize, shards: usize) -> BTreeSet<String> {
        let mut strangers = BTreeSet::new();
        for (form, ptx) in self.modules.iter().skip(shard).step_by(shards) {
            let Some(at) = place(ptx, form) else { continue };
            for neighbour in self.neighbours(form) {
                if projections(&neighbour)
                    .iter()
                    .all(|projection| self.projections.contains(projection))
                {
                    continue;
                }
                let changed = format!("{}{neighbour}{}", &ptx[..at], &ptx[at + form.len()..]);
                if Module::parse(&changed).is_ok() {
                    strangers.insert(neighbour);
                }
            }
        }
        strangers
    }

    fn neighbours(&self, form: &str) -> BTreeSet<String> {
        let parts: Vec<&str> = form.split('.').collect();
        let mut neighbours = BTreeSet::new();
        for place in 1..=parts.len() {
            for modifier in &self.alphabet {
                let mut more = parts.clone();
                more.insert(place, modifier);
                neighbours.insert(more.join("."));
                if place < parts.len() {
                    more.remove(place + 1);
                    neighbours.insert(more.join("."));
                }
            }
            if place < parts.len() {
                let mut less = parts.clone();
                less.remove(place);
                neighbours.insert(less.join("."));
            }
        }
        neighbours
    }
}

/// Where a form stands as an opcode.
fn place(ptx: &str, form: &str) -> Option<usize> {
    ptx.match_indices(form)
        .map(|(at, _)| at)
        .find(|at| ptx[..*at].ends_with([' ', '\n', '{']) && ptx[at + form.len()..].starts_with([' ', ';']))
}

/// What of a form must be in the table: all of it; of an access to memory, its order in its space, and
/// its type in its space. What a cache is told is no part of it: the hints are forms of their own.
fn projections(form: &str) -> Vec<String> {
    let parts: Vec<&str> = form.split('.').collect();
    if !["ld", "ldu", "st", "atom", "red"].contains(&parts[0]) {
        return vec![form.to_owned()];
    }
    let (mut order, mut space, mut rest) = (Vec::new(), String::new(), Vec::new());
    for part in &parts[1..] {
        let hint = part.starts_with("L1::") || part.starts_with("L2::");
        match *part {
            "weak" | "ca" | "cg" | "cs" | "lu" | "cv" | "nc" | "wb" | "wt" | "unified" => {}
            _ if hint => {}
            "cluster" => order.push("gpu"),
            "cta" | "gpu" | "sys" | "volatile" | "relaxed" | "acquire" | "release" | "acq_rel" => {
                order.push(part)
            }
            "global" | "shared" | "local" | "const" | "param" => space = (*part).to_owned(),
            "shared::cta" | "param::entry" | "param::func" => {
                space = part.split("::").next().unwrap_or("").to_owned()
            }
            _ => rest.push(*part),
        }
    }
    let base = parts[0];
    vec![
        format!("{base} {} in {space}", order.join(".")),
        format!("{base} {} of {space}", rest.join(".")),
    ]
}
