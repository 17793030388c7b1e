//! Timers: do what has become due, for every merchant.
//!
//! Contract: deadlines stand in rows, so a restart loses none. Any instance may run any job: due rows are found by a plain read over all
//! merchants and claimed one merchant at a time, each in a transaction of its own that locks (skipping what is locked) and looks again.
//! What has to ask a gateway runs in threads of its own, and several at a time: a gateway that hangs holds up no other timer, and other
//! merchants' payments for one round of calls.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use crate::clock::Clock;
use crate::config::{self, Config};
use crate::domain::MerchantId;
use crate::domain::payment::AlertKind;
use crate::error::Error;
use crate::metrics::{CodeLabels, Metrics};
use crate::service;
use crate::service::leases::{Lease, LeaseName, Leases, Owner};
use crate::service::till::{Round, Till};
use crate::store::moves::{Deadline, Overdue};
use crate::store::{
    Conn, QueryResult, Store, Tx, events, leases, measures, moves, notices, outbox, payments, purge, refunds, settings,
};

/// Rows a job looks at before it looks again.
const BATCH: i64 = 200;

/// The merchant in the leases of jobs that serve all merchants: nobody's id.
const NOBODYS: MerchantId = MerchantId(0);

/// Calls to gateways that an instance's timers make at the same time.
const CALLS: usize = 8;

/// The timers, and the threads that run them until the value is dropped.
pub struct Jobs {
    due: Arc<Due>,
    threads: Mutex<Vec<(Sender<()>, JoinHandle<()>)>>,
}

impl Jobs {
    /// Starts the threads, unless `jobs.interval_ms` is 0.
    pub fn start(
        config: &Config,
        store: Arc<Store>,
        till: Arc<Till>,
        leases: Arc<Leases>,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> Self {
        let due = Arc::new(Due {
            config: config.jobs.clone(),
            notices: TimeDelta::days(config.gateways.notice_days.into()),
            done_at: Mutex::default(),
            store,
            till,
            leases,
            metrics,
            clock: clock.clone(),
            stops: AtomicBool::new(false),
        });
        for job in &JOBS {
            drop(due.metrics.job_failures.get_or_create(&CodeLabels { code: job.name }));
        }
        let interval = Duration::from_millis(config.jobs.interval_ms);
        let threads = if interval.is_zero() { BTreeSet::new() } else { Thread::all() };
        let threads = threads.into_iter().map(|thread| {
            let (stop, stopped) = mpsc::channel();
            let (due, clock) = (Arc::clone(&due), clock.clone());
            let run = move || {
                while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                    due.run(thread, clock.now());
                }
            };
            let started = std::thread::Builder::new().name(thread.name().to_owned()).spawn(run);
            (stop, started.expect("the system has a thread left at the start"))
        });
        Self { threads: Mutex::new(threads.collect()), due }
    }

    /// Does all that is due at `now`, and returns how much was done.
    pub fn run(&self, now: DateTime<Utc>) -> usize {
        Thread::all().into_iter().map(|thread| self.due.run(thread, now)).sum()
    }

    /// Ends the threads. Calls that are under way are waited for; what else is due waits for the next start, or another instance.
    pub fn stop(&self) {
        self.due.stops.store(true, Ordering::Relaxed);
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let (stops, threads): (Vec<_>, Vec<_>) = threads.into_iter().unzip();
        drop(stops);
        for thread in threads {
            // A job that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Due {
    config: config::Jobs,
    /// For how long notices of gateways are kept.
    notices: TimeDelta,
    /// When each job was last done here.
    done_at: Mutex<[Option<DateTime<Utc>>; JOBS.len()]>,
    store: Arc<Store>,
    till: Arc<Till>,
    leases: Arc<Leases>,
    metrics: Arc<Metrics>,
    clock: Clock,
    /// No more calls are begun.
    stops: AtomicBool,
}

/// What jobs run in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Thread {
    /// Asks gateways for payments.
    Payments,
    /// Asks gateways for refunds.
    Refunds,
    /// Asks nobody but the database.
    Jobs,
    /// Looks, and does nothing.
    Measures,
}

impl Thread {
    /// All that a job runs in.
    fn all() -> BTreeSet<Self> {
        JOBS.iter().map(|job| job.thread).collect()
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Payments => "payments",
            Self::Refunds => "refunds",
            Self::Jobs => "jobs",
            Self::Measures => "measures",
        }
    }
}

