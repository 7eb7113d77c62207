//! The files that show the plate: its temperatures as `.npy`, and a picture of them.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use npyz::WriterBuilder;

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

/// Colours from cold to hot, at equal distances, after "inferno" of Matplotlib.
const COLOURS: [[u8; 3]; 9] = [
    [0, 0, 4],
    [31, 12, 72],
    [85, 15, 109],
    [136, 34, 106],
    [186, 54, 85],
    [227, 89, 51],
    [249, 140, 10],
    [249, 201, 50],
    [252, 255, 164],
];

/// Writes a picture with a pixel for each cell, whose colour goes from that of `coldest` to that of `hottest`.
pub fn write_picture(
    path: &Path,
    columns: usize,
    temperatures: &[f64],
    [coldest, hottest]: [f64; 2],
) -> Result<(), String> {
    let failed = |reason: String| format!("{}: {reason}", path.display());
    let length = |cells: usize| {
        u32::try_from(cells).map_err(|_| failed(format!("a picture cannot be {cells} pixels long")))
    };
    let (width, height) = (length(columns)?, length(temperatures.len() / columns)?);
    let range = hottest - coldest;
    let pixels: Vec<u8> = temperatures
        .iter()
        .map(|temperature| ((temperature - coldest) / range * 255.0).round() as u8)
        .collect();
    let palette: Vec<u8> = (0..=255).flat_map(colour).collect();
    let write = || -> Result<(), png::EncodingError> {
        let mut file = BufWriter::new(File::create(path)?);
        let mut encoder = png::Encoder::new(&mut file, width, height);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_palette(palette);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&pixels)?;
        writer.finish()?;
        Ok(file.flush()?)
    };
    write().map_err(|error| failed(error.to_string()))
}

/// The colour of a temperature on a scale from 0 to 255.
fn colour(heat: usize) -> [u8; 3] {
    let steps = COLOURS.len() - 1;
    let (before, between) = (heat * steps / 255, heat * steps % 255);
    let after = (before + 1).min(steps);
    std::array::from_fn(|channel| {
        let [from, to] = [before, after].map(|step| usize::from(COLOURS[step][channel]));
        ((from * (255 - between) + to * between) / 255) as u8
    })
}
