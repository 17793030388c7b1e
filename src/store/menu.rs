//! The menu as the staff edit it: everything, on sale or not.
//!
//! Contract: a row is read under its lock, changed, and written back whole, except that goods' stock and sales are never written
//! here. What is added to a category or a product keeps it from being removed meanwhile.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::catalog::{self, CategoryRow, ProductRow};
use super::rows::{Corrupt, corrupt, grant, grant_columns, money};
use super::schema::{categories, goods, products};
use super::{Conn, LockRank, QueryResult, SortedIds, Tx, outbox};
use crate::domain::menu::{Category, Goods, Menu, Offer, Product};
use crate::domain::placement::Grant;
use crate::domain::{GoodsId, LocalText, MerchantId};

#[derive(Queryable, Selectable)]
#[diesel(table_name = goods, check_for_backend(diesel::pg::Pg))]
struct GoodsRow {
    id: i64,
    product_id: i64,
    spec_zh: String,
    spec_en: String,
    price: Decimal,
    stock: i32,
    sales: i64,
    on_sale: bool,
    position: i32,
    daily_stock: Option<i32>,
    sold_out_units: Option<i32>,
    grant_account_id: Option<Uuid>,
    grant_kind: Option<String>,
    grant_per_unit: Option<i64>,
}

impl TryFrom<GoodsRow> for Goods {
    type Error = Corrupt;

    fn try_from(row: GoodsRow) -> Result<Self, Corrupt> {
        let grant = grant(row.grant_account_id, row.grant_kind, row.grant_per_unit)?;
        Ok(Self {
            id: GoodsId(row.id),
            product_id: row.product_id,
            offer: Offer {
                spec: LocalText::new(row.spec_zh, row.spec_en),
                price: money(row.price)?,
                on_sale: row.on_sale,
                daily_stock: row.daily_stock,
                grant: grant.map(|(to, per_unit)| Grant { to, per_unit }),
                position: row.position,
            },
            stock: row.stock,
            sold_out_units: row.sold_out_units,
            sales: row.sales,
        })
    }
}

/// A merchant's goods, on sale or not, in the order of the menu.
pub fn goods(conn: &mut Conn, merchant: MerchantId) -> QueryResult<Vec<Goods>> {
    let rows: Vec<GoodsRow> = goods::table
        .filter(goods::merchant_id.eq(merchant.0))
        .order((goods::position, goods::id))
        .select(GoodsRow::as_select())
        .load(conn)?;
    rows.into_iter().map(|row| Goods::try_from(row).map_err(corrupt)).collect()
}

/// One goods row, if the merchant has it.
pub fn find_goods(conn: &mut Conn, merchant: MerchantId, id: GoodsId) -> QueryResult<Option<Goods>> {
    let row: Option<GoodsRow> =
        goods::table.find((merchant.0, id.0)).select(GoodsRow::as_select()).first(conn).optional()?;
    row.map(Goods::try_from).transpose().map_err(corrupt)
}

/// Locks goods rows in ascending order until the transaction ends, and reads them. Those the merchant does not have are absent.
pub fn lock_goods(tx: &mut Tx<'_>, ids: &SortedIds<GoodsId>) -> QueryResult<Vec<Goods>> {
    tx.enter(LockRank::Goods);
    let ids: Vec<i64> = ids.as_slice().iter().map(|id| id.0).collect();
    let rows: Vec<GoodsRow> = goods::table
        .filter(goods::merchant_id.eq(tx.merchant.0))
        .filter(goods::id.eq_any(ids))
        .order(goods::id)
        .select(GoodsRow::as_select())
        .for_update()
        .load(tx.conn)?;
    rows.into_iter().map(|row| Goods::try_from(row).map_err(corrupt)).collect()
}

/// Locks all categories and products until the transaction ends, in ascending order: whoever plans by their names changes what it saw.
/// Those that are added meanwhile are not kept out.
pub fn lock_names(tx: &mut Tx<'_>) -> QueryResult<()> {
    let _: Vec<i64> = categories::table
        .filter(categories::merchant_id.eq(tx.merchant.0))
        .order(categories::id)
        .select(categories::id)
        .for_no_key_update()
        .load(tx.conn)?;
    let _: Vec<i64> = products::table
        .filter(products::merchant_id.eq(tx.merchant.0))
        .order(products::id)
        .select(products::id)
        .for_no_key_update()
        .load(tx.conn)?;
    Ok(())
}

