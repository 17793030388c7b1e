//! Stock that changes otherwise than by a placement: returned with an order, moved by hand, set by the day, declared sold out.
//!
//! Contract: every change is a delta under the lock of its goods row, and either a stock move or a line's returned units accounts for it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::dsl::count_star;
use diesel::prelude::*;
use uuid::Uuid;

use super::schema::{goods, order_lines, stock_moves};
use super::{Conn, LockRank, QueryResult, SortedIds, Tx, outbox};
use crate::domain::{GoodsId, MerchantId, OrderId};

/// A goods row's stock, locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stock {
    /// Units counted.
    pub units: i32,
    /// What every day begins with, where stock is set by the day.
    pub daily: Option<i32>,
    /// The units set aside when it was declared sold out, while it is.
    pub sold_out_units: Option<i32>,
}

/// Locks goods rows in ascending order until the transaction ends. Those the merchant does not have are absent.
pub fn lock(tx: &mut Tx<'_>, ids: &SortedIds<GoodsId>) -> QueryResult<BTreeMap<GoodsId, Stock>> {
    tx.enter(LockRank::Goods);
    let ids: Vec<i64> = ids.as_slice().iter().map(|id| id.0).collect();
    let rows: Vec<(i64, i32, Option<i32>, Option<i32>)> = goods::table
        .filter(goods::merchant_id.eq(tx.merchant.0))
        .filter(goods::id.eq_any(ids))
        .order(goods::id)
        .select((goods::id, goods::stock, goods::daily_stock, goods::sold_out_units))
        .for_update()
        .load(tx.conn)?;
    let stock = |(id, units, daily, sold_out_units)| (GoodsId(id), Stock { units, daily, sold_out_units });
    Ok(rows.into_iter().map(stock).collect())
}

/// Puts units of an order's line back into stock; the line remembers, and never gives back more than it took.
///
/// # Panics
/// When the line has fewer left: the order is locked by whoever calls.
pub fn put_back(tx: &mut Tx<'_>, order: OrderId, goods_id: GoodsId, units: u32) -> QueryResult<()> {
    let units = i32::try_from(units).expect("units of a line fit an i32");
    let rows = diesel::update(order_lines::table.find((tx.merchant.0, order.0, goods_id.0)))
        .filter((order_lines::returned_count + units).le(order_lines::count))
        .set(order_lines::returned_count.eq(order_lines::returned_count + units))
        .execute(tx.conn)?;
    assert_eq!(rows, 1, "the order is locked, and was seen to have as many");
    diesel::update(goods::table.find((tx.merchant.0, goods_id.0)))
        .set((goods::stock.eq(goods::stock + units), goods::sales.eq(goods::sales - i64::from(units))))
        .execute(tx.conn)?;
    Ok(())
}

/// A change of stock that no order makes.
pub struct NewMove<'a> {
    /// Its id.
    pub id: Uuid,
    /// Which goods; the row must be locked.
    pub goods: GoodsId,
    /// Units, not zero.
    pub delta: i32,
    /// Why, as a code.
    pub reason: &'a str,
    /// Why, in words.
    pub note: &'a str,
    /// Who.
    pub actor: &'a str,
}

/// Changes stock by a delta and writes the move; tells whether there was enough, and does nothing if not.
pub fn make_move(tx: &mut Tx<'_>, new: &NewMove<'_>, now: DateTime<Utc>) -> QueryResult<bool> {
    let rows = diesel::update(goods::table.find((tx.merchant.0, new.goods.0)))
        .filter((goods::stock + new.delta).ge(0))
        .set(goods::stock.eq(goods::stock + new.delta))
        .execute(tx.conn)?;
    if rows == 0 {
        return Ok(false);
    }
    diesel::insert_into(stock_moves::table)
        .values((
            stock_moves::merchant_id.eq(tx.merchant.0),
            stock_moves::id.eq(new.id),
            stock_moves::goods_id.eq(new.goods.0),
            stock_moves::delta.eq(new.delta),
            stock_moves::reason.eq(new.reason),
            stock_moves::note.eq(Some(new.note).filter(|note| !note.is_empty())),
            stock_moves::actor.eq(new.actor),
            stock_moves::moved_at.eq(now),
        ))
        .execute(tx.conn)?;
    outbox::tell_of_goods(tx, new.goods, now)?;
    Ok(true)
}

