//! The staff change goods: what they cost, whether they are sold, what paying for them credits. Goods are never removed, since orders
//! tell of them: they go off sale.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, patch, post, put};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::App;
use crate::domain::ledger::AccountKind;
use crate::domain::menu::{Offer, STOCK_MAX};
use crate::domain::money::Money;
use crate::domain::placement::{Grant, GrantTo};
use crate::domain::{AccountId, GoodsId, LocalText};
use crate::error::Error;
use crate::http::admin::categories::{MenuPath, NewOrder, position};
use crate::http::admin::menu::StaffGoods;
use crate::http::extract::{Body, nullable, number, one_of, price};
use crate::http::staff::{Action, EditMenu, Staff, act};
use crate::http::view::{NameFields, amount, name_of, optional_amount};
use crate::service;
use crate::service::menu::NewGoods;
use uuid::Uuid;

/// What paying for a unit credits: either to a named account, or to the buyer's own account of a kind.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct GrantFields {
    account_id: Option<Uuid>,
    #[schema(schema_with = name_of::<AccountKind>)]
    kind: Option<String>,
    #[schema(minimum = 1, maximum = 1_000_000)]
    per_unit: u64,
}

impl GrantFields {
    fn checked(&self) -> Result<Grant, Error> {
        let per_unit = number("grant.per_unit", self.per_unit, 1..=1_000_000)?;
        let to = match (self.account_id, &self.kind) {
            (Some(account), None) => GrantTo::Account(AccountId(account)),
            (None, Some(kind)) => GrantTo::Buyer(one_of("grant.kind", kind, AccountKind::ALL)?),
            _ => {
                let en = "it must have either account_id or kind";
                return Err(Error::invalid("grant", "account_id 和 kind 须填且只填一项", en));
            }
        };
        Ok(Grant { to, per_unit })
    }
}

fn spec(spec: &NameFields) -> Result<LocalText, Error> {
    spec.checked("spec.zh", "spec.en")
}

fn daily_stock(units: Option<i32>) -> Result<Option<i32>, Error> {
    units.map(|units| number("daily_stock", units, 0..=STOCK_MAX)).transpose()
}

fn grant(grant: Option<&GrantFields>) -> Result<Option<Grant>, Error> {
    grant.map(GrantFields::checked).transpose()
}

