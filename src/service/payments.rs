//! Money that comes in and goes back.
//!
//! Contract: a payment counts once, by the gateway's own number for it. What does not fit the order (too late, a second one, another
//! amount) is written down and owed back; the order stays as it is.

use chrono::{DateTime, Utc};

use super::credits;
use super::orders::{accepting, lock, merchant, read_again, step};
use crate::clock::uuid_at;
use crate::domain::money::Money;
use crate::domain::moves::{Actor, Move, Why};
use crate::domain::order::{Order, OrderState};
use crate::domain::{OrderId, PaymentId, RefundId};
use crate::error::Error;
use crate::store::moves::{Changes, Made};
use crate::store::payments::{Payment, Refund};
use crate::store::{Tx, moves, payments};

/// What a gateway has confirmed, verified by whoever calls.
#[derive(Clone, Debug)]
pub struct Confirmation {
    /// The order that was paid.
    pub order: OrderId,
    /// The gateway's name.
    pub gateway: &'static str,
    /// Its own number for the transaction.
    pub transaction: String,
    /// Yuan that came in.
    pub amount: Money,
}

/// What became of a confirmed payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The order is paid by it.
    Paid,
    /// It was known already; nothing was done.
    KnownBefore,
    /// The order was called off before: the money is owed back.
    Late,
    /// The order was paid before: the money is owed back.
    Duplicate,
    /// It is another amount, or gateway, than the order's: the money is owed back.
    Mismatch,
}

impl Settled {
    const fn state(self) -> &'static str {
        match self {
            Self::Paid | Self::KnownBefore => "paid",
            Self::Late => "paid_late",
            Self::Duplicate => "paid_duplicate",
            Self::Mismatch => "paid_mismatch",
        }
    }
}

/// Applies a confirmed payment, once, however often it is told of.
///
/// # Errors
/// [`Error::NotFound`] when the merchant has no such order; what the database says.
pub fn confirm(tx: &mut Tx<'_>, confirmation: &Confirmation, now: DateTime<Utc>) -> Result<Settled, Error> {
    let order = lock(tx, confirmation.order, Actor::Gateway)?;
    if payments::find_transaction(tx, confirmation.gateway, &confirmation.transaction)?.is_some() {
        return Ok(Settled::KnownBefore);
    }
    let earlier = payments::lock(tx, order.id)?;
    let fits = order.pay_method.name() == confirmation.gateway && order.total == confirmation.amount;
    let settled = match order.state {
        OrderState::Cancelled | OrderState::Rejected => Settled::Late,
        _ if counted(&earlier).is_some() => Settled::Duplicate,
        OrderState::PendingPayment if fits => Settled::Paid,
        _ => Settled::Mismatch,
    };
    let payment = Payment {
        id: PaymentId(uuid_at(now)),
        order: order.id,
        gateway: confirmation.gateway.to_owned(),
        state: settled.state().to_owned(),
        amount: confirmation.amount,
        transaction: Some(confirmation.transaction.clone()),
        settled_at: Some(now),
    };
    payments::insert(tx, &payment, &Actor::Gateway.to_string(), now)?;
    if settled == Settled::Paid {
        mark_paid(tx, &order, now)?;
    } else {
        let refund = Refund {
            id: RefundId(uuid_at(now)),
            payment: payment.id,
            state: String::new(),
            amount: payment.amount,
            reason: "payment_not_wanted".to_owned(),
            note: None,
            created_at: now,
        };
        owe_back(tx, &payment, refund, Actor::Gateway, now)?;
    }
    Ok(settled)
}

/// The order's part of a payment that fits it: credits, state, and acceptance where the merchant accepts by itself.
fn mark_paid(tx: &mut Tx<'_>, order: &Order, now: DateTime<Utc>) -> Result<(), Error> {
    let merchant = merchant(tx)?;
    credits::credit_payment(tx, order, &merchant, now)?;
    let to = step(order, Move::Pay, Actor::Gateway)?;
    let paid = Made { made: Move::Pay, to, by: Actor::Gateway, why: None };
    let accept_by = Some(now + merchant.time_to_accept());
    moves::advance(tx, order, &paid, &Changes { paid_at: Some(now), accept_by, ..Changes::default() }, now)?;
    if merchant.auto_accept {
        let order = read_again(tx, order.id)?;
        let to = step(&order, Move::Accept, Actor::Gateway)?;
        let accepted = Made { made: Move::Accept, to, by: Actor::Gateway, why: None };
        let changes = accepting(tx, &merchant, now)?;
        moves::advance(tx, &order, &accepted, &changes, now)?;
    }
    Ok(())
}

