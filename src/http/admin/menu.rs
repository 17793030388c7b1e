//! The menu as the staff see it: everything, on sale or not.

use std::collections::HashMap;

use actix_web::web::Data;
use actix_web::{HttpResponse, get};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::App;
use crate::domain::menu::{Category, Goods, Product};
use crate::domain::money::Money;
use crate::domain::placement::{Grant, GrantTo};
use crate::error::Error;
use crate::http::read;
use crate::http::staff::{ReadMenu, Staff};
use crate::http::view::{Text, amount};
use crate::store::{Conn, catalog, menu};

#[derive(Serialize, ToSchema)]
struct StaffMenu {
    categories: Vec<StaffCategory>,
}

/// A category as the staff see it.
#[derive(Serialize, ToSchema)]
pub(super) struct StaffCategory {
    id: i64,
    name: Text,
    position: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    products: Option<Vec<StaffProduct>>,
}

impl From<Category> for StaffCategory {
    fn from(category: Category) -> Self {
        Self { id: category.id, name: category.name.into(), position: category.position, products: None }
    }
}

/// A dish as the staff see it.
#[derive(Serialize, ToSchema)]
pub(super) struct StaffProduct {
    id: i64,
    category_id: i64,
    name: Text,
    /// Where there is a picture of it.
    image_url: Option<String>,
    position: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    goods: Option<Vec<StaffGoods>>,
}

impl From<Product> for StaffProduct {
    fn from(product: Product) -> Self {
        let Product { id, category_id, name, image_url, position } = product;
        Self { id, category_id, name: name.into(), image_url, position, goods: None }
    }
}

/// A dish in one spec as the staff see it.
#[derive(Serialize, ToSchema)]
pub(super) struct StaffGoods {
    id: i64,
    product_id: i64,
    spec: Text,
    /// Yuan a unit.
    #[schema(schema_with = amount)]
    price: Money,
    on_sale: bool,
    position: i32,
    /// Units counted.
    stock: i32,
    /// Whether the kitchen says that there is none: customers see no stock then.
    sold_out: bool,
    /// The units set aside when it was declared sold out; null while it is not.
    sold_out_units: Option<i32>,
    /// What every day begins with; null where stock is not set by the day.
    daily_stock: Option<i32>,
    grant: Option<GrantView>,
    /// Units sold.
    sales: i64,
}

/// What paying for a unit credits: to a named account, or to the buyer's own account of a kind.
#[derive(Serialize, ToSchema)]
#[schema(as = Grant)]
struct GrantView {
    account_id: Option<Uuid>,
    kind: Option<&'static str>,
    per_unit: u64,
}

impl From<Grant> for GrantView {
    fn from(grant: Grant) -> Self {
        let (account_id, kind) = match grant.to {
            GrantTo::Account(account) => (Some(account.0), None),
            GrantTo::Buyer(kind) => (None, Some(kind.name())),
        };
        Self { account_id, kind, per_unit: grant.per_unit }
    }
}

impl From<Goods> for StaffGoods {
    fn from(goods: Goods) -> Self {
        let offer = goods.offer;
        Self {
            id: goods.id.0,
            product_id: goods.product_id,
            spec: offer.spec.into(),
            price: offer.price,
            on_sale: offer.on_sale,
            position: offer.position,
            stock: goods.stock,
            sold_out: goods.sold_out_units.is_some(),
            sold_out_units: goods.sold_out_units,
            daily_stock: offer.daily_stock,
            grant: offer.grant.map(GrantView::from),
            sales: goods.sales,
        }
    }
}

/// The menu with what is not on sale, stock, and what is sold out.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("read_menu"))),
    params(("m" = i64, Path, description = "The merchant")),
    responses(
        (status = 200, body = StaffMenu),
    ),
)]
#[get("/v1/admin/merchants/{m}/menu")]
pub(in crate::http) async fn show_menu(app: Data<App>, who: Staff<ReadMenu>) -> Result<HttpResponse, Error> {
    let menu = read(&app, who.merchant, move |conn| read_menu(conn, &who)).await?;
    Ok(HttpResponse::Ok().json(menu))
}

fn read_menu(conn: &mut Conn, who: &Staff<ReadMenu>) -> Result<StaffMenu, Error> {
    let mut goods: HashMap<i64, Vec<StaffGoods>> = HashMap::new();
    for row in menu::goods(conn, who.merchant)? {
        goods.entry(row.product_id).or_default().push(row.into());
    }
    let mut products: HashMap<i64, Vec<StaffProduct>> = HashMap::new();
    for row in catalog::products(conn, who.merchant)? {
        let product = StaffProduct {
            id: row.id,
            category_id: row.category_id,
            name: Text::new(row.name_zh, row.name_en),
            image_url: row.image_url,
            position: row.position,
            goods: Some(goods.remove(&row.id).unwrap_or_default()),
        };
        products.entry(row.category_id).or_default().push(product);
    }
    let category = |row: catalog::CategoryRow| StaffCategory {
        id: row.id,
        name: Text::new(row.name_zh, row.name_en),
        position: row.position,
        products: Some(products.remove(&row.id).unwrap_or_default()),
    };
    Ok(StaffMenu { categories: catalog::categories(conn, who.merchant)?.into_iter().map(category).collect() })
}
