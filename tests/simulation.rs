//! Customers, staff, a provider that does everything wrong that providers do, and timers do at random what they do every day, all at
//! once, over HTTP; and a model that knows only what they were answered, and what the provider says of the money, says what must have come
//! out.
//!
//! Every worker draws from a generator of its own, seeded by the run's seed, so a seed repeats what is tried; how it interleaves is left
//! to the machine. `SEEDS=1000 make simulate` tries a thousand seeds, `SEED=7 make simulate` one. The last line is
//! `seeds=N operations=N violations=N`.

#![expect(clippy::unwrap_used, reason = "a test that unwraps nothing has failed")]

#[expect(dead_code, reason = "the integration tests use the rest")]
#[path = "it/clients.rs"]
mod clients;
#[expect(dead_code, reason = "the integration tests use the rest")]
#[path = "it/harness.rs"]
mod harness;

#[expect(dead_code, reason = "the integration tests use the rest")]
#[path = "it/two_tills.rs"]
mod two_tills;

#[path = "simulation/model.rs"]
mod model;
#[path = "simulation/workers.rs"]
mod workers;

use std::collections::BTreeMap;
use std::process::ExitCode;

use crate::model::Model;
use crate::two_tills::Tills;

/// Seeds of the ordinary test run.
const SEEDS: u64 = 10;

fn main() -> ExitCode {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().expect(name));
    let seeds = match number("SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("SEEDS").unwrap_or(SEEDS),
    };
    let (mut ran, mut operations, mut violations) = (0, 0, 0);
    let mut moves = BTreeMap::new();
    for seed in seeds {
        let model = actix_web::rt::System::new().block_on(run(seed));
        println!("seed {seed}: {} operations, {} violations", model.operations, model.violations.len());
        for violation in &model.violations {
            println!("    {violation}");
        }
        ran += 1;
        operations += model.operations;
        for (made, times) in model.moves {
            *moves.entry(made).or_insert(0) += times;
        }
        violations += model.violations.len();
    }
    println!("moves made: {moves:?}");
    println!("seeds={ran} operations={operations} violations={violations}");
    if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One seed: two instances on a database of its own and one provider, everybody at work, then the reckoning.
async fn run(seed: u64) -> Model {
    let mut tills = Tills::start(&[("ROWLOCK_DATABASE_POOL_SIZE", "8"), ("ROWLOCK_GATEWAYS_TIMEOUT_MS", "500")]);
    // What the audit finds is a violation among others.
    tills.one.audit_at_end = false;
    tills.two.audit_at_end = false;
    model::furnish(&tills.one, seed);
    let model = workers::work(&tills, seed).await;
    model.reckon(&tills).await
}
