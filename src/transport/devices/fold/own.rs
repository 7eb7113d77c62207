//! What a rank brings to a fold: lent to others, and opened by them.

use std::ops::Range;
use std::sync::Arc;

use bytemuck::Zeroable;

use super::note::{Head, Note, state};
use crate::device::cuda::{Borrower, Gpu, Handle, OpenWindow, lend};
use crate::device::{Fold, Lane};
use crate::error::{Error, ErrorKind, Result};
use crate::transport::devices::links::Links;
use crate::transport::devices::shared::{Loan, Ring};
use crate::transport::devices::{Line, Target};
use crate::transport::{Share, Task};

/// What a rank has of its own.
pub(super) struct Own {
    pub elements: Target,
    pub result: Option<Target>,
    pub tasks: Vec<Task>,
    rank: usize,
    share_a_process: bool,
}

impl Own {
    pub(super) fn new(share: &Share<'_>, rank: usize, share_a_process: bool) -> Own {
        Own {
            elements: Target::new(&share.elements),
            result: share.result.as_ref().map(Target::new),
            tasks: share.tasks.clone(),
            rank,
            share_a_process,
        }
    }

    pub(super) fn lane(&self) -> &Arc<Lane> {
        &self.elements.lane
    }

    /// Whether nothing before uses them.
    pub(super) fn are_idle(&self) -> Result<bool> {
        for target in [Some(&self.elements), self.result.as_ref()].into_iter().flatten() {
            if !target.lane.is_idle()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The result, where kernels of other ranks write it.
    fn lent_result(&self) -> Option<&Target> {
        let is_others = |task: &Task| task.kernel_of != self.rank && task.outputs.contains(&self.rank);
        self.result.as_ref().filter(|_| self.tasks.iter().any(is_others))
    }

    /// Whether a rank opens what it is lent for one fold only, and nobody asks it to close that.
    pub(super) fn is_lent_for_once(&self, line: &Line, links: &Links) -> bool {
        !self.share_a_process && links.shared_with(line.rank()).is_none()
    }

    /// Tells a rank where the elements and the result are; none where they cannot be lent.
    pub(super) fn note_for(&self, line: &Line, links: &Links) -> Option<Vec<u8>> {
        let shared = match self.share_a_process {
            true => None,
            false => links.shared_with(line.rank()),
        };
        let loan = |target: &Target| -> Option<Loan> {
            if self.share_a_process {
                let mut handle = Handle::default();
                handle[0] = target.lane.gpu().number();
                return Some(Loan {
                    window: 0,
                    handle,
                    offset: target.address,
                });
            }
            let borrower = shared
                .as_ref()
                .map(|(_, ring)| -> Arc<dyn Borrower> { Arc::<Ring>::clone(ring) });
            let (window, handle, offset) = lend(target.address, target.bytes, borrower.as_ref())?;
            Some(Loan {
                window,
                handle,
                offset,
            })
        };
        let result = match self.lent_result() {
            None => None,
            Some(result) => Some(loan(result)?),
        };
        let head = Head {
            has_number: shared.is_some().into(),
            number: shared.as_ref().map_or(0, |(number, _)| *number),
            has_result: result.is_some().into(),
            node: self.node(links),
            elements: loan(&self.elements)?,
            result: result.unwrap_or(Loan::zeroed()),
            ..Head::new(state::DONE)
        };
        Some(head.written_with(&self.tasks))
    }

    /// Which node the elements are on; within a process it does not matter.
    fn node(&self, links: &Links) -> i64 {
        match self.share_a_process {
            true => 0,
            false => links.node().copied().unwrap_or(0),
        }
    }

    /// What this rank brings, for its own kernels.
    pub(super) fn part(&self) -> Part {
        Part {
            elements: self.elements.address,
            firsts: self.tasks.iter().map(|task| task.first).collect(),
            result: self.result.as_ref().map(|result| result.address),
        }
    }

    /// Starts this rank's kernels on what the ranks bring, in the order of their numbers.
    pub(super) fn start(&self, what: Fold, parts: &[Part]) -> Result<()> {
        let is_own = |(_, task): &(usize, &Task)| task.kernel_of == self.rank && task.bytes > 0;
        for (number, task) in self.tasks.iter().enumerate().filter(is_own) {
            let of = |ranks: &Range<usize>| parts.get(ranks.clone()).unwrap_or_default();
            let inputs = of(&task.inputs).iter().map(|part| part.input(number));
            let outputs = of(&task.outputs)
                .iter()
                .filter_map(|part| Some((part.result? + task.target) as *mut u8));
            let (inputs, outputs): (Vec<_>, Vec<_>) = (inputs.collect(), outputs.collect());
            let elements = task.bytes / what.dtype.size();
            // SAFETY: every rank promises its elements and its result until it has heard of the end of the fold, and that
            // what a task reads and writes is in them; the ranks have agreed on type and lengths.
            unsafe { self.lane().fold_for_all(what, &inputs, &outputs, elements) }?;
        }
        Ok(())
    }

    /// Has this rank's kernels reach what another brings.
    pub(super) fn open(
        &self,
        line: &Line,
        note: &Note,
        links: &Links,
        windows: &mut Vec<Arc<OpenWindow>>,
    ) -> Result<Part, Unopened> {
        let firsts = (0..self.tasks.len()).map(|task| note.first(task));
        let firsts = firsts
            .collect::<Result<Vec<usize>>>()
            .map_err(Unopened::Mismatch)?;
        if note.head.node != self.node(links) {
            return Err(Unopened::OutOfReach);
        }
        let mut open = |loan: &Loan| self.address_of(line, &note.head, loan, links, windows);
        let elements = open(&note.head.elements)?;
        let result = (note.head.has_result != 0).then(|| open(&note.head.result));
        Ok(Part {
            elements,
            firsts,
            result: result.transpose()?,
        })
    }

    /// The address of what a rank has lent, which is opened if it is not open.
    fn address_of(
        &self,
        line: &Line,
        head: &Head,
        loan: &Loan,
        links: &Links,
        windows: &mut Vec<Arc<OpenWindow>>,
    ) -> Result<usize, Unopened> {
        let gpu = self.lane().gpu();
        // Of this process.
        if loan.window == 0 {
            let other = Gpu::of_number(loan.handle[0]);
            let unknown = || Unopened::Mismatch(Error::new(ErrorKind::Mismatch, "a GPU that nobody uses"));
            let reached = gpu.reach(other.ok_or_else(unknown)?);
            return reached.map(|()| loan.offset).map_err(|_| Unopened::OutOfReach);
        }
        let window = match head.number() {
            None => OpenWindow::open(gpu, &loan.handle).map(Arc::new),
            Some(number) => {
                let ring = links.given_by(line.rank(), number);
                ring.map_err(|_| Unopened::Lacking)?.open_window(gpu, loan)
            }
        };
        let window = window.map_err(|_| Unopened::OutOfReach)?;
        let address = window.address() + loan.offset;
        windows.push(window);
        Ok(address)
    }
}

/// Why kernels do not reach what a rank brings.
pub(super) enum Unopened {
    /// They cannot: that may be the machine's way.
    OutOfReach,
    /// This rank has not got the memory that the two are to share, and may get other.
    Lacking,
    Mismatch(Error),
}

/// What a rank brings, at addresses that kernels of this one reach.
pub(super) struct Part {
    elements: usize,
    /// Where in its elements the tasks start to read, in bytes.
    firsts: Vec<usize>,
    result: Option<usize>,
}

impl Part {
    fn input(&self, task: usize) -> *const u8 {
        (self.elements + self.firsts.get(task).copied().unwrap_or(0)) as *const u8
    }
}
