//! `make overload`: what becomes of the service when many times more is asked of it than it can do.
//!
//! Before, during and after a flood: 128 clients find the most it places; then 3,000 who together ask for ten times that, and never mind
//! `Retry-After`; then the 128 again. The flood is wrk's. What one client sees of it is measured by a few beside it, who ask now and then,
//! and tell answers by their status, which wrk does not.
//!
//! All on one machine, where clients, service and PostgreSQL take the processors from each other: the flood is as large as that allows. What
//! clients take is not the service's to give, so what is placed is held against what could be: against the best, or, where the flood's clients
//! leave less of the processors than that took, against as much less.
//! ROUNDS and CELL_SECONDS replace the number of rounds and how long each of the three lasts, TIMES the ten; with TIMES=1000 nobody
//! waits before they ask again.

mod probe;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::time::TimeValLike;

use crate::Result;
use crate::numbers::{Measured, Spread, percentile};
use crate::plan::{Cell, Load, System, from_env};
use crate::processes::Stop;
use crate::service::{Address, Answers};
use crate::stage::Stage;
use probe::Seen;

/// As many as find the best throughput elsewhere in this benchmark, and many more than may wait (`placement.queue_orders_max`).
const CLIENTS: u32 = 128;
const FLOOD: u32 = 3_000;
/// How many times the best is asked for, as far as the machine can ask.
const TIMES: u32 = 10;
/// Of the time between two questions of a client, how much it waits; the rest takes the answer.
const PAUSE_SHARE: f64 = 0.75;
/// In a flood an answer takes as long by itself, and wrk's clocks of all who wait would take more of the processors.
const PAUSE_MIN_MS: u32 = 100;

/// `placement.queue_orders_max` and `placement.queue_merchant_orders_max`, as they are delivered.
const QUEUE: f64 = 1_024.0;
const MERCHANT_QUEUE: f64 = 512.0;

/// Where the floods come down. The last one is on a service that is kept slow: one processor's worth of strangers can ask ten times more
/// of that than it can do, which two cannot of the others.
const SCENES: [(&str, Cell); 3] = [
    ("One merchant, 1,000 goods", Cell { load: Load::Spread, clients: CLIENTS, system: System::Groups }),
    ("500 merchants", Cell { load: Load::Many, clients: CLIENTS, system: System::Groups }),
    ("One goods row, one order a transaction", Cell { load: Load::Hot, clients: CLIENTS, system: System::GroupsOfOne }),
];

/// What has to hold, as the median over the rounds: of what could be placed, as much must be placed in the flood, and of the best, as much
/// after it.
const KEPT_MIN: f64 = 0.8;
const AFTER_MIN: f64 = 0.8;
const REFUSED_P99_MAX_MS: f64 = 1_000.0;
/// An order that is placed may take so many times what it takes to place those that may wait before it, and to answer everybody once.
const WAIT_MAX: f64 = 5.0;
/// The memory after the last flood, by that after the second: the first fills what the allocator keeps.
const GROWTH_MAX: f64 = 1.15;

/// One round of one load.
struct Round {
    best: Measured,
    flood: Flood,
    after: Measured,
    best_used: Used,
    flood_used: Used,
}

/// Shares of the processors, over the time of a load.
struct Used {
    /// By wrk, and by this process.
    clients: f64,
    /// By nobody; nothing where there is no /proc.
    idle: f64,
}

struct Flood {
    waiting_max: f64,
    seconds: f64,
    answers: Answers,
    /// Connections that broke.
    broken: u64,
    seen: Seen,
    rss_before_kb: u64,
    rss_most_kb: u64,
    rss_after_kb: u64,
}

/// Measures, prints, and tells whether all of it holds.
pub(crate) fn run(stop: Stop) -> Result<bool> {
    raise_descriptor_limit()?;
    let (rounds, seconds, times) = (from_env("ROUNDS", 3)?, from_env("CELL_SECONDS", 10)?, from_env("TIMES", TIMES)?);
    let mut stage = Stage::set(stop, &[System::Groups, System::GroupsOfOne])?;
    for (_, calm) in SCENES {
        stage.measure(&calm, 3)?;
    }
    stage.analyze()?;
    let mut is_sound = true;
    for (words, calm) in SCENES {
        println!("\n{words}\n{HEAD}");
        let mut measured = Vec::new();
        for _ in 0..rounds {
            let (best, best_used) = used(seconds, || stage.measure(&calm, seconds))?;
            let pause_ms = pause_ms(best.per_second * f64::from(times));
            let (flood, flood_used) = used(seconds, || flood(&mut stage, calm, seconds, pause_ms))?;
            let round = Round { best, flood, after: stage.measure(&calm, seconds)?, best_used, flood_used };
            println!("{round}");
            measured.push(round);
        }
        is_sound &= judge(&measured);
    }
    println!("\nAudits");
    let violations = stage.audit()?;
    for violation in violations.iter().take(20) {
        println!("BROKEN: {violation}");
    }
    is_sound &= violations.is_empty();
    println!("overload: {}, {} violations", if is_sound { "passed" } else { "FAILED" }, violations.len());
    Ok(is_sound)
}

