//! The staff move orders: accept, reject, prepare, and so on to the end.

use actix_web::web::{Data, Path};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, post};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::App;
use crate::domain::money::Money;
use crate::domain::moves::{Actor, Move};
use crate::domain::order::Order;
use crate::domain::{GoodsId, OrderId};
use crate::error::Error;
use crate::http::extract::{Body, IdPath, Key, number, request_hash};
use crate::http::observe::AboutOrder;
use crate::http::problem::{PROBLEM, ProblemView};
use crate::http::staff::{
    AcceptOrders, Action, CancelOrders, CollectCash, CookOrders, HandOverOrders, RefundOrders, Requires, Staff, act,
};
use crate::http::view::{OrderView, ReasonFields, optional_amount};
use crate::service::once::Keyed;
use crate::service::orders::{self, Cancelling, Refunding};
use crate::store::Tx;

/// Makes a move of an order for one of the staff, and answers with the order as it is then.
async fn make<P: Requires>(
    app: &Data<App>,
    req: &HttpRequest,
    who: &Staff<P>,
    id: Uuid,
    made: Move,
    detail: Value,
    work: impl Fn(&mut Tx<'_>, OrderId, Actor) -> Result<Order, Error> + Send + 'static,
) -> Result<HttpResponse, Error> {
    let (id, by, now) = (OrderId(id), who.actor(), app.clock.now());
    req.extensions_mut().insert(AboutOrder(id));
    let action = Action { name: made.name(), subject: format!("order {id}"), detail };
    let order = act(app, who, action, now, move |tx| work(tx, id, by)).await?;
    Ok(HttpResponse::Ok().json(OrderView::from(order)))
}

/// A number of minutes from now.
const MINUTES_MAX: u32 = 24 * 60;

fn minutes(minutes: u32) -> Result<u32, Error> {
    number("minutes", minutes, 1..=MINUTES_MAX)
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AcceptOrder {
    /// In how many minutes it is to be ready.
    #[schema(minimum = 1, maximum = 1440, example = 20)]
    minutes: Option<u32>,
}

/// Takes an order on. It gets its pickup number.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("accept_orders"))),
    params(("m" = i64, Path, description = "The merchant"), ("id" = Uuid, Path, description = "The order")),
    request_body = AcceptOrder,
    responses(
        (status = 200, body = OrderView),
        (status = 409, body = ProblemView, content_type = PROBLEM, description = "`illegal_move`, with the `state` it was found in"),
    ),
)]
#[post("/v1/admin/merchants/{m}/orders/{id}/accept")]
pub(in crate::http) async fn accept(
    app: Data<App>,
    req: HttpRequest,
    who: Staff<AcceptOrders>,
    path: Path<IdPath>,
    body: Body<AcceptOrder>,
) -> Result<HttpResponse, Error> {
    let minutes = body.0.minutes.map(minutes).transpose()?;
    let now = app.clock.now();
    let detail = json!({ "minutes": minutes });
    make(&app, &req, &who, path.id, Move::Accept, detail, move |tx, id, by| orders::accept(tx, id, by, minutes, now))
        .await
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RejectOrder {
    #[serde(flatten)]
    why: ReasonFields,
    /// With the reason `sold_out`: goods of the order of which there are none, whatever was counted.
    #[serde(default)]
    sold_out: Vec<i64>,
}

/// Declines an order: what was paid is owed back, and its stock returns, except of goods named as sold out, of which there is none
/// from now on.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("accept_orders"))),
    params(("m" = i64, Path, description = "The merchant"), ("id" = Uuid, Path, description = "The order")),
    request_body = RejectOrder,
    responses(
        (status = 200, body = OrderView),
        (status = 409, body = ProblemView, content_type = PROBLEM, description = "`illegal_move`"),
    ),
)]
#[post("/v1/admin/merchants/{m}/orders/{id}/reject")]
pub(in crate::http) async fn reject(
    app: Data<App>,
    req: HttpRequest,
    who: Staff<AcceptOrders>,
    path: Path<IdPath>,
    body: Body<RejectOrder>,
) -> Result<HttpResponse, Error> {
    let (detail, now) = (json!(&body.0), app.clock.now());
    let why = body.0.why.checked()?;
    let sold_out = body.0.sold_out.into_iter().map(GoodsId).collect();
    make(&app, &req, &who, path.id, Move::Reject, detail, move |tx, id, by| {
        orders::reject(tx, id, by, &why, &sold_out, now)
    })
    .await
}

