//! What a customer sees of a shop: login, menu, address book.

use std::collections::HashMap;

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, delete, get, post, put};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::extract::{Body, Customer, IdPath, Merchant, line};
use super::problem::{PROBLEM, ProblemView};
use super::view::{AddressFields, Text, amount, fulfilments, minimum_amount, optional_amount};
use super::{blocking, read, write};
use crate::App;
use crate::domain::money::Money;
use crate::domain::order::{AddressSnapshot, PayMethod};
use crate::domain::placement::Hours;
use crate::domain::{AddressId, MerchantId};
use crate::error::Error;
use crate::gateway::LoginError;
use crate::service;
use crate::store::people::Address;
use crate::store::{Conn, catalog, merchants, people};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LogIn {
    /// What the mini-program got from its platform (`wx.login`). The sandbox takes any code for a customer of that name.
    #[schema(example = "alice", min_length = 1, max_length = 200)]
    code: String,
}

#[derive(Serialize, ToSchema)]
struct Session {
    /// Goes into `Authorization: Bearer …`.
    token: String,
    expires_at: DateTime<Utc>,
    customer_id: Uuid,
}

/// Exchanges a mini-program's login code for a token.
#[utoipa::path(
    tag = "customers",
    params(("m" = i64, Path, description = "The merchant")),
    request_body = LogIn,
    responses(
        (status = 201, body = Session),
        (status = 401, body = ProblemView, content_type = PROBLEM, description = "`login_refused`"),
        (status = 422, body = ProblemView, content_type = PROBLEM, description = "`login_not_offered`: the merchant has no mini-program"),
        (status = 503, body = ProblemView, content_type = PROBLEM, description = "`login_unavailable`: the provider does not answer"),
        (status = 429, body = ProblemView, content_type = PROBLEM, description = "`too_many_requests`"),
    ),
)]
#[post("/v1/merchants/{m}/sessions")]
pub(super) async fn log_in(
    app: Data<App>,
    req: HttpRequest,
    merchant: Merchant,
    body: Body<LogIn>,
) -> Result<HttpResponse, Error> {
    if let Some(address) = app.limits.address(&req) {
        app.limits.login(address)?;
    }
    let code = line("code", &body.0.code, 200)?;
    let subject = blocking(&app, move |app| {
        app.login.subject(merchant.0, &code).map_err(|error| match error {
            LoginError::Refused => Error::LoginRefused,
            LoginError::NotOffered => Error::LoginNotOffered,
            LoginError::Unavailable(reason) => Error::LoginUnavailable(reason),
        })
    })
    .await?;
    let now = app.clock.now();
    let customer = write(&app, merchant.0, move |tx| service::people::log_in(tx, &subject, now)).await?;
    let (token, expires_at) = app.tokens.issue(merchant.0, customer, now)?;
    Ok(HttpResponse::Created().json(Session { token, expires_at, customer_id: customer.0 }))
}

#[derive(Serialize, ToSchema)]
struct Menu {
    name: Text,
    /// Takes no orders at the moment.
    paused: bool,
    /// Opening hours in `time_zone`; absent when always open.
    hours: Option<HoursView>,
    #[schema(example = "Asia/Shanghai")]
    time_zone: &'static str,
    /// How orders can be had.
    #[schema(schema_with = fulfilments)]
    fulfilments: Vec<&'static str>,
    /// The least the goods of a delivery must cost.
    #[schema(schema_with = minimum_amount)]
    minimum_amount: Money,
    /// What a delivery costs.
    #[schema(schema_with = amount)]
    freight: Money,
    /// From this goods amount on, delivery is free.
    #[schema(schema_with = optional_amount)]
    free_freight_from: Option<Money>,
    /// How many points pay one yuan; none are taken where it is 0.
    points_per_yuan: u32,
    /// How orders can be paid.
    #[schema(example = json!(["cash", "sandbox"]))]
    pay_methods: Vec<&'static str>,
    categories: Vec<CategoryView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Hours)]
