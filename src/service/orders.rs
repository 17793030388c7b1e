//! The moves of an order's life, each with everything that must happen with it.
//!
//! Contract: a move locks the order first and decides from what it then finds; payments, goods and accounts follow in rank. Whatever
//! it changes (state, history, stock, money, points, what subscribers are told) is committed with it or not at all.

use chrono::{DateTime, TimeDelta, Utc};

use super::credits;
use super::once::{Keyed, id_under};
use super::payments;
use super::refunds;
use super::stock;
use crate::domain::money::Money;
use crate::domain::moves::{Actor, Move, Reason, Why};
use crate::domain::order::{Fulfilment, Order, OrderState};
use crate::domain::{GoodsId, OrderId, RefundId};
use crate::error::Error;
use crate::store::merchants::Merchant;
use crate::store::moves::{Changes, Made};
use crate::store::{self, SortedIds, Tx, merchants, moves, settings};

/// How long a customer waits between two nudges.
const NUDGE_EVERY: TimeDelta = TimeDelta::minutes(5);

/// The restaurant takes an order on, and means to have it ready in `minutes`. It gets its pickup number: given now, so that orders which
/// were never accepted leave no gap.
///
/// # Errors
/// [`Error::NotFound`], [`Error::IllegalMove`].
pub fn accept(
    tx: &mut Tx<'_>,
    id: OrderId,
    by: Actor,
    minutes: Option<u32>,
    now: DateTime<Utc>,
) -> Result<Order, Error> {
    let order = lock(tx, id, by)?;
    take_on(tx, &order, by, minutes, now)
}

/// As [`accept`], of an order that is locked.
pub(super) fn take_on(
    tx: &mut Tx<'_>,
    order: &Order,
    by: Actor,
    minutes: Option<u32>,
    now: DateTime<Utc>,
) -> Result<Order, Error> {
    let to = step(order, Move::Accept, by)?;
    let merchant = merchant(tx)?;
    if order.total == Money::ZERO {
        // Nothing is left to pay, so this is the moment its payment counts.
        credits::credit_payment(tx, order, &merchant, now)?;
    }
    let accepted = Made { made: Move::Accept, to, by, why: None };
    let numbered = accepting(tx, &merchant, now)?;
    let promised_at = minutes.map(|minutes| now + TimeDelta::minutes(minutes.into()));
    moves::advance(tx, order, &accepted, &Changes { promised_at, ..numbered }, now)?;
    read_again(tx, order.id)
}

/// What a deadline that has passed does to an order: cancels it when it is not paid, rejects or accepts it when nobody has answered,
/// completes it when nobody has said that the customer has it.
/// Tells whether anything was done: not where somebody else has the order in hand, or it has moved on.
///
/// # Errors
/// What the database says.
pub fn time_out(tx: &mut Tx<'_>, id: OrderId, now: DateTime<Utc>) -> Result<bool, Error> {
    let Some(order) = moves::lock_unless_busy(tx, id)? else { return Ok(false) };
    let by = Actor::Timer;
    let (made, why) = match order.state {
        OrderState::PendingPayment if order.pay_by.is_some_and(|by| by <= now) => (Move::Cancel, Reason::PayTimeout),
        OrderState::PendingAccept if order.accept_by.is_some_and(|by| by <= now) => {
            let merchant = merchant(tx)?;
            if merchant.auto_accept || merchant.timeout_accepts {
                take_on(tx, &order, by, None, now)?;
                return Ok(true);
            }
            (Move::Reject, Reason::AcceptTimeout)
        }
        OrderState::Ready | OrderState::Delivering => return complete_overdue(tx, &order, now),
        _ => return Ok(false),
    };
    let to = step(&order, made, by)?;
    let undo = Undo { returned: untouched(&order), sold_out: &[], refund: None };
    match call_off(tx, &order, &Made { made, to, by, why: Some(&why.into()) }, &undo, now) {
        // It is closed at its gateway first, by its own timer.
        Err(Error::PaymentOpen(_)) => Ok(false),
        done => done.map(|_| true),
    }
}

