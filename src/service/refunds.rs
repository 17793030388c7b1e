//! Money that goes back, as far as the database goes: it is owed, claimed for a call to the gateway, and settled by the answer.
//!
//! Contract: what is owed is written with what it is owed for. Cash is back at once; what a gateway is to send back is asked for under one
//! number until the customer has it, and under another only after the gateway has given up. Whoever talks to gateways is `till`.

use chrono::{DateTime, TimeDelta, Utc};

use super::payments::counted;
use crate::clock::uuid_at;
use crate::domain::money::Money;
use crate::domain::moves::{Actor, Why};
use crate::domain::order::{Order, PayMethod};
use crate::domain::payment::{AlertKind, RefundNumber, RefundStanding, RefundState, RefundStep};
use crate::domain::placement::RequestHash;
use crate::domain::{AlertId, OrderId, RefundId};
use crate::error::Error;
use crate::store::alerts::NewAlert;
use crate::store::payments::Payment;
use crate::store::refunds::{Became, Refund};
use crate::store::{Tx, alerts, outbox, payments, refunds};

/// What of a payment went back, or is owed.
pub(super) fn gone_back(tx: &mut Tx<'_>, order: OrderId, payment: Option<&Payment>) -> Result<Money, Error> {
    let merchant = tx.merchant();
    let refunds = refunds::of_order(tx.conn(), merchant, order)?;
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

/// Owes back `amount` of what was paid for a locked order, or all that is left; under the id of a key and what it stands for, where there
/// is one. Locks its payments.
///
/// # Errors
/// [`Error::PaymentOpen`] while money may still come in; [`Error::RefundTooLarge`].
pub(super) fn pay_back(
    tx: &mut Tx<'_>,
    order: &Order,
    amount: Option<Money>,
    under: Option<(RefundId, RequestHash)>,
    by: Actor,
    why: &Why,
    now: DateTime<Utc>,
) -> Result<PaidBack, Error> {
    let of_order = payments::lock(tx, order.id)?;
    let payment = counted(&of_order);
    if let (None, Some(open)) = (payment, of_order.iter().find(|payment| payment.state.is_open())) {
        return Err(Error::PaymentOpen(open.id));
    }
    let paid = payment.map_or(Money::ZERO, |payment| payment.amount);
    let before = gone_back(tx, order.id, payment)?;
    let left = paid.minus(before).expect("no more goes back than came in");
    let refunded = amount.unwrap_or(left);
    if refunded > left {
        return Err(Error::RefundTooLarge { amount: refunded, left });
    }
    let refund = match payment.filter(|_| refunded > Money::ZERO) {
        Some(payment) => Some(owe_back(tx, payment, refunded, under, by, why, now)?),
        None => None,
    };
    Ok(PaidBack { paid, before, refunded, refund })
}

/// Writes a refund: due at a gateway, done at once in cash.
pub(super) fn owe_back(
    tx: &mut Tx<'_>,
    payment: &Payment,
    amount: Money,
    under: Option<(RefundId, RequestHash)>,
    by: Actor,
    why: &Why,
    now: DateTime<Utc>,
) -> Result<RefundId, Error> {
    let is_cash = payment.gateway == PayMethod::Cash;
    let refund = Refund {
        id: under.map_or_else(|| RefundId(uuid_at(now)), |(id, _)| id),
        order: payment.order,
        payment: payment.id,
        state: if is_cash { RefundState::Succeeded } else { RefundState::Due },
        amount,
        reason: why.reason.name().to_owned(),
        note: Some(why.note.clone()).filter(|note| !note.is_empty()),
        round: 1,
        attempts: 0,
        failures: 0,
        trouble: None,
        request_hash: under.map(|(_, hash)| hash),
        by_hand: false,
        created_at: now,
        settled_at: is_cash.then_some(now),
    };
    refunds::insert(tx, &refund, &by.to_string())?;
    Ok(refund.id)
}

/// What came of asking a gateway about a refund.
#[derive(Clone, Debug)]
pub enum Asked {
    /// It says where the refund stands.
    Stands(RefundStanding),
    /// It said nothing that counts. In its words.
    Nothing(String),
}

/// How a gateway is asked about a refund.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// The wait until it is asked again.
    pub wait: TimeDelta,
    /// How often in a row it may be asked to no avail before a human is told.
    pub failures_max: i32,
}

