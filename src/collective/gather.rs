//! `gather`.

use super::agreement::Terms;
use super::courier::Courier;
use super::forms::{apart_forms, in_place_forms};
use super::{Apart, Call, Collective, InPlace, check_room, copy, times};
use crate::buffer::{Buffer, BufferMut, Span};
use crate::comm::Communicator;
use crate::error::{Error, Result};
use crate::plan::{Algorithm, Operation};

impl Communicator {
    /// Collects every rank's buffer at `root`, in the order of the ranks.
    ///
    /// At the root `recv` has [`size`](Self::size) times the elements of `send`, or more, which are left
    /// alone. Elsewhere it is not used and may be empty.
    ///
    /// MPI standard, section 6.5 (`MPI_Gather`).
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a root out of range or a receive buffer
    /// too short, and [`PeerFailed`](crate::ErrorKind::PeerFailed) on the other ranks;
    /// [`Mismatch`](crate::ErrorKind::Mismatch) on every rank if roots, counts or types differ.
    ///
    /// ```
    /// use warpcomm::Communicator;
    ///
    /// let gathered = Communicator::threads(3, |comm| {
    ///     let mut all = if comm.rank() == 2 { vec![0; 3] } else { vec![] };
    ///     comm.gather(&(10 + comm.rank() as i32), &mut all, 2).map(|()| all)
    /// })?;
    /// assert_eq!(gathered[2].as_ref().unwrap(), &[10, 11, 12]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn gather<S, R>(&self, send: &S, recv: &mut R, root: usize) -> Result<()>
    where
        S: Buffer + ?Sized,
        R: BufferMut<Element = S::Element> + ?Sized,
    {
        self.collective(Gather { root }, (send.lower(), recv.lower_mut()))
    }

    /// Collects every rank's elements in `root`'s buffer, which holds the root's own in their place.
    ///
    /// The root's buffer has [`size`](Self::size) times the elements of the others'.
    ///
    /// MPI standard, section 6.5 (`MPI_Gather` with `MPI_IN_PLACE`).
    ///
    /// # Errors
    /// As for [`gather`](Self::gather); [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if the root's
    /// buffer cannot be divided among the ranks.
    ///
    /// ```
    /// use warpcomm::Communicator;
    ///
    /// let gathered = Communicator::threads(3, |comm| {
    ///     let mut buffer = if comm.rank() == 1 { vec![9u8, 1, 9] } else { vec![comm.rank() as u8] };
    ///     comm.gather_in_place(&mut buffer, 1)?;
    ///     Ok::<_, warpcomm::Error>(buffer)
    /// })?;
    /// assert_eq!(gathered.into_iter().collect::<Result<Vec<_>, _>>()?, [vec![0], vec![0, 1, 2], vec![2]]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn gather_in_place<B: BufferMut + ?Sized>(&self, buffer: &mut B, root: usize) -> Result<()> {
        self.collective(Gather { root }, buffer.lower_mut())
    }
}

struct Gather {
    root: usize,
}

impl Collective<Apart<'_>> for Gather {
    const OPERATION: Operation = Operation::Gather;

    async fn run(&self, call: &Call<'_>, (own, all): &Apart<'_>) -> Result<()> {
        gather(call, own, all, self.root, Ok(())).await
    }
}

impl Collective<InPlace<'_>> for Gather {
    const OPERATION: Operation = Operation::Gather;

    async fn run(&self, call: &Call<'_>, all: &InPlace<'_>) -> Result<()> {
        let root = self.root;
        if call.rank() != root {
            return gather(call, all, &Span::empty(all.dtype()), root, Ok(())).await;
        }
        let count = all.elements() / call.ranks();
        let own = all.part(root * count, count)?;
        gather(call, &own, all, root, divides(all, call.ranks())).await
    }
}

apart_forms! {
    /// ```
    /// use warpcomm::Communicator;
    ///
    /// let gathered = Communicator::threads(3, |comm| {
    ///     let recv = if comm.rank() == 0 { vec![0u8; 3] } else { vec![] };
    ///     let ((_, all), _) = comm.igather(vec![comm.rank() as u8], recv, 0).wait()?;
    ///     Ok(all)
    /// })?;
    /// assert_eq!(gathered.into_iter().collect::<Result<Vec<_>, warpcomm::Error>>()?, [vec![0, 1, 2], vec![], vec![]]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    "gather" "Gather": igather gather_init (send; recv, root: usize)
    => Gather { root }
}

in_place_forms! {
    "gather_in_place" "Gather": igather_in_place gather_in_place_init (buffer, root: usize)
    => Gather { root }
}

/// Checks that a buffer is whole blocks, one for each rank.
pub(super) fn divides(span: &Span<'_>, ranks: usize) -> Result<()> {
    match span.elements() % ranks {
        0 => Ok(()),
        _ => Err(Error::invalid(format!(
            "a buffer of {} elements is not {ranks} blocks of the same length",
            span.elements()
        ))),
    }
}

pub(super) async fn gather(
    call: &Call<'_>,
    own: &Span<'_>,
    all: &Span<'_>,
    root: usize,
    local: Result<()>,
) -> Result<()> {
    let (rank, ranks, count) = (call.rank(), call.ranks(), own.elements());
    let algorithm = call.plan(own.bytes());
    let local = local
        .and_then(|()| call.check_root(root))
        .and_then(|()| match rank == root {
            true => all.check().and(check_room(all, times(count, ranks)?)),
            false => Ok(()),
        })
        .and_then(|()| own.check());
    if let Some(plain) = call.plain() {
        return Box::pin(plain.gather(own, all, root, local)).await;
    }
    let terms = Terms {
        dtype: Some(own.dtype()),
        root: Some(root),
        count,
        ..Terms::NONE
    };
    let riding = (algorithm == Algorithm::Frames).then_some(own);
    let mut agreed = call.agree(terms, local, riding).await?;
    let block = |rank: usize| all.part(rank * count, count);
    let copied = match rank == root {
        true => copy(own, &block(rank)?).await,
        false => Ok(()),
    };
    if algorithm == Algorithm::Frames {
        copied?;
        if rank == root {
            for other in call.others() {
                block(other)?.write(agreed.payload(other)).await?;
            }
        }
        return agreed.over();
    }
    let mut courier = Courier::new(call, &mut agreed);
    courier.note(copied);
    if rank == root {
        for other in call.others() {
            // SAFETY: blocks do not overlap, and each is received once.
            unsafe { courier.receive(other, &block(other)?) };
        }
    } else {
        // SAFETY: only read.
        unsafe { courier.send(root, own) };
    }
    courier.finish().await;
    courier.outcome()
}
