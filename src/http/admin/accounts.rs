//! The staff look after accounts: points, votes and tips.

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpResponse, get, post};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::App;
use crate::domain::ledger::AccountKind;
use crate::domain::placement::IdempotencyKey;
use crate::domain::{AccountId, CustomerId};
use crate::error::Error;
use crate::http::extract::{Body, IdPath, Key, line, number, one_of};
use crate::http::problem::{PROBLEM, ProblemView};
use crate::http::staff::{Action, CorrectAccounts, ReadAccounts, Staff, act};
use crate::http::view::{name_of, names};
use crate::http::{page, read};
use crate::service;
use crate::service::accounts::Correction;
use crate::service::once::Once;
use crate::store::ledger::{self, Account, EntryRow};

/// What accounts with a name count. Points are the customers' alone: they pay for orders.
const OF_NAMED: [AccountKind; 2] = [AccountKind::Votes, AccountKind::Tips];

/// An account: a customer's, or one that has a name.
#[derive(Serialize, ToSchema)]
#[schema(as = Account)]
struct AccountView {
    id: Uuid,
    #[schema(schema_with = name_of::<AccountKind>)]
    kind: &'static str,
    customer_id: Option<Uuid>,
    name: Option<String>,
    /// Points and votes in whole ones, tips in fen.
    balance: u64,
}

impl From<Account> for AccountView {
    fn from(account: Account) -> Self {
        Self {
            id: account.id.0,
            kind: account.kind.name(),
            customer_id: account.customer_id.map(|id| id.0),
            name: account.name,
            balance: account.balance,
        }
    }
}

#[derive(Serialize, ToSchema)]
struct AccountList {
    items: Vec<AccountView>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct AccountsQuery {
    /// The accounts of this customer; those that have a name when absent.
    customer_id: Option<Uuid>,
    /// Only those of this kind.
    #[param(schema_with = name_of::<AccountKind>)]
    kind: Option<String>,
}

/// The accounts of a customer, or those that have a name.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("read_accounts"))),
    params(("m" = i64, Path, description = "The merchant"), AccountsQuery),
    responses(
        (status = 200, body = AccountList),
    ),
)]
#[get("/v1/admin/merchants/{m}/accounts")]
pub(in crate::http) async fn list_accounts(
    app: Data<App>,
    who: Staff<ReadAccounts>,
    query: Query<AccountsQuery>,
) -> Result<HttpResponse, Error> {
    let kind = query.kind.as_ref().map(|kind| one_of("kind", kind, AccountKind::ALL)).transpose()?;
    let customer = query.customer_id.map(CustomerId);
    let accounts = read(&app, who.merchant, move |conn| match customer {
        Some(customer) => Ok(ledger::of_customer(conn, who.merchant, customer)?),
        None => Ok(ledger::named(conn, who.merchant)?),
    })
    .await?;
    let wanted = accounts.into_iter().filter(|account| kind.is_none_or(|kind| account.kind == kind));
    Ok(HttpResponse::Ok().json(AccountList { items: wanted.map(AccountView::from).collect() }))
}

fn named_kind() -> utoipa::openapi::Object {
    names(OF_NAMED.iter().map(|kind| kind.name()).collect())
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AddAccount {
    /// Points are the customers' alone: they pay for orders.
    #[schema(schema_with = named_kind)]
    kind: String,
    /// Of whom votes or tips are for.
    #[schema(example = "阿强", min_length = 1, max_length = 50)]
    name: String,
}

/// Adds an account with a name: somebody to vote for, or to tip.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("correct_accounts"))),
    params(("m" = i64, Path, description = "The merchant")),
    request_body = AddAccount,
    responses(
        (status = 201, body = AccountView),
        (status = 409, body = ProblemView, content_type = PROBLEM, description = "`name_taken`"),
    ),
)]
#[post("/v1/admin/merchants/{m}/accounts")]
pub(in crate::http) async fn add_account(
    app: Data<App>,
    who: Staff<CorrectAccounts>,
    body: Body<AddAccount>,
) -> Result<HttpResponse, Error> {
    let kind = one_of("kind", &body.0.kind, &OF_NAMED)?;
    let (name, now) = (line("name", &body.0.name, 50)?, app.clock.now());
    let detail = json!({ "kind": kind.name(), "name": name });
    let action = Action { name: "add_account", subject: "accounts".to_owned(), detail };
    let account = act(&app, &who, action, now, move |tx| service::accounts::add_named(tx, kind, &name, now)).await?;
    Ok(HttpResponse::Created().json(AccountView::from(account)))
}

/// A change of a balance.
#[derive(Serialize, ToSchema)]
#[schema(as = Entry)]
struct EntryView {
    /// What made it happen once: `order <id> earned`, `correction <key>`.
    cause: String,
    delta: i64,
    /// The balance after it.
    balance: i64,
    order_id: Option<Uuid>,
    actor: String,
    reason: Option<String>,
    made_at: DateTime<Utc>,
}

impl From<EntryRow> for EntryView {
    fn from(row: EntryRow) -> Self {
        let EntryRow { cause, delta, balance, order_id, actor, reason, made_at } = row;
        Self { cause, delta, balance, order_id, actor, reason, made_at }
    }
}

