//! The staff log in.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, get, post};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::App;
use crate::domain::staff::Permission;
use crate::error::Error;
use crate::http::auth::Audience;
use crate::http::blocking;
use crate::http::extract::{Body, Merchant, line};
use crate::http::problem::{PROBLEM, ProblemView};
use crate::http::staff::{Anything, Staff};
use crate::service;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct StaffLogIn {
    #[schema(example = "owner", min_length = 1, max_length = 50)]
    login: String,
    #[schema(min_length = 1, max_length = 200)]
    password: String,
}

#[derive(Serialize, ToSchema)]
struct StaffSession {
    /// Goes into `Authorization: Bearer …`.
    token: String,
    expires_at: DateTime<Utc>,
    staff_id: Uuid,
    name: String,
    role: &'static str,
}

/// Exchanges login and password of a member of the staff for a token.
#[utoipa::path(
    tag = "staff",
    params(("m" = i64, Path, description = "The merchant")),
    request_body = StaffLogIn,
    responses(
        (status = 201, body = StaffSession),
        (status = "4XX", body = ProblemView, content_type = PROBLEM, description = "`login_refused`, `too_many_requests`"),
        (status = 503, body = ProblemView, content_type = PROBLEM),
    ),
)]
#[post("/v1/admin/merchants/{m}/sessions")]
pub(in crate::http) async fn log_in(
    app: Data<App>,
    req: HttpRequest,
    merchant: Merchant,
    body: Body<StaffLogIn>,
) -> Result<HttpResponse, Error> {
    if let Some(peer) = req.peer_addr() {
        app.limits.login(peer.ip())?;
    }
    let login = line("login", &body.0.login, 50)?;
    app.limits.staff_login(merchant.0, &login)?;
    let password = body.0.password;
    if !(1..=200).contains(&password.chars().count()) {
        return Err(Error::InvalidField { field: "password", reason: "it must have 1 to 200 characters".to_owned() });
    }
    let member = blocking(&app, move |app| service::staff::log_in(&app.store, merchant.0, &login, &password)).await?;
    let (token, expires_at) = app.tokens.issue(Audience::Staff, merchant.0, member.id.0, app.clock.now())?;
    let role = member.role.name();
    Ok(HttpResponse::Created().json(StaffSession { token, expires_at, staff_id: member.id.0, name: member.name, role }))
}

/// Who one is, and what one may do.
#[derive(Serialize, ToSchema)]
struct Me {
    staff_id: Uuid,
    name: String,
    role: &'static str,
    /// What the role permits.
    permissions: Vec<&'static str>,
}

/// Who the token's bearer is, and what they may do.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    params(("m" = i64, Path, description = "The merchant")),
    responses((status = 200, body = Me), (status = "4XX", body = ProblemView, content_type = PROBLEM), (status = 503, body = ProblemView, content_type = PROBLEM)),
)]
#[get("/v1/admin/merchants/{m}/me")]
pub(in crate::http) async fn me(who: Staff<Anything>) -> Result<HttpResponse, Error> {
    let permitted = Permission::ALL.iter().filter(|permission| who.role.has(**permission));
    let permissions = permitted.map(|permission| permission.name()).collect();
    Ok(HttpResponse::Ok().json(Me { staff_id: who.id.0, name: who.name, role: who.role.name(), permissions }))
}
