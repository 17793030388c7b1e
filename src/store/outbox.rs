//! What happened, for whoever must be told: rows written in the transaction that made it happen.
//!
//! Placements write theirs in bulk (see `placing`). Whoever writes one also says so by `Tx::tell`, so that it is published soon (see
//! `events`).

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::schema::outbox;
use super::{QueryResult, Tx, events};
use crate::domain::event::EventKind;
use crate::domain::moves::Move;
use crate::domain::order::OrderState;
use crate::domain::payment::{AlertKind, RefundState};
use crate::domain::{GoodsId, OrderId};

/// Tells of a move of an order, and of the state it is in now.
pub fn tell_of_order(
    tx: &mut Tx<'_>,
    order: OrderId,
    made: Move,
    state: OrderState,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    append(tx, made.into(), Some(order), None, Some(state.name()), now)
}

/// Tells that goods have changed otherwise than by an order: price, stock, on or off the menu, sold out.
pub fn tell_of_goods(tx: &mut Tx<'_>, goods: GoodsId, now: DateTime<Utc>) -> QueryResult<()> {
    append(tx, EventKind::GoodsChanged, None, Some(goods), None, now)
}

/// Tells that a refund of an order has come to its end: the refund's state stands where the order's does.
pub fn tell_of_refund(tx: &mut Tx<'_>, order: OrderId, state: RefundState, now: DateTime<Utc>) -> QueryResult<()> {
    append(tx, EventKind::RefundSettled, Some(order), None, Some(state.name()), now)
}

/// Tells of an alert: its kind stands where an order's state does.
pub fn tell_of_alert(tx: &mut Tx<'_>, alert: AlertKind, order: Option<OrderId>, now: DateTime<Utc>) -> QueryResult<()> {
    append(tx, EventKind::AlertRaised, order, None, Some(alert.name()), now)
}

fn append(
    tx: &mut Tx<'_>,
    kind: EventKind,
    order: Option<OrderId>,
    goods: Option<GoodsId>,
    state: Option<&str>,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    tx.tell();
    diesel::insert_into(outbox::table)
        .values((
            outbox::merchant_id.eq(tx.merchant.0),
            outbox::order_id.eq(order.map(|order| order.0)),
            outbox::goods_id.eq(goods.map(|goods| goods.0)),
            outbox::kind.eq(kind.name()),
            outbox::state.eq(state),
            outbox::happened_at.eq(now),
        ))
        .execute(tx.conn)?;
    Ok(())
}

/// Drops this merchant's rows that happened before `before` and are not yet published: at most `limit`. Returns how many.
pub fn purge_outbox(tx: &mut Tx<'_>, before: DateTime<Utc>, limit: i64) -> QueryResult<usize> {
    events::lock_counter(tx)?;
    let ids: Vec<i64> = outbox::table
        .filter(outbox::merchant_id.eq(tx.merchant.0))
        .filter(outbox::happened_at.lt(before))
        .order(outbox::id)
        .select(outbox::id)
        .limit(limit)
        .load(tx.conn)?;
    diesel::delete(outbox::table)
        .filter(outbox::merchant_id.eq(tx.merchant.0))
        .filter(outbox::id.eq_any(ids))
        .execute(tx.conn)
}
