//! The staff change the menu's categories and products.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, delete, patch, post, put};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::App;
use crate::domain::LocalText;
use crate::error::Error;
use crate::http::admin::menu::{StaffCategory, StaffProduct};
use crate::http::extract::{Body, nullable, number, web_address};
use crate::http::problem::{PROBLEM, ProblemView};
use crate::http::staff::{Action, EditMenu, Staff, act};
use crate::http::view::NameFields;
use crate::service;

/// The id in the path of something on the menu.
#[derive(Deserialize)]
pub(super) struct MenuPath {
    pub(super) id: i64,
}

/// All ids of a list, in the order they are to have.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewOrder {
    #[schema(max_items = 1000)]
    ids: Vec<i64>,
}

impl NewOrder {
    pub(super) fn checked(self) -> Result<Vec<i64>, Error> {
        if self.ids.len() > 1_000 {
            return Err(Error::invalid("ids", "最多 1000 个", "there may be at most 1000"));
        }
        Ok(self.ids)
    }
}

/// A place in a list.
pub(super) fn position(position: Option<i32>) -> Result<Option<i32>, Error> {
    position.map(|position| number("position", position, 0..=1_000_000)).transpose()
}

/// The address of a picture; an empty text is none.
fn image_url(typed: Option<String>) -> Result<Option<String>, Error> {
    let typed = typed.filter(|url| !url.trim().is_empty());
    typed.map(|url| web_address("image_url", &url)).transpose()
}

fn name(name: &NameFields) -> Result<LocalText, Error> {
    name.checked("name.zh", "name.en")
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AddCategory {
    name: NameFields,
    /// At the end when absent.
    #[schema(minimum = 0, maximum = 1_000_000)]
    position: Option<i32>,
}

/// Adds a category.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("edit_menu"))),
    params(("m" = i64, Path, description = "The merchant")),
    request_body = AddCategory,
    responses(
        (status = 201, body = StaffCategory),
    ),
)]
#[post("/v1/admin/merchants/{m}/categories")]
pub(in crate::http) async fn add_category(
    app: Data<App>,
    who: Staff<EditMenu>,
    body: Body<AddCategory>,
) -> Result<HttpResponse, Error> {
    let (name, position, now) = (name(&body.0.name)?, position(body.0.position)?, app.clock.now());
    let detail = json!({ "name": name, "position": position });
    let action = Action { name: "add_category", subject: "menu".to_owned(), detail };
    let category = act(&app, &who, action, now, move |tx| service::menu::add_category(tx, &name, position)).await?;
    Ok(HttpResponse::Created().json(StaffCategory::from(category)))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangeCategory {
    name: Option<NameFields>,
    #[schema(minimum = 0, maximum = 1_000_000)]
    position: Option<i32>,
}

/// Changes a category: the fields that are sent.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("edit_menu"))),
    params(("m" = i64, Path, description = "The merchant"), ("id" = i64, Path, description = "The category")),
    request_body = ChangeCategory,
    responses(
        (status = 200, body = StaffCategory),
    ),
)]
#[patch("/v1/admin/merchants/{m}/categories/{id}")]
pub(in crate::http) async fn change_category(
    app: Data<App>,
    who: Staff<EditMenu>,
    path: Path<MenuPath>,
    body: Body<ChangeCategory>,
) -> Result<HttpResponse, Error> {
    let (id, now) = (path.id, app.clock.now());
    let (name, position) = (body.0.name.as_ref().map(name).transpose()?, position(body.0.position)?);
    let detail = json!({ "name": name, "position": position });
    let action = Action { name: "change_category", subject: format!("category {id}"), detail };
    let category = act(&app, &who, action, now, move |tx| {
        service::menu::change_category(tx, id, |category| {
            category.name = name.clone().unwrap_or_else(|| category.name.clone());
            category.position = position.unwrap_or(category.position);
        })
    })
    .await?;
    Ok(HttpResponse::Ok().json(StaffCategory::from(category)))
}

