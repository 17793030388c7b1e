//! Money that comes in, as far as the database goes: attempts are begun, closed, and settled by what a gateway has confirmed.
//!
//! Contract: a payment counts once, by the gateway's own number for it. What does not fit the order (too late, a second one, another
//! amount) is written down and owed back; the order stays as it is. Whoever talks to gateways is `till`.

use chrono::{DateTime, TimeDelta, Utc};

use super::credits;
use super::orders::{lock, merchant, read_again, step, take_on};
use super::refunds::owe_back;
use crate::clock::uuid_at;
use crate::domain::moves::{Actor, Move, Reason};
use crate::domain::order::{Order, OrderState, PayMethod};
use crate::domain::payment::{AlertKind, Channel, PaymentState};
use crate::domain::{AlertId, OrderId, PaymentId};
use crate::error::Error;
use crate::gateway::Receipt;
use crate::store::alerts::NewAlert;
use crate::store::moves::{Changes, Made};
use crate::store::payments::Payment;
use crate::store::{Tx, alerts, moves, payments};

/// How long before the order's own deadline the gateway stops taking money: a payment in the last second shall not race it.
const MARGIN: TimeDelta = TimeDelta::seconds(10);

/// How long after its deadline the gateway is asked once more about an attempt that was closed although the gateway had not heard of it.
const LAST_LOOK: TimeDelta = TimeDelta::minutes(1);

/// How long after its end an attempt may be open before a human is told.
const STUCK_AFTER: TimeDelta = TimeDelta::minutes(30);

/// How many attempts there may be to pay one order. Each is asked about and closed at the gateway, in the time of all merchants.
const ATTEMPTS_MAX: usize = 10;

/// Begins an attempt to pay an order, or finds the one that is open.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::IllegalMove`] for an order that does not wait for a payment; [`Error::PaymentTimeOver`];
/// [`Error::TooManyPayments`] after ten; [`Error::PaymentOpen`] when another attempt stands in the way: one in another channel, or one that is being closed.
pub fn begin(
    tx: &mut Tx<'_>,
    id: OrderId,
    by: Actor,
    channel: Channel,
    check_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Payment, Error> {
    let order = lock(tx, id, by)?;
    if order.state != OrderState::PendingPayment {
        return Err(Error::IllegalMove { made: Move::Pay.name(), state: order.state });
    }
    let expires_at = order.pay_by.map(|by| by - MARGIN).filter(|at| *at > now).ok_or(Error::PaymentTimeOver)?;
    let earlier = payments::lock(tx, id)?;
    let open = earlier.iter().find(|payment| payment.state.is_open());
    if let Some(open) = open.filter(|open| open.state == PaymentState::Pending && open.channel == Some(channel)) {
        return Ok(open.clone());
    }
    if earlier.len() >= ATTEMPTS_MAX {
        return Err(Error::TooManyPayments { payments_max: ATTEMPTS_MAX });
    }
    if let Some(open) = open {
        return Err(Error::PaymentOpen(open.id));
    }
    let attempt = PaymentId(uuid_at(now));
    let payment = Payment {
        id: attempt,
        attempt,
        order: id,
        gateway: order.pay_method,
        state: PaymentState::Pending,
        channel: Some(channel),
        amount: order.total,
        transaction: None,
        created_at: now,
        expires_at: Some(expires_at),
        check_at: Some(check_at.min(expires_at)),
        checks: 0,
        settled_at: None,
    };
    payments::insert(tx, &payment, &by.to_string())?;
    Ok(payment)
}

/// Notes that an open attempt is about to be closed at its gateway, under the token of a lease where there is one, and reads it. Nothing
/// where it is not open any more.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::LeaseLost`] when somebody with a greater token has it in hand.
pub fn begin_closing(tx: &mut Tx<'_>, id: PaymentId, fence: Option<i64>) -> Result<Option<Payment>, Error> {
    let payment = lock_one(tx, id)?;
    if !payment.state.is_open() {
        return Ok(None);
    }
    if payments::turn(tx, id, PaymentState::Closing, fence)? { Ok(Some(payment)) } else { Err(Error::LeaseLost) }
}

/// What became of closing an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The customer may still pay.
    StillOpen,
    /// No money can come.
    Closed,
    /// The gateway has not heard of it. Should it yet, before the attempt's time is over, money may come: it is asked once more then.
    Unheard,
}

