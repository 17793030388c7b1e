//! A customer places orders and looks at them.

use std::fmt;

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, get, post};
use chrono::{DateTime, Utc};
use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::cart::owner;
use super::extract::{Body, Customer, IdPath, IfRoom, Key, line, request_hash, text};
use super::observe::AboutOrder;
use super::problem::{PROBLEM, ProblemView};
use super::view::{EventView, OrderView, ReasonFields, name_of, optional_amount};
use super::{blocking, page, read, write};
use crate::App;
use crate::clock::uuid_at;
use crate::config;
use crate::domain::money::Money;
use crate::domain::moves::{Actor, Move};
use crate::domain::order::{Fulfilment, Order, PayMethod};
use crate::domain::placement::{IdempotencyKey, Limits, Placement, RequestHash, WantedLines};
use crate::domain::{AddressId, CartId, CustomerId, GoodsId, MerchantId, OrderId, Refusal};
use crate::error::Error;
use crate::placement::Outcome;
use crate::service;
use crate::service::carts::{Owner, ToPlace};
use crate::service::orders::Cancelling;
use crate::store::{Tx, moves, orders};

// Its serialization is what an idempotency key stands for: a field added later must not be serialized when it is absent.
/// What to order, how to get it and how to pay it.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PlaceOrder {
    lines: Lines,
    fulfilment: FulfilmentRequest,
    #[schema(schema_with = name_of::<PayMethod>)]
    pay_method: PayMethod,
    /// Points to spend, where the merchant takes any.
    #[serde(default, skip_serializing_if = "is_zero")]
    points: u32,
    /// Words to the restaurant, at most 200 characters by default.
    #[serde(default)]
    #[schema(example = "少辣，谢谢")]
    remark: String,
    /// What the customer was shown. Another total is refused with `price_changed`.
    #[serde(default)]
    #[schema(schema_with = optional_amount)]
    expected_total: Option<Money>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(points: &u32) -> bool {
    *points == 0
}

/// Goods and units, at most 50 lines by default; those that name the same goods are summed. Or `"cart"`: what is selected in the
/// customer's cart, which the order takes out of it in the same step.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum Lines {
    /// These.
    Given(Vec<Line>),
    /// What is selected in the cart.
    FromCart(FromCart),
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum FromCart {
    Cart,
}

/// By hand, so that what is wrong inside a line is told of that line.
impl<'de> Deserialize<'de> for Lines {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Lines;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of lines or \"cart\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Lines, E> {
                match text {
                    "cart" => Ok(Lines::FromCart(FromCart::Cart)),
                    _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, lines: A) -> Result<Lines, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(lines)).map(Lines::Given)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Line {
    #[schema(example = 1)]
    goods_id: i64,
    /// Units, at most 999 by default.
    #[schema(example = 2, minimum = 1)]
    count: i64,
}

/// How the order reaches the customer.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum FulfilmentRequest {
    /// Served at a table.
    DineIn {
        /// The table's name.
        #[schema(example = "A3", min_length = 1, max_length = 20)]
        table: String,
    },
    /// Fetched at the counter.
    Pickup {},
    /// Brought to an address of the customer's book.
    Delivery {
        /// The address.
        address_id: Uuid,
    },
}

impl PlaceOrder {
    /// Trims what is typed and refuses what is out of bounds.
    fn checked(mut self, limits: &config::Orders) -> Result<Self, Error> {
        self.remark = text("remark", &self.remark, limits.remark_chars_max)?;
        if let FulfilmentRequest::DineIn { table } = &mut self.fulfilment {
            *table = line("fulfilment.table", table, 20)?;
        }
        Ok(self)
    }

    /// An order of `lines`, which may be those of a cart.
    fn into_placement(
        self,
        id: OrderId,
        customer_id: CustomerId,
        key: IdempotencyKey,
        lines: WantedLines,
        cart: Option<CartId>,
    ) -> Placement {
        Placement {
            id,
            customer_id,
            key,
            request_hash: request_hash(&self),
            lines,
            fulfilment: match self.fulfilment {
                FulfilmentRequest::DineIn { table } => Fulfilment::DineIn { table },
                FulfilmentRequest::Pickup {} => Fulfilment::Pickup,
                FulfilmentRequest::Delivery { address_id } => Fulfilment::Delivery(AddressId(address_id)),
            },
            pay_method: self.pay_method,
            points: self.points.into(),
            cart,
            expected_total: self.expected_total,
            remark: self.remark,
        }
    }
}

