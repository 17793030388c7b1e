//! Refunds are asked for until the customer has the money: accepted is not done.

use chrono::TimeDelta;

use super::{Round, Till};
use crate::domain::moves::Reason;
use crate::domain::payment::RefundState;
use crate::domain::{MerchantId, RefundId};
use crate::error::Error;
use crate::gateway::{GatewayError, Refunding};
use crate::service::refunds::{self, Asked, Patience};
use crate::store::refunds::Refund;
use crate::store::{payments, refunds as rows};

/// How long whoever has claimed a refund has it to themselves; longer than any call takes.
const CLAIMED_FOR: TimeDelta = TimeDelta::seconds(60);

impl Till {
    /// Asks a gateway for a refund that is due, or about one that it has taken on, and writes down what it says. Tells whether it was
    /// the refund's turn.
    ///
    /// # Errors
    /// What the database says. What goes wrong at the gateway stands in the refund's row.
    pub fn pursue(&self, round: &Round, merchant: MerchantId, id: RefundId) -> Result<bool, Error> {
        let now = self.clock.now();
        let claimed =
            self.store.write(merchant, |tx| rows::claim(tx, id, now, now + CLAIMED_FOR).map_err(Error::from))?;
        let Some(refund) = claimed else { return Ok(false) };
        let Some(asked) = self.ask_back(round, merchant, &refund)? else { return Ok(false) };
        let patience = self.patience(refund.attempts - 1);
        let now = self.clock.now();
        self.store
            .write(merchant, |tx| refunds::settle(tx, refund.number(), Some(refund.attempts), &asked, patience, now))?;
        Ok(true)
    }

    /// Nothing where the gateway has not answered others in this round.
    fn ask_back(&self, round: &Round, merchant: MerchantId, refund: &Refund) -> Result<Option<Asked>, Error> {
        let payment =
            self.store.read(merchant, |conn| payments::find(conn, merchant, refund.payment).map_err(Error::from))?;
        let no_money = || Error::Internal(format!("refund {} is of a payment without money", refund.id));
        let payment = payment.ok_or_else(no_money)?;
        let transaction = payment.transaction.as_deref().ok_or_else(no_money)?;
        let Some(gateway) = self.gateways.get(merchant, payment.gateway) else {
            return Ok(Some(Asked::Nothing(format!("there are no credentials for {}", payment.gateway))));
        };
        let whose = (merchant, payment.gateway);
        if round.silent().contains(&whose) {
            return Ok(None);
        }
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
        if matches!(standing, Err(GatewayError::Unsent(_) | GatewayError::Unclear(_))) {
            round.silent().insert(whose);
        }
        Ok(Some(standing.map_or_else(|error| Asked::Nothing(words(&error)), Asked::Stands)))
    }

    /// How a gateway is asked about a refund that it was asked about `asked` times before.
    pub(super) fn patience(&self, asked: i32) -> Patience {
        Patience { wait: self.wait(asked), failures_max: self.failures_max() }
    }

    /// How often in a row a gateway may be asked about a refund to no avail before a human is told.
    pub fn failures_max(&self) -> i32 {
        i32::try_from(self.config.refund_attempts_max).unwrap_or(i32::MAX)
    }
}

/// A gateway's words, as a column of text takes them.
fn words(error: &GatewayError) -> String {
    error.to_string().chars().filter(|c| !c.is_control()).take(300).collect()
}
