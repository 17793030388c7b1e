//! Orders, their lines and their history.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{
    Array, BigInt, Binary, Integer, Nullable, Numeric, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::bulk::bulk_insert;
use super::rows::{Corrupt, corrupt, money};
use super::schema::{order_lines, orders};
use super::{Conn, QueryResult, Tx};
use crate::domain::order::{AddressSnapshot, Fulfilment, Order, OrderLine};
use crate::domain::placement::{IdempotencyKey, Placement, RequestHash};
use crate::domain::{CustomerId, GoodsId, LocalText, MerchantId, OrderId};

bulk_insert! {
    InsertOrders into "orders" {
        id: SqlUuid = Uuid,
        customer_id: SqlUuid = Uuid,
        idempotency_key: Text = &'a str,
        request_hash: Binary = &'a [u8],
        state: Text = &'static str,
        fulfilment: Text = &'static str,
        table_no: Nullable<Text> = Option<&'a str>,
        contact: Nullable<Text> = Option<&'a str>,
        phone: Nullable<Text> = Option<&'a str>,
        place: Nullable<Text> = Option<&'a str>,
        pay_method: Text = &'static str,
        goods_amount: Numeric = Decimal,
        freight: Numeric = Decimal,
        total: Numeric = Decimal,
        remark: Text = &'a str,
        pay_by: Nullable<Timestamptz> = Option<DateTime<Utc>>,
        accept_by: Nullable<Timestamptz> = Option<DateTime<Utc>>,
        placed_at: Timestamptz = DateTime<Utc>,
    }
}

bulk_insert! {
    InsertLines into "order_lines" {
        order_id: SqlUuid = Uuid,
        goods_id: BigInt = i64,
        position: SmallInt = i16,
        name_zh: Text = &'a str,
        name_en: Text = &'a str,
        spec_zh: Text = &'a str,
        spec_en: Text = &'a str,
        price: Numeric = Decimal,
        count: Integer = i32,
    }
}

bulk_insert! {
    InsertEvents into "order_events" {
        order_id: SqlUuid = Uuid,
        seq: Integer = i32,
        from_state: Nullable<Text> = Option<&'static str>,
        to_state: Text = &'static str,
        actor: Text = &'static str,
        reason: Nullable<Text> = Option<&'static str>,
        happened_at: Timestamptz = DateTime<Utc>,
    }
}

/// Writes orders with their lines and the first row of their history: three statements, however many orders.
///
/// # Panics
/// When the database reports fewer rows than were sent: then the merchant's own row is missing.
pub fn insert(tx: &mut Tx<'_>, placed: &[(&Placement, &Order)]) -> QueryResult<()> {
    let merchant_id = tx.merchant.0;
    let mut orders = InsertOrders { merchant_id, ..Default::default() };
    let mut lines = InsertLines { merchant_id, ..Default::default() };
    let mut events = InsertEvents { merchant_id, ..Default::default() };
    for (placement, order) in placed {
        let (table, address) = match &order.fulfilment {
            Fulfilment::DineIn { table } => (Some(table.as_str()), None),
            Fulfilment::Pickup => (None, None),
            Fulfilment::Delivery(address) => (None, Some(address)),
        };
        orders.id.push(order.id.0);
        orders.customer_id.push(order.customer_id.0);
        orders.idempotency_key.push(placement.key.as_str());
        orders.request_hash.push(&placement.request_hash);
        orders.state.push(order.state.name());
        orders.fulfilment.push(order.fulfilment.name());
        orders.table_no.push(table);
        orders.contact.push(address.map(|address| address.contact.as_str()));
        orders.phone.push(address.map(|address| address.phone.as_str()));
        orders.place.push(address.map(|address| address.place.as_str()));
        orders.pay_method.push(order.pay_method.name());
        orders.goods_amount.push(order.goods_amount.decimal());
        orders.freight.push(order.freight.decimal());
        orders.total.push(order.total.decimal());
        orders.remark.push(&order.remark);
        orders.pay_by.push(order.pay_by);
        orders.accept_by.push(order.accept_by);
        orders.placed_at.push(order.placed_at);
        for (position, line) in (0..).zip(&order.lines) {
            lines.order_id.push(order.id.0);
            lines.goods_id.push(line.goods_id.0);
            lines.position.push(position);
            lines.name_zh.push(&line.name.zh);
            lines.name_en.push(&line.name.en);
            lines.spec_zh.push(&line.spec.zh);
            lines.spec_en.push(&line.spec.en);
            lines.price.push(line.price.decimal());
            lines.count.push(i32::try_from(line.count).expect("taken from stock, which is an i32"));
        }
        events.order_id.push(order.id.0);
        events.seq.push(1);
        events.from_state.push(None);
        events.to_state.push(order.state.name());
        events.actor.push("customer");
        events.reason.push(None);
        events.happened_at.push(order.placed_at);
    }
    let line_count = lines.goods_id.len();
    assert_eq!(orders.execute(tx.conn)?, placed.len(), "every order is written");
    assert_eq!(lines.execute(tx.conn)?, line_count, "every line is written");
    assert_eq!(events.execute(tx.conn)?, placed.len(), "every order has a first event");
    Ok(())
}

