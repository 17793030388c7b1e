//! The staff move stock, and say what is sold out.

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpResponse, delete, get, post, put};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::App;
use crate::domain::GoodsId;
use crate::domain::menu::STOCK_MAX;
use crate::domain::staff::Permission;
use crate::error::Error;
use crate::http::admin::categories::MenuPath;
use crate::http::admin::menu::StaffGoods;
use crate::http::extract::{Body, OptionalKey, number, text};
use crate::http::problem::{PROBLEM, ProblemView};
use crate::http::staff::{Action, MarkSoldOut, MoveStock, ReadMenu, Staff, act};
use crate::http::view::names;
use crate::http::{page, read};
use crate::service;
use crate::service::once::Once;
use crate::service::stock::Moved;
use crate::store::stock::MoveRow;
use crate::store::{menu, stock};

/// Why stock is moved by hand.
const REASONS: [&str; 5] = ["delivery", "count", "waste", "correction", "other"];

fn reason() -> utoipa::openapi::Object {
    names(REASONS.to_vec())
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MoveStockBy {
    /// Units that come in, or, below zero, go out.
    #[schema(example = 20, minimum = -10_000_000, maximum = 10_000_000)]
    delta: i32,
    #[schema(schema_with = reason)]
    reason: String,
    /// Words that go with it.
    #[serde(default)]
    #[schema(max_length = 200)]
    note: String,
}

impl MoveStockBy {
    fn checked(&self, goods: GoodsId) -> Result<Moved, Error> {
        let delta = number("delta", self.delta, -STOCK_MAX..=STOCK_MAX)?;
        if delta == 0 {
            return Err(Error::invalid("delta", "不能为 0", "it must not be 0"));
        }
        let reason = REASONS
            .into_iter()
            .find(|reason| *reason == self.reason)
            .ok_or_else(|| Error::none_of("reason", &REASONS.join(", ")))?;
        Ok(Moved { goods, delta, reason, note: text("note", &self.note, 200)? })
    }
}

/// A change of stock that no order made.
#[derive(Serialize, ToSchema)]
#[schema(as = StockMove)]
struct MoveView {
    id: Uuid,
    delta: i32,
    /// As sent, or `opening`, `sold_out`, `sold_out_lifted`, `daily_reset`.
    reason: String,
    note: Option<String>,
    /// `staff <id>`, `timer`, or `seed` of the demo's own.
    actor: String,
    moved_at: DateTime<Utc>,
}

impl From<MoveRow> for MoveView {
    fn from(row: MoveRow) -> Self {
        let MoveRow { id, delta, reason, note, actor, moved_at } = row;
        Self { id, delta, reason, note, actor, moved_at }
    }
}

#[derive(Serialize, ToSchema)]
struct StockMovePage {
    items: Vec<MoveView>,
    /// Asks for the page after this one; null at the end.
    next_cursor: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct MovesQuery {
    /// Moves in a page; 20 when absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u8>,
    /// `next_cursor` of the page before; absent for the first.
    cursor: Option<String>,
}

/// Moves units into stock or out of it.
///
/// With an `Idempotency-Key` it happens once, however often it is sent: a repeat gets the same move, with status 200.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("move_stock"))),
    params(("m" = i64, Path, description = "The merchant"), ("id" = i64, Path, description = "The goods"), ("Idempotency-Key" = Option<String>, Header, description = "1 to 128 visible ASCII characters")),
    request_body = MoveStockBy,
    responses(
        (status = 201, body = MoveView), (status = 200, body = MoveView, description = "It was made before, under this key"),
        (status = 409, body = ProblemView, content_type = PROBLEM, description = "`stock_too_low`"),
        (status = 422, body = ProblemView, content_type = PROBLEM, description = "`idempotency_key_reused`, `invalid_field`"),
    ),
)]
#[post("/v1/admin/merchants/{m}/goods/{id}/stock-moves")]
pub(in crate::http) async fn move_stock(
    app: Data<App>,
    who: Staff<MoveStock>,
    path: Path<MenuPath>,
    key: OptionalKey,
    body: Body<MoveStockBy>,
) -> Result<HttpResponse, Error> {
    let (wanted, by, now) = (body.0.checked(GoodsId(path.id))?, who.actor(), app.clock.now());
    let detail = json!({ "delta": wanted.delta, "reason": wanted.reason, "note": wanted.note });
    let action = Action { name: "move_stock", subject: format!("goods {}", path.id), detail };
    let made =
        act(&app, &who, action, now, move |tx| service::stock::move_by_hand(tx, &wanted, key.0.as_ref(), by, now))
            .await?;
    let (mut response, made) = match made {
        Once::Done(made) => (HttpResponse::Created(), made),
        Once::DoneBefore(made) => (HttpResponse::Ok(), made),
    };
    Ok(response.json(MoveView::from(made)))
}