struct HoursView {
    #[schema(example = "09:00")]
    opens_at: String,
    #[schema(example = "21:30")]
    closes_at: String,
}

impl From<Hours> for HoursView {
    fn from(hours: Hours) -> Self {
        Self {
            opens_at: hours.opens_at.format("%H:%M").to_string(),
            closes_at: hours.closes_at.format("%H:%M").to_string(),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Category)]
struct CategoryView {
    id: i64,
    name: Text,
    products: Vec<ProductView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Product)]
struct ProductView {
    id: i64,
    name: Text,
    /// Where there is a picture of it.
    image_url: Option<String>,
    goods: Vec<GoodsView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Goods)]
struct GoodsView {
    /// What an order line names.
    id: i64,
    spec: Text,
    /// Yuan a unit.
    #[schema(schema_with = amount)]
    price: Money,
    /// Units left a moment ago.
    stock: i32,
    /// Units sold.
    sales: i64,
}

/// The menu: what is on sale, with prices and what is left.
#[utoipa::path(
    tag = "customers",
    params(("m" = i64, Path, description = "The merchant")),
    responses((status = 200, body = Menu)),
)]
#[get("/v1/merchants/{m}/menu")]
pub(super) async fn menu(app: Data<App>, merchant: Merchant) -> Result<HttpResponse, Error> {
    let gateways = app.gateways.methods(merchant.0).collect();
    let menu = read(&app, merchant.0, move |conn| read_menu(conn, merchant.0, gateways)).await?;
    Ok(HttpResponse::Ok().json(menu))
}

fn read_menu(conn: &mut Conn, id: MerchantId, gateways: Vec<PayMethod>) -> Result<Menu, Error> {
    let merchant = merchants::find(conn, id)?.ok_or(Error::NotFound)?;
    let mut goods: HashMap<i64, Vec<GoodsView>> = HashMap::new();
    for row in catalog::goods_on_sale(conn, id)? {
        let spec = Text::new(row.spec_zh, row.spec_en);
        goods.entry(row.product_id).or_default().push(GoodsView {
            id: row.id,
            spec,
            price: row.price,
            stock: row.stock,
            sales: row.sales,
        });
    }
    let mut products: HashMap<i64, Vec<ProductView>> = HashMap::new();
    for row in catalog::products(conn, id)? {
        if let Some(goods) = goods.remove(&row.id) {
            let name = Text::new(row.name_zh, row.name_en);
            let product = ProductView { id: row.id, name, image_url: row.image_url, goods };
            products.entry(row.category_id).or_default().push(product);
        }
    }
    let category = |row: catalog::CategoryRow| CategoryView {
        id: row.id,
        name: Text::new(row.name_zh, row.name_en),
        products: products.remove(&row.id).unwrap_or_default(),
    };
    let categories = catalog::categories(conn, id)?.into_iter().map(category).collect();
    let offered = merchant.offered;
    Ok(Menu {
        name: merchant.name.into(),
        paused: merchant.paused,
        hours: merchant.hours.map(HoursView::from),
        time_zone: merchant.time_zone.name(),
        fulfilments: offered.fulfilments(),
        minimum_amount: merchant.minimum_amount,
        freight: merchant.freight,
        free_freight_from: merchant.free_freight_from,
        points_per_yuan: merchant.points_per_yuan,
        pay_methods: gateways.into_iter().filter(|method| offered.takes(*method)).map(PayMethod::name).collect(),
        categories,
    })
}

/// An address in the customer's book.
#[derive(Serialize, ToSchema)]
#[schema(as = Address)]
struct AddressView {
    id: Uuid,
    contact: String,
    phone: String,
    place: String,
}

impl From<Address> for AddressView {
    fn from(address: Address) -> Self {
        let AddressSnapshot { contact, phone, place } = address.snapshot;
        Self { id: address.id.0, contact, phone, place }
    }
}

#[derive(Serialize, ToSchema)]
struct AddressList {
    items: Vec<AddressView>,
}