/// `SELECT … FROM unnest(customers, keys) CROSS JOIN LATERAL (SELECT … FROM orders … LIMIT 1)`: see [`known`]. The limit keeps the
/// planner from joining the other way round, through all orders of the merchant.
struct Known<'a> {
    merchant_id: i64,
    customers: Vec<Uuid>,
    keys: Vec<&'a str>,
}

impl QueryId for Known<'_> {
    type QueryId = Known<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl QueryFragment<diesel::pg::Pg> for Known<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, diesel::pg::Pg>) -> QueryResult<()> {
        out.push_sql("SELECT o.* FROM unnest(");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.customers)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.keys)?;
        out.push_sql(") AS asked (customer_id, key) CROSS JOIN LATERAL (");
        out.push_sql("SELECT id, customer_id, idempotency_key, request_hash FROM orders WHERE merchant_id = ");
        out.push_bind_param::<BigInt, _>(&self.merchant_id)?;
        out.push_sql(" AND customer_id = asked.customer_id AND idempotency_key = asked.key LIMIT 1) o");
        Ok(())
    }
}

impl Query for Known<'_> {
    type SqlType = (SqlUuid, SqlUuid, Text, Binary);
}

impl RunQueryDsl<Conn> for Known<'_> {}

/// An order that stands under a key.
#[derive(Debug)]
pub struct KnownKey {
    /// The order.
    pub id: OrderId,
    /// Whose key it is.
    pub customer_id: CustomerId,
    /// The key.
    pub key: String,
    /// What the key was used for.
    pub request_hash: RequestHash,
}

/// The orders that stand under the given keys already.
pub fn known<'a>(
    conn: &mut Conn,
    merchant: MerchantId,
    asked: impl Iterator<Item = (CustomerId, &'a IdempotencyKey)>,
) -> QueryResult<Vec<KnownKey>> {
    let (customers, keys) = asked.map(|(customer, key)| (customer.0, key.as_str())).unzip();
    let rows: Vec<(Uuid, Uuid, String, Vec<u8>)> = Known { merchant_id: merchant.0, customers, keys }.load(conn)?;
    rows.into_iter()
        .map(|(id, customer_id, key, hash)| {
            let request_hash =
                hash.try_into().map_err(|_| corrupt(format!("order {id}: request_hash is not 32 bytes").into()))?;
            Ok(KnownKey { id: OrderId(id), customer_id: CustomerId(customer_id), key, request_hash })
        })
        .collect()
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = orders, check_for_backend(diesel::pg::Pg))]
struct OrderRow {
    id: Uuid,
    customer_id: Uuid,
    state: String,
    fulfilment: String,
    table_no: Option<String>,
    contact: Option<String>,
    phone: Option<String>,
    place: Option<String>,
    pay_method: String,
    goods_amount: Decimal,
    freight: Decimal,
    total: Decimal,
    remark: String,
    pay_by: Option<DateTime<Utc>>,
    accept_by: Option<DateTime<Utc>>,
    placed_at: DateTime<Utc>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = order_lines, check_for_backend(diesel::pg::Pg))]
struct LineRow {
    order_id: Uuid,
    goods_id: i64,
    name_zh: String,
    name_en: String,
    spec_zh: String,
    spec_en: String,
    price: Decimal,
    count: i32,
}