/// Removes an empty category.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("edit_menu"))),
    params(("m" = i64, Path, description = "The merchant"), ("id" = i64, Path, description = "The category")),
    responses(
        (status = 204),
        (status = 409, body = ProblemView, content_type = PROBLEM, description = "`not_empty`: products stand in it"),
    ),
)]
#[delete("/v1/admin/merchants/{m}/categories/{id}")]
pub(in crate::http) async fn remove_category(
    app: Data<App>,
    who: Staff<EditMenu>,
    path: Path<MenuPath>,
) -> Result<HttpResponse, Error> {
    let (id, now) = (path.id, app.clock.now());
    let action = Action { name: "remove_category", subject: format!("category {id}"), detail: json!({}) };
    act(&app, &who, action, now, move |tx| service::menu::remove_category(tx, id)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Puts the categories into an order. All of them must be named.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("edit_menu"))),
    params(("m" = i64, Path, description = "The merchant")),
    request_body = NewOrder,
    responses(
        (status = 204),
    ),
)]
#[put("/v1/admin/merchants/{m}/categories/order")]
pub(in crate::http) async fn order_categories(
    app: Data<App>,
    who: Staff<EditMenu>,
    body: Body<NewOrder>,
) -> Result<HttpResponse, Error> {
    let (ids, now) = (body.0.checked()?, app.clock.now());
    let action = Action { name: "order_categories", subject: "menu".to_owned(), detail: json!({ "ids": ids }) };
    act(&app, &who, action, now, move |tx| service::menu::order_categories(tx, &ids)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Puts the products of a category into an order. All of them must be named.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("edit_menu"))),
    params(("m" = i64, Path, description = "The merchant"), ("id" = i64, Path, description = "The category")),
    request_body = NewOrder,
    responses(
        (status = 204),
    ),
)]
#[put("/v1/admin/merchants/{m}/categories/{id}/products/order")]
pub(in crate::http) async fn order_products(
    app: Data<App>,
    who: Staff<EditMenu>,
    path: Path<MenuPath>,
    body: Body<NewOrder>,
) -> Result<HttpResponse, Error> {
    let (id, ids, now) = (path.id, body.0.checked()?, app.clock.now());
    let action = Action { name: "order_products", subject: format!("category {id}"), detail: json!({ "ids": ids }) };
    act(&app, &who, action, now, move |tx| service::menu::order_products(tx, id, &ids)).await?;
    Ok(HttpResponse::NoContent().finish())
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AddProduct {
    category_id: i64,
    name: NameFields,
    /// Where there is a picture of it, by http or https; null or empty where there is none.
    #[schema(max_length = 500)]
    image_url: Option<String>,
    /// At the end of the category when absent.
    #[schema(minimum = 0, maximum = 1_000_000)]
    position: Option<i32>,
}

/// Adds a product to a category.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("edit_menu"))),
    params(("m" = i64, Path, description = "The merchant")),
    request_body = AddProduct,
    responses(
        (status = 201, body = StaffProduct),
    ),
)]
#[post("/v1/admin/merchants/{m}/products")]
pub(in crate::http) async fn add_product(
    app: Data<App>,
    who: Staff<EditMenu>,
    body: Body<AddProduct>,
) -> Result<HttpResponse, Error> {
    let (category, now) = (body.0.category_id, app.clock.now());
    let (name, position) = (name(&body.0.name)?, position(body.0.position)?);
    let image_url = image_url(body.0.image_url)?;
    let detail = json!({ "name": name, "image_url": image_url, "position": position });
    let action = Action { name: "add_product", subject: format!("category {category}"), detail };
    let product = act(&app, &who, action, now, move |tx| {
        service::menu::add_product(tx, category, &name, image_url.as_deref(), position)
    })
    .await?;
    Ok(HttpResponse::Created().json(StaffProduct::from(product)))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangeProduct {
    /// Moves it to another category.
    category_id: Option<i64>,
    name: Option<NameFields>,
    /// Where there is a picture of it, by http or https; null or empty where there is none any more.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 500)]
    image_url: Option<Option<String>>,
    #[schema(minimum = 0, maximum = 1_000_000)]
    position: Option<i32>,
}

/// Changes a product: the fields that are sent.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("edit_menu"))),
    params(("m" = i64, Path, description = "The merchant"), ("id" = i64, Path, description = "The product")),
    request_body = ChangeProduct,
    responses(
        (status = 200, body = StaffProduct),
    ),
)]
#[patch("/v1/admin/merchants/{m}/products/{id}")]
pub(in crate::http) async fn change_product(
    app: Data<App>,
    who: Staff<EditMenu>,
    path: Path<MenuPath>,
    body: Body<ChangeProduct>,
) -> Result<HttpResponse, Error> {
    let (id, category, now) = (path.id, body.0.category_id, app.clock.now());
    let (name, position) = (body.0.name.as_ref().map(name).transpose()?, position(body.0.position)?);
    let image_url = body.0.image_url.map(image_url).transpose()?;
    let mut detail = json!({ "category_id": category, "name": name, "position": position });
    // What is absent stays, and what is null is taken away: the trail tells them apart.
    if let Some(image_url) = &image_url {
        detail["image_url"] = json!(image_url);
    }
    let action = Action { name: "change_product", subject: format!("product {id}"), detail };
    let product = act(&app, &who, action, now, move |tx| {
        service::menu::change_product(tx, id, |product| {
            product.category_id = category.unwrap_or(product.category_id);
            product.name = name.clone().unwrap_or_else(|| product.name.clone());
            product.image_url = image_url.clone().unwrap_or_else(|| product.image_url.clone());
            product.position = position.unwrap_or(product.position);
        })
    })
    .await?;
    Ok(HttpResponse::Ok().json(StaffProduct::from(product)))
}

/// Removes a product that has no goods.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("edit_menu"))),
    params(("m" = i64, Path, description = "The merchant"), ("id" = i64, Path, description = "The product")),
    responses(
        (status = 204),
        (status = 409, body = ProblemView, content_type = PROBLEM, description = "`not_empty`: it has goods; take them off sale instead"),
    ),
)]
#[delete("/v1/admin/merchants/{m}/products/{id}")]
pub(in crate::http) async fn remove_product(
    app: Data<App>,
    who: Staff<EditMenu>,
    path: Path<MenuPath>,
) -> Result<HttpResponse, Error> {
    let (id, now) = (path.id, app.clock.now());
    let action = Action { name: "remove_product", subject: format!("product {id}"), detail: json!({}) };
    act(&app, &who, action, now, move |tx| service::menu::remove_product(tx, id)).await?;
    Ok(HttpResponse::NoContent().finish())
}