/// Completes an order that nobody has completed in time, unless that is not to be any more: then it is left to whoever does.
fn complete_overdue(tx: &mut Tx<'_>, order: &Order, now: DateTime<Utc>) -> Result<bool, Error> {
    if moves::complete_by(tx, order.id)?.is_none_or(|by| by > now) {
        return Ok(false);
    }
    let merchant = tx.merchant();
    if settings::complete_after_minutes(tx.conn(), merchant)?.is_none() {
        moves::complete_whenever(tx, order.id)?;
        return Ok(false);
    }
    go_on(tx, order, Move::Complete, Actor::Timer, now)?;
    Ok(true)
}

/// Until when somebody has to complete an order that comes to stand, or still stands, in `state`. Nobody has to where it is not ready,
/// where the merchant does not say, and while cash is owed: nothing takes it to be in the till but whoever collects it.
fn complete_by(
    tx: &mut Tx<'_>,
    order: &Order,
    state: OrderState,
    since: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, Error> {
    if !matches!(state, OrderState::Ready | OrderState::Delivering) || order.owes_cash() {
        return Ok(None);
    }
    let merchant = tx.merchant();
    let minutes = settings::complete_after_minutes(tx.conn(), merchant)?;
    Ok(minutes.map(|minutes| since + TimeDelta::minutes(minutes.into())))
}

/// What accepting changes besides the state.
fn accepting(tx: &mut Tx<'_>, merchant: &Merchant, now: DateTime<Utc>) -> Result<Changes, Error> {
    let today = merchant.business_days().of(now);
    let day = moves::last_pickup_day(tx)?.map_or(today, |last| last.max(today));
    let number = moves::next_pickup_no(tx, day)?;
    Ok(Changes { pickup_day: Some(day), pickup_no: Some(number), ..Changes::default() })
}

/// The restaurant declines an order. Everything goes back; goods named as sold out are none from now on.
///
/// # Errors
/// [`Error::NotFound`], [`Error::IllegalMove`]; [`Error::InvalidField`] when goods are named that are not in the order, or none are
/// although the reason is that some are sold out.
pub fn reject(
    tx: &mut Tx<'_>,
    id: OrderId,
    by: Actor,
    why: &Why,
    sold_out: &SortedIds<GoodsId>,
    now: DateTime<Utc>,
) -> Result<Order, Error> {
    let order = lock(tx, id, by)?;
    let to = step(&order, Move::Reject, by)?;
    let sold_out = sold_out.as_slice();
    if (why.reason == Reason::SoldOut) == sold_out.is_empty() {
        return Err(Error::invalid(
            "sold_out",
            "原因为 sold_out 时须列出售罄的商品，其他原因不得列出",
            "name the goods that are sold out, for the reason sold_out and no other",
        ));
    }
    if !sold_out.iter().all(|goods| order.lines.iter().any(|line| line.goods_id == *goods)) {
        return Err(Error::invalid("sold_out", "订单中没有此商品", "the order has no such goods"));
    }
    let undo = Undo { returned: untouched(&order), sold_out, refund: None };
    call_off(tx, &order, &Made { made: Move::Reject, to, by, why: Some(why) }, &undo, now)
}

/// How a cancelled order's lines and money are dealt with. For orders that are in the restaurant's hands; all others go back whole.
#[derive(Clone, Debug, Default)]
pub struct Cancelling {
    /// Units that go back into stock, by goods; the rest is wasted. Without it, all do before the kitchen has begun, and none after.
    pub returned: Option<Vec<(GoodsId, u32)>>,
    /// What is paid back; all of it where nothing is said.
    pub refund: Option<Money>,
}

/// Calls an order off, whoever may.
///
/// # Errors
/// [`Error::NotFound`], [`Error::IllegalMove`], [`Error::CancelNotAllowed`], [`Error::PointsSpent`], [`Error::RefundTooLarge`];
/// [`Error::InvalidField`] when more is to be returned than the order has, or something is to be wasted that was never made.
pub fn cancel(
    tx: &mut Tx<'_>,
    id: OrderId,
    by: Actor,
    why: &Why,
    how: &Cancelling,
    now: DateTime<Utc>,
) -> Result<Order, Error> {
    let order = lock(tx, id, by)?;
    let to = step(&order, Move::Cancel, by)?;
    if matches!(by, Actor::Customer(_)) && order.state == OrderState::PendingAccept && !merchant(tx)?.customer_cancels {
        return Err(Error::CancelNotAllowed);
    }
    let returned = match &how.returned {
        None if order.state.is_in_hand() && order.state != OrderState::Accepted => Vec::new(),
        None => untouched(&order),
        Some(_) if !order.state.is_in_hand() => {
            let en = "nothing can be wasted before the order is accepted";
            return Err(Error::invalid("returned", "接单之前不会有损耗", en));
        }
        Some(returned) => {
            let has = |(goods, units): &(GoodsId, u32)| {
                order.lines.iter().any(|line| line.goods_id == *goods && *units <= line.count - line.returned_count)
            };
            let is_named_twice = |goods: &GoodsId| returned.iter().filter(|(other, _)| other == goods).count() > 1;
            if !returned.iter().all(has) || returned.iter().any(|(goods, _)| is_named_twice(goods)) {
                let en = "the order does not have as many of these goods";
                return Err(Error::invalid("returned", "订单中没有这么多商品", en));
            }
            returned.iter().copied().filter(|(_, units)| *units > 0).collect()
        }
    };
    if how.refund.is_some() && !order.state.is_in_hand() {
        let en = "an order that is not accepted yet is paid back whole";
        return Err(Error::invalid("refund", "尚未接单的订单只能全额退款", en));
    }
    let undo = Undo { returned, sold_out: &[], refund: how.refund };
    call_off(tx, &order, &Made { made: Move::Cancel, to, by, why: Some(why) }, &undo, now)
}

/// What goes back when an order is called off.
struct Undo<'a> {
    returned: Vec<(GoodsId, u32)>,
    sold_out: &'a [GoodsId],
    refund: Option<Money>,
}

