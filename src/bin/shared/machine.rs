//! On which machine something was measured.

use crate::record::Machine;

/// What could not be found out.
pub const UNKNOWN: &str = "unknown";

/// This machine as it is now.
pub fn this_machine() -> Machine {
    let line = |file: &str| Some(std::fs::read_to_string(file).ok()?.trim().to_owned());
    let averages = line("/proc/loadavg").unwrap_or_default();
    let mut averages = averages.split(' ').map(|average| average.parse().unwrap_or(0.0));
    Machine {
        host: known(line("/proc/sys/kernel/hostname")),
        processor: known(processor()),
        processors: processors(),
        kernel: known(line("/proc/sys/kernel/osrelease")),
        load_average: [(); 3].map(|()| averages.next().unwrap_or(0.0)),
    }
}

/// All that are there: a rank that is bound to a core may use only some of them.
fn processors() -> usize {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines().filter(|line| line.starts_with("processor")).count()
}

/// The processor's model, which Linux tells on x86.
fn processor() -> Option<String> {
    let processors = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = processors.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn known(text: Option<String>) -> String {
    text.unwrap_or_else(|| UNKNOWN.to_owned())
}
