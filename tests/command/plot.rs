//! `warpcomm plot`: what it writes, and its report in a real browser.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::launcher::on_path;
use crate::launches::{Launch, file, written};
use crate::machine::{output, start, text};

/// As Debian has it.
const BROWSER: &str = "chromium";

fn plot(files: &[&Path], output_directory: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warpcomm"));
    command
        .arg("plot")
        .args(files)
        .arg("--output")
        .arg(output_directory);
    output(&mut command)
}

/// The traces of two ranks: a message and a collective.
fn traces(directory: &Path) -> [PathBuf; 2] {
    [(0, "send", "dest"), (1, "recv", "source")].map(|(rank, name, peer)| {
        let mut arguments = json!({"tag": 3, "bytes": 4096});
        arguments[peer] = json!(1 - rank);
        let events = json!([
            {"ph": "M", "name": "warpcomm", "pid": rank, "args": {"format": 1, "origin": 0}},
            {"ph": "M", "name": "process_name", "pid": rank, "args": {"name": format!("rank {rank} (node)")}},
            {"ph": "X", "name": name, "cat": "message", "pid": rank, "tid": 0, "ts": 5.0, "dur": 20.0, "args": arguments},
            {"ph": "X", "name": "barrier", "cat": "collective", "pid": rank, "tid": 0, "ts": 30.0, "dur": 9.0, "args": {}}
        ]);
        written(directory, &format!("trace.{rank}.json"), &events.to_string())
    })
}

/// What becomes of two runs and two traces, once for all tests.
static PLOTTED: LazyLock<PathBuf> = LazyLock::new(|| {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plotted");
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    plotted(&directory)
});

fn plotted(directory: &Path) -> PathBuf {
    let simulated = Launch {
        simulated: true,
        ..Launch::new(2)
    };
    let killed = Launch {
        is_complete: false,
        ..Launch::new(3)
    };
    let measured = file(directory, "measured.json", &[simulated, killed]);
    let [first, second] = traces(directory);
    let written = directory.join("new/pictures");
    let done = plot(&[&measured, &first, &second], &written);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(
        text(&done.stderr).contains("barrier has no lengths"),
        "{}",
        text(&done.stderr)
    );
    for line in text(&done.stdout).lines() {
        assert!(Path::new(line).is_file(), "{line}");
    }
    written
}

#[test]
fn every_picture_is_written_twice() {
    let written = &*PLOTTED;
    let mut names: Vec<String> = fs::read_dir(written)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let mut expected = vec!["report.html".to_owned(), "timeline.json".to_owned()];
    for picture in [
        "allreduce-bandwidth",
        "allreduce-time",
        "latency-bandwidth",
        "latency-time",
        "speed-up",
        "timeline",
    ] {
        expected.extend(["svg", "png"].map(|form| format!("{picture}.{form}")));
    }
    expected.sort();
    assert_eq!(names, expected);
    for name in names.iter().filter(|name| name.ends_with(".png")) {
        let decoder = png::Decoder::new(std::io::Cursor::new(fs::read(written.join(name)).unwrap()));
        let mut reader = decoder.read_info().unwrap();
        let mut dots = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut dots).unwrap();
        assert!(reader.info().width > 700, "{name}");
        // That letters are painted, the tests of the program itself say.
        assert!(dots.chunks(3).any(|dot| dot != &dots[..3]), "{name} is empty");
    }
    let merged: Value =
        serde_json::from_str(&fs::read_to_string(written.join("timeline.json")).unwrap()).unwrap();
    let operations = merged
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["ph"] == "X");
    assert_eq!(operations.count(), 4);
}

#[test]
fn the_report_needs_nothing_beside_it() {
    let report = fs::read_to_string(PLOTTED.join("report.html")).unwrap();
    for outside in [
        "http:",
        "https:",
        "src=",
        "url(",
        "@import",
        "<link rel=\"stylesheet",
    ] {
        assert!(!report.contains(outside), "{outside}");
    }
    assert!(
        report.contains("&lt;script&gt;alert(1)&lt;/script&gt;"),
        "what users write is no markup"
    );
    for said in [
        "Measurements of latency, allreduce, barrier",
        "GPUs are simulated: times with buffers on them say nothing.",
        "the run was killed before its end.",
        "there is no NCCL",
        "Open MPI v4.1.4, package: Debian",
        "0123456789abcdef",
        "WARPCOMM_CHECK=1",
        "faster from about",
        "warpcomm · simulated device/ipc",
        "64 MiB",
        "GB/s",
        "rank 1 (node)",
    ] {
        assert!(report.contains(said), "{said}");
    }
}

#[test]
fn files_are_written_though_nobody_reads_their_names() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_warpcomm"));
    command
        .arg("plot")
        .args(traces(directory.path()))
        .arg("--output")
        .arg(directory.path());
    let mut child = start(
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    );
    drop(child.stdout.take());
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(directory.path().join("report.html").is_file());
}

