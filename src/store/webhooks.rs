//! Deliveries of events to merchants' webhooks: which are due, who has them in hand, what became of them.
//!
//! A delivery is claimed for a while ([`claim`]), made outside any transaction, and settled by whoever has it still: the number of the
//! attempt tells. A merchant's events are delivered in order: only the first that is neither delivered nor parked can be claimed.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::dsl::min;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Timestamptz};

use super::events::{Event, find};
use super::schema::{events, merchants, webhook_deliveries};
use super::{Conn, LockRank, QueryResult, Tx};
use crate::config::Secret;
use crate::domain::MerchantId;

/// A delivery as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Queryable)]
pub struct Delivery {
    /// The event's number.
    pub seq: i64,
    /// The event's kind.
    pub kind: String,
    /// `pending`, `delivered` or `parked`.
    pub state: String,
    /// How often it was tried since it was last put in.
    pub attempts: i32,
    /// When it is tried next, while it is pending.
    pub due_at: DateTime<Utc>,
    /// The status it was last answered with.
    pub last_status: Option<i32>,
    /// Why it failed the last time.
    pub last_error: Option<String>,
    /// When it was delivered.
    pub delivered_at: Option<DateTime<Utc>>,
}

/// The states of a delivery.
pub const STATES: [&str; 3] = ["pending", "delivered", "parked"];