/// How long each of the flood has to wait, so that together they ask so often.
fn pause_ms(asked_per_second: f64) -> u32 {
    let pause_ms = (f64::from(FLOOD) / asked_per_second * 1e3 * PAUSE_SHARE) as u32;
    if pause_ms < PAUSE_MIN_MS { 0 } else { pause_ms }
}

/// Also tells who used the processors while there was load.
fn used<T>(seconds: u32, load: impl FnOnce() -> Result<T>) -> Result<(T, Used)> {
    let clients_ms = || -> Result<i64> {
        let ours = [getrusage(UsageWho::RUSAGE_SELF)?, getrusage(UsageWho::RUSAGE_CHILDREN)?];
        Ok(ours.iter().map(|usage| (usage.user_time() + usage.system_time()).num_milliseconds()).sum())
    };
    let (clients_before, (idle_before, all_before)) = (clients_ms()?, ticks());
    let done = load()?;
    let (idle, all) = ticks();
    let all_ms = f64::from(seconds) * 1e3 * thread::available_parallelism()?.get() as f64;
    let clients = (clients_ms()? - clients_before) as f64 / all_ms;
    Ok((done, Used { clients, idle: (idle - idle_before) / (all - all_before).max(1.0) }))
}

/// How long the processors were idle so far, and all there was of them: `cpu` in /proc/stat, whose fourth and fifth are idle and iowait.
fn ticks() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let cpu = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let ticks: Vec<f64> = cpu.take(8).filter_map(|number| number.parse().ok()).collect();
    (ticks.iter().skip(3).take(2).sum(), ticks.iter().sum())
}

/// wrk needs one for each client; its limit is this process's.
fn raise_descriptor_limit() -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}

fn flood(stage: &mut Stage, calm: Cell, seconds: u32, pause_ms: u32) -> Result<Flood> {
    let service = stage.address(calm.system)?;
    let (load, tokens) = (calm.load, stage.tokens(calm.load));
    let rss_before_kb = rss_kb(&service);
    let before = service.answers()?;
    let (over, rss_most_kb) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let probing = scope.spawn(|| probe::run(service.url(), &tokens, load, &over));
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                rss_most_kb.fetch_max(rss_kb(&service), Ordering::Relaxed);
                thread::sleep(Duration::from_millis(100));
            }
        });
        let flooded = stage.flood(Cell { clients: FLOOD, ..calm }, seconds, pause_ms);
        over.store(true, Ordering::Relaxed);
        let seen = probing.join().map_err(|_| "the probe panicked")??;
        let answers = service.settled()?.since(&before);
        let rss_after_kb = rss_kb(&service);
        let flooded = flooded?;
        Ok(Flood {
            waiting_max: if load == Load::Many { QUEUE } else { MERCHANT_QUEUE },
            seconds: flooded.seconds,
            answers,
            broken: flooded.failed,
            seen,
            rss_before_kb,
            rss_most_kb: rss_most_kb.load(Ordering::Relaxed),
            rss_after_kb,
        })
    })
}

impl Round {
    /// Of what could be placed in the flood, how much was: of the best, if the clients left as much of the processors as that took.
    fn kept(&self) -> f64 {
        let (left, taken) = (1.0 - self.flood_used.clients, 1.0 - self.best_used.clients - self.best_used.idle);
        self.flood.accepted() / (self.best.per_second * (left / taken).clamp(0.1, 1.0))
    }
}

/// Zero where there is no /proc; then growth is none.
fn rss_kb(service: &Address) -> u64 {
    service.rss_kb().unwrap_or(0)
}

impl Flood {
    fn accepted(&self) -> f64 {
        self.answers.placed as f64 / self.seconds
    }

    fn offered(&self) -> f64 {
        self.answers.total() as f64 / self.seconds
    }

