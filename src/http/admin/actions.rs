//! The trail: who of the staff did what.

use actix_web::web::{Data, Query};
use actix_web::{HttpResponse, get};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::App;
use crate::domain::StaffId;
use crate::error::Error;
use crate::http::extract::line;
use crate::http::staff::{ReadActions, Staff};
use crate::http::{page, read};
use crate::store::staff::{self, ActionRow, Trail};

/// Something one of the staff did.
#[derive(Serialize, ToSchema)]
#[schema(as = StaffAction)]
struct ActionView {
    id: Uuid,
    staff_id: Uuid,
    staff_name: String,
    #[schema(example = "change_goods")]
    action: String,
    /// To what it was done.
    #[schema(example = "goods 17")]
    subject: String,
    /// With what: never a password or a secret.
    detail: Value,
    done_at: DateTime<Utc>,
}

impl From<ActionRow> for ActionView {
    fn from(row: ActionRow) -> Self {
        let ActionRow { id, staff_id, staff_name, action, subject, detail, done_at } = row;
        Self { id, staff_id, staff_name, action, subject, detail, done_at }
    }
}

#[derive(Serialize, ToSchema)]
struct ActionPage {
    items: Vec<ActionView>,
    /// Asks for the page after this one; null at the end.
    next_cursor: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct ActionsQuery {
    /// Only what this member did.
    staff_id: Option<Uuid>,
    /// Only what is called so.
    #[param(max_length = 50, example = "change_goods")]
    action: Option<String>,
    /// Actions in a page; 20 when absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u8>,
    /// `next_cursor` of the page before; absent for the first.
    cursor: Option<Uuid>,
}

/// Who of the staff did what, the latest first.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("read_actions"))),
    params(("m" = i64, Path, description = "The merchant"), ActionsQuery),
    responses(
        (status = 200, body = ActionPage),
    ),
)]
#[get("/v1/admin/merchants/{m}/actions")]
pub(in crate::http) async fn list_actions(
    app: Data<App>,
    who: Staff<ReadActions>,
    query: Query<ActionsQuery>,
) -> Result<HttpResponse, Error> {
    let (limit, query) = (page::limit(query.limit)?, query.into_inner());
    let action = query.action.map(|action| line("action", &action, 50)).transpose()?;
    let wanted = Trail { who: query.staff_id.map(StaffId), action, before: query.cursor };
    let mut rows =
        read(&app, who.merchant, move |conn| Ok(staff::actions(conn, who.merchant, &wanted, page::one_more(limit))?))
            .await?;
    let next_cursor = page::cut(&mut rows, limit, |last| last.id.to_string());
    Ok(HttpResponse::Ok().json(ActionPage { items: rows.into_iter().map(ActionView::from).collect(), next_cursor }))
}