/// What is done when its time has come.
struct Job {
    /// What it is called in the metrics.
    name: &'static str,
    /// What it runs in.
    thread: Thread,
    /// How long an instance waits before it looks again.
    every: TimeDelta,
    /// Whether only one instance is at it at a time.
    alone: bool,
    /// Does what is due and returns how much that was.
    work: Work,
}

type Work = fn(&Due, Turn) -> Result<usize, Error>;

/// A job's turn to do what is due.
#[derive(Clone, Copy)]
struct Turn {
    /// What the job is called in the metrics.
    job: &'static str,
    /// What is due by then is done.
    now: DateTime<Utc>,
}

/// Asks gateways, at every turn, in a thread that no other job runs in.
const fn call(name: &'static str, thread: Thread, work: Work) -> Job {
    Job { name, thread, every: TimeDelta::zero(), alone: false, work }
}

/// Looks at every turn.
const fn job(name: &'static str, work: Work) -> Job {
    Job { name, thread: Thread::Jobs, every: TimeDelta::zero(), alone: false, work }
}

/// Looks now and then, and only one instance at a time.
const fn chore(name: &'static str, every: TimeDelta, work: Work) -> Job {
    Job { name, thread: Thread::Jobs, every, alone: true, work }
}

/// Looks now and then, and each instance for itself.
const fn measure(name: &'static str, every: TimeDelta, work: Work) -> Job {
    Job { name, thread: Thread::Measures, every, alone: false, work }
}

const JOBS: [Job; 12] = [
    call("payments", Thread::Payments, Due::look_after_payments),
    call("refunds", Thread::Refunds, Due::pursue_refunds),
    job("notices", Due::settle_notices),
    job("expire", |due, turn| due.time_out(turn, Deadline::Pay)),
    job("accept_timeout", |due, turn| due.time_out(turn, Deadline::Accept)),
    job("complete", |due, turn| due.time_out(turn, Deadline::Complete)),
    chore("daily_stock", TimeDelta::seconds(10), Due::reset_stock),
    chore("purge_keys", TimeDelta::minutes(10), Due::purge_keys),
    chore("purge_events", TimeDelta::minutes(10), Due::purge_events),
    chore("purge_notices", TimeDelta::minutes(10), Due::purge_notices),
    chore("purge_leases", TimeDelta::minutes(10), Due::purge_leases),
    measure("measures", TimeDelta::seconds(10), Due::measure),
];

impl Due {
    /// Does what is due of a thread's jobs.
    fn run(&self, thread: Thread, now: DateTime<Utc>) -> usize {
        let mut done = 0;
        for (index, job) in JOBS.iter().enumerate().filter(|(_, job)| job.thread == thread) {
            if !self.turn_of(index, job.every, now) {
                continue;
            }
            let Some(_lease) = self.lease(job) else { continue };
            // One that panics has broken its own transaction, and none of the others.
            let turn = Turn { job: job.name, now };
            let result = catch_unwind(AssertUnwindSafe(|| (job.work)(self, turn)))
                .unwrap_or_else(|_| Err(Error::Internal("it panicked".to_owned())));
            match result {
                Ok(much) => done += much,
                Err(error) => self.failed(job.name, &error),
            }
        }
        done
    }

    /// What a job is done under that one instance does alone; it is done without where none can be had. None where another instance is
    /// at it.
    fn lease(&self, job: &Job) -> Option<Lease> {
        if !job.alone {
            return Some(Lease::none());
        }
        let name = LeaseName::new(NOBODYS, format!("job:{}", job.name));
        self.leases.try_acquire(&name, Owner::new()).unless_held()
    }