/// Writes down the cash that was taken in for an order: its one payment, under the order's own number.
pub(super) fn take_cash(tx: &mut Tx<'_>, order: &Order, by: Actor, now: DateTime<Utc>) -> Result<(), Error> {
    payments::lock(tx, order.id)?;
    let payment = Payment {
        id: PaymentId(uuid_at(now)),
        order: order.id,
        gateway: "cash".to_owned(),
        state: "paid".to_owned(),
        amount: order.total,
        transaction: Some(order.id.to_string()),
        settled_at: Some(now),
    };
    Ok(payments::insert(tx, &payment, &by.to_string(), now)?)
}

/// The payment that an order counts as paid by, if it is.
pub(super) fn counted(payments: &[Payment]) -> Option<&Payment> {
    payments.iter().find(|payment| payment.state == "paid")
}

/// What of it went back, or is owed.
pub(super) fn gone_back(tx: &mut Tx<'_>, order: OrderId, payment: Option<&Payment>) -> Result<Money, Error> {
    let merchant = tx.merchant();
    let refunds = payments::refunds(tx.conn(), merchant, order)?;
    let of_it = refunds.iter().filter(|refund| payment.is_some_and(|payment| payment.id == refund.payment));
    Ok(of_it.map(|refund| refund.amount).sum())
}

/// An order's money around a refund.
pub(super) struct PaidBack {
    /// What was paid for it.
    pub(super) paid: Money,
    /// What had gone back, or was owed, before.
    pub(super) before: Money,
    /// What goes back now.
    pub(super) refunded: Money,
    /// The refund, if there is one.
    pub(super) refund: Option<RefundId>,
}

impl PaidBack {
    /// What was left of the money before.
    pub(super) fn left(&self) -> Money {
        self.paid.minus(self.before).unwrap_or_default()
    }
}

/// Owes back `amount` of what was paid for a locked order, or all that is left. Locks its payments.
///
/// # Errors
/// [`Error::RefundTooLarge`].
pub(super) fn pay_back(
    tx: &mut Tx<'_>,
    order: &Order,
    amount: Option<Money>,
    id: RefundId,
    by: Actor,
    why: &Why,
    now: DateTime<Utc>,
) -> Result<PaidBack, Error> {
    let of_order = payments::lock(tx, order.id)?;
    let payment = counted(&of_order);
    let paid = payment.map_or(Money::ZERO, |payment| payment.amount);
    let before = gone_back(tx, order.id, payment)?;
    let left = paid.minus(before).expect("no more goes back than came in");
    let refunded = amount.unwrap_or(left);
    if refunded > left {
        return Err(Error::RefundTooLarge { amount: refunded, left });
    }
    let refund = match payment.filter(|_| refunded > Money::ZERO) {
        Some(payment) => {
            let note = Some(why.note.clone()).filter(|note| !note.is_empty());
            let refund = Refund {
                id,
                payment: payment.id,
                state: String::new(),
                amount: refunded,
                reason: why.reason.name().to_owned(),
                note,
                created_at: now,
            };
            owe_back(tx, payment, refund, by, now)?;
            Some(id)
        }
        None => None,
    };
    Ok(PaidBack { paid, before, refunded, refund })
}

/// Writes a refund: due at a gateway, done at once in cash.
fn owe_back(
    tx: &mut Tx<'_>,
    payment: &Payment,
    mut refund: Refund,
    by: Actor,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let is_cash = payment.gateway == "cash";
    refund.state = if is_cash { "succeeded" } else { "due" }.to_owned();
    payments::insert_refund(tx, payment.order, &refund, &by.to_string(), is_cash.then_some(now))?;
    Ok(())
}
