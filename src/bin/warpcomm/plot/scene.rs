//! A picture before it is drawn: shapes, in the order in which they are painted.

use super::colours::Colour;

/// A place, in units from the left and from the top; there are some 96 to an inch.
pub type Point = (f64, f64);

/// A picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scene {
    pub width: f64,
    pub height: f64,
    /// What it shows, in one line.
    pub title: String,
    /// What is to be seen in it, for those who do not see it.
    pub description: String,
    pub shapes: Vec<Shape>,
}

/// Something in a picture.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// A line through points.
    Line {
        points: Vec<Point>,
        colour: Colour,
        width: f64,
        dashed: bool,
    },
    /// What points surround, half transparent or not.
    Area {
        points: Vec<Point>,
        colour: Colour,
        opacity: f64,
    },
    Rectangle {
        /// The corner that is left above.
        at: Point,
        width: f64,
        height: f64,
        colour: Colour,
        /// What is said of it where one points at it.
        tip: Option<String>,
    },
    Marker {
        at: Point,
        form: Form,
        colour: Colour,
        tip: Option<String>,
    },
    Text {
        at: Point,
        text: String,
        size: f64,
        colour: Colour,
        anchor: Anchor,
        /// Whether it runs upwards.
        upwards: bool,
    },
}

/// The form of a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Circle,
    Square,
    Diamond,
    Triangle,
    TriangleDown,
    Cross,
}

impl Form {
    /// That of a series by its number: series of one colour have different ones.
    pub fn of(series: usize) -> Form {
        let forms = [
            Form::Circle,
            Form::Square,
            Form::Diamond,
            Form::Triangle,
            Form::TriangleDown,
            Form::Cross,
        ];
        forms[(series + series / forms.len()) % forms.len()]
    }

    /// The corners around a place; none of a circle.
    pub fn corners(self, (x, y): Point) -> Vec<Point> {
        let corners: &[Point] = match self {
            Form::Circle => &[],
            Form::Square => &[(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)],
            Form::Diamond => &[(0.0, -1.4), (1.4, 0.0), (0.0, 1.4), (-1.4, 0.0)],
            Form::Triangle => &[(0.0, -1.3), (1.3, 1.0), (-1.3, 1.0)],
            Form::TriangleDown => &[(0.0, 1.3), (1.3, -1.0), (-1.3, -1.0)],
            Form::Cross => &[
                (-0.4, -1.3),
                (0.4, -1.3),
                (0.4, -0.4),
                (1.3, -0.4),
                (1.3, 0.4),
                (0.4, 0.4),
                (0.4, 1.3),
                (-0.4, 1.3),
                (-0.4, 0.4),
                (-1.3, 0.4),
                (-1.3, -0.4),
                (-0.4, -0.4),
            ],
        };
        corners
            .iter()
            .map(|(right, down)| (x + right * RADIUS, y + down * RADIUS))
            .collect()
    }
}

/// Half of the width of a marker.
pub const RADIUS: f64 = 3.2;

/// Which part of a text is at its place. Its middle is at the height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

/// About how wide a text is, in whatever font: wider rather than narrower.
pub fn text_width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * 0.6
}

impl Scene {
    /// An empty picture on its ground.
    pub fn new(width: f64, height: f64, title: String, description: String) -> Scene {
        let mut scene = Scene {
            width,
            height,
            title,
            description,
            shapes: Vec::new(),
        };
        scene.rectangle((0.0, 0.0), width, height, Colour::Ground, None);
        scene
    }

    pub fn line(&mut self, points: Vec<Point>, colour: Colour, width: f64) {
        self.shapes.push(Shape::Line {
            points,
            colour,
            width,
            dashed: false,
        });
    }

    pub fn dashed_line(&mut self, points: Vec<Point>, colour: Colour, width: f64) {
        self.shapes.push(Shape::Line {
            points,
            colour,
            width,
            dashed: true,
        });
    }

    pub fn rectangle(&mut self, at: Point, width: f64, height: f64, colour: Colour, tip: Option<String>) {
        self.shapes.push(Shape::Rectangle {
            at,
            width,
            height,
            colour,
            tip,
        });
    }

    pub fn text(&mut self, at: Point, text: impl Into<String>, size: f64, colour: Colour, anchor: Anchor) {
        self.shapes.push(Shape::Text {
            at,
            text: text.into(),
            size,
            colour,
            anchor,
            upwards: false,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_one_colour_have_different_forms() {
        use super::super::colours::SERIES;
        let mut seen = std::collections::HashSet::new();
        for series in 0..36 {
            assert!(seen.insert((series % SERIES, format!("{:?}", Form::of(series)))));
        }
    }
}
