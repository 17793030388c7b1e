//! What is asked of gateways between transactions: payments are announced, watched, closed; notices are taken; refunds are pursued.
//!
//! Contract:
//! * No gateway is called inside a transaction. A step claims what it is about in a short one, calls, and settles in another, which locks
//!   the order and looks again: whatever happened in between stands.
//! * An unclear answer decides nothing. An attempt is closed only when the gateway says that it is, or that it knows of none: such as a page
//!   that nobody has opened. That one is asked about once more when its time is over.
//! * What money came is never ignored: it pays the order, or goes back.
//! * A lease keeps two instances from asking the same at the same time. It saves calls; nothing rests on it.

mod closing;
mod notices;
mod paying;
mod refunding;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::TimeDelta;

use crate::clock::Clock;
use crate::config;
use crate::domain::money::Money;
use crate::domain::order::PayMethod;
use crate::domain::{MerchantId, PaymentId};
use crate::error::Error;
use crate::gateway::{Gateway, Gateways, Receipt, Standing};
use crate::metrics::Metrics;
use crate::service::leases::Leases;
use crate::service::payments::{self, Confirmation, Settled};
use crate::store::payments::Payment;
use crate::store::{Store, Tx};

pub use self::paying::Started;

/// How often a transaction is tried that meets attempts which must be closed first.
const ROUNDS: usize = 3;

/// One pass over everything due. A gateway that does not answer is skipped for the rest of the pass, so that it holds up nobody else's
/// payments and refunds.
#[derive(Default)]
pub struct Round(Mutex<HashSet<(MerchantId, PayMethod)>>);

impl Round {
    /// Those that did not answer.
    fn silent(&self) -> MutexGuard<'_, HashSet<(MerchantId, PayMethod)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The desk between the database and the gateways.
pub struct Till {
    store: Arc<Store>,
    gateways: Arc<Gateways>,
    leases: Arc<Leases>,
    config: config::Gateways,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Till {
    /// Nobody is called yet.
    pub fn new(
        store: Arc<Store>,
        gateways: Arc<Gateways>,
        leases: Arc<Leases>,
        config: config::Gateways,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { store, gateways, leases, config, clock, metrics }
    }

    /// As [`Store::write`]; and where an open attempt to pay stands in the way, it is closed at its gateway, and `work` runs again: on
    /// what is then so, which may be that the order is paid.
    ///
    /// # Errors
    /// What `work` returns; [`Error::PaymentInProgress`] when the customer may be paying; [`Error::GatewayUnavailable`] when the gateway
    /// does not say.
    pub fn write<T>(
        &self,
        merchant: MerchantId,
        mut work: impl FnMut(&mut Tx<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        for _ in 0..ROUNDS {
            match self.store.write(merchant, &mut work) {
                Err(Error::PaymentOpen(payment)) => self.close(merchant, payment)?,
                done => return done,
            }
        }
        Err(Error::PaymentInProgress)
    }

    fn gateway(&self, merchant: MerchantId, method: PayMethod) -> Result<Arc<dyn Gateway>, Error> {
        let none = || Error::GatewayUnavailable(format!("there are no credentials for {}", method.name()));
        self.gateways.get(merchant, method).ok_or_else(none)
    }

    /// Asks a gateway where an attempt stands, and settles what is certain. Returns what it said.
    fn ask(&self, merchant: MerchantId, payment: &Payment, gateway: &dyn Gateway) -> Result<Standing, Error> {
        let standing = gateway.query(payment.number()).map_err(|error| Error::GatewayUnavailable(error.to_string()))?;
        if let Standing::Paid(receipt) = &standing {
            if receipt.amount == Money::ZERO {
                return Err(Error::GatewayUnavailable("it says that nothing was paid".to_owned()));
            }
            self.confirm(merchant, payment.id, payment.gateway, receipt.clone())?;
        }
        Ok(standing)
    }

    fn confirm(
        &self,
        merchant: MerchantId,
        payment: PaymentId,
        gateway: PayMethod,
        receipt: Receipt,
    ) -> Result<Settled, Error> {
        let confirmation = Confirmation { payment, gateway, receipt };
        let now = self.clock.now();
        let settled = self.store.write(merchant, |tx| payments::confirm(tx, &confirmation, now))?;
        log::debug!(merchant_id:% = merchant, payment:% = payment; "A payment is {}", settled.name());
        Ok(settled)
    }

    /// How long to wait before a gateway is asked once more, having been asked `asked` times.
    fn wait(&self, asked: i32) -> TimeDelta {
        let doublings = asked.clamp(0, 20).unsigned_abs();
        let wait_ms = self.config.check_after_ms.saturating_mul(1 << doublings).min(self.config.check_max_ms);
        TimeDelta::milliseconds(i64::try_from(wait_ms).expect("at most a day"))
    }
}
