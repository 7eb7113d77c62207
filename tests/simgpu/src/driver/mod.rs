//! The CUDA driver's interface.
//!
//! `api` has the C functions; they check what they are given and leave the rest to the modules beside it.

mod api;
mod arena;
mod context;
mod copy;
mod event;
mod failure;
mod faults;
mod handles;
mod ipc;
mod launch;
mod library;
mod machine;
mod memory;
mod module;
mod nvml;
mod settings;
mod status;
mod stream;
