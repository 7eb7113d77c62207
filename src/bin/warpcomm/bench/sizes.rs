//! Lengths as they are written on the command line: `8:256M`, `8,1K,64K`, `8:1M:4`.

/// By how much a range goes up where it does not say.
const FACTOR: u64 = 2;

/// Lengths in bytes, going up, one at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes(pub Vec<u64>);

/// Reads lengths and ranges of them, separated by commas.
pub fn sizes(text: &str) -> Result<Sizes, String> {
    let mut sizes = Vec::new();
    for item in text.split(',') {
        add(item.trim(), &mut sizes)?;
    }
    sizes.sort_unstable();
    sizes.dedup();
    Ok(Sizes(sizes))
}

/// Adds a length or a range.
fn add(item: &str, sizes: &mut Vec<u64>) -> Result<(), String> {
    let parts: Vec<&str> = item.split(':').collect();
    let (first, last, factor) = match parts[..] {
        [only] => {
            sizes.push(size(only)?);
            return Ok(());
        }
        [first, last] => (size(first)?, size(last)?, FACTOR),
        [first, last, factor] => (size(first)?, size(last)?, size(factor)?),
        _ => {
            return Err(format!(
                "`{item}` is neither SIZE nor FIRST:LAST nor FIRST:LAST:FACTOR"
            ));
        }
    };
    if first == 0 {
        return Err(format!(
            "the range `{item}` never leaves 0; write `0,1:{}`",
            parts[1]
        ));
    }
    if factor < 2 {
        return Err(format!(
            "the range `{item}` does not go up; its factor is 2 at least"
        ));
    }
    if first > last {
        return Err(format!(
            "the range `{item}` goes down; write `{}:{}`",
            parts[1], parts[0]
        ));
    }
    let next = |&size: &u64| size.checked_mul(factor);
    sizes.extend(std::iter::successors(Some(first), next).take_while(|&size| size <= last));
    Ok(())
}

/// Reads a length like `512`, `64K`, `64k`, `64KiB` or `1M`, all of them with powers of 1024.
fn size(text: &str) -> Result<u64, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let number: u64 = match digits.parse() {
        Ok(number) => number,
        Err(_) if digits.is_empty() => {
            return Err(format!("`{text}` is no length; write `8`, `64K` or `1M`"));
        }
        Err(_) => return Err(format!("`{text}` is longer than any memory")),
    };
    let power = match unit.trim().to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 1,
        "M" | "MB" | "MIB" => 2,
        "G" | "GB" | "GIB" => 3,
        _ => {
            return Err(format!(
                "`{unit}` is no unit; there are K, M and G, as in `{digits}K`"
            ));
        }
    };
    number
        .checked_mul(1 << (10 * power))
        .ok_or_else(|| format!("`{text}` is longer than any memory"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Vec<u64> {
        sizes(text).unwrap().0
    }

    #[test]
    fn lengths_and_ranges_are_read() {
        assert_eq!(read("8"), [8]);
        assert_eq!(read("8:64"), [8, 16, 32, 64]);
        assert_eq!(read("8:1K:4"), [8, 32, 128, 512]);
        assert_eq!(read("3:20"), [3, 6, 12]);
        assert_eq!(read("64K,8,1k,8"), [8, 1024, 65536]);
        assert_eq!(read("0, 1:4,1M"), [0, 1, 2, 4, 1 << 20]);
        assert_eq!(read("1KiB,1KB,1g,7B"), [7, 1024, 1 << 30]);
        assert_eq!(read("8:256M").len(), 26);
    }

    #[test]
    fn what_cannot_be_read_says_what_can() {
        for (text, expected) in [
            ("", "`` is no length; write `8`, `64K` or `1M`"),
            ("many", "`many` is no length; write `8`, `64K` or `1M`"),
            ("-8", "`-8` is no length; write `8`, `64K` or `1M`"),
            ("8T", "`T` is no unit; there are K, M and G, as in `8K`"),
            ("99999999999G", "`99999999999G` is longer than any memory"),
            (
                "99999999999999999999",
                "`99999999999999999999` is longer than any memory",
            ),
            (
                "1:2:3:4",
                "`1:2:3:4` is neither SIZE nor FIRST:LAST nor FIRST:LAST:FACTOR",
            ),
            ("0:1M", "the range `0:1M` never leaves 0; write `0,1:1M`"),
            (
                "8:1M:1",
                "the range `8:1M:1` does not go up; its factor is 2 at least",
            ),
            ("1M:8", "the range `1M:8` goes down; write `8:1M`"),
        ] {
            assert_eq!(sizes(text), Err(expected.to_owned()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn ranges_go_up_by_their_factor(first in 1..1u64 << 40, more in 0..1u64 << 40, factor in 2..1000u64) {
            let last = first + more;
            let sizes = read(&format!("{first}:{last}:{factor}"));
            prop_assert_eq!(sizes[0], first);
            prop_assert!(sizes.windows(2).all(|pair| pair[1] == pair[0] * factor));
            let longest = sizes[sizes.len() - 1];
            prop_assert!(longest <= last && longest > last / factor);
        }

        #[test]
        fn no_text_is_read_wrongly(text in "[0-9:,KMG ]{0,20}") {
            if let Ok(Sizes(sizes)) = sizes(&text) {
                prop_assert!(!sizes.is_empty());
                prop_assert!(sizes.windows(2).all(|pair| pair[0] < pair[1]));
            }
        }
    }
}
