//! Reductions in two levels: what a node has in common is combined before it leaves the node, and what is folded enters
//! every node once.
//!
//! ```text
//! in the node:   each rank of a whole subtree gets its share of the others' elements; all get the blocks that they fold
//! between nodes: what the share combines to goes to the ranks that fold its blocks; other elements go there as they are
//! fold:          each rank folds its block, from elements and partial results, in the canonical order
//! between nodes: each block goes to one rank of every node, and to all of its own
//! in the node:   which hand on what they have got
//! ```

use std::ops::Range;
use std::sync::Arc;

use super::agreement::Agreed;
use super::courier::Courier;
use super::{Call, copy};
use crate::buffer::{Blocks, Span};
use crate::device::{Fold, Lane, Place, Scratch, Subtree};
use crate::dtype::Dtype;
use crate::error::Result;
use crate::op::Op;
use crate::plan::Levels;

/// Memory for what a rank gets from others, where its own elements are.
pub(super) struct Rooms {
    levels: Arc<Levels>,
    memory: Scratch,
    lane: Option<Arc<Lane>>,
    place: Place,
    dtype: Dtype,
    blocks: Blocks,
    /// The blocks of other nodes for which this rank combines its subtree.
    runs: Vec<Run>,
    /// What this rank's block is folded from, from left to right.
    sources: Vec<Source>,
    /// For the folded block: the address from the start of the memory.
    folded: usize,
}

/// Neighbouring blocks for which a rank combines its subtree.
struct Run {
    blocks: Range<usize>,
    /// The elements of the subtree's ranks, this one's left out: where they come from, and their place in the memory.
    elements: Vec<(usize, usize)>,
    /// Where what they combine to is in the memory.
    combined: usize,
}

/// A part of what a block is folded from.
struct Source {
    /// The ranks whose elements, or what they combine to, it is.
    ranks: Range<usize>,
    /// The rank that sends it.
    from: usize,
    /// Its place in the memory; this rank's own elements need none.
    room: usize,
}

impl Source {
    fn is_partial(&self) -> bool {
        self.ranks.len() > 1
    }
}

/// Counts out memory.
#[derive(Default)]
struct Layout {
    bytes: usize,
}

/// What is received starts on a cache line.
const LINE_BYTES: usize = 64;

impl Layout {
    fn take(&mut self, elements: usize, dtype: Dtype) -> usize {
        let start = self.bytes;
        self.bytes += (elements * dtype.size()).next_multiple_of(LINE_BYTES);
        start
    }
}

impl Rooms {
    /// For a reduction of as many elements as `own` has, where `own` is.
    pub(super) fn new(call: &Call<'_>, levels: &Arc<Levels>, own: &Span<'_>) -> Result<Rooms> {
        let (rank, dtype) = (call.rank(), own.dtype());
        let (node, subtree) = (levels.node_of(rank), levels.subtree_of(rank));
        let blocks = Blocks::even(own.elements(), call.ranks());
        let own_elements = blocks.count(levels.block_of(rank));
        let mut layout = Layout::default();
        let mut runs = Vec::new();
        if Levels::combines(&subtree, dtype) {
            for run in levels.share(node, rank - subtree.start, subtree.len()) {
                let elements = elements_of(&blocks, &run).len();
                let others = subtree.clone().filter(|&other| other != rank);
                runs.push(Run {
                    blocks: run,
                    elements: others
                        .map(|other| (other, layout.take(elements, dtype)))
                        .collect(),
                    combined: layout.take(elements, dtype.accumulator()),
                });
            }
        }
        let mut sources = Vec::new();
        for subtree in levels.subtrees() {
            let is_combined = levels.node_of(subtree.start) != node && Levels::combines(subtree, dtype);
            if is_combined {
                let combines = levels.sharer(
                    levels.node_of(subtree.start),
                    levels.block_of(rank),
                    subtree.len(),
                );
                sources.push(Source {
                    ranks: subtree.clone(),
                    from: subtree.start + combines,
                    room: layout.take(own_elements, dtype.accumulator()),
                });
                continue;
            }
            for from in subtree.clone() {
                sources.push(Source {
                    ranks: from..from + 1,
                    from,
                    room: if from == rank {
                        0
                    } else {
                        layout.take(own_elements, dtype)
                    },
                });
            }
        }
        let folded = layout.take(own_elements, dtype);
        Ok(Rooms {
            levels: Arc::clone(levels),
            memory: Scratch::new(own.lane(), layout.bytes)?,
            lane: own.lane().cloned(),
            place: own.place(),
            dtype,
            blocks,
            runs,
            sources,
            folded,
        })
    }

