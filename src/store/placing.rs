//! The statements of a group's transaction: their number does not depend on the size of the group, and each is prepared once a
//! connection. Values travel as arrays; a few rows are inserted by `VALUES` (see `bulk`).
//!
//! diesel caches neither multi-row `VALUES` nor `sql_query`, and knows no `FOR UPDATE OF` and no `WITH` that writes; so each is a node of
//! its own.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use diesel::dsl::AsSelect;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{
    Array, BigInt, Binary, Bool, HasSqlType, Integer, Nullable, Numeric, SingleValue, SmallInt, Text, Timestamptz,
    Uuid as SqlUuid,
};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::bulk::{Rows as _, Shape, bulk_insert};
use super::merchants::{self, Merchant, Row as MerchantRow};
use super::rows::{Corrupt, corrupt, grant, grant_columns, money};
use super::schema::orders;
use super::{Conn, LockRank, QueryResult, SortedIds, Tx};
use crate::domain::event::EventKind;
use crate::domain::order::{Fulfilment, Order};
use crate::domain::placement::{GoodsFacts, Grant, IdempotencyKey, Placement, RequestHash, taken};
use crate::domain::{CartId, CustomerId, GoodsId, LocalText, OrderId};

/// `SELECT … FROM goods … ORDER BY id`, with or without `FOR UPDATE OF` the goods alone. The merchant's columns come with the first
/// id's row and are null in all others.
struct GoodsOf<const LOCKED: bool> {
    merchant_id: i64,
    ids: Vec<i64>,
    first: i64,
    columns: AsSelect<MerchantRow, Pg>,
}

impl<const LOCKED: bool> QueryId for GoodsOf<LOCKED> {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<const LOCKED: bool> QueryFragment<Pg> for GoodsOf<LOCKED> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // What the kitchen calls sold out is not there, whatever was counted.
        out.push_sql(
            "SELECT g.id, p.name_zh, p.name_en, g.spec_zh, g.spec_en, g.price, \
             CASE WHEN g.sold_out_units IS NULL THEN g.stock ELSE 0 END, g.on_sale, \
             g.grant_account_id, g.grant_kind, g.grant_per_unit, ",
        );
        self.columns.walk_ast(out.reborrow())?;
        out.push_sql(
            " FROM goods g JOIN products p ON p.merchant_id = g.merchant_id AND p.id = g.product_id \
             LEFT JOIN LATERAL (SELECT * FROM merchants WHERE id = ",
        );
        out.push_bind_param::<BigInt, _>(&self.merchant_id)?;
        out.push_sql(" AND g.id = ");
        out.push_bind_param::<BigInt, _>(&self.first)?;
        out.push_sql(") merchants ON true WHERE g.merchant_id = ");
        out.push_bind_param::<BigInt, _>(&self.merchant_id)?;
        out.push_sql(" AND g.id = ANY(");
        out.push_bind_param::<Array<BigInt>, _>(&self.ids)?;
        out.push_sql(") ORDER BY g.id");
        if LOCKED {
            out.push_sql(" FOR UPDATE OF g");
        }
        Ok(())
    }
}

type GoodsRowType =
    (BigInt, Text, Text, Text, Text, Numeric, Integer, Bool, Nullable<SqlUuid>, Nullable<Text>, Nullable<BigInt>);
type GoodsRow = (i64, String, String, String, String, Decimal, i32, bool, Option<Uuid>, Option<String>, Option<i64>);

impl<const LOCKED: bool> Query for GoodsOf<LOCKED> {
    type SqlType = (GoodsRowType, Nullable<merchants::RowType>);
}

impl<const LOCKED: bool> RunQueryDsl<Conn> for GoodsOf<LOCKED> {}

/// Goods rows as they were read, and the merchant they belong to.
pub type GoodsAndMerchant = (BTreeMap<GoodsId, GoodsFacts>, Option<Merchant>);

/// Locks the goods rows `ids` in ascending order until the transaction ends, and reads what a placement needs of them. Ids this
/// merchant does not have are absent from the answer; without the first, so is the merchant.
pub fn lock_goods(tx: &mut Tx<'_>, ids: &SortedIds<GoodsId>) -> QueryResult<GoodsAndMerchant> {
    tx.enter(LockRank::Goods);
    goods_of::<true>(tx, ids)
}

