//! What gateways say of their own accord is taken: verified, written into the inbox, applied, and only then answered.

use chrono::{DateTime, TimeDelta, Utc};

use super::Till;
use crate::clock::uuid_at;
use crate::domain::money::Money;
use crate::domain::order::PayMethod;
use crate::domain::payment::{AlertKind, PaymentNumber, RefundNumber};
use crate::domain::{AlertId, MerchantId};
use crate::error::Error;
use crate::gateway::{Answer, Envelope, Receipt, RefundStanding, Says};
use crate::metrics::GatewayLabels;
use crate::service::payments::{self, Confirmation};
use crate::service::refunds::{self, Asked};
use crate::store::alerts::NewAlert;
use crate::store::notices::Notice;
use crate::store::{Tx, alerts, notices};

/// How long a notice is kept for a payment that nobody knows, before a human is told.
const KEPT_FOR: TimeDelta = TimeDelta::days(1);

/// How often it is looked whether the payment is known by now.
const LOOK_EVERY: TimeDelta = TimeDelta::minutes(1);

impl Till {
    /// Takes a notice, and answers it in the gateway's form: with success only when what it says is committed.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a gateway that the merchant does not have; what the database says, so that the notice comes again.
    pub fn take_notice(
        &self,
        merchant: MerchantId,
        method: PayMethod,
        envelope: &Envelope<'_>,
    ) -> Result<Answer, Error> {
        let gateway = self.gateways.get(merchant, method).ok_or(Error::NotFound)?;
        let notice = match gateway.read_notice(envelope) {
            Ok(notice) => notice,
            Err(error) => {
                self.count(method, "refused");
                log::warn!(merchant_id:% = merchant, gateway = method.name(); "A notice is not taken: {error}");
                return Ok(gateway.answer(false));
            }
        };
        let outcome = match notice.says {
            Says::Paid { number, receipt } => {
                if !is_of_worth(&notice.id, &number, &receipt) {
                    self.count(method, "refused");
                    log::warn!(merchant_id:% = merchant, gateway = method.name(); "A notice is not taken: it says nothing of worth");
                    return Ok(gateway.answer(false));
                }
                let Receipt { transaction, amount } = receipt;
                let money = Notice { gateway: method, id: notice.id, number, transaction, amount };
                self.take_money(merchant, &money, envelope.body)?
            }
            Says::Refund { number, standing } => self.take_refund(merchant, &number, standing)?,
            Says::Nothing => "nothing",
        };
        self.count(method, outcome);
        Ok(gateway.answer(true))
    }

    fn count(&self, method: PayMethod, outcome: &'static str) {
        self.metrics.notices.get_or_create(&GatewayLabels { gateway: method.name(), outcome }).inc();
    }

    fn take_money(&self, merchant: MerchantId, notice: &Notice, body: &[u8]) -> Result<&'static str, Error> {
        let now = self.clock.now();
        // A column of text holds no zero.
        let body = String::from_utf8_lossy(body).replace('\0', "");
        self.store.write(merchant, |tx| {
            if !notices::insert(tx, notice, &body, now + LOOK_EVERY, now)? {
                return Ok("seen_before");
            }
            let outcome = apply(tx, notice, now)?;
            if outcome.is_none() {
                log::warn!(merchant_id:% = merchant, number = notice.number; "Money came for a payment that nobody knows; it is kept");
            }
            Ok(outcome.unwrap_or("kept"))
        })
    }

    fn take_refund(&self, merchant: MerchantId, number: &str, standing: RefundStanding) -> Result<&'static str, Error> {
        let Ok(number) = number.parse::<RefundNumber>() else { return Ok("nothing") };
        // Only an end is news. Whatever else there is to know is asked for in its time.
        if !matches!(standing, RefundStanding::Succeeded | RefundStanding::Failed) {
            return Ok("nothing");
        }
        let now = self.clock.now();
        let patience = self.patience(0);
        let is_news = self
            .store
            .write(merchant, |tx| refunds::settle(tx, number, None, &Asked::Stands(standing), patience, now))?;
        Ok(if is_news { "refund" } else { "seen_before" })
    }

    /// Looks whether the payment that a notice was kept for is known by now. Tells whether the notice is settled: applied, or handed to a
    /// human.
    ///
    /// # Errors
    /// What the database says.
    pub fn settle_kept(&self, merchant: MerchantId, notice: &Notice) -> Result<bool, Error> {
        let now = self.clock.now();
        self.store.write(merchant, |tx| {
            let Some(received_at) = notices::lock_kept(tx, notice)? else { return Ok(false) };
            if apply(tx, notice, now)?.is_some() {
                return Ok(true);
            }
            if now < received_at + KEPT_FOR {
                notices::settle(tx, notice, "kept", Some(now + LOOK_EVERY))?;
                return Ok(false);
            }
            notices::settle(tx, notice, "unknown", None)?;
            let detail = format!(
                "{}: {} yuan under number {}, transaction {}",
                notice.gateway, notice.amount, notice.number, notice.transaction
            );
            let id = AlertId(uuid_at(now));
            let alert = NewAlert {
                id,
                kind: AlertKind::PaymentUnknown,
                order: None,
                payment: None,
                refund: None,
                detail: &detail,
            };
            alerts::raise(tx, &alert, now)?;
            Ok(true)
        })
    }
}

/// Whether money came that can be written down, whatever the gateway's own check let through.
fn is_of_worth(id: &str, number: &str, receipt: &Receipt) -> bool {
    receipt.amount > Money::ZERO && [id, number, &receipt.transaction].into_iter().all(is_sane)
}

/// Whether it can be a number of something: providers' have 64 characters at most.
fn is_sane(number: &str) -> bool {
    (1..=128).contains(&number.len()) && !number.contains(char::is_control)
}

/// Applies a notice that is in the inbox, and writes down what became of it; nothing where its payment is not known.
fn apply(tx: &mut Tx<'_>, notice: &Notice, now: DateTime<Utc>) -> Result<Option<&'static str>, Error> {
    let Ok(PaymentNumber(payment)) = notice.number.parse() else { return Ok(None) };
    let receipt = Receipt { transaction: notice.transaction.clone(), amount: notice.amount };
    let confirmation = Confirmation { payment, gateway: notice.gateway, receipt };
    match payments::confirm(tx, &confirmation, now) {
        Ok(settled) => {
            notices::settle(tx, notice, settled.name(), None)?;
            Ok(Some(settled.name()))
        }
        // It is looked up before anything is locked or written.
        Err(Error::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_of_worth_where_everything_about_it_is() {
        let is_fit = |id: &str, number: &str, transaction: &str, fen| {
            let receipt = Receipt { transaction: transaction.to_owned(), amount: Money::from_fen(fen) };
            is_of_worth(id, number, &receipt)
        };
        assert!(is_fit("n", "p", "t", 1));
        let long = "x".repeat(129);
        for (id, number, transaction, fen) in
            [("n", "p", "t", 0), ("", "p", "t", 1), ("n", "p\0", "t", 1), ("n", "p", "t\n", 1), ("n", "p", &long, 1)]
        {
            assert!(!is_fit(id, number, transaction, fen), "{id:?} {number:?} {transaction:?} {fen}");
        }
    }
}
