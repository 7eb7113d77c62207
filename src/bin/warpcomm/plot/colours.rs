//! The colours of pictures, on a light and on a dark ground.
//!
//! Those of series can be told apart by people who see fewer colours, and stand out from their ground: they are what a search for
//! colours that are far from each other in what such people see has found. The tests below measure it. Markers differ in form as well.

/// Red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rgb(pub u8, pub u8, pub u8);

impl Rgb {
    /// As style sheets write it: `#0072b2`.
    pub fn hex(self) -> String {
        let Rgb(red, green, blue) = self;
        format!("#{red:02x}{green:02x}{blue:02x}")
    }

    /// How bright it is, from 0 to 1 (WCAG 2.2, "relative luminance").
    fn luminance(self) -> f64 {
        let [red, green, blue] = self.linear();
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    fn linear(self) -> [f64; 3] {
        [self.0, self.1, self.2].map(|value| {
            let value = f64::from(value) / 255.0;
            match value <= 0.04045 {
                true => value / 12.92,
                false => ((value + 0.055) / 1.055).powf(2.4),
            }
        })
    }

    /// How much two stand out from each other, from 1 to 21 (WCAG 2.2, "contrast ratio").
    pub fn contrast(self, other: Rgb) -> f64 {
        let (one, other) = (self.luminance(), other.luminance());
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    /// A part of the way to another one.
    fn towards(self, other: Rgb, part: f64) -> Rgb {
        let mix =
            |from: u8, to: u8| (f64::from(from) + (f64::from(to) - f64::from(from)) * part).round() as u8;
        Rgb(mix(self.0, other.0), mix(self.1, other.1), mix(self.2, other.2))
    }
}

/// What something is, which gives its colour on each ground.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    Ground,
    Text,
    /// Text that matters less.
    Muted,
    /// The lines behind a picture.
    Grid,
    /// The line, the markers or the operations of this number.
    Series(usize),
    /// The same on both grounds.
    Fixed(Rgb),
}

/// How many series have colours of their own.
pub const SERIES: usize = 6;

/// The colours on one ground.
pub struct Theme {
    pub ground: Rgb,
    pub text: Rgb,
    pub muted: Rgb,
    pub grid: Rgb,
    pub series: [Rgb; SERIES],
}

pub const LIGHT: Theme = Theme {
    ground: Rgb(0xff, 0xff, 0xff),
    text: Rgb(0x1b, 0x1f, 0x24),
    muted: Rgb(0x59, 0x63, 0x6e),
    grid: Rgb(0xdd, 0xe1, 0xe6),
    series: [
        Rgb(0x04, 0x53, 0xf6),
        Rgb(0xc3, 0x88, 0x00),
        Rgb(0x0b, 0xa7, 0x83),
        Rgb(0x9f, 0x78, 0xd0),
        Rgb(0x6e, 0x0f, 0x00),
        Rgb(0x2d, 0x0c, 0x3c),
    ],
};

pub const DARK: Theme = Theme {
    ground: Rgb(0x14, 0x17, 0x1c),
    text: Rgb(0xe8, 0xea, 0xed),
    muted: Rgb(0xa3, 0xab, 0xb5),
    grid: Rgb(0x33, 0x39, 0x42),
    series: [
        Rgb(0x4f, 0x7a, 0xff),
        Rgb(0xa3, 0x97, 0x00),
        Rgb(0x14, 0x7a, 0x64),
        Rgb(0xb4, 0xb6, 0xff),
        Rgb(0xff, 0xf0, 0x30),
        Rgb(0xc2, 0xff, 0xc5),
    ],
};

impl Theme {
    /// The colour of something.
    pub fn of(&self, colour: Colour) -> Rgb {
        match colour {
            Colour::Ground => self.ground,
            Colour::Text => self.text,
            Colour::Muted => self.muted,
            Colour::Grid => self.grid,
            Colour::Series(number) => self.series[number % SERIES],
            Colour::Fixed(rgb) => rgb,
        }
    }
}

/// Neither faster nor slower.
const SAME: Rgb = Rgb(0xf2, 0xf2, 0xf2);
/// Eight times as fast, or more.
const FASTER: Rgb = Rgb(0x0b, 0x5f, 0xa5);
/// Eight times as slow, or more.
const SLOWER: Rgb = Rgb(0xb3, 0x42, 0x00);
/// The ratio at which colours end.
const MOST: f64 = 8.0;

/// The colour of a cell that shows a speed-up, and that of the text in it.
pub fn cell(speed_up: f64) -> (Rgb, Rgb) {
    let part = (speed_up.ln() / MOST.ln()).clamp(-1.0, 1.0);
    let end = if part > 0.0 { FASTER } else { SLOWER };
    let ground = SAME.towards(end, part.abs());
    let text = [Rgb(0, 0, 0), Rgb(0xff, 0xff, 0xff)]
        .into_iter()
        .max_by(|one, other| ground.contrast(*one).total_cmp(&ground.contrast(*other)));
    (ground, text.unwrap_or(LIGHT.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How people see it who lack the cones of one kind (Viénot, Brettel and Mollon, "Digital video colourmaps for checking the
    /// legibility of displays by dichromats", 1999), as lightness and two hues.
    fn seen(colour: Rgb, lacking: Option<[[f64; 3]; 3]>) -> [f64; 3] {
        let linear = colour.linear();
        let linear = lacking.map_or(linear, |matrix| {
            matrix.map(|row| row.iter().zip(linear).map(|(factor, value)| factor * value).sum())
        });
        lab(linear)
    }

    const PROTANOPIA: [[f64; 3]; 3] = [
        [0.11238, 0.88762, 0.0],
        [0.11238, 0.88762, 0.0],
        [0.00401, -0.00401, 1.0],
    ];
    const DEUTERANOPIA: [[f64; 3]; 3] = [
        [0.29275, 0.70725, 0.0],
        [0.29275, 0.70725, 0.0],
        [-0.02234, 0.02234, 1.0],
    ];

    /// CIE 1976 L*a*b*, for daylight.
    fn lab([red, green, blue]: [f64; 3]) -> [f64; 3] {
        let x = (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505;
        let y = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
        let z = (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.089;
        let root = |value: f64| match value > 0.008_856 {
            true => value.cbrt(),
            false => 7.787 * value + 16.0 / 116.0,
        };
        [
            116.0 * root(y) - 16.0,
            500.0 * (root(x) - root(y)),
            200.0 * (root(y) - root(z)),
        ]
    }

    #[test]
    fn text_and_lines_stand_out_from_their_ground() {
        for theme in [LIGHT, DARK] {
            for text in [theme.text, theme.muted] {
                assert!(text.contrast(theme.ground) >= 4.5, "{text:?}");
            }
            for line in theme.series {
                assert!(
                    line.contrast(theme.ground) >= 3.0,
                    "{line:?} {}",
                    line.contrast(theme.ground)
                );
            }
        }
    }

    #[test]
    fn series_can_be_told_apart_with_fewer_cones() {
        for theme in [LIGHT, DARK] {
            for lacking in [None, Some(PROTANOPIA), Some(DEUTERANOPIA)] {
                for (at, one) in theme.series.iter().enumerate() {
                    for other in &theme.series[..at] {
                        let difference = seen(*one, lacking)
                            .iter()
                            .zip(seen(*other, lacking))
                            .map(|(one, other)| (one - other).powi(2))
                            .sum::<f64>()
                            .sqrt();
                        assert!(difference > 20.0, "{one:?} {other:?} {lacking:?}: {difference}");
                    }
                }
            }
        }
    }

    #[test]
    fn cells_can_be_read() {
        for step in -400..=400 {
            let (ground, text) = cell((f64::from(step) / 100.0).exp2());
            assert!(ground.contrast(text) >= 4.5, "{step}: {}", ground.contrast(text));
        }
        assert_eq!(cell(1.0).0, SAME);
        assert_eq!(cell(100.0).0, FASTER);
        assert_eq!(cell(0.001).0, SLOWER);
    }

    #[test]
    fn black_and_white_have_the_most_contrast() {
        assert_eq!(Rgb(0, 0, 0).contrast(Rgb(255, 255, 255)), 21.0);
        assert_eq!(Rgb(255, 0, 128).hex(), "#ff0080");
    }
}
