//! Cancel against pay: before an order is called off, the attempt to pay it is closed where the money would come in.

use std::time::Duration;

use super::Till;
use crate::domain::{MerchantId, PaymentId};
use crate::error::Error;
use crate::gateway::Standing;
use crate::service::leases::{LeaseName, Owner};
use crate::service::payments::{self, Ended};
use crate::store::payments as rows;

/// How long whoever wants to close an attempt waits for somebody else who does.
const PATIENCE: Duration = Duration::from_secs(2);

impl Till {
    /// Closes an open attempt at its gateway, unless money came first, which is then settled. Afterwards it is not open any more.
    ///
    /// Only a plain success of the close is believed. Anything else is decided by a query, for the same refusal stands for a payment that
    /// was made, one that is closed, and one that nobody has heard of.
    ///
    /// # Errors
    /// [`Error::PaymentInProgress`] when the customer may be paying, [`Error::GatewayUnavailable`] when the gateway does not say:
    /// the attempt is open as before. [`Error::LeaseLost`] when somebody else is further.
    pub(super) fn close(&self, merchant: MerchantId, id: PaymentId) -> Result<(), Error> {
        let name = LeaseName::new(merchant, format!("close:{id}"));
        let lease = self.leases.acquire(&name, Owner::new(), PATIENCE).unless_held().ok_or(Error::LeaseLost)?;
        let fence = lease.fence().map(|fence| fence.0);
        let method = self.store.read(merchant, |conn| {
            rows::find(conn, merchant, id)?.map(|payment| payment.gateway).ok_or(Error::NotFound)
        })?;
        let gateway = self.gateway(merchant, method)?;
        let Some(payment) = self.store.write(merchant, |tx| payments::begin_closing(tx, id, fence))? else {
            return Ok(());
        };
        let standing = match gateway.close(payment.number()) {
            Ok(()) => Standing::Closed,
            Err(error) => {
                log::info!(merchant_id:% = merchant, payment:% = id; "A gateway did not close a payment, and is asked: {error}");
                self.ask(merchant, &payment, &*gateway)?
            }
        };
        let ended = match standing {
            Standing::Paid(_) => return Ok(()),
            Standing::Closed => Ended::Closed,
            // What the gateway does not know has not been paid. Should it hear of it later, the money goes back.
            Standing::Unknown => Ended::Unheard,
            Standing::Open | Standing::Paying => Ended::StillOpen,
        };
        let now = self.clock.now();
        self.store.write(merchant, |tx| payments::end_closing(tx, id, ended, fence, now))?;
        if ended == Ended::StillOpen { Err(Error::PaymentInProgress) } else { Ok(()) }
    }
}
