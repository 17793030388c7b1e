//! What became of the deliveries to the merchant's webhook.

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpResponse, get, post};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use crate::App;
use crate::domain::event::EventKind;
use crate::error::Error;
use crate::http::problem::{PROBLEM, ProblemView};
use crate::http::staff::{Action, EditSettings, Staff, act};
use crate::http::view::name_of;
use crate::http::{page, read};
use crate::service;
use crate::store::webhooks::{self, Delivery, STATES};

/// The delivery of one event.
#[derive(Serialize, ToSchema)]
struct DeliveryView {
    /// The event's number.
    seq: i64,
    #[schema(schema_with = name_of::<EventKind>)]
    kind: String,
    /// `pending`, `delivered` or `parked`: given up until somebody puts it in again.
    state: String,
    attempts: i32,
    /// When it is tried next; only while it is pending.
    due_at: Option<DateTime<Utc>>,
    /// The HTTP status it was last answered with.
    last_status: Option<i32>,
    /// Why it failed the last time.
    last_error: Option<String>,
    delivered_at: Option<DateTime<Utc>>,
}

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> Self {
        Self {
            due_at: Some(delivery.due_at).filter(|_| delivery.state == "pending"),
            seq: delivery.seq,
            kind: delivery.kind,
            state: delivery.state,
            attempts: delivery.attempts,
            last_status: delivery.last_status,
            last_error: delivery.last_error,
            delivered_at: delivery.delivered_at,
        }
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct DeliveryQuery {
    /// Only deliveries that are `pending`, `delivered` or `parked`.
    state: Option<String>,
    /// Deliveries in a page; 20 when absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u8>,
    /// `next_cursor` of the page before; absent for the first.
    cursor: Option<i64>,
}

#[derive(Serialize, ToSchema)]
struct DeliveryPage {
    items: Vec<DeliveryView>,
    /// Asks for the page after this one; null at the end.
    next_cursor: Option<i64>,
}

/// The deliveries to the merchant's webhook, the latest event first.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("edit_settings"))),
    params(("m" = i64, Path, description = "The merchant"), DeliveryQuery),
    responses((status = 200, body = DeliveryPage)),
)]
#[get("/v1/admin/merchants/{m}/webhook-deliveries")]
pub(in crate::http) async fn list_deliveries(
    app: Data<App>,
    who: Staff<EditSettings>,
    query: Query<DeliveryQuery>,
) -> Result<HttpResponse, Error> {
    let query = query.into_inner();
    let limit = page::limit(query.limit)?;
    if query.state.as_deref().is_some_and(|state| !STATES.contains(&state)) {
        return Err(Error::MalformedQuery(format!("state must be one of {}", STATES.join(", "))));
    }
    let merchant = who.merchant;
    let mut deliveries = read(&app, merchant, move |conn| {
        Ok(webhooks::page(conn, merchant, query.state.as_deref(), query.cursor, page::one_more(limit))?)
    })
    .await?;
    let next_cursor = page::cut(&mut deliveries, limit, |last| last.seq);
    let items = deliveries.into_iter().map(DeliveryView::from).collect();
    Ok(HttpResponse::Ok().json(DeliveryPage { items, next_cursor }))
}

/// The number of an event in the path.
#[derive(Deserialize)]
struct DeliveryPath {
    seq: i64,
}

#[derive(Serialize, ToSchema)]
struct Retried {
    seq: i64,
    /// Always `pending`.
    state: &'static str,
}

/// Puts a parked delivery in again. It is made at once, before the later ones that wait.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("edit_settings"))),
    params(("m" = i64, Path, description = "The merchant"), ("seq" = i64, Path, description = "The event's number")),
    responses(
        (status = 200, body = Retried),
        (status = 409, body = ProblemView, content_type = PROBLEM, description = "`already_delivered`, `no_webhook`"),
    ),
)]
#[post("/v1/admin/merchants/{m}/webhook-deliveries/{seq}/retry")]
pub(in crate::http) async fn retry_delivery(
    app: Data<App>,
    who: Staff<EditSettings>,
    path: Path<DeliveryPath>,
) -> Result<HttpResponse, Error> {
    let now = app.clock.now();
    let seq = path.seq;
    let action = Action { name: "retry_delivery", subject: format!("webhook delivery {seq}"), detail: json!({}) };
    act(&app, &who, action, now, move |tx| service::settings::retry_delivery(tx, seq, now)).await?;
    Ok(HttpResponse::Ok().json(Retried { seq, state: "pending" }))
}
