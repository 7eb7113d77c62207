//! Whether bytes are what they say they are, before anybody believes them.
//!
//! An array that claims more elements than follow makes a deserializer reserve memory for them, and arrays in arrays
//! make it recurse. Here every claim is held against the bytes, without recursion and without memory: what passes is
//! one whole item of CBOR (RFC 8949) in which each container has as many items as it says, and not too many
//! containers are inside each other.

/// How many containers may be inside each other.
pub(super) const DEEPEST: usize = 128;

/// The items that a container still needs.
#[derive(Clone, Copy)]
enum Needs {
    Items(u64),
    /// As many as there are before a break.
    Break,
}

const BREAK: u8 = 0xff;

const SHORT: &str = "it ends in the middle";

/// The head of an item that is no break.
struct Head {
    major: u8,
    /// None, if the item ends with a break.
    argument: Option<u64>,
    bytes: usize,
}

impl Head {
    fn read(bytes: &[u8]) -> Result<Head, &'static str> {
        let (&first, rest) = bytes.split_first().ok_or(SHORT)?;
        let (major, short) = (first >> 5, first & 0x1f);
        let (argument, behind) = match short {
            0..=23 => (Some(u64::from(short)), 0),
            24..=27 => {
                let behind = 1 << (short - 24);
                let argument = rest.get(..behind).ok_or(SHORT)?;
                let argument = argument
                    .iter()
                    .fold(0, |value, &byte| value << 8 | u64::from(byte));
                (Some(argument), behind)
            }
            31 if (2..=5).contains(&major) => (None, 0),
            _ => return Err("a reserved byte"),
        };
        Ok(Head {
            major,
            argument,
            bytes: 1 + behind,
        })
    }
}

/// What is known of an item whose bytes come one after the other.
pub(super) struct Shape {
    around: [Needs; DEEPEST],
    depth: usize,
    /// Bytes of text that are still to come.
    text: u64,
    has_begun: bool,
}

impl Shape {
    pub(super) fn new() -> Shape {
        Shape {
            around: [Needs::Break; DEEPEST],
            depth: 0,
            text: 0,
            has_begun: false,
        }
    }

    /// Takes the next bytes, which may end within text, though not within a head; says what is wrong with them.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        let mut rest = bytes;
        loop {
            let text = usize::try_from(self.text).unwrap_or(usize::MAX).min(rest.len());
            self.text -= text as u64;
            rest = &rest[text..];
            if self.text == 0 {
                while self.depth > 0 && matches!(self.around[self.depth - 1], Needs::Items(0)) {
                    self.depth -= 1;
                }
            }
            let Some(&first) = rest.first() else {
                return Ok(());
            };
            if self.has_begun && self.depth == 0 {
                return Err("something follows it");
            }
            self.has_begun = true;
            rest = &rest[self.item(first, rest)?..];
        }
    }

    /// Takes the head of an item, or a break, and tells its length.
    fn item(&mut self, first: u8, bytes: &[u8]) -> Result<usize, &'static str> {
        let innermost = self
            .depth
            .checked_sub(1)
            .map(|innermost| &mut self.around[innermost]);
        if first == BREAK {
            let Some(Needs::Break) = innermost else {
                return Err("a break outside of a container");
            };
            self.depth -= 1;
            return Ok(1);
        }
        if let Some(Needs::Items(items)) = innermost {
            *items -= 1;
        }
        let head = Head::read(bytes)?;
        let opened = match (head.major, head.argument) {
            // Bytes and text.
            (2 | 3, Some(length)) => {
                self.text = length;
                None
            }
            (4, Some(items)) => Some(Needs::Items(items)),
            (5, Some(pairs)) => Some(Needs::Items(pairs.checked_mul(2).ok_or(SHORT)?)),
            (6, Some(_)) => Some(Needs::Items(1)),
            (_, None) => Some(Needs::Break),
            // Numbers, and what is no container: it is all in the argument.
            _ => None,
        };
        if let Some(needs) = opened {
            *self.around.get_mut(self.depth).ok_or("it is nested too deep")? = needs;
            self.depth += 1;
        }
        Ok(head.bytes)
    }

    /// Whether what has come is one whole item.
    pub(super) fn end(&self) -> Result<(), &'static str> {
        match self.has_begun && self.depth == 0 && self.text == 0 {
            true => Ok(()),
            false => Err(SHORT),
        }
    }
}

/// Says what is wrong with bytes that are not one whole item.
pub(super) fn check(bytes: &[u8]) -> Result<(), &'static str> {
    let mut shape = Shape::new();
    shape.push(bytes)?;
    shape.end()
}

/// The length of the item at the start of bytes that were checked, if it has no items inside it but pieces of text.
pub(super) fn leaf(bytes: &[u8]) -> Option<usize> {
    let head = Head::read(bytes).ok()?;
    match (head.major, head.argument) {
        (2 | 3, Some(length)) => Some(head.bytes.saturating_add(usize::try_from(length).ok()?)),
        (2 | 3, None) => {
            let mut end = head.bytes;
            while *bytes.get(end)? != BREAK {
                end += leaf(&bytes[end..])?;
            }
            Some(end + 1)
        }
        (4..=6, _) => None,
        _ => Some(head.bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::{DEEPEST, check};

    #[test]
    fn whole_items_pass() {
        let items: &[&[u8]] = &[
            &[0],
            &[0x18, 200],
            &[0x80],
            &[0x83, 1, 2, 3],
            &[0x82, 0x81, 1, 0x81, 2],
            &[0xa1, 0x61, b'a', 7],
            &[0x43, 1, 2, 3],
            &[0x9f, 1, 0x9f, 0xff, 0xff],
            &[0x7f, 0x61, b'a', 0xff],
            &[0xbf, 0x61, b'a', 0xf6, 0xff],
            &[0xc2, 0x41, 9],
            &[0xfb, 0, 0, 0, 0, 0, 0, 0, 0],
        ];
        for item in items {
            assert_eq!(check(item), Ok(()), "{item:x?}");
            for end in 0..item.len() {
                assert!(check(&item[..end]).is_err(), "{:x?}", &item[..end]);
            }
            assert!(check(&[item, &[0][..]].concat()).is_err(), "{item:x?} and 0");
        }
    }

    #[test]
    fn claims_are_held_against_the_bytes() {
        for claim in [
            &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0][..],
            &[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0],
            &[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0],
            &[0x9a, 0, 0x10, 0, 0, 0],
            &[0xff],
            &[0x81, 0xff],
            &[0x1c],
            &[0x1f],
            &[0xdf],
        ] {
            assert!(check(claim).is_err(), "{claim:x?}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| [vec![0x81; depth], vec![0]].concat();
        assert_eq!(check(&nested(DEEPEST)), Ok(()));
        assert_eq!(check(&nested(DEEPEST + 1)), Err("it is nested too deep"));
        assert!(check(&vec![0x9f; 1 << 20]).is_err());
    }
}