#[derive(Serialize, ToSchema)]
struct AccountPage {
    account: AccountView,
    /// Its entries, the newest first.
    items: Vec<EntryView>,
    /// Asks for the page after this one; null at the end.
    next_cursor: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct EntriesQuery {
    /// Entries in a page; 20 when absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u8>,
    /// `next_cursor` of the page before; absent for the first.
    cursor: Option<String>,
}

/// An account with its entries, the newest first.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("read_accounts"))),
    params(("m" = i64, Path, description = "The merchant"), ("id" = Uuid, Path, description = "The account"), EntriesQuery),
    responses(
        (status = 200, body = AccountPage),
    ),
)]
#[get("/v1/admin/merchants/{m}/accounts/{id}")]
pub(in crate::http) async fn show_account(
    app: Data<App>,
    who: Staff<ReadAccounts>,
    path: Path<IdPath>,
    query: Query<EntriesQuery>,
) -> Result<HttpResponse, Error> {
    let (id, limit) = (AccountId(path.id), page::limit(query.limit)?);
    let before = query.cursor.as_deref().map(page::from_cursor).transpose()?;
    let (account, mut entries) = read(&app, who.merchant, move |conn| {
        let account = ledger::find(conn, who.merchant, id)?.ok_or(Error::NotFound)?;
        let before = before.as_ref().map(|(time, cause)| (*time, cause.as_str()));
        Ok((account, ledger::page(conn, who.merchant, id, before, page::one_more(limit))?))
    })
    .await?;
    let next_cursor = page::cut(&mut entries, limit, |last| page::cursor(last.made_at, &last.cause));
    let items = entries.into_iter().map(EntryView::from).collect();
    Ok(HttpResponse::Ok().json(AccountPage { account: account.into(), items, next_cursor }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CorrectBy {
    /// Added to the balance, or, below zero, taken from it.
    #[schema(minimum = -1_000_000_000, maximum = 1_000_000_000)]
    delta: i64,
    #[schema(min_length = 1, max_length = 200)]
    reason: String,
}

impl CorrectBy {
    fn checked(&self, key: IdempotencyKey) -> Result<Correction, Error> {
        let delta = number("delta", self.delta, -1_000_000_000..=1_000_000_000)?;
        if delta == 0 {
            return Err(Error::invalid("delta", "不能为 0", "it must not be 0"));
        }
        Ok(Correction { key, delta, reason: line("reason", &self.reason, 200)? })
    }
}

fn correction(subject: String, wanted: &Correction) -> Action {
    let detail = json!({ "delta": wanted.delta, "reason": wanted.reason });
    Action { name: "correct_account", subject, detail }
}

fn answer(entry: Once<EntryRow>) -> HttpResponse {
    match entry {
        Once::Done(entry) => HttpResponse::Created().json(EntryView::from(entry)),
        Once::DoneBefore(entry) => HttpResponse::Ok().json(EntryView::from(entry)),
    }
}

/// Corrects a balance by an entry, once for each `Idempotency-Key`: a repeat gets the same entry, with status 200.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("correct_accounts"))),
    params(("m" = i64, Path, description = "The merchant"), ("id" = Uuid, Path, description = "The account"), ("Idempotency-Key" = String, Header, description = "1 to 128 visible ASCII characters; the same on retry")),
    request_body = CorrectBy,
    responses(
        (status = 201, body = EntryView), (status = 200, body = EntryView, description = "It was made before, under this key"),
        (status = 409, body = ProblemView, content_type = PROBLEM, description = "`balance_too_low`"),
        (status = 422, body = ProblemView, content_type = PROBLEM, description = "`idempotency_key_reused`, `invalid_field`"),
    ),
)]
#[post("/v1/admin/merchants/{m}/accounts/{id}/entries")]
pub(in crate::http) async fn correct_account(
    app: Data<App>,
    who: Staff<CorrectAccounts>,
    path: Path<IdPath>,
    key: Key,
    body: Body<CorrectBy>,
) -> Result<HttpResponse, Error> {
    let (wanted, by, now) = (body.0.checked(key.0)?, who.actor(), app.clock.now());
    let id = AccountId(path.id);
    let action = correction(format!("account {id}"), &wanted);
    let entry = act(&app, &who, action, now, move |tx| service::accounts::correct(tx, id, &wanted, by, now)).await?;
    Ok(answer(entry))
}

/// A customer and a kind of account in the path.
#[derive(Deserialize)]
struct CustomerAccountPath {
    id: Uuid,
    kind: String,
}

/// Corrects the balance of a customer's account, which is made if they have none of that kind.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("correct_accounts"))),
    params(
        ("m" = i64, Path, description = "The merchant"),
        ("id" = Uuid, Path, description = "The customer"),
        ("kind" = String, Path, description = "What it counts"),
        ("Idempotency-Key" = String, Header, description = "1 to 128 visible ASCII characters; the same on retry"),
    ),
    request_body = CorrectBy,
    responses(
        (status = 201, body = EntryView), (status = 200, body = EntryView, description = "It was made before, under this key"),
        (status = 409, body = ProblemView, content_type = PROBLEM, description = "`balance_too_low`"),
        (status = 422, body = ProblemView, content_type = PROBLEM, description = "`idempotency_key_reused`, `invalid_field`"),
    ),
)]
#[post("/v1/admin/merchants/{m}/customers/{id}/accounts/{kind}/entries")]
pub(in crate::http) async fn correct_customer(
    app: Data<App>,
    who: Staff<CorrectAccounts>,
    path: Path<CustomerAccountPath>,
    key: Key,
    body: Body<CorrectBy>,
) -> Result<HttpResponse, Error> {
    let (wanted, by, now) = (body.0.checked(key.0)?, who.actor(), app.clock.now());
    let (id, kind): (_, AccountKind) = (CustomerId(path.id), path.kind.parse().map_err(|_| Error::NotFound)?);
    let action = correction(format!("{kind} of customer {id}"), &wanted);
    let entry =
        act(&app, &who, action, now, move |tx| service::accounts::correct_customer(tx, id, kind, &wanted, by, now))
            .await?;
    Ok(answer(entry))
}
