//! The paths in what operations tell, by the names that force them.

use warpcomm::Path;

/// The path in what [`carried`](crate::carried::carried) tells, by the name that forces it; none where the elements are
/// those of hosts, or have ridden in frames or envelopes.
pub fn path(carried: &str) -> Option<String> {
    let (algorithm, path) = carried.split_once(", ")?;
    let rode = algorithm == "frames" || algorithm == "inline";
    (!rode).then(|| name(path))
}

/// The name that forces a path, of the words that show it.
fn name(path: &str) -> String {
    let found = Path::ALL.iter().find(|other| other.to_string() == path);
    found.map_or(path, |path| path.name()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_the_names_that_force_them() {
        assert_eq!(path("leader, same GPU IPC").as_deref(), Some("same-gpu-ipc"));
        assert_eq!(path("rendezvous, cuda-aware").as_deref(), Some("cuda-aware"));
        assert_eq!(path("blocks"), None);
        assert_eq!(path("frames, staged"), None);
    }
}
