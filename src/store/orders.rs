//! Orders and their lines, as they are read.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::rows::{Corrupt, corrupt, money};
use super::schema::{order_lines, orders};
use super::{Conn, QueryResult};
use crate::domain::order::{AddressSnapshot, Fulfilment, Order, OrderLine, OrderState};
use crate::domain::placement::{IdempotencyKey, RequestHash};
use crate::domain::{CartId, CustomerId, GoodsId, LocalText, MerchantId, OrderId};

#[derive(Queryable, Selectable)]
#[diesel(table_name = orders, check_for_backend(diesel::pg::Pg))]
pub(super) struct OrderRow {
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
    points_used: i64,
    points_amount: Decimal,
    total: Decimal,
    remark: String,
    pay_by: Option<DateTime<Utc>>,
    accept_by: Option<DateTime<Utc>>,
    paid_at: Option<DateTime<Utc>>,
    pickup_no: Option<i32>,
    promised_at: Option<DateTime<Utc>>,
    nudged_at: Option<DateTime<Utc>>,
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
    returned_count: i32,
    refunded_count: i32,
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
        let state: OrderState = self.state.parse()?;
        Ok(Order {
            fulfilment: self.fulfilment()?,
            id: OrderId(self.id),
            customer_id: CustomerId(self.customer_id),
            state,
            pay_method: self.pay_method.parse()?,
            lines,
            goods_amount: money(self.goods_amount)?,
            freight: money(self.freight)?,
            points_used: u64::try_from(self.points_used)?,
            points_amount: money(self.points_amount)?,
            total: money(self.total)?,
            remark: self.remark,
            pay_by: self.pay_by.filter(|_| state == OrderState::PendingPayment),
            accept_by: self.accept_by.filter(|_| state == OrderState::PendingAccept),
            paid_at: self.paid_at,
            pickup_no: self.pickup_no.map(u32::try_from).transpose()?,
            promised_at: self.promised_at,
            nudged_at: self.nudged_at,
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
            returned_count: u32::try_from(row.returned_count)?,
            refunded_count: u32::try_from(row.refunded_count)?,
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

/// The order that stands under a customer's key, and what the key was used for.
pub fn find_key(
    conn: &mut Conn,
    merchant: MerchantId,
    customer: CustomerId,
    key: &IdempotencyKey,
) -> QueryResult<Option<(Order, RequestHash)>> {
    let row: Option<(OrderRow, Option<Vec<u8>>)> = orders::table
        .filter(orders::merchant_id.eq(merchant.0))
        .filter(orders::customer_id.eq(customer.0))
        .filter(orders::idempotency_key.eq(key.as_str()))
        .select((OrderRow::as_select(), orders::request_hash))
        .first(conn)
        .optional()?;
    let Some((row, hash)) = row else { return Ok(None) };
    let hash = hash.and_then(|hash| hash.try_into().ok());
    let hash = hash.ok_or_else(|| corrupt(format!("order {}: request_hash is not 32 bytes", row.id).into()))?;
    Ok(with_lines(conn, merchant, vec![row])?.pop().map(|order| (order, hash)))
}

/// What was ordered from a customer's cart, if an order was placed from it: goods and units.
pub fn placed_from(
    conn: &mut Conn,
    merchant: MerchantId,
    customer: CustomerId,
    cart: CartId,
) -> QueryResult<Option<Vec<(GoodsId, u32)>>> {
    let of_order = order_lines::merchant_id.eq(orders::merchant_id).and(order_lines::order_id.eq(orders::id));
    let rows: Vec<(i64, i32)> = orders::table
        .inner_join(order_lines::table.on(of_order.and(order_lines::merchant_id.eq(merchant.0))))
        .filter(orders::merchant_id.eq(merchant.0))
        .filter(orders::customer_id.eq(customer.0))
        .filter(orders::cart_id.eq(cart.0))
        .select((order_lines::goods_id, order_lines::count))
        .load(conn)?;
    // An order has at least one line.
    let line = |(goods_id, count)| {
        let count = u32::try_from(count).map_err(|error| corrupt(Corrupt::from(error)))?;
        Ok((GoodsId(goods_id), count))
    };
    if rows.is_empty() { Ok(None) } else { rows.into_iter().map(line).collect::<QueryResult<_>>().map(Some) }
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
pub(super) fn with_lines(conn: &mut Conn, merchant: MerchantId, rows: Vec<OrderRow>) -> QueryResult<Vec<Order>> {
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
