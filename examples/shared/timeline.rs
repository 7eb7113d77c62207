//! Timelines of pools as files.

use std::path::Path;

use warpcomm::pool::Timeline;

/// Writes a timeline as JSON.
pub fn write(timeline: &Timeline, path: &Path) -> Result<(), String> {
    let failed = |reason: String| format!("{}: {reason}", path.display());
    let text = serde_json::to_string_pretty(timeline).map_err(|error| failed(error.to_string()))?;
    std::fs::write(path, text).map_err(|error| failed(error.to_string()))
}
