//! The staff change the menu: each change on the row as it is under its lock, so that two of them do not undo each other.

use std::collections::BTreeMap;
use std::iter::once;

use chrono::{DateTime, Utc};

use crate::clock::uuid_at;
use crate::domain::menu::{Category, Goods, Offer, Product};
use crate::domain::moves::Actor;
use crate::domain::placement::{Grant, GrantTo};
use crate::domain::{GoodsId, LocalText};
use crate::error::Error;
use crate::store::stock::{self, NewMove};
use crate::store::{Tx, catalog, ledger, menu};

/// After the last of a list.
pub(super) fn next(positions: &[(i64, i32)]) -> i32 {
    positions.iter().map(|(_, position)| *position).max().unwrap_or(0).saturating_add(1)
}

/// The new place of each id, in ascending order of ids: rows are changed in one order by everybody.
///
/// # Errors
/// [`Error::InvalidField`] unless every one is named once.
fn places(ids: &[i64], known: &[(i64, i32)]) -> Result<BTreeMap<i64, i32>, Error> {
    let places: BTreeMap<i64, i32> = ids.iter().copied().zip(1..).collect();
    let is_whole =
        places.len() == ids.len() && places.len() == known.len() && known.iter().all(|(id, _)| places.contains_key(id));
    if is_whole {
        return Ok(places);
    }
    Err(Error::invalid("ids", "须列出现有的每一个，且各一次", "they must name each one there is, once"))
}

fn no_such(field: &'static str) -> Error {
    Error::invalid(field, "没有此编号", "there is none of that id")
}

/// Adds a category, at the end unless a place is named.
///
/// # Errors
/// What the database says.
pub fn add_category(tx: &mut Tx<'_>, name: &LocalText, position: Option<i32>) -> Result<Category, Error> {
    let position = match position {
        Some(position) => position,
        None => next(&menu::category_positions(tx)?),
    };
    let id = catalog::insert_category(tx, name, position)?;
    Ok(Category { id, name: name.clone(), position })
}

/// Changes a category.
///
/// # Errors
/// [`Error::NotFound`] when the merchant has no such category.
pub fn change_category(tx: &mut Tx<'_>, id: i64, change: impl FnOnce(&mut Category)) -> Result<Category, Error> {
    let mut category = menu::lock_category(tx, id)?.ok_or(Error::NotFound)?;
    change(&mut category);
    menu::update_category(tx, &category)?;
    Ok(category)
}

/// Removes an empty category.
///
/// # Errors
/// [`Error::NotFound`], or [`Error::NotEmpty`] when products stand in it.
pub fn remove_category(tx: &mut Tx<'_>, id: i64) -> Result<(), Error> {
    if menu::delete_category(tx, id)? { Ok(()) } else { Err(Error::NotFound) }
}

/// Puts all categories into an order.
///
/// # Errors
/// [`Error::InvalidField`] unless each is named once.
pub fn order_categories(tx: &mut Tx<'_>, ids: &[i64]) -> Result<(), Error> {
    for (id, position) in places(ids, &menu::category_positions(tx)?)? {
        menu::place_category(tx, id, position)?;
    }
    Ok(())
}

/// Adds a product to a category, at its end unless a place is named.
///
/// # Errors
/// [`Error::InvalidField`] when the merchant has no such category.
pub fn add_product(
    tx: &mut Tx<'_>,
    category_id: i64,
    name: &LocalText,
    image_url: Option<&str>,
    position: Option<i32>,
) -> Result<Product, Error> {
    if !menu::keep_category(tx, category_id)? {
        return Err(no_such("category_id"));
    }
    let position = match position {
        Some(position) => position,
        None => next(&menu::product_positions(tx, category_id)?),
    };
    let id = catalog::insert_product(tx, category_id, name, image_url, position)?;
    Ok(Product { id, category_id, name: name.clone(), image_url: image_url.map(str::to_owned), position })
}

/// Changes a product, be it to move it to another category.
///
/// # Errors
/// [`Error::NotFound`] when the merchant has no such product, [`Error::InvalidField`] when it has no such category.
pub fn change_product(tx: &mut Tx<'_>, id: i64, change: impl FnOnce(&mut Product)) -> Result<Product, Error> {
    let mut product = menu::lock_product(tx, id)?.ok_or(Error::NotFound)?;
    change(&mut product);
    if !menu::keep_category(tx, product.category_id)? {
        return Err(no_such("category_id"));
    }
    menu::update_product(tx, &product)?;
    Ok(product)
}