/// All of a merchant's menu.
pub fn whole(conn: &mut Conn, merchant: MerchantId) -> QueryResult<Menu> {
    let goods = goods(conn, merchant)?;
    let product = |row: ProductRow| {
        let name = LocalText::new(row.name_zh, row.name_en);
        Product { id: row.id, category_id: row.category_id, name, image_url: row.image_url, position: row.position }
    };
    let products = catalog::products(conn, merchant)?.into_iter().map(product).collect();
    let category = |row: CategoryRow| {
        let name = LocalText::new(row.name_zh, row.name_en);
        Category { id: row.id, name, position: row.position }
    };
    let categories = catalog::categories(conn, merchant)?.into_iter().map(category).collect();
    Ok(Menu { categories, products, goods })
}

fn columns(grant: Option<Grant>) -> (Option<Uuid>, Option<&'static str>, Option<i64>) {
    let Some(grant) = grant else { return (None, None, None) };
    let per_unit = i64::try_from(grant.per_unit).expect("a grant is at most a million a unit");
    let (account, kind) = grant_columns(grant.to);
    (account, kind, Some(per_unit))
}

/// Adds goods of which there are none yet.
pub fn insert_goods(tx: &mut Tx<'_>, product_id: i64, offer: &Offer, now: DateTime<Utc>) -> QueryResult<GoodsId> {
    let (account, kind, per_unit) = columns(offer.grant);
    let id: i64 = diesel::insert_into(goods::table)
        .values((
            goods::merchant_id.eq(tx.merchant.0),
            goods::product_id.eq(product_id),
            goods::spec_zh.eq(&offer.spec.zh),
            goods::spec_en.eq(&offer.spec.en),
            goods::price.eq(offer.price.decimal()),
            goods::stock.eq(0),
            goods::on_sale.eq(offer.on_sale),
            goods::position.eq(offer.position),
            goods::daily_stock.eq(offer.daily_stock),
            goods::grant_account_id.eq(account),
            goods::grant_kind.eq(kind),
            goods::grant_per_unit.eq(per_unit),
        ))
        .returning(goods::id)
        .get_result(tx.conn)?;
    outbox::tell_of_goods(tx, GoodsId(id), now)?;
    Ok(GoodsId(id))
}

/// Writes what the staff decided of goods; the row must be locked.
pub fn update_goods(tx: &mut Tx<'_>, id: GoodsId, offer: &Offer, now: DateTime<Utc>) -> QueryResult<()> {
    let (account, kind, per_unit) = columns(offer.grant);
    diesel::update(goods::table.find((tx.merchant.0, id.0)))
        .set((
            goods::spec_zh.eq(&offer.spec.zh),
            goods::spec_en.eq(&offer.spec.en),
            goods::price.eq(offer.price.decimal()),
            goods::on_sale.eq(offer.on_sale),
            goods::position.eq(offer.position),
            goods::daily_stock.eq(offer.daily_stock),
            goods::grant_account_id.eq(account),
            goods::grant_kind.eq(kind),
            goods::grant_per_unit.eq(per_unit),
        ))
        .execute(tx.conn)?;
    outbox::tell_of_goods(tx, id, now)
}

/// The ids and places of a product's goods.
pub fn goods_positions(tx: &mut Tx<'_>, product_id: i64) -> QueryResult<Vec<(i64, i32)>> {
    goods::table
        .filter(goods::merchant_id.eq(tx.merchant.0))
        .filter(goods::product_id.eq(product_id))
        .select((goods::id, goods::position))
        .load(tx.conn)
}

/// Locks a category until the transaction ends and reads it.
pub fn lock_category(tx: &mut Tx<'_>, id: i64) -> QueryResult<Option<Category>> {
    let row: Option<(i64, String, String, i32)> = categories::table
        .find((tx.merchant.0, id))
        .select((categories::id, categories::name_zh, categories::name_en, categories::position))
        .for_no_key_update()
        .first(tx.conn)
        .optional()?;
    Ok(row.map(|(id, zh, en, position)| Category { id, name: LocalText { zh, en }, position }))
}

