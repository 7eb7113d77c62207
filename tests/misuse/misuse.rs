//! Misuse that does not compile: each file in `cases/`, with the message that the compiler gives.
//!
//! ```text
//! cargo test -p misuse                        compares the messages
//! TRYBUILD=overwrite cargo test -p misuse     writes them anew, to be read before they are committed
//! ```

use std::process::Command;

/// The compiler whose messages are in the files; others word some of them in another way.
const COMPILER: &str = "rustc 1.95.";

#[test]
fn misuse_does_not_compile() {
    let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    let version = Command::new(rustc).arg("--version").output();
    let version = String::from_utf8_lossy(&version.expect("cargo has run it").stdout).into_owned();
    if version.starts_with(COMPILER) {
        trybuild::TestCases::new().compile_fail("cases/*.rs");
    } else {
        println!("skipped: the messages are those of {COMPILER}x, and this is {version}");
    }
}
