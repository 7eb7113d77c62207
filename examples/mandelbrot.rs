//! A picture of the Mandelbrot set, in tiles that go to whoever is free.
//!
//! ```text
//! $ warpcomm run -n 4 mandelbrot --columns 3000 --rows 2000 --tile 100 --place device --out set.png
//! ```
//!
//! A pixel outside of the set takes some iterations, one inside takes as many as there may be, so tiles take very
//! different times. The iterations are counted with the same operations in the same order everywhere: the picture has the
//! same bits for any number of ranks, on the host and on the device.

use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::process::ExitCode;

use warpcomm::Place;
use warpcomm::pool::{Pool, TaskResult, Timeline, Worker};

#[cfg(feature = "cuda")]
#[path = "mandelbrot/device.rs"]
mod device;
#[path = "mandelbrot/host.rs"]
mod host;
#[path = "shared/picture.rs"]
mod picture;
#[path = "shared/ranks.rs"]
mod ranks;
#[path = "mandelbrot/view.rs"]
mod view;

use ranks::{Failure, Rank};
use view::{Tile, View};

/// Up to so many iterations are computed again by the master.
const FEW: u64 = 1 << 24;

/// Draws the Mandelbrot set.
#[derive(clap::Args)]
struct Options {
    /// The columns of the picture.
    #[arg(long, default_value = "192")]
    columns: NonZeroU16,
    /// Its rows.
    #[arg(long, default_value = "128")]
    rows: NonZeroU16,
    /// The most iterations of a pixel.
    #[arg(long, default_value = "1000", value_parser = clap::value_parser!(u32).range(1..))]
    iterations: u32,
    /// The edge of a tile, in pixels.
    #[arg(long, default_value = "16")]
    tile: NonZeroU32,
    /// Where tiles are computed: host or device.
    #[arg(long, default_value = "host")]
    place: Place,
    /// The file to write the picture to.
    #[arg(long, value_name = "SET.png")]
    out: Option<PathBuf>,
    /// The file to write the timeline to, as a trace that `warpcomm plot` draws and ui.perfetto.dev opens.
    #[arg(long, value_name = "TRACE.json")]
    timeline: Option<PathBuf>,
}

fn main() -> ExitCode {
    ranks::run("mandelbrot", mandelbrot)
}

fn mandelbrot(rank: &Rank, options: &Options) -> Result<(), Failure> {
    rank.agree_to_place(options.place)?;
    let view = View::new(options.columns, options.rows, options.iterations, options.tile);
    match options.place {
        #[cfg(feature = "cuda")]
        Place::Device => {
            let context = rank.comm.device().map_err(|error| error.to_string());
            let name = context.and_then(|context| context.name().map_err(|error| error.to_string()));
            let name = rank.agree(name)?;
            let kernel = |_| device::Kernel::new(&rank.comm);
            draw(
                rank,
                options,
                view,
                &format!("device ({name})"),
                kernel,
                |worker, tile| {
                    let stream = worker.stream()?;
                    worker.state.counts(&stream, &view, tile)
                },
            )
        }
        _ => draw(
            rank,
            options,
            view,
            "host",
            |_| Ok(()),
            |_, tile| Ok(host::counts(&view, tile)),
        ),
    }
}

/// Draws the picture, whose tiles workers with some state compute.
fn draw<S>(
    rank: &Rank,
    options: &Options,
    view: View,
    place: &str,
    state: impl Fn(usize) -> TaskResult<S> + Send + Sync,
    counts: impl Fn(&mut Worker<S>, &Tile) -> TaskResult<Vec<u32>> + Send + Sync,
) -> Result<(), Failure> {
    let mut pool = Pool::with_state(&rank.comm, state).timeline(true);
    let counts = pool.function(|worker, number: u32| counts(worker, &view.tile(number)));
    let drawn = pool.run(|master| {
        let mut picture = Picture::new(view);
        master
            .load_balanced()
            .name("tile")
            .for_each(counts, 0..view.tiles(), |number, counts| {
                picture.place(&view.tile(number as u32), &counts)
            })
            .map_err(|stopped| stopped.to_string())?;
        finish(options, &picture, &master.timeline())
    })?;
    let report = rank.agree(drawn.unwrap_or_else(|| Ok(String::new())))?;
    rank.print(&format!(
        "mandelbrot: {report}, ranks {}, place {place}, path {}",
        rank.comm.size(),
        rank.path
    ))
}

/// Checks the picture and writes the files; what there is to say of them.
fn finish(options: &Options, picture: &Picture, timeline: &Timeline) -> Result<String, String> {
    let iterations = picture.iterations();
    let is_compared = iterations <= FEW;
    if is_compared {
        picture.compare()?;
    }
    if let Some(path) = &options.out {
        picture::write(path, picture.view.columns as usize, &picture.shades())?;
    }
    if let Some(path) = &options.timeline {
        timeline.write_trace(path).map_err(|error| error.to_string())?;
    }
    let compared = match is_compared {
        true => ", as the host computes it",
        false => "",
    };
    Ok(format!(
        "{}x{}, {} tiles, {iterations} iterations, checksum {:016x}{compared}, makespan {:.6} s, {:.1}% idle",
        picture.view.columns,
        picture.view.rows,
        timeline.entries.len(),
        picture.checksum(),
        timeline.makespan() as f64 / 1e9,
        100.0 * timeline.idle(),
    ))
}

/// The iterations of each pixel, row by row.
struct Picture {
    view: View,
    counts: Vec<u32>,
}

impl Picture {
    fn new(view: View) -> Picture {
        Picture {
            view,
            counts: vec![0; view.pixels()],
        }
    }

    /// Puts a tile where it belongs.
    fn place(&mut self, tile: &Tile, counts: &[u32]) {
        let columns = self.view.columns as usize;
        let within = tile.columns.start as usize..tile.columns.end as usize;
        for (row, counts) in tile.rows.clone().zip(counts.chunks(within.len())) {
            let first = row as usize * columns;
            self.counts[first + within.start..first + within.end].copy_from_slice(counts);
        }
    }

    /// The iterations of all pixels.
    fn iterations(&self) -> u64 {
        self.counts.iter().map(|&count| u64::from(count)).sum()
    }

    /// Compares the picture with what the host computes in one piece.
    fn compare(&self) -> Result<(), String> {
        let expected = host::counts(&self.view, &self.view.whole());
        match (0..expected.len()).find(|&pixel| self.counts[pixel] != expected[pixel]) {
            None => Ok(()),
            Some(pixel) => {
                let columns = self.view.columns as usize;
                let (row, column) = (pixel / columns, pixel % columns);
                let (found, expected) = (self.counts[pixel], expected[pixel]);
                Err(format!(
                    "row {row}, column {column} has {found} iterations instead of {expected}"
                ))
            }
        }
    }

    /// Of the iterations of each pixel in order: FNV-1a, a pixel at a time.
    fn checksum(&self) -> u64 {
        self.counts.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &count| {
            (sum ^ u64::from(count)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }

    /// How light each pixel is: the lighter the more iterations it takes to leave, and dark if it never does.
    fn shades(&self) -> Vec<u8> {
        let limit = f64::from(self.view.limit);
        let shade = |&count: &u32| match count < self.view.limit {
            true => (255.0 * (f64::from(count) / limit).sqrt()).round() as u8,
            false => 0,
        };
        self.counts.iter().map(shade).collect()
    }
}
