//! The files that show the plate: its temperatures as `.npy`, and a picture of them.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use npyz::WriterBuilder;

use super::picture;

/// Writes the temperatures as a NumPy array of two dimensions.
pub fn write_array(path: &Path, rows: usize, columns: usize, temperatures: &[f64]) -> Result<(), String> {
    let write = || {
        let mut file = BufWriter::new(File::create(path)?);
        let options = npyz::WriteOptions::new()
            .default_dtype()
            .shape(&[rows as u64, columns as u64]);
        let mut writer = options.writer(&mut file).begin_nd()?;
        writer.extend(temperatures)?;
        writer.finish()?;
        file.flush()
    };
    write().map_err(|error: std::io::Error| format!("{}: {error}", path.display()))
}

/// Writes a picture with a pixel for each cell, whose colour goes from that of `coldest` to that of `hottest`.
pub fn write_picture(
    path: &Path,
    columns: usize,
    temperatures: &[f64],
    [coldest, hottest]: [f64; 2],
) -> Result<(), String> {
    let range = hottest - coldest;
    let shades: Vec<u8> = temperatures
        .iter()
        .map(|temperature| ((temperature - coldest) / range * 255.0).round() as u8)
        .collect();
    picture::write(path, columns, &shades)
}
