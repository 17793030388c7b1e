//! A customer fills a cart. Every change answers with the cart as it is then.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, delete, get, patch, put};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::blocking;
use super::extract::{Body, Customer};
use super::problem::{PROBLEM, ProblemView};
use super::view::{Text, amount, optional_amount};
use crate::App;
use crate::domain::GoodsId;
use crate::domain::cart::{CartChange, CartLine};
use crate::domain::money::Money;
use crate::error::Error;
use crate::service::carts::{Owner, Shown};
use crate::store::catalog::CartGoods;

/// Goods in the cart, as the menu has them now.
#[derive(Serialize, ToSchema)]
#[schema(as = CartLine)]
struct LineView {
    goods_id: i64,
    /// The dish; null for goods that no longer exist.
    name: Option<Text>,
    spec: Option<Text>,
    /// Yuan a unit, as of now.
    #[schema(schema_with = optional_amount)]
    price: Option<Money>,
    /// Units left a moment ago; 0 where it is sold out.
    left: u32,
    /// False for goods that have left the menu: they stay in the cart until they are taken out, and cannot be ordered.
    on_sale: bool,
    count: u32,
    /// Whether an order of `"lines":"cart"` takes it.
    selected: bool,
    /// Whether it could be ordered now: on sale, and as many left.
    orderable: bool,
    /// Yuan for the line.
    #[schema(schema_with = optional_amount)]
    amount: Option<Money>,
}

impl LineView {
    fn new(line: CartLine, goods: Option<CartGoods>) -> Self {
        let CartLine { goods_id, count, is_selected } = line;
        let (left, on_sale) = goods.as_ref().map_or((0, false), |goods| (goods.left, goods.on_sale));
        let price = goods.as_ref().map(|goods| goods.price);
        let (name, spec) = goods.map(|goods| (goods.name.into(), goods.spec.into())).unzip();
        Self {
            goods_id: goods_id.0,
            name,
            spec,
            price,
            left,
            on_sale,
            count,
            selected: is_selected,
            orderable: on_sale && left >= count,
            amount: price.map(|price| price.times(count)),
        }
    }
}

/// What a customer means to order.
#[derive(Serialize, ToSchema)]
#[schema(as = Cart)]
struct CartView {
    /// In the order they were added.
    lines: Vec<LineView>,
    /// Yuan for what is selected and orderable, without freight.
    #[schema(schema_with = amount)]
    amount: Money,
}

impl From<Shown> for CartView {
    fn from(mut shown: Shown) -> Self {
        let lines: Vec<LineView> =
            shown.cart.lines.iter().map(|line| LineView::new(*line, shown.goods.remove(&line.goods_id))).collect();
        let counted = lines.iter().filter(|line| line.selected && line.orderable);
        Self { amount: counted.filter_map(|line| line.amount).sum(), lines }
    }
}

/// The customer's cart, with fresh prices and what is left.
#[utoipa::path(
    tag = "customers",
    security(("customer" = [])),
    params(("m" = i64, Path, description = "The merchant")),
    responses((status = 200, body = CartView)),
)]
#[get("/v1/merchants/{m}/cart")]
pub(super) async fn show_cart(app: Data<App>, who: Customer) -> Result<HttpResponse, Error> {
    let now = app.clock.now();
    let shown = blocking(&app, move |app| app.carts.show(owner(&who), now)).await?;
    Ok(HttpResponse::Ok().json(CartView::from(shown)))
}

