//! The menu as a sheet: what one would do to it, and doing exactly that.

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, Utc};
use serde_json::json;

use super::menu::{NewGoods, add_category, add_goods, add_product, change_category, change_product, next};
use crate::clock::uuid_at;
use crate::domain::menu::Offer;
use crate::domain::menu::plan::{Change, Plan, plan};
use crate::domain::menu::sheet::Row;
use crate::domain::moves::Actor;
use crate::domain::{GoodsId, LocalText, MerchantId};
use crate::error::Error;
use crate::hex;
use crate::store::stock::NewMove;
use crate::store::{self, Conn, QueryResult, Tx, menu, settings};

/// A row that changes something.
#[derive(Clone, Debug)]
pub struct ChangedRow {
    /// Where it stands in the sheet.
    pub row: usize,
    /// Whether it adds goods.
    pub is_added: bool,
    /// The goods; none where they are not added yet.
    pub goods_id: Option<GoodsId>,
    /// What they are called then.
    pub name: LocalText,
    /// In what the row differs from the menu.
    pub changes: Vec<Change>,
}

/// What a sheet does to a menu.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Stands for all that changes, with what it is before and after. Of stock, which changes by deltas, it stands for the delta and for
    /// the moves there have been: a delta is not applied twice, nor to what somebody has just counted, while orders are no obstacle.
    pub digest: String,
    /// Rows that change nothing.
    pub unchanged: usize,
    /// Those that do.
    pub rows: Vec<ChangedRow>,
}

/// Tells what a sheet would do to the menu.
///
/// # Errors
/// [`Error::BadSheet`], and what the database says.
pub fn preview(conn: &mut Conn, merchant: MerchantId, rows: &[Row]) -> Result<Outcome, Error> {
    let menu = menu::whole(conn, merchant)?;
    let plan = plan(&menu, rows).map_err(Error::BadSheet)?;
    Ok(outcome(conn, merchant, &plan)?)
}

fn outcome(conn: &mut Conn, merchant: MerchantId, plan: &Plan<'_>) -> QueryResult<Outcome> {
    let counted = plan.goods.iter().filter(|goods| goods.row.stock_change != 0).filter_map(|goods| goods.row.goods_id);
    let moves = store::stock::count_moves(conn, merchant, &counted.collect())?;
    let changed = plan.goods.iter().filter(|goods| !goods.changes.is_empty());
    let rows: Vec<ChangedRow> = changed
        .map(|goods| ChangedRow {
            row: goods.row.number,
            is_added: goods.before.is_none(),
            goods_id: goods.row.goods_id,
            name: goods.row.name(),
            changes: goods.changes.clone(),
        })
        .collect();
    Ok(Outcome { digest: digest_of(plan, &moves), unchanged: plan.goods.len() - rows.len(), rows })
}

/// Stands for what a plan changes: the cells, and which categories and products are new, renamed or added to; and for the stock moves there
/// have been of goods that are moved.
fn digest_of(plan: &Plan<'_>, moves: &[(i64, i64)]) -> String {
    let categories = plan.categories.iter().filter(|category| category.before.as_ref() != Some(&category.name));
    let goods = plan.goods.iter().filter(|goods| !goods.changes.is_empty());
    let product = |at: usize| plan.products[at].before.as_ref().map(|product| product.id);
    let changed = json!([
        categories.map(|category| json!([category.id, category.before, category.name])).collect::<Vec<_>>(),
        goods.map(|goods| json!([goods.row.goods_id, product(goods.product), goods.changes])).collect::<Vec<_>>(),
        moves,
    ]);
    hex::encode(digest(&SHA256, changed.to_string().as_bytes()).as_ref())
}

