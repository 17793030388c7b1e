//! Timers: what has become due is done, whoever's it is.
//!
//! Contract: deadlines stand in rows, so a restart loses none. Any instance may run any job: due rows are found by a plain read over all
//! merchants and claimed one merchant at a time, each in a transaction of its own that locks (skipping what is locked) and looks again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::clock::Clock;
use crate::config::{self, Config};
use crate::domain::MerchantId;
use crate::domain::order::OrderState;
use crate::error::Error;
use crate::metrics::{CodeLabels, Metrics};
use crate::service;
use crate::store::moves::Overdue;
use crate::store::{Conn, QueryResult, Store, Tx, events, moves, outbox, purge, settings};

/// Rows a job looks at before it looks again.
const BATCH: i64 = 200;

/// The timers, and the thread that runs them until the value is dropped.
pub struct Jobs {
    due: Arc<Due>,
    thread: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Jobs {
    /// Starts the thread, unless `jobs.interval_ms` is 0.
    pub fn start(config: &Config, store: Arc<Store>, metrics: Arc<Metrics>, clock: Clock) -> Self {
        let due = Arc::new(Due { config: config.jobs.clone(), done_at: Mutex::default(), store, metrics });
        let interval = Duration::from_millis(config.jobs.interval_ms);
        let thread = (!interval.is_zero()).then(|| {
            let (stop, stopped) = mpsc::channel();
            let due = Arc::clone(&due);
            let run = move || {
                while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                    due.run(clock.now());
                }
            };
            let thread = std::thread::Builder::new().name("jobs".to_owned()).spawn(run);
            (stop, thread.expect("the system has a thread left at the start"))
        });
        Self { due, thread }
    }

    /// Does all that is due at `now`, and returns how much was done.
    pub fn run(&self, now: DateTime<Utc>) -> usize {
        self.due.run(now)
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.thread.take() {
            drop(stop);
            // A job that panicked has said so.
            let _ = thread.join();
        }
    }
}

struct Due {
    config: config::Jobs,
    /// When each job was last done here.
    done_at: Mutex<[Option<DateTime<Utc>>; JOBS.len()]>,
    store: Arc<Store>,
    metrics: Arc<Metrics>,
}

/// What is done when its time has come.
struct Job {
    /// What it is called in the metrics.
    name: &'static str,
    /// How long an instance waits before it looks again.
    every: TimeDelta,
    /// Does what is due and returns how much that was.
    work: fn(&Due, DateTime<Utc>) -> Result<usize, Error>,
}

const JOBS: [Job; 5] = [
    Job { name: "expire", every: TimeDelta::zero(), work: |due, now| due.time_out(OrderState::PendingPayment, now) },
    Job {
        name: "accept_timeout",
        every: TimeDelta::zero(),
        work: |due, now| due.time_out(OrderState::PendingAccept, now),
    },
    Job { name: "daily_stock", every: TimeDelta::seconds(10), work: Due::reset_stock },
    Job { name: "purge_keys", every: TimeDelta::minutes(10), work: Due::purge_keys },
    Job { name: "purge_events", every: TimeDelta::minutes(10), work: Due::purge_events },
];

impl Due {
    fn run(&self, now: DateTime<Utc>) -> usize {
        let mut done = 0;
        for (index, job) in JOBS.iter().enumerate() {
            let last = &mut self.done_at.lock().unwrap_or_else(PoisonError::into_inner)[index];
            if last.is_some_and(|last| now < last + job.every) {
                continue;
            }
            *last = Some(now);
            // One that panics has broken its own transaction, and none of the others.
            let result = catch_unwind(AssertUnwindSafe(|| (job.work)(self, now)))
                .unwrap_or_else(|_| Err(Error::Internal("it panicked".to_owned())));
            match result {
                Ok(much) => done += much,
                Err(error) => self.failed(job.name, &error),
            }
        }
        done
    }

    fn failed(&self, job: &'static str, error: &Error) {
        self.metrics.job_failures.get_or_create(&CodeLabels { code: job }).inc();
        log::warn!(job; "A timer could not do its work, and will try again: {error}");
    }

    fn time_out(&self, state: OrderState, now: DateTime<Utc>) -> Result<usize, Error> {
        let (mut done, mut after) = (0, None);
        loop {
            let overdue =
                self.store.read_any(|conn| moves::overdue(conn, state, now, after, BATCH).map_err(Error::from))?;
            for due in &overdue {
                match self.time_out_one(*due, now) {
                    Ok(is_moved) => done += usize::from(is_moved),
                    // Without a database the others would fail, too, each after its time.
                    Err(error @ Error::Unavailable(_)) => return Err(error),
                    // One that cannot be moved stands in nobody's way.
                    Err(error) => self.failed("time_out", &error),
                }
            }
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

    fn reset_stock(&self, now: DateTime<Utc>) -> Result<usize, Error> {
        let mut done = 0;
        for (merchant, day) in self.store.read_any(|conn| settings::turned(conn, now).map_err(Error::from))? {
            match self.store.write(merchant, |tx| service::stock::reset_daily(tx, day, now)) {
                Ok(is_reset) => done += usize::from(is_reset),
                Err(error @ Error::Unavailable(_)) => return Err(error),
                Err(error) => self.failed("daily_stock", &error),
            }
        }
        Ok(done)
    }

    fn purge_keys(&self, now: DateTime<Utc>) -> Result<usize, Error> {
        let before = now - TimeDelta::days(self.config.key_days.into());
        self.until_nothing_is_left(|conn| purge::with_old_keys(conn, before), |tx| purge::forget_keys(tx, before))
    }

    fn purge_events(&self, now: DateTime<Utc>) -> Result<usize, Error> {
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
