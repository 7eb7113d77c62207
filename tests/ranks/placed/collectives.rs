//! The collectives of the cases' communicator, each in every form.

use std::marker::PhantomData;

use warpcomm::{
    Blocks, Buffer, BufferMut, Op, OwnedBuffer, OwnedBufferMut, Persistent, Request, Result, Scope,
};

use super::forms::{Apart, InPlace, Names, apart, awaited, in_place, repeated};
use super::manner::Manner;
use super::memory::{Form, Memory};
use super::{Communicator, Elements, ElementsMut};
use crate::harness::covered;

impl Communicator {
    pub fn barrier(&self) -> Result<()> {
        let comm = &self.inner;
        match self.manner() {
            Manner::Blocking => comm.barrier(),
            // A scope has no barrier, which lends nothing.
            Manner::NonBlocking | Manner::Scoped => {
                covered("ibarrier", None, None);
                awaited(comm.ibarrier()).0
            }
            Manner::Persistent => {
                covered("barrier_init", None, None);
                repeated(comm.barrier_init(), |()| ()).0
            }
        }
    }
}

/// Stamps collectives with a buffer to send and one to receive into.
macro_rules! apart {
    ($(
        $name:ident $start:ident $prepare:ident
        ($($before:ident: $before_type:ty)?; $($after:ident: $after_type:ty),*);
    )*) => {
        impl Communicator {$(
            #[allow(clippy::extra_unused_lifetimes, reason = "only blocks are borrowed")]
            pub fn $name<'a, S, R>(
                &self, send: &S, $($before: $before_type,)? recv: &mut R $(, $after: $after_type)*
            ) -> Result<()>
            where
                S: Elements + ?Sized,
                R: ElementsMut<Element = S::Element> + ?Sized,
            {
                struct What<'a> {
                    $($before: $before_type,)?
                    $($after: $after_type,)*
                    arguments: PhantomData<&'a ()>,
                }

                impl Apart for What<'_> {
                    const NAMES: Names = Names {
                        start: stringify!($start),
                        scoped: concat!("Scope::", stringify!($start)),
                        prepare: stringify!($prepare),
                    };

                    fn start<S, R>(&self, comm: &warpcomm::Communicator, send: S, recv: R) -> Request<(S, R)>
                    where
                        S: OwnedBuffer,
                        R: OwnedBufferMut<Element = S::Element>,
                    {
                        comm.$start(send, $(self.$before,)? recv $(, self.$after)*)
                    }

                    fn prepare<S, R>(
                        &self, comm: &warpcomm::Communicator, send: S, recv: R
                    ) -> Persistent<(S, R)>
                    where
                        S: OwnedBuffer,
                        R: OwnedBufferMut<Element = S::Element>,
                    {
                        comm.$prepare(send, $(self.$before,)? recv $(, self.$after)*)
                    }

                    fn lend<'scope, S, R>(
                        &self, scope: &'scope Scope<'scope, '_>, send: &'scope S, recv: &'scope mut R
                    ) -> Result<()>
                    where
                        S: Buffer,
                        R: BufferMut<Element = S::Element>,
                    {
                        scope.$start(send, $(self.$before,)? recv $(, self.$after)*).map(drop)
                    }
                }

                match self.manner() {
                    Manner::Blocking => read_and_write!(
                        self,
                        send,
                        recv,
                        self.inner.$name(send, $($before,)? recv $(, $after)*)
                    ),
                    manner => {
                        let what = What { $($before,)? $($after,)* arguments: PhantomData };
                        apart(self, manner, &what, send.elements(), recv.elements_mut())
                    }
                }
            }
        )*}
    };
}

