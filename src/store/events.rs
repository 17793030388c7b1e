//! Events: the outbox's rows under the numbers by which subscribers know them, 1, 2, 3 for each merchant.
//!
//! Ids of the outbox become visible out of order, so they are no cursor: who has read up to one may have missed a smaller one. Numbers
//! are given to rows that are committed, by one transaction at a time ([`publish`] locks the merchant's counter), so whoever has read
//! up to a number has missed nothing. The moves of one order are in the order they happened in, because each was written under the
//! lock of its order's row, and a row that is visible makes those visible that were written before it.

use chrono::{DateTime, Utc};
use diesel::dsl::{exists, min};
use diesel::prelude::*;
use uuid::Uuid;

use super::schema::{event_counters, events, merchants, outbox, webhook_deliveries};
use super::{Conn, LockRank, QueryResult, Tx, listen};
use crate::domain::{GoodsId, MerchantId, OrderId};

/// Something that happened to an order or to goods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number.
    pub seq: i64,
    /// The name of an [`EventKind`](crate::domain::event::EventKind), or of one that a later version knows.
    pub kind: String,
    /// The order, if it is about one.
    pub order: Option<OrderId>,
    /// The goods, if it is about some.
    pub goods: Option<GoodsId>,
    /// The order's state then; the refund's, or the alert's kind, where it is about one.
    pub state: Option<String>,
    /// When.
    pub happened_at: DateTime<Utc>,
}

type Row = (i64, String, Option<Uuid>, Option<i64>, Option<String>, DateTime<Utc>);

fn event((seq, kind, order, goods, state, happened_at): Row) -> Event {
    Event { seq, kind, order: order.map(OrderId), goods: goods.map(GoodsId), state, happened_at }
}

type Columns = (events::seq, events::kind, events::order_id, events::goods_id, events::state, events::happened_at);
const COLUMNS: Columns =
    (events::seq, events::kind, events::order_id, events::goods_id, events::state, events::happened_at);

/// The numbers that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Everything after this number is there.
    pub from: i64,
    /// The last number given.
    pub to: i64,
}

impl Kept {
    /// Whether somebody who has read up to `seq` can go on without having missed anything.
    pub fn follows(self, seq: i64) -> bool {
        (self.from..=self.to).contains(&seq)
    }
}

/// Whether the outbox has rows that have no number yet.
pub fn has_unpublished(conn: &mut Conn, merchant: MerchantId) -> QueryResult<bool> {
    diesel::select(exists(outbox::table.filter(outbox::merchant_id.eq(merchant.0)))).get_result(conn)
}

/// Locks the merchant's counter, and returns the last number given. Nobody publishes for this merchant until the transaction ends.
pub fn lock_counter(tx: &mut Tx<'_>) -> QueryResult<i64> {
    tx.enter(LockRank::EventNo);
    let counter = event_counters::table.find(tx.merchant.0).select(event_counters::last_seq).for_update();
    if let Some(last) = counter.first(tx.conn).optional()? {
        return Ok(last);
    }
    diesel::insert_into(event_counters::table)
        .values((event_counters::merchant_id.eq(tx.merchant.0), event_counters::last_seq.eq(0)))
        .on_conflict_do_nothing()
        .execute(tx.conn)?;
    counter.first(tx.conn)
}

/// Moves at most `limit` rows of the outbox to the events, each with the next number, and queues their deliveries where the merchant has a
/// webhook. Every instance hears of it when it is committed. Returns how many rows were moved; fewer than `limit` means the outbox is
/// empty.
pub fn publish(tx: &mut Tx<'_>, limit: i64, now: DateTime<Utc>) -> QueryResult<usize> {
    let last = lock_counter(tx)?;
    let count = number(tx, last, limit, now)?;
    if count == 0 {
        tx.discard();
    }
    Ok(count)
}

/// As [`publish`], of all that the outbox holds, in a transaction that has more to do.
pub fn publish_all(tx: &mut Tx<'_>, now: DateTime<Utc>) -> QueryResult<usize> {
    const LIMIT: usize = 500;
    let (mut last, mut published) = (lock_counter(tx)?, 0);
    loop {
        let count = number(tx, last, LIMIT as i64, now)?;
        published += count;
        if count < LIMIT {
            return Ok(published);
        }
        last += LIMIT as i64;
    }
}