    /// So many elements in the memory.
    fn span(&self, start: usize, elements: usize, is_partial: bool) -> Span<'_> {
        let dtype = match is_partial {
            true => self.dtype.accumulator(),
            false => self.dtype,
        };
        // SAFETY: counted out by `new`.
        let pointer = unsafe { self.memory.pointer().add(start) };
        Span::scratch(pointer, elements, dtype, self.place, self.lane.clone())
    }

    /// Neighbouring blocks of a buffer.
    fn of<'a>(&self, buffer: &'a Span<'_>, blocks: Range<usize>) -> Result<Span<'a>> {
        let elements = elements_of(&self.blocks, &blocks);
        buffer.part(elements.start, elements.len())
    }

    /// Folds what is in the memory, and where `own` is, into `target`.
    fn fold(
        &self,
        own: &Span<'_>,
        subtrees: &[Subtree],
        target: &Span<'_>,
        is_partial: bool,
        op: Op,
    ) -> Result<()> {
        let what = Fold {
            op,
            dtype: self.dtype,
        };
        own.after(target)?;
        // SAFETY: the memory was counted out for as many elements of each; `own` and `target` have as many, and are of one
        // device. The target is the memory of nothing else, or of `own`.
        unsafe {
            own.device()
                .fold_subtrees(what, subtrees, target.pointer(), is_partial, own.elements())
        }?;
        target.after(own)
    }

    /// Combines the elements of a subtree's ranks for some blocks.
    fn combine(&self, run: &Run, rank: usize, own: &Span<'_>, combined: &Span<'_>, op: Op) -> Result<()> {
        let own = self.of(own, run.blocks.clone())?;
        let others = run.elements.iter();
        let mut inputs: Vec<(usize, *const u8)> = others
            .map(|&(other, room)| {
                let elements = self.span(room, own.elements(), false);
                (other, elements.pointer().cast_const())
            })
            .collect();
        inputs.push((rank, own.pointer().cast_const()));
        inputs.sort_unstable_by_key(|(rank, _)| *rank);
        let inputs: Vec<*const u8> = inputs.into_iter().map(|(_, pointer)| pointer).collect();
        self.fold(&own, &Subtree::of_ranks(&inputs), combined, true, op)
    }

    /// Folds this rank's block.
    fn finish(&self, rank: usize, own: &Span<'_>, target: &Span<'_>, op: Op) -> Result<()> {
        let subtrees: Vec<Subtree> = self
            .sources
            .iter()
            .map(|source| {
                let received = self.span(source.room, own.elements(), source.is_partial());
                let span = if source.from == rank { own } else { &received };
                Subtree {
                    pointer: span.pointer().cast_const(),
                    ranks: source.ranks.len(),
                }
            })
            .collect();
        self.fold(own, &subtrees, target, false, op)
    }
}

/// The elements in neighbouring blocks.
fn elements_of(blocks: &Blocks, of: &Range<usize>) -> Range<usize> {
    match of.is_empty() {
        true => 0..0,
        false => blocks.range(of.start).start..blocks.range(of.end - 1).end,
    }
}

/// Reduces the ranks' elements into their results, or into that of the root.
pub(super) async fn reduce(
    call: &Call<'_>,
    rooms: &Rooms,
    own: &Span<'_>,
    result: Option<&Span<'_>>,
    op: Op,
    root: Option<usize>,
    agreed: &mut Agreed<'_>,
) -> Result<()> {
    let (rank, levels) = (call.rank(), &*rooms.levels);
    let block_of = |rank: usize| levels.block_of(rank)..levels.block_of(rank) + 1;
    let own_block = rooms.of(own, block_of(rank))?;
    let mut courier = Courier::new(call, agreed);
    exchange(call, &mut courier, rooms, own)?;
    courier.finish().await;

    for source in rooms.sources.iter().filter(|source| source.is_partial()) {
        let room = rooms.span(source.room, own_block.elements(), true);
        // SAFETY: the room is this result's alone, and is read after `finish`.
        unsafe { courier.receive(source.from, &room) };
    }
    for run in &rooms.runs {
        let elements = elements_of(&rooms.blocks, &run.blocks);
        let combined = rooms.span(run.combined, elements.len(), true);
        if !courier.has_failed() {
            courier.note(rooms.combine(run, rank, own, &combined, op));
        }
        for block in run.blocks.clone() {
            let of_block = rooms.blocks.range(block);
            let part = combined.part(of_block.start - elements.start, of_block.len())?;
            // SAFETY: not written again.
            unsafe { courier.send(levels.folds(block), &part) };
        }
    }
    courier.finish().await;

    let beside = rooms.span(rooms.folded, own_block.elements(), false);
    let block = result
        .map(|result| rooms.of(result, block_of(rank)))
        .transpose()?;
    let here = block.as_ref().filter(|block| block.shares_memory(own));
    let folded = here.unwrap_or(&beside);
    if !courier.has_failed() {
        courier.note(rooms.finish(rank, &own_block, folded, op));
    }
    if let Some(block) = block.as_ref().filter(|_| !courier.has_failed()) {
        courier.note(copy(folded, block).await);
    }
    match (root, result) {
        (None, Some(result)) => {
            spread(call, &mut courier, rooms, folded, result)?;
            courier.finish().await;
            hand_on(call, &mut courier, rooms, result)?;
        }
        (_, Some(result)) => {
            for other in call.others() {
                // SAFETY: blocks do not overlap; the elements that were in them have been sent.
                unsafe { courier.receive(other, &rooms.of(result, block_of(other))?) };
            }
        }
        (root, None) => {
            if let Some(root) = root {
                // SAFETY: not written again.
                unsafe { courier.send(root, folded) };
            }
        }
    }
    courier.finish().await;
    courier.outcome()
}

