//! The CUDA driver's interface.
