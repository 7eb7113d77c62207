//! Parts of the arrays in NumPy's `.npy` files.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use bytemuck::{AnyBitPattern, NoUninit};
use npyz::{DType, Endianness, NpyHeader, Order, TypeChar, TypeStr};
use warpcomm::Dtype;

/// The longest header that NumPy itself reads without being asked to trust the file, in bytes.
const LONGEST_HEADER: usize = 10_000;

/// An array in a file, of which any part can be read.
///
/// All errors are one line that begins with the name of the file.
pub struct Array {
    name: String,
    file: File,
    data_start: u64,
    dtype: Dtype,
    shape: Vec<usize>,
}

impl Array {
    /// Opens the array in C order in the file at `path`, and checks that the file holds all of it.
    pub fn open(path: &Path, accepted: &[Dtype]) -> Result<Array, String> {
        let name = path.display().to_string();
        let named = |reason: String| format!("{name}: {reason}");
        // To open a named pipe would wait for its writer.
        let metadata = path.metadata().map_err(|error| named(error.to_string()))?;
        if !metadata.is_file() {
            return Err(named("not a regular file".into()));
        }
        let mut file = File::open(path).map_err(|error| named(error.to_string()))?;
        let (header, data_start) = read_header(&mut file).map_err(named)?;
        let dtype = number_type(&header.dtype(), accepted).map_err(named)?;
        if header.order() == Order::Fortran && header.shape().len() > 1 {
            return Err(named(
                "in Fortran order, not C order (numpy.ascontiguousarray converts it)".into(),
            ));
        }
        let shape = shape_of(&header, dtype, metadata.len().saturating_sub(data_start)).map_err(named)?;
        Ok(Array {
            name,
            file,
            data_start,
            dtype,
            shape,
        })
    }

    /// The type of the elements.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The length of each dimension; their product fits.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// An error about this array.
    pub fn error(&self, reason: impl AsRef<str>) -> String {
        format!("{}: {}", self.name, reason.as_ref())
    }

    /// Reads these elements, counted in the order in which they lie in the file, and nothing else.
    ///
    /// `T` is the Rust type of [`dtype`](Self::dtype).
    pub fn read<T: Part>(&mut self, elements: Range<usize>) -> Result<Vec<T>, String> {
        let mut values = zeroed(elements.len()).map_err(|reason| self.error(reason))?;
        let start = self.data_start + (elements.start * size_of::<T>()) as u64;
        self.file
            .seek(SeekFrom::Start(start))
            .and_then(|_| self.file.read_exact(bytemuck::cast_slice_mut(&mut values)))
            .map_err(|error| self.error(error.to_string()))?;
        Ok(values)
    }
}

/// An element as it lies in the file, where the byte order is that of the machine.
pub trait Part: AnyBitPattern + NoUninit {}

impl<T: AnyBitPattern + NoUninit> Part for T {}

/// `length` zeros, or an error where `vec!` would end the process.
pub fn zeroed<T: AnyBitPattern>(length: usize) -> Result<Vec<T>, String> {
    let mut values = Vec::new();
    values
        .try_reserve_exact(length)
        .map_err(|_| format!("no memory for {length} elements of {} bytes", size_of::<T>()))?;
    values.resize(length, T::zeroed());
    Ok(values)
}

/// Reads the header and returns it with the position of the data behind it, in bytes.
fn read_header(file: &mut File) -> Result<(NpyHeader, u64), String> {
    let malformed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "malformed .npy file: it ends within the header".to_string(),
        std::io::ErrorKind::InvalidData => format!("malformed .npy file: {}", one_line(&error.to_string())),
        _ => error.to_string(),
    };
    let mut file = BufReader::new(file);
    let mut bytes = vec![0; 10];
    file.read_exact(&mut bytes).map_err(malformed)?;
    let [b'\x93', b'N', b'U', b'M', b'P', b'Y', major, _, low, high] = bytes[..] else {
        return Err("not a .npy file: it does not begin with \\x93NUMPY".into());
    };
    let mut length = usize::from(u16::from_le_bytes([low, high]));
    if major > 1 {
        bytes.resize(12, 0);
        file.read_exact(&mut bytes[10..]).map_err(malformed)?;
        length |= usize::from(u16::from_le_bytes([bytes[10], bytes[11]])) << 16;
    }
    if length > LONGEST_HEADER {
        return Err(format!(
            "malformed .npy file: a header of {length} bytes is longer than {LONGEST_HEADER}"
        ));
    }

    let preamble = bytes.len();
    bytes.resize(preamble + length, 0);
    file.read_exact(&mut bytes[preamble..]).map_err(malformed)?;
    check_text(&bytes[preamble..]).map_err(|reason| format!("malformed .npy file: {reason}"))?;
    let header = NpyHeader::from_reader(&bytes[..]).map_err(malformed)?;
    Ok((header, bytes.len() as u64))
}

