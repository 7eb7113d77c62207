//! The collectives of NCCL, whose functions are looked up when the program runs.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::rc::Rc;

use libloading::Library;
use warpcomm::cudarc::driver::{CudaStream, DevicePtr, DevicePtrMut};
use warpcomm::{Communicator, Dtype, Op};

use super::agree;
use super::collective::Buffers;
use super::element::Sample;
use super::memory::{Device, Memory};
use super::shape::Shape;
use super::subject::{Made, Run, not_here};
use crate::Failure;
use crate::operation::Operation;

const LIBRARY: &str = "libnccl.so.2";

#[repr(C)]
#[derive(Clone, Copy)]
struct UniqueId([c_char; 128]);

type Code = c_int;
type Handle = *mut c_void;
/// The number is that of the reduction or of the root.
type Numbered = unsafe extern "C" fn(u64, u64, usize, c_int, c_int, Handle, Handle) -> Code;
type Rooted = unsafe extern "C" fn(u64, u64, usize, c_int, c_int, c_int, Handle, Handle) -> Code;
type Gather = unsafe extern "C" fn(u64, u64, usize, c_int, Handle, Handle) -> Code;
type Message = unsafe extern "C" fn(u64, usize, c_int, c_int, Handle, Handle) -> Code;
type Group = unsafe extern "C" fn() -> Code;

/// The functions that are needed, as they are since NCCL 2.7.
struct Functions {
    get_unique_id: unsafe extern "C" fn(*mut UniqueId) -> Code,
    init: unsafe extern "C" fn(*mut Handle, c_int, UniqueId, c_int) -> Code,
    destroy: unsafe extern "C" fn(Handle) -> Code,
    abort: unsafe extern "C" fn(Handle) -> Code,
    describe: unsafe extern "C" fn(Code) -> *const c_char,
    all_reduce: Numbered,
    broadcast: Numbered,
    reduce: Rooted,
    all_gather: Gather,
    reduce_scatter: Numbered,
    send: Message,
    recv: Message,
    start: Group,
    end: Group,
    /// What they are in.
    _library: Library,
}

/// All ranks in one communicator of NCCL.
pub struct Nccl {
    functions: Functions,
    communicator: Handle,
}

impl Functions {
    fn load() -> Result<Functions, String> {
        // SAFETY: the library does nothing when it is loaded.
        let library = unsafe { Library::new(LIBRARY) }.map_err(|_| format!("there is no {LIBRARY}"))?;
        macro_rules! find {
            ($name:literal) => {
                // SAFETY: the function has the type of its field since NCCL 2.7, and stays as long as the library.
                *unsafe { library.get($name) }.map_err(|error| format!("{LIBRARY} is too old: {error}"))?
            };
        }
        Ok(Functions {
            get_unique_id: find!("ncclGetUniqueId"),
            init: find!("ncclCommInitRank"),
            destroy: find!("ncclCommDestroy"),
            abort: find!("ncclCommAbort"),
            describe: find!("ncclGetErrorString"),
            all_reduce: find!("ncclAllReduce"),
            broadcast: find!("ncclBroadcast"),
            reduce: find!("ncclReduce"),
            all_gather: find!("ncclAllGather"),
            reduce_scatter: find!("ncclReduceScatter"),
            send: find!("ncclSend"),
            recv: find!("ncclRecv"),
            start: find!("ncclGroupStart"),
            end: find!("ncclGroupEnd"),
            _library: library,
        })
    }

    fn check(&self, code: Code) -> Result<(), String> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: what it returns stays.
        let text = unsafe { CStr::from_ptr((self.describe)(code)) };
        Err(format!("NCCL refuses: {}", text.to_string_lossy()))
    }
}

impl Nccl {
    /// Collective; an error that says why not is the same on all ranks.
    pub fn new(comm: &Communicator) -> Result<Nccl, Failure> {
        let functions = agree::all(comm, Functions::load().map_err(not_here))??;
        let mut id = UniqueId([0; 128]);
        let made = match comm.rank() {
            // SAFETY: writes to our variable.
            0 => functions.check(unsafe { (functions.get_unique_id)(&mut id) }),
            _ => Ok(()),
        };
        agree::all(comm, made.map_err(not_here))??;
        let mut bytes = id.0.map(|byte| byte as u8);
        comm.bcast(&mut bytes, 0)?;
        let id = UniqueId(bytes.map(|byte| byte as c_char));
        comm.device()?.bind_to_thread()?;
        let mut communicator = std::ptr::null_mut();
        let (ranks, rank) = (c_int::try_from(comm.size())?, c_int::try_from(comm.rank())?);
        // SAFETY: writes to our variable.
        let joined = functions.check(unsafe { (functions.init)(&mut communicator, ranks, id, rank) });
        let agreed = agree::all(comm, joined.map_err(not_here));
        if !matches!(agreed, Ok(Ok(()))) && !communicator.is_null() {
            // Its threads may not outlive the library, and ranks are missing that its regular end would wait for.
            // SAFETY: the communicator is one that this rank has joined, and nothing is under way.
            let _ = unsafe { (functions.abort)(communicator) };
        }
        agreed??;
        Ok(Nccl {
            functions,
            communicator,
        })
    }
}

