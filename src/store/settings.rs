//! A merchant's settings as its staff change them, and the day its stock was last set for.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use chrono_tz::Tz;
use diesel::prelude::*;

use super::merchants::{self, Merchant};
use super::rows::corrupt;
use super::schema::merchants as table;
use super::{Conn, LockRank, QueryResult, Tx};
use crate::domain::money::Money;
use crate::domain::{BusinessDays, MerchantId};

/// Where a merchant wants to be told of what happens, if anywhere.
pub fn webhook_url(conn: &mut Conn, merchant: MerchantId) -> QueryResult<Option<String>> {
    table::table.find(merchant.0).select(table::webhook_url).first(conn).optional().map(Option::flatten)
}

/// After how many minutes a merchant's orders that are ready or on their way are completed by themselves, if they ever are. Not a field
/// of [`Merchant`], which every placement reads.
pub fn complete_after_minutes(conn: &mut Conn, merchant: MerchantId) -> QueryResult<Option<i32>> {
    table::table.find(merchant.0).select(table::complete_after_minutes).first(conn).optional().map(Option::flatten)
}

/// Sets after how many minutes orders are completed by themselves, if ever.
pub fn set_complete_after(tx: &mut Tx<'_>, minutes: Option<i32>) -> QueryResult<()> {
    diesel::update(table::table.find(tx.merchant.0)).set(table::complete_after_minutes.eq(minutes)).execute(tx.conn)?;
    Ok(())
}

/// Locks the settings until the transaction ends and reads them. Placements do not wait: they only read.
pub fn lock(tx: &mut Tx<'_>) -> QueryResult<Option<Merchant>> {
    tx.enter(LockRank::Merchant);
    let id: Option<i64> =
        table::table.find(tx.merchant.0).select(table::id).for_no_key_update().first(tx.conn).optional()?;
    match id {
        Some(_) => merchants::find(tx.conn, tx.merchant),
        None => Ok(None),
    }
}

/// Rewrites the settings, which are locked; some are for [`set_complete_after`] and [`set_webhook`].
pub fn update(tx: &mut Tx<'_>, merchant: &Merchant) -> QueryResult<()> {
    let setting = |number: u32| i32::try_from(number).expect("points are at most ten thousand a yuan");
    diesel::update(table::table.find(tx.merchant.0))
        .set((
            table::name_zh.eq(&merchant.name.zh),
            table::name_en.eq(&merchant.name.en),
            table::time_zone.eq(merchant.time_zone.name()),
            table::opens_at.eq(merchant.hours.map(|hours| hours.opens_at)),
            table::closes_at.eq(merchant.hours.map(|hours| hours.closes_at)),
            table::paused.eq(merchant.paused),
            table::offers_dine_in.eq(merchant.offered.dine_in),
            table::offers_pickup.eq(merchant.offered.pickup),
            table::offers_delivery.eq(merchant.offered.delivery),
            table::takes_cash.eq(merchant.offered.cash),
            table::minimum_amount.eq(merchant.minimum_amount.decimal()),
            table::freight.eq(merchant.freight.decimal()),
            table::free_freight_from.eq(merchant.free_freight_from.map(Money::decimal)),
            table::unpaid_minutes.eq(merchant.unpaid_minutes),
            table::accept_minutes.eq(merchant.accept_minutes),
            table::day_starts_at.eq(merchant.day_starts_at),
            table::auto_accept.eq(merchant.auto_accept),
            table::accept_timeout.eq(if merchant.timeout_accepts { "accept" } else { "reject" }),
            table::customer_cancels.eq(merchant.customer_cancels),
            table::points_per_yuan.eq(setting(merchant.points_per_yuan)),
            table::points_earned_per_yuan.eq(setting(merchant.points_earned_per_yuan)),
            table::points_earned_on.eq(merchant.points_earned_on.name()),
        ))
        .execute(tx.conn)?;
    Ok(())
}

/// Sets where to tell of what happens; the secret that signs it stays where there is one.
pub fn set_webhook(tx: &mut Tx<'_>, url: Option<&str>, secret: Option<&str>) -> QueryResult<()> {
    let row = table::table.find(tx.merchant.0);
    match (url, secret) {
        (None, _) => diesel::update(row)
            .set((table::webhook_url.eq(None::<&str>), table::webhook_secret.eq(None::<&str>)))
            .execute(tx.conn)?,
        (Some(url), None) => diesel::update(row).set(table::webhook_url.eq(url)).execute(tx.conn)?,
        (Some(url), Some(secret)) => {
            diesel::update(row).set((table::webhook_url.eq(url), table::webhook_secret.eq(secret))).execute(tx.conn)?
        }
    };
    Ok(())
}

/// The merchants in whose zone a day of business has begun since their stock was last set, with that day. A plain read of all of them:
/// whoever acts on one looks again.
pub fn turned(conn: &mut Conn, now: DateTime<Utc>) -> QueryResult<Vec<(MerchantId, NaiveDate)>> {
    type Row = (i64, String, NaiveTime, Option<NaiveDate>);
    let rows: Vec<Row> = table::table
        .order(table::id)
        .select((table::id, table::time_zone, table::day_starts_at, table::stock_day))
        .load(conn)?;
    let mut turned = Vec::new();
    for (id, zone, starts_at, stock_day) in rows {
        let time_zone: Tz = zone.parse().map_err(|error: chrono_tz::ParseError| corrupt(error.into()))?;
        let day = BusinessDays { time_zone, starts_at }.of(now);
        if stock_day < Some(day) {
            turned.push((MerchantId(id), day));
        }
    }
    Ok(turned)
}

/// What became of a day that was to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DayBegun {
    /// It is the merchant's first: there is none whose stock it follows.
    First,
    /// It follows another one.
    Next,
    /// Somebody was faster, or it is over already.
    Before,
}

/// Begins a day of stock, once: of two that try, one finds that the other was faster. The row stays locked until the transaction ends.
pub fn begin_stock_day(tx: &mut Tx<'_>, day: NaiveDate) -> QueryResult<DayBegun> {
    tx.enter(LockRank::Merchant);
    let row = table::table.find(tx.merchant.0);
    let next = diesel::update(row).filter(table::stock_day.lt(day)).set(table::stock_day.eq(day)).execute(tx.conn)?;
    if next == 1 {
        return Ok(DayBegun::Next);
    }
    let first =
        diesel::update(row).filter(table::stock_day.is_null()).set(table::stock_day.eq(day)).execute(tx.conn)?;
    Ok(if first == 1 { DayBegun::First } else { DayBegun::Before })
}
