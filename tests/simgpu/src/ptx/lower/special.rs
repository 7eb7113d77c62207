//! Special registers.

use super::Lower;
use crate::ptx::LoadError;
use crate::ptx::program::{Lanes, Special};

impl Lower<'_, '_> {
    /// What a special register reads.
    pub fn special(&self, name: &str) -> Result<Special, LoadError> {
        let dimension = || match name.rsplit_once('.').map(|(_, component)| component) {
            Some("x") => Some(0),
            Some("y") => Some(1),
            Some("z") => Some(2),
            _ => None,
        };
        let known = match name.split_once('.').map_or(name, |(base, _)| base) {
            "%tid" => dimension().map(Special::Thread),
            "%ntid" => dimension().map(Special::Threads),
            "%ctaid" => dimension().map(Special::Block),
            "%nctaid" => dimension().map(Special::Blocks),
            _ => match name {
                "%laneid" => Some(Special::Lane),
                "%warpid" => Some(Special::Warp),
                "%nwarpid" => Some(Special::Warps),
                "%lanemask_eq" => Some(Special::LaneMask(Lanes::Equal)),
                "%lanemask_lt" => Some(Special::LaneMask(Lanes::Less)),
                "%lanemask_le" => Some(Special::LaneMask(Lanes::LessEqual)),
                "%lanemask_gt" => Some(Special::LaneMask(Lanes::Greater)),
                "%lanemask_ge" => Some(Special::LaneMask(Lanes::GreaterEqual)),
                "%clock" => Some(Special::Clock),
                "%clock64" => Some(Special::Clock64),
                "%clock_hi" => Some(Special::ClockHigh),
                "%globaltimer" => Some(Special::GlobalTimer),
                "%dynamic_smem_size" => Some(Special::DynamicSharedBytes),
                "%total_smem_size" => Some(Special::TotalSharedBytes),
                // The device has one multiprocessor.
                "%smid" => Some(Special::Constant(0)),
                "%nsmid" => Some(Special::Constant(1)),
                "%gridid" => Some(Special::Constant(1)),
                // What a driver puts there is its own matter: this one puts nothing.
                _ => {
                    let number = name
                        .strip_prefix("%envreg")
                        .and_then(|number| number.parse::<u32>().ok());
                    number.filter(|&number| number < 32).map(|_| Special::Constant(0))
                }
            },
        };
        known.ok_or_else(|| self.unknown(&format!("special register `{name}`")))
    }
}