/// Places an order: all of it, or nothing.
///
/// Send one `Idempotency-Key` per order, and the same one when you do not know what became of it: the answer is then the
/// order that stands.
#[utoipa::path(
    tag = "customers",
    security(("customer" = [])),
    params(
        ("m" = i64, Path, description = "The merchant"),
        ("Idempotency-Key" = String, Header, description = "One key per order, of visible ASCII characters"),
    ),
    request_body = PlaceOrder,
    responses(
        (status = 201, body = OrderView, description = "Placed"),
        (status = 200, body = OrderView, description = "This key has placed this order before"),
        (status = 409, body = ProblemView, content_type = PROBLEM, description = "`out_of_stock` with every short line, `not_on_sale`, `price_changed`, \
            `below_minimum` for a delivery, `shop_paused`, `shop_closed`, `cart_already_placed`, `points_not_taken`, `too_few_points`, `too_many_points`"),
        (status = 422, body = ProblemView, content_type = PROBLEM, description = "`idempotency_key_reused`, `unknown_goods`, `unknown_address`, \
            `empty_order`, `empty_cart`, `too_many_lines`, `bad_count`, `fulfilment_not_offered`, `pay_method_not_offered`, `invalid_field`"),
        (status = 503, body = ProblemView, content_type = PROBLEM, description = "`unavailable`, `queue_full`: this request did nothing; `outcome_unknown`: it may have. Whichever it is, repeat it with the same key"),
    ),
)]
#[post("/v1/merchants/{m}/orders")]
pub(super) async fn place_order(
    app: Data<App>,
    req: HttpRequest,
    IfRoom((who, key, body)): IfRoom<(Customer, Key, Body<PlaceOrder>)>,
) -> Result<HttpResponse, Error> {
    let now = app.clock.now();
    let request = body.0.checked(&app.config.orders)?;
    let id = OrderId(uuid_at(now));
    let outcome = match checked_lines(&app, who.merchant, &request) {
        Ok(Some(lines)) => {
            app.engine.place(who.merchant, request.into_placement(id, who.id, key.0, lines, None)).await?
        }
        Ok(None) => place_cart(&app, owner(&who), key.0, id, request, now).await?,
        // What is configured may have changed since the order was placed.
        Err(refused) => standing(&app, owner(&who), key.0, request_hash(&request)).await?.ok_or(refused)?,
    };
    let (mut response, order) = match outcome {
        Outcome::Placed(order) => (HttpResponse::Created(), order),
        Outcome::Repeated(order) => (HttpResponse::Ok(), order),
        Outcome::Mismatched => return Err(Error::KeyReused),
        Outcome::Refused(refusal) => return Err(refusal.into()),
    };
    req.extensions_mut().insert(AboutOrder(order.id));
    Ok(response.json(OrderView::from(order)))
}

/// The lines that are sent, if what is configured allows them and the way to pay; none where the cart has them.
fn checked_lines(app: &App, merchant: MerchantId, request: &PlaceOrder) -> Result<Option<WantedLines>, Error> {
    if app.gateways.get(merchant, request.pay_method).is_none() {
        return Err(Refusal::PayMethodNotOffered(request.pay_method).into());
    }
    match &request.lines {
        Lines::Given(lines) => wanted(app, lines.iter().map(|line| (GoodsId(line.goods_id), line.count))).map(Some),
        Lines::FromCart(FromCart::Cart) => Ok(None),
    }
}

/// What a key stands for already, if for anything.
async fn standing(
    app: &Data<App>,
    Owner { merchant, customer }: Owner,
    key: IdempotencyKey,
    hash: RequestHash,
) -> Result<Option<Outcome>, Error> {
    let found = read(app, merchant, move |conn| Ok(orders::find_key(conn, merchant, customer, &key)?)).await?;
    Ok(found.map(|(order, kept)| if kept == hash { repeated(app, order) } else { Outcome::Mismatched }))
}

