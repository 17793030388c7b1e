//! The staff log in, and change their own passwords.

use std::ops::RangeInclusive;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, get, post, put};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Array, ArrayBuilder};
use uuid::Uuid;

use crate::App;
use crate::domain::MerchantId;
use crate::domain::staff::{Permission, Role};
use crate::error::Error;
use crate::http::extract::{Body, Merchant, line};
use crate::http::problem::{PROBLEM, ProblemView};
use crate::http::staff::{Action, Anything, Staff, act};
use crate::http::view::{Text, name_of};
use crate::http::{blocking, read};
use crate::service;
use crate::store::merchants;
use crate::store::staff::Member;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct StaffLogIn {
    #[schema(example = "owner", min_length = 1, max_length = 50)]
    login: String,
    #[schema(min_length = 1, max_length = 200)]
    password: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangePassword {
    #[schema(min_length = 1, max_length = 200)]
    old: String,
    #[schema(min_length = 8, max_length = 200)]
    new: String,
}

#[derive(Serialize, ToSchema)]
struct StaffSession {
    /// Goes into `Authorization: Bearer …`.
    token: String,
    expires_at: DateTime<Utc>,
    staff_id: Uuid,
    name: String,
    #[schema(schema_with = name_of::<Role>)]
    role: &'static str,
}

impl StaffSession {
    fn of(app: &App, merchant: MerchantId, member: Member) -> Result<Self, Error> {
        let (token, expires_at) = app.tokens.issue_staff(merchant, &member, app.clock.now())?;
        Ok(Self { token, expires_at, staff_id: member.id.0, name: member.name, role: member.role.name() })
    }
}

/// Exchanges login and password of a member of the staff for a token.
#[utoipa::path(
    tag = "staff",
    operation_id = "staff_log_in",
    params(("m" = i64, Path, description = "The merchant")),
    request_body = StaffLogIn,
    responses(
        (status = 201, body = StaffSession),
        (status = 401, body = ProblemView, content_type = PROBLEM, description = "`login_refused`"),
        (status = 429, body = ProblemView, content_type = PROBLEM, description = "`too_many_requests`"),
    ),
)]
#[post("/v1/admin/merchants/{m}/sessions")]
pub(in crate::http) async fn log_in(
    app: Data<App>,
    req: HttpRequest,
    merchant: Merchant,
    body: Body<StaffLogIn>,
) -> Result<HttpResponse, Error> {
    let address = app.limits.address(&req);
    if let Some(address) = address {
        app.limits.login(address)?;
    }
    let login = line("login", &body.0.login, 50)?;
    app.limits.staff_login(merchant.0, &login, address)?;
    let password = password("password", body.0.password, 1..=200)?;
    let member = blocking(&app, move |app| {
        app.limits.hashing(|| service::staff::log_in(&app.store, merchant.0, &login, &password))
    })
    .await?;
    Ok(HttpResponse::Created().json(StaffSession::of(&app, merchant.0, member)?))
}

/// What all of a merchant's staff need to know of it, whether or not they may see its settings.
#[derive(Serialize, ToSchema)]
#[schema(as = Merchant)]
struct MerchantView {
    id: i64,
    name: Text,
    /// The zone of its clock, and of its days of business.
    #[schema(example = "Asia/Shanghai")]
    time_zone: &'static str,
    /// When a day of business begins.
    #[schema(example = "04:00")]
    day_starts_at: String,
    /// Minutes the restaurant may take to answer an order.
    accept_minutes: i32,
}

impl From<merchants::Merchant> for MerchantView {
    fn from(merchant: merchants::Merchant) -> Self {
        Self {
            id: merchant.id.0,
            name: merchant.name.into(),
            time_zone: merchant.time_zone.name(),
            day_starts_at: merchant.day_starts_at.format("%H:%M").to_string(),
            accept_minutes: merchant.accept_minutes,
        }
    }
}

/// Who one is, for whom one works, and what one may do.
#[derive(Serialize, ToSchema)]
struct Me {
    staff_id: Uuid,
    login: String,
    name: String,
    #[schema(schema_with = name_of::<Role>)]
    role: &'static str,
    /// What the role permits.
    #[schema(schema_with = permissions)]
    permissions: Vec<&'static str>,
    merchant: MerchantView,
}

fn permissions() -> Array {
    ArrayBuilder::new().items(name_of::<Permission>()).build()
}

/// Who the token's bearer is, for whom they work, and what they may do.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!(null))),
    params(("m" = i64, Path, description = "The merchant")),
    responses((status = 200, body = Me)),
)]
#[get("/v1/admin/merchants/{m}/me")]
pub(in crate::http) async fn me(app: Data<App>, who: Staff<Anything>) -> Result<HttpResponse, Error> {
    let asked = who.merchant;
    let merchant = read(&app, asked, move |conn| merchants::find(conn, asked)?.ok_or(Error::NotFound)).await?;
    let permitted = Permission::ALL.iter().filter(|permission| who.role.has(**permission));
    Ok(HttpResponse::Ok().json(Me {
        staff_id: who.id.0,
        login: who.login,
        name: who.name,
        role: who.role.name(),
        permissions: permitted.map(|permission| permission.name()).collect(),
        merchant: merchant.into(),
    }))
}

/// Gives oneself another password, and answers with a token: those from before are no longer good.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!(null))),
    params(("m" = i64, Path, description = "The merchant")),
    request_body = ChangePassword,
    responses(
        (status = 200, body = StaffSession),
        (status = 422, body = ProblemView, content_type = PROBLEM, description = "`invalid_field`, also when the old one is wrong"),
    ),
)]
#[put("/v1/admin/merchants/{m}/me/password")]
pub(in crate::http) async fn change_password(
    app: Data<App>,
    req: HttpRequest,
    who: Staff<Anything>,
    body: Body<ChangePassword>,
) -> Result<HttpResponse, Error> {
    let ChangePassword { old, new } = body.0;
    let old = password("old", old, 1..=200)?;
    let new = password("new", new, service::staff::PASSWORD_CHARS)?;
    // Whoever has got hold of a token may not try passwords with it.
    app.limits.staff_login(who.merchant, &who.login, app.limits.address(&req))?;
    let (now, merchant, id, login) = (app.clock.now(), who.merchant, who.id, who.login.clone());
    let (checked, hash) = blocking(&app, {
        let login = login.clone();
        move |app| {
            app.limits.hashing(|| {
                let checked = service::staff::check_password(&app.store, merchant, &login, &old)?;
                Ok((checked, service::staff::hash(&new)?))
            })
        }
    })
    .await?;
    let action = Action { name: "change_password", subject: format!("staff {id}"), detail: json!({}) };
    let member =
        act(&app, &who, action, now, move |tx| service::staff::change_password(tx, (id, &login), &checked, &hash, now))
            .await?;
    Ok(HttpResponse::Ok().json(StaffSession::of(&app, merchant, member)?))
}

/// A password as it was typed: not trimmed, only counted.
pub(super) fn password(field: &'static str, typed: String, chars: RangeInclusive<usize>) -> Result<String, Error> {
    if chars.contains(&typed.chars().count()) {
        return Ok(typed);
    }
    let (least, most) = (chars.start(), chars.end());
    Err(Error::invalid(
        field,
        format!("须为 {least} 到 {most} 个字符"),
        format!("it must have {least} to {most} characters"),
    ))
}
