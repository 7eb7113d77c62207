//! The limits of the GPU, and the library's kernels beside the speed at which it copies its own memory.

use half::f16;
use warpcomm::Communicator;

use crate::Failure;
use crate::contest::Effort;
use crate::gpu::{Description, Fold, Gpu};
use crate::limits;
use crate::rank::Measured;
use crate::row::Times;
use crate::verdict::{Case, Limit, Verdict};

const MIB: usize = 1 << 20;

/// Lengths of the inputs of a fold, and the part of the copy bandwidth that is aimed at.
const LENGTHS: [(usize, f64); 2] = [(64 * MIB, 0.9), (256 * MIB, 0.95)];

/// The rows and columns of matrices.
const SHAPES: [[usize; 2]; 2] = [[262_144, 2048], [524_288, 1024]];

const F32: &str = include_str!("../../kernels/ptx/fold_f32.ptx");
const F64: &str = include_str!("../../kernels/ptx/fold_f64.ptx");
const F16: &str = include_str!("../../kernels/ptx/fold_f16.ptx");
const U8: &str = include_str!("../../kernels/ptx/fold_u8.ptx");

/// Measures as the only rank of its job.
pub fn measure(comm: &Communicator, effort: Effort, measured: &mut Measured) -> Result<(), Failure> {
    let context = comm.device()?;
    let description = Description::of(&context)?;
    let gpu = Gpu::new(context, effort == Effort::Check || description.is_simulated)?;
    let limits = limits::measure(&gpu)?;
    let mut add = |operation: String, bytes: usize, moved: usize, target: f64, seconds: f64| {
        measured.targets.push(Verdict::new(
            Case {
                operation: &operation,
                path: "kernel".to_owned(),
                ranks: 1,
                bytes,
            },
            Limit {
                what: "a device copy of as many bytes read and written",
                seconds: moved as f64 / limits.copy_bytes_per_second,
                target: Some(target),
            },
            Times::of(vec![seconds * 1e9]),
        ));
    };
    for (bytes, target) in LENGTHS {
        let bytes = if gpu.is_checked_only { 4096 + 16 } else { bytes };
        let of_f32 = |op, inputs, result| Fold {
            dtype: "f32",
            ptx: F32,
            op,
            bytes,
            inputs,
            one: 1f32,
            result,
        };
        let mut fold = |op: &str, dtype: &str, inputs: usize, seconds: f64| {
            let operation = format!("fold_{op} {dtype}, {inputs} inputs");
            add(operation, bytes, (inputs + 1) * bytes, target, seconds);
        };
        for inputs in [2, 4, 8, 16] {
            let seconds = gpu.fold(&of_f32("sum", inputs, inputs as f32))?;
            fold("sum", "f32", inputs, seconds);
        }
        fold("max", "f32", 2, gpu.fold(&of_f32("max", 2, 1.0))?);
        let of_f64 = Fold {
            dtype: "f64",
            ptx: F64,
            op: "sum",
            bytes,
            inputs: 2,
            one: 1f64,
            result: 2.0,
        };
        fold("sum", "f64", 2, gpu.fold(&of_f64)?);
        let of_f16 = Fold {
            dtype: "f16",
            ptx: F16,
            op: "sum",
            bytes,
            inputs: 2,
            one: f16::ONE,
            result: f16::from_f32(2.0),
        };
        fold("sum", "f16", 2, gpu.fold(&of_f16)?);
        let of_u8 = Fold {
            dtype: "u8",
            ptx: U8,
            op: "sum",
            bytes,
            inputs: 2,
            one: 1u8,
            result: 2,
        };
        fold("sum", "u8", 2, gpu.fold(&of_u8)?);
    }
    let shapes: &[[usize; 2]] = match gpu.is_checked_only {
        true => &[[5, 130]],
        false => &SHAPES,
    };
    for &[rows, columns] in shapes {
        let seconds = gpu.matvec(rows, columns)?;
        let matrix = rows * columns * size_of::<f32>();
        let moved = matrix + (rows + columns) * size_of::<f32>();
        add(
            format!("matvec f32 {rows} x {columns}"),
            matrix,
            moved,
            0.9,
            seconds,
        );
    }
    measured.gpu = Some(description);
    measured.gpu_limits = Some(limits);
    Ok(())
}
