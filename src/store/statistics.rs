//! What a merchant's days came to.
//!
//! Contract: reads only. An order, its money, its refunds and its dishes all count for the day the order was placed on, whenever they
//! moved; so a day's numbers belong together, and change while its orders do.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Integer, Numeric, Text, Timestamptz, Uuid as SqlUuid};
use rust_decimal::Decimal;

use super::board::ids_around;
use super::rows::{Corrupt, corrupt};
use super::{Conn, QueryResult};
use crate::domain::money::Money;
use crate::domain::{GoodsId, LocalText, MerchantId};

/// What a span of time came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Money that came in, less what went back or is on its way.
    pub turnover: Money,
    /// Orders for which any of it is left.
    pub paid_orders: u64,
    /// Orders placed.
    pub placed: u64,
    /// Of them, by now: completed,
    pub completed: u64,
    /// cancelled,
    pub cancelled: u64,
    /// rejected.
    pub rejected: u64,
    /// Orders that somebody of the staff accepted.
    pub accepted: u64,
    /// How long those waited, in seconds, together.
    pub accept_seconds: u64,
}

/// A sum as an amount. Orders are bounded, their sums are not: what is beyond all amounts is shown as the largest.
fn bounded(sum: Decimal) -> Money {
    Money::new(sum.clamp(Decimal::ZERO, Money::MAX.decimal())).unwrap_or_default()
}

impl Sums {
    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            turnover: bounded(self.turnover.decimal() + other.turnover.decimal()),
            paid_orders: self.paid_orders + other.paid_orders,
            placed: self.placed + other.placed,
            completed: self.completed + other.completed,
            cancelled: self.cancelled + other.cancelled,
            rejected: self.rejected + other.rejected,
            accepted: self.accepted + other.accepted,
            accept_seconds: self.accept_seconds + other.accept_seconds,
        }
    }
}

#[derive(QueryableByName)]
struct SpanRow {
    #[diesel(sql_type = Integer)]
    span: i32,
    #[diesel(sql_type = Numeric)]
    turnover: Decimal,
    #[diesel(sql_type = BigInt)]
    paid_orders: i64,
    #[diesel(sql_type = BigInt)]
    placed: i64,
    #[diesel(sql_type = BigInt)]
    completed: i64,
    #[diesel(sql_type = BigInt)]
    cancelled: i64,
    #[diesel(sql_type = BigInt)]
    rejected: i64,
    #[diesel(sql_type = BigInt)]
    accepted: i64,
    #[diesel(sql_type = BigInt)]
    accept_seconds: i64,
}

impl TryFrom<SpanRow> for Sums {
    type Error = Corrupt;

    fn try_from(row: SpanRow) -> Result<Self, Corrupt> {
        Ok(Self {
            turnover: bounded(row.turnover),
            paid_orders: row.paid_orders.try_into()?,
            placed: row.placed.try_into()?,
            completed: row.completed.try_into()?,
            cancelled: row.cancelled.try_into()?,
            rejected: row.rejected.try_into()?,
            accepted: row.accepted.try_into()?,
            accept_seconds: row.accept_seconds.try_into()?,
        })
    }
}

/// `$1` the merchant, `$2` the first moment of each span, `$3` the first moment after the last, `$4` and `$5` the ids to look among. An
/// order waits to be accepted from its placing or, where it is paid first, from its payment.
const SPANS: &str = "
    SELECT width_bucket(o.placed_at, $2) AS span, coalesce(sum(coalesce(p.paid, 0) - coalesce(r.refunded, 0)), 0) AS turnover,
        count(*) FILTER (WHERE p.paid > coalesce(r.refunded, 0)) AS paid_orders, count(*) AS placed,
        count(*) FILTER (WHERE o.state = 'completed') AS completed, count(*) FILTER (WHERE o.state = 'cancelled') AS cancelled,
        count(*) FILTER (WHERE o.state = 'rejected') AS rejected, count(e.accepted_at) AS accepted,
        coalesce(sum(greatest(extract(epoch FROM e.accepted_at - coalesce(e.paid_at, o.placed_at)), 0)), 0)::bigint AS accept_seconds
    FROM orders o
    LEFT JOIN LATERAL (SELECT sum(amount) AS paid FROM payments
        WHERE merchant_id = $1 AND order_id = o.id AND state LIKE 'paid%') p ON true
    LEFT JOIN LATERAL (SELECT sum(amount) AS refunded FROM refunds
        WHERE merchant_id = $1 AND order_id = o.id) r ON true
    LEFT JOIN LATERAL (SELECT min(happened_at) FILTER (WHERE move = 'accept' AND actor LIKE 'staff %') AS accepted_at,
            min(happened_at) FILTER (WHERE move = 'pay') AS paid_at FROM order_events
        WHERE merchant_id = $1 AND order_id = o.id) e ON true
    WHERE o.merchant_id = $1 AND o.placed_at >= $2[1] AND o.placed_at < $3 AND o.id BETWEEN $4 AND $5
    GROUP BY 1";