fn call_off(
    tx: &mut Tx<'_>,
    order: &Order,
    made: &Made<'_>,
    undo: &Undo<'_>,
    now: DateTime<Utc>,
) -> Result<Order, Error> {
    let why = made.why.expect("an order is called off for a reason");
    // Payments.
    refunds::pay_back(tx, order, undo.refund, None, made.by, why, now)?;
    // Goods.
    let touched = undo.returned.iter().map(|(goods, _)| *goods).chain(undo.sold_out.iter().copied()).collect();
    let stocks = store::stock::lock(tx, &touched)?;
    for (goods, units) in &undo.returned {
        store::stock::put_back(tx, order.id, *goods, *units)?;
    }
    for goods in undo.sold_out {
        stock::mark_sold_out(tx, &stocks, *goods, 0, made.by, now)?;
    }
    // Accounts.
    credits::take_back_all(tx, order, made.by, now)?;
    moves::advance(tx, order, made, &Changes::default(), now)?;
    read_again(tx, order.id)
}

/// Units of an order that are still out of stock for it.
fn untouched(order: &Order) -> Vec<(GoodsId, u32)> {
    let left = |line: &crate::domain::order::OrderLine| (line.goods_id, line.count - line.returned_count);
    order.lines.iter().map(left).filter(|(_, units)| *units > 0).collect()
}

/// Prepare, ready, deliver, complete, recall: moves that need nothing but the machine, and cash in the till before an order is complete.
///
/// # Errors
/// [`Error::NotFound`], [`Error::IllegalMove`], [`Error::CashNotCollected`].
pub fn advance(tx: &mut Tx<'_>, id: OrderId, made: Move, by: Actor, now: DateTime<Utc>) -> Result<Order, Error> {
    let order = lock(tx, id, by)?;
    go_on(tx, &order, made, by, now)
}

