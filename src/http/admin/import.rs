//! The staff take the menu out as a sheet, change it in a spreadsheet, and bring it back: first to see what would happen, then to have it
//! happen.

use actix_web::http::header;
use actix_web::web::{Data, Query};
use actix_web::{HttpRequest, HttpResponse, get, post};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::sheet;
use super::table::attached;
use crate::App;
use crate::domain::Language;
use crate::domain::menu::plan::Change;
use crate::domain::menu::sheet::{Column, Fault};
use crate::error::Error;
use crate::http::extract::CsvBody;
use crate::http::observe::language;
use crate::http::problem::{PROBLEM, ProblemView};
use crate::http::staff::{EditMenu, ReadMenu, Staff, act_and_tell};
use crate::http::view::{name_of, names};
use crate::http::{blocking, read};
use crate::service;
use crate::service::sheets::{ChangedRow, Outcome};
use crate::store::menu;

/// The menu as a sheet for spreadsheets, CSV: a row for each goods, on sale or not. `stock_change` is empty: units that come in or go out are
/// written there.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("read_menu"))),
    params(("m" = i64, Path, description = "The merchant")),
    responses(
        (status = 200, body = String, content_type = "text/csv"),
    ),
)]
#[get("/v1/admin/merchants/{m}/menu/export")]
pub(in crate::http) async fn export_menu(app: Data<App>, who: Staff<ReadMenu>) -> Result<HttpResponse, Error> {
    let merchant = who.merchant;
    let sheet = read(&app, merchant, move |conn| sheet::write(&menu::whole(conn, merchant)?.rows())).await?;
    Ok(attached(sheet, "menu.csv"))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct ImportQuery {
    /// Only tells what would happen.
    #[serde(default)]
    dry_run: bool,
    /// The `digest` of what is to happen. Not with `dry_run`, and not without.
    expect: Option<String>,
}

/// A cell that is not what the menu says.
#[derive(Serialize, ToSchema)]
struct ImportChange {
    #[schema(schema_with = name_of::<Column>)]
    field: &'static str,
    /// Empty where goods are added, and where there was nothing.
    from: String,
    to: String,
}

impl From<Change> for ImportChange {
    fn from(change: Change) -> Self {
        Self { field: change.field, from: change.from, to: change.to }
    }
}

fn row_kind() -> utoipa::openapi::Object {
    names(vec!["added", "changed"])
}

/// A row that adds or changes something.
#[derive(Serialize, ToSchema)]
struct ImportRow {
    /// Its number in the spreadsheet; the names of the columns stand in row 1.
    row: usize,
    #[schema(schema_with = row_kind)]
    kind: &'static str,
    /// Null where they are not added yet.
    goods_id: Option<i64>,
    /// The dish and its spec, in the language asked for.
    #[schema(example = "宫保鸡丁 · 小份")]
    name: String,
    changes: Vec<ImportChange>,
}

impl ImportRow {
    fn of(row: ChangedRow, language: Language) -> Self {
        Self {
            row: row.row,
            kind: if row.is_added { "added" } else { "changed" },
            goods_id: row.goods_id.map(|id| id.0),
            name: row.name.said_in(language),
            changes: row.changes.into_iter().map(ImportChange::from).collect(),
        }
    }
}

/// Something that is wrong with a file.
#[derive(Serialize, ToSchema)]
struct ImportError {
    /// The number of the row in the spreadsheet.
    row: usize,
    /// The name of the column; empty where it is the row as a whole, or the file.
    field: String,
    /// What is wrong, in Chinese or English by `Accept-Language`.
    detail: String,
}

/// What a file does to the menu, or would do.
#[derive(Serialize, ToSchema)]
struct MenuImport {
    /// Stands for all that changes, with what it is before and after. Orders that take stock do not change it; whoever moves the same stock
    /// by hand does. Null where there are errors.
    digest: Option<String>,
    /// Rows that add goods.
    added: usize,
    /// Rows that change goods, their product or its category.
    changed: usize,
    /// Rows that change nothing.
    unchanged: usize,
    /// Those that add or change something.
    rows: Vec<ImportRow>,
    /// What is wrong with the file, at most 100 things. While there are any, nothing can be imported.
    errors: Vec<ImportError>,
}

impl MenuImport {
    fn of(outcome: Outcome, language: Language) -> Self {
        let (added, changed) = counts(&outcome);
        Self {
            digest: Some(outcome.digest),
            added,
            changed,
            unchanged: outcome.unchanged,
            rows: outcome.rows.into_iter().map(|row| ImportRow::of(row, language)).collect(),
            errors: Vec::new(),
        }
    }

    fn refused(faults: Vec<Fault>, language: Language) -> Self {
        let error = |fault: Fault| ImportError { row: fault.row, detail: fault.detail(language), field: fault.field };
        let errors = faults.into_iter().map(error).collect();
        Self { digest: None, added: 0, changed: 0, unchanged: 0, rows: Vec::new(), errors }
    }
}

fn counts(outcome: &Outcome) -> (usize, usize) {
    let added = outcome.rows.iter().filter(|row| row.is_added).count();
    (added, outcome.rows.len() - added)
}

/// How many rows of an import the trail tells of. A file may have ten thousand, and a page of the trail a hundred files.
const ROWS_TOLD_MAX: usize = 100;

/// What the trail tells of an import: how much changed, and each cell that did, by its goods.
fn told(outcome: &Outcome) -> Value {
    let (added, changed) = counts(outcome);
    let row = |row: &ChangedRow| json!({ "goods_id": row.goods_id, "name": row.name.zh, "changes": row.changes });
    json!({ "added": added, "changed": changed, "rows": outcome.rows.iter().take(ROWS_TOLD_MAX).map(row).collect::<Vec<_>>() })
}

/// Brings a menu back from a spreadsheet: first with `dry_run=true`, to see what would happen, then with the `digest` of that.
///
/// The file is CSV in UTF-8 or GBK with the columns of an export, at most 10,000 rows and 2 MiB. A row with a `goods_id` changes those
/// goods, and the names of their product; one without adds goods, with product and category where there are none of that (Chinese) name. A
/// row that names another category than its dish stands in moves the dish. Rows must agree on what they share. `stock` is what added goods
/// begin with, and otherwise for information; `stock_change` moves stock. What the file does not name stays as it is.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("edit_menu"))),
    params(("m" = i64, Path, description = "The merchant"), ImportQuery),
    request_body(content = String, content_type = "text/csv"),
    responses(
        (status = 200, body = MenuImport, description = "What would happen, or what has happened"),
        (status = 409, body = ProblemView, content_type = PROBLEM, description = "`menu_changed`: something else would happen than was expected"),
        (status = 422, body = ProblemView, content_type = PROBLEM, description = "`bad_sheet`, with the `errors`; nothing was changed"),
    ),
)]
#[post("/v1/admin/merchants/{m}/menu/import")]
pub(in crate::http) async fn import_menu(
    app: Data<App>,
    req: HttpRequest,
    who: Staff<EditMenu>,
    query: Query<ImportQuery>,
    body: CsvBody,
) -> Result<HttpResponse, Error> {
    let (merchant, by, now, language) = (who.merchant, who.actor(), app.clock.now(), language(&req));
    let rows = blocking(&app, move |_| sheet::read(&body.0).map_err(Error::BadSheet)).await;
    let done = match (query.dry_run, query.into_inner().expect) {
        (true, None) => {
            let preview = match rows {
                Ok(rows) => read(&app, merchant, move |conn| service::sheets::preview(conn, merchant, &rows)).await,
                Err(error) => Err(error),
            };
            match preview {
                // Whoever looks what is wrong with a file is answered, not refused.
                Err(Error::BadSheet(faults)) => MenuImport::refused(faults, language),
                preview => MenuImport::of(preview?, language),
            }
        }
        (false, Some(expected)) => {
            let rows = rows?;
            let what = ("import_menu", "menu".to_owned());
            let outcome = act_and_tell(&app, &who, what, now, move |tx| {
                let outcome = service::sheets::import(tx, &rows, &expected, by, now)?;
                let detail = told(&outcome);
                Ok((outcome, detail))
            })
            .await?;
            MenuImport::of(outcome, language)
        }
        _ => return Err(Error::MalformedQuery("send either dry_run=true or expect".to_owned())),
    };
    Ok(HttpResponse::Ok().insert_header((header::VARY, "Accept-Language")).json(done))
}
