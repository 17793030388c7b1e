//! What is tried: everything that follows from the seed, and what the caller asks for.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// kill -9 of an instance.
    ServiceKill,
    /// SIGSTOP of an instance for longer than every time-out.
    ServiceStop,
    /// An instance is stopped in good order and started again, as in an upgrade.
    Deploy,
    /// kill -9 of a process of PostgreSQL that works for an instance: the server then restarts itself.
    BackendKill,
    /// SIGSTOP of such a process, with whatever locks it holds, for longer than every time-out.
    BackendStop,
    /// kill -9 of PostgreSQL as a whole.
    PostgresKill,
    /// No byte is left on the disk that PostgreSQL is on.
    DiskFull,
    /// Connections are cut in front of their COMMIT.
    CutBeforeCommit,
    /// Connections are cut between COMMIT and its answer.
    CutAfterCommit,
    /// Nothing passes between an instance and PostgreSQL, for longer than every time-out.
    LineDead,
    /// Redis is killed, and comes back empty.
    RedisKill,
    /// Redis does not answer.
    RedisStop,
    /// The provider does what it is asked, and answers 500.
    ProviderFails,
    /// The provider does what it is asked, and answers too late.
    ProviderHangs,
    /// The provider takes other amounts, too much, too late, or tells nobody, or gives up on refunds.
    ProviderErrs,
    /// The clock of one instance is minutes off.
    ClockSkew,
    /// All clocks jump past every deadline.
    ClockJump,
}

impl Fault {
    const ALL: [Self; 17] = [
        Self::ServiceKill,
        Self::ServiceStop,
        Self::Deploy,
        Self::BackendKill,
        Self::BackendStop,
        Self::PostgresKill,
        Self::DiskFull,
        Self::CutBeforeCommit,
        Self::CutAfterCommit,
        Self::LineDead,
        Self::RedisKill,
        Self::RedisStop,
        Self::ProviderFails,
        Self::ProviderHangs,
        Self::ProviderErrs,
        Self::ClockSkew,
        Self::ClockJump,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ServiceKill => "service_kill",
            Self::ServiceStop => "service_stop",
            Self::Deploy => "deploy",
            Self::BackendKill => "backend_kill",
            Self::BackendStop => "backend_stop",
            Self::PostgresKill => "postgres_kill",
            Self::DiskFull => "disk_full",
            Self::CutBeforeCommit => "cut_before_commit",
            Self::CutAfterCommit => "cut_after_commit",
            Self::LineDead => "line_dead",
            Self::RedisKill => "redis_kill",
            Self::RedisStop => "redis_stop",
            Self::ProviderFails => "provider_fails",
            Self::ProviderHangs => "provider_hangs",
            Self::ProviderErrs => "provider_errs",
            Self::ClockSkew => "clock_skew",
            Self::ClockJump => "clock_jump",
        }
    }

    /// Who strikes with it: faults of one striker come one after the other, those of several at the same time.
    pub(crate) const fn striker(self) -> usize {
        match self {
            Self::ServiceKill
            | Self::ServiceStop
            | Self::Deploy
            | Self::BackendKill
            | Self::BackendStop
            | Self::PostgresKill
            | Self::DiskFull => 0,
            Self::CutBeforeCommit
            | Self::CutAfterCommit
            | Self::LineDead
            | Self::RedisKill
            | Self::RedisStop
            | Self::ClockSkew
            | Self::ClockJump => 1,
            Self::ProviderFails | Self::ProviderHangs | Self::ProviderErrs => 2,
        }
    }
}

/// How many strikers there are.
pub(crate) const STRIKERS: usize = 3;

/// What a round tries.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Everything drawn in it follows from this.
    pub(crate) seed: u64,
    /// Operations after which everybody goes home, once every fault has struck.
    pub(crate) operations: usize,
    pub(crate) customers: usize,
    pub(crate) faults: Vec<Fault>,
    pub(crate) has_redis: bool,
    pub(crate) is_small_disk: bool,
    pub(crate) locking: &'static str,
}

impl Plan {
    /// The plan of a seed: every second one with Redis, every third one on a disk that becomes full, every fourth one optimistic.
    fn of(seed: u64, wanted: &Wanted) -> Self {
        let (has_redis, is_small_disk) = (seed.is_multiple_of(2), seed.is_multiple_of(3));
        let mut faults = wanted.faults.clone();
        faults.retain(|fault| has_redis || !matches!(fault, Fault::RedisKill | Fault::RedisStop));
        faults.retain(|fault| is_small_disk || *fault != Fault::DiskFull);
        let locking = if seed % 4 == 1 { "optimistic" } else { "pessimistic" };
        Self { seed, operations: wanted.round, customers: wanted.customers, faults, has_redis, is_small_disk, locking }
    }

    /// Generator of one of those who draw.
    pub(crate) fn random(&self, who: u64) -> StdRng {
        StdRng::seed_from_u64(self.seed.wrapping_mul(10_007).wrapping_add(who))
    }