/// The least wait before a refund is asked for again: what WeChat Pay demands.
const ASK_AGAIN: TimeDelta = TimeDelta::seconds(60);

/// Writes down what a gateway said of a refund. `attempt` is the number of the attempt that asked; what the gateway says of its own accord
/// belongs to none. Tells whether it was news.
///
/// # Errors
/// What the database says.
pub fn settle(
    tx: &mut Tx<'_>,
    number: RefundNumber,
    attempt: Option<i32>,
    asked: &Asked,
    patience: Patience,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let Some(refund) = refunds::lock(tx, number.refund)? else { return Ok(false) };
    if refund.by_hand {
        let is_paid_twice = matches!(asked, Asked::Stands(RefundStanding::Succeeded));
        return if is_paid_twice { raise(tx, AlertKind::RefundTwice, &refund, "", now) } else { Ok(false) };
    }
    let (answer, trouble) = match asked {
        Asked::Stands(RefundStanding::Unknown) => {
            (Some(RefundStanding::Unknown), Some("the gateway does not know of it"))
        }
        Asked::Stands(standing) => (Some(*standing), None),
        Asked::Nothing(words) => (None, Some(words.as_str())),
    };
    let failures = refund.failures + 1;
    let RefundStep { state, is_progress, alert } = refund.state.after(answer, failures >= patience.failures_max);
    let wait = if state == RefundState::Due { patience.wait.max(ASK_AGAIN) } else { patience.wait };
    let failures = if is_progress { 0 } else { failures };
    let became = Became { state, check_at: now + wait, failures, trouble };
    if !refunds::settle(tx, number, attempt, &became, now)? {
        return Ok(false);
    }
    if state == RefundState::Succeeded {
        outbox::tell_of_refund(tx, refund.order, state, now)?;
        alerts::resolve_about(tx, refund.id.0, &Actor::Gateway.to_string(), now)?;
    }
    if let Some(kind) = alert {
        raise(tx, kind, &refund, trouble.unwrap_or_default(), now)?;
    }
    Ok(refund.state != state)
}

/// Tells a human about a refund, unless they know. Tells whether they did not.
fn raise(tx: &mut Tx<'_>, kind: AlertKind, refund: &Refund, detail: &str, now: DateTime<Utc>) -> Result<bool, Error> {
    if alerts::is_raised(tx, kind, refund.id.0)? {
        return Ok(false);
    }
    let alert = NewAlert {
        id: AlertId(uuid_at(now)),
        kind,
        order: Some(refund.order),
        payment: Some(refund.payment),
        refund: Some(refund.id),
        detail,
    };
    alerts::raise(tx, &alert, now)?;
    Ok(true)
}

/// Has a refund asked for again that waits for a human: under another number only where the gateway has given up on the one before. One
/// that the gateway has taken on waits, too, once it was asked about `failures_max` times in a row to no avail.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::RefundGoesOn`] for one that does not wait.
pub fn put_in_again(
    tx: &mut Tx<'_>,
    id: RefundId,
    by: Actor,
    failures_max: i32,
    now: DateTime<Utc>,
) -> Result<Refund, Error> {
    let refund = refunds::lock(tx, id)?.ok_or(Error::NotFound)?;
    if !refunds::put_in_again(tx, &refund, failures_max, now + ASK_AGAIN)? {
        return Err(Error::RefundGoesOn(refund.state));
    }
    alerts::resolve_about(tx, id.0, &by.to_string(), now)?;
    let merchant = tx.merchant();
    refunds::find(tx.conn(), merchant, id)?.ok_or(Error::NotFound)
}

/// Ends a refund that its gateway cannot go on with: the customer had the money by hand, and it is not asked for any more.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::RefundGoesOn`] for one that the gateway may still pay.
pub fn pay_by_hand(tx: &mut Tx<'_>, id: RefundId, by: Actor, now: DateTime<Utc>) -> Result<Refund, Error> {
    let refund = refunds::lock(tx, id)?.ok_or(Error::NotFound)?;
    if !refunds::pay_by_hand(tx, id, now)? {
        return Err(Error::RefundGoesOn(refund.state));
    }
    outbox::tell_of_refund(tx, refund.order, RefundState::Succeeded, now)?;
    alerts::resolve_about(tx, id.0, &by.to_string(), now)?;
    Ok(Refund { state: RefundState::Succeeded, by_hand: true, settled_at: Some(now), ..refund })
}
