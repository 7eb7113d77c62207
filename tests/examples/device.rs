//! The examples with `--place device`, on simulated GPUs.

use crate::job::run_simulated;
use crate::tutorial;
use crate::{RANKS, check_table, matvec_at, sum_of_each_type};

#[test]
fn matvec_meets_the_figures_of_the_host() {
    matvec_at::<f64>("device", run_simulated, 1000, 777);
    matvec_at::<f32>("device", run_simulated, 129, 1000);
}

#[test]
fn matvec_has_any_shape() {
    matvec_at::<f64>("device", run_simulated, 5, 3);
    matvec_at::<f64>("device", run_simulated, 1, 1);
    // Rows of more than one segment.
    matvec_at::<f32>("device", run_simulated, 9, 4999);
}

#[test]
fn sum_keeps_the_remainder() {
    for ranks in RANKS {
        let stdout = run_simulated("sum", ranks, &["--place", "device"]).success();
        assert_eq!(stdout, "place device (Simulated GPU 0)\nsum = 8386560\n");
    }
}

#[test]
fn sum_adds_each_type() {
    sum_of_each_type(|ranks, file| run_simulated("sum", ranks, &["--vector", file, "--place", "device"]));
}

#[test]
fn pingpong_goes_from_gpu_to_gpu() {
    for ranks in [1, 2] {
        check_table(&run_simulated("pingpong", ranks, &["--place", "device"]).success());
    }
}

#[test]
fn the_programs_of_the_tutorials() {
    for program in tutorial::ALL {
        for ranks in [1, 4] {
            program.check("device", run_simulated, ranks);
        }
    }
}
