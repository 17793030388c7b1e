//! The engine: takes requests to place an order and answers when their transaction is committed.
//!
//! A transaction places a *group*. Today every request is a group of one, run on the thread that asks;
//! [`commit::place_group`] does not care how many there are.

pub mod commit;

use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};

pub use self::commit::{Outcome, Point};
use crate::domain::MerchantId;
use crate::domain::placement::Placement;
use crate::error::{Error, refusal_code};
use crate::metrics::{CodeLabels, Metrics};
use crate::store::Store;

/// Called at the named points of a group's transaction. Tests freeze or break a group there.
pub type Probe = Arc<dyn Fn(Point) + Send + Sync>;

/// Places orders.
pub struct Engine {
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    probe: Option<Probe>,
}

impl Engine {
    /// An engine on `store`.
    pub fn new(store: Arc<Store>, metrics: Arc<Metrics>, probe: Option<Probe>) -> Self {
        Self { store, metrics, probe }
    }

    /// Places one order, or says why not. Blocks until the transaction is committed or given up.
    ///
    /// # Errors
    /// [`Error::Unavailable`] and [`Error::OutcomeUnknown`] when the database is away; [`Error::Database`] when it
    /// refuses the order.
    pub fn place(&self, merchant: MerchantId, placement: &Placement, now: DateTime<Utc>) -> Result<Outcome, Error> {
        let mut outcomes = self.place_group(merchant, &[placement], now)?;
        outcomes.pop().unwrap_or_else(|| Err(Error::Internal("a group of one has no outcome".to_owned())))
    }

    /// Places a group in one transaction: one outcome a request, in their order.
    ///
    /// # Errors
    /// When the group as a whole failed; then nothing of it was placed (unless [`Error::OutcomeUnknown`]).
    pub fn place_group(
        &self,
        merchant: MerchantId,
        group: &[&Placement],
        now: DateTime<Utc>,
    ) -> Result<Vec<Result<Outcome, Error>>, Error> {
        let begun = Instant::now();
        let reach = |point| {
            if let Some(probe) = &self.probe {
                probe(point);
            }
        };
        let committed = self.store.write(merchant, |tx| commit::place_group(tx, group, now, &reach))?;
        reach(Point::Committed);
        self.metrics.group_seconds.observe(begun.elapsed().as_secs_f64());
        self.count(&committed);
        Ok(committed.outcomes)
    }

    fn count(&self, committed: &commit::Group) {
        let size = u32::try_from(committed.outcomes.len()).unwrap_or(u32::MAX);
        self.metrics.group_orders.observe(f64::from(size));
        if committed.fell_back {
            self.metrics.group_fallbacks.inc();
        }
        for outcome in &committed.outcomes {
            match outcome {
                Ok(Outcome::Placed(_)) => {
                    self.metrics.orders_placed.inc();
                }
                Ok(Outcome::Repeated(_)) => {
                    self.metrics.orders_repeated.inc();
                }
                Ok(Outcome::Mismatched) | Err(_) => {}
                Ok(Outcome::Refused(refusal)) => {
                    self.metrics.orders_refused.get_or_create(&CodeLabels { code: refusal_code(refusal) }).inc();
                }
            }
        }
    }
}