/// What each span of time came to. A span lasts from its start to the next one's, the last until `until`, and none longer.
pub fn spans(
    conn: &mut Conn,
    merchant: MerchantId,
    starts: &[DateTime<Utc>],
    until: DateTime<Utc>,
) -> QueryResult<Vec<Sums>> {
    let Some(start) = starts.first() else { return Ok(Vec::new()) };
    let (first, last) = ids_around(*start, until);
    let rows: Vec<SpanRow> = diesel::sql_query(SPANS)
        .bind::<BigInt, _>(merchant.0)
        .bind::<Array<Timestamptz>, _>(starts)
        .bind::<Timestamptz, _>(until)
        .bind::<SqlUuid, _>(first)
        .bind::<SqlUuid, _>(last)
        .load(conn)?;
    let mut sums = vec![Sums::default(); starts.len()];
    for row in rows {
        let span = usize::try_from(row.span - 1).ok().filter(|span| *span < sums.len());
        let span = span.ok_or_else(|| corrupt("an order of no span".into()))?;
        sums[span] = row.try_into().map_err(corrupt)?;
    }
    Ok(sums)
}

/// A dish in one spec, and how well it sold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sold {
    /// The goods.
    pub goods_id: GoodsId,
    /// The dish, as it is called now.
    pub name: LocalText,
    /// The spec of the dish.
    pub spec: LocalText,
    /// Units, without those that were paid back.
    pub units: u64,
    /// What they cost.
    pub amount: Money,
}

#[derive(QueryableByName)]
struct SoldRow {
    #[diesel(sql_type = BigInt)]
    goods_id: i64,
    #[diesel(sql_type = Text)]
    name_zh: String,
    #[diesel(sql_type = Text)]
    name_en: String,
    #[diesel(sql_type = Text)]
    spec_zh: String,
    #[diesel(sql_type = Text)]
    spec_en: String,
    #[diesel(sql_type = BigInt)]
    units: i64,
    #[diesel(sql_type = Numeric)]
    amount: Decimal,
}

/// By what dishes are ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Units.
    Units,
    /// What they cost.
    Amount,
}

/// `$1` the merchant, `$2` and `$3` the time, `$4` and `$5` the ids to look among, `$6` how many, `$7` the rank.
const SOLD: &str = "
    SELECT g.id AS goods_id, d.name_zh, d.name_en, g.spec_zh, g.spec_en, s.units, s.amount
    FROM (
        SELECT l.goods_id, sum(l.count - l.refunded_count)::bigint AS units, sum((l.count - l.refunded_count) * l.price) AS amount
        FROM orders o JOIN order_lines l ON l.merchant_id = $1 AND l.order_id = o.id
        WHERE o.merchant_id = $1 AND o.placed_at >= $2 AND o.placed_at < $3 AND o.id BETWEEN $4 AND $5
            AND o.state NOT IN ('pending_payment', 'cancelled', 'rejected')
        GROUP BY l.goods_id) s
    JOIN goods g ON g.merchant_id = $1 AND g.id = s.goods_id
    JOIN products d ON d.merchant_id = $1 AND d.id = g.product_id
    WHERE s.units > 0
    ORDER BY CASE $7 WHEN 'amount' THEN s.amount ELSE s.units END DESC, g.id
    LIMIT $6";

/// The dishes that sold best, in orders that are paid or will be, and neither cancelled nor rejected.
pub fn best_sellers(
    conn: &mut Conn,
    merchant: MerchantId,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    by: By,
    limit: i64,
) -> QueryResult<Vec<Sold>> {
    let (first, last) = ids_around(from, until);
    let rows: Vec<SoldRow> = diesel::sql_query(SOLD)
        .bind::<BigInt, _>(merchant.0)
        .bind::<Timestamptz, _>(from)
        .bind::<Timestamptz, _>(until)
        .bind::<SqlUuid, _>(first)
        .bind::<SqlUuid, _>(last)
        .bind::<BigInt, _>(limit)
        .bind::<Text, _>(if by == By::Amount { "amount" } else { "units" })
        .load(conn)?;
    let sold = |row: SoldRow| {
        Ok(Sold {
            goods_id: GoodsId(row.goods_id),
            name: LocalText::new(row.name_zh, row.name_en),
            spec: LocalText::new(row.spec_zh, row.spec_en),
            units: row.units.try_into()?,
            amount: bounded(row.amount),
        })
    };
    rows.into_iter().map(|row| sold(row).map_err(corrupt)).collect()
}