/// As [`lock_goods`], without the lock: what is read may have changed when it is used.
pub fn read_goods(tx: &mut Tx<'_>, ids: &SortedIds<GoodsId>) -> QueryResult<GoodsAndMerchant> {
    goods_of::<false>(tx, ids)
}

fn goods_of<const LOCKED: bool>(tx: &mut Tx<'_>, ids: &SortedIds<GoodsId>) -> QueryResult<GoodsAndMerchant> {
    type Row = (GoodsRow, Option<<MerchantRow as Queryable<merchants::RowType, Pg>>::Row>);
    let ids: Vec<i64> = ids.as_slice().iter().map(|id| id.0).collect();
    let Some(&first) = ids.first() else { return Ok((BTreeMap::new(), None)) };
    let query = GoodsOf::<LOCKED> { merchant_id: tx.merchant.0, ids, first, columns: MerchantRow::as_select() };
    let rows: Vec<Row> = query.load(tx.conn)?;
    let mut merchant = None;
    let mut goods = BTreeMap::new();
    for (goods_row, merchant_row) in rows {
        goods.insert(GoodsId(goods_row.0), facts(goods_row).map_err(corrupt)?);
        if let Some(row) = merchant_row {
            let row = <MerchantRow as Queryable<merchants::RowType, Pg>>::build(row).map_err(corrupt)?;
            merchant = Some(Merchant::try_from(row).map_err(corrupt)?);
        }
    }
    Ok((goods, merchant))
}

fn facts(row: GoodsRow) -> Result<GoodsFacts, Corrupt> {
    let (_, name_zh, name_en, spec_zh, spec_en, price, stock, on_sale, grant_account, grant_kind, per_unit) = row;
    Ok(GoodsFacts {
        name: LocalText::new(name_zh, name_en),
        spec: LocalText::new(spec_zh, spec_en),
        price: money(price)?,
        stock: u32::try_from(stock)?,
        on_sale,
        grant: grant(grant_account, grant_kind, per_unit)?.map(|(to, per_unit)| Grant { to, per_unit }),
    })
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

impl QueryFragment<Pg> for Known<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT asked.place, o.id, o.request_hash FROM unnest(");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.customers)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.keys)?;
        out.push_sql(") WITH ORDINALITY AS asked (customer_id, key, place) CROSS JOIN LATERAL (");
        out.push_sql("SELECT id, request_hash FROM orders WHERE merchant_id = ");
        out.push_bind_param::<BigInt, _>(&self.merchant_id)?;
        out.push_sql(" AND customer_id = asked.customer_id AND idempotency_key = asked.key LIMIT 1) o");
        Ok(())
    }
}

impl Query for Known<'_> {
    type SqlType = (BigInt, SqlUuid, Binary);
}

impl RunQueryDsl<Conn> for Known<'_> {}

/// An order that stands under a key.
#[derive(Debug)]
pub struct KnownKey {
    /// Which of the keys asked for, from zero.
    pub index: usize,
    /// The order.
    pub id: OrderId,
    /// What the key was used for.
    pub request_hash: RequestHash,
}

/// The orders that stand under the given keys already.
pub fn known<'a>(
    tx: &mut Tx<'_>,
    asked: impl Iterator<Item = (CustomerId, &'a IdempotencyKey)>,
) -> QueryResult<Vec<KnownKey>> {
    let (customers, keys) = asked.map(|(customer, key)| (customer.0, key.as_str())).unzip();
    let rows: Vec<(i64, Uuid, Vec<u8>)> = Known { merchant_id: tx.merchant.0, customers, keys }.load(tx.conn)?;
    rows.into_iter()
        .map(|(place, id, hash)| {
            let request_hash =
                hash.try_into().map_err(|_| corrupt(format!("order {id}: request_hash is not 32 bytes").into()))?;
            let index = usize::try_from(place - 1).map_err(|error| corrupt(error.into()))?;
            Ok(KnownKey { index, id: OrderId(id), request_hash })
        })
        .collect()
}

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
        points_used: BigInt = i64,
        points_amount: Numeric = Decimal,
        total: Numeric = Decimal,
        remark: Text = &'a str,
        cart_id: Nullable<SqlUuid> = Option<Uuid>,
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
    InsertOutbox into "outbox" {
        order_id: SqlUuid = Uuid,
        kind: Text = &'static str,
        state: Text = &'static str,
        happened_at: Timestamptz = DateTime<Utc>,
    }
}

