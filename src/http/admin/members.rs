//! The owner looks after the staff's accounts.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, get, patch, post};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::sessions::password;
use crate::App;
use crate::domain::StaffId;
use crate::domain::staff::Role;
use crate::error::Error;
use crate::http::extract::{Body, IdPath, line, one_of};
use crate::http::problem::{PROBLEM, ProblemView};
use crate::http::staff::{Action, ManageStaff, ReadOrders, Staff, act};
use crate::http::view::name_of;
use crate::http::{blocking, read};
use crate::service;
use crate::service::staff::{MemberChange, PASSWORD_CHARS};
use crate::store::staff::{self, Member};

/// A member of the staff.
#[derive(Serialize, ToSchema)]
#[schema(as = Member)]
struct MemberView {
    id: Uuid,
    login: String,
    name: String,
    #[schema(schema_with = name_of::<Role>)]
    role: &'static str,
    /// Whether they may log in.
    is_active: bool,
    created_at: DateTime<Utc>,
}

impl From<Member> for MemberView {
    fn from(member: Member) -> Self {
        Self {
            id: member.id.0,
            login: member.login,
            name: member.name,
            role: member.role.name(),
            is_active: member.is_active,
            created_at: member.created_at,
        }
    }
}

#[derive(Serialize, ToSchema)]
struct MemberList {
    items: Vec<MemberView>,
}

/// The staff, by login, those who may not log in included.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("manage_staff"))),
    params(("m" = i64, Path, description = "The merchant")),
    responses(
        (status = 200, body = MemberList),
    ),
)]
#[get("/v1/admin/merchants/{m}/staff")]
pub(in crate::http) async fn list_staff(app: Data<App>, who: Staff<ManageStaff>) -> Result<HttpResponse, Error> {
    let members = read(&app, who.merchant, move |conn| Ok(staff::all(conn, who.merchant)?)).await?;
    Ok(HttpResponse::Ok().json(MemberList { items: members.into_iter().map(MemberView::from).collect() }))
}

/// What a member of the staff is called.
#[derive(Serialize, ToSchema)]
struct StaffName {
    id: Uuid,
    name: String,
}

#[derive(Serialize, ToSchema)]
struct StaffNameList {
    items: Vec<StaffName>,
}

/// What the members of the staff are called, those who left included: histories name them by their ids.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("read_orders"))),
    params(("m" = i64, Path, description = "The merchant")),
    responses(
        (status = 200, body = StaffNameList),
    ),
)]
#[get("/v1/admin/merchants/{m}/staff/names")]
pub(in crate::http) async fn list_names(app: Data<App>, who: Staff<ReadOrders>) -> Result<HttpResponse, Error> {
    let members = read(&app, who.merchant, move |conn| Ok(staff::all(conn, who.merchant)?)).await?;
    let name = |member: Member| StaffName { id: member.id.0, name: member.name };
    Ok(HttpResponse::Ok().json(StaffNameList { items: members.into_iter().map(name).collect() }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AddMember {
    #[schema(example = "xiaoli", min_length = 1, max_length = 50)]
    login: String,
    #[schema(example = "小李", min_length = 1, max_length = 50)]
    name: String,
    #[schema(schema_with = name_of::<Role>)]
    role: String,
    #[schema(min_length = 8, max_length = 200)]
    password: String,
}

/// Adds a member.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("manage_staff"))),
    params(("m" = i64, Path, description = "The merchant")),
    request_body = AddMember,
    responses(
        (status = 201, body = MemberView),
        (status = 409, body = ProblemView, content_type = PROBLEM, description = "`login_taken`"),
    ),
)]
#[post("/v1/admin/merchants/{m}/staff")]
pub(in crate::http) async fn add_member(
    app: Data<App>,
    who: Staff<ManageStaff>,
    body: Body<AddMember>,
) -> Result<HttpResponse, Error> {
    let (login, name) = (line("login", &body.0.login, 50)?, line("name", &body.0.name, 50)?);
    let role = one_of("role", &body.0.role, Role::ALL)?;
    let password = password("password", body.0.password, PASSWORD_CHARS)?;
    let hash = blocking(&app, move |app| app.limits.hashing(|| service::staff::hash(&password))).await?;
    let now = app.clock.now();
    let detail = json!({ "login": login, "name": name, "role": role.name() });
    let action = Action { name: "add_staff", subject: format!("staff {login}"), detail };
    let member =
        act(&app, &who, action, now, move |tx| service::staff::add(tx, &login, &name, &hash, role, now)).await?;
    Ok(HttpResponse::Created().json(MemberView::from(member)))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangeMember {
    #[schema(min_length = 1, max_length = 50)]
    name: Option<String>,
    #[schema(schema_with = name_of::<Role>)]
    role: Option<String>,
    /// Whether they may log in. Who may not is logged out at once.
    is_active: Option<bool>,
    /// Another password; who logged in by the one before is logged out.
    #[schema(min_length = 8, max_length = 200)]
    password: Option<String>,
}

/// Changes a member: the fields that are sent. A change of role is felt at once.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("manage_staff"))),
    params(("m" = i64, Path, description = "The merchant"), ("id" = Uuid, Path, description = "The member")),
    request_body = ChangeMember,
    responses(
        (status = 200, body = MemberView),
        (status = 409, body = ProblemView, content_type = PROBLEM, description = "`last_owner`: nobody would be left to look after the staff"),
    ),
)]
#[patch("/v1/admin/merchants/{m}/staff/{id}")]
pub(in crate::http) async fn change_member(
    app: Data<App>,
    who: Staff<ManageStaff>,
    path: Path<IdPath>,
    body: Body<ChangeMember>,
) -> Result<HttpResponse, Error> {
    let (id, body) = (StaffId(path.id), body.0);
    let name = body.name.map(|name| line("name", &name, 50)).transpose()?;
    let role = body.role.map(|role| one_of("role", &role, Role::ALL)).transpose()?;
    let new = body.password.map(|new| password("password", new, PASSWORD_CHARS)).transpose()?;
    let password_hash = match new {
        Some(new) => Some(blocking(&app, move |app| app.limits.hashing(|| service::staff::hash(&new))).await?),
        None => None,
    };
    let now = app.clock.now();
    let detail = json!({
        "name": name, "role": role.map(Role::name), "is_active": body.is_active, "password": password_hash.is_some(),
    });
    let action = Action { name: "change_staff", subject: format!("staff {id}"), detail };
    let change = MemberChange { name, role, is_active: body.is_active, password_hash };
    let member = act(&app, &who, action, now, move |tx| service::staff::change(tx, id, &change, now)).await?;
    Ok(HttpResponse::Ok().json(MemberView::from(member)))
}