/// The goods in the path.
#[derive(Deserialize)]
struct LinePath {
    goods_id: i64,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PutLine {
    /// Units in all, at most 999 by default.
    #[schema(example = 2, minimum = 1)]
    count: i64,
    /// Whether the next order takes it. Absent: as it is, and true for goods that are new to the cart.
    selected: Option<bool>,
}

/// Puts goods into the cart, or changes them. How many are left is not looked at: that is for the order to say.
#[utoipa::path(
    tag = "customers",
    security(("customer" = [])),
    params(("m" = i64, Path, description = "The merchant"), ("goods_id" = i64, Path, description = "The goods")),
    request_body = PutLine,
    responses(
        (status = 200, body = CartView),
        (status = 409, body = ProblemView, content_type = PROBLEM, description = "`not_on_sale` for goods new to the cart, `cart_full`"),
        (status = 422, body = ProblemView, content_type = PROBLEM, description = "`unknown_goods`, `invalid_field`"),
    ),
)]
#[put("/v1/merchants/{m}/cart/lines/{goods_id}")]
pub(super) async fn put_line(
    app: Data<App>,
    who: Customer,
    path: Path<LinePath>,
    body: Body<PutLine>,
) -> Result<HttpResponse, Error> {
    let count = checked(body.0.count, &app)?;
    let change = CartChange::Put { goods_id: GoodsId(path.goods_id), count, is_selected: body.0.selected };
    changed(app, who, change).await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AmendLine {
    /// Units in all; absent: as many as before.
    #[schema(example = 2, minimum = 1)]
    count: Option<i64>,
    /// Whether the next order takes it; absent: as it is.
    selected: Option<bool>,
}

/// Changes goods that are in the cart.
#[utoipa::path(
    tag = "customers",
    security(("customer" = [])),
    params(("m" = i64, Path, description = "The merchant"), ("goods_id" = i64, Path, description = "The goods")),
    request_body = AmendLine,
    responses(
        (status = 200, body = CartView),
        (status = 404, body = ProblemView, content_type = PROBLEM, description = "`not_found`: it is not in the cart"),
    ),
)]
#[patch("/v1/merchants/{m}/cart/lines/{goods_id}")]
pub(super) async fn amend_line(
    app: Data<App>,
    who: Customer,
    path: Path<LinePath>,
    body: Body<AmendLine>,
) -> Result<HttpResponse, Error> {
    let count = body.0.count.map(|count| checked(count, &app)).transpose()?;
    let change = CartChange::Amend { goods_id: GoodsId(path.goods_id), count, is_selected: body.0.selected };
    changed(app, who, change).await
}

/// Takes goods out of the cart.
#[utoipa::path(
    tag = "customers",
    security(("customer" = [])),
    params(("m" = i64, Path, description = "The merchant"), ("goods_id" = i64, Path, description = "The goods")),
    responses((status = 200, body = CartView)),
)]
#[delete("/v1/merchants/{m}/cart/lines/{goods_id}")]
pub(super) async fn remove_line(app: Data<App>, who: Customer, path: Path<LinePath>) -> Result<HttpResponse, Error> {
    changed(app, who, CartChange::Remove(GoodsId(path.goods_id))).await
}

/// One of the two: all or nothing, or these and nothing else.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Selection {
    /// Select everything, or nothing.
    selected: Option<bool>,
    /// Select these, and nothing else.
    goods_ids: Option<Vec<i64>>,
}

/// Selects what the next order takes: everything, nothing, or the goods that are named.
#[utoipa::path(
    tag = "customers",
    security(("customer" = [])),
    params(("m" = i64, Path, description = "The merchant")),
    request_body = Selection,
    responses(
        (status = 200, body = CartView),
        (status = 422, body = ProblemView, content_type = PROBLEM, description = "`unknown_goods`: not in the cart; `invalid_field`"),
    ),
)]
#[put("/v1/merchants/{m}/cart/selection")]
pub(super) async fn select(app: Data<App>, who: Customer, body: Body<Selection>) -> Result<HttpResponse, Error> {
    let lines_max = app.config.orders.lines_max;
    let change = match (body.0.selected, body.0.goods_ids) {
        (Some(selected), None) => CartChange::SelectAll(selected),
        (None, Some(ids)) if ids.len() > lines_max => {
            return Err(Error::invalid("goods_ids", "超过购物车的容量", "it names more goods than a cart holds"));
        }
        (None, Some(ids)) => CartChange::SelectOnly(ids.into_iter().map(GoodsId).collect()),
        _ => {
            let en = "either selected or goods_ids must be given, and not both";
            return Err(Error::invalid("selected", "selected 和 goods_ids 须填且只填一项", en));
        }
    };
    changed(app, who, change).await
}

/// Takes everything out of the cart.
#[utoipa::path(
    tag = "customers",
    security(("customer" = [])),
    params(("m" = i64, Path, description = "The merchant")),
    responses((status = 200, body = CartView)),
)]
#[delete("/v1/merchants/{m}/cart")]
pub(super) async fn clear_cart(app: Data<App>, who: Customer) -> Result<HttpResponse, Error> {
    changed(app, who, CartChange::Clear).await
}

async fn changed(app: Data<App>, who: Customer, change: CartChange) -> Result<HttpResponse, Error> {
    let now = app.clock.now();
    let lines_max = app.config.orders.lines_max;
    let shown = blocking(&app, move |app| app.carts.change(owner(&who), &change, lines_max, now)).await?;
    Ok(HttpResponse::Ok().json(CartView::from(shown)))
}

pub(super) fn owner(who: &Customer) -> Owner {
    Owner { merchant: who.merchant, customer: who.id }
}

fn checked(count: i64, app: &App) -> Result<u32, Error> {
    let count_max = app.config.orders.count_max;
    let count = u32::try_from(count).ok().filter(|count| (1..=count_max).contains(count));
    count.ok_or_else(|| Error::out_of_bounds("count", 1, count_max))
}