bulk_insert! {
    InsertGrants into "order_grants" {
        order_id: SqlUuid = Uuid,
        goods_id: BigInt = i64,
        account_id: Nullable<SqlUuid> = Option<Uuid>,
        kind: Nullable<Text> = Option<&'static str>,
        amount: BigInt = i64,
    }
}

/// `UPDATE goods` without a join, whose plan would depend on how many rows it expects: a row finds what is to be done with it by
/// a binary search (`width_bucket`) among the ids, which ascend.
struct Take {
    merchant_id: i64,
    ids: Vec<i64>,
    counts: Vec<i32>,
    /// What was read of each row must be so still.
    only_unchanged: bool,
    stocks: Vec<i32>,
    prices: Vec<Decimal>,
}

impl Take {
    fn new(
        merchant_id: i64,
        taken: &BTreeMap<GoodsId, u32>,
        read: &BTreeMap<GoodsId, GoodsFacts>,
        only_unchanged: bool,
    ) -> Self {
        Self {
            only_unchanged,
            merchant_id,
            ids: taken.keys().map(|id| id.0).collect(),
            counts: taken.values().map(|count| in_stock(*count)).collect(),
            stocks: taken.keys().map(|id| in_stock(read[id].stock)).collect(),
            prices: taken.keys().map(|id| read[id].price.decimal()).collect(),
        }
    }

    /// The field of an array that belongs to the row.
    fn of_row<'b, T, A>(&'b self, array: &'b Vec<A>, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()>
    where
        T: SingleValue,
        Vec<A>: ToSql<Array<T>, Pg>,
        Pg: HasSqlType<Array<T>>,
    {
        out.push_sql("(");
        out.push_bind_param::<Array<T>, _>(array)?;
        out.push_sql(")[width_bucket(id, ");
        out.push_bind_param::<Array<BigInt>, _>(&self.ids)?;
        out.push_sql(")]");
        Ok(())
    }

    fn walk<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("UPDATE goods SET stock = stock - ");
        self.of_row::<Integer, _>(&self.counts, &mut out)?;
        out.push_sql(", sales = sales + ");
        self.of_row::<Integer, _>(&self.counts, &mut out)?;
        out.push_sql(" WHERE merchant_id = ");
        out.push_bind_param::<BigInt, _>(&self.merchant_id)?;
        out.push_sql(" AND id = ANY(");
        out.push_bind_param::<Array<BigInt>, _>(&self.ids)?;
        out.push_sql(") AND stock >= ");
        self.of_row::<Integer, _>(&self.counts, &mut out)?;
        if self.only_unchanged {
            out.push_sql(" AND on_sale AND sold_out_units IS NULL AND stock = ");
            self.of_row::<Integer, _>(&self.stocks, &mut out)?;
            out.push_sql(" AND price = ");
            self.of_row::<Numeric, _>(&self.prices, &mut out)?;
        }
        Ok(())
    }
}

/// All that orders write, as one statement: to send one and wait for its answer takes as long as to write a row or two.
///
/// `WITH … AS (INSERT …), … UPDATE goods`. No part reads what another writes, and the orders come before what has a key to them: so a
/// database sharded by merchant runs the parts one after the other on the merchant's shard. The statement answers how many rows of goods
/// had what is taken of them. Where the merchant's own row was missing, which the inserts are crossed with, there would be no goods
/// either.
struct Write<'a> {
    orders: InsertOrders<'a>,
    lines: InsertLines<'a>,
    outbox: InsertOutbox<'a>,
    grants: InsertGrants<'a>,
    take: Take,
}

impl QueryId for Write<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl QueryFragment<Pg> for Write<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // No table gets more rows than this one.
        let shape = Shape::of(self.lines.count());
        out.push_sql("WITH written_orders AS (");
        self.orders.walk(shape, out.reborrow())?;
        out.push_sql("), written_lines AS (");
        self.lines.walk(shape, out.reborrow())?;
        out.push_sql("), told AS (");
        self.outbox.walk(shape, out.reborrow())?;
        if self.grants.count() > 0 {
            out.push_sql("), granted AS (");
            self.grants.walk(shape, out.reborrow())?;
        }
        out.push_sql(") ");
        self.take.walk(out)
    }
}

