//! Stock as the staff and the day change it: by deltas, under the lock of the goods rows.
//!
//! Sold out is what the kitchen says, not what was counted: the units in stock are set aside, and lifting puts them back.

use std::collections::BTreeMap;
use std::iter::once;

use chrono::{DateTime, NaiveDate, Utc};

use super::once::{Once, id_under};
use crate::clock::uuid_at;
use crate::domain::GoodsId;
use crate::domain::menu::{Goods, STOCK_MAX};
use crate::domain::moves::Actor;
use crate::domain::placement::IdempotencyKey;
use crate::error::Error;
use crate::store::settings::{self, DayBegun};
use crate::store::stock::{MoveRow, NewMove, Stock};
use crate::store::{self, Tx, menu, outbox};

/// A change of stock that one of the staff asks for.
#[derive(Clone, Debug)]
pub struct Moved {
    /// Which goods.
    pub goods: GoodsId,
    /// Units, not zero.
    pub delta: i32,
    /// Why, as a code.
    pub reason: &'static str,
    /// Why, in words.
    pub note: String,
}

/// Moves units into stock or out of it. With a key it is done once: the key makes the id of the move, and a repeat finds it.
///
/// # Errors
/// [`Error::StockTooLow`] when there are not as many, [`Error::KeyReused`] when the key stands for another move.
pub fn move_by_hand(
    tx: &mut Tx<'_>,
    wanted: &Moved,
    key: Option<&IdempotencyKey>,
    by: Actor,
    now: DateTime<Utc>,
) -> Result<Once<MoveRow>, Error> {
    let (merchant, Moved { goods, delta, reason, note }) = (tx.merchant(), wanted);
    let stock = *store::stock::lock(tx, &once(*goods).collect())?.get(goods).ok_or(Error::NotFound)?;
    let id = key.map_or_else(|| uuid_at(now), |key| id_under(key, &format!("stock move {merchant} {goods}")));
    if let Some(made) = store::stock::find_move(tx.conn(), merchant, *goods, id)? {
        let is_same =
            made.delta == *delta && made.reason == *reason && made.note.as_deref().unwrap_or_default() == note;
        // Nothing is done, so nothing is to stand in the trail.
        tx.discard();
        return if is_same { Ok(Once::DoneBefore(made)) } else { Err(Error::KeyReused) };
    }
    // What is set aside may come back.
    let units = stock.units.saturating_add(stock.sold_out_units.unwrap_or_default());
    if units.saturating_add(*delta) > STOCK_MAX {
        return Err(Error::invalid(
            "delta",
            format!("现有 {units} 份，最多 {STOCK_MAX} 份"),
            format!("there are {units} units, and there may be at most {STOCK_MAX}"),
        ));
    }
    let new = NewMove { id, goods: *goods, delta: *delta, reason, note, actor: &by.to_string() };
    if !store::stock::make_move(tx, &new, now)? {
        return Err(Error::StockTooLow { stock: stock.units });
    }
    let made = store::stock::find_move(tx.conn(), merchant, *goods, id)?;
    made.map(Once::Done).ok_or_else(|| Error::Internal("a stock move is not there".to_owned()))
}

/// Declares goods sold out: what is in stock is set aside. Goods that are sold out already stay so.
///
/// # Errors
/// [`Error::NotFound`] when the merchant has no such goods.
pub fn declare_sold_out(tx: &mut Tx<'_>, goods: GoodsId, by: Actor, now: DateTime<Utc>) -> Result<Goods, Error> {
    let stock = store::stock::lock(tx, &once(goods).collect())?;
    let Stock { units, sold_out_units, .. } = *stock.get(&goods).ok_or(Error::NotFound)?;
    if units == 0 && sold_out_units.is_some() {
        tx.discard();
    } else {
        mark_sold_out(tx, &stock, goods, units, by, now)?;
    }
    shown(tx, goods)
}