    /// The p99 of the placed, by the time it takes to place all that may wait and to answer everybody once.
    fn wait(&self) -> f64 {
        let turn_seconds = self.waiting_max / self.accepted() + f64::from(FLOOD) / self.offered();
        p99_ms(&self.seen.accepted_us) / 1e3 / turn_seconds
    }

    /// Answers that are neither an order nor a refusal that says when to come back.
    fn wrong(&self) -> u64 {
        let others =
            self.answers.total() - self.answers.status(201).min(self.answers.placed) - self.answers.status(503);
        others + self.broken + self.seen.wrong
    }
}

fn p99_ms(sorted_us: &[u64]) -> f64 {
    if sorted_us.is_empty() { f64::NAN } else { percentile(sorted_us, 0.99) as f64 / 1e3 }
}

const HEAD: &str = "    best/s   p99 ms clients  idle |  asked/s   times clients   placed/s   kept  could  p99 ms | refused/s  p99 ms | after |  MB before  most  after | wrong";

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { best, flood, after, best_used, flood_used } = self;
        let mb = |kb: u64| kb / 1024;
        write!(f, "{:>10.0} {:>8.1} ", best.per_second, best.p99_ms)?;
        write!(f, "{:>7.2} {:>5.2} | ", best_used.clients, best_used.idle)?;
        let (offered, accepted) = (flood.offered(), flood.accepted());
        write!(f, "{offered:>8.0} {:>7.1} {:>7.2} {accepted:>10.0} ", offered / best.per_second, flood_used.clients)?;
        write!(f, "{:>6.2} {:>6.2} ", accepted / best.per_second, self.kept())?;
        write!(f, "{:>7.1} | ", p99_ms(&flood.seen.accepted_us))?;
        let refused = flood.answers.status(503) as f64 / flood.seconds;
        write!(f, "{refused:>9.0} {:>7.1} | ", p99_ms(&flood.seen.refused_us))?;
        write!(f, "{:>5.2} | ", after.per_second / best.per_second)?;
        write!(f, "{:>10} {:>5} {:>6} | ", mb(flood.rss_before_kb), mb(flood.rss_most_kb), mb(flood.rss_after_kb))?;
        write!(f, "{:>5}", flood.wrong() + best.errors + after.errors)
    }
}

/// Holds the rounds against what was promised, a line each.
fn judge(rounds: &[Round]) -> bool {
    let median = |number: fn(&Round) -> f64| Spread::of(rounds.iter().map(number)).median;
    let after_kb = |round: &Round| round.flood.rss_after_kb.max(1) as f64;
    let growth =
        rounds.last().map_or(f64::NAN, after_kb) / rounds.iter().take(2).next_back().map_or(f64::NAN, after_kb);
    let wrong: u64 = rounds.iter().map(|round| round.flood.wrong() + round.best.errors + round.after.errors).sum();
    let refused: u64 = rounds.iter().map(|round| round.flood.answers.status(503)).sum();
    let kept = median(Round::kept);
    let after = median(|round| round.after.per_second / round.best.per_second);
    let wait = median(|round| round.flood.wait());
    let refused_p99 = median(|round| p99_ms(&round.flood.seen.refused_us));
    let mut holds = true;
    // What is not a number holds nothing.
    let mut claim = |is_so: bool, words: String| {
        println!("  {} {words}", if is_so { "holds " } else { "BROKEN" });
        holds &= is_so;
    };
    claim(refused > 0, format!("more is asked than is taken: {refused} refused"));
    claim(wrong == 0, format!("whoever is refused is told when to come back: {wrong} other answers"));
    claim(kept >= KEPT_MIN, format!("of what could be, {kept:.2} are placed in the flood, {KEPT_MIN} at least"));
    claim(
        wait <= WAIT_MAX,
        format!("p99 of the placed is {wait:.1} times a turn of all who may wait, {WAIT_MAX} at most"),
    );
    claim(
        refused_p99 <= REFUSED_P99_MAX_MS,
        format!("p99 of the refused {refused_p99:.0} ms, {REFUSED_P99_MAX_MS} at most"),
    );
    claim(after >= AFTER_MIN, format!("of the best, {after:.2} are placed after it, {AFTER_MIN} at least"));
    claim(
        growth <= GROWTH_MAX,
        format!("memory after the last flood is {growth:.2} of that after the second, {GROWTH_MAX} at most"),
    );
    holds
}
