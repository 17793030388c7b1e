//! What a human must know of, or do.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use super::schema::alerts;
use super::{Conn, QueryResult, Tx, outbox};
use crate::domain::payment::AlertKind;
use crate::domain::{AlertId, MerchantId, OrderId, PaymentId, RefundId};

/// An alert that is about to be raised.
#[derive(Clone, Debug)]
pub struct NewAlert<'a> {
    /// Its id.
    pub id: AlertId,
    /// What has happened.
    pub kind: AlertKind,
    /// The order it is about.
    pub order: Option<OrderId>,
    /// The payment it is about.
    pub payment: Option<PaymentId>,
    /// The refund it is about.
    pub refund: Option<RefundId>,
    /// What there is to say besides, such as the gateway's words.
    pub detail: &'a str,
}

/// An alert.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = alerts)]
pub struct Alert {
    /// Its id.
    pub id: Uuid,
    /// What has happened: a name of [`AlertKind`].
    pub kind: String,
    /// The order it is about.
    pub order_id: Option<Uuid>,
    /// The payment it is about.
    pub payment_id: Option<Uuid>,
    /// The refund it is about.
    pub refund_id: Option<Uuid>,
    /// What there is to say besides.
    pub detail: String,
    /// When it was raised.
    pub raised_at: DateTime<Utc>,
    /// When somebody dealt with it.
    pub resolved_at: Option<DateTime<Utc>>,
    /// Who did.
    pub resolved_by: Option<String>,
}

/// Raises an alert, and tells of it.
pub fn raise(tx: &mut Tx<'_>, alert: &NewAlert<'_>, now: DateTime<Utc>) -> QueryResult<()> {
    diesel::insert_into(alerts::table)
        .values((
            alerts::merchant_id.eq(tx.merchant.0),
            alerts::id.eq(alert.id.0),
            alerts::kind.eq(alert.kind.name()),
            alerts::order_id.eq(alert.order.map(|order| order.0)),
            alerts::payment_id.eq(alert.payment.map(|payment| payment.0)),
            alerts::refund_id.eq(alert.refund.map(|refund| refund.0)),
            alerts::detail.eq(alert.detail),
            alerts::raised_at.eq(now),
        ))
        .execute(tx.conn)?;
    outbox::tell_of_alert(tx, alert.kind, alert.order, now)
}

/// Whether such an alert of a payment or a refund stands open.
pub fn is_raised(tx: &mut Tx<'_>, kind: AlertKind, about: Uuid) -> QueryResult<bool> {
    let open = alerts::table
        .filter(alerts::merchant_id.eq(tx.merchant.0))
        .filter(alerts::resolved_at.is_null())
        .filter(alerts::kind.eq(kind.name()))
        .filter(alerts::payment_id.eq(about).or(alerts::refund_id.eq(about)));
    diesel::select(diesel::dsl::exists(open)).get_result(tx.conn)
}

/// Notes that somebody has dealt with an alert. False when there is none, or it was dealt with before.
pub fn resolve(tx: &mut Tx<'_>, id: AlertId, by: &str, now: DateTime<Utc>) -> QueryResult<bool> {
    let rows = diesel::update(alerts::table.find((tx.merchant.0, id.0)))
        .filter(alerts::resolved_at.is_null())
        .set((alerts::resolved_at.eq(now), alerts::resolved_by.eq(by)))
        .execute(tx.conn)?;
    Ok(rows == 1)
}

/// Notes that what alerts about a payment or a refund asked for is done, or being done.
pub fn resolve_about(tx: &mut Tx<'_>, about: Uuid, by: &str, now: DateTime<Utc>) -> QueryResult<()> {
    diesel::update(alerts::table)
        .filter(alerts::merchant_id.eq(tx.merchant.0))
        .filter(alerts::payment_id.eq(about).or(alerts::refund_id.eq(about)))
        .filter(alerts::resolved_at.is_null())
        .set((alerts::resolved_at.eq(now), alerts::resolved_by.eq(by)))
        .execute(tx.conn)?;
    Ok(())
}

/// An alert by its id.
pub fn find(conn: &mut Conn, merchant: MerchantId, id: AlertId) -> QueryResult<Option<Alert>> {
    alerts::table.find((merchant.0, id.0)).select(Alert::as_select()).first(conn).optional()
}

/// Alerts, the newest first, beginning behind `before`: at most `limit`; only open ones if so asked.
pub fn page(
    conn: &mut Conn,
    merchant: MerchantId,
    only_open: bool,
    before: Option<AlertId>,
    limit: i64,
) -> QueryResult<Vec<Alert>> {
    let query = alerts::table
        .filter(alerts::merchant_id.eq(merchant.0))
        .order(alerts::id.desc())
        .select(Alert::as_select())
        .limit(limit)
        .into_boxed();
    let query = if only_open { query.filter(alerts::resolved_at.is_null()) } else { query };
    let query = match before {
        Some(before) => query.filter(alerts::id.lt(before.0)),
        None => query,
    };
    query.load(conn)
}
