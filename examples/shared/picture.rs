//! Pictures in colours from dark to light.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Colours from dark to light, at equal distances, after "inferno" of Matplotlib.
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

/// Writes a picture as PNG, with a pixel for each of the shades, row by row: 0 is dark, 255 light.
pub fn write(path: &Path, columns: usize, shades: &[u8]) -> Result<(), String> {
    let failed = |reason: String| format!("{}: {reason}", path.display());
    let length = |pixels: usize| {
        u32::try_from(pixels).map_err(|_| failed(format!("a picture cannot be {pixels} pixels long")))
    };
    let (width, height) = (length(columns)?, length(shades.len() / columns)?);
    let palette: Vec<u8> = (0..=255).flat_map(colour).collect();
    let write = || -> Result<(), png::EncodingError> {
        let mut file = BufWriter::new(File::create(path)?);
        let mut encoder = png::Encoder::new(&mut file, width, height);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_palette(palette);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(shades)?;
        writer.finish()?;
        Ok(file.flush()?)
    };
    write().map_err(|error| failed(error.to_string()))
}

/// The colour of a shade.
fn colour(shade: usize) -> [u8; 3] {
    let steps = COLOURS.len() - 1;
    let (before, between) = (shade * steps / 255, shade * steps % 255);
    let after = (before + 1).min(steps);
    std::array::from_fn(|channel| {
        let [from, to] = [before, after].map(|step| usize::from(COLOURS[step][channel]));
        ((from * (255 - between) + to * between) / 255) as u8
    })
}
