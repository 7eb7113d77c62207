//! Lengths as people write them.

/// The bytes of a number with an optional unit: `65536`, `64K`, `1M`, `2GiB`; units are powers of 1024.
pub fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no length; write bytes, or K, M or G behind a number, as in 64K");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.to_ascii_lowercase();
    let shift = match unit
        .strip_suffix("ib")
        .or(unit.strip_suffix('b'))
        .unwrap_or(&unit)
    {
        "" if unit != "ib" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_powers_of_1024() {
        for (text, expected) in [
            ("0", 0),
            ("65536", 65536),
            ("8B", 8),
            ("64K", 64 << 10),
            ("64k", 64 << 10),
            ("1MiB", 1 << 20),
            ("2GB", 2 << 30),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "K",
            "-1",
            "1.5M",
            "1T",
            "64 K",
            "8ib",
            "99999999999G",
            "99999999999999999999",
        ] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