/// Removes a product that has no goods.
///
/// # Errors
/// [`Error::NotFound`], or [`Error::NotEmpty`] when it has goods, on sale or not: orders tell of them.
pub fn remove_product(tx: &mut Tx<'_>, id: i64) -> Result<(), Error> {
    if menu::delete_product(tx, id)? { Ok(()) } else { Err(Error::NotFound) }
}

/// Puts all products of a category into an order.
///
/// # Errors
/// [`Error::NotFound`] when the merchant has no such category, [`Error::InvalidField`] unless each product is named once.
pub fn order_products(tx: &mut Tx<'_>, category_id: i64, ids: &[i64]) -> Result<(), Error> {
    if !menu::keep_category(tx, category_id)? {
        return Err(Error::NotFound);
    }
    for (id, position) in places(ids, &menu::product_positions(tx, category_id)?)? {
        menu::place_product(tx, id, position)?;
    }
    Ok(())
}

/// Goods about to be added.
#[derive(Clone, Debug)]
pub struct NewGoods {
    /// The dish.
    pub product_id: i64,
    /// What the staff decide; without a place, the last among the dish's specs.
    pub offer: Offer,
    /// Whether a place was named.
    pub is_placed: bool,
    /// Units to begin with.
    pub stock: i32,
}

/// Adds goods to a product, with the stock move that accounts for what there is of them, if there is any.
///
/// # Errors
/// [`Error::InvalidField`] when the merchant has no such product, or no such named account for the grant.
pub fn add_goods(tx: &mut Tx<'_>, new: &NewGoods, by: Actor, now: DateTime<Utc>) -> Result<Goods, Error> {
    if !menu::keep_product(tx, new.product_id)? {
        return Err(no_such("product_id"));
    }
    let mut offer = new.offer.clone();
    check_grant(tx, offer.grant)?;
    if !new.is_placed {
        offer.position = next(&menu::goods_positions(tx, new.product_id)?);
    }
    let goods = menu::insert_goods(tx, new.product_id, &offer, now)?;
    if new.stock > 0 {
        let actor = by.to_string();
        let opening = NewMove { id: uuid_at(now), goods, delta: new.stock, reason: "opening", note: "", actor: &actor };
        stock::make_move(tx, &opening, now)?;
    }
    let merchant = tx.merchant();
    menu::find_goods(tx.conn(), merchant, goods)?.ok_or(Error::NotFound)
}

/// Changes what the staff decide of goods, under the lock that placements take.
///
/// # Errors
/// [`Error::NotFound`] when the merchant has no such goods, [`Error::InvalidField`] when it has no such named account for the grant.
pub fn change_goods(
    tx: &mut Tx<'_>,
    id: GoodsId,
    change: impl FnOnce(&mut Offer),
    now: DateTime<Utc>,
) -> Result<Goods, Error> {
    let mut goods = menu::lock_goods(tx, &once(id).collect())?.pop().ok_or(Error::NotFound)?;
    change(&mut goods.offer);
    check_grant(tx, goods.offer.grant)?;
    menu::update_goods(tx, id, &goods.offer, now)?;
    Ok(goods)
}

/// Puts all goods of a product into an order.
///
/// # Errors
/// [`Error::NotFound`] when the merchant has no such product, [`Error::InvalidField`] unless each goods is named once.
pub fn order_goods(tx: &mut Tx<'_>, product_id: i64, ids: &[i64], now: DateTime<Utc>) -> Result<(), Error> {
    if !menu::keep_product(tx, product_id)? {
        return Err(Error::NotFound);
    }
    let places = places(ids, &menu::goods_positions(tx, product_id)?)?;
    for goods in menu::lock_goods(tx, &places.keys().copied().map(GoodsId).collect())? {
        let position = places[&goods.id.0];
        if goods.offer.position != position {
            menu::update_goods(tx, goods.id, &Offer { position, ..goods.offer }, now)?;
        }
    }
    Ok(())
}

/// A grant to an account must name one of the merchant's own that is nobody's.
fn check_grant(tx: &mut Tx<'_>, grant: Option<Grant>) -> Result<(), Error> {
    let Some(Grant { to: GrantTo::Account(account), .. }) = grant else { return Ok(()) };
    let merchant = tx.merchant();
    let account = ledger::find(tx.conn(), merchant, account)?.filter(|account| account.name.is_some());
    account.map(|_| ()).ok_or_else(|| no_such("grant.account_id"))
}
