//! `make bench`: what an order costs through the service, next to the same rows written by bare SQL.
//!
//! Four systems on one PostgreSQL take the same four loads at 1, 8, 32 and 128 clients: bare SQL (pgbench), and the service
//! (wrk, over HTTP) placing in groups, in groups of one, and without locks. A round measures every cell once, the systems
//! directly after one another, so that the machine's moods hit all of them; what is reported is the median over the
//! rounds. Ratios from within one run can be compared between machines, the numbers beneath them cannot.
//!
//! QUICK=1 measures only what the ratios need. ROUNDS and CELL_SECONDS replace the number of rounds and a cell's length.
//!
//! With the argument `overload` it is `make overload` instead: see `overload`.
//!
//! Exits 1 when the audit finds a broken promise or a request got a wrong answer: then the numbers mean nothing. Slow is
//! not a failure: a benchmark is not a test.

mod chart;
mod machine;
mod numbers;
mod overload;
mod pgbench;
mod plan;
mod processes;
mod report;
mod service;
mod stage;
mod wrk;

use std::collections::BTreeMap;
use std::process::ExitCode;

use numbers::{Measured, Summary};
use plan::{Cell, Plan, System, WARM_UP_SECONDS};
use processes::Stop;
use report::Report;
use stage::Stage;

/// Whatever ends the benchmark early: one sentence.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    // `cargo test --all-targets` runs benchmarks without this argument, to see whether they start.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let is_overload = std::env::args().any(|argument| argument == "overload");
    match Stop::listen().map_err(Into::into).and_then(if is_overload { overload::run } else { run }) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::from(2)
        }
    }
}

/// Measures and reports. Whether all answers were right and every promise holds.
fn run(stop: Stop) -> Result<bool> {
    let plan = Plan::from_env()?;
    let mut stage = Stage::set(stop, &System::SERVICES)?;

    println!("Warms up {} cells", plan.cells.len());
    for cell in &plan.cells {
        stage.measure(cell, WARM_UP_SECONDS)?;
    }
    stage.analyze()?;

    let mut measured: BTreeMap<Cell, Vec<Measured>> = BTreeMap::new();
    for round in 1..=plan.rounds {
        println!("\nRound {round} of {}", plan.rounds);
        for cell in &plan.cells {
            let result = stage.measure(cell, plan.seconds)?;
            println!("{cell}  {result}");
            measured.entry(*cell).or_default().push(result);
        }
    }
    let cells = measured.into_iter().map(|(cell, rounds)| (cell, Summary::of(&rounds))).collect();

    println!("\nAudits");
    let violations = stage.audit()?;
    let report = Report::new(&plan, cells, stage.machine()?, stage.rss_kb(), violations.len());
    drop(stage);

    println!("\n{}", report.text());
    for violation in violations.iter().take(20) {
        println!("BROKEN: {violation}");
    }
    report.write()?;
    Ok(report.is_sound())
}