/// Starts to exchange elements as they are: those that another rank combines, and those of the blocks that ranks fold.
fn exchange(call: &Call<'_>, courier: &mut Courier<'_>, rooms: &Rooms, own: &Span<'_>) -> Result<()> {
    let (rank, levels) = (call.rank(), &*rooms.levels);
    let (node, subtree) = (levels.node_of(rank), levels.subtree_of(rank));
    for run in &rooms.runs {
        let elements = elements_of(&rooms.blocks, &run.blocks).len();
        for &(other, room) in &run.elements {
            // SAFETY: the room is this contribution's alone, and is read after `finish`.
            unsafe { courier.receive(other, &rooms.span(room, elements, false)) };
        }
    }
    let own_elements = rooms.blocks.count(levels.block_of(rank));
    let raw = |source: &&Source| source.from != rank && !source.is_partial();
    for source in rooms.sources.iter().filter(raw) {
        // SAFETY: as above.
        unsafe { courier.receive(source.from, &rooms.span(source.room, own_elements, false)) };
    }
    let is_combined = Levels::combines(&subtree, rooms.dtype);
    for other in call.others() {
        if is_combined && subtree.contains(&other) {
            for run in levels.share(node, other - subtree.start, subtree.len()) {
                // SAFETY: not written before `finish`.
                unsafe { courier.send(other, &rooms.of(own, run)?) };
            }
        }
        if !is_combined || levels.node_of(other) == node {
            let block = levels.block_of(other);
            // SAFETY: as above.
            unsafe { courier.send(other, &rooms.of(own, block..block + 1)?) };
        }
    }
    Ok(())
}

/// Starts to send the folded block to this rank's node, and to one rank of every other, and to receive the others' blocks.
fn spread(
    call: &Call<'_>,
    courier: &mut Courier<'_>,
    rooms: &Rooms,
    folded: &Span<'_>,
    result: &Span<'_>,
) -> Result<()> {
    let (rank, levels) = (call.rank(), &*rooms.levels);
    let node = levels.node_of(rank);
    for from in arriving(levels, rank) {
        let block = levels.block_of(from);
        // SAFETY: blocks do not overlap; the elements that were in them have been sent.
        unsafe { courier.receive(from, &rooms.of(result, block..block + 1)?) };
    }
    for other in 0..levels.nodes() {
        let ranks = levels.ranks_on(other);
        let to = match other == node {
            true => ranks,
            false => {
                let one = levels.sharer(other, levels.block_of(rank), ranks.len());
                &ranks[one..=one]
            }
        };
        for &to in to.iter().filter(|&&to| to != rank) {
            // SAFETY: not written again.
            unsafe { courier.send(to, folded) };
        }
    }
    Ok(())
}

/// The ranks whose blocks come straight to this one.
fn arriving(levels: &Levels, rank: usize) -> impl Iterator<Item = usize> {
    let node = levels.node_of(rank);
    let ranks = levels.ranks_on(node);
    let of_node = ranks.iter().copied().filter(move |&other| other != rank);
    let shared = levels.share(node, index_of(ranks, rank), ranks.len());
    of_node.chain(shared.flatten().map(|block| levels.folds(block)))
}

/// Starts to exchange, inside the node, the blocks that its ranks have got from others.
fn hand_on(call: &Call<'_>, courier: &mut Courier<'_>, rooms: &Rooms, result: &Span<'_>) -> Result<()> {
    let (rank, levels) = (call.rank(), &*rooms.levels);
    let node = levels.node_of(rank);
    let ranks = levels.ranks_on(node);
    for (index, &from) in ranks.iter().enumerate().filter(|(_, from)| **from != rank) {
        for run in levels.share(node, index, ranks.len()) {
            // SAFETY: as in `spread`.
            unsafe { courier.receive(from, &rooms.of(result, run)?) };
        }
    }
    for run in levels.share(node, index_of(ranks, rank), ranks.len()) {
        for &to in ranks.iter().filter(|&&to| to != rank) {
            // SAFETY: not written again.
            unsafe { courier.send(to, &rooms.of(result, run.clone())?) };
        }
    }
    Ok(())
}

/// Where a rank is among ascending ones, of which it is one.
fn index_of(ranks: &[usize], rank: usize) -> usize {
    ranks.partition_point(|&other| other < rank)
}

#[cfg(test)]
mod properties;