/// Notes what became of closing an attempt. One that money came for in the meantime stays as it is.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::LeaseLost`] when somebody with a greater token has it in hand.
pub fn end_closing(
    tx: &mut Tx<'_>,
    id: PaymentId,
    ended: Ended,
    fence: Option<i64>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let payment = lock_one(tx, id)?;
    if !payment.state.is_open() {
        return Ok(());
    }
    let to = if ended == Ended::StillOpen { PaymentState::Pending } else { PaymentState::Closed };
    if !payments::turn(tx, id, to, fence)? {
        return Err(Error::LeaseLost);
    }
    match ended {
        Ended::StillOpen => {}
        Ended::Closed => stop_asking(tx, id, now)?,
        Ended::Unheard => payments::check_again(tx, id, payment.expires_at.map(|end| end + LAST_LOOK))?,
    }
    Ok(())
}

/// Gives up an attempt that is open long after its end, on the word of a human: its order is called off then, and what money should
/// have come goes back. The gateway is asked about it once more.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::PaymentInProgress`] for one that is not stuck.
pub fn give_up(tx: &mut Tx<'_>, id: PaymentId, by: Actor, now: DateTime<Utc>) -> Result<Payment, Error> {
    let payment = lock_one(tx, id)?;
    if !is_stuck(&payment, now) {
        return Err(Error::PaymentInProgress);
    }
    payments::turn(tx, id, PaymentState::Closed, None)?;
    payments::check_again(tx, id, Some(now + STUCK_AFTER))?;
    alerts::resolve_about(tx, id.0, &by.to_string(), now)?;
    Ok(Payment { state: PaymentState::Closed, ..payment })
}

/// Notes that an attempt is closed for certain, so that its gateway is not to be asked again, and no human either.
///
/// # Errors
/// What the database says.
pub fn stop_asking(tx: &mut Tx<'_>, id: PaymentId, now: DateTime<Utc>) -> Result<(), Error> {
    payments::check_again(tx, id, None)?;
    Ok(alerts::resolve_about(tx, id.0, &Actor::Gateway.to_string(), now)?)
}

/// Takes an attempt in hand that the gateway is to be asked about by `now`, and says when the next time is. Returns it as it was, and
/// its order. Nothing where it is not to be asked about any more, or somebody else has it in hand.
///
/// # Errors
/// [`Error::NotFound`].
pub fn claim(
    tx: &mut Tx<'_>,
    id: PaymentId,
    next: impl Fn(&Payment) -> DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Option<(Payment, Order)>, Error> {
    let (payment, order) = lock_with_order(tx, id)?;
    if payment.check_at.is_none_or(|at| at > now) {
        return Ok(None);
    }
    payments::check_again(tx, id, Some(next(&payment)))?;
    Ok(Some((payment, order)))
}

/// Tells a human of an attempt that its gateway could not be brought to say the end of, long after it. One that was given up meanwhile, or that
/// money came for, is not stuck any more.
///
/// # Errors
/// [`Error::NotFound`].
pub fn tell_if_stuck(tx: &mut Tx<'_>, id: PaymentId, now: DateTime<Utc>) -> Result<(), Error> {
    let payment = lock_one(tx, id)?;
    if is_stuck(&payment, now) && !alerts::is_raised(tx, AlertKind::PaymentStuck, payment.id.0)? {
        let alert = NewAlert {
            id: AlertId(uuid_at(now)),
            kind: AlertKind::PaymentStuck,
            order: Some(payment.order),
            payment: Some(payment.id),
            refund: None,
            detail: "the gateway neither closes it nor says that it is closed",
        };
        alerts::raise(tx, &alert, now)?;
    }
    Ok(())
}

/// Whether an attempt is open long after its end, so that its order waits.
fn is_stuck(payment: &Payment, now: DateTime<Utc>) -> bool {
    payment.state.is_open() && payment.expires_at.is_some_and(|end| end + STUCK_AFTER <= now)
}

fn lock_one(tx: &mut Tx<'_>, id: PaymentId) -> Result<Payment, Error> {
    lock_with_order(tx, id).map(|(payment, _)| payment)
}

/// Locks the order of an attempt, then its payments, and returns both as they are then.
fn lock_with_order(tx: &mut Tx<'_>, id: PaymentId) -> Result<(Payment, Order), Error> {
    let merchant = tx.merchant();
    let payment = payments::find(tx.conn(), merchant, id)?.ok_or(Error::NotFound)?;
    let order = moves::lock(tx, payment.order)?.ok_or(Error::NotFound)?;
    let payment = payments::lock(tx, order.id)?.into_iter().find(|locked| locked.id == id).ok_or(Error::NotFound)?;
    Ok((payment, order))
}

/// What a gateway has confirmed, verified by whoever calls.
#[derive(Clone, Debug)]
pub struct Confirmation {
    /// The attempt that money came for.
    pub payment: PaymentId,
    /// The gateway that says so.
    pub gateway: PayMethod,
    /// The money.
    pub receipt: Receipt,
}

/// What became of a confirmed payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It was known already; nothing was done.
    KnownBefore,
    /// The payment is in this state now: the order is paid by it, or the money is owed back.
    Now(PaymentState),
}