/// Refuses what npyz cannot survive: brackets so deep that its parser runs out of stack, and
/// dimensions whose product overflows, which it multiplies unchecked.
fn check_text(text: &[u8]) -> Result<(), &'static str> {
    let text = std::str::from_utf8(text).map_err(|_| "its header is not UTF-8")?;
    // With neither of these in the text, every other quote ends a string.
    if text.contains('\\') || text.contains("'''") {
        return Err("its header holds characters that no array of numbers has");
    }
    let outside_strings = text.split('\'').step_by(2);
    let mut depth = 0_usize;
    let mut elements = 1_u64;
    for part in outside_strings {
        for character in part.chars() {
            match character {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth = depth.saturating_sub(1),
                ',' | ':' | ' ' | '\n' => {}
                _ if character.is_ascii_alphanumeric() => {}
                _ => return Err("its header holds characters that no array of numbers has"),
            }
            if depth > 8 {
                return Err("the brackets of its header are nested too deeply");
            }
        }
        let words = part.split(|character: char| !character.is_ascii_alphanumeric());
        for number in words.filter(|word| word.starts_with(|first: char| first.is_ascii_digit())) {
            let number: u64 = number
                .parse()
                .map_err(|_| "a number in its header is not a dimension")?;
            elements = elements
                .checked_mul(number.max(1))
                .ok_or("its shape has more than 2^64 elements")?;
        }
    }
    Ok(())
}

/// The element type, if it is one of `accepted`.
fn number_type(found: &DType, accepted: &[Dtype]) -> Result<Dtype, String> {
    let names: Vec<&str> = accepted.iter().map(|dtype| dtype.name()).collect();
    let refused = |what: &str| Err(format!("{what}; this program reads {}", names.join(", ")));
    let DType::Plain(number) = found else {
        return refused("its elements are structures");
    };
    let Some(dtype) = plain_type(number) else {
        return refused(&format!("its elements are {number}"));
    };
    if !accepted.contains(&dtype) {
        return refused(&format!("its elements are {number} ({})", dtype.name()));
    }
    if ![Endianness::of_machine(), Endianness::Irrelevant].contains(&number.endianness()) {
        return Err(format!(
            "its elements, {number}, have the byte order of another kind of machine"
        ));
    }
    Ok(dtype)
}

fn plain_type(number: &TypeStr) -> Option<Dtype> {
    match (number.type_char(), number.size_field()) {
        (TypeChar::Float, 4) => Some(Dtype::F32),
        (TypeChar::Float, 8) => Some(Dtype::F64),
        (TypeChar::Int, 4) => Some(Dtype::I32),
        (TypeChar::Int, 8) => Some(Dtype::I64),
        _ => None,
    }
}

/// The shape, if the `available` bytes hold an array of it.
fn shape_of(header: &NpyHeader, dtype: Dtype, available: u64) -> Result<Vec<usize>, String> {
    let shape = header.shape();
    let bytes = shape
        .iter()
        .try_fold(dtype.size() as u64, |bytes, &length| bytes.checked_mul(length));
    match bytes {
        Some(bytes) if bytes <= available => {}
        _ => {
            return Err(format!(
                "truncated: an array of {} {} does not fit into its {available} bytes of data",
                times(shape),
                dtype.name()
            ));
        }
    }
    let shape: Option<Vec<usize>> = shape.iter().map(|&length| usize::try_from(length).ok()).collect();
    shape.ok_or_else(|| "larger than the memory of this machine".into())
}

/// A shape as people write it, like `5x3`.
pub fn times<L: ToString>(shape: &[L]) -> String {
    let lengths: Vec<String> = shape.iter().map(L::to_string).collect();
    lengths.join("x")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
