//! `scatter`.

use super::agreement::Terms;
use super::courier::Courier;
use super::forms::{apart_forms, in_place_forms};
use super::gather::divides;
use super::{Apart, Call, Collective, InPlace, copy, times};
use crate::buffer::{Buffer, BufferMut, Span};
use crate::comm::Communicator;
use crate::error::{Error, Result};
use crate::plan::{Algorithm, Operation};

impl Communicator {
    /// Distributes `root`'s buffer: rank `r` gets the `r`-th block.
    ///
    /// All receive buffers have the same number of elements, and the root's `send` has exactly
    /// [`size`](Self::size) times as many: nothing is left over. Elsewhere `send` is not used and may be
    /// empty.
    ///
    /// MPI standard, section 6.6 (`MPI_Scatter`).
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a root out of range or a send buffer of
    /// another length, and [`PeerFailed`](crate::ErrorKind::PeerFailed) on the other ranks;
    /// [`Mismatch`](crate::ErrorKind::Mismatch) on every rank if roots, counts or types differ.
    ///
    /// ```
    /// use warpcomm::Communicator;
    ///
    /// let parts = Communicator::threads(3, |comm| {
    ///     let all = if comm.rank() == 0 { vec![1u8, 2, 3, 4, 5, 6] } else { vec![] };
    ///     let mut part = [0; 2];
    ///     comm.scatter(&all, &mut part, 0).map(|()| part)
    /// })?;
    /// assert_eq!(parts.into_iter().collect::<Result<Vec<_>, _>>()?, [[1, 2], [3, 4], [5, 6]]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn scatter<S, R>(&self, send: &S, recv: &mut R, root: usize) -> Result<()>
    where
        S: Buffer + ?Sized,
        R: BufferMut<Element = S::Element> + ?Sized,
    {
        self.collective(Scatter { root }, (send.lower(), recv.lower_mut()))
    }

    /// Distributes `root`'s buffer, whose own block stays where it is.
    ///
    /// The root's buffer has [`size`](Self::size) times the elements of the others'.
    ///
    /// MPI standard, section 6.6 (`MPI_Scatter` with `MPI_IN_PLACE`).
    ///
    /// # Errors
    /// As for [`scatter`](Self::scatter); [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if the
    /// root's buffer cannot be divided among the ranks.
    ///
    /// ```
    /// use warpcomm::Communicator;
    ///
    /// let parts = Communicator::threads(3, |comm| {
    ///     let mut buffer = if comm.rank() == 0 { vec![10u16, 11, 12] } else { vec![0] };
    ///     comm.scatter_in_place(&mut buffer, 0)?;
    ///     Ok::<_, warpcomm::Error>(buffer)
    /// })?;
    /// assert_eq!(parts.into_iter().collect::<Result<Vec<_>, _>>()?, [vec![10, 11, 12], vec![11], vec![12]]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn scatter_in_place<B: BufferMut + ?Sized>(&self, buffer: &mut B, root: usize) -> Result<()> {
        self.collective(Scatter { root }, buffer.lower_mut())
    }
}

struct Scatter {
    root: usize,
}

impl Collective<Apart<'_>> for Scatter {
    const OPERATION: Operation = Operation::Scatter;

    async fn run(&self, call: &Call<'_>, (all, own): &Apart<'_>) -> Result<()> {
        scatter(call, all, own, self.root, Ok(())).await
    }
}

impl Collective<InPlace<'_>> for Scatter {
    const OPERATION: Operation = Operation::Scatter;

    async fn run(&self, call: &Call<'_>, all: &InPlace<'_>) -> Result<()> {
        let root = self.root;
        if call.rank() != root {
            return scatter(call, &Span::empty(all.dtype()), all, root, Ok(())).await;
        }
        let count = all.elements() / call.ranks();
        let own = all.part(root * count, count)?;
        scatter(call, all, &own, root, divides(all, call.ranks())).await
    }
}

apart_forms! {
    /// ```
    /// use warpcomm::Communicator;
    ///
    /// let parts = Communicator::threads(3, |comm| {
    ///     let send = if comm.rank() == 0 { vec![10u16, 11, 12] } else { vec![] };
    ///     let ((_, own), _) = comm.iscatter(send, vec![0u16], 0).wait()?;
    ///     Ok(own)
    /// })?;
    /// assert_eq!(parts.into_iter().collect::<Result<Vec<_>, warpcomm::Error>>()?, [[10], [11], [12]]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    "scatter" "Scatter": iscatter scatter_init (send; recv, root: usize)
    => Scatter { root }
}

in_place_forms! {
    "scatter_in_place" "Scatter": iscatter_in_place scatter_in_place_init (buffer, root: usize)
    => Scatter { root }
}

pub(super) async fn scatter(
    call: &Call<'_>,
    all: &Span<'_>,
    own: &Span<'_>,
    root: usize,
    local: Result<()>,
) -> Result<()> {
    let (rank, ranks, count) = (call.rank(), call.ranks(), own.elements());
    let local = local
        .and_then(|()| call.check_root(root))
        .and_then(|()| match rank == root {
            true => all.check().and(check_length(all, times(count, ranks)?)),
            false => Ok(()),
        })
        .and_then(|()| own.check());
    if let Some(plain) = call.plain() {
        return Box::pin(plain.scatter(all, own, root, local)).await;
    }
    // The root's frame carries all blocks.
    let algorithm = call.plan(own.bytes().saturating_mul(ranks));
    let terms = Terms {
        dtype: Some(own.dtype()),
        root: Some(root),
        count,
        ..Terms::NONE
    };
    let in_frame = algorithm == Algorithm::Frames && rank == root && local.is_ok();
    let riding = (in_frame).then_some(all);
    let mut agreed = call.agree(terms, local, riding).await?;
    let block = |rank: usize| all.part(rank * count, count);
    let copied = match rank == root {
        true => copy(&block(rank)?, own).await,
        false => Ok(()),
    };
    if algorithm == Algorithm::Frames {
        copied?;
        if rank != root {
            let bytes = own.bytes();
            let block = agreed.payload(root).get(rank * bytes..(rank + 1) * bytes);
            own.write(block.unwrap_or(&[])).await?;
        }
        return agreed.over();
    }
    let mut courier = Courier::new(call, &mut agreed);
    courier.note(copied);
    if rank == root {
        for other in call.others() {
            // SAFETY: only read; the root's own block was copied before.
            unsafe { courier.send(other, &block(other)?) };
        }
    } else {
        // SAFETY: may be written, and is not used before `finish`.
        unsafe { courier.receive(root, own) };
    }
    courier.finish().await;
    courier.outcome()
}

fn check_length(all: &Span<'_>, needed: usize) -> Result<()> {
    match all.elements() == needed {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "the send buffer has {} elements where the ranks take {needed}",
            all.elements()
        ))),
    }
}
