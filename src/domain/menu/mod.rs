//! The menu as the staff decide it: categories, products and goods; and [`sheet`], the whole of it as a table that changes it.

use super::money::Money;
use super::placement::Grant;
use super::{GoodsId, LocalText};

pub mod plan;
pub mod sheet;

#[cfg(test)]
mod tests;

/// The most units of goods there may be: what orders give back on top of them still fits the column.
pub const STOCK_MAX: i32 = 10_000_000;

/// The most a unit may cost, in fen.
pub const PRICE_FEN_MAX: u64 = 100_000_000;

/// A category.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Category {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: LocalText,
    /// Its place on the menu.
    pub position: i32,
}

/// A product: a dish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    /// Its id.
    pub id: i64,
    /// The category it stands in.
    pub category_id: i64,
    /// Its name.
    pub name: LocalText,
    /// Where there is a picture of it.
    pub image_url: Option<String>,
    /// Its place in the category.
    pub position: i32,
}

/// What the staff decide of goods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The spec of the dish.
    pub spec: LocalText,
    /// Yuan a unit.
    pub price: Money,
    /// Whether the menu shows it.
    pub on_sale: bool,
    /// What every day begins with, where stock is set by the day.
    pub daily_stock: Option<i32>,
    /// What paying for a unit credits.
    pub grant: Option<Grant>,
    /// Its place among the dish's specs.
    pub position: i32,
}

/// Goods as the staff see them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goods {
    /// Its id.
    pub id: GoodsId,
    /// The dish.
    pub product_id: i64,
    /// What the staff decide.
    pub offer: Offer,
    /// Units counted.
    pub stock: i32,
    /// The units set aside when it was declared sold out, while it is.
    pub sold_out_units: Option<i32>,
    /// Units sold.
    pub sales: i64,
}

/// All of a merchant's menu, on sale or not, each list in the order of the menu.
#[derive(Clone, Debug, Default)]
pub struct Menu {
    /// The categories.
    pub categories: Vec<Category>,
    /// The products of all categories.
    pub products: Vec<Product>,
    /// The goods of all products.
    pub goods: Vec<Goods>,
}
