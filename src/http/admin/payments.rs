//! What the staff decide where a gateway does not: refunds that are put in again or paid by hand, payments that are given up.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, post};
use serde_json::json;

use crate::App;
use crate::domain::{PaymentId, RefundId};
use crate::error::Error;
use crate::http::extract::IdPath;
use crate::http::payments::{PaymentView, RefundView};
use crate::http::problem::{PROBLEM, ProblemView};
use crate::http::staff::{Action, RefundOrders, Staff, act};
use crate::service;
use crate::store::Tx;

/// Has a refund asked for again that waits for a human. Where the gateway had given up on it, it gets another number there; otherwise it
/// keeps its own, so that it is paid once.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("refund_orders"))),
    params(("m" = i64, Path, description = "The merchant"), ("id" = Uuid, Path, description = "The refund")),
    responses(
        (status = 200, body = RefundView),
        (status = 409, body = ProblemView, content_type = PROBLEM, description = "`refund_goes_on`, with the `state` it is in"),
    ),
)]
#[post("/v1/admin/merchants/{m}/refunds/{id}/retry")]
pub(in crate::http) async fn retry_refund(
    app: Data<App>,
    who: Staff<RefundOrders>,
    path: Path<IdPath>,
) -> Result<HttpResponse, Error> {
    let (id, by, now) = (RefundId(path.id), who.actor(), app.clock.now());
    let action = Action { name: "retry_refund", subject: format!("refund {id}"), detail: json!({}) };
    let failures_max = app.till.failures_max();
    let again = move |tx: &mut Tx<'_>| service::refunds::put_in_again(tx, id, by, failures_max, now);
    let refund = act(&app, &who, action, now, again).await?;
    Ok(HttpResponse::Ok().json(RefundView::from(refund)))
}

/// Says that a refund which is `failed` or `abnormal` was paid by hand. The customer has the money then, and the gateway is not asked for it
/// any more.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("refund_orders"))),
    params(("m" = i64, Path, description = "The merchant"), ("id" = Uuid, Path, description = "The refund")),
    responses(
        (status = 200, body = RefundView),
        (status = 409, body = ProblemView, content_type = PROBLEM, description = "`refund_goes_on`, with the `state` it is in"),
    ),
)]
#[post("/v1/admin/merchants/{m}/refunds/{id}/paid-by-hand")]
pub(in crate::http) async fn pay_refund_by_hand(
    app: Data<App>,
    who: Staff<RefundOrders>,
    path: Path<IdPath>,
) -> Result<HttpResponse, Error> {
    let (id, by, now) = (RefundId(path.id), who.actor(), app.clock.now());
    let action = Action { name: "pay_refund_by_hand", subject: format!("refund {id}"), detail: json!({}) };
    let refund = act(&app, &who, action, now, move |tx| service::refunds::pay_by_hand(tx, id, by, now)).await?;
    Ok(HttpResponse::Ok().json(RefundView::from(refund)))
}

/// Gives up a payment whose time has been over for half an hour, and that its gateway neither closes nor says anything of. Its order is called
/// off then; should money have come for it, that goes back when the gateway says so.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("refund_orders"))),
    params(("m" = i64, Path, description = "The merchant"), ("id" = Uuid, Path, description = "The payment")),
    responses(
        (status = 200, body = PaymentView),
        (status = 409, body = ProblemView, content_type = PROBLEM, description = "`payment_in_progress`: it is not stuck"),
    ),
)]
#[post("/v1/admin/merchants/{m}/payments/{id}/give-up")]
pub(in crate::http) async fn give_up(
    app: Data<App>,
    who: Staff<RefundOrders>,
    path: Path<IdPath>,
) -> Result<HttpResponse, Error> {
    let (id, by, now) = (PaymentId(path.id), who.actor(), app.clock.now());
    let action = Action { name: "give_up_payment", subject: format!("payment {id}"), detail: json!({}) };
    let payment = act(&app, &who, action, now, move |tx| service::payments::give_up(tx, id, by, now)).await?;
    Ok(HttpResponse::Ok().json(PaymentView::from(payment)))
}
