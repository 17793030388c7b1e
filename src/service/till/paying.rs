//! Attempts to pay are announced at their gateway, and watched for as long as they are open.

use chrono::{DateTime, Utc};

use super::{ROUNDS, Round, Till};
use crate::domain::moves::{Actor, Move};
use crate::domain::order::{Order, OrderState};
use crate::domain::payment::Channel;
use crate::domain::{CustomerId, MerchantId, OrderId, PaymentId};
use crate::error::Error;
use crate::gateway::{Charge, Checkout, GatewayError, Standing};
use crate::service::payments::{self as tx_payments, Ended};
use crate::store::payments::Payment;
use crate::store::{orders, payments, people};

/// An attempt to pay, and what the customer's device needs to make it: nothing where it is paid already.
#[derive(Debug)]
pub struct Started {
    /// The attempt.
    pub payment: Payment,
    /// For the device.
    pub checkout: Option<Checkout>,
}

impl Till {
    /// Has a customer's order paid: begins an attempt and announces it, or repeats the announcement of the one that is open. In another
    /// channel than the open one, that is closed first.
    ///
    /// # Errors
    /// Those of [`tx_payments::begin`] and [`Till::write`]; [`Error::Refused`] where the way to pay is not offered; [`Error::InvalidField`] for a channel that
    /// the gateway does not have; [`Error::PaymentRefused`].
    pub fn pay(
        &self,
        merchant: MerchantId,
        customer: CustomerId,
        id: OrderId,
        channel: Option<Channel>,
    ) -> Result<Started, Error> {
        let (order, subject) = self.store.read(merchant, |conn| {
            let order = orders::find(conn, merchant, customer, id)?.ok_or(Error::NotFound)?;
            Ok::<_, Error>((order, people::subject(conn, merchant, customer)?))
        })?;
        if order.state != OrderState::PendingPayment {
            return Err(Error::IllegalMove { made: Move::Pay.name(), state: order.state });
        }
        let gateway = self.gateway(merchant, order.pay_method)?;
        let channels = gateway.channels();
        let channel = channel.or(channels.first().copied());
        let Some(channel) = channel.filter(|channel| channels.contains(channel)) else {
            let offered: Vec<&str> = channels.iter().map(|channel| channel.name()).collect();
            return Err(Error::none_of("channel", &offered.join(", ")));
        };
        let payer = subject.filter(|(provider, _)| provider == order.pay_method.name()).map(|(_, id)| id);
        // A repeated announcement must say the same, so this is made of what does not change.
        let description = format!("订单 {}", &id.0.simple().to_string()[20..].to_uppercase());
        for _ in 0..ROUNDS {
            let now = self.clock.now();
            let check_at = now + self.wait(0);
            let by = Actor::Customer(customer);
            let payment = self.write(merchant, |tx| tx_payments::begin(tx, id, by, channel, check_at, now))?;
            let charge = Charge {
                number: payment.number(),
                amount: payment.amount,
                description: &description,
                channel,
                payer: payer.as_deref(),
                expires_at: payment.expires_at.unwrap_or(now),
            };
            match gateway.create(&charge) {
                Ok(checkout) => {
                    let payment = self.again(merchant, payment.id)?;
                    if payment.state.is_open() {
                        return Ok(Started { payment, checkout: Some(checkout) });
                    }
                    // It was called off before the gateway heard of it. Nobody waits for its money.
                    if let Err(error) = gateway.close(payment.number()) {
                        log::info!(merchant_id:% = merchant, payment:% = payment.id; "A payment is not wanted any more: {error}");
                    }
                }
                // It may be paid, or closed by somebody else.
                Err(GatewayError::Refused { code, message }) => {
                    log::info!(merchant_id:% = merchant, payment:% = payment.id; "A gateway refused a payment: {code} {message}");
                    let payment = self.look(merchant, &payment)?;
                    if payment.state.has_money() {
                        return Ok(Started { payment, checkout: None });
                    }
                    if payment.state.is_open() && payment.created_at == now {
                        return Err(Error::PaymentRefused { code });
                    }
                    // An older one may have been announced otherwise than it would be now.
                    self.close(merchant, payment.id)?;
                }
                Err(error) => return Err(Error::GatewayUnavailable(error.to_string())),
            }
        }
        Err(Error::PaymentInProgress)
    }

