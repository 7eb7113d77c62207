//! Heat spreads over a plate, of which each rank has some rows.
//!
//! ```text
//! $ warpcomm run -n 3 heat2d --rows 600 --columns 800 --steps 5000 --place device --picture plate.png
//! ```
//!
//! The heat equation in two dimensions, by explicit differences with five points, in `f64`. The plate stays
//! where it is computed: in a step only the first and the last row of each rank travel, to the neighbours,
//! while the rows between are being computed. Each cell is the result of the same operations wherever it lies,
//! so the temperatures have the same bits for any number of ranks, on the host and on the device.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use warpcomm::{Blocks, Op, Place, Tag};

#[cfg(feature = "cuda")]
#[path = "heat2d/device.rs"]
mod device;
#[path = "heat2d/files.rs"]
mod files;
#[cfg(feature = "cuda")]
#[path = "shared/gpu.rs"]
mod gpu;
#[path = "heat2d/host.rs"]
mod host;
#[allow(dead_code, reason = "nothing is read here")]
#[path = "shared/npy.rs"]
mod npy;
#[path = "shared/picture.rs"]
mod picture;
#[path = "heat2d/plate.rs"]
mod plate;
#[path = "shared/ranks.rs"]
mod ranks;

use host::HostPlate;
use plate::{Neighbours, Plate};
use ranks::{Failure, Rank};

/// The temperatures between which the plate starts.
const COLD: f64 = 0.0;
const HOT: f64 = 100.0;

/// Up to so many cells times steps are computed again by one rank.
const FEW: usize = 1 << 24;

/// Lets heat spread over a plate.
#[derive(clap::Args)]
struct Options {
    /// The rows of the plate.
    #[arg(long, default_value = "192")]
    rows: NonZeroUsize,
    /// Its columns.
    #[arg(long, default_value = "256")]
    columns: NonZeroUsize,
    /// How many steps of time to take.
    #[arg(long, default_value = "200")]
    steps: usize,
    /// Where the plate lies: host or device.
    #[arg(long, default_value = "host")]
    place: Place,
    /// The file to write the temperatures to.
    #[arg(long, value_name = "T.npy")]
    out: Option<PathBuf>,
    /// The file to write a picture of the temperatures to.
    #[arg(long, value_name = "T.png")]
    picture: Option<PathBuf>,
}

fn main() -> ExitCode {
    ranks::run("heat2d", heat2d)
}

fn heat2d(rank: &Rank, options: &Options) -> Result<(), Failure> {
    rank.agree_to_place(options.place)?;
    let comm = &rank.comm;
    let shape = Shape {
        rows: options.rows.get(),
        columns: options.columns.get(),
    };
    let blocks = Blocks::even(shape.rows, comm.size());
    let mine = blocks.range(comm.rank());

    let start = rank.agree(shape.start(mine.clone()))?;
    let before = Measured::of(rank, &start, shape.cells(&mine).start)?;
    let mut plate = rank.agree(new_plate(rank, options, start))?;
    let neighbours = neighbours(&blocks, comm.rank());
    comm.barrier()?;
    let start = Instant::now();
    let mut outcome = Ok(());
    if let Some(plate) = &mut plate {
        for _ in 0..options.steps {
            // After an error too, since the neighbours count on the exchange.
            let step = plate.step(comm, neighbours).map_err(|error| error.to_string());
            outcome = outcome.and(step);
        }
        outcome = outcome.and_then(|()| plate.finish());
    }
    rank.agree(outcome)?;
    let mut seconds = start.elapsed().as_secs_f64();
    comm.allreduce_in_place(&mut seconds, Op::Max)?;

    let part = rank.agree(
        plate
            .as_ref()
            .map_or(Ok(Vec::new()), |plate| plate.temperatures()),
    )?;
    let after = Measured::of(rank, &part, shape.cells(&mine).start)?;
    let lost = rank.agree(after.check_against(&before, options.steps))?;

    let updates = shape.all().len().saturating_mul(options.steps);
    let is_compared = updates <= FEW;
    if is_compared || options.out.is_some() || options.picture.is_some() {
        let whole = gather(rank, shape, &blocks, &part)?;
        rank.agree(match comm.rank() {
            0 => finish(options, shape, &whole, is_compared),
            _ => Ok(()),
        })?;
    }
    let place = rank.agree(plate.map_or(Ok(String::new()), |plate| plate.place()))?;
    let compared = match is_compared {
        true => ", as one rank computes it",
        false => "",
    };
    rank.print(&format!(
        "heat2d: {}x{} f64, {} steps, ranks {}, place {place}, path {}, {seconds:.6} s, \
         heat lost {lost:.1e}, checksum {:016x}{compared}",
        shape.rows,
        shape.columns,
        options.steps,
        comm.size(),
        rank.path,
        after.checksum,
    ))
}

