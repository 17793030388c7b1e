//! What the staff must know of, or do, about money.

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpResponse, get, post};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::App;
use crate::domain::AlertId;
use crate::domain::payment::AlertKind;
use crate::error::Error;
use crate::http::extract::IdPath;
use crate::http::problem::{PROBLEM, ProblemView};
use crate::http::staff::{Action, ReadOrders, RefundOrders, Staff, act};
use crate::http::view::name_of;
use crate::http::{page, read};
use crate::store::alerts::{self, Alert};

/// Something a human must know of, or do.
#[derive(Serialize, ToSchema)]
#[schema(as = Alert)]
struct AlertView {
    id: Uuid,
    /// Payments that are late, duplicate or a mismatch go back by themselves. A refund that is abnormal, failed or stuck waits for somebody
    /// to put it in again, or to pay it back by hand and say so; `refund_twice` tells that the gateway paid it nevertheless.
    #[schema(schema_with = name_of::<AlertKind>)]
    kind: String,
    order_id: Option<Uuid>,
    payment_id: Option<Uuid>,
    refund_id: Option<Uuid>,
    /// What there is to say besides, such as the gateway's words.
    detail: String,
    raised_at: DateTime<Utc>,
    /// When it was dealt with.
    resolved_at: Option<DateTime<Utc>>,
    /// By whom: `staff` with the member's id, or `gateway`.
    resolved_by: Option<String>,
}

impl From<Alert> for AlertView {
    fn from(alert: Alert) -> Self {
        let Alert { id, kind, order_id, payment_id, refund_id, detail, raised_at, resolved_at, resolved_by } = alert;
        Self { id, kind, order_id, payment_id, refund_id, detail, raised_at, resolved_at, resolved_by }
    }
}

#[derive(Serialize, ToSchema)]
struct AlertPage {
    items: Vec<AlertView>,
    /// Asks for the page after this one; null at the end.
    next_cursor: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct AlertsQuery {
    /// Only what nobody has dealt with yet; true when absent.
    open: Option<bool>,
    /// Alerts in a page; 20 when absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u8>,
    /// `next_cursor` of the page before; absent for the first.
    cursor: Option<Uuid>,
}

/// Alerts, the latest first.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("read_orders"))),
    params(("m" = i64, Path, description = "The merchant"), AlertsQuery),
    responses(
        (status = 200, body = AlertPage),
    ),
)]
#[get("/v1/admin/merchants/{m}/alerts")]
pub(in crate::http) async fn list_alerts(
    app: Data<App>,
    who: Staff<ReadOrders>,
    query: Query<AlertsQuery>,
) -> Result<HttpResponse, Error> {
    let (limit, only_open, before) = (page::limit(query.limit)?, query.open.unwrap_or(true), query.cursor.map(AlertId));
    let mut rows = read(&app, who.merchant, move |conn| {
        Ok(alerts::page(conn, who.merchant, only_open, before, page::one_more(limit))?)
    })
    .await?;
    let next_cursor = page::cut(&mut rows, limit, |last| last.id.to_string());
    Ok(HttpResponse::Ok().json(AlertPage { items: rows.into_iter().map(AlertView::from).collect(), next_cursor }))
}

/// Says that an alert is dealt with.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("refund_orders"))),
    params(("m" = i64, Path, description = "The merchant"), ("id" = Uuid, Path, description = "The alert")),
    responses(
        (status = 200, body = AlertView),
        (status = 409, body = ProblemView, content_type = PROBLEM, description = "`already_resolved`"),
    ),
)]
#[post("/v1/admin/merchants/{m}/alerts/{id}/resolve")]
pub(in crate::http) async fn resolve_alert(
    app: Data<App>,
    who: Staff<RefundOrders>,
    path: Path<IdPath>,
) -> Result<HttpResponse, Error> {
    let (id, by, now) = (AlertId(path.id), who.actor().to_string(), app.clock.now());
    let action = Action { name: "resolve_alert", subject: format!("alert {id}"), detail: json!({}) };
    let alert = act(&app, &who, action, now, move |tx| {
        let merchant = tx.merchant();
        let is_resolved = alerts::resolve(tx, id, &by, now)?;
        let alert = alerts::find(tx.conn(), merchant, id)?.ok_or(Error::NotFound)?;
        if is_resolved { Ok(alert) } else { Err(Error::AlertResolved) }
    })
    .await?;
    Ok(HttpResponse::Ok().json(AlertView::from(alert)))
}