/// Gives the numbers after `last`, under the counter's lock.
fn number(tx: &mut Tx<'_>, last: i64, limit: i64, now: DateTime<Utc>) -> QueryResult<usize> {
    type Told = (i64, String, Option<Uuid>, Option<i64>, Option<String>, DateTime<Utc>);
    // What is read from here on is what was committed when the lock was had: nobody else moves rows.
    let ids: Vec<i64> = outbox::table
        .filter(outbox::merchant_id.eq(tx.merchant.0))
        .order(outbox::id)
        .select(outbox::id)
        .limit(limit)
        .load(tx.conn)?;
    if ids.is_empty() {
        return Ok(0);
    }
    let mut told: Vec<Told> = diesel::delete(outbox::table)
        .filter(outbox::merchant_id.eq(tx.merchant.0))
        .filter(outbox::id.eq_any(&ids))
        .returning((outbox::id, outbox::kind, outbox::order_id, outbox::goods_id, outbox::state, outbox::happened_at))
        .get_results(tx.conn)?;
    told.sort_unstable_by_key(|row| row.0);
    let merchant = tx.merchant.0;
    let numbered = told.iter().zip(last + 1..);
    let rows: Vec<_> = numbered
        .clone()
        .map(|((_, kind, order, goods, state, happened_at), seq)| {
            (
                events::merchant_id.eq(merchant),
                events::seq.eq(seq),
                events::kind.eq(kind),
                events::order_id.eq(order),
                events::goods_id.eq(goods),
                events::state.eq(state),
                events::happened_at.eq(happened_at),
            )
        })
        .collect();
    diesel::insert_into(events::table).values(rows).execute(tx.conn)?;
    let last = last + i64::try_from(told.len()).expect("a batch is small");
    diesel::update(event_counters::table.find(merchant)).set(event_counters::last_seq.eq(last)).execute(tx.conn)?;
    if has_webhook(tx.conn, tx.merchant)? {
        let deliveries: Vec<_> = numbered
            .map(|(_, seq)| {
                (
                    webhook_deliveries::merchant_id.eq(merchant),
                    webhook_deliveries::seq.eq(seq),
                    webhook_deliveries::state.eq("pending"),
                    webhook_deliveries::due_at.eq(now),
                )
            })
            .collect();
        diesel::insert_into(webhook_deliveries::table).values(deliveries).execute(tx.conn)?;
    }
    listen::notify(tx.conn, listen::EVENTS, &format!("{merchant} {last}"))?;
    Ok(told.len())
}

fn has_webhook(conn: &mut Conn, merchant: MerchantId) -> QueryResult<bool> {
    let webhook = merchants::table.find(merchant.0).filter(merchants::webhook_url.is_not_null());
    diesel::select(exists(webhook)).get_result(conn)
}

/// The last number given; 0 before the first.
pub fn last_seq(conn: &mut Conn, merchant: MerchantId) -> QueryResult<i64> {
    let last = event_counters::table.find(merchant.0).select(event_counters::last_seq).first(conn).optional()?;
    Ok(last.unwrap_or_default())
}

/// The numbers that can be read.
pub fn kept(conn: &mut Conn, merchant: MerchantId) -> QueryResult<Kept> {
    // In this order: what is published in between follows the end, and is not taken for the beginning.
    let to = last_seq(conn, merchant)?;
    let first: Option<i64> =
        events::table.filter(events::merchant_id.eq(merchant.0)).select(min(events::seq)).first(conn)?;
    Ok(Kept { from: first.map_or(to, |first| first - 1), to })
}

/// At most `limit` events after a number, in order.
pub fn after(conn: &mut Conn, merchant: MerchantId, seq: i64, limit: i64) -> QueryResult<Vec<Event>> {
    let rows: Vec<Row> = events::table
        .filter(events::merchant_id.eq(merchant.0))
        .filter(events::seq.gt(seq))
        .order(events::seq)
        .select(COLUMNS)
        .limit(limit)
        .load(conn)?;
    Ok(rows.into_iter().map(event).collect())
}

/// One event.
pub(super) fn find(conn: &mut Conn, merchant: MerchantId, seq: i64) -> QueryResult<Event> {
    events::table.find((merchant.0, seq)).select(COLUMNS).first(conn).map(event)
}

/// Drops this merchant's events that happened before `before`, with their deliveries whatever became of them: at most `limit`, from the
/// first on, and none after one that is younger, so that the numbers that are kept have no gap. Returns how many.
pub fn purge_events(tx: &mut Tx<'_>, before: DateTime<Utc>, limit: i64) -> QueryResult<usize> {
    lock_counter(tx)?;
    let oldest: Vec<(i64, DateTime<Utc>)> = events::table
        .filter(events::merchant_id.eq(tx.merchant.0))
        .order(events::seq)
        .select((events::seq, events::happened_at))
        .limit(limit)
        .load(tx.conn)?;
    let Some((last, _)) = oldest.into_iter().take_while(|(_, happened_at)| *happened_at < before).last() else {
        tx.discard();
        return Ok(0);
    };
    diesel::delete(webhook_deliveries::table)
        .filter(webhook_deliveries::merchant_id.eq(tx.merchant.0))
        .filter(webhook_deliveries::seq.le(last))
        .execute(tx.conn)?;
    diesel::delete(events::table)
        .filter(events::merchant_id.eq(tx.merchant.0))
        .filter(events::seq.le(last))
        .execute(tx.conn)
}

/// The merchants whose first event, or first row that is not yet published, happened before `before`: those to purge. At most `limit`.
pub fn merchants_to_purge(conn: &mut Conn, before: DateTime<Utc>, limit: i64) -> QueryResult<Vec<MerchantId>> {
    let published = events::table
        .filter(events::merchant_id.eq(merchants::id))
        .order(events::seq)
        .limit(1)
        .select(events::happened_at)
        .single_value();
    let told = outbox::table
        .filter(outbox::merchant_id.eq(merchants::id))
        .order(outbox::id)
        .limit(1)
        .select(outbox::happened_at)
        .single_value();
    let ids: Vec<i64> = merchants::table
        .filter(published.lt(before).or(told.lt(before)))
        .order(merchants::id)
        .select(merchants::id)
        .limit(limit)
        .load(conn)?;
    Ok(ids.into_iter().map(MerchantId).collect())
}