/// An order that stands, found without the engine, which counts those that it finds itself.
fn repeated(app: &App, order: Order) -> Outcome {
    app.metrics.orders_repeated.inc();
    Outcome::Repeated(order)
}

/// Places what is selected in the cart; see [`crate::service::carts`] for why that happens once.
async fn place_cart(
    app: &Data<App>,
    owner: Owner,
    key: IdempotencyKey,
    id: OrderId,
    request: PlaceOrder,
    now: DateTime<Utc>,
) -> Result<Outcome, Error> {
    let (asked, hash) = (key.clone(), request_hash(&request));
    let (cart, lines) = match blocking(app, move |app| app.carts.to_place(owner, &asked, &hash, now)).await? {
        ToPlace::Placed(order) => return Ok(repeated(app, *order)),
        ToPlace::Mismatched => return Ok(Outcome::Mismatched),
        ToPlace::Selected(cart, lines) => (cart, lines),
    };
    let lines = wanted(app, lines.into_iter().map(|(goods, count)| (goods, count.into())))?;
    let placement = request.into_placement(id, owner.customer, key, lines, Some(cart));
    let outcome = app.engine.place(owner.merchant, placement).await?;
    if matches!(outcome, Outcome::Placed(_)) {
        settle(app, owner).await;
    }
    Ok(outcome)
}

fn wanted(app: &App, lines: impl Iterator<Item = (GoodsId, i64)>) -> Result<WantedLines, Error> {
    let limits = &app.config.orders;
    let lines: Vec<_> = lines.collect();
    Ok(WantedLines::new(&lines, Limits { lines_max: limits.lines_max, count_max: limits.count_max })?)
}

/// Takes an order that is placed out of its cart. The order stands whatever becomes of that: if it fails, the next who reads the cart does
/// it.
async fn settle(app: &Data<App>, owner: Owner) {
    let now = app.clock.now();
    if let Err(error) = blocking(app, move |app| app.carts.settle(owner, now)).await {
        log::warn!(merchant_id:% = owner.merchant; "Leaves a placed cart to its next reader: {error}");
    }
}

/// An order with what happened to it since it was placed.
#[derive(Serialize, ToSchema)]
struct OrderWithHistory {
    #[serde(flatten)]
    order: OrderView,
    history: Vec<EventView>,
}

/// One order of the customer.
#[utoipa::path(
    tag = "customers",
    security(("customer" = [])),
    params(("m" = i64, Path, description = "The merchant"), ("id" = Uuid, Path, description = "The order")),
    responses((status = 200, body = OrderWithHistory)),
)]
#[get("/v1/merchants/{m}/orders/{id}")]
pub(super) async fn show_order(
    app: Data<App>,
    req: HttpRequest,
    who: Customer,
    path: Path<IdPath>,
) -> Result<HttpResponse, Error> {
    let id = OrderId(path.id);
    req.extensions_mut().insert(AboutOrder(id));
    let (order, history) = read(&app, who.merchant, move |conn| {
        let order = orders::find(conn, who.merchant, who.id, id)?.ok_or(Error::NotFound)?;
        Ok((order, moves::history(conn, who.merchant, id)?))
    })
    .await?;
    let history = history.into_iter().map(EventView::for_customer).collect();
    Ok(HttpResponse::Ok().json(OrderWithHistory { order: order.into(), history }))
}

/// Calls an order off: while it waits to be paid, or, where the merchant allows it, to be accepted. A payment that is open is closed at
/// its gateway first.
#[utoipa::path(
    tag = "customers",
    security(("customer" = [])),
    params(("m" = i64, Path, description = "The merchant"), ("id" = Uuid, Path, description = "The order")),
    request_body = ReasonFields,
    responses(
        (status = 200, body = OrderView),
        (status = 409, body = ProblemView, content_type = PROBLEM, description = "`illegal_move`, with the `state` it was found in; `cancel_not_allowed`; `points_spent`, when points that the order brought are not there to be taken back; \
            `payment_in_progress`"),
        (status = 503, body = ProblemView, content_type = PROBLEM, description = "`gateway_unavailable`: repeat it"),
    ),
)]
#[post("/v1/merchants/{m}/orders/{id}/cancel")]
pub(super) async fn cancel_order(
    app: Data<App>,
    req: HttpRequest,
    who: Customer,
    path: Path<IdPath>,
    body: Body<ReasonFields>,
) -> Result<HttpResponse, Error> {
    let (id, why, now) = (OrderId(path.id), body.0.checked()?, app.clock.now());
    req.extensions_mut().insert(AboutOrder(id));
    let by = Actor::Customer(who.id);
    let how = Cancelling::default();
    let order = write(&app, who.merchant, move |tx| service::orders::cancel(tx, id, by, &why, &how, now)).await?;
    Ok(HttpResponse::Ok().json(OrderView::from(order)))
}

