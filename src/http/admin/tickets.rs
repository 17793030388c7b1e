//! The staff print tickets. The printer is the panel's; here it is known which ticket is the original.

use actix_web::web::{Data, Path};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, post};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::App;
use crate::domain::OrderId;
use crate::error::Error;
use crate::http::extract::IdPath;
use crate::http::observe::AboutOrder;
use crate::http::problem::{PROBLEM, ProblemView};
use crate::http::staff::{Action, ReadOrders, Staff, act};
use crate::service;
use crate::store::tickets::Ticket;

/// A ticket that was printed of an order.
#[derive(Serialize, ToSchema)]
#[schema(as = Ticket)]
pub(super) struct TicketView {
    /// One for the original; all others are duplicates, and are to be marked so.
    #[schema(minimum = 1)]
    copy: i32,
    printed_at: DateTime<Utc>,
    /// Name of the member of staff who printed it.
    printed_by: String,
}

impl From<Ticket> for TicketView {
    fn from(ticket: Ticket) -> Self {
        Self { copy: ticket.copy, printed_at: ticket.printed_at, printed_by: ticket.printed_by }
    }
}

/// Tells that a ticket of an order is printed, and learns whether it is the original or which duplicate.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("read_orders"))),
    params(("m" = i64, Path, description = "The merchant"), ("id" = Uuid, Path, description = "The order")),
    responses(
        (status = 201, body = TicketView),
        (status = 409, body = ProblemView, content_type = PROBLEM, description = "`illegal_move`: the order is not paid"),
    ),
)]
#[post("/v1/admin/merchants/{m}/orders/{id}/tickets")]
pub(in crate::http) async fn print_ticket(
    app: Data<App>,
    req: HttpRequest,
    who: Staff<ReadOrders>,
    path: Path<IdPath>,
) -> Result<HttpResponse, Error> {
    let (id, by, now) = (OrderId(path.id), who.id, app.clock.now());
    req.extensions_mut().insert(AboutOrder(id));
    let action = Action { name: "print_ticket", subject: format!("order {id}"), detail: json!({}) };
    let ticket = act(&app, &who, action, now, move |tx| service::tickets::print(tx, id, by, now)).await?;
    Ok(HttpResponse::Created().json(TicketView::from(ticket)))
}