/// A delivery that somebody has in hand.
#[derive(Debug)]
pub struct Claim {
    /// What is to be delivered.
    pub event: Event,
    /// Which attempt this is, counted from 1.
    pub attempt: i32,
    /// Until when it is ours.
    pub until: DateTime<Utc>,
    /// Where to.
    pub url: String,
    /// What it is signed with.
    pub secret: Secret,
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

/// Merchants with a webhook who have something to be published: at most `limit`.
pub fn merchants_told(conn: &mut Conn, limit: i64) -> QueryResult<Vec<MerchantId>> {
    let sql = "SELECT m.id FROM merchants m WHERE m.webhook_url IS NOT NULL \
               AND EXISTS (SELECT FROM outbox o WHERE o.merchant_id = m.id) ORDER BY m.id LIMIT $1";
    let ids: Vec<Id> = diesel::sql_query(sql).bind::<BigInt, _>(limit).load(conn)?;
    Ok(ids.into_iter().map(|row| MerchantId(row.id)).collect())
}

/// Merchants with a webhook whose first pending delivery is due: at most `limit`, those that have waited longest first.
pub fn merchants_due(conn: &mut Conn, now: DateTime<Utc>, limit: i64) -> QueryResult<Vec<MerchantId>> {
    let sql = "SELECT m.id FROM merchants m CROSS JOIN LATERAL ( \
                   SELECT d.due_at FROM webhook_deliveries d WHERE d.merchant_id = m.id AND d.state = 'pending' \
                   ORDER BY d.seq LIMIT 1) first \
               WHERE m.webhook_url IS NOT NULL AND first.due_at <= $1 ORDER BY first.due_at, m.id LIMIT $2";
    let query = diesel::sql_query(sql).bind::<Timestamptz, _>(now).bind::<BigInt, _>(limit);
    Ok(query.load::<Id>(conn)?.into_iter().map(|row| MerchantId(row.id)).collect())
}

/// Takes the merchant's next delivery in hand until `now + lease`, if it is due and nobody else has it.
pub fn claim(tx: &mut Tx<'_>, now: DateTime<Utc>, lease: TimeDelta) -> QueryResult<Option<Claim>> {
    let merchant = tx.merchant.0;
    let webhook = merchants::table.find(merchant).select((merchants::webhook_url, merchants::webhook_secret));
    let webhook: Option<(Option<String>, Option<String>)> = webhook.first(tx.conn).optional()?;
    let Some((Some(url), Some(secret))) = webhook else { return Ok(None) };
    // The literal is the index's.
    let first: Option<i64> = webhook_deliveries::table
        .filter(webhook_deliveries::merchant_id.eq(merchant))
        .filter(diesel::dsl::sql::<diesel::sql_types::Bool>("state = 'pending'"))
        .select(min(webhook_deliveries::seq))
        .first(tx.conn)?;
    let Some(seq) = first else { return Ok(None) };
    tx.enter(LockRank::Delivery);
    // That row and no other: whoever finds it locked must not go on with the one behind it.
    let attempts: Option<i32> = webhook_deliveries::table
        .find((merchant, seq))
        .filter(webhook_deliveries::state.eq("pending"))
        .filter(webhook_deliveries::due_at.le(now))
        .select(webhook_deliveries::attempts)
        .for_update()
        .skip_locked()
        .first(tx.conn)
        .optional()?;
    let Some(attempts) = attempts else { return Ok(None) };
    let (attempt, until) = (attempts + 1, now + lease);
    diesel::update(webhook_deliveries::table.find((merchant, seq)))
        .set((webhook_deliveries::attempts.eq(attempt), webhook_deliveries::due_at.eq(until)))
        .execute(tx.conn)?;
    let event = find(tx.conn, tx.merchant, seq)?;
    Ok(Some(Claim { event, attempt, until, url, secret: secret.into() }))
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It was taken.
    Delivered {
        /// The status it was answered with.
        status: u16,
    },
    /// It was not, and is tried again.
    Failed {
        /// The status it was answered with, if it was.
        status: Option<u16>,
        /// Why.
        error: String,
        /// When it is tried next.
        again_at: DateTime<Utc>,
    },
    /// It was not, and is not tried again by itself.
    Parked {
        /// The status it was answered with, if it was.
        status: Option<u16>,
        /// Why.
        error: String,
    },
}

/// Writes down what became of the attempt that `claim` stands for; tells whether it was still ours.
pub fn settle(tx: &mut Tx<'_>, claim: &Claim, attempt: &Attempt, now: DateTime<Utc>) -> QueryResult<bool> {
    tx.enter(LockRank::Delivery);
    let (state, status, error, due_at, delivered_at) = match attempt {
        Attempt::Delivered { status } => ("delivered", Some(*status), None, None, Some(now)),
        Attempt::Failed { status, error, again_at } => ("pending", *status, Some(error), Some(*again_at), None),
        Attempt::Parked { status, error } => ("parked", *status, Some(error), None, None),
    };
    let rows = diesel::update(webhook_deliveries::table.find((tx.merchant.0, claim.event.seq)))
        .filter(webhook_deliveries::state.eq("pending"))
        .filter(webhook_deliveries::attempts.eq(claim.attempt))
        .filter(webhook_deliveries::due_at.eq(claim.until))
        .set((
            webhook_deliveries::state.eq(state),
            webhook_deliveries::last_status.eq(status.map(i32::from)),
            webhook_deliveries::last_error.eq(error),
            due_at.map(|due_at| webhook_deliveries::due_at.eq(due_at)),
            webhook_deliveries::delivered_at.eq(delivered_at),
        ))
        .execute(tx.conn)?;
    Ok(rows == 1)
}

/// Puts a delivery in again that was parked, or that waits for its next try: due at once, and as if it had never been tried. None when
/// there is no such delivery; false when it was delivered.
pub fn retry(tx: &mut Tx<'_>, seq: i64, now: DateTime<Utc>) -> QueryResult<Option<bool>> {
    tx.enter(LockRank::Delivery);
    let delivery = webhook_deliveries::table.find((tx.merchant.0, seq));
    let state: Option<String> = delivery.select(webhook_deliveries::state).for_update().first(tx.conn).optional()?;
    let Some(state) = state else { return Ok(None) };
    if state == "delivered" {
        return Ok(Some(false));
    }
    diesel::update(delivery)
        .set((
            webhook_deliveries::state.eq("pending"),
            webhook_deliveries::attempts.eq(0),
            webhook_deliveries::due_at.eq(now),
        ))
        .execute(tx.conn)?;
    Ok(Some(true))
}

/// Parks what is pending of a webhook that is taken away, or that was: there is nowhere to deliver it to. The counter must be locked: who
/// publishes has committed by now, and what they queued is seen here, or waits and then sees that there is no webhook.
pub fn park_pending(tx: &mut Tx<'_>) -> QueryResult<usize> {
    tx.enter(LockRank::Delivery);
    // Of one that was dead for a week there may be hundreds of thousands, and a time-out would be the same the next time.
    diesel::sql_query("SET LOCAL statement_timeout = 0").execute(tx.conn)?;
    diesel::update(webhook_deliveries::table.filter(webhook_deliveries::merchant_id.eq(tx.merchant.0)))
        .filter(webhook_deliveries::state.eq("pending"))
        .set((
            webhook_deliveries::state.eq("parked"),
            webhook_deliveries::last_status.eq(None::<i32>),
            webhook_deliveries::last_error.eq("the webhook was taken away"),
        ))
        .execute(tx.conn)
}

/// Deliveries with a number below `before`, the latest first, where wanted of one state only.
pub fn page(
    conn: &mut Conn,
    merchant: MerchantId,
    state: Option<&str>,
    before: Option<i64>,
    limit: i64,
) -> QueryResult<Vec<Delivery>> {
    let mut query =
        webhook_deliveries::table
            .inner_join(events::table.on(
                events::merchant_id.eq(webhook_deliveries::merchant_id).and(events::seq.eq(webhook_deliveries::seq)),
            ))
            .filter(webhook_deliveries::merchant_id.eq(merchant.0))
            .filter(events::merchant_id.eq(merchant.0))
            .order(webhook_deliveries::seq.desc())
            .select((
                webhook_deliveries::seq,
                events::kind,
                webhook_deliveries::state,
                webhook_deliveries::attempts,
                webhook_deliveries::due_at,
                webhook_deliveries::last_status,
                webhook_deliveries::last_error,
                webhook_deliveries::delivered_at,
            ))
            .limit(limit)
            .into_boxed();
    if let Some(state) = state {
        query = query.filter(webhook_deliveries::state.eq(state.to_owned()));
    }
    if let Some(before) = before {
        query = query.filter(webhook_deliveries::seq.lt(before));
    }
    query.load(conn)
}