apart! {
    gather igather gather_init (; root: usize);
    gatherv igatherv gatherv_init (; blocks: &'a Blocks, root: usize);
    scatter iscatter scatter_init (; root: usize);
    scatterv iscatterv scatterv_init (blocks: &'a Blocks; root: usize);
    allgather iallgather allgather_init (;);
    allgatherv iallgatherv allgatherv_init (; blocks: &'a Blocks);
    alltoall ialltoall alltoall_init (;);
    alltoallv ialltoallv alltoallv_init (send_blocks: &'a Blocks; recv_blocks: &'a Blocks);
    reduce ireduce reduce_init (; op: Op, root: usize);
    allreduce iallreduce allreduce_init (; op: Op);
    reduce_scatter ireduce_scatter reduce_scatter_init (blocks: &'a Blocks; op: Op);
    reduce_scatter_block ireduce_scatter_block reduce_scatter_block_init (; op: Op);
    scan iscan scan_init (; op: Op);
    exscan iexscan exscan_init (; op: Op);
}

/// Stamps collectives with one buffer.
macro_rules! in_place {
    ($($name:ident $start:ident $prepare:ident ($($after:ident: $after_type:ty),*);)*) => {
        impl Communicator {$(
            #[allow(clippy::extra_unused_lifetimes, reason = "only blocks are borrowed")]
            pub fn $name<'a, B: ElementsMut + ?Sized>(
                &self, buffer: &mut B $(, $after: $after_type)*
            ) -> Result<()> {
                struct What<'a> {
                    $($after: $after_type,)*
                    arguments: PhantomData<&'a ()>,
                }

                impl InPlace for What<'_> {
                    const NAMES: Names = Names {
                        start: stringify!($start),
                        scoped: concat!("Scope::", stringify!($start)),
                        prepare: stringify!($prepare),
                    };

                    fn start<B: OwnedBufferMut>(&self, comm: &warpcomm::Communicator, buffer: B) -> Request<B> {
                        comm.$start(buffer $(, self.$after)*)
                    }

                    fn prepare<B: OwnedBufferMut>(
                        &self, comm: &warpcomm::Communicator, buffer: B
                    ) -> Persistent<B> {
                        comm.$prepare(buffer $(, self.$after)*)
                    }

                    fn lend<'scope, B: BufferMut>(
                        &self, scope: &'scope Scope<'scope, '_>, buffer: &'scope mut B
                    ) -> Result<()> {
                        scope.$start(buffer $(, self.$after)*).map(drop)
                    }
                }

                match self.manner() {
                    Manner::Blocking => write!(self, buffer, self.inner.$name(buffer $(, $after)*)),
                    manner => {
                        let what = What { $($after,)* arguments: PhantomData };
                        in_place(self, manner, &what, buffer.elements_mut())
                    }
                }
            }
        )*}
    };
}

in_place! {
    bcast ibcast bcast_init (root: usize);
    gather_in_place igather_in_place gather_in_place_init (root: usize);
    gatherv_in_place igatherv_in_place gatherv_in_place_init (blocks: &'a Blocks, root: usize);
    scatter_in_place iscatter_in_place scatter_in_place_init (root: usize);
    scatterv_in_place iscatterv_in_place scatterv_in_place_init (blocks: &'a Blocks, root: usize);
    allgather_in_place iallgather_in_place allgather_in_place_init ();
    allgatherv_in_place iallgatherv_in_place allgatherv_in_place_init (blocks: &'a Blocks);
    alltoall_in_place ialltoall_in_place alltoall_in_place_init ();
    alltoallv_in_place ialltoallv_in_place alltoallv_in_place_init (blocks: &'a Blocks);
    reduce_in_place ireduce_in_place reduce_in_place_init (op: Op, root: usize);
    allreduce_in_place iallreduce_in_place allreduce_in_place_init (op: Op);
    reduce_scatter_in_place ireduce_scatter_in_place reduce_scatter_in_place_init (blocks: &'a Blocks, op: Op);
    reduce_scatter_block_in_place ireduce_scatter_block_in_place reduce_scatter_block_in_place_init (op: Op);
    scan_in_place iscan_in_place scan_in_place_init (op: Op);
    exscan_in_place iexscan_in_place exscan_in_place_init (op: Op);
}