fn snapshot(fields: &AddressFields) -> Result<AddressSnapshot, Error> {
    let phone = line("phone", &fields.phone, 30)?;
    let is_phone = |c: char| c.is_ascii_digit() || " +-()#".contains(c);
    if phone.chars().filter(char::is_ascii_digit).count() < 3 || !phone.chars().all(is_phone) {
        return Err(Error::invalid(
            "phone",
            "须含至少 3 位数字，可有 + - ( ) # 和空格",
            "it must have 3 digits at least, and nothing else but + - ( ) # and blanks",
        ));
    }
    Ok(AddressSnapshot {
        contact: line("contact", &fields.contact, 50)?,
        phone,
        place: line("place", &fields.place, 200)?,
    })
}

/// The customer's addresses, the newest first.
#[utoipa::path(
    tag = "customers",
    security(("customer" = [])),
    params(("m" = i64, Path, description = "The merchant")),
    responses((status = 200, body = AddressList)),
)]
#[get("/v1/merchants/{m}/addresses")]
pub(super) async fn list_addresses(app: Data<App>, who: Customer) -> Result<HttpResponse, Error> {
    let addresses = read(&app, who.merchant, move |conn| Ok(people::addresses(conn, who.merchant, who.id)?)).await?;
    Ok(HttpResponse::Ok().json(AddressList { items: addresses.into_iter().map(AddressView::from).collect() }))
}

/// Adds an address.
#[utoipa::path(
    tag = "customers",
    security(("customer" = [])),
    params(("m" = i64, Path, description = "The merchant")),
    request_body = AddressFields,
    responses(
        (status = 201, body = AddressView),
        (status = 409, body = ProblemView, content_type = PROBLEM, description = "`address_book_full`: at most 20 addresses by default"),
    ),
)]
#[post("/v1/merchants/{m}/addresses")]
pub(super) async fn add_address(
    app: Data<App>,
    who: Customer,
    body: Body<AddressFields>,
) -> Result<HttpResponse, Error> {
    let (snapshot, now) = (snapshot(&body.0)?, app.clock.now());
    let addresses_max = app.config.orders.addresses_max;
    let address = write(&app, who.merchant, move |tx| {
        service::people::add_address(tx, who.id, snapshot.clone(), addresses_max, now)
    })
    .await?;
    Ok(HttpResponse::Created().json(AddressView::from(address)))
}

/// Rewrites an address. Orders keep the copy they were placed with.
#[utoipa::path(
    tag = "customers",
    security(("customer" = [])),
    params(("m" = i64, Path, description = "The merchant"), ("id" = Uuid, Path, description = "The address")),
    request_body = AddressFields,
    responses((status = 200, body = AddressView)),
)]
#[put("/v1/merchants/{m}/addresses/{id}")]
pub(super) async fn change_address(
    app: Data<App>,
    who: Customer,
    path: Path<IdPath>,
    body: Body<AddressFields>,
) -> Result<HttpResponse, Error> {
    let address = Address { id: AddressId(path.id), snapshot: snapshot(&body.0)? };
    let address =
        write(&app, who.merchant, move |tx| service::people::change_address(tx, who.id, address.clone())).await?;
    Ok(HttpResponse::Ok().json(AddressView::from(address)))
}

/// Removes an address. Orders keep their copies.
#[utoipa::path(
    tag = "customers",
    security(("customer" = [])),
    params(("m" = i64, Path, description = "The merchant"), ("id" = Uuid, Path, description = "The address")),
    responses((status = 204)),
)]
#[delete("/v1/merchants/{m}/addresses/{id}")]
pub(super) async fn remove_address(app: Data<App>, who: Customer, path: Path<IdPath>) -> Result<HttpResponse, Error> {
    let id = AddressId(path.id);
    write(&app, who.merchant, move |tx| service::people::remove_address(tx, who.id, id)).await?;
    Ok(HttpResponse::NoContent().finish())
}