fn grant_detail(grant: Option<Grant>) -> serde_json::Value {
    match grant.map(|grant| (grant.to, grant.per_unit)) {
        None => json!(null),
        Some((GrantTo::Account(account), per_unit)) => json!({ "account_id": account, "per_unit": per_unit }),
        Some((GrantTo::Buyer(kind), per_unit)) => json!({ "kind": kind.name(), "per_unit": per_unit }),
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AddGoods {
    product_id: i64,
    spec: NameFields,
    /// Yuan a unit, at most 1000000.
    #[schema(schema_with = amount)]
    price: Money,
    /// Units to begin with.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 10_000_000)]
    stock: i32,
    /// True when absent.
    on_sale: Option<bool>,
    /// What every day begins with, where stock is set by the day.
    #[schema(minimum = 0, maximum = 10_000_000)]
    daily_stock: Option<i32>,
    grant: Option<GrantFields>,
    /// Last among the product's when absent.
    #[schema(minimum = 0, maximum = 1_000_000)]
    position: Option<i32>,
}

impl AddGoods {
    fn checked(&self) -> Result<NewGoods, Error> {
        let place = position(self.position)?;
        Ok(NewGoods {
            product_id: self.product_id,
            offer: Offer {
                spec: spec(&self.spec)?,
                price: price("price", self.price)?,
                on_sale: self.on_sale.unwrap_or(true),
                daily_stock: daily_stock(self.daily_stock)?,
                grant: grant(self.grant.as_ref())?,
                position: place.unwrap_or_default(),
            },
            is_placed: place.is_some(),
            stock: number("stock", self.stock, 0..=STOCK_MAX)?,
        })
    }
}

/// Adds a product in one more spec.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("edit_menu"))),
    params(("m" = i64, Path, description = "The merchant")),
    request_body = AddGoods,
    responses(
        (status = 201, body = StaffGoods),
    ),
)]
#[post("/v1/admin/merchants/{m}/goods")]
pub(in crate::http) async fn add_goods(
    app: Data<App>,
    who: Staff<EditMenu>,
    body: Body<AddGoods>,
) -> Result<HttpResponse, Error> {
    let (new, by, now) = (body.0.checked()?, who.actor(), app.clock.now());
    let detail = json!({
        "spec": new.offer.spec, "price": new.offer.price, "stock": new.stock, "on_sale": new.offer.on_sale,
        "daily_stock": new.offer.daily_stock, "grant": grant_detail(new.offer.grant),
    });
    let action = Action { name: "add_goods", subject: format!("product {}", new.product_id), detail };
    let goods = act(&app, &who, action, now, move |tx| service::menu::add_goods(tx, &new, by, now)).await?;
    Ok(HttpResponse::Created().json(StaffGoods::from(goods)))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangeGoods {
    spec: Option<NameFields>,
    /// Yuan a unit, at most 1000000.
    #[serde(default)]
    #[schema(schema_with = optional_amount)]
    price: Option<Money>,
    on_sale: Option<bool>,
    /// What every day begins with; null where stock is not set by the day.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i32>, minimum = 0, maximum = 10_000_000)]
    daily_stock: Option<Option<i32>>,
    /// Null takes it away.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<GrantFields>)]
    grant: Option<Option<GrantFields>>,
    #[schema(minimum = 0, maximum = 1_000_000)]
    position: Option<i32>,
}

/// Changes goods: the fields that are sent. Stock has moves of its own.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("edit_menu"))),
    params(("m" = i64, Path, description = "The merchant"), ("id" = i64, Path, description = "The goods")),
    request_body = ChangeGoods,
    responses(
        (status = 200, body = StaffGoods),
    ),
)]
#[patch("/v1/admin/merchants/{m}/goods/{id}")]
pub(in crate::http) async fn change_goods(
    app: Data<App>,
    who: Staff<EditMenu>,
    path: Path<MenuPath>,
    body: Body<ChangeGoods>,
) -> Result<HttpResponse, Error> {
    let (id, body, now) = (GoodsId(path.id), body.0, app.clock.now());
    let spec = body.spec.as_ref().map(spec).transpose()?;
    let price = body.price.map(|amount| price("price", amount)).transpose()?;
    let daily = body.daily_stock.map(daily_stock).transpose()?;
    let grant = body.grant.map(|fields| grant(fields.as_ref())).transpose()?;
    let (on_sale, position) = (body.on_sale, position(body.position)?);
    let mut detail = json!({ "spec": spec, "price": price, "on_sale": on_sale, "position": position });
    // What is absent stays, and what is null is taken away: the trail tells them apart.
    if let Some(units) = daily {
        detail["daily_stock"] = json!(units);
    }
    if let Some(grant) = grant {
        detail["grant"] = grant_detail(grant);
    }
    let action = Action { name: "change_goods", subject: format!("goods {id}"), detail };
    let goods = act(&app, &who, action, now, move |tx| {
        let change = |offer: &mut Offer| {
            offer.spec = spec.clone().unwrap_or_else(|| offer.spec.clone());
            offer.price = price.unwrap_or(offer.price);
            offer.on_sale = on_sale.unwrap_or(offer.on_sale);
            offer.daily_stock = daily.unwrap_or(offer.daily_stock);
            offer.grant = grant.unwrap_or(offer.grant);
            offer.position = position.unwrap_or(offer.position);
        };
        service::menu::change_goods(tx, id, change, now)
    })
    .await?;
    Ok(HttpResponse::Ok().json(StaffGoods::from(goods)))
}

/// Puts the goods of a product into an order. All of them must be named.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("edit_menu"))),
    params(("m" = i64, Path, description = "The merchant"), ("id" = i64, Path, description = "The product")),
    request_body = NewOrder,
    responses(
        (status = 204),
    ),
)]
#[put("/v1/admin/merchants/{m}/products/{id}/goods/order")]
pub(in crate::http) async fn order_goods(
    app: Data<App>,
    who: Staff<EditMenu>,
    path: Path<MenuPath>,
    body: Body<NewOrder>,
) -> Result<HttpResponse, Error> {
    let (id, ids, now) = (path.id, body.0.checked()?, app.clock.now());
    let action = Action { name: "order_goods", subject: format!("product {id}"), detail: json!({ "ids": ids }) };
    act(&app, &who, action, now, move |tx| service::menu::order_goods(tx, id, &ids, now)).await?;
    Ok(HttpResponse::NoContent().finish())
}