    /// The faults of a striker, all of them once, in an order of its own.
    pub(crate) fn faults_of(&self, striker: usize, random: &mut StdRng) -> Vec<Fault> {
        let mut own: Vec<Fault> = self.faults.iter().copied().filter(|fault| fault.striker() == striker).collect();
        own.shuffle(random);
        own
    }

    /// The command that repeats it.
    pub(crate) fn command(&self) -> String {
        let faults: Vec<&str> = self.faults.iter().map(|fault| fault.name()).collect();
        let (seed, operations, customers, faults) = (self.seed, self.operations, self.customers, faults.join(","));
        format!("SEED={seed} ROUNDS=1 OPERATIONS={operations} CUSTOMERS={customers} FAULTS={faults} make prove")
    }

    /// Plans that try less, the smallest first.
    pub(crate) fn smaller(&self) -> Vec<Self> {
        let with = |faults: Vec<Fault>, operations, customers| Self { faults, operations, customers, ..self.clone() };
        let (operations, customers) = (self.operations, self.customers);
        let mut plans = vec![with(Vec::new(), operations, customers)];
        if self.faults.len() > 1 {
            plans.extend(self.faults.iter().map(|fault| with(vec![*fault], operations, customers)));
        }
        if operations > 500 {
            plans.push(with(self.faults.clone(), operations / 4, customers));
        }
        if customers > 4 {
            plans.push(with(self.faults.clone(), operations, customers / 4));
        }
        plans.retain(|plan| {
            plan.faults.len() < self.faults.len() || plan.operations < operations || plan.customers < customers
        });
        plans
    }
}

/// What the caller asks for, by the environment.
pub(crate) struct Wanted {
    /// The first round's; each one's is one more.
    pub(crate) seed: u64,
    pub(crate) operations: usize,
    pub(crate) rounds: Option<u64>,
    pub(crate) time: Option<Duration>,
    /// Operations of a round.
    round: usize,
    customers: usize,
    faults: Vec<Fault>,
}

/// Operations of a round, and customers, where nothing else is asked for.
const ROUND: usize = 50_000;
const CUSTOMERS: usize = 48;
/// Where nothing is asked for, what the ordinary tests do: few operations, of the first seed that has every fault.
const FEW: usize = 6_000;
const FIRST: u64 = 6;

impl Wanted {
    pub(crate) fn read() -> Result<Self, String> {
        let number = |name: &str| match std::env::var(name) {
            Ok(value) if !value.is_empty() => {
                value.parse::<u64>().map(Some).map_err(|error| format!("{name}: {error}"))
            }
            _ => Ok(None),
        };
        let count =
            |name: &str| number(name).map(|count| count.map(|count| usize::try_from(count).unwrap_or(usize::MAX)));
        let (operations, seed) = (count("OPERATIONS")?, number("SEED")?);
        let any = if operations.is_none() { FIRST } else { rand::rng().random_range(1..1_000_000) };
        let operations = operations.unwrap_or(FEW);
        let faults = match std::env::var("FAULTS") {
            Ok(names) if names == "none" => Vec::new(),
            Ok(names) if !names.is_empty() => names.split(',').map(named).collect::<Result<_, _>>()?,
            _ => Fault::ALL.to_vec(),
        };
        Ok(Self {
            seed: seed.unwrap_or(any),
            operations,
            rounds: number("ROUNDS")?,
            time: number("HOURS")?.map(|hours| Duration::from_secs(hours * 3_600)),
            round: operations.min(ROUND),
            customers: count("CUSTOMERS")?.unwrap_or(CUSTOMERS).max(1),
            faults,
        })
    }

    pub(crate) fn plan(&self, round: u64) -> Plan {
        Plan::of(self.seed + round, self)
    }
}

fn named(name: &str) -> Result<Fault, String> {
    Fault::ALL.into_iter().find(|fault| fault.name() == name).ok_or_else(|| format!("FAULTS: there is no {name}"))
}

/// How far a round has come: everybody sees it.
pub(crate) struct Progress {
    left: AtomicUsize,
    is_struck: AtomicBool,
    has_ended: AtomicBool,
}

impl Progress {
    pub(crate) fn of(plan: &Plan) -> Self {
        Self {
            left: AtomicUsize::new(plan.operations),
            is_struck: AtomicBool::new(plan.faults.is_empty()),
            has_ended: AtomicBool::new(false),
        }
    }

    /// An operation was done.
    pub(crate) fn did(&self) {
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    }

    /// Every fault has struck once, and has passed.
    pub(crate) fn struck(&self) {
        self.is_struck.store(true, Ordering::Relaxed);
    }

    /// The round is over, be it by a panic.
    pub(crate) fn end(&self) {
        self.left.store(0, Ordering::Relaxed);
        self.has_ended.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Relaxed)
    }

    /// All operations are done.
    pub(crate) fn is_done(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }

    /// Everybody may go home: nothing is left to do, and nothing strikes any more.
    pub(crate) fn is_over(&self) -> bool {
        self.is_done() && self.is_struck.load(Ordering::Relaxed)
    }
}

/// Does it when it is dropped, be it by a panic: nobody waits for who has panicked.
pub(crate) struct Finally<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for Finally<F> {
    fn drop(&mut self) {
        self.0();
    }
}