#[test]
fn what_cannot_be_drawn_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let whole = fs::read_to_string(file(directory, "whole", &[Launch::new(0)])).unwrap();
    let end = json!({"record": "end", "complete": true, "reason": null}).to_string();
    let run = whole.lines().next().unwrap();
    for (text_of_file, why) in [
        ("", "it is empty"),
        ("%PDF-1.7", "it is neither a file of measurements nor a trace"),
        ("{\"format\": 1}", "it is neither"),
        (&whole[..whole.len() / 2], "the line is cut off"),
        (
            &whole.replace("\"format\":1", "\"format\":9"),
            "it is of version 9 of the format",
        ),
        ("[{\"ph\":\"X\"}]", "no trace of warpcomm"),
        (&format!("{run}\n{end}\n"), "there is nothing to draw"),
    ] {
        let done = plot(
            &[&written(directory, "bad.json", text_of_file)],
            &directory.join("pictures"),
        );
        let message = text(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{message}");
        assert!(
            message.starts_with("warpcomm plot: ") && message.contains(why),
            "{message}"
        );
    }
    let done = plot(&[&directory.join("whole")], &directory.join("whole/below"));
    assert_eq!(done.status.code(), Some(1));
    assert!(
        text(&done.stderr).contains("whole/below: Not a directory"),
        "{}",
        text(&done.stderr)
    );
    let done = plot(&[], directory);
    assert_eq!(done.status.code(), Some(2));
}

/// The browser, or `None` with a word about it.
///
/// Panics where it is missing if `WARPCOMM_TEST_REQUIRE_CHROMIUM` is 1.
fn browser() -> Option<PathBuf> {
    let found = on_path(OsStr::new(BROWSER));
    let required = std::env::var("WARPCOMM_TEST_REQUIRE_CHROMIUM").is_ok_and(|value| value == "1");
    assert!(
        found.is_some() || !required,
        "there is no {BROWSER}; ci/setup.sh --tests installs it"
    );
    if found.is_none() {
        eprintln!("skipped: there is no {BROWSER}");
    }
    found
}

/// What the browser makes of a page on one ground, and what it logs.
fn opened(browser: &Path, page: &Path, ground: &str) -> (String, String) {
    let profile = tempfile::tempdir().unwrap();
    // As the browser numbers them.
    let scheme = if ground == "dark" { 0 } else { 1 };
    let mut command = Command::new(browser);
    command
        // Neither are there a GPU and namespaces everywhere where tests run, nor does the page need them.
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
        ])
        .args([
            "--enable-logging=stderr",
            "--disable-background-networking",
            "--window-size=1100,9000",
        ])
        .arg(format!("--blink-settings=preferredColorScheme={scheme}"))
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(["--virtual-time-budget=2000", "--dump-dom"])
        .arg(format!("file://{}", page.display()));
    let done = output(&mut command);
    assert!(done.status.success(), "{}", text(&done.stderr));
    (
        text(&done.stdout),
        String::from_utf8_lossy(&done.stderr).into_owned(),
    )
}

/// What `look.js` has found on a page.
fn looked(browser: &Path, page: &Path, ground: &str) -> Value {
    let (dom, log) = opened(browser, page, ground);
    let console: Vec<&str> = log.lines().filter(|line| line.contains(":CONSOLE")).collect();
    assert!(console.is_empty(), "{console:#?}");
    let (_, found) = dom.split_once("<pre id=\"found\">").expect("the script has run");
    let (found, _) = found.split_once("</pre>").unwrap();
    serde_json::from_str(
        &found
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&"),
    )
    .unwrap()
}

#[test]
fn the_report_can_be_read_in_a_browser_on_both_grounds() {
    let Some(browser) = browser() else { return };
    let directory = tempfile::tempdir().unwrap();
    let report = fs::read_to_string(PLOTTED.join("report.html")).unwrap();
    let script = format!("<script>{}</script></body>", include_str!("look.js"));
    let page = written(directory.path(), "page.html", &report.replace("</body>", &script));
    for (ground, is_dark) in [("light", false), ("dark", true)] {
        let found = looked(&browser, &page, ground);
        assert_eq!(found["isDark"], is_dark, "{ground}");
        assert_eq!(found["resources"], 0, "{ground}");
        assert_eq!(found["tip"], "block", "{ground}");
        assert!(found["texts"].as_u64().unwrap() > 200, "{ground}: {found}");
        assert_eq!(found["faint"], json!([]), "{ground}");
        assert_eq!(found["unnamed"], json!([]), "{ground}");
    }
}

#[test]
fn pictures_can_be_opened_in_a_browser() {
    let Some(browser) = browser() else { return };
    let (dom, _) = opened(&browser, &PLOTTED.join("allreduce-time.svg"), "light");
    assert!(
        dom.contains("<title id=\"picture-title\">") && !dom.contains("parsererror"),
        "{dom}"
    );
}