/// The units counted now, after what the transaction has put back or moved since it locked the row.
pub fn units(tx: &mut Tx<'_>, goods_id: GoodsId) -> QueryResult<i32> {
    goods::table.find((tx.merchant.0, goods_id.0)).select(goods::stock).first(tx.conn)
}

/// Declares goods sold out, with that many units set aside, or (none) no longer. The row must be locked; whoever calls tells of it.
pub fn set_sold_out(tx: &mut Tx<'_>, goods_id: GoodsId, units: Option<i32>) -> QueryResult<()> {
    diesel::update(goods::table.find((tx.merchant.0, goods_id.0)))
        .set(goods::sold_out_units.eq(units))
        .execute(tx.conn)?;
    Ok(())
}

/// A stock move as it is shown.
#[derive(Clone, Debug, Queryable)]
pub struct MoveRow {
    /// Its id.
    pub id: Uuid,
    /// Units.
    pub delta: i32,
    /// Why, as a code.
    pub reason: String,
    /// Why, in words.
    pub note: Option<String>,
    /// Who.
    pub actor: String,
    /// When.
    pub moved_at: DateTime<Utc>,
}

/// One stock move of goods, if it was made.
pub fn find_move(conn: &mut Conn, merchant: MerchantId, goods_id: GoodsId, id: Uuid) -> QueryResult<Option<MoveRow>> {
    stock_moves::table.find((merchant.0, goods_id.0, id)).select(MOVE_COLUMNS).first(conn).optional()
}

/// At most `limit` stock moves of goods, the newest first, made before the one `before` (its time and id).
pub fn moves(
    conn: &mut Conn,
    merchant: MerchantId,
    goods_id: GoodsId,
    before: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> QueryResult<Vec<MoveRow>> {
    let mut query = stock_moves::table
        .filter(stock_moves::merchant_id.eq(merchant.0))
        .filter(stock_moves::goods_id.eq(goods_id.0))
        .order((stock_moves::moved_at.desc(), stock_moves::id.desc()))
        .limit(limit)
        .select(MOVE_COLUMNS)
        .into_boxed();
    if let Some((time, id)) = before {
        let same_time = stock_moves::moved_at.eq(time).and(stock_moves::id.lt(id));
        query = query.filter(stock_moves::moved_at.lt(time).or(same_time));
    }
    query.load(conn)
}

/// How many stock moves there have been of goods: of those of `ids` of which there have been any, in ascending order.
pub fn count_moves(conn: &mut Conn, merchant: MerchantId, ids: &SortedIds<GoodsId>) -> QueryResult<Vec<(i64, i64)>> {
    let ids: Vec<i64> = ids.as_slice().iter().map(|id| id.0).collect();
    stock_moves::table
        .filter(stock_moves::merchant_id.eq(merchant.0))
        .filter(stock_moves::goods_id.eq_any(ids))
        .group_by(stock_moves::goods_id)
        .order(stock_moves::goods_id)
        .select((stock_moves::goods_id, count_star()))
        .load(conn)
}

type MoveColumns = (
    stock_moves::id,
    stock_moves::delta,
    stock_moves::reason,
    stock_moves::note,
    stock_moves::actor,
    stock_moves::moved_at,
);
const MOVE_COLUMNS: MoveColumns = (
    stock_moves::id,
    stock_moves::delta,
    stock_moves::reason,
    stock_moves::note,
    stock_moves::actor,
    stock_moves::moved_at,
);

/// The goods whose stock is set by the day.
pub fn daily(conn: &mut Conn, merchant: MerchantId) -> QueryResult<SortedIds<GoodsId>> {
    let ids: Vec<i64> = goods::table
        .filter(goods::merchant_id.eq(merchant.0))
        .filter(goods::daily_stock.is_not_null())
        .select(goods::id)
        .load(conn)?;
    Ok(ids.into_iter().map(GoodsId).collect())
}
