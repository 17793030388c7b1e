//! Customers' carts, where no Redis keeps them.
//!
//! Contract: who changes a cart has locked its row; who reads one reads it in one statement. Nothing else is locked with it.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::upsert::excluded;
use uuid::Uuid;

use super::rows::{Corrupt, corrupt};
use super::schema::{cart_lines, carts};
use super::{Conn, QueryResult, Tx};
use crate::domain::cart::{Cart, CartLine};
use crate::domain::{CartId, CustomerId, GoodsId, MerchantId};

type LineRow = (i64, i32, bool);

fn line((goods_id, count, is_selected): LineRow) -> QueryResult<CartLine> {
    let count = u32::try_from(count).map_err(|error| corrupt(Corrupt::from(error)))?;
    Ok(CartLine { goods_id: GoodsId(goods_id), count, is_selected })
}

/// A customer's cart, if they have one.
pub fn find(conn: &mut Conn, merchant: MerchantId, customer: CustomerId) -> QueryResult<Option<Cart>> {
    let of_cart = cart_lines::merchant_id.eq(carts::merchant_id).and(cart_lines::customer_id.eq(carts::customer_id));
    let rows: Vec<(Uuid, Option<LineRow>)> = carts::table
        .left_join(cart_lines::table.on(of_cart.and(cart_lines::merchant_id.eq(merchant.0))))
        .filter(carts::merchant_id.eq(merchant.0))
        .filter(carts::customer_id.eq(customer.0))
        .order((cart_lines::added_at, cart_lines::goods_id))
        .select((carts::id, (cart_lines::goods_id, cart_lines::count, cart_lines::is_selected).nullable()))
        .load(conn)?;
    let Some(&(id, _)) = rows.first() else { return Ok(None) };
    let lines = rows.into_iter().filter_map(|(_, row)| row).map(line).collect::<QueryResult<_>>()?;
    Ok(Some(Cart { id: CartId(id), lines }))
}

/// Locks a customer's cart until the transaction ends, and reads it. Who has none gets an empty one, under the id `fresh`.
pub fn lock(tx: &mut Tx<'_>, customer: CustomerId, fresh: CartId, now: DateTime<Utc>) -> QueryResult<Cart> {
    diesel::insert_into(carts::table)
        .values((
            carts::merchant_id.eq(tx.merchant.0),
            carts::customer_id.eq(customer.0),
            carts::id.eq(fresh.0),
            carts::changed_at.eq(now),
        ))
        .on_conflict((carts::merchant_id, carts::customer_id))
        .do_nothing()
        .execute(tx.conn)?;
    let id: Uuid = carts::table.find((tx.merchant.0, customer.0)).select(carts::id).for_update().first(tx.conn)?;
    // A statement of its own: it sees what was committed while the lock was waited for.
    let rows: Vec<LineRow> = cart_lines::table
        .filter(cart_lines::merchant_id.eq(tx.merchant.0))
        .filter(cart_lines::customer_id.eq(customer.0))
        .order((cart_lines::added_at, cart_lines::goods_id))
        .select((cart_lines::goods_id, cart_lines::count, cart_lines::is_selected))
        .load(tx.conn)?;
    Ok(Cart { id: CartId(id), lines: rows.into_iter().map(line).collect::<QueryResult<_>>()? })
}

/// Writes what has become of a cart that was locked as `before`, if anything has. What is new to it goes to its end.
pub fn update(
    tx: &mut Tx<'_>,
    customer: CustomerId,
    before: &Cart,
    after: &Cart,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    if before == after {
        return Ok(());
    }
    diesel::update(carts::table.find((tx.merchant.0, customer.0)))
        .set((carts::id.eq(after.id.0), carts::changed_at.eq(now)))
        .execute(tx.conn)?;
    let left: Vec<i64> =
        before.lines.iter().filter(|line| after.line(line.goods_id).is_none()).map(|line| line.goods_id.0).collect();
    if !left.is_empty() {
        diesel::delete(cart_lines::table)
            .filter(cart_lines::merchant_id.eq(tx.merchant.0))
            .filter(cart_lines::customer_id.eq(customer.0))
            .filter(cart_lines::goods_id.eq_any(left))
            .execute(tx.conn)?;
    }
    let known: HashMap<GoodsId, &CartLine> = before.lines.iter().map(|line| (line.goods_id, line)).collect();
    let changed: Vec<_> = after
        .lines
        .iter()
        .filter(|line| known.get(&line.goods_id) != Some(line))
        .map(|line| {
            (
                cart_lines::merchant_id.eq(tx.merchant.0),
                cart_lines::customer_id.eq(customer.0),
                cart_lines::goods_id.eq(line.goods_id.0),
                cart_lines::count.eq(i32::try_from(line.count).expect("a count has been held against its limit")),
                cart_lines::is_selected.eq(line.is_selected),
                cart_lines::added_at.eq(now),
            )
        })
        .collect();
    if !changed.is_empty() {
        diesel::insert_into(cart_lines::table)
            .values(changed)
            .on_conflict((cart_lines::merchant_id, cart_lines::customer_id, cart_lines::goods_id))
            .do_update()
            .set((
                cart_lines::count.eq(excluded(cart_lines::count)),
                cart_lines::is_selected.eq(excluded(cart_lines::is_selected)),
            ))
            .execute(tx.conn)?;
    }
    Ok(())
}