    /// Whether a job is to look again, which is then noted.
    fn turn_of(&self, index: usize, every: TimeDelta, now: DateTime<Utc>) -> bool {
        let last = &mut self.done_at.lock().unwrap_or_else(PoisonError::into_inner)[index];
        let is_due = last.is_none_or(|last| now >= last + every);
        if is_due {
            *last = Some(now);
        }
        is_due
    }

    fn failed(&self, job: &'static str, error: &Error) {
        self.metrics.job_failures.get_or_create(&CodeLabels { code: job }).inc();
        log::warn!(job; "A timer could not do its work, and will try again: {error}");
    }

    /// Does a step for each item and returns for how many it was their turn. One that fails stands in nobody's way.
    fn one_by_one<T>(
        &self,
        job: &'static str,
        items: &[T],
        step: impl Fn(&T) -> Result<bool, Error>,
    ) -> Result<usize, Error> {
        let mut done = 0;
        for item in items {
            match step(item) {
                Ok(is_done) => done += usize::from(is_done),
                // Without a database the others would fail, too, each after its time.
                Err(error @ Error::Unavailable(_)) => return Err(error),
                Err(error) => self.failed(job, &error),
            }
        }
        Ok(done)
    }

    fn time_out(&self, Turn { job, now }: Turn, deadline: Deadline) -> Result<usize, Error> {
        let (mut done, mut after) = (0, None);
        loop {
            let overdue =
                self.store.read_any(|conn| moves::overdue(conn, deadline, now, after, BATCH).map_err(Error::from))?;
            done += self.one_by_one(job, &overdue, |due| self.time_out_one(*due, now))?;
            after = overdue.last().copied();
            if after.is_none() {
                self.metrics.orders_timed_out.inc_by(done as u64);
                return Ok(done);
            }
        }
    }

    fn time_out_one(&self, due: Overdue, now: DateTime<Utc>) -> Result<bool, Error> {
        let time_out = || self.store.write(due.merchant, |tx| service::orders::time_out(tx, due.order, now));
        catch_unwind(AssertUnwindSafe(time_out))
            .unwrap_or_else(|_| Err(Error::Internal(format!("order {} panicked", due.order))))
    }

    fn look_after_payments(&self, Turn { job, now }: Turn) -> Result<usize, Error> {
        let due = self.store.read_any(|conn| payments::due(conn, now, BATCH).map_err(Error::from))?;
        let round = Round::default();
        self.side_by_side(job, &due, |(merchant, payment)| self.till.look_after(&round, *merchant, *payment))
    }

    fn pursue_refunds(&self, Turn { job, now }: Turn) -> Result<usize, Error> {
        let due = self.store.read_any(|conn| refunds::due(conn, now, BATCH).map_err(Error::from))?;
        let round = Round::default();
        self.side_by_side(job, &due, |(merchant, refund)| self.till.pursue(&round, *merchant, *refund))
    }

