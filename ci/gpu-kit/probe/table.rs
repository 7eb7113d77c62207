//! The report in short, for people; its last line is the shortest.

use crate::Report;
use crate::gpu::Gpu;
use crate::timing::Timing;

pub fn print(report: &Report) {
    let (major, minor) = (report.driver_version / 1000, report.driver_version % 1000 / 10);
    println!("driver for CUDA {major}.{minor}; MPS: {}", report.mps);
    if report.is_simulated {
        println!("simulated GPU: no time and no bandwidth below is that of a GPU");
    }
    for (ordinal, gpu) in report.gpus.iter().enumerate() {
        describe(ordinal, gpu);
        println!("  access to the memory of {:?}", report.peers[ordinal]);
    }
    let first = &report.gpus[0];
    let timing = first.timing.words(|timing| match report.is_simulated {
        true => "its figures are not those of a GPU".to_owned(),
        false => format!(
            "copy {}, pinned {} down and {} up",
            speed(fastest(timing)),
            speed(timing.pinned.down),
            speed(timing.pinned.up)
        ),
    });
    println!("{} x {}: {timing}", report.gpus.len(), first.name);
}

fn describe(ordinal: usize, gpu: &Gpu) {
    println!(
        "GPU {ordinal}: {}, {} GiB, compute capability {}, {} multiprocessors",
        gpu.name,
        gpu.memory_bytes >> 30,
        gpu.compute_capability,
        gpu.multiprocessors
    );
    let memory = |memory: &crate::sharing::Memory| {
        format!(
            "works; open {}, close {}",
            time(memory.open_seconds),
            time(memory.close_seconds)
        )
    };
    let sharing = &gpu.sharing;
    row("IPC of memory", &sharing.plain_memory.words(memory));
    row("IPC of pool memory", &sharing.pool_memory.words(memory));
    let event = sharing.event.words(|event| {
        format!(
            "export {}, record {}; open {}, query {}, wait {}",
            time(event.export_seconds),
            time(event.record_seconds),
            time(event.other.open_seconds),
            time(event.other.query_seconds),
            time(event.other.wait_seconds)
        )
    });
    row("IPC of events", &event);
    let timing = match &gpu.timing {
        crate::found::Found::Is(timing) => timing,
        not => return row("times", &not.words(|_| String::new())),
    };
    let calls = &timing.calls;
    row(
        "kernel",
        &format!(
            "launch {}, with synchronize {}",
            time(calls.launch),
            time(calls.launch_and_synchronize)
        ),
    );
    row(
        "stream, event",
        &format!(
            "synchronize {}, record {}, query {}",
            time(calls.synchronize),
            time(calls.event_record),
            time(calls.event_query)
        ),
    );
    row("8 B down", &time(calls.small_copy_down));
    let pinned = &timing.pinned;
    row(
        "pinned memory",
        &format!(
            "down {}, up {}, both {}",
            speed(pinned.down),
            speed(pinned.up),
            speed(pinned.both)
        ),
    );
    for copy in &timing.copies {
        let found = copy
            .found
            .words(|found| format!("{}, {}", time(found.seconds), speed(found.bytes_per_second)));
        row(&format!("copy of {} KiB", copy.bytes >> 10), &found);
    }
}

fn fastest(timing: &Timing) -> f64 {
    let speeds = timing.copies.iter().filter_map(|copy| match &copy.found {
        crate::found::Found::Is(speed) => Some(speed.bytes_per_second),
        crate::found::Found::Not { .. } => None,
    });
    speeds.fold(0.0, f64::max)
}

fn row(what: &str, found: &str) {
    println!("  {what:<22} {found}");
}

fn time(seconds: f64) -> String {
    format!("{:.2} us", seconds * 1e6)
}

fn speed(bytes_per_second: f64) -> String {
    format!("{:.1} GB/s", bytes_per_second / 1e9)
}