/// As [`advance`], of an order that is locked.
fn go_on(tx: &mut Tx<'_>, order: &Order, made: Move, by: Actor, now: DateTime<Utc>) -> Result<Order, Error> {
    let to = step(order, made, by)?;
    if to == OrderState::Completed {
        if order.owes_cash() {
            return Err(Error::CashNotCollected);
        }
        let merchant = merchant(tx)?;
        credits::credit_completion(tx, order, &merchant, now)?;
    }
    let changes = Changes { complete_by: Some(complete_by(tx, order, to, now)?), ..Changes::default() };
    moves::advance(tx, order, &Made { made, to, by, why: None }, &changes, now)?;
    read_again(tx, order.id)
}

/// The restaurant needs until `minutes` from now.
///
/// # Errors
/// [`Error::NotFound`], [`Error::IllegalMove`].
pub fn delay(tx: &mut Tx<'_>, id: OrderId, by: Actor, minutes: u32, now: DateTime<Utc>) -> Result<Order, Error> {
    let order = lock(tx, id, by)?;
    let to = step(&order, Move::Delay, by)?;
    let promised_at = now + TimeDelta::minutes(minutes.into());
    let complete_by = complete_by(tx, &order, to, promised_at)?;
    let changes = Changes { promised_at: Some(promised_at), complete_by: Some(complete_by), ..Changes::default() };
    moves::advance(tx, &order, &Made { made: Move::Delay, to, by, why: None }, &changes, now)?;
    read_again(tx, id)
}

/// The customer asks where their order is, at most every five minutes.
///
/// # Errors
/// [`Error::NotFound`], [`Error::IllegalMove`], [`Error::NudgedAlready`].
pub fn nudge(tx: &mut Tx<'_>, id: OrderId, by: Actor, now: DateTime<Utc>) -> Result<Order, Error> {
    let order = lock(tx, id, by)?;
    let to = step(&order, Move::Nudge, by)?;
    let wait = order.nudged_at.map_or(TimeDelta::zero(), |last| last + NUDGE_EVERY - now);
    if wait > TimeDelta::zero() {
        return Err(Error::NudgedAlready { retry_after: wait.to_std().unwrap_or_default() });
    }
    let complete_by = complete_by(tx, &order, to, now)?;
    let changes = Changes { nudged_at: Some(now), complete_by: Some(complete_by), ..Changes::default() };
    moves::advance(tx, &order, &Made { made: Move::Nudge, to, by, why: None }, &changes, now)?;
    read_again(tx, id)
}

/// The cash for an order is in the till.
///
/// # Errors
/// [`Error::NotFound`], [`Error::IllegalMove`]; [`Error::NothingToCollect`] when it is not paid in cash, or was already.
pub fn collect(tx: &mut Tx<'_>, id: OrderId, by: Actor, now: DateTime<Utc>) -> Result<Order, Error> {
    let order = lock(tx, id, by)?;
    let to = step(&order, Move::Collect, by)?;
    if !order.owes_cash() {
        return Err(Error::NothingToCollect);
    }
    let merchant = merchant(tx)?;
    payments::take_cash(tx, &order, by, now)?;
    credits::credit_payment(tx, &order, &merchant, now)?;
    let order = Order { paid_at: Some(now), ..order };
    let complete_by = complete_by(tx, &order, to, now)?;
    let changes = Changes { paid_at: order.paid_at, complete_by: Some(complete_by), ..Changes::default() };
    moves::advance(tx, &order, &Made { made: Move::Collect, to, by, why: None }, &changes, now)?;
    read_again(tx, id)
}

/// What is to be paid back.
#[derive(Clone, Debug)]
pub enum Refunding {
    /// All that is left.
    Whole,
    /// That much.
    Amount(Money),
    /// These units, by goods: what each cost, with its part of what points took off.
    Lines(Vec<(GoodsId, u32)>),
}