impl OrderRow {
    fn fulfilment(&self) -> Result<Fulfilment<AddressSnapshot>, Corrupt> {
        match (self.fulfilment.as_str(), &self.table_no, &self.contact, &self.phone, &self.place) {
            ("dine_in", Some(table), ..) => Ok(Fulfilment::DineIn { table: table.clone() }),
            ("pickup", ..) => Ok(Fulfilment::Pickup),
            ("delivery", _, Some(contact), Some(phone), Some(place)) => Ok(Fulfilment::Delivery(AddressSnapshot {
                contact: contact.clone(),
                phone: phone.clone(),
                place: place.clone(),
            })),
            _ => Err(format!("order {}: fulfilment {} lacks a column", self.id, self.fulfilment).into()),
        }
    }

    fn into_order(self, lines: Vec<OrderLine>) -> Result<Order, Corrupt> {
        Ok(Order {
            fulfilment: self.fulfilment()?,
            id: OrderId(self.id),
            customer_id: CustomerId(self.customer_id),
            state: self.state.parse()?,
            pay_method: self.pay_method.parse()?,
            lines,
            goods_amount: money(self.goods_amount)?,
            freight: money(self.freight)?,
            total: money(self.total)?,
            remark: self.remark,
            pay_by: self.pay_by,
            accept_by: self.accept_by,
            placed_at: self.placed_at,
        })
    }
}

impl TryFrom<LineRow> for OrderLine {
    type Error = Corrupt;

    fn try_from(row: LineRow) -> Result<Self, Corrupt> {
        Ok(Self {
            goods_id: GoodsId(row.goods_id),
            name: LocalText::new(row.name_zh, row.name_en),
            spec: LocalText::new(row.spec_zh, row.spec_en),
            price: money(row.price)?,
            count: u32::try_from(row.count)?,
        })
    }
}

/// The orders `ids` of a merchant, in no particular order.
pub fn find_all(conn: &mut Conn, merchant: MerchantId, ids: &[OrderId]) -> QueryResult<Vec<Order>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows: Vec<OrderRow> = orders::table
        .filter(orders::merchant_id.eq(merchant.0))
        .filter(orders::id.eq_any(ids))
        .select(OrderRow::as_select())
        .load(conn)?;
    with_lines(conn, merchant, rows)
}

/// One order of a customer, if it is theirs.
pub fn find(conn: &mut Conn, merchant: MerchantId, customer: CustomerId, id: OrderId) -> QueryResult<Option<Order>> {
    let rows: Vec<OrderRow> = orders::table
        .find((merchant.0, id.0))
        .filter(orders::customer_id.eq(customer.0))
        .select(OrderRow::as_select())
        .load(conn)?;
    Ok(with_lines(conn, merchant, rows)?.pop())
}

/// At most `limit` of a customer's orders, the newest first, placed before the order `before`.
pub fn page(
    conn: &mut Conn,
    merchant: MerchantId,
    customer: CustomerId,
    before: Option<OrderId>,
    limit: i64,
) -> QueryResult<Vec<Order>> {
    let before = before.map_or(Uuid::max(), |id| id.0);
    let rows: Vec<OrderRow> = orders::table
        .filter(orders::merchant_id.eq(merchant.0))
        .filter(orders::customer_id.eq(customer.0))
        .filter(orders::id.lt(before))
        .order(orders::id.desc())
        .limit(limit)
        .select(OrderRow::as_select())
        .load(conn)?;
    with_lines(conn, merchant, rows)
}

/// Completes order rows with their lines, keeping the rows' order.
fn with_lines(conn: &mut Conn, merchant: MerchantId, rows: Vec<OrderRow>) -> QueryResult<Vec<Order>> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let lines: Vec<LineRow> = order_lines::table
        .filter(order_lines::merchant_id.eq(merchant.0))
        .filter(order_lines::order_id.eq_any(&ids))
        .order((order_lines::order_id, order_lines::position))
        .select(LineRow::as_select())
        .load(conn)?;
    let mut by_order: std::collections::HashMap<Uuid, Vec<OrderLine>> = std::collections::HashMap::new();
    for line in lines {
        by_order.entry(line.order_id).or_default().push(line.try_into().map_err(corrupt)?);
    }
    rows.into_iter()
        .map(|row| {
            let lines = by_order.remove(&row.id).unwrap_or_default();
            row.into_order(lines).map_err(corrupt)
        })
        .collect()
}
