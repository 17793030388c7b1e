//! Stock as the staff and the day change it: by deltas, under the lock of the goods rows.
//!
//! Sold out is what the kitchen says, not what was counted: the units in stock are set aside, and lifting puts them back.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::clock::uuid_at;
use crate::domain::GoodsId;
use crate::domain::moves::Actor;
use crate::error::Error;
use crate::store::stock::{NewMove, Stock};
use crate::store::{self, Tx, outbox};

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
