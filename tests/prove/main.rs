//! Two instances of the service, PostgreSQL, Redis and a provider of payments; customers, staff and timers who all work at once; and faults
//! that strike them meanwhile. Afterwards what everybody was answered, and what the provider has, is held against the database, and the
//! audit runs.
//!
//! Everybody who draws has a generator of their own, seeded by the round's seed, so a seed repeats what is tried; how it interleaves is left
//! to the machine. By the environment: `OPERATIONS`, or `HOURS` or `ROUNDS` instead; `SEED` of the first round; `FAULTS`, by their names,
//! with a comma, or `none`; `CUSTOMERS`. A round that breaks a promise is told as a story, and tried again with less, as long as less will
//! do. The last line is `operations=N faults=N lost=N oversold=N doubled=N violations=N`.

#![expect(clippy::unwrap_used, reason = "a test that unwraps nothing has failed")]

mod history;
mod instance;
mod model;
mod people;
mod plan;
mod provider;
mod reckoning;
mod stage;
mod strikers;
mod wire;
mod workers;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::history::History;
use crate::model::{Kind, Model, Violation};
use crate::people::World;
use crate::plan::{Fault, Finally, Plan, Progress, Wanted};
use crate::stage::{Ground, Stage};
use crate::wire::Wire;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(instance::ROLE) {
        return instance::run();
    }
    match Wanted::read().and_then(|wanted| prove(&wanted)) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("prove: {error}");
            ExitCode::from(2)
        }
    }
}

/// What a round came to.
struct Round {
    operations: usize,
    unknown: usize,
    faults: Vec<Fault>,
    done: BTreeMap<&'static str, usize>,
    violations: Vec<Violation>,
    /// Of the first violation that has one.
    story: String,
}

/// The grounds that rounds happen on; each is made when it is first needed.
#[derive(Default)]
struct Grounds {
    disk: Option<Ground>,
    small_disk: Option<Ground>,
}

impl Grounds {
    fn of(&mut self, plan: &Plan) -> Result<&mut Ground, String> {
        let place = if plan.is_small_disk { &mut self.small_disk } else { &mut self.disk };
        if place.is_none() {
            *place = Some(Ground::start(plan.is_small_disk)?);
        }
        place.as_mut().ok_or_else(String::new)
    }
}

/// Goes through the rounds; how many promises were broken.
fn prove(wanted: &Wanted) -> Result<usize, String> {
    println!("seed {}", wanted.seed);
    let mut grounds = Grounds::default();
    let (begun, mut operations, mut violations) = (Instant::now(), 0, Vec::new());
    let (mut faults, mut done, mut left_out) = (BTreeMap::<&str, usize>::new(), BTreeMap::<&str, usize>::new(), None);
    for number in 0.. {
        let is_enough = match (wanted.rounds, wanted.time) {
            (Some(rounds), _) => number >= rounds,
            (None, Some(time)) => begun.elapsed() >= time,
            (None, None) => operations >= wanted.operations,
        };
        if is_enough {
            break;
        }
        let mut plan = wanted.plan(number);
        if plan.is_small_disk
            && let Err(error) = grounds.of(&plan)
        {
            // Only root may mount.
            left_out = Some(error);
            plan.is_small_disk = false;
            plan.faults.retain(|fault| *fault != Fault::DiskFull);
        }
        let round_begun = Instant::now();
        let round = play(grounds.of(&plan)?, &plan);
        let seconds = round_begun.elapsed().as_secs_f64();
        println!(
            "round {number}, seed {}: {} operations in {seconds:.0} s, {} without an answer; {} faults; {} violations",
            plan.seed,
            round.operations,
            round.unknown,
            round.faults.len(),
            round.violations.len(),
        );
        operations += round.operations;
        for fault in &round.faults {
            *faults.entry(fault.name()).or_default() += 1;
        }
        for (what, times) in &round.done {
            *done.entry(what).or_default() += times;
        }
        if !round.violations.is_empty() {
            tell(&round, &plan);
            shrink(&mut grounds, plan)?;
        }
        violations.extend(round.violations);
    }
    println!("done: {done:?}");
    println!("faults: {faults:?}");
    if let Some(reason) = left_out {
        println!("disk_full was left out, for a small disk cannot be mounted: {reason}");
    }
    let count = |kind: Kind| violations.iter().filter(|violation| violation.kind == kind).count();
    let struck: usize = faults.values().sum();
    println!(
        "operations={operations} faults={struck} lost={} oversold={} doubled={} violations={}",
        count(Kind::Lost),
        count(Kind::Oversold),
        count(Kind::Doubled),
        violations.len(),
    );
    Ok(violations.len())
}

