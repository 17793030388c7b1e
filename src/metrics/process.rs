//! What the process takes of its machine, under the names that Prometheus gives it everywhere. Read at each scrape from `/proc`; where
//! there is none, or a line of it reads otherwise, that metric is left out.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

/// Ticks a second in which Linux tells programs of time, on every machine since 2.6.
const TICKS: f64 = 100.0;

pub(super) fn register(registry: &mut Registry) {
    registry.register_collector(Box::new(Process));
}

#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut gauge = |name: &str, help: &str, unit: Option<Unit>, value: Option<f64>| {
            let Some(value) = value else { return Ok(()) };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, unit.as_ref(), gauge.metric_type())?)
        };
        let memory = field("/proc/self/status", "VmRSS:").map(|kib| kib * 1024.0);
        gauge("process_resident_memory", "Memory in use.", Some(Unit::Bytes), memory)?;
        let open = fs::read_dir("/proc/self/fd").ok().map(|open| open.count() as f64);
        gauge("process_open_fds", "Open file descriptors.", None, open)?;
        gauge("process_max_fds", "File descriptors it may have.", None, field("/proc/self/limits", "Max open files"))?;
        let stat = Stat::read();
        let started = stat.as_ref().and_then(|stat| Some(field("/proc/stat", "btime")? + stat.started_after));
        gauge("process_start_time", "When it was started, since 1970.", Some(Unit::Seconds), started)?;
        let Some(stat) = stat else { return Ok(()) };
        let cpu = ConstCounter::new(stat.cpu);
        let help = "Time of processors it has used.";
        cpu.encode(encoder.encode_descriptor("process_cpu", help, Some(&Unit::Seconds), cpu.metric_type())?)
    }
}

/// The first number behind a line's `name`.
fn field(path: &str, name: &str) -> Option<f64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// Of `/proc/self/stat`, in seconds.
struct Stat {
    cpu: f64,
    /// How long after the machine the process started.
    started_after: f64,
}

impl Stat {
    fn read() -> Option<Self> {
        let text = fs::read_to_string("/proc/self/stat").ok()?;
        // The program's name, in parentheses, may hold anything. The process's state follows, which is the third field.
        let (_, rest) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let seconds = |number: usize| Some(fields.get(number - 3)?.parse::<f64>().ok()? / TICKS);
        Some(Self { cpu: seconds(14)? + seconds(15)?, started_after: seconds(22)? })
    }
}
