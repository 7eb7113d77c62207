//! What the MPI library says of itself, and what it says need not be true.

use std::os::raw::c_int;

use libloading::os::unix::Library;

/// Whether it says that it takes addresses of memory of GPUs. A library without that function, which is an extension,
/// does not say so.
pub(super) fn is_cuda_aware() -> bool {
    type Query = unsafe extern "C" fn() -> c_int;
    let program = Library::this();
    // SAFETY: the type is the one of that function in all libraries that have it.
    let query = unsafe { program.get::<Query>(b"MPIX_Query_cuda_support\0") };
    // SAFETY: it has no conditions but that MPI is initialized, and it is.
    query.is_ok_and(|query| unsafe { query() } == 1)
}