/// Lifts it: the units set aside come back to those that orders have given back meanwhile; or there are as many as `count` says. Goods
/// that are not sold out are left as they are.
///
/// # Errors
/// [`Error::NotFound`] when the merchant has no such goods.
pub fn lift_sold_out(
    tx: &mut Tx<'_>,
    goods: GoodsId,
    count: Option<i32>,
    by: Actor,
    now: DateTime<Utc>,
) -> Result<Goods, Error> {
    let stock = store::stock::lock(tx, &once(goods).collect())?;
    let Stock { units, sold_out_units, .. } = *stock.get(&goods).ok_or(Error::NotFound)?;
    match sold_out_units {
        None => tx.discard(),
        Some(set_aside) => {
            let count = count.unwrap_or_else(|| units.saturating_add(set_aside));
            bring_to(tx, (goods, units), count, "sold_out_lifted", by, now)?;
            store::stock::set_sold_out(tx, goods, None)?;
            if units == count {
                outbox::tell_of_goods(tx, goods, now)?;
            }
        }
    }
    shown(tx, goods)
}

fn shown(tx: &mut Tx<'_>, goods: GoodsId) -> Result<Goods, Error> {
    let merchant = tx.merchant();
    menu::find_goods(tx.conn(), merchant, goods)?.ok_or(Error::NotFound)
}

/// Begins a day of business for the merchant, once, however many try: goods whose stock is set by the day are brought to it, and are
/// sold out no longer. The first day a merchant sees is only noted: its stock was counted by whoever opened the shop. Returns whether
/// stock was set.
///
/// # Errors
/// What the database says.
pub fn reset_daily(tx: &mut Tx<'_>, day: NaiveDate, now: DateTime<Utc>) -> Result<bool, Error> {
    match settings::begin_stock_day(tx, day)? {
        DayBegun::Next => {}
        DayBegun::First => return Ok(false),
        DayBegun::Before => {
            tx.discard();
            return Ok(false);
        }
    }
    let merchant = tx.merchant();
    let ids = store::stock::daily(tx.conn(), merchant)?;
    for (goods, stock) in store::stock::lock(tx, &ids)? {
        // Somebody may have changed the menu between the look and the lock.
        let Some(daily) = stock.daily else { continue };
        bring_to(tx, (goods, stock.units), daily, "daily_reset", Actor::Timer, now)?;
        if stock.sold_out_units.is_some() {
            store::stock::set_sold_out(tx, goods, None)?;
            if stock.units == daily {
                outbox::tell_of_goods(tx, goods, now)?;
            }
        }
    }
    Ok(true)
}

/// Brings the stock of locked goods from what it is to what it is to be.
fn bring_to(
    tx: &mut Tx<'_>,
    (goods, units): (GoodsId, i32),
    count: i32,
    reason: &str,
    by: Actor,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    if units == count { Ok(()) } else { move_units(tx, goods, count - units, reason, by, now) }
}

/// Declares goods sold out. What is in stock by now, what the transaction has put back before included, leaves it by a move;
/// `set_aside` is what lifting puts back: the stock for a tap on the board, nothing where an order is rejected because there is none.
/// Goods that are sold out already stay so, and what was set aside before stays set aside.
///
/// # Errors
/// [`Error::NotFound`] when the goods are not among the locked ones.
pub fn mark_sold_out(
    tx: &mut Tx<'_>,
    stock: &BTreeMap<GoodsId, Stock>,
    goods: GoodsId,
    set_aside: i32,
    by: Actor,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let before = stock.get(&goods).ok_or(Error::NotFound)?.sold_out_units;
    let left = store::stock::units(tx, goods)?;
    if left > 0 {
        move_units(tx, goods, -left, "sold_out", by, now)?;
    }
    let units = before.unwrap_or(0).saturating_add(set_aside);
    if before != Some(units) {
        store::stock::set_sold_out(tx, goods, Some(units))?;
        // A move has told of the goods already.
        if left == 0 {
            outbox::tell_of_goods(tx, goods, now)?;
        }
    }
    Ok(())
}

/// Moves units that are known to be there.
fn move_units(
    tx: &mut Tx<'_>,
    goods: GoodsId,
    delta: i32,
    reason: &str,
    by: Actor,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let new = NewMove { id: uuid_at(now), goods, delta, reason, note: "", actor: &by.to_string() };
    let is_made = store::stock::make_move(tx, &new, now)?;
    assert!(is_made, "the row is locked, and was seen to have as many");
    Ok(())
}
