//! What these tests share with the multi-rank suite: child processes, deadlines, and the simulated GPU.

#[path = "../ranks/harness/process.rs"]
pub mod process;
#[allow(dead_code, reason = "the suite uses more of it")]
#[path = "../ranks/harness/simulate.rs"]
pub mod simulate;
#[path = "../ranks/harness/watchdog.rs"]
pub mod watchdog;

use std::time::Duration;

/// Set to 1 where device buffers must be those of a real GPU.
const REQUIRE_GPU_VARIABLE: &str = "WARPCOMM_REQUIRE_GPU";
/// The seconds that a case may take on a rank.
pub const DEADLINE_VARIABLE: &str = "WARPCOMM_TEST_DEADLINE";

mod world {
    /// Variables and their values.
    pub type Environment = Vec<(&'static str, std::ffi::OsString)>;
}
pub use world::Environment;

/// How long a case may take on a rank.
pub fn deadline() -> Duration {
    let seconds = std::env::var(DEADLINE_VARIABLE)
        .ok()
        .and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(60))
}
