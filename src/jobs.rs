//! Timers: what has become due is done, whoever's it is.
//!
//! Contract: deadlines stand in rows, so a restart loses none. Any instance may run any job: due rows are found by a plain read over all
//! merchants and claimed one merchant at a time, each in a transaction of its own that locks (skipping what is locked) and looks again.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::clock::Clock;
use crate::config::{self, Config};
use crate::domain::order::OrderState;
use crate::error::Error;
use crate::metrics::{CodeLabels, Metrics};
use crate::service;
use crate::store::{Store, moves, purge};

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
        let due = Arc::new(Due { config: config.jobs.clone(), store, metrics });
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
    store: Arc<Store>,
    metrics: Arc<Metrics>,
}

/// A job: what it is called in the metrics, and what it does; it returns how much was done.
type Job = (&'static str, fn(&Due, DateTime<Utc>) -> Result<usize, Error>);

const JOBS: [Job; 4] = [
    ("expire", |due, now| due.time_out(OrderState::PendingPayment, now)),
    ("accept_timeout", |due, now| due.time_out(OrderState::PendingAccept, now)),
    ("daily_stock", Due::reset_stock),
    ("purge", Due::purge),
];

impl Due {
    fn run(&self, now: DateTime<Utc>) -> usize {
        JOBS.iter()
            .map(|(name, job)| {
                job(self, now).unwrap_or_else(|error| {
                    self.failed(name, &error);
                    0
                })
            })
            .sum()
    }

    fn failed(&self, job: &'static str, error: &Error) {
        self.metrics.job_failures.get_or_create(&CodeLabels { code: job }).inc();
        log::warn!(job; "A timer could not do its work, and will try again: {error}");
    }

    fn time_out(&self, state: OrderState, now: DateTime<Utc>) -> Result<usize, Error> {
        let mut done = 0;
        loop {
            let overdue = self.store.read_any(|conn| moves::overdue(conn, state, now, BATCH).map_err(Error::from))?;
            let mut moved = 0;
            for (merchant, order) in &overdue {
                match self.store.write(*merchant, |tx| service::orders::time_out(tx, *order, now)) {
                    Ok(is_moved) => moved += usize::from(is_moved),
                    Err(error) => self.failed("time_out", &error),
                }
            }
            self.metrics.orders_timed_out.inc_by(moved as u64);
            done += moved;
            // What nobody could move now is somebody else's, or for the next time.
            if overdue.len() < BATCH as usize || moved == 0 {
                return Ok(done);
            }
        }
    }

    fn reset_stock(&self, now: DateTime<Utc>) -> Result<usize, Error> {
        let _ = now;
        Ok(0)
    }

    fn purge(&self, now: DateTime<Utc>) -> Result<usize, Error> {
        let before = now - TimeDelta::days(self.config.key_days.into());
        let merchants = self.store.read_any(|conn| purge::with_old_keys(conn, before).map_err(Error::from))?;
        let mut purged = 0;
        for merchant in merchants {
            purged += self.store.write(merchant, |tx| purge::forget_keys(tx, before).map_err(Error::from))?;
        }
        Ok(purged)
    }
}
