//! GPUs that are none.

/// Whether a GPU of this name is a program on the CPU, whose times mean nothing.
pub fn is_simulated(name: &str) -> bool {
    name.to_lowercase().contains("simulated")
}