impl Settled {
    /// The name it is stored and counted under.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KnownBefore => "known_before",
            Self::Now(state) => state.name(),
        }
    }
}

/// Applies a confirmed payment, once, however often it is told of.
///
/// # Errors
/// [`Error::NotFound`] when the merchant has no such payment; what the database says.
pub fn confirm(tx: &mut Tx<'_>, confirmation: &Confirmation, now: DateTime<Utc>) -> Result<Settled, Error> {
    let Confirmation { payment: id, gateway, receipt } = confirmation;
    let merchant = tx.merchant();
    let attempt = payments::find(tx.conn(), merchant, *id)?.ok_or(Error::NotFound)?;
    let order = lock(tx, attempt.order, Actor::Gateway)?;
    if payments::find_transaction(tx, *gateway, &receipt.transaction)?.is_some() {
        return Ok(Settled::KnownBefore);
    }
    let earlier = payments::lock(tx, order.id)?;
    let attempt = earlier.iter().find(|payment| payment.id == *id).ok_or(Error::NotFound)?;
    let fits = attempt.gateway == *gateway && order.pay_method == *gateway && order.total == receipt.amount;
    let state = PaymentState::settled(order.state, counted(&earlier).is_some(), fits);
    let payment = if attempt.state.has_money() || attempt.gateway != *gateway {
        // A second transaction under a number that has its money: a payment of its own.
        let second = Payment {
            id: PaymentId(uuid_at(now)),
            attempt: *id,
            order: order.id,
            gateway: *gateway,
            state,
            channel: None,
            amount: receipt.amount,
            transaction: Some(receipt.transaction.clone()),
            created_at: now,
            expires_at: None,
            check_at: None,
            checks: 0,
            settled_at: Some(now),
        };
        payments::insert(tx, &second, &Actor::Gateway.to_string())?;
        second
    } else {
        payments::take_money(tx, *id, state, &receipt.transaction, receipt.amount, now)?;
        alerts::resolve_about(tx, id.0, &Actor::Gateway.to_string(), now)?;
        Payment { state, amount: receipt.amount, ..attempt.clone() }
    };
    let unwanted = match state {
        PaymentState::Paid => {
            // Another attempt has no order to pay any more.
            for other in earlier.iter().filter(|other| other.state.is_open() && other.id != *id) {
                payments::check_again(tx, other.id, Some(now))?;
            }
            mark_paid(tx, &order, now)?;
            return Ok(Settled::Now(state));
        }
        PaymentState::PaidLate => AlertKind::PaymentLate,
        PaymentState::PaidDuplicate => AlertKind::PaymentDuplicate,
        PaymentState::PaidMismatch => AlertKind::PaymentMismatch,
        PaymentState::Pending | PaymentState::Closing | PaymentState::Closed => {
            return Err(Error::Internal(format!("money made payment {id} {state}")));
        }
    };
    let refund = owe_back(tx, &payment, payment.amount, None, Actor::Gateway, &Reason::PaymentNotWanted.into(), now)?;
    let detail = format!("{} of {} yuan", receipt.amount, order.total);
    let alert = NewAlert {
        id: AlertId(uuid_at(now)),
        kind: unwanted,
        order: Some(order.id),
        payment: Some(payment.id),
        refund: Some(refund),
        detail: &detail,
    };
    alerts::raise(tx, &alert, now)?;
    Ok(Settled::Now(state))
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
        take_on(tx, &order, Actor::Gateway, None, now)?;
    }
    Ok(())
}

/// Writes down the cash that was taken in for an order: its one payment, under the order's own number.
pub(super) fn take_cash(tx: &mut Tx<'_>, order: &Order, by: Actor, now: DateTime<Utc>) -> Result<(), Error> {
    payments::lock(tx, order.id)?;
    let id = PaymentId(uuid_at(now));
    let payment = Payment {
        id,
        attempt: id,
        order: order.id,
        gateway: PayMethod::Cash,
        state: PaymentState::Paid,
        channel: None,
        amount: order.total,
        transaction: Some(order.id.to_string()),
        created_at: now,
        expires_at: None,
        check_at: None,
        checks: 0,
        settled_at: Some(now),
    };
    Ok(payments::insert(tx, &payment, &by.to_string())?)
}

/// The payment that an order counts as paid by, if it is.
pub(super) fn counted(payments: &[Payment]) -> Option<&Payment> {
    payments.iter().find(|payment| payment.state == PaymentState::Paid)
}