/// Keeps a category from being removed until the transaction ends; tells whether there is one.
pub fn keep_category(tx: &mut Tx<'_>, id: i64) -> QueryResult<bool> {
    let row: Option<i64> =
        categories::table.find((tx.merchant.0, id)).select(categories::id).for_key_share().first(tx.conn).optional()?;
    Ok(row.is_some())
}

/// The ids and places of a merchant's categories.
pub fn category_positions(tx: &mut Tx<'_>) -> QueryResult<Vec<(i64, i32)>> {
    categories::table
        .filter(categories::merchant_id.eq(tx.merchant.0))
        .select((categories::id, categories::position))
        .load(tx.conn)
}

/// Rewrites a category that is locked.
pub fn update_category(tx: &mut Tx<'_>, category: &Category) -> QueryResult<()> {
    diesel::update(categories::table.find((tx.merchant.0, category.id)))
        .set((
            categories::name_zh.eq(&category.name.zh),
            categories::name_en.eq(&category.name.en),
            categories::position.eq(category.position),
        ))
        .execute(tx.conn)?;
    Ok(())
}

/// Moves a category to its place.
pub fn place_category(tx: &mut Tx<'_>, id: i64, position: i32) -> QueryResult<()> {
    diesel::update(categories::table.find((tx.merchant.0, id)))
        .set(categories::position.eq(position))
        .execute(tx.conn)?;
    Ok(())
}

/// Removes a category; tells whether there was one. With products in it, a constraint forbids it.
pub fn delete_category(tx: &mut Tx<'_>, id: i64) -> QueryResult<bool> {
    Ok(diesel::delete(categories::table.find((tx.merchant.0, id))).execute(tx.conn)? == 1)
}

/// Locks a product until the transaction ends and reads it.
pub fn lock_product(tx: &mut Tx<'_>, id: i64) -> QueryResult<Option<Product>> {
    let row: Option<(i64, i64, String, String, Option<String>, i32)> = products::table
        .find((tx.merchant.0, id))
        .select((
            products::id,
            products::category_id,
            products::name_zh,
            products::name_en,
            products::image_url,
            products::position,
        ))
        .for_no_key_update()
        .first(tx.conn)
        .optional()?;
    let product = |(id, category_id, zh, en, image_url, position)| {
        let name = LocalText { zh, en };
        Product { id, category_id, name, image_url, position }
    };
    Ok(row.map(product))
}

/// Keeps a product from being removed until the transaction ends; tells whether there is one.
pub fn keep_product(tx: &mut Tx<'_>, id: i64) -> QueryResult<bool> {
    let row: Option<i64> =
        products::table.find((tx.merchant.0, id)).select(products::id).for_key_share().first(tx.conn).optional()?;
    Ok(row.is_some())
}

/// The ids and places of a category's products.
pub fn product_positions(tx: &mut Tx<'_>, category_id: i64) -> QueryResult<Vec<(i64, i32)>> {
    products::table
        .filter(products::merchant_id.eq(tx.merchant.0))
        .filter(products::category_id.eq(category_id))
        .select((products::id, products::position))
        .load(tx.conn)
}

/// Rewrites a product that is locked.
pub fn update_product(tx: &mut Tx<'_>, product: &Product) -> QueryResult<()> {
    diesel::update(products::table.find((tx.merchant.0, product.id)))
        .set((
            products::category_id.eq(product.category_id),
            products::name_zh.eq(&product.name.zh),
            products::name_en.eq(&product.name.en),
            products::image_url.eq(&product.image_url),
            products::position.eq(product.position),
        ))
        .execute(tx.conn)?;
    Ok(())
}

/// Moves a product to its place.
pub fn place_product(tx: &mut Tx<'_>, id: i64, position: i32) -> QueryResult<()> {
    diesel::update(products::table.find((tx.merchant.0, id))).set(products::position.eq(position)).execute(tx.conn)?;
    Ok(())
}

/// Removes a product; tells whether there was one. With goods of it, a constraint forbids it.
pub fn delete_product(tx: &mut Tx<'_>, id: i64) -> QueryResult<bool> {
    Ok(diesel::delete(products::table.find((tx.merchant.0, id))).execute(tx.conn)? == 1)
}
