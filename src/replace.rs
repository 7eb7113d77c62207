//! Files that are replaced as a whole.

use std::fs;
use std::io;
use std::path::Path;

/// Puts a text where a file may be, in a directory that is made where there is none. Who reads meanwhile gets the old
/// text or the new one.
pub(crate) fn replace(file: &Path, text: &str) -> io::Result<()> {
    let directory = file
        .parent()
        .filter(|directory| !directory.as_os_str().is_empty());
    if let Some(directory) = directory {
        fs::create_dir_all(directory)?;
    }
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let unfinished = Path::new(&name);
    fs::write(unfinished, text)
        .and_then(|()| fs::rename(unfinished, file))
        .inspect_err(|_| drop(fs::remove_file(unfinished)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_replaced_leaves_nothing_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("one/two");
        replace(&file, "first").unwrap();
        replace(&file, "second").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "second");
        let taken = directory.path().join("one");
        assert!(replace(&taken, "third").is_err());
        let left = |directory: &Path| directory.read_dir().unwrap().count();
        assert_eq!((left(directory.path()), left(&taken)), (1, 1));
    }
}
