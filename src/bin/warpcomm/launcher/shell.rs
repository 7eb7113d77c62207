//! Words and commands as a POSIX shell reads them.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::Command;

/// `word` in such quotes that a shell reads it as one word and unchanged.
pub fn quoted(word: &OsStr) -> OsString {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(byte);
    if !word.is_empty() && word.as_bytes().iter().all(plain) {
        return word.to_owned();
    }
    let mut text = vec![b'\''];
    for &byte in word.as_bytes() {
        match byte {
            b'\'' => text.extend(br"'\''"),
            _ => text.push(byte),
        }
    }
    text.push(b'\'');
    OsString::from_vec(text)
}

/// `command` as a line for a shell, with the variables that it sets in front.
pub fn line(command: &Command) -> OsString {
    let mut line = OsString::new();
    for (name, value) in command.get_envs() {
        // A value of None takes a variable away, which a shell has no prefix for; no launcher needs it.
        if let Some(value) = value {
            line.push(name);
            line.push("=");
            line.push(quoted(value));
            line.push(" ");
        }
    }
    line.push(quoted(command.get_program()));
    for argument in command.get_args() {
        line.push(" ");
        line.push(quoted(argument));
    }
    line
}
