//! The product of a matrix and a vector by cuBLAS, looked up when the program runs.

use std::ffi::{c_int, c_void};

use libloading::Library;
use warpcomm::cudarc::driver::{CudaSlice, CudaStream, DevicePtr, DevicePtrMut};

use crate::Failure;

const LIBRARIES: [&str; 3] = ["libcublas.so.13", "libcublas.so.12", "libcublas.so.11"];

/// It takes matrices by columns: one by rows is its transpose.
const TRANSPOSED: c_int = 1;

pub struct Cublas {
    library: Library,
    handle: *mut c_void,
}

impl Cublas {
    pub fn new(stream: &CudaStream) -> Result<Cublas, Failure> {
        // SAFETY: the library does nothing when it is loaded.
        let load = |name: &&str| unsafe { Library::new(*name) }.ok();
        let library = LIBRARIES
            .iter()
            .find_map(load)
            .ok_or_else(|| format!("not there: no {}", LIBRARIES.join(", ")))?;
        let mut handle = std::ptr::null_mut();
        stream.context().bind_to_thread()?;
        // SAFETY: the functions have these signatures in all of these versions.
        unsafe {
            let create = library.get::<unsafe extern "C" fn(*mut *mut c_void) -> c_int>("cublasCreate_v2")?;
            check(create(&mut handle))?;
            type SetStream = unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int;
            let set_stream = library.get::<SetStream>("cublasSetStream_v2")?;
            check(set_stream(handle, stream.cu_stream().cast()))?;
        }
        Ok(Cublas { library, handle })
    }

    /// Puts a product into the stream; the matrix has its rows one after the other.
    pub fn matvec(
        &self,
        [rows, columns]: [usize; 2],
        matrix: &CudaSlice<f32>,
        vector: &CudaSlice<f32>,
        product: &mut CudaSlice<f32>,
        stream: &CudaStream,
    ) -> Result<(), Failure> {
        type Gemv = unsafe extern "C" fn(
            *mut c_void,
            c_int,
            c_int,
            c_int,
            *const f32,
            u64,
            c_int,
            u64,
            c_int,
            *const f32,
            u64,
            c_int,
        ) -> c_int;
        let (matrix, _of_matrix) = matrix.device_ptr(stream);
        let (vector, _of_vector) = vector.device_ptr(stream);
        let (product, _of_product) = product.device_ptr_mut(stream);
        let (height, width) = (rows as c_int, columns as c_int);
        // SAFETY: the function has this signature in all of these versions, and the memory is as large.
        let code = unsafe {
            let gemv = self.library.get::<Gemv>("cublasSgemv_v2")?;
            gemv(
                self.handle,
                TRANSPOSED,
                width,
                height,
                &1.0,
                matrix,
                width,
                vector,
                1,
                &0.0,
                product,
                1,
            )
        };
        check(code)
    }
}

fn check(code: c_int) -> Result<(), Failure> {
    match code {
        0 => Ok(()),
        code => Err(format!("cuBLAS returned {code}").into()),
    }
}