/// Does what a sheet was previewed to do, all of it or nothing.
///
/// Imports of a merchant take turns, under the lock of its settings; names are locked before goods, and goods before they are looked at for
/// the last time.
///
/// # Errors
/// [`Error::BadSheet`], or [`Error::MenuChanged`] when something else would be done than was expected.
pub fn import(tx: &mut Tx<'_>, rows: &[Row], expected: &str, by: Actor, now: DateTime<Utc>) -> Result<Outcome, Error> {
    let merchant = tx.merchant();
    settings::lock(tx)?.ok_or(Error::NotFound)?;
    menu::lock_names(tx)?;
    let seen = menu::whole(tx.conn(), merchant)?;
    let touched = plan(&seen, rows).map_err(Error::BadSheet)?;
    let touched = touched.goods.iter().filter(|goods| goods.changes_goods()).filter_map(|goods| goods.row.goods_id);
    menu::lock_goods(tx, &touched.collect())?;

    let menu = menu::whole(tx.conn(), merchant)?;
    let plan = plan(&menu, rows).map_err(Error::BadSheet)?;
    let mut outcome = outcome(tx.conn(), merchant, &plan)?;
    if outcome.digest != expected {
        return Err(Error::MenuChanged);
    }
    if outcome.rows.is_empty() {
        // Nothing is done, so nothing is to stand in the trail.
        tx.discard();
        return Ok(outcome);
    }
    let added = apply(tx, &plan, by, now)?;
    for (row, goods) in outcome.rows.iter_mut().filter(|row| row.is_added).zip(added) {
        row.goods_id = Some(goods);
    }
    Ok(outcome)
}

/// Does what is planned, and returns the goods that were added.
fn apply(tx: &mut Tx<'_>, plan: &Plan<'_>, by: Actor, now: DateTime<Utc>) -> Result<Vec<GoodsId>, Error> {
    let mut categories = Vec::with_capacity(plan.categories.len());
    for draft in &plan.categories {
        categories.push(match draft.id {
            None => add_category(tx, &draft.name, None)?.id,
            Some(id) if draft.before.as_ref() == Some(&draft.name) => id,
            Some(id) => change_category(tx, id, |category| category.name = draft.name.clone())?.id,
        });
    }
    let mut products = Vec::with_capacity(plan.products.len());
    for draft in &plan.products {
        let category_id = categories[draft.category];
        let Some(before) = &draft.before else {
            products.push(add_product(tx, category_id, &draft.name, draft.image_url.as_deref(), None)?.id);
            continue;
        };
        products.push(before.id);
        let is_moved = before.category_id != category_id;
        if is_moved || (&before.name, &before.image_url) != (&draft.name, &draft.image_url) {
            // A dish that moves comes last in its new category.
            let last = if is_moved { Some(next(&menu::product_positions(tx, category_id)?)) } else { None };
            change_product(tx, before.id, |product| {
                product.category_id = category_id;
                product.name = draft.name.clone();
                product.image_url = draft.image_url.clone();
                product.position = last.unwrap_or(product.position);
            })?;
        }
    }
    let mut added = Vec::new();
    for draft in &plan.goods {
        let row = draft.row;
        let Some(before) = draft.before else {
            let offer = Offer {
                spec: row.spec.clone(),
                price: row.price,
                on_sale: row.on_sale,
                daily_stock: row.daily_stock,
                grant: None,
                position: 0,
            };
            let new = NewGoods { product_id: products[draft.product], offer, is_placed: false, stock: row.stock };
            added.push(add_goods(tx, &new, by, now)?.id);
            continue;
        };
        if draft.changes_offer() {
            let offer = Offer {
                spec: row.spec.clone(),
                price: row.price,
                on_sale: row.on_sale,
                daily_stock: row.daily_stock,
                ..before.offer.clone()
            };
            menu::update_goods(tx, before.id, &offer, now)?;
        }
        if row.stock_change != 0 {
            let (id, goods, actor) = (uuid_at(now), before.id, by.to_string());
            let counted = NewMove { id, goods, delta: row.stock_change, reason: "count", note: "", actor: &actor };
            let is_made = store::stock::make_move(tx, &counted, now)?;
            assert!(is_made, "the row is locked, and was seen to have as many");
        }
    }
    Ok(added)
}
