//! Leases, where no Redis keeps them: who does a piece of work, until when.
//!
//! Contract:
//! * Times are the database's own, so that no instance's clock matters. They are read by a statement of their own and bound, because a
//!   distributed table takes no volatile function in what changes it; for a renewal that makes the lease end sooner, never later.
//! * Whoever takes, renews or releases a lease does so in a transaction of its own: nothing else is locked with a lease's row.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::upsert::excluded;

use super::measures::{clock_timestamp, time};
use super::schema::leases;
use super::{Conn, QueryResult, Tx};
use crate::domain::MerchantId;

/// Whether somebody has the lease. It costs no write, and may have changed by the time it is answered.
pub fn is_held(conn: &mut Conn, merchant: MerchantId, name: &str) -> QueryResult<bool> {
    let held = leases::table.find((merchant.0, name)).filter(leases::expires_at.gt(clock_timestamp()));
    diesel::select(diesel::dsl::exists(held)).get_result(conn)
}

/// Takes the lease for `ttl` unless somebody has it. Returns its fence, greater than that of every holder before.
pub fn acquire(tx: &mut Tx<'_>, name: &str, token: &str, ttl: TimeDelta) -> QueryResult<Option<i64>> {
    // Makes the row, or locks the one that is there; in one step, so that none can be purged in between.
    let (fence, expires_at): (i64, DateTime<Utc>) = diesel::insert_into(leases::table)
        .values((
            leases::merchant_id.eq(tx.merchant.0),
            leases::name.eq(name),
            leases::fence.eq(0),
            leases::expires_at.eq(DateTime::UNIX_EPOCH),
        ))
        .on_conflict((leases::merchant_id, leases::name))
        .do_update()
        .set(leases::name.eq(excluded(leases::name)))
        .returning((leases::fence, leases::expires_at))
        .get_result(tx.conn)?;
    // Only now that the row is locked: whoever waited for it must not judge by the time they began to wait.
    let now = time(tx.conn)?;
    if expires_at > now {
        tx.discard();
        return Ok(None);
    }
    // The time, in microseconds, is greater than any fence that was purged; the fence before it, than any the clock was set back to.
    let fence = now.timestamp_micros().max(fence + 1);
    diesel::update(leases::table.find((tx.merchant.0, name)))
        .set((leases::token.eq(token), leases::fence.eq(fence), leases::expires_at.eq(now + ttl)))
        .execute(tx.conn)?;
    Ok(Some(fence))
}

/// Makes the lease last for `ttl` from now. False when it is not the token's any more, or has run out.
pub fn renew(tx: &mut Tx<'_>, name: &str, token: &str, ttl: TimeDelta) -> QueryResult<bool> {
    let now = time(tx.conn)?;
    let renewed = diesel::update(leases::table.find((tx.merchant.0, name)))
        .filter(leases::token.eq(token))
        .filter(leases::expires_at.gt(now))
        .set(leases::expires_at.eq(now + ttl))
        .execute(tx.conn)?;
    Ok(renewed == 1)
}

/// Frees the lease. False when it is not the token's any more, or has run out.
pub fn release(tx: &mut Tx<'_>, name: &str, token: &str) -> QueryResult<bool> {
    let now = time(tx.conn)?;
    let released = diesel::update(leases::table.find((tx.merchant.0, name)))
        .filter(leases::token.eq(token))
        .filter(leases::expires_at.gt(now))
        .set((leases::token.eq(None::<String>), leases::expires_at.eq(now)))
        .execute(tx.conn)?;
    Ok(released == 1)
}

/// The merchants with leases that ran out before `before`.
pub fn with_expired(conn: &mut Conn, before: DateTime<Utc>) -> QueryResult<Vec<MerchantId>> {
    let ids: Vec<i64> = leases::table
        .filter(leases::expires_at.lt(before))
        .order(leases::merchant_id)
        .select(leases::merchant_id)
        .distinct()
        .load(conn)?;
    Ok(ids.into_iter().map(MerchantId).collect())
}

/// Forgets the merchant's leases that ran out before `before`, and returns how many. A day after nobody can take their fences for newer
/// ones, whatever the database's clock was set to meanwhile.
pub fn purge(tx: &mut Tx<'_>, before: DateTime<Utc>) -> QueryResult<usize> {
    diesel::delete(leases::table)
        .filter(leases::merchant_id.eq(tx.merchant.0))
        .filter(leases::expires_at.lt(before))
        .execute(tx.conn)
}
