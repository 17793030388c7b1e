//! The machine, in words: numbers mean little without it.

use std::fs;
use std::thread::available_parallelism;

use serde::Serialize;

/// What the benchmark ran on.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    cpu: String,
    cores: String,
    memory: String,
    postgresql: String,
    kernel: String,
}

impl Machine {
    /// This one; what it does not tell is "unknown".
    pub(crate) fn this(postgresql: String) -> Self {
        let memory =
            field("/proc/meminfo", "MemTotal").and_then(|value| value.strip_suffix(" kB")?.parse::<u64>().ok());
        Self {
            cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            cores: available_parallelism().map_or_else(|_| unknown(), |cores| cores.to_string()),
            memory: memory.map_or_else(unknown, |kb| format!("{} GB", (kb + 524_288) / 1_048_576)),
            postgresql,
            kernel: fs::read_to_string("/proc/version").ok().and_then(|text| kernel(&text)).unwrap_or_else(unknown),
        }
    }

    /// One line for the head of a report.
    pub(crate) fn words(&self) -> String {
        let Self { cpu, cores, memory, postgresql, kernel } = self;
        format!("{cpu}, {cores} cores, {memory} of memory, PostgreSQL {postgresql}, {kernel}")
    }
}

/// The first value of a `name : value` file.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'))?;
    Some(value.trim().to_owned())
}

/// `Linux version 6.1.0 (who@built …` → `Linux 6.1.0`.
fn kernel(version: &str) -> Option<String> {
    let mut words = version.split_whitespace();
    Some(format!("{} {}", words.next()?, words.nth(1)?))
}

fn unknown() -> String {
    "unknown".to_owned()
}
