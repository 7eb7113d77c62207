//! Which opcode forms a PTX text uses, read from the text alone.

use std::collections::BTreeSet;

/// The full forms (`add.rm.ftz.f32`) of all instructions of a text.
pub fn forms(ptx: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for statement in without_comments(ptx).split([';', '{', '}']) {
        let mut rest = statement.trim();
        // Labels, then a guard.
        while let Some((label, after)) = rest.split_once(':') {
            let is_label =
                !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || "_$%".contains(c));
            if !is_label || after.starts_with(':') {
                break;
            }
            rest = after.trim_start();
        }
        if rest.starts_with('@') {
            rest = rest
                .split_once(char::is_whitespace)
                .map_or("", |(_, after)| after.trim_start());
        }
        let opcode: String = rest
            .chars()
            .take_while(|c| c.is_alphanumeric() || "._:".contains(*c))
            .collect();
        // Directives, initial values and the operands left over from a vector are no opcodes.
        let first_is_letter = opcode.starts_with(|c: char| c.is_ascii_lowercase());
        let known_shape =
            opcode.contains('.') || ["ret", "exit", "bra", "trap", "call"].contains(&opcode.as_str());
        let after = rest[opcode.len()..].chars().next();
        if first_is_letter && known_shape && after.is_none_or(|c| c.is_whitespace() || c == '(') {
            found.insert(opcode);
        }
    }
    found
}

fn without_comments(ptx: &str) -> String {
    let mut text = String::with_capacity(ptx.len());
    let mut rest = ptx;
    while let Some(start) = rest.find("/*") {
        text += &rest[..start];
        rest = rest[start..]
            .find("*/")
            .map_or("", |end| &rest[start + end + 2..]);
    }
    text += rest;
    let lines: Vec<_> = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or(""))
        .collect();
    lines.join("\n")
}
