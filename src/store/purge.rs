//! What is forgotten after its time.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use super::board::first_id;
use super::schema::{merchants, orders};
use super::{Conn, LockRank, QueryResult, Tx};
use crate::domain::MerchantId;

/// How much time one step forgets the keys of, so that no transaction grows with the history.
const STEP: TimeDelta = TimeDelta::hours(6);

/// The merchants some of whose orders, placed before `before`, may still have their idempotency keys.
pub fn with_old_keys(conn: &mut Conn, before: DateTime<Utc>) -> QueryResult<Vec<MerchantId>> {
    // An hour at least is forgotten at once: otherwise every look would find a moment's worth.
    let due = before - TimeDelta::hours(1);
    let ids: Vec<i64> = merchants::table
        .filter(merchants::created_at.lt(due))
        .filter(merchants::keys_purged_to.is_null().or(merchants::keys_purged_to.lt(due)))
        .order(merchants::id)
        .select(merchants::id)
        .load(conn)?;
    Ok(ids.into_iter().map(MerchantId).collect())
}

/// Takes the idempotency keys from the merchant's next orders that were placed before `before`, a few hours' worth at a time, and returns
/// how many. Orders are found by their ids, which follow the time they were placed at.
pub fn forget_keys(tx: &mut Tx<'_>, before: DateTime<Utc>) -> QueryResult<usize> {
    tx.enter(LockRank::Merchant);
    let (purged_to, created_at): (Option<DateTime<Utc>>, DateTime<Utc>) = merchants::table
        .find(tx.merchant.0)
        .select((merchants::keys_purged_to, merchants::created_at))
        .for_no_key_update()
        .first(tx.conn)?;
    let from = purged_to.unwrap_or(created_at);
    if from >= before {
        return Ok(0);
    }
    // Long stretches without orders are crossed at once.
    let next: Option<Uuid> = orders::table
        .filter(orders::merchant_id.eq(tx.merchant.0))
        .filter(orders::id.ge(first_id(from)))
        .filter(orders::id.lt(first_id(before)))
        .order(orders::id)
        .select(orders::id)
        .first(tx.conn)
        .optional()?;
    let (rows, to) = match next {
        None => (0, before),
        Some(next) => {
            let to = placed_at(next).unwrap_or(from).max(from) + STEP;
            let to = to.min(before);
            let rows = diesel::update(orders::table)
                .filter(orders::merchant_id.eq(tx.merchant.0))
                .filter(orders::id.ge(next))
                .filter(orders::id.lt(first_id(to)))
                .filter(orders::idempotency_key.is_not_null())
                .set((orders::idempotency_key.eq(None::<String>), orders::request_hash.eq(None::<Vec<u8>>)))
                .execute(tx.conn)?;
            (rows, to)
        }
    };
    diesel::update(merchants::table.find(tx.merchant.0)).set(merchants::keys_purged_to.eq(to)).execute(tx.conn)?;
    Ok(rows)
}

fn placed_at(id: Uuid) -> Option<DateTime<Utc>> {
    let (seconds, nanoseconds) = id.get_timestamp()?.to_unix();
    DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanoseconds)
}
