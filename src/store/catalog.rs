//! The menu: categories, products and the goods that are sold and stocked.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Integer};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::rows::{corrupt, money};
use super::schema::{categories, goods, products, stock_moves};
use super::{Conn, LockRank, QueryResult, SortedIds, Tx};
use crate::domain::money::Money;
use crate::domain::placement::LockedGoods;
use crate::domain::{GoodsId, LocalText, MerchantId};

/// Locks the goods rows `ids` in ascending order until the transaction ends, and reads what a placement needs of them.
/// Ids this merchant does not have are absent from the answer.
pub fn lock_goods(tx: &mut Tx<'_>, ids: &SortedIds<GoodsId>) -> QueryResult<BTreeMap<GoodsId, LockedGoods>> {
    tx.enter(LockRank::Goods);
    let merchant_id = tx.merchant.0;
    let ids: Vec<i64> = ids.as_slice().iter().map(|id| id.0).collect();
    // The names come by subselects: FOR UPDATE would lock the rows of a join, too.
    let product =
        products::table.filter(products::merchant_id.eq(merchant_id)).filter(products::id.eq(goods::product_id));
    type Row = (i64, Option<String>, Option<String>, String, String, Decimal, i32, bool);
    let rows: Vec<Row> = goods::table
        .filter(goods::merchant_id.eq(merchant_id))
        .filter(goods::id.eq_any(ids))
        .order(goods::id.asc())
        .select((
            goods::id,
            product.select(products::name_zh).single_value(),
            product.select(products::name_en).single_value(),
            goods::spec_zh,
            goods::spec_en,
            goods::price,
            goods::stock,
            goods::on_sale,
        ))
        .for_update()
        .load(tx.conn)?;
    rows.into_iter()
        .map(|(id, name_zh, name_en, spec_zh, spec_en, price, stock, on_sale)| {
            let locked = LockedGoods {
                name: LocalText::new(name_zh.unwrap_or_default(), name_en.unwrap_or_default()),
                spec: LocalText::new(spec_zh, spec_en),
                price: money(price).map_err(corrupt)?,
                stock: u32::try_from(stock).map_err(|error| corrupt(error.into()))?,
                on_sale,
            };
            Ok((GoodsId(id), locked))
        })
        .collect()
}

/// `UPDATE goods … FROM unnest(ids, counts)`: see [`take`].
struct Take {
    merchant_id: i64,
    ids: Vec<i64>,
    counts: Vec<i32>,
}

impl QueryId for Take {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl QueryFragment<diesel::pg::Pg> for Take {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, diesel::pg::Pg>) -> QueryResult<()> {
        out.push_sql("UPDATE goods SET stock = stock - taken.count, sales = sales + taken.count FROM unnest(");
        out.push_bind_param::<Array<BigInt>, _>(&self.ids)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Integer>, _>(&self.counts)?;
        out.push_sql(") AS taken (id, count) WHERE merchant_id = ");
        out.push_bind_param::<BigInt, _>(&self.merchant_id)?;
        out.push_sql(" AND goods.id = taken.id AND stock >= taken.count");
        Ok(())
    }
}

impl RunQueryDsl<Conn> for Take {}

/// Takes units from stock and adds them to sales, each row only if it has that many left. Returns how many rows had.
pub fn take(tx: &mut Tx<'_>, taken: &BTreeMap<GoodsId, u32>) -> QueryResult<usize> {
    let count = |count: &u32| i32::try_from(*count).expect("taken from stock, which is an i32");
    Take {
        merchant_id: tx.merchant.0,
        ids: taken.keys().map(|id| id.0).collect(),
        counts: taken.values().map(count).collect(),
    }
    .execute(tx.conn)
}

/// A category of the menu.
#[derive(Debug, Queryable)]
pub struct CategoryRow {
    /// Its id.
    pub id: i64,
    /// Its name in Chinese.
    pub name_zh: String,
    /// Its name in English.
    pub name_en: String,
}

/// A dish.
#[derive(Debug, Queryable)]
pub struct ProductRow {
    /// Its id.
    pub id: i64,
    /// The category it stands in.
    pub category_id: i64,
    /// Its name in Chinese.
    pub name_zh: String,
    /// Its name in English.
    pub name_en: String,
}

/// A dish in one spec, as the menu shows it.
#[derive(Debug)]
pub struct MenuGoods {
    /// Its id.
    pub id: i64,
    /// The dish.
    pub product_id: i64,
    /// The spec in Chinese.
    pub spec_zh: String,
    /// The spec in English.
    pub spec_en: String,
    /// Yuan a unit.
    pub price: Money,
    /// Units left.
    pub stock: i32,
    /// Units sold.
    pub sales: i64,
}