    /// Does `step` for each item, [`CALLS`] at a time, and returns for how many there was something to do. A step that fails, or panics,
    /// has set the item's next turn beforehand.
    fn side_by_side<T: Sync>(
        &self,
        job: &'static str,
        items: &[T],
        step: impl Fn(&T) -> Result<bool, Error> + Sync,
    ) -> Result<usize, Error> {
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = || {
            while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed))
                && !self.stops.load(Ordering::Relaxed)
            {
                match catch_unwind(AssertUnwindSafe(|| step(item))) {
                    Ok(Ok(is_done)) => _ = done.fetch_add(is_done.into(), Ordering::Relaxed),
                    // The customer is at it; it is looked after again later.
                    Ok(Err(Error::PaymentInProgress)) => {}
                    Ok(Err(error)) => self.failed(job, &error),
                    Err(_) => self.failed(job, &Error::Internal("it panicked".to_owned())),
                }
            }
        };
        std::thread::scope(|scope| (0..CALLS.min(items.len())).for_each(|_| _ = scope.spawn(work)));
        Ok(done.into_inner())
    }

    fn settle_notices(&self, Turn { job, now }: Turn) -> Result<usize, Error> {
        let kept = self.store.read_any(|conn| notices::kept(conn, now, BATCH).map_err(Error::from))?;
        self.one_by_one(job, &kept, |(merchant, notice)| self.till.settle_kept(*merchant, notice))
    }

    /// Tells the metrics what stands in the database. Nothing of it is done work.
    fn measure(&self, Turn { now, .. }: Turn) -> Result<usize, Error> {
        let (lags, open, kept, skew) = self.store.read_any(|conn| {
            let (asked, begun) = (self.clock.now(), Instant::now());
            let there = measures::time(conn)?;
            // It was read in the middle between asking and hearing of it.
            let here = asked + begun.elapsed() / 2;
            let (lags, open) = (measures::lags(conn, now)?, measures::open_alerts(conn)?);
            Ok::<_, Error>((lags, open, measures::kept_notices(conn)?, there - here))
        })?;
        let of = |found: &[(String, i64)], name: &str| found.iter().find(|(found, _)| found == name).map_or(0, |f| f.1);
        for work in measures::WORKS {
            self.metrics.lags(work, of(&lags, work));
        }
        for kind in AlertKind::ALL {
            let code = kind.name();
            self.metrics.alerts_open.get_or_create(&CodeLabels { code }).set(of(&open, code));
        }
        self.metrics.notices_kept.set(kept);
        self.metrics.measured(now, skew.num_microseconds().unwrap_or(i64::MAX));
        Ok(0)
    }

    fn purge_notices(&self, Turn { now, .. }: Turn) -> Result<usize, Error> {
        let before = now - self.notices;
        self.until_nothing_is_left(
            |conn| notices::merchants_to_purge(conn, before, BATCH),
            |tx| notices::purge(tx, before, BATCH),
        )
    }

    fn purge_leases(&self, Turn { now, .. }: Turn) -> Result<usize, Error> {
        let before = now - TimeDelta::days(1);
        self.until_nothing_is_left(|conn| leases::with_expired(conn, before), |tx| leases::purge(tx, before))
    }

    fn reset_stock(&self, Turn { job, now }: Turn) -> Result<usize, Error> {
        let turned = self.store.read_any(|conn| settings::turned(conn, now).map_err(Error::from))?;
        self.one_by_one(job, &turned, |(merchant, day)| {
            self.store.write(*merchant, |tx| service::stock::reset_daily(tx, *day, now))
        })
    }

    fn purge_keys(&self, Turn { now, .. }: Turn) -> Result<usize, Error> {
        let before = now - TimeDelta::days(self.config.key_days.into());
        self.until_nothing_is_left(|conn| purge::with_old_keys(conn, before), |tx| purge::forget_keys(tx, before))
    }

    fn purge_events(&self, Turn { now, .. }: Turn) -> Result<usize, Error> {
        let before = now - TimeDelta::days(self.config.event_days.into());
        self.until_nothing_is_left(
            |conn| events::merchants_to_purge(conn, before, BATCH),
            |tx| events::purge_events(tx, before, BATCH),
        )?;
        self.until_nothing_is_left(
            |conn| events::merchants_to_purge(conn, before, BATCH),
            |tx| outbox::purge_outbox(tx, before, BATCH),
        )
    }

    /// Does a step for each merchant that is found, again and again, until a round does nothing. Returns how much was done.
    fn until_nothing_is_left(
        &self,
        find: impl Fn(&mut Conn) -> QueryResult<Vec<MerchantId>>,
        step: impl Fn(&mut Tx<'_>) -> QueryResult<usize>,
    ) -> Result<usize, Error> {
        let mut done = 0;
        loop {
            let mut of_round = 0;
            for merchant in self.store.read_any(|conn| find(conn).map_err(Error::from))? {
                of_round += self.store.write(merchant, |tx| step(tx).map_err(Error::from))?;
            }
            if of_round == 0 {
                return Ok(done);
            }
            done += of_round;
        }
    }
}
