//! Load over HTTP: wrk, with the script bench/place.lua.

use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use crate::Result;
use crate::numbers::Measured;
use crate::plan::{Cell, Load};
use crate::processes::{Stop, run};
use crate::service::Address;

/// One run of it.
pub(crate) struct Run {
    pub(crate) cell: Cell,
    /// A number that no other run has.
    pub(crate) number: usize,
    pub(crate) seconds: u32,
    /// How long each client waits before it asks again.
    pub(crate) pause_ms: u32,
}

/// What the script prints last.
#[derive(Debug, Deserialize)]
pub(crate) struct Said {
    requests: u64,
    /// Requests whose latency is known: all but those that failed.
    timed: u64,
    pub(crate) seconds: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// Connections that broke, and answers that took longer than the time-out.
    pub(crate) failed: u64,
}

/// Sends orders to a service for some seconds, and measures.
pub(crate) fn measure(asked: &Run, service: &Address, tokens: &Path, dir: &Path, stop: &Stop) -> Result<Measured> {
    let before = service.answers()?;
    let said = send(asked, service, tokens, dir, stop)?;
    if said.timed + said.failed < said.requests || said.timed > said.requests {
        return Err(format!("this wrk counts latencies in a way that bench/place.lua does not know: {said:?}").into());
    }

    let answers = service.settled()?.since(&before);
    let right = match asked.cell.load {
        Load::SoldOut => answers.status(409).min(answers.out_of_stock),
        Load::Spread | Load::Hot | Load::Many => answers.status(201).min(answers.placed),
    };
    let wrong = answers.total() - right;
    if wrong + said.failed > 0 {
        println!("{}  {answers:?}, {} broken connections and time-outs", asked.cell, said.failed);
    }
    Ok(Measured {
        per_second: said.requests.saturating_sub(wrong) as f64 / said.seconds,
        p50_ms: said.p50_ms,
        p99_ms: said.p99_ms,
        errors: wrong + said.failed,
    })
}

/// Sends orders to a service for some seconds, whatever is answered.
pub(crate) fn send(asked: &Run, service: &Address, tokens: &Path, dir: &Path, stop: &Stop) -> Result<Said> {
    let Run { cell, number, seconds, pause_ms } = asked;
    let mut wrk = Command::new("wrk");
    wrk.args(["--threads", "1", "--connections", &cell.clients.to_string(), "--timeout", "10s"]);
    wrk.args(["--duration", &format!("{seconds}s"), "--script"]);
    wrk.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/place.lua")).arg(service.url());
    wrk.env("LOAD", cell.load.name()).env("CELL", number.to_string()).env("CLIENTS", cell.clients.to_string());
    wrk.env("PAUSE_MS", pause_ms.to_string()).env("TOKENS", tokens);
    let text = run(&mut wrk, &dir.join("wrk"), stop)?;
    let line = text.lines().find(|line| line.starts_with('{')).ok_or_else(|| format!("wrk has no result: {text}"))?;
    Ok(serde_json::from_str(line)?)
}