impl Drop for Nccl {
    fn drop(&mut self) {
        // SAFETY: nothing is under way.
        let _ = unsafe { (self.functions.destroy)(self.communicator) };
    }
}

/// The number of a type.
fn datatype(dtype: Dtype) -> Result<c_int, Failure> {
    match dtype {
        Dtype::I8 => Ok(0),
        Dtype::U8 => Ok(1),
        Dtype::I32 => Ok(2),
        Dtype::U32 => Ok(3),
        Dtype::I64 => Ok(4),
        Dtype::U64 => Ok(5),
        Dtype::F16 => Ok(6),
        Dtype::F32 => Ok(7),
        Dtype::F64 => Ok(8),
        Dtype::Bf16 => Ok(9),
        _ => Err(not_here(format!("NCCL has no {dtype}"))),
    }
}

/// The number of a reduction.
fn reduction(op: Op) -> Result<c_int, Failure> {
    match op {
        Op::Sum => Ok(0),
        Op::Prod => Ok(1),
        Op::Max => Ok(2),
        Op::Min => Ok(3),
        Op::Avg => Err(not_here("NCCL rounds averages in another way")),
        _ => Err(not_here(format!("NCCL has no {op}"))),
    }
}

/// A collective of NCCL.
pub struct Collective {
    nccl: Rc<Nccl>,
    datatype: c_int,
    op: c_int,
}

impl Collective {
    pub fn new<T: Sample>(
        nccl: Rc<Nccl>,
        shape: Shape,
        memory: Device,
    ) -> Result<Made<Buffers<T, Device>, Self>, Failure> {
        match shape.operation {
            Operation::Allreduce
            | Operation::Bcast
            | Operation::Reduce
            | Operation::Allgather
            | Operation::ReduceScatterBlock
            | Operation::Alltoall => {}
            other => return Err(not_here(format!("NCCL has no {other}"))),
        }
        let run = Collective {
            nccl,
            datatype: datatype(T::DTYPE)?,
            op: shape.op.map_or(Ok(0), reduction)?,
        };
        let buffers = Buffers::new(shape, memory, false, false)?;
        Ok(Made { buffers, run })
    }

    /// Puts it into a stream.
    fn launch<T: Sample>(&self, buffers: &mut Buffers<T, Device>) -> Result<(), Failure> {
        let Buffers {
            shape,
            memory,
            send,
            recv,
            ..
        } = buffers;
        let ([own], [result]) = (&send[..], &mut recv[..]) else {
            return Err("a collective has several buffers".into());
        };
        let stream: &CudaStream = &memory.stream;
        let (datatype, op, elements) = (self.datatype, self.op, shape.elements);
        let Nccl {
            functions,
            communicator,
        } = &*self.nccl;
        let (own, _own_guard) = own.device_ptr(stream);
        let (result, _guard) = result.device_ptr_mut(stream);
        let (communicator, stream) = (*communicator, stream.cu_stream().cast());
        // SAFETY: the buffers have the elements of the shape, of this type; the operation is waited for before they go.
        let code = unsafe {
            match shape.operation {
                Operation::Allreduce => {
                    (functions.all_reduce)(own, result, elements, datatype, op, communicator, stream)
                }
                Operation::Bcast => {
                    (functions.broadcast)(result, result, elements, datatype, 0, communicator, stream)
                }
                Operation::Reduce => {
                    (functions.reduce)(own, result, elements, datatype, op, 0, communicator, stream)
                }
                Operation::Allgather => {
                    (functions.all_gather)(own, result, elements, datatype, communicator, stream)
                }
                Operation::ReduceScatterBlock => {
                    let block = elements / shape.ranks;
                    (functions.reduce_scatter)(own, result, block, datatype, op, communicator, stream)
                }
                _ => {
                    let block = (elements * size_of::<T>()) as u64;
                    let mut code = (functions.start)();
                    for rank in 0..shape.ranks {
                        let (peer, at) = (rank as c_int, rank as u64 * block);
                        code = code.max((functions.send)(
                            own + at,
                            elements,
                            datatype,
                            peer,
                            communicator,
                            stream,
                        ));
                        code = code.max((functions.recv)(
                            result + at,
                            elements,
                            datatype,
                            peer,
                            communicator,
                            stream,
                        ));
                    }
                    code.max((functions.end)())
                }
            }
        };
        Ok(functions.check(code)?)
    }
}

impl<T: Sample> Run<Buffers<T, Device>> for Collective {
    const IS_OF_ANOTHER_LIBRARY: bool = true;

    fn run(&mut self, buffers: &mut Buffers<T, Device>, repeats: u64) -> Result<(), Failure> {
        for _ in 0..repeats {
            self.launch(buffers)?;
            Memory::<T>::finish(&buffers.memory)?;
        }
        Ok(())
    }
}
