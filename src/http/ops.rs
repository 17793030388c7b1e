//! What an operator's machines ask: alive, ready, how much.

use actix_web::web::Data;
use actix_web::{HttpResponse, Responder, get};
use serde::Serialize;
use utoipa::ToSchema;

use super::blocking;
use super::problem::{PROBLEM, ProblemView};
use crate::App;
use crate::error::Error;
use crate::store::migrations;

#[derive(Serialize, ToSchema)]
struct Status {
    #[schema(example = "ok")]
    status: &'static str,
}

/// The process answers.
#[utoipa::path(tag = "operations", responses((status = 200, body = Status)))]
#[get("/healthz")]
pub(super) async fn healthz() -> impl Responder {
    HttpResponse::Ok().json(Status { status: "ok" })
}

/// Orders can be placed: the database answers and lacks no migration.
#[utoipa::path(tag = "operations", responses((status = 200, body = Status), (status = 503, body = ProblemView, content_type = PROBLEM)))]
#[get("/readyz")]
pub(super) async fn readyz(app: Data<App>) -> Result<HttpResponse, Error> {
    let pending = blocking(&app, |app| {
        app.store.read_any(|conn| migrations::pending(conn).map_err(|error| Error::Unavailable(error.to_string())))
    });
    match pending.await? {
        0 => Ok(HttpResponse::Ok().json(Status { status: "ready" })),
        pending => Err(Error::Unavailable(format!("the database lacks {pending} migrations"))),
    }
}

/// Counters, gauges and histograms, for Prometheus.
#[utoipa::path(tag = "operations", responses((status = 200, body = String, content_type = "application/openmetrics-text")))]
#[get("/metrics")]
pub(super) async fn metrics(app: Data<App>) -> impl Responder {
    HttpResponse::Ok()
        .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
        .body(app.metrics.render())
}