impl RunQueryDsl<Conn> for Write<'_> {}

/// Writes orders with their lines, tells the outbox, writes down what their payment will credit, as their goods say now, and takes their
/// units from stock, each goods row only if it has that many left. The order's own row is the first of its history. Tells whether
/// every goods row had; if not, what was written must be undone.
///
/// # Panics
/// When a line's goods were not read.
pub fn write(
    tx: &mut Tx<'_>,
    placed: &[(&Placement, &Order)],
    read: &BTreeMap<GoodsId, GoodsFacts>,
) -> QueryResult<bool> {
    write_all(tx, placed, read, false)
}

/// As [`write()`], taking from a goods row only if its stock and price are still what was `read` of it and it is still on sale.
///
/// # Panics
/// When a line's goods were not read.
pub fn write_unchanged(
    tx: &mut Tx<'_>,
    placed: &[(&Placement, &Order)],
    read: &BTreeMap<GoodsId, GoodsFacts>,
) -> QueryResult<bool> {
    write_all(tx, placed, read, true)
}

fn write_all(
    tx: &mut Tx<'_>,
    placed: &[(&Placement, &Order)],
    read: &BTreeMap<GoodsId, GoodsFacts>,
    only_unchanged: bool,
) -> QueryResult<bool> {
    let merchant_id = tx.merchant.0;
    let mut orders = InsertOrders { merchant_id, ..Default::default() };
    let mut lines = InsertLines { merchant_id, ..Default::default() };
    let mut outbox = InsertOutbox { merchant_id, ..Default::default() };
    let mut grants = InsertGrants { merchant_id, ..Default::default() };
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
        orders.points_used.push(in_ledger(order.points_used));
        orders.points_amount.push(order.points_amount.decimal());
        orders.total.push(order.total.decimal());
        orders.remark.push(&order.remark);
        orders.cart_id.push(placement.cart.map(|cart| cart.0));
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
            lines.count.push(in_stock(line.count));
            let Some(grant) = read[&line.goods_id].grant else { continue };
            let (account, kind) = grant_columns(grant.to);
            grants.order_id.push(order.id.0);
            grants.goods_id.push(line.goods_id.0);
            grants.account_id.push(account);
            grants.kind.push(kind);
            grants.amount.push(in_ledger(grant.per_unit * u64::from(line.count)));
        }
        outbox.order_id.push(order.id.0);
        outbox.kind.push(EventKind::OrderPlaced.name());
        outbox.state.push(order.state.name());
        outbox.happened_at.push(order.placed_at);
    }
    let take = Take::new(merchant_id, &taken(placed.iter().map(|(_, order)| *order)), read, only_unchanged);
    let rows = take.ids.len();
    let written = Write { orders, lines, outbox, grants, take }.execute(tx.conn)?;
    tx.tell();
    Ok(written == rows)
}

/// The carts among those asked for that an order was placed from.
pub fn placed_carts(
    tx: &mut Tx<'_>,
    asked: &SortedIds<(CustomerId, CartId)>,
) -> QueryResult<HashMap<(CustomerId, CartId), OrderId>> {
    if asked.as_slice().is_empty() {
        return Ok(HashMap::new());
    }
    let (customers, carts): (Vec<Uuid>, Vec<Uuid>) = asked.as_slice().iter().map(|(who, cart)| (who.0, cart.0)).unzip();
    let rows: Vec<(Uuid, Option<Uuid>, Uuid)> = orders::table
        .filter(orders::merchant_id.eq(tx.merchant.0))
        .filter(orders::customer_id.eq_any(customers))
        .filter(orders::cart_id.is_not_null())
        .filter(orders::cart_id.eq_any(carts))
        .select((orders::customer_id, orders::cart_id, orders::id))
        .load(tx.conn)?;
    let placed = |(who, cart, id): (Uuid, Option<Uuid>, Uuid)| Some(((CustomerId(who), CartId(cart?)), OrderId(id)));
    Ok(rows.into_iter().filter_map(placed).collect())
}

pub(super) fn in_ledger(units: u64) -> i64 {
    i64::try_from(units).expect("what is counted in a ledger fits an i64")
}

fn in_stock(count: u32) -> i32 {
    i32::try_from(count).expect("taken from stock, which is an i32")
}
