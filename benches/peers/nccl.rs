//! The few functions of NCCL that are compared, looked up when the program runs.

use std::ffi::{CStr, c_char, c_int, c_void};

use libloading::Library;
use warpcomm::cudarc::driver::{CudaStream, DevicePtr, DevicePtrMut};
use warpcomm::{Communicator, DeviceBuffer, Op};

use crate::Failure;
use crate::collectives::Operation;

const LIBRARY: &str = "libnccl.so.2";
const DOUBLE: c_int = 8;
const SUM: c_int = 0;

#[repr(C)]
#[derive(Clone, Copy)]
struct UniqueId([c_char; 128]);

pub struct Nccl {
    library: Library,
    communicator: *mut c_void,
    version: String,
}

impl Nccl {
    /// All ranks in one communicator of NCCL; the reason why not, on each.
    pub fn new(comm: &Communicator) -> Result<Result<Nccl, String>, Failure> {
        // SAFETY: the library does nothing when it is loaded.
        let library = unsafe { Library::new(LIBRARY) };
        let library = match library {
            Ok(library) if all(comm, true)? => library,
            Ok(_) => return Ok(Err("not there on every rank".to_owned())),
            Err(_) => {
                all(comm, false)?;
                return Ok(Err(format!("not there: no {LIBRARY}")));
            }
        };
        let made = match comm.rank() {
            0 => unique_id(&library),
            _ => Ok([0; 128]),
        };
        if !all(comm, made.is_ok())? {
            return Ok(Err(reason(made.err())));
        }
        let mut id = made?;
        comm.bcast(&mut id, 0)?;
        let joined = join(&library, comm, UniqueId(id.map(|byte| byte as c_char)));
        match (all(comm, joined.is_ok())?, joined) {
            (true, Ok((communicator, version))) => Ok(Ok(Nccl {
                library,
                communicator,
                version: format!("version {version}"),
            })),
            (_, joined) => Ok(Err(reason(joined.err()))),
        }
    }

    pub fn version(&self) -> &str {
        &self.version
    }

    /// Puts an operation into a stream.
    pub fn run(
        &self,
        operation: Operation,
        own: &DeviceBuffer<f64>,
        result: &mut DeviceBuffer<f64>,
        stream: &CudaStream,
    ) -> Result<(), Failure> {
        let count = own.len();
        let (own, _own_guard) = own.device_ptr(stream);
        let (result, _guard) = result.device_ptr_mut(stream);
        // SAFETY: the function has this signature since NCCL 2, and the buffers are as long. For a broadcast the number
        // is that of the root.
        let code = unsafe {
            type Run = unsafe extern "C" fn(u64, u64, usize, c_int, c_int, *mut c_void, *mut c_void) -> c_int;
            let (name, number) = match operation {
                Operation::Allreduce => ("ncclAllReduce", SUM),
                Operation::Bcast => ("ncclBroadcast", 0),
            };
            let run = self.library.get::<Run>(name)?;
            run(
                own,
                result,
                count,
                DOUBLE,
                number,
                self.communicator,
                stream.cu_stream().cast(),
            )
        };
        check(&self.library, code)
    }
}

impl Drop for Nccl {
    fn drop(&mut self) {
        // SAFETY: the function has this signature since NCCL 2, and nothing is under way.
        unsafe {
            let destroy = self
                .library
                .get::<unsafe extern "C" fn(*mut c_void) -> c_int>("ncclCommDestroy");
            let _ = destroy.map(|destroy| destroy(self.communicator));
        }
    }
}

/// Whether all ranks say yes.
fn all(comm: &Communicator, own: bool) -> Result<bool, Failure> {
    let mut all = u8::from(own);
    comm.allreduce_in_place(std::slice::from_mut(&mut all), Op::Min)?;
    Ok(all == 1)
}

fn reason(error: Option<Failure>) -> String {
    match error {
        Some(error) => format!("refuses: {error}"),
        None => "refuses: another rank says why".to_owned(),
    }
}

fn unique_id(library: &Library) -> Result<[u8; 128], Failure> {
    let mut id = UniqueId([0; 128]);
    // SAFETY: the function has this signature since NCCL 2.
    let code =
        unsafe { library.get::<unsafe extern "C" fn(*mut UniqueId) -> c_int>("ncclGetUniqueId")?(&mut id) };
    check(library, code)?;
    Ok(id.0.map(|byte| byte as u8))
}

/// The communicator, and the version of the library.
fn join(library: &Library, comm: &Communicator, id: UniqueId) -> Result<(*mut c_void, c_int), Failure> {
    type Init = unsafe extern "C" fn(*mut *mut c_void, c_int, UniqueId, c_int) -> c_int;
    let (mut version, mut communicator) = (0, std::ptr::null_mut());
    comm.device()?.bind_to_thread()?;
    // SAFETY: the functions have these signatures since NCCL 2.
    unsafe {
        let get_version = library.get::<unsafe extern "C" fn(*mut c_int) -> c_int>("ncclGetVersion")?;
        check(library, get_version(&mut version))?;
        let init = library.get::<Init>("ncclCommInitRank")?;
        let (ranks, rank) = (comm.size() as c_int, comm.rank() as c_int);
        check(library, init(&mut communicator, ranks, id, rank))?;
    }
    Ok((communicator, version))
}

fn check(library: &Library, code: c_int) -> Result<(), Failure> {
    if code == 0 {
        return Ok(());
    }
    // SAFETY: the function has this signature since NCCL 2, and what it returns stays.
    let text = unsafe {
        let describe = library.get::<unsafe extern "C" fn(c_int) -> *const c_char>("ncclGetErrorString")?;
        CStr::from_ptr(describe(code)).to_string_lossy().into_owned()
    };
    Err(text.into())
}
