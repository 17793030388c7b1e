//! Bare SQL: pgbench writes the service's rows, one order a transaction, without HTTP and without a service.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::Result;
use crate::numbers::{Measured, percentile};
use crate::plan::Cell;
use crate::processes::{Stop, run};

/// What every connection starts with, and is not counted: it reads the catalog and prepares its statements, which the
/// service's connections have long done.
const UNCOUNTED_US: u64 = 500_000;

/// Runs the cell's script: bench/<load>.sql.
pub(crate) fn measure(
    cell: &Cell,
    number: usize,
    seconds: u32,
    url: &str,
    bin_dir: &Path,
    dir: &Path,
    stop: &Stop,
) -> Result<Measured> {
    let dir = tempfile::tempdir_in(dir)?;
    let beside = bin_dir.join("pgbench");
    let program = if beside.is_file() { beside.as_path() } else { Path::new("pgbench") };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("bench/{}.sql", cell.load.name()));
    let mut pgbench = Command::new(program);
    pgbench.args(["--no-vacuum", "--protocol=prepared", "--log", "--log-prefix=transactions"]);
    pgbench.args(["--client", &cell.clients.to_string(), "--jobs", &cell.clients.min(2).to_string()]);
    pgbench.args(["--time", &seconds.to_string(), "--define", &format!("cell={number}"), "--define", "n=0"]);
    pgbench.arg("--file").arg(script).arg(url);
    // The service's connections have this set, too: a plan that was made while the tables were small must not stay.
    pgbench.current_dir(dir.path()).env("PGOPTIONS", "-c enable_seqscan=off");
    let said = run(&mut pgbench, &dir.path().join("said"), stop)?;

    let failed = said.lines().find_map(|line| line.strip_prefix("number of failed transactions: "));
    let failed = failed.and_then(|rest| rest.split_whitespace().next()).map_or(Ok(0), str::parse)?;
    let mut log = String::new();
    for entry in fs::read_dir(dir.path())? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("transactions")) {
            log += &fs::read_to_string(path)?;
        }
    }
    summed_up(&log, failed).ok_or_else(|| format!("pgbench has no transactions to show: {said}").into())
}

/// A line is `client transaction latency_us script seconds microseconds`, the last two being the time it ended.
fn summed_up(log: &str, failed: u64) -> Option<Measured> {
    let transaction = |line: &str| {
        let mut fields = line.split(' ').map(str::parse::<u64>);
        let latency = fields.nth(2)?.ok()?;
        let seconds = fields.nth(1)?.ok()?;
        Some((seconds * 1_000_000 + fields.next()?.ok()?, latency))
    };
    let all: Vec<(u64, u64)> = log.lines().filter_map(transaction).collect();
    let begun = all.iter().map(|(ended, latency)| ended - latency).min()? + UNCOUNTED_US;
    let last = all.iter().map(|(ended, _)| *ended).max()?;
    let mut latencies: Vec<u64> = all.iter().filter(|(ended, _)| *ended > begun).map(|(_, latency)| *latency).collect();
    latencies.sort_unstable();
    if latencies.is_empty() {
        return None;
    }
    Some(Measured {
        per_second: latencies.len() as f64 / ((last - begun) as f64 / 1e6),
        p50_ms: percentile(&latencies, 0.5) as f64 / 1e3,
        p99_ms: percentile(&latencies, 0.99) as f64 / 1e3,
        errors: failed,
    })
}
