//! Arguments that several commands take.

use std::ffi::OsString;

use clap::Args;

/// By what ranks are started.
#[derive(Args)]
pub struct ByLauncher {
    /// The launcher, a path or a name on PATH [default: WARPCOMM_LAUNCHER, else one that fits]
    #[arg(long, value_name = "LAUNCHER")]
    pub launcher: Option<OsString>,
}

/// On which GPUs they run.
#[derive(Args)]
pub struct OnGpus {
    /// Simulate GPUs on the CPU, 1 to 16, instead of using those of the machine [default with --sim: 1]
    #[arg(long, value_name = "GPUS", num_args = 0..=1, require_equals = true, default_missing_value = "1",
          value_parser = clap::value_parser!(u8).range(1..=16))]
    pub sim: Option<u8>,
}
