//! Which build an executable is.

use std::fs::File;
use std::path::Path;

use object::{Object, ReadCache};

/// The build ID that the linker has given an executable, in hexadecimal digits; `None` where it has given it none.
///
/// It is made of everything that is in the file, so that two builds of different sources have different ones.
pub fn build_id(executable: &Path) -> Option<String> {
    // Programs with debug information are large, so that only the parts in question are read.
    let data = ReadCache::new(File::open(executable).ok()?);
    let file = object::File::parse(&data).ok()?;
    let id = file.build_id().ok()??;
    Some(id.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn it_is_what_readelf_finds() {
        let own = std::env::current_exe().unwrap();
        let notes = Command::new("readelf").arg("--notes").arg(&own).output().unwrap();
        let notes = String::from_utf8_lossy(&notes.stdout).into_owned();
        let mut ids = notes
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Build ID: "));
        assert_eq!(build_id(&own).as_deref(), ids.next());
    }

    #[test]
    fn what_is_no_program_has_none() {
        assert_eq!(build_id(Path::new("/proc/self/cmdline")), None);
        assert_eq!(build_id(Path::new("/nowhere")), None);
    }
}
