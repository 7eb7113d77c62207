//! Pictures as PNG, on the light ground, with a font that comes along: no machine needs one.

use std::error::Error;

use plotters::backend::{BitMapBackend, DrawingBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, FontTransform, IntoFont, RGBAColor, ShapeStyle, TextStyle, register_font};

use super::colours::{Colour, LIGHT, Rgb};
use super::scene::{Anchor, Point, RADIUS, Scene, Shape};

/// DejaVu Sans with the characters that pictures have; `font.md` says how it was made.
const FONT: &[u8] = include_bytes!("font.ttf");

/// The name of the font among those of plotters.
const FAMILY: &str = "sans-serif";

/// How many dots a unit has, in each direction.
const SCALE: f64 = 2.0;

/// The most dots in each direction: what viewers open.
const MOST: f64 = 16_000.0;

/// The file of a picture.
///
/// # Errors
/// What could not be drawn.
pub fn file(scene: &Scene) -> Result<Vec<u8>, String> {
    register_font(FAMILY, FontStyle::Normal, FONT).map_err(|_| "the font is broken".to_owned())?;
    let scale = SCALE.min(MOST / scene.width).min(MOST / scene.height);
    let (width, height) = ((scene.width * scale) as u32, (scene.height * scale) as u32);
    let Rgb(red, green, blue) = LIGHT.ground;
    let mut dots = [red, green, blue].repeat(width as usize * height as usize);
    let mut canvas = Canvas {
        backend: BitMapBackend::with_buffer(&mut dots, (width, height)),
        scale,
    };
    for shape in &scene.shapes {
        canvas.draw(shape).map_err(|error| error.to_string())?;
    }
    drop(canvas);
    encoded(&dots, width, height).map_err(|error| error.to_string())
}

/// The dots, red, green and blue each, as a file.
fn encoded(dots: &[u8], width: u32, height: u32) -> Result<Vec<u8>, png::EncodingError> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(dots)?;
    writer.finish()?;
    Ok(file)
}

struct Canvas<'a> {
    backend: BitMapBackend<'a>,
    scale: f64,
}

impl Canvas<'_> {
    fn draw(&mut self, shape: &Shape) -> Result<(), Box<dyn Error>> {
        match shape {
            Shape::Line {
                points,
                colour,
                width,
                dashed,
            } => {
                let style = self
                    .style(*colour, 1.0)
                    .stroke_width((width * self.scale).round() as u32);
                let lines = if *dashed {
                    dashes(points)
                } else {
                    vec![points.clone()]
                };
                for line in lines {
                    self.backend.draw_path(self.places(&line), &style)?;
                }
            }
            Shape::Area {
                points,
                colour,
                opacity,
            } => {
                let style = self.style(*colour, *opacity);
                self.backend.fill_polygon(self.places(points), &style)?;
            }
            Shape::Rectangle {
                at,
                width,
                height,
                colour,
                ..
            } => {
                let style = self.style(*colour, 1.0);
                let (left, top) = self.place(*at);
                let (right, bottom) = self.place((at.0 + width, at.1 + height));
                let corner = (right.max(left + 1), bottom.max(top + 1));
                self.backend.draw_rect((left, top), corner, &style, true)?;
            }
            Shape::Marker { at, form, colour, .. } => {
                let style = self.style(*colour, 1.0);
                let corners = form.corners(*at);
                match corners.is_empty() {
                    true => {
                        let radius = (RADIUS * self.scale).round() as u32;
                        self.backend.draw_circle(self.place(*at), radius, &style, true)?;
                    }
                    false => self.backend.fill_polygon(self.places(&corners), &style)?,
                }
            }
            Shape::Text {
                at,
                text,
                size,
                colour,
                anchor,
                upwards,
            } => {
                let transform = if *upwards {
                    FontTransform::Rotate270
                } else {
                    FontTransform::None
                };
                let horizontal = match anchor {
                    Anchor::Start => HPos::Left,
                    Anchor::Middle => HPos::Center,
                    Anchor::End => HPos::Right,
                };
                let font = (FAMILY, size * self.scale).into_font().transform(transform);
                let colour = self.colour(*colour, 1.0);
                let style = TextStyle::from(font)
                    .color(&colour)
                    .pos(Pos::new(horizontal, VPos::Center));
                self.backend.draw_text(text, &style, self.place(*at))?;
            }
        }
        Ok(())
    }

    fn colour(&self, colour: Colour, opacity: f64) -> RGBAColor {
        let rgb = LIGHT.of(colour);
        RGBAColor(rgb.0, rgb.1, rgb.2, opacity)
    }

    fn style(&self, colour: Colour, opacity: f64) -> ShapeStyle {
        ShapeStyle::from(self.colour(colour, opacity)).filled()
    }

    fn place(&self, (x, y): Point) -> (i32, i32) {
        ((x * self.scale).round() as i32, (y * self.scale).round() as i32)
    }

    fn places(&self, points: &[Point]) -> Vec<(i32, i32)> {
        points.iter().map(|point| self.place(*point)).collect()
    }
}

