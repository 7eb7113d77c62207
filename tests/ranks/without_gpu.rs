//! No driver, or no GPU: an `Err` for what needs one, and nothing else.

use warpcomm::{Communicator, ErrorKind, Place};

use super::common::still_works;
use crate::harness::{Outcome, expect_error, expect_text};

cases! {
    device_operations_fail_and_others_do_not: 1..=3;
}

fn device_operations_fail_and_others_do_not(comm: &Communicator) -> Outcome {
    still_works(comm)?;
    // A machine may have a driver of its own, which jobs of this place are not kept from.
    if Place::Device.check().is_err() {
        let hidden = std::env::var_os("CUDA_VISIBLE_DEVICES").is_some();
        let (kind, text) = match hidden {
            true => (ErrorKind::Device, "no GPU"),
            false => (ErrorKind::Unsupported, "no CUDA driver"),
        };
        for outcome in [comm.device().map(drop), Place::Device.check()] {
            expect_text(&expect_error(outcome, kind), &[text]);
        }
    }
    still_works(comm)
}
