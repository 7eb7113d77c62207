//! Heat on a plate: the same bits for any number of ranks, and those of a plain computation.

use std::path::Path;

use crate::RANKS;
use crate::arrays::{Files, load};
use crate::job::{run, run_alone, run_threads};

/// The temperatures after some steps, as a plain loop over all cells computes them.
fn plain(rows: usize, columns: usize, mut now: Vec<f64>, steps: usize) -> Vec<f64> {
    for _ in 0..steps {
        let at = |row: usize, column: usize| now[row.min(rows - 1) * columns + column.min(columns - 1)];
        let cell = |index: usize| {
            let (row, column) = (index / columns, index % columns);
            let centre = at(row, column);
            let vertical = (at(row.max(1) - 1, column) - centre) + (at(row + 1, column) - centre);
            let horizontal = (at(row, column.max(1) - 1) - centre) + (at(row, column + 1) - centre);
            centre + 0.2 * (vertical + horizontal)
        };
        now = (0..rows * columns).map(cell).collect();
    }
    now
}

fn bits(temperatures: &[f64]) -> Vec<u64> {
    temperatures
        .iter()
        .map(|temperature| temperature.to_bits())
        .collect()
}

#[test]
fn any_number_of_ranks_computes_the_same_bits() {
    for (rows, columns, steps) in [
        (24, 31, 40),
        (7, 300, 12),
        (5, 3, 100),
        (9, 1, 20),
        (1, 9, 20),
        (1, 1, 3),
    ] {
        let files = Files::new();
        let out = files.file("t.npy");
        let after = |ranks, steps: usize| {
            let numbers = [rows, columns, steps].map(|number| number.to_string());
            let [rows, columns, steps] = &numbers;
            let arguments = [
                "--rows",
                rows,
                "--columns",
                columns,
                "--steps",
                steps,
                "--out",
                &out,
            ];
            let summary = run("heat2d", ranks, &arguments).success();
            for part in [
                &format!("heat2d: {rows}x{columns} f64, {steps} steps, ranks {ranks}, "),
                "place host",
                "as one rank",
            ] {
                assert!(summary.contains(part), "{summary:?} does not say {part:?}");
            }
            let checksum = summary.split("checksum ").nth(1).unwrap()[..16].to_owned();
            let (shape, temperatures) = load::<f64>(Path::new(&out));
            assert_eq!(
                shape,
                [numbers[0].parse::<u64>().unwrap(), numbers[1].parse().unwrap()]
            );
            (checksum, temperatures)
        };
        let start = after(1, 0).1;
        let expected = plain(rows, columns, start, steps);
        let mut checksums = Vec::new();
        for ranks in RANKS {
            let (checksum, temperatures) = after(ranks, steps);
            assert!(
                bits(&temperatures) == bits(&expected),
                "{rows}x{columns} on {ranks} ranks"
            );
            checksums.push(checksum);
        }
        checksums.dedup();
        assert_eq!(checksums.len(), 1, "{checksums:?}");
    }
}

#[cfg(all(feature = "mpi", feature = "cli", feature = "cuda"))]
#[test]
fn the_device_computes_the_bits_of_the_host() {
    for (rows, columns, steps) in [("24", "300", "20"), ("5", "3", "40"), ("1", "9", "5")] {
        let files = Files::new();
        let [host, device] = ["host.npy", "device.npy"].map(|name| files.file(name));
        let shape = ["--rows", rows, "--columns", columns, "--steps", steps];
        run("heat2d", 1, &[&shape[..], &["--out", &host]].concat()).success();
        for ranks in [1, 2, 3, 7] {
            let arguments = [&shape[..], &["--place", "device", "--out", &device]].concat();
            let summary = crate::job::run_simulated("heat2d", ranks, &arguments).success();
            assert!(summary.contains("place device (Simulated GPU"), "{summary}");
            let [host, device] = [&host, &device].map(|file| std::fs::read(file).unwrap());
            assert!(host == device, "{rows}x{columns} on {ranks} ranks");
        }
    }
}

#[test]
fn the_picture_shows_where_it_is_hot() {
    let files = Files::new();
    let picture = files.file("t.png");
    run_threads(
        "heat2d",
        3,
        &[
            "--rows",
            "60",
            "--columns",
            "80",
            "--steps",
            "10",
            "--picture",
            &picture,
        ],
    )
    .success();
    let file = std::io::BufReader::new(std::fs::File::open(&picture).unwrap());
    let mut decoder = png::Decoder::new(file);
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let frame = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((frame.width, frame.height), (80, 60));
    assert_eq!(frame.color_type, png::ColorType::Rgb);
    let brightness = |row: usize, column: usize| -> u32 {
        let first = (row * 80 + column) * 3;
        pixels[first..first + 3]
            .iter()
            .map(|&channel| u32::from(channel))
            .sum()
    };
    let (disc, bar, corner) = (brightness(24, 28), brightness(43, 60), brightness(0, 79));
    assert!(disc > bar && bar > corner, "{disc}, {bar}, {corner}");
}

#[test]
fn bad_plates_are_refused() {
    let refused = |arguments: &[&str], parts: &[&str]| {
        run_alone("heat2d", arguments).failure("heat2d", parts);
        run("heat2d", 3, arguments).failure("heat2d", parts);
    };
    refused(&["--rows", "0"], &["--rows"]);
    refused(&["--columns=-1"], &["--columns"]);
    refused(&["--steps", "many"], &["--steps"]);
    refused(
        &["--rows", "18446744073709551615"],
        &["does not fit into any memory"],
    );
    refused(
        &["--rows", "1", "--columns", "1000000000000000000"],
        &["no memory for"],
    );
    let files = Files::new();
    for option in ["--out", "--picture"] {
        let missing = files.file("missing/t");
        refused(&["--steps", "1", option, &missing], &[&missing, "No such file"]);
        refused(
            &["--steps", "1", option, "/dev/full"],
            &["/dev/full", "No space left"],
        );
    }
}