/// Declares a route for a move that needs nothing but the order.
macro_rules! plain_move {
    ($(#[$doc:meta])* $name:ident, $path:literal, $required:ident = $permission:literal, $made:ident, $refusals:literal) => {
        $(#[$doc])*
        #[utoipa::path(
            tag = "staff",
            security(("staff" = [])),
            extensions(("x-permission" = json!($permission))),
            params(("m" = i64, Path, description = "The merchant"), ("id" = Uuid, Path, description = "The order")),
            responses(
                (status = 200, body = OrderView),
                (status = 409, body = ProblemView, content_type = PROBLEM, description = $refusals),
            ),
        )]
        #[post($path)]
        pub(in crate::http) async fn $name(
            app: Data<App>,
            req: HttpRequest,
            who: Staff<$required>,
            path: Path<IdPath>,
        ) -> Result<HttpResponse, Error> {
            let now = app.clock.now();
            make(&app, &req, &who, path.id, Move::$made, json!({}), move |tx, id, by| match Move::$made {
                Move::Collect => orders::collect(tx, id, by, now),
                made => orders::advance(tx, id, made, by, now),
            })
            .await
        }
    };
}

plain_move!(
    /// The kitchen begins.
    prepare, "/v1/admin/merchants/{m}/orders/{id}/prepare", CookOrders = "cook_orders", Prepare, "`illegal_move`, with the `state` it was found in"
);
plain_move!(
    /// The kitchen is done.
    ready, "/v1/admin/merchants/{m}/orders/{id}/ready", CookOrders = "cook_orders", Ready, "`illegal_move`, with the `state` it was found in"
);
plain_move!(
    /// The kitchen takes its last move back.
    recall, "/v1/admin/merchants/{m}/orders/{id}/recall", CookOrders = "cook_orders", Recall, "`illegal_move`, with the `state` it was found in"
);
plain_move!(
    /// A delivery leaves the house.
    deliver, "/v1/admin/merchants/{m}/orders/{id}/deliver", HandOverOrders = "hand_over_orders", Deliver,
    "`illegal_move`, with the `state` it was found in"
);
plain_move!(
    /// The customer has it. Cash must have been collected.
    complete, "/v1/admin/merchants/{m}/orders/{id}/complete", HandOverOrders = "hand_over_orders", Complete,
    "`illegal_move`, with the `state` it was found in; `cash_not_collected`"
);
plain_move!(
    /// The cash for it is in the till.
    collect, "/v1/admin/merchants/{m}/orders/{id}/collect", CollectCash = "collect_cash", Collect,
    "`illegal_move`, with the `state` it was found in; `nothing_to_collect`"
);

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DelayOrder {
    /// In how many minutes, from now, it is to be ready.
    #[schema(minimum = 1, maximum = 1440, example = 15)]
    minutes: u32,
}

/// Promises another time.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("accept_orders"))),
    params(("m" = i64, Path, description = "The merchant"), ("id" = Uuid, Path, description = "The order")),
    request_body = DelayOrder,
    responses(
        (status = 200, body = OrderView),
        (status = 409, body = ProblemView, content_type = PROBLEM, description = "`illegal_move`"),
    ),
)]
#[post("/v1/admin/merchants/{m}/orders/{id}/delay")]
pub(in crate::http) async fn delay(
    app: Data<App>,
    req: HttpRequest,
    who: Staff<AcceptOrders>,
    path: Path<IdPath>,
    body: Body<DelayOrder>,
) -> Result<HttpResponse, Error> {
    let (minutes, now) = (minutes(body.0.minutes)?, app.clock.now());
    let detail = json!({ "minutes": minutes });
    make(&app, &req, &who, path.id, Move::Delay, detail, move |tx, id, by| orders::delay(tx, id, by, minutes, now))
        .await
}