/// Asks the restaurant where the order is, at most every five minutes.
#[utoipa::path(
    tag = "customers",
    security(("customer" = [])),
    params(("m" = i64, Path, description = "The merchant"), ("id" = Uuid, Path, description = "The order")),
    responses(
        (status = 200, body = OrderView),
        (status = 409, body = ProblemView, content_type = PROBLEM, description = "`illegal_move`, with the `state` it was found in"),
        (status = 429, body = ProblemView, content_type = PROBLEM, description = "`nudged_already`: not before `Retry-After`"),
    ),
)]
#[post("/v1/merchants/{m}/orders/{id}/nudge")]
pub(super) async fn nudge_order(
    app: Data<App>,
    req: HttpRequest,
    who: Customer,
    path: Path<IdPath>,
) -> Result<HttpResponse, Error> {
    let (id, by, now) = (OrderId(path.id), Actor::Customer(who.id), app.clock.now());
    req.extensions_mut().insert(AboutOrder(id));
    let order = write(&app, who.merchant, move |tx| service::orders::nudge(tx, id, by, now)).await?;
    Ok(HttpResponse::Ok().json(OrderView::from(order)))
}

/// The customer has the order, and completes it: one that is ready or on its way, and for which no cash is owed.
#[utoipa::path(
    tag = "customers",
    security(("customer" = [])),
    params(("m" = i64, Path, description = "The merchant"), ("id" = Uuid, Path, description = "The order")),
    responses(
        (status = 200, body = OrderView),
        (status = 409, body = ProblemView, content_type = PROBLEM, description = "`illegal_move`, with the `state` it was found in; `cash_not_collected`"),
    ),
)]
#[post("/v1/merchants/{m}/orders/{id}/receive")]
pub(super) async fn receive_order(
    app: Data<App>,
    req: HttpRequest,
    who: Customer,
    path: Path<IdPath>,
) -> Result<HttpResponse, Error> {
    let (id, by, now) = (OrderId(path.id), Actor::Customer(who.id), app.clock.now());
    req.extensions_mut().insert(AboutOrder(id));
    let received = move |tx: &mut Tx<'_>| service::orders::advance(tx, id, Move::Complete, by, now);
    let order = write(&app, who.merchant, received).await?;
    Ok(HttpResponse::Ok().json(OrderView::from(order)))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct PageQuery {
    /// Orders in a page; 20 when absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u8>,
    /// `next_cursor` of the page before; absent for the first.
    cursor: Option<Uuid>,
}

#[derive(Serialize, ToSchema)]
struct OrderPage {
    items: Vec<OrderView>,
    /// Asks for the page after this one; null at the end.
    next_cursor: Option<Uuid>,
}

/// The customer's orders, the newest first.
#[utoipa::path(
    tag = "customers",
    security(("customer" = [])),
    params(("m" = i64, Path, description = "The merchant"), PageQuery),
    responses((status = 200, body = OrderPage)),
)]
#[get("/v1/merchants/{m}/orders")]
pub(super) async fn list_orders(app: Data<App>, who: Customer, query: Query<PageQuery>) -> Result<HttpResponse, Error> {
    let (limit, before) = (page::limit(query.limit)?, query.cursor.map(OrderId));
    let mut orders = read(&app, who.merchant, move |conn| {
        Ok(orders::page(conn, who.merchant, who.id, before, page::one_more(limit))?)
    })
    .await?;
    let next_cursor = page::cut(&mut orders, limit, |last| last.id.0);
    Ok(HttpResponse::Ok().json(OrderPage { items: orders.into_iter().map(OrderView::from).collect(), next_cursor }))
}