    /// Asks the gateway about one of a customer's attempts at once, unless its money is known, and returns it as it is then.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::GatewayUnavailable`].
    pub fn check(
        &self,
        merchant: MerchantId,
        customer: CustomerId,
        order: OrderId,
        id: PaymentId,
    ) -> Result<Payment, Error> {
        let payment = self.store.read(merchant, |conn| {
            orders::find(conn, merchant, customer, order)?.ok_or(Error::NotFound)?;
            let payment = payments::find(conn, merchant, id)?;
            payment.filter(|payment| payment.order == order).ok_or(Error::NotFound)
        })?;
        if payment.state.has_money() { Ok(payment) } else { self.look(merchant, &payment) }
    }

    /// Asks the gateway about an attempt, settles what is certain, and returns the attempt as it is then.
    fn look(&self, merchant: MerchantId, payment: &Payment) -> Result<Payment, Error> {
        let gateway = self.gateway(merchant, payment.gateway)?;
        if self.ask(merchant, payment, &*gateway)? == Standing::Closed {
            let id = payment.id;
            let now = self.clock.now();
            self.store.write(merchant, |tx| tx_payments::end_closing(tx, id, Ended::Closed, None, now))?;
        }
        self.again(merchant, payment.id)
    }

    fn again(&self, merchant: MerchantId, id: PaymentId) -> Result<Payment, Error> {
        self.store.read(merchant, |conn| payments::find(conn, merchant, id)?.ok_or(Error::NotFound))
    }

    /// Looks after an attempt that is open and about which the gateway has said nothing by its time: asks; and closes it where its time
    /// is over or its order does not wait for it any more. Tells whether it was its turn.
    ///
    /// # Errors
    /// [`Error::GatewayUnavailable`], [`Error::PaymentInProgress`]: it is looked after again later.
    pub fn look_after(&self, round: &Round, merchant: MerchantId, id: PaymentId) -> Result<bool, Error> {
        let now = self.clock.now();
        let claimed = self
            .store
            .write(merchant, |tx| tx_payments::claim(tx, id, |payment| self.next_check(payment, now), now))?;
        let Some((payment, order)) = claimed else { return Ok(false) };
        let whose = (merchant, payment.gateway);
        if round.silent().contains(&whose) {
            return Ok(false);
        }
        let looked = if !payment.state.is_open() {
            self.look_last(merchant, &payment)
        } else if is_over(&payment, &order, now) {
            self.close(merchant, id)
        } else {
            self.look(merchant, &payment).map(drop)
        };
        if let Err(error) = &looked {
            if matches!(error, Error::GatewayUnavailable(_)) {
                round.silent().insert(whose);
            }
            self.store.write(merchant, |tx| tx_payments::tell_if_stuck(tx, id, now))?;
        }
        looked.map(|()| true)
    }

    /// Asks once more about an attempt that was closed although its gateway had not heard of it. By now its time is over, so that what the
    /// gateway says now stays so.
    fn look_last(&self, merchant: MerchantId, payment: &Payment) -> Result<(), Error> {
        let gateway = self.gateway(merchant, payment.gateway)?;
        match self.ask(merchant, payment, &*gateway)? {
            Standing::Paid(_) => return Ok(()),
            Standing::Closed | Standing::Unknown => {}
            Standing::Open | Standing::Paying => {
                gateway.close(payment.number()).map_err(|error| Error::GatewayUnavailable(error.to_string()))?
            }
        }
        let now = self.clock.now();
        self.store.write(merchant, |tx| tx_payments::stop_asking(tx, payment.id, now))
    }

    /// When the gateway is asked again. Waits double up to the payment's end; once that is over, the order waits for an answer, and so the
    /// gateway is asked steadily.
    fn next_check(&self, payment: &Payment, now: DateTime<Utc>) -> DateTime<Utc> {
        match payment.expires_at.filter(|end| *end > now) {
            Some(end) => (now + self.wait(payment.checks)).min(end),
            None if payment.state.is_open() => now + self.wait(0),
            None => now + self.wait(payment.checks),
        }
    }
}

fn is_over(payment: &Payment, order: &Order, now: DateTime<Utc>) -> bool {
    order.state != OrderState::PendingPayment || payment.expires_at.is_none_or(|end| end <= now)
}