/// Units of one goods of an order.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Units {
    goods_id: i64,
    #[schema(minimum = 0)]
    count: u32,
}

fn units(units: Vec<Units>) -> Vec<(GoodsId, u32)> {
    units.into_iter().map(|units| (GoodsId(units.goods_id), units.count)).collect()
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CancelOrder {
    #[serde(flatten)]
    why: ReasonFields,
    /// Units that go back into stock; the rest of an accepted order is wasted. Without it: all, unless the kitchen has begun.
    returned: Option<Vec<Units>>,
    /// What is paid back of an accepted order. Without it: all.
    #[schema(schema_with = optional_amount)]
    refund: Option<Money>,
}

/// Calls an order off, before or after it was accepted. A payment that is open is closed at its gateway first.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("cancel_orders"))),
    params(("m" = i64, Path, description = "The merchant"), ("id" = Uuid, Path, description = "The order")),
    request_body = CancelOrder,
    responses(
        (status = 200, body = OrderView),
        (status = 409, body = ProblemView, content_type = PROBLEM, description = "`illegal_move`, `refund_too_large`, `payment_in_progress`"),
        (status = 503, body = ProblemView, content_type = PROBLEM, description = "`gateway_unavailable`: repeat it"),
    ),
)]
#[post("/v1/admin/merchants/{m}/orders/{id}/cancel")]
pub(in crate::http) async fn cancel(
    app: Data<App>,
    req: HttpRequest,
    who: Staff<CancelOrders>,
    path: Path<IdPath>,
    body: Body<CancelOrder>,
) -> Result<HttpResponse, Error> {
    let (detail, now) = (json!(&body.0), app.clock.now());
    let why = body.0.why.checked()?;
    let how = Cancelling { returned: body.0.returned.map(units), refund: body.0.refund };
    make(&app, &req, &who, path.id, Move::Cancel, detail, move |tx, id, by| orders::cancel(tx, id, by, &why, &how, now))
        .await
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RefundOrder {
    #[serde(flatten)]
    why: ReasonFields,
    /// Yuan to pay back. Neither this nor lines: all that is left.
    #[schema(schema_with = optional_amount)]
    amount: Option<Money>,
    /// Units to pay back, at what they cost after points.
    lines: Option<Vec<Units>>,
}

/// Pays money back, whole, in part or by lines, once for each `Idempotency-Key`. The order stays where it stands.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("refund_orders"))),
    params(("m" = i64, Path, description = "The merchant"), ("id" = Uuid, Path, description = "The order"),
        ("Idempotency-Key" = String, Header, description = "1 to 128 visible ASCII characters; the same on retry")),
    request_body = RefundOrder,
    responses(
        (status = 200, body = OrderView),
        (status = 409, body = ProblemView, content_type = PROBLEM, description = "`illegal_move`, `refund_too_large` with what is `left`"),
        (status = 422, body = ProblemView, content_type = PROBLEM, description = "`idempotency_key_reused`, `invalid_field`"),
    ),
)]
#[post("/v1/admin/merchants/{m}/orders/{id}/refunds")]
pub(in crate::http) async fn refund(
    app: Data<App>,
    req: HttpRequest,
    who: Staff<RefundOrders>,
    path: Path<IdPath>,
    key: Key,
    body: Body<RefundOrder>,
) -> Result<HttpResponse, Error> {
    let (detail, now) = (json!(&body.0), app.clock.now());
    let asked = Keyed { key: key.0, request_hash: request_hash(&body.0) };
    let why = body.0.why.checked()?;
    let what = match (body.0.amount, body.0.lines) {
        (None, None) => Refunding::Whole,
        (Some(amount), None) => Refunding::Amount(amount),
        (None, Some(lines)) => Refunding::Lines(units(lines)),
        (Some(_), Some(_)) => {
            return Err(Error::invalid("amount", "金额和明细只能填一项", "give an amount or lines, not both"));
        }
    };
    make(&app, &req, &who, path.id, Move::Refund, detail, move |tx, id, by| {
        orders::refund(tx, id, &what, &asked, by, &why, now)
    })
    .await
}
