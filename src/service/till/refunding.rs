//! Refunds are asked for until the customer has the money: accepted is not done.

use chrono::TimeDelta;

use super::Till;
use crate::domain::moves::Reason;
use crate::domain::payment::RefundState;
use crate::domain::{MerchantId, RefundId};
use crate::error::Error;
use crate::gateway::Refunding;
use crate::service::refunds::{self, Asked, Patience};
use crate::store::refunds::Refund;
use crate::store::{payments, refunds as rows};

/// The least wait before a refund is asked for again: what WeChat Pay demands.
const ASK_AGAIN: TimeDelta = TimeDelta::seconds(60);

/// How long whoever has claimed a refund has it to themselves; longer than any call takes.
const CLAIMED_FOR: TimeDelta = TimeDelta::seconds(60);

impl Till {
    /// Asks a gateway for a refund that is due, or about one that it has taken on, and writes down what it says. Tells whether it was
    /// the refund's turn.
    ///
    /// # Errors
    /// What the database says. What goes wrong at the gateway stands in the refund's row.
    pub fn pursue(&self, merchant: MerchantId, id: RefundId) -> Result<bool, Error> {
        let now = self.clock.now();
        let claimed =
            self.store.write(merchant, |tx| rows::claim(tx, id, now, now + CLAIMED_FOR).map_err(Error::from))?;
        let Some(refund) = claimed else { return Ok(false) };
        let asked = self.ask_back(merchant, &refund)?;
        let is_due = refund.state == RefundState::Due;
        let attempts_max = i32::try_from(self.config.refund_attempts_max).unwrap_or(i32::MAX);
        let wait = self.wait(refund.attempts - 1);
        let patience = Patience {
            wait: if is_due && matches!(asked, Asked::Nothing(_)) { wait.max(ASK_AGAIN) } else { wait },
            is_last: is_due && refund.attempts >= attempts_max,
        };
        let now = self.clock.now();
        self.store
            .write(merchant, |tx| refunds::settle(tx, refund.number(), Some(refund.attempts), &asked, patience, now))?;
        Ok(true)
    }

    fn ask_back(&self, merchant: MerchantId, refund: &Refund) -> Result<Asked, Error> {
        let payment =
            self.store.read(merchant, |conn| payments::find(conn, merchant, refund.payment).map_err(Error::from))?;
        let no_money = || Error::Internal(format!("refund {} is of a payment without money", refund.id));
        let payment = payment.ok_or_else(no_money)?;
        let transaction = payment.transaction.as_deref().ok_or_else(no_money)?;
        let Some(gateway) = self.gateways.get(merchant, payment.gateway) else {
            return Ok(Asked::Nothing(format!("there are no credentials for {}", payment.gateway)));
        };
        let reason = refund.reason.parse().unwrap_or(Reason::Other).words().0;
        let refunding = Refunding {
            number: refund.number(),
            payment: payment.number(),
            transaction,
            amount: refund.amount,
            paid: payment.amount,
            reason,
        };
        let standing = match refund.state {
            RefundState::Submitted => gateway.query_refund(&refunding),
            _ => gateway.refund(&refunding),
        };
        Ok(standing.map_or_else(|error| Asked::Nothing(error.to_string()), Asked::Stands))
    }
}