/// Pays money back without changing where the order stands, once for each key: a repeat finds the order as it is.
///
/// # Errors
/// [`Error::NotFound`], [`Error::IllegalMove`], [`Error::RefundTooLarge`]; [`Error::KeyReused`] when the key stands for another request;
/// [`Error::InvalidField`] when the order does not have the lines, or they cost nothing.
pub fn refund(
    tx: &mut Tx<'_>,
    id: OrderId,
    what: &Refunding,
    asked: &Keyed,
    by: Actor,
    why: &Why,
    now: DateTime<Utc>,
) -> Result<Order, Error> {
    let order = lock(tx, id, by)?;
    let merchant_id = tx.merchant();
    let refund_id = RefundId(id_under(&asked.key, &format!("refund {merchant_id} {id}")));
    let known = store::refunds::of_order(tx.conn(), merchant_id, id)?;
    if let Some(known) = known.iter().find(|refund| refund.id == refund_id) {
        // Nothing is done, so nothing is to stand in the trail.
        tx.discard();
        let is_same = match known.request_hash {
            Some(hash) => hash == asked.request_hash,
            None => !matches!(what, Refunding::Amount(amount) if *amount != known.amount),
        };
        return if is_same { Ok(order) } else { Err(Error::KeyReused) };
    }
    let to = step(&order, Move::Refund, by)?;
    let amount = match what {
        Refunding::Whole => None,
        Refunding::Amount(amount) => Some(*amount),
        Refunding::Lines(lines) => {
            let amount = order.worth_of(lines).ok_or_else(|| {
                let en = "the order does not have as many of these goods that are not paid back yet";
                Error::invalid("lines", "订单中没有这么多尚未退款的商品", en)
            })?;
            Some(amount)
        }
    };
    let before = refunds::pay_back(tx, &order, amount, Some((refund_id, asked.request_hash)), by, why, now)?;
    if before.refunded == Money::ZERO {
        return Err(Error::invalid("amount", "没有可退的款项", "there is nothing to pay back"));
    }
    let lines = match what {
        Refunding::Whole => order.lines.iter().map(|line| (line.goods_id, line.count - line.refunded_count)).collect(),
        Refunding::Amount(_) => Vec::new(),
        Refunding::Lines(lines) => lines.clone(),
    };
    for (goods, units) in lines {
        moves::refund_line(tx, id, goods, units)?;
    }
    credits::take_back_part(tx, &order, &before, by, now)?;
    moves::advance(tx, &order, &Made { made: Move::Refund, to, by, why: Some(why) }, &Changes::default(), now)?;
    read_again(tx, id)
}

/// Locks an order for whoever wants to move it. Another customer's is not found.
pub(super) fn lock(tx: &mut Tx<'_>, id: OrderId, by: Actor) -> Result<Order, Error> {
    let is_theirs = |order: &Order| match by {
        Actor::Customer(customer) => order.customer_id == customer,
        Actor::Staff(..) | Actor::Timer | Actor::Gateway => true,
    };
    moves::lock(tx, id)?.filter(is_theirs).ok_or(Error::NotFound)
}

/// Where a move leads, if the machine, the way the order reaches the customer and whoever makes it allow it.
pub(super) fn step(order: &Order, made: Move, by: Actor) -> Result<OrderState, Error> {
    let illegal = Error::IllegalMove { made: made.name(), state: order.state };
    let is_delivery = matches!(order.fulfilment, Fulfilment::Delivery(_));
    // The staff say of a delivery that it leaves before they say that it is complete. Customers and the timer find what they forgot.
    let is_on_its_way = order.state == OrderState::Delivering || !matches!(by, Actor::Staff(..));
    let fits = match made {
        Move::Deliver => is_delivery,
        Move::Complete => !is_delivery || is_on_its_way,
        _ => true,
    };
    let to = order.state.next(made).filter(|_| fits).ok_or(illegal)?;
    if by.may(made, order.state) { Ok(to) } else { Err(Error::IllegalMove { made: made.name(), state: order.state }) }
}

pub(super) fn merchant(tx: &mut Tx<'_>) -> Result<Merchant, Error> {
    let id = tx.merchant();
    merchants::find(tx.conn(), id)?.ok_or(Error::NotFound)
}

pub(super) fn read_again(tx: &mut Tx<'_>, id: OrderId) -> Result<Order, Error> {
    let merchant = tx.merchant();
    let found = store::orders::find_all(tx.conn(), merchant, &[id])?.pop();
    found.ok_or_else(|| Error::Internal(format!("order {id} has vanished")))
}