/// The plate of a rank; none if there are more ranks than rows.
fn new_plate(rank: &Rank, options: &Options, start: Vec<f64>) -> Result<Option<Box<dyn Plate>>, String> {
    let columns = options.columns.get();
    Ok(match options.place {
        _ if start.is_empty() => None,
        Place::Host => Some(Box::new(HostPlate::new(columns, start)?)),
        #[cfg(feature = "cuda")]
        Place::Device => Some(Box::new(device::DevicePlate::new(&rank.comm, columns, &start)?)),
        other => return Err(format!("rank {} has no plate on the {other}", rank.comm.rank())),
    })
}

/// The ranks beside this one that have rows.
fn neighbours(blocks: &Blocks, me: usize) -> Neighbours {
    let has_rows = |&rank: &usize| !blocks.range(rank).is_empty();
    Neighbours {
        above: me.checked_sub(1).filter(has_rows),
        below: Some(me + 1).filter(has_rows),
    }
}

/// The length of the plate's edges, in cells.
#[derive(Clone, Copy)]
struct Shape {
    rows: usize,
    columns: usize,
}

impl Shape {
    /// The cells of some rows.
    fn cells(self, rows: &Range<usize>) -> Range<usize> {
        rows.start * self.columns..rows.end * self.columns
    }

    fn all(self) -> Range<usize> {
        self.cells(&(0..self.rows))
    }

    /// What some rows start with: a hot disc and a warm bar on a cold plate.
    fn start(self, rows: Range<usize>) -> Result<Vec<f64>, String> {
        let bytes = self
            .rows
            .checked_mul(self.columns)
            .and_then(|cells| cells.checked_mul(8));
        if bytes.is_none_or(|bytes| isize::try_from(bytes).is_err()) {
            let Shape { rows, columns } = self;
            return Err(format!(
                "a plate of {rows}x{columns} does not fit into any memory"
            ));
        }
        let mut temperatures = npy::zeroed(self.cells(&rows).len())?;
        let mut cell = temperatures.iter_mut();
        for row in rows {
            let y = (row as f64 + 0.5) / self.rows as f64;
            for (column, cell) in cell.by_ref().take(self.columns).enumerate() {
                let x = (column as f64 + 0.5) / self.columns as f64;
                let is_disc = (x - 0.35) * (x - 0.35) + (y - 0.4) * (y - 0.4) < 0.05;
                let is_bar = (0.6..0.9).contains(&x) && (0.65..0.8).contains(&y);
                *cell = match (is_disc, is_bar) {
                    (true, _) => HOT,
                    (_, true) => (COLD + HOT) / 2.0,
                    _ => COLD,
                };
            }
        }
        Ok(temperatures)
    }
}

/// What is known of the whole plate without having it.
struct Measured {
    heat: f64,
    coldest: f64,
    hottest: f64,
    /// Of the bits of each cell and where it lies, in any order.
    checksum: u64,
}