/// A merchant's categories in the order of the menu.
pub fn categories(conn: &mut Conn, merchant: MerchantId) -> QueryResult<Vec<CategoryRow>> {
    categories::table
        .filter(categories::merchant_id.eq(merchant.0))
        .order((categories::position, categories::id))
        .select((categories::id, categories::name_zh, categories::name_en))
        .load(conn)
}

/// A merchant's products in the order of the menu.
pub fn products(conn: &mut Conn, merchant: MerchantId) -> QueryResult<Vec<ProductRow>> {
    products::table
        .filter(products::merchant_id.eq(merchant.0))
        .order((products::position, products::id))
        .select((products::id, products::category_id, products::name_zh, products::name_en))
        .load(conn)
}

/// A merchant's goods that are on sale, in the order of the menu.
pub fn goods_on_sale(conn: &mut Conn, merchant: MerchantId) -> QueryResult<Vec<MenuGoods>> {
    type Row = (i64, i64, String, String, Decimal, i32, i64);
    let rows: Vec<Row> = goods::table
        .filter(goods::merchant_id.eq(merchant.0))
        .filter(goods::on_sale)
        .order((goods::position, goods::id))
        .select((
            goods::id,
            goods::product_id,
            goods::spec_zh,
            goods::spec_en,
            goods::price,
            goods::stock,
            goods::sales,
        ))
        .load(conn)?;
    rows.into_iter()
        .map(|(id, product_id, spec_zh, spec_en, price, stock, sales)| {
            Ok(MenuGoods { id, product_id, spec_zh, spec_en, price: money(price).map_err(corrupt)?, stock, sales })
        })
        .collect()
}

/// Adds a category and returns its id.
pub fn insert_category(tx: &mut Tx<'_>, name: &LocalText, position: i32) -> QueryResult<i64> {
    diesel::insert_into(categories::table)
        .values((
            categories::merchant_id.eq(tx.merchant.0),
            categories::name_zh.eq(&name.zh),
            categories::name_en.eq(&name.en),
            categories::position.eq(position),
        ))
        .returning(categories::id)
        .get_result(tx.conn)
}

/// Adds a product and returns its id.
pub fn insert_product(tx: &mut Tx<'_>, category_id: i64, name: &LocalText, position: i32) -> QueryResult<i64> {
    diesel::insert_into(products::table)
        .values((
            products::merchant_id.eq(tx.merchant.0),
            products::category_id.eq(category_id),
            products::name_zh.eq(&name.zh),
            products::name_en.eq(&name.en),
            products::position.eq(position),
        ))
        .returning(products::id)
        .get_result(tx.conn)
}

/// Goods about to be added to the menu.
pub struct NewGoods<'a> {
    /// The dish.
    pub product_id: i64,
    /// The spec of the dish.
    pub spec: &'a LocalText,
    /// Yuan a unit.
    pub price: Money,
    /// Units to begin with, at least one.
    pub stock: i32,
    /// Id of the stock move that accounts for them.
    pub move_id: Uuid,
    /// Its place among the dish's specs.
    pub position: i32,
}

/// Adds goods and the stock move that accounts for what there is of them.
pub fn insert_goods(tx: &mut Tx<'_>, new: &NewGoods<'_>, now: DateTime<Utc>) -> QueryResult<GoodsId> {
    let id: i64 = diesel::insert_into(goods::table)
        .values((
            goods::merchant_id.eq(tx.merchant.0),
            goods::product_id.eq(new.product_id),
            goods::spec_zh.eq(&new.spec.zh),
            goods::spec_en.eq(&new.spec.en),
            goods::price.eq(new.price.decimal()),
            goods::stock.eq(new.stock),
            goods::position.eq(new.position),
        ))
        .returning(goods::id)
        .get_result(tx.conn)?;
    diesel::insert_into(stock_moves::table)
        .values((
            stock_moves::merchant_id.eq(tx.merchant.0),
            stock_moves::id.eq(new.move_id),
            stock_moves::goods_id.eq(id),
            stock_moves::delta.eq(new.stock),
            stock_moves::reason.eq("opening"),
            stock_moves::actor.eq("seed"),
            stock_moves::moved_at.eq(now),
        ))
        .execute(tx.conn)?;
    Ok(GoodsId(id))
}
