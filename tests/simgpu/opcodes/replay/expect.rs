//! Expected values and how far a result may be from them.

/// One value in a buffer.
pub struct Check {
    /// Where it is, in bytes.
    pub offset: usize,
    /// Its size in bytes: 1, 2, 4 or 8.
    pub bytes: usize,
    /// What it must be.
    pub expected: Expected,
    /// Where it comes from, for the message.
    pub label: String,
}

/// What a value must be.
pub enum Expected {
    /// These bits.
    Bits(u64),
    /// Any NaN of its size.
    Nan(Format),
    /// Within a bound of an exact value.
    Near(f64, Bound),
    /// Anything.
    Anything,
}

/// A format of floating point, by the bits of its fraction and exponent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    fraction: u32,
    exponent: u32,
}

/// How far a value may be from the exact one.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// Relative to the exact value.
    Relative(f64, Format),
    /// Absolute.
    Absolute(f64, Format),
    /// In units of the last place of the exact value.
    Ulps(f64, Format),
}

impl Format {
    const F16: Self = Self {
        fraction: 10,
        exponent: 5,
    };
    const BF16: Self = Self {
        fraction: 7,
        exponent: 8,
    };
    const F32: Self = Self {
        fraction: 23,
        exponent: 8,
    };
    const F64: Self = Self {
        fraction: 52,
        exponent: 11,
    };

    /// The format that a form's name or an element type ends in.
    pub fn of(name: &str, bytes: usize) -> Self {
        match bytes {
            2 if name.contains("bf16") => Self::BF16,
            2 => Self::F16,
            4 => Self::F32,
            _ => Self::F64,
        }
    }

    fn bias(self) -> i32 {
        (1 << (self.exponent - 1)) - 1
    }

    fn is_nan(self, bits: u64) -> bool {
        let magnitude = bits & ((1 << (self.fraction + self.exponent)) - 1);
        magnitude > ((1 << self.exponent) - 1) << self.fraction
    }

    /// The value of bits; exact, as every format here is part of f64.
    pub fn value(self, bits: u64) -> f64 {
        let fraction = bits & ((1 << self.fraction) - 1);
        let exponent = (bits >> self.fraction & ((1 << self.exponent) - 1)) as i32;
        let sign = if bits >> (self.fraction + self.exponent) & 1 == 1 {
            -1.0
        } else {
            1.0
        };
        if self == Self::F64 {
            return f64::from_bits(bits);
        }
        let scale = |exponent: i32| 2f64.powi(exponent - self.fraction as i32);
        if exponent == (1 << self.exponent) - 1 {
            return if fraction == 0 {
                sign * f64::INFINITY
            } else {
                f64::NAN
            };
        }
        match exponent {
            0 => sign * fraction as f64 * scale(1 - self.bias()),
            _ => sign * (fraction | 1 << self.fraction) as f64 * scale(exponent - self.bias()),
        }
    }

    /// The unit in the last place of a value.
    fn ulp(self, value: f64) -> f64 {
        let exponent = value.abs().log2().floor() as i32;
        2f64.powi(exponent.max(1 - self.bias()) - self.fraction as i32)
    }
}

impl Bound {
    /// Reads `relative 2^-22`, `absolute 2^-20.5` or `ulp 2 f32`; `name` and `bytes` tell the value's format.
    pub fn parse(text: &str, name: &str, bytes: usize) -> Self {
        let mut words = text.split(' ');
        let (kind, size) = (
            words.next().unwrap_or(""),
            words.next().expect("a bound has a size"),
        );
        let size = match size.strip_prefix("2^") {
            Some(power) => 2f64.powf(power.parse().expect("a power of two")),
            None => size.parse().expect("a number"),
        };
        let format = Format::of(name, bytes);
        match kind {
            "relative" => Self::Relative(size, format),
            "absolute" => Self::Absolute(size, format),
            "ulp" => Self::Ulps(size, format),
            _ => panic!("{text} is no bound"),
        }
    }

    fn format(self) -> Format {
        let (Self::Relative(_, format) | Self::Absolute(_, format) | Self::Ulps(_, format)) = self;
        format
    }

    fn allows(self, exact: f64, value: f64) -> bool {
        let error = (value - exact).abs();
        // The exact value was itself rounded to an f64.
        let slack = exact.abs() * f64::EPSILON;
        let most = match self {
            Self::Relative(size, _) => size * exact.abs(),
            Self::Absolute(size, _) => size,
            Self::Ulps(size, format) => size * format.ulp(exact),
        };
        // A NaN is in no bound.
        error <= most + slack
    }
}

impl Expected {
    /// Reads a cell: bits, `nan`, `~bits of the exact f64`, or `-`.
    pub fn parse(cell: &str, name: &str, bytes: usize, bound: Option<&str>) -> Self {
        let hexadecimal = |digits: &str| u64::from_str_radix(digits, 16).expect("hexadecimal bits");
        match cell.strip_prefix('~') {
            Some(digits) => {
                let bound = bound.expect("a form with approximate values states a bound");
                Self::Near(
                    f64::from_bits(hexadecimal(digits)),
                    Bound::parse(bound, name, bytes),
                )
            }
            None if cell == "nan" => Self::Nan(Format::of(name, bytes)),
            None if cell == "-" => Self::Anything,
            None => Self::Bits(hexadecimal(cell)),
        }
    }

    /// Makes it wrong; whether it said anything.
    pub fn spoil(&mut self) -> bool {
        match self {
            Self::Bits(bits) => *bits ^= 1,
            Self::Nan(_) => *self = Self::Bits(0),
            Self::Near(exact, _) => *exact = 2.0 * *exact + 1.0,
            Self::Anything => return false,
        }
        true
    }

    fn text(&self, digits: usize) -> String {
        match self {
            Self::Bits(bits) => format!("{bits:0digits$x}"),
            Self::Nan(_) => "a NaN".to_owned(),
            Self::Near(exact, bound) => format!("{exact:e} within {bound:?}"),
            Self::Anything => "anything".to_owned(),
        }
    }
}

impl Check {
    /// What is wrong with a buffer's value, if anything is.
    pub fn disagreement(&self, buffer: &[u8]) -> Option<String> {
        let mut word = [0; 8];
        word[..self.bytes].copy_from_slice(&buffer[self.offset..self.offset + self.bytes]);
        let bits = u64::from_le_bytes(word);
        let right = match self.expected {
            Expected::Bits(expected) => bits == expected,
            Expected::Nan(format) => format.is_nan(bits),
            Expected::Near(exact, bound) => bound.allows(exact, bound.format().value(bits)),
            Expected::Anything => true,
        };
        let digits = 2 * self.bytes;
        (!right).then(|| {
            format!(
                "{}: {bits:0digits$x}, expected {}",
                self.label,
                self.expected.text(digits)
            )
        })
    }
}