impl Measured {
    fn of(rank: &Rank, part: &[f64], first: usize) -> Result<Measured, Failure> {
        let mut heat: f64 = part.iter().sum();
        let mut checksum = (first..)
            .zip(part)
            .map(|(index, cell)| (cell.to_bits() ^ index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
            .map(|bits| (bits ^ (bits >> 32)).wrapping_mul(0xbf58_476d_1ce4_e5b9))
            .fold(0, u64::wrapping_add);
        let mut coldest = part.iter().fold(f64::INFINITY, |least, &cell| least.min(cell));
        let mut hottest = part.iter().fold(f64::NEG_INFINITY, |most, &cell| most.max(cell));
        rank.comm.allreduce_in_place(&mut heat, Op::Sum)?;
        rank.comm.allreduce_in_place(&mut checksum, Op::Sum)?;
        rank.comm.allreduce_in_place(&mut coldest, Op::Min)?;
        rank.comm.allreduce_in_place(&mut hottest, Op::Max)?;
        Ok(Measured {
            heat,
            coldest,
            hottest,
            checksum,
        })
    }

    /// The part of the heat that was lost, which is no more than rounding: none leaves the plate, and no cell
    /// gets colder than the coldest was, or hotter than the hottest.
    fn check_against(&self, before: &Measured, steps: usize) -> Result<f64, String> {
        let tolerance = f64::EPSILON * (1e4 + 100.0 * steps as f64);
        let lost = match before.heat == self.heat {
            true => 0.0,
            false => (before.heat - self.heat).abs() / before.heat,
        };
        let margin = tolerance * HOT;
        let is_between = self.coldest >= before.coldest - margin && self.hottest <= before.hottest + margin;
        match lost <= tolerance && is_between {
            true => Ok(lost),
            false => Err(format!(
                "the heat was {} in {}..{}, and is {} in {}..{}",
                before.heat, before.coldest, before.hottest, self.heat, self.coldest, self.hottest
            )),
        }
    }
}

/// The whole plate on rank 0, and nothing on the others.
fn gather(rank: &Rank, shape: Shape, blocks: &Blocks, part: &[f64]) -> Result<Vec<f64>, Failure> {
    let (comm, tag) = (&rank.comm, Tag(3));
    let mut whole = rank.agree(match comm.rank() {
        0 => npy::zeroed(shape.all().len()),
        _ => Ok(Vec::new()),
    })?;
    if comm.rank() == 0 {
        whole[..part.len()].copy_from_slice(part);
        for source in 1..comm.size() {
            let cells = shape.cells(&blocks.range(source));
            comm.recv(&mut whole[cells], source, tag)?;
        }
    } else {
        comm.send(part, 0, tag)?;
    }
    Ok(whole)
}

/// Compares the whole plate with what one rank computes, and writes the files.
fn finish(options: &Options, shape: Shape, whole: &[f64], is_compared: bool) -> Result<(), String> {
    if is_compared {
        let mut now = shape.start(0..shape.rows)?;
        let mut next = npy::zeroed(now.len())?;
        for _ in 0..options.steps {
            let (first, last) = (&now[..shape.columns], &now[now.len() - shape.columns..]);
            host::step(first, &now, last, &mut next);
            std::mem::swap(&mut now, &mut next);
        }
        let is_different = |(one, other): (&f64, &f64)| one.to_bits() != other.to_bits();
        if let Some(cell) = whole.iter().zip(&now).position(is_different) {
            let (row, column) = (cell / shape.columns, cell % shape.columns);
            return Err(format!(
                "row {row}, column {column} is {:?}; one rank alone computes {:?}",
                whole[cell], now[cell]
            ));
        }
    }
    if let Some(path) = &options.out {
        files::write_array(path, shape.rows, shape.columns, whole)?;
    }
    if let Some(path) = &options.picture {
        files::write_picture(path, shape.columns, whole, [COLD, HOT])?;
    }
    Ok(())
}
