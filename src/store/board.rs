//! A merchant's orders as its staff look for them.
//!
//! Contract: reads only. Orders come the newest first, which is the order of their ids.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::dsl::sum;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Nullable};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::orders::{OrderRow, with_lines};
use super::rows::{Corrupt, corrupt, money};
use super::schema::{orders, payments, refunds};
use super::{Conn, QueryResult};
use crate::domain::money::Money;
use crate::domain::order::{Order, OrderState, PayMethod};
use crate::domain::{MerchantId, OrderId};

/// Which orders.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// One of these; without them, any.
    pub ids: Option<Vec<OrderId>>,
    /// In one of these states; none means in any.
    pub states: Vec<OrderState>,
    /// Placed at this time or later.
    pub from: Option<DateTime<Utc>>,
    /// Placed before this time.
    pub until: Option<DateTime<Utc>>,
    /// Paid in this way.
    pub pay_method: Option<PayMethod>,
    /// Reaching the customer in this way; see [`crate::domain::order::Fulfilment::name`].
    pub fulfilment: Option<&'static str>,
    /// With this somewhere in contact, phone, table or remark, as its pickup number, or at the beginning of its id.
    pub text: Option<String>,
}

/// How far the time in an order's id, which is made when the request arrives, may be from the time it was placed at. It is far less; but a
/// clock that was wrong for a while must hide no order.
const IDS_ARE_OFF: TimeDelta = TimeDelta::days(1);

/// The least id that can have been made at `time`, whose milliseconds stand in front.
pub(super) fn first_id(time: DateTime<Utc>) -> Uuid {
    Uuid::from_u128(u128::from(u64::try_from(time.timestamp_millis()).unwrap_or_default()) << 80)
}

/// The ids between which to look for orders that were placed from `from` until just before `until`.
pub(super) fn ids_around(from: DateTime<Utc>, until: DateTime<Utc>) -> (Uuid, Uuid) {
    (first_id(from - IDS_ARE_OFF), first_id(until + IDS_ARE_OFF))
}

type Condition<'a> = Box<dyn BoxableExpression<orders::table, Pg, SqlType = Nullable<Bool>> + 'a>;

/// The orders that [`Filter::text`] finds. Wildcards in it stand for themselves.
fn with_text<'a>(text: &str) -> Condition<'a> {
    let mut pattern = String::from("%");
    for letter in text.chars() {
        if ['%', '_', '\\'].contains(&letter) {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    let mut condition: Condition<'a> = Box::new(
        orders::contact
            .ilike(pattern.clone())
            .or(orders::phone.ilike(pattern.clone()))
            .or(orders::table_no.ilike(pattern.clone()))
            .or(orders::remark.ilike(pattern)),
    );
    if let Ok(number) = text.parse::<i32>() {
        condition = Box::new(condition.or(orders::pickup_no.eq(number)));
    }
    if let Some((first, last)) = ids_that_begin(text) {
        condition = Box::new(condition.or(orders::id.between(first, last)));
    }
    condition
}

/// The least and the greatest id whose text begins so, if any does.
fn ids_that_begin(text: &str) -> Option<(Uuid, Uuid)> {
    let template = "00000000-0000-0000-0000-000000000000";
    let rest = template.get(text.len()..)?;
    let fits = text.bytes().zip(template.bytes()).all(|(letter, place)| match place {
        b'-' => letter == b'-',
        _ => letter.is_ascii_hexdigit(),
    });
    let filled = |rest: String| Uuid::parse_str(&format!("{text}{rest}")).ok();
    if fits { Some((filled(rest.to_owned())?, filled(rest.replace('0', "f"))?)) } else { None }
}

/// At most `limit` of the orders that pass the filter, the newest first, placed before the order `before`.
pub fn page(
    conn: &mut Conn,
    merchant: MerchantId,
    filter: &Filter,
    before: Option<OrderId>,
    limit: i64,
) -> QueryResult<Vec<Order>> {
    let mut query = orders::table
        .filter(orders::merchant_id.eq(merchant.0))
        .order(orders::id.desc())
        .limit(limit)
        .select(OrderRow::as_select())
        .into_boxed();
    if let Some(before) = before {
        query = query.filter(orders::id.lt(before.0));
    }
    // The ids narrow down what is read: no index knows when an order was placed, for it would cost every placement.
    if let Some(from) = filter.from {
        query = query.filter(orders::placed_at.ge(from)).filter(orders::id.ge(first_id(from - IDS_ARE_OFF)));
    }
    if let Some(until) = filter.until {
        query = query.filter(orders::placed_at.lt(until)).filter(orders::id.lt(first_id(until + IDS_ARE_OFF)));
    }
    if let Some(ids) = &filter.ids {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        query = query.filter(orders::id.eq_any(ids));
    }
    if !filter.states.is_empty() {
        let states: Vec<&str> = filter.states.iter().map(|state| state.name()).collect();
        query = query.filter(orders::state.eq_any(states));
    }
    if let Some(method) = filter.pay_method {
        query = query.filter(orders::pay_method.eq(method.name()));
    }
    if let Some(fulfilment) = filter.fulfilment {
        query = query.filter(orders::fulfilment.eq(fulfilment));
    }
    if let Some(text) = &filter.text {
        query = query.filter(with_text(text));
    }
    let rows: Vec<OrderRow> = query.load(conn)?;
    with_lines(conn, merchant, rows)
}

/// Money that moved for an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Came in, whatever it turned out to be for.
    pub paid: Money,
    /// Went back, or is on its way.
    pub refunded: Money,
}

