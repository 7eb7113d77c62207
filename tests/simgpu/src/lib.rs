//! A simulated CUDA driver: the symbols of `libcuda.so.1` over memory that makes mistakes visible, and an
//! interpreter that runs PTX kernels on the CPU.

mod driver;
pub mod ptx;
