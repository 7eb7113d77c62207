//! The picture of the Mandelbrot set: the same for any number of ranks, and that of a plain computation.

use crate::RANKS;
use crate::arrays::Files;
use crate::job::{Outcome, run, run_alone, run_threads};

/// The iterations of each pixel, as a plain loop counts them.
fn plain(columns: u32, rows: u32, limit: u32) -> Vec<u32> {
    let step = 3.0 / f64::from(columns);
    let count = |column: u32, row: u32| {
        let re = (-0.75 - f64::from(columns - 1) / 2.0 * step) + f64::from(column) * step;
        let im = f64::from(rows - 1) / 2.0 * step - f64::from(row) * step;
        let (mut x, mut y, mut count) = (0.0, 0.0, 0);
        while count < limit && x * x + y * y <= 4.0 {
            (x, y) = (x * x - y * y + re, x * y + x * y + im);
            count += 1;
        }
        count
    };
    (0..rows)
        .flat_map(|row| (0..columns).map(move |column| count(column, row)))
        .collect()
}

/// What the summary says of a picture with these iterations.
fn of_picture(counts: &[u32]) -> String {
    let iterations: u64 = counts.iter().map(|&count| u64::from(count)).sum();
    let checksum = counts.iter().fold(0xcbf2_9ce4_8422_2325, |sum: u64, &count| {
        (sum ^ u64::from(count)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{iterations} iterations, checksum {checksum:016x}, as the host computes it, ")
}

#[test]
fn any_number_of_ranks_draws_the_same_picture() {
    for (columns, rows, limit, tile) in [
        (192_u32, 128_u32, 1000_u32, 16_u32),
        (50, 37, 100, 7),
        (3, 5, 1, 1000),
        (1, 1, 40, 1),
    ] {
        let files = Files::new();
        let out = files.file("set.png");
        let numbers = [columns, rows, limit, tile].map(|number| number.to_string());
        let [columns_text, rows_text, limit_text, tile_text] = &numbers;
        let arguments = [
            "--columns",
            columns_text,
            "--rows",
            rows_text,
            "--iterations",
            limit_text,
            "--tile",
            tile_text,
            "--out",
            &out,
        ];
        let tiles = columns.div_ceil(tile) * rows.div_ceil(tile);
        let expected = of_picture(&plain(columns, rows, limit));
        let mut pictures = Vec::new();
        let mut check = |ranks: usize, outcome: Outcome| {
            let summary = outcome.success();
            assert_eq!(summary.lines().count(), 1, "{summary}");
            for part in [
                &format!("mandelbrot: {columns}x{rows}, {tiles} tiles, {expected}"),
                &format!("ranks {ranks}, place host"),
            ] {
                assert!(summary.contains(part), "{summary:?} does not say {part:?}");
            }
            pictures.push(std::fs::read(&out).unwrap());
        };
        for ranks in RANKS {
            check(ranks, run_threads("mandelbrot", ranks, &arguments));
        }
        check(3, run("mandelbrot", 3, &arguments));
        pictures.dedup();
        assert_eq!(pictures.len(), 1, "{columns}x{rows}");
    }
}

#[test]
fn the_picture_of_the_defaults_is_known() {
    let summary = run_threads("mandelbrot", 2, &[]).success();
    let known = "192x128, 96 tiles, 6342868 iterations, checksum d1b8780ea9e847dd, ";
    assert!(summary.contains(known), "{summary}");
}

#[cfg(all(feature = "mpi", feature = "cli", feature = "cuda"))]
#[test]
fn the_device_draws_the_picture_of_the_host() {
    for (columns, rows, tile, jobs) in [
        ("192", "128", "16", &[1, 2, 5][..]),
        ("50", "37", "7", &[3]),
        ("300", "2", "290", &[2]),
    ] {
        let files = Files::new();
        let [host, device] = ["host.png", "device.png"].map(|name| files.file(name));
        let shape = ["--columns", columns, "--rows", rows, "--tile", tile];
        run_threads("mandelbrot", 1, &[&shape[..], &["--out", &host]].concat()).success();
        for &ranks in jobs {
            let arguments = [&shape[..], &["--place", "device", "--out", &device]].concat();
            let summary = crate::job::run_simulated("mandelbrot", ranks, &arguments).success();
            assert!(summary.contains("place device (Simulated GPU"), "{summary}");
            assert!(summary.contains("as the host computes it"), "{summary}");
            let [host, device] = [&host, &device].map(|file| std::fs::read(file).unwrap());
            assert!(host == device, "{columns}x{rows} on {ranks} ranks");
        }
    }
}

#[test]
fn the_set_is_dark_and_light_around() {
    let files = Files::new();
    let [picture, timeline] = ["set.png", "trace.json"].map(|name| files.file(name));
    run_threads("mandelbrot", 3, &["--out", &picture, "--timeline", &timeline]).success();
    let file = std::io::BufReader::new(std::fs::File::open(&picture).unwrap());
    let mut decoder = png::Decoder::new(file);
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let frame = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((frame.width, frame.height), (192, 128));
    let counts = plain(192, 128, 1000);
    let mut by_count: Vec<(u32, u32)> = counts
        .iter()
        .zip(pixels.chunks(3))
        .map(|(&count, pixel)| {
            (
                count % 1000,
                pixel.iter().map(|&channel| u32::from(channel)).sum(),
            )
        })
        .collect();
    by_count.sort_unstable();
    assert!(by_count.is_sorted_by_key(|&(_, brightness)| brightness));
    assert!(by_count[0].1 < 10 && by_count[by_count.len() - 1].1 > 400);

    let text = std::fs::read(&timeline).unwrap();
    let events: Vec<serde_json::Value> = serde_json::from_slice(&text).unwrap();
    let bars = events.iter().filter(|event| event["ph"] == "X");
    let mut tiles: Vec<_> = bars.map(|bar| bar["args"]["task"].as_u64().unwrap()).collect();
    tiles.sort_unstable();
    assert_eq!(tiles, (0..96).collect::<Vec<_>>());
}

#[test]
fn bad_pictures_are_refused() {
    for (arguments, part) in [
        (["--columns", "0"], "--columns"),
        (["--rows", "65536"], "--rows"),
        (["--iterations", "0"], "--iterations"),
        (["--tile", "0"], "--tile"),
    ] {
        run_alone("mandelbrot", &arguments).failure("mandelbrot", &[part]);
    }
    let files = Files::new();
    let missing = files.file("missing/file");
    for (option, file, reason) in [
        ("--out", &missing[..], "No such file"),
        ("--timeline", &missing, "No such file"),
        ("--out", "/dev/full", "No space left"),
    ] {
        run_alone("mandelbrot", &[option, file]).failure("mandelbrot", &[file, reason]);
        run("mandelbrot", 3, &[option, file]).failure("mandelbrot", &[file, reason]);
    }
}