/// One round, from an empty restaurant to the reckoning.
fn play(ground: &mut Ground, plan: &Plan) -> Round {
    let (history, progress, stage) = (History::new(), Progress::of(plan), Stage::set(ground, plan));
    let http = reqwest::Client::builder().no_proxy().pool_idle_timeout(Duration::from_secs(2)).build().unwrap();
    let world = World {
        stage: &stage,
        history: &history,
        model: RefCell::default(),
        orders: RefCell::default(),
        doubtful: RefCell::default(),
        numbers: RefCell::default(),
        progress: &progress,
        unknown: Cell::new(0),
        http,
    };
    let faults = std::thread::scope(|threads| {
        let ended = Finally(|| progress.end());
        threads.spawn(|| strikers::keep_alive(&stage, &progress));
        let striking = threads.spawn(|| strikers::strike(&stage, plan, &history, &progress));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(workers::work(&world, plan, || strikers::mend(&stage)));
        drop(ended);
        striking.join().unwrap()
    });
    let (unknown, mut model): (usize, Model) = (world.unknown.get(), world.model.into_inner());
    reckoning::reckon(&mut model, &stage);
    let notices = stage.provider.notices();
    model.done.insert("notices", notices);
    model.done.insert("commits cut", stage.wires.iter().map(Wire::cut).sum());
    let first = model.violations.iter().find(|violation| !violation.about.is_empty());
    let story = first.map(|first| format!("{}{}", history.story(&first.about), reckoning::found(&stage, &first.about)));
    let logs = if model.violations.is_empty() { String::new() } else { [stage.log(0), stage.log(1)].concat() };
    let tail: Vec<&str> = logs.lines().rev().filter(|line| line.contains("ERROR")).take(10).collect();
    let story = story.unwrap_or_default() + &tail.iter().map(|line| format!("    log: {line}\n")).collect::<String>();
    Round {
        operations: model.operations + notices,
        unknown,
        faults,
        done: model.done,
        violations: model.violations,
        story,
    }
}

/// What was broken, and the story of the first.
fn tell(round: &Round, plan: &Plan) {
    for violation in round.violations.iter().take(20) {
        println!("    {:?}: {}", violation.kind, violation.what);
    }
    println!("  the story of it:\n{}", round.story);
    println!("  again: {}", plan.command());
}

/// How long less is tried: what needs luck to happen needs it again.
const SHRINKING: Duration = Duration::from_secs(300);

/// Tries with less, as long as less breaks a promise, too.
fn shrink(grounds: &mut Grounds, mut plan: Plan) -> Result<(), String> {
    let (begun, mut smallest) = (Instant::now(), None);
    'less: loop {
        for smaller in plan.smaller() {
            if begun.elapsed() > SHRINKING {
                break 'less;
            }
            let round = play(grounds.of(&smaller)?, &smaller);
            if !round.violations.is_empty() {
                println!("  less will do: {} violations of {}", round.violations.len(), smaller.command());
                plan = smaller.clone();
                smallest = Some((round, smaller));
                continue 'less;
            }
        }
        break;
    }
    if let Some((round, plan)) = smallest {
        println!("  the least that was found:");
        tell(&round, &plan);
    }
    Ok(())
}
