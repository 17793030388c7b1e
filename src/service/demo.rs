//! Restaurants to try Rowlock with: a believable one, and one as large as wanted.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Deserialize;

use crate::clock::uuid_at;
use crate::domain::money::Money;
use crate::domain::staff::Role;
use crate::domain::{LocalText, MerchantId};
use crate::error::Error;
use crate::service::staff;
use crate::store::catalog::{self, NewGoods};
use crate::store::merchants::{self, NewMerchant};
use crate::store::{Store, Tx};

/// The demo restaurant, as it is served on the first start.
const RESTAURANT: &str = include_str!("../../config/demo-restaurant.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Restaurant {
    name: LocalText,
    time_zone: Tz,
    minimum_amount: Money,
    freight: Money,
    free_freight_from: Money,
    category: Vec<Category>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Category {
    name: LocalText,
    product: Vec<Product>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Product {
    name: LocalText,
    goods: Vec<Goods>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Goods {
    spec: LocalText,
    price: Money,
    stock: i32,
}

const STAFF: [(Role, &str); 4] =
    [(Role::Owner, "老板"), (Role::Manager, "店长"), (Role::Cashier, "收银员"), (Role::Kitchen, "后厨")];

/// What every member of the demo restaurant's staff logs in with.
pub const PASSWORD: &str = "rowlock-demo";

/// Adds the demo restaurant and returns its id. With staff, each role has one member, who logs in by the name of the role and with
/// [`PASSWORD`]: for a restaurant that nobody else can reach.
///
/// # Errors
/// What the database says.
pub fn seed_restaurant(store: &Store, with_staff: bool, now: DateTime<Utc>) -> Result<MerchantId, Error> {
    let restaurant = toml::from_str(RESTAURANT).map_err(|error| Error::Internal(error.to_string()))?;
    let hash = if with_staff { Some(staff::hash(PASSWORD)?) } else { None };
    seed(store, &restaurant, hash.as_deref(), now)
}

/// Adds a restaurant with `count` goods, ten to a category, and returns its id.
///
/// # Errors
/// What the database says.
pub fn seed_large(store: &Store, count: u32, now: DateTime<Utc>) -> Result<MerchantId, Error> {
    let product = |number: u32| Product {
        name: LocalText::new(format!("菜品 {number}"), format!("Dish {number}")),
        goods: vec![Goods {
            spec: LocalText::new("例", "Regular"),
            price: Money::new((number % 90 + 10).into()).unwrap_or_default(),
            stock: 1_000_000,
        }],
    };
    let numbers: Vec<u32> = (1..=count).collect();
    let category = |(numbers, number): (&[u32], usize)| Category {
        name: LocalText::new(format!("分类 {number}"), format!("Category {number}")),
        product: numbers.iter().copied().map(product).collect(),
    };
    let restaurant = Restaurant {
        name: LocalText::new(format!("大食堂（{count} 种）"), format!("Canteen of {count} dishes")),
        time_zone: Tz::Asia__Shanghai,
        minimum_amount: Money::ZERO,
        freight: Money::ZERO,
        free_freight_from: Money::ZERO,
        category: numbers.chunks(10).zip(1..).map(category).collect(),
    };
    seed(store, &restaurant, None, now)
}

fn seed(
    store: &Store,
    restaurant: &Restaurant,
    password_hash: Option<&str>,
    now: DateTime<Utc>,
) -> Result<MerchantId, Error> {
    let id = store.read_any(|conn| merchants::next_id(conn).map_err(Error::from))?;
    store.write(id, |tx| {
        insert(tx, restaurant, now)?;
        if let Some(hash) = password_hash {
            for (role, name) in STAFF {
                staff::add(tx, role.name(), name, hash, role, now)?;
            }
        }
        Ok::<_, Error>(())
    })?;
    Ok(id)
}

fn insert(tx: &mut Tx<'_>, restaurant: &Restaurant, now: DateTime<Utc>) -> Result<(), Error> {
    let merchant = NewMerchant {
        name: &restaurant.name,
        time_zone: restaurant.time_zone,
        minimum_amount: restaurant.minimum_amount,
        freight: restaurant.freight,
        free_freight_from: Some(restaurant.free_freight_from),
    };
    merchants::insert(tx, &merchant, now)?;
    for (position, category) in (1..).zip(&restaurant.category) {
        let category_id = catalog::insert_category(tx, &category.name, position)?;
        for (position, product) in (1..).zip(&category.product) {
            let product_id = catalog::insert_product(tx, category_id, &product.name, None, position)?;
            for (position, goods) in (1..).zip(&product.goods) {
                let new = NewGoods {
                    product_id,
                    spec: &goods.spec,
                    price: goods.price,
                    stock: goods.stock,
                    move_id: uuid_at(now),
                    position,
                };
                catalog::insert_goods(tx, &new, now)?;
            }
        }
    }
    Ok(())
}