/// Pieces of a line with gaps between them.
fn dashes(points: &[Point]) -> Vec<Vec<Point>> {
    const DASH: f64 = 5.0;
    const GAP: f64 = 4.0;
    let mut dashes: Vec<Vec<Point>> = Vec::new();
    // How far the line has come within a dash and its gap.
    let mut done = 0.0;
    for pair in points.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        let length = (to.0 - from.0).hypot(to.1 - from.1);
        let at = |way: f64| {
            let part = if length > 0.0 { way / length } else { 0.0 };
            (from.0 + (to.0 - from.0) * part, from.1 + (to.1 - from.1) * part)
        };
        let mut way = 0.0;
        while way < length {
            let end = if done < DASH { DASH } else { DASH + GAP };
            let next = (way + end - done).min(length);
            if done < DASH {
                dashes.push(vec![at(way), at(next)]);
            }
            done = (done + next - way) % (DASH + GAP);
            // Rounding must not leave a piece of no length.
            if next - way < 1e-9 {
                done = if done < DASH { DASH } else { 0.0 };
            }
            way = next;
        }
    }
    dashes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::scene::Form;

    fn decoded(file: &[u8]) -> (Vec<u8>, u32) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut dots = vec![0; reader.output_buffer_size().unwrap()];
        let width = reader.next_frame(&mut dots).unwrap().width;
        (dots, width)
    }

    #[test]
    fn shapes_and_letters_are_where_they_should_be() {
        let mut scene = Scene::new(60.0, 40.0, String::new(), String::new());
        scene.rectangle((0.0, 0.0), 10.0, 10.0, Colour::Series(0), None);
        scene.text((30.0, 30.0), "µ×–", 12.0, Colour::Text, Anchor::Middle);
        scene.dashed_line(vec![(20.0, 5.0), (60.0, 5.0)], Colour::Series(1), 1.0);
        scene.shapes.push(Shape::Marker {
            at: (50.0, 30.0),
            form: Form::Triangle,
            colour: Colour::Series(2),
            tip: None,
        });
        let (dots, width) = decoded(&file(&scene).unwrap());
        assert_eq!(width, 120);
        let dot = |x: f64, y: f64| {
            let at = ((y * SCALE) as usize * 120 + (x * SCALE) as usize) * 3;
            [dots[at], dots[at + 1], dots[at + 2]]
        };
        let of = |colour| {
            let rgb = LIGHT.of(colour);
            [rgb.0, rgb.1, rgb.2]
        };
        assert_eq!(dot(5.0, 5.0), of(Colour::Series(0)));
        assert_eq!(dot(15.0, 15.0), of(Colour::Ground));
        assert_eq!(dot(50.0, 30.5), of(Colour::Series(2)));
        let in_letters =
            (20..40).any(|x| (24..36).any(|y| dot(f64::from(x), f64::from(y)) != of(Colour::Ground)));
        assert!(in_letters);
    }

    #[test]
    fn dashes_cover_more_than_half_of_a_line() {
        let length = |points: &[Point]| {
            points
                .windows(2)
                .map(|pair| (pair[1].0 - pair[0].0).hypot(pair[1].1 - pair[0].1))
                .sum::<f64>()
        };
        let line = [(0.0, 0.0), (30.0, 0.0), (30.0, 0.0), (30.0, 61.0)];
        let dashes = dashes(&line);
        let covered: f64 = dashes.iter().map(|dash| length(dash)).sum();
        assert!((45.0..60.0).contains(&covered), "{covered}");
    }
}
