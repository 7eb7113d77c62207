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

/// Says what is wrong with bytes that are not one whole item.
pub(super) fn check(bytes: &[u8]) -> Result<(), &'static str> {
    const SHORT: &str = "it ends in the middle";
    let mut rest = bytes;
    let mut around = [Needs::Break; DEEPEST];
    let mut depth = 0usize;
    loop {
        let (&head, behind) = rest.split_first().ok_or(SHORT)?;
        rest = behind;
        let mut opened = None;
        if head == BREAK {
            match depth.checked_sub(1).map(|innermost| around[innermost]) {
                Some(Needs::Break) => depth -= 1,
                _ => return Err("a break outside of a container"),
            }
        } else {
            if let Some(Needs::Items(items)) = depth.checked_sub(1).map(|innermost| &mut around[innermost]) {
                *items -= 1;
            }
            let (major, short) = (head >> 5, head & 0x1f);
            let argument = match short {
                0..=23 => Some(u64::from(short)),
                24..=27 => {
                    let (argument, behind) = rest.split_at_checked(1 << (short - 24)).ok_or(SHORT)?;
                    rest = behind;
                    Some(
                        argument
                            .iter()
                            .fold(0, |value, &byte| value << 8 | u64::from(byte)),
                    )
                }
                31 => None,
                _ => return Err("a reserved byte"),
            };
            opened = match (major, argument) {
                // Numbers, and what is no container: it is all in the argument.
                (0 | 1 | 7, Some(_)) => None,
                // Bytes and text.
                (2 | 3, Some(length)) => {
                    let length = usize::try_from(length).map_err(|_| SHORT)?;
                    rest = rest.get(length..).ok_or(SHORT)?;
                    None
                }
                (4, Some(items)) => Some(Needs::Items(items)),
                (5, Some(pairs)) => Some(Needs::Items(pairs.checked_mul(2).ok_or(SHORT)?)),
                (6, Some(_)) => Some(Needs::Items(1)),
                (2..=5, None) => Some(Needs::Break),
                _ => return Err("a reserved byte"),
            };
        }
        if let Some(needs) = opened {
            *around.get_mut(depth).ok_or("it is nested too deep")? = needs;
            depth += 1;
        }
        while depth > 0 && matches!(around[depth - 1], Needs::Items(0)) {
            depth -= 1;
        }
        if depth == 0 {
            return match rest {
                [] => Ok(()),
                _ => Err("something follows it"),
            };
        }
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
