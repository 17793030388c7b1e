//! The menu: categories, products and the goods that are sold and stocked.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::rows::{corrupt, money};
use super::schema::{categories, goods, products, stock_moves};
use super::{Conn, QueryResult, Tx};
use crate::domain::money::Money;
use crate::domain::{GoodsId, LocalText, MerchantId};

/// A category of the menu.
#[derive(Debug, Queryable)]
pub struct CategoryRow {
    /// Its id.
    pub id: i64,
    /// Its name in Chinese.
    pub name_zh: String,
    /// Its name in English.
    pub name_en: String,
    /// Its place on the menu.
    pub position: i32,
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
    /// Where there is a picture of it.
    pub image_url: Option<String>,
    /// Its place in the category.
    pub position: i32,
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
    /// Units left; none while it is sold out, whatever was counted.
    pub stock: i32,
    /// Units sold.
    pub sales: i64,
}

/// A merchant's categories in the order of the menu.
pub fn categories(conn: &mut Conn, merchant: MerchantId) -> QueryResult<Vec<CategoryRow>> {
    categories::table
        .filter(categories::merchant_id.eq(merchant.0))
        .order((categories::position, categories::id))
        .select((categories::id, categories::name_zh, categories::name_en, categories::position))
        .load(conn)
}

/// A merchant's products in the order of the menu.
pub fn products(conn: &mut Conn, merchant: MerchantId) -> QueryResult<Vec<ProductRow>> {
    products::table
        .filter(products::merchant_id.eq(merchant.0))
        .order((products::position, products::id))
        .select((
            products::id,
            products::category_id,
            products::name_zh,
            products::name_en,
            products::image_url,
            products::position,
        ))
        .load(conn)
}

/// A merchant's goods that are on sale, in the order of the menu.
pub fn goods_on_sale(conn: &mut Conn, merchant: MerchantId) -> QueryResult<Vec<MenuGoods>> {
    type Row = (i64, i64, String, String, Decimal, i32, Option<i32>, i64);
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
            goods::sold_out_units,
            goods::sales,
        ))
        .load(conn)?;
    rows.into_iter()
        .map(|(id, product_id, spec_zh, spec_en, price, stock, sold_out_units, sales)| {
            let stock = if sold_out_units.is_none() { stock } else { 0 };
            Ok(MenuGoods { id, product_id, spec_zh, spec_en, price: money(price).map_err(corrupt)?, stock, sales })
        })
        .collect()
}

/// Goods as a cart shows them.
#[derive(Debug)]
pub struct CartGoods {
    /// The dish.
    pub name: LocalText,
    /// The spec of the dish.
    pub spec: LocalText,
    /// Yuan a unit.
    pub price: Money,
    /// Units left; none while the kitchen calls it sold out.
    pub left: u32,
    /// Whether it may be ordered at all.
    pub on_sale: bool,
}

/// The goods `ids`, as far as the merchant has them.
pub fn cart_goods(conn: &mut Conn, merchant: MerchantId, ids: &[GoodsId]) -> QueryResult<HashMap<GoodsId, CartGoods>> {
    type Row = (i64, (String, String), (String, String), Decimal, i32, Option<i32>, bool);
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let of_product = products::merchant_id.eq(goods::merchant_id).and(products::id.eq(goods::product_id));
    let rows: Vec<Row> = goods::table
        .inner_join(products::table.on(of_product.and(products::merchant_id.eq(merchant.0))))
        .filter(goods::merchant_id.eq(merchant.0))
        .filter(goods::id.eq_any(ids))
        .select((
            goods::id,
            (products::name_zh, products::name_en),
            (goods::spec_zh, goods::spec_en),
            goods::price,
            goods::stock,
            goods::sold_out_units,
            goods::on_sale,
        ))
        .load(conn)?;
    let goods = |(id, name, spec, price, stock, sold_out_units, on_sale): Row| {
        let left = if sold_out_units.is_some() { 0 } else { u32::try_from(stock)? };
        let (name, spec) = (LocalText::new(name.0, name.1), LocalText::new(spec.0, spec.1));
        Ok((GoodsId(id), CartGoods { name, spec, price: money(price)?, left, on_sale }))
    };
    rows.into_iter().map(|row| goods(row).map_err(corrupt)).collect()
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
pub fn insert_product(
    tx: &mut Tx<'_>,
    category_id: i64,
    name: &LocalText,
    image_url: Option<&str>,
    position: i32,
) -> QueryResult<i64> {
    diesel::insert_into(products::table)
        .values((
            products::merchant_id.eq(tx.merchant.0),
            products::category_id.eq(category_id),
            products::name_zh.eq(&name.zh),
            products::name_en.eq(&name.en),
            products::image_url.eq(image_url),
            products::position.eq(position),
        ))
        .returning(products::id)
        .get_result(tx.conn)
}

/// Goods about to be added to a new menu.
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