/// What moved for each of the orders `ids` for which anything did.
pub fn money_moved(conn: &mut Conn, merchant: MerchantId, ids: &[OrderId]) -> QueryResult<HashMap<OrderId, Moved>> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let paid: Vec<(Uuid, Option<Decimal>)> = payments::table
        .filter(payments::merchant_id.eq(merchant.0))
        .filter(payments::order_id.eq_any(&ids))
        .filter(payments::state.like("paid%"))
        .group_by(payments::order_id)
        .select((payments::order_id, sum(payments::amount)))
        .load(conn)?;
    let refunded: Vec<(Uuid, Option<Decimal>)> = refunds::table
        .filter(refunds::merchant_id.eq(merchant.0))
        .filter(refunds::order_id.eq_any(&ids))
        .group_by(refunds::order_id)
        .select((refunds::order_id, sum(refunds::amount)))
        .load(conn)?;
    let amount = |sum: Option<Decimal>| money(sum.unwrap_or_default()).map_err(|error: Corrupt| corrupt(error));
    let mut moved = HashMap::new();
    for (id, sum) in paid {
        moved.insert(OrderId(id), Moved { paid: amount(sum)?, refunded: Money::ZERO });
    }
    for (id, sum) in refunded {
        let refunded = amount(sum)?;
        moved.entry(OrderId(id)).or_insert(Moved { paid: Money::ZERO, refunded }).refunded = refunded;
    }
    Ok(moved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_by_its_beginning() {
        let range = |text| ids_that_begin(text).map(|(first, last)| (first.to_string(), last.to_string()));
        let whole = "0192f0c1-2345-7abc-8def-0123456789ab";
        assert_eq!(range(whole), Some((whole.to_owned(), whole.to_owned())));
        let first = "0192f0c1-2000-0000-0000-000000000000".to_owned();
        assert_eq!(range("0192F0C1-2"), Some((first, "0192f0c1-2fff-ffff-ffff-ffffffffffff".to_owned())));
        assert!(range("0192f0c1-").is_some() && range("0").is_some());
        for text in ["0192f0c12", "01-", "x", "饺", &format!("{whole}0")] {
            assert_eq!(range(text), None, "{text}");
        }
    }
}