/// How stock came to be what it is, orders apart: the newest move first.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("read_menu"))),
    params(("m" = i64, Path, description = "The merchant"), ("id" = i64, Path, description = "The goods"), MovesQuery),
    responses(
        (status = 200, body = StockMovePage),
    ),
)]
#[get("/v1/admin/merchants/{m}/goods/{id}/stock-moves")]
pub(in crate::http) async fn list_stock_moves(
    app: Data<App>,
    who: Staff<ReadMenu>,
    path: Path<MenuPath>,
    query: Query<MovesQuery>,
) -> Result<HttpResponse, Error> {
    let (goods, limit) = (GoodsId(path.id), page::limit(query.limit)?);
    let before = query.cursor.as_deref().map(page::from_cursor).transpose()?;
    let before = before.map(|(time, id)| id.parse().map(|id| (time, id)).map_err(|_| page::no_cursor())).transpose()?;
    let mut moves = read(&app, who.merchant, move |conn| {
        menu::find_goods(conn, who.merchant, goods)?.ok_or(Error::NotFound)?;
        Ok(stock::moves(conn, who.merchant, goods, before, page::one_more(limit))?)
    })
    .await?;
    let next_cursor = page::cut(&mut moves, limit, |last| page::cursor(last.moved_at, &last.id.to_string()));
    Ok(HttpResponse::Ok().json(StockMovePage { items: moves.into_iter().map(MoveView::from).collect(), next_cursor }))
}

/// Says that there is none left, whatever was counted. What is in stock is set aside.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("mark_sold_out"))),
    params(("m" = i64, Path, description = "The merchant"), ("id" = i64, Path, description = "The goods")),
    responses(
        (status = 200, body = StaffGoods),
    ),
)]
#[put("/v1/admin/merchants/{m}/goods/{id}/sold-out")]
pub(in crate::http) async fn declare_sold_out(
    app: Data<App>,
    who: Staff<MarkSoldOut>,
    path: Path<MenuPath>,
) -> Result<HttpResponse, Error> {
    let (goods, by, now) = (GoodsId(path.id), who.actor(), app.clock.now());
    let action = Action { name: "declare_sold_out", subject: format!("goods {goods}"), detail: json!({}) };
    let goods = act(&app, &who, action, now, move |tx| service::stock::declare_sold_out(tx, goods, by, now)).await?;
    Ok(HttpResponse::Ok().json(StaffGoods::from(goods)))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct LiftQuery {
    /// Units there are, which needs `move_stock`, too; when absent, those set aside come back.
    #[param(minimum = 0, maximum = 10_000_000)]
    stock: Option<i32>,
}

/// Says that there are some again: those set aside, or as many as are named.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("mark_sold_out"))),
    params(("m" = i64, Path, description = "The merchant"), ("id" = i64, Path, description = "The goods"), LiftQuery),
    responses(
        (status = 200, body = StaffGoods),
    ),
)]
#[delete("/v1/admin/merchants/{m}/goods/{id}/sold-out")]
pub(in crate::http) async fn lift_sold_out(
    app: Data<App>,
    who: Staff<MarkSoldOut>,
    path: Path<MenuPath>,
    query: Query<LiftQuery>,
) -> Result<HttpResponse, Error> {
    let (goods, by, now) = (GoodsId(path.id), who.actor(), app.clock.now());
    let count = query.stock.map(|count| number("stock", count, 0..=STOCK_MAX)).transpose()?;
    // Whoever may not move stock puts back what was set aside, and no more.
    if count.is_some() && !who.role.has(Permission::MoveStock) {
        return Err(Error::Forbidden(Permission::MoveStock));
    }
    let action = Action { name: "lift_sold_out", subject: format!("goods {goods}"), detail: json!({ "stock": count }) };
    let goods =
        act(&app, &who, action, now, move |tx| service::stock::lift_sold_out(tx, goods, count, by, now)).await?;
    Ok(HttpResponse::Ok().json(StaffGoods::from(goods)))
}
