//! A customer looks at what they have: points, votes, tips.

use actix_web::web::{Data, Query};
use actix_web::{HttpResponse, get};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::extract::{Customer, one_of};
use super::view::name_of;
use super::{page, read};
use crate::App;
use crate::domain::ledger::AccountKind;
use crate::error::Error;
use crate::store::ledger::{self, EntryRow};

/// What the customer has.
#[derive(Serialize, ToSchema)]
struct Balances {
    points: u64,
    votes: u64,
    /// In fen.
    tips: u64,
}

/// How a balance came to be what it is.
#[derive(Serialize, ToSchema)]
struct PointsEntry {
    /// `spent`, `spent back`, `earned`, `earned back`, `granted`, `granted back`, `correction`.
    #[schema(example = "earned")]
    cause: String,
    delta: i64,
    /// The balance after it.
    balance: i64,
    order_id: Option<Uuid>,
    made_at: DateTime<Utc>,
}

impl From<EntryRow> for PointsEntry {
    fn from(row: EntryRow) -> Self {
        // An id, or a key of the staff's, is none of the customer's business; nor is who it was, or their words.
        let cause = match row.cause.split_once(' ') {
            Some(("correction", _)) => "correction",
            Some((_, rest)) => rest.split_once(' ').map_or(rest, |(_, what)| what),
            None => &row.cause,
        };
        let cause = cause.to_owned();
        Self { cause, delta: row.delta, balance: row.balance, order_id: row.order_id, made_at: row.made_at }
    }
}

#[derive(Serialize, ToSchema)]
struct PointsPage {
    balances: Balances,
    /// The entries of the kind asked for, the newest first.
    items: Vec<PointsEntry>,
    /// Asks for the page after this one; null at the end.
    next_cursor: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct PointsQuery {
    /// Of which account to list the entries; points when absent.
    #[param(schema_with = name_of::<AccountKind>)]
    kind: Option<String>,
    /// Entries in a page; 20 when absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u8>,
    /// `next_cursor` of the page before; absent for the first.
    cursor: Option<String>,
}

/// What the customer has, and how it came to be.
#[utoipa::path(
    tag = "customers",
    security(("customer" = [])),
    params(("m" = i64, Path, description = "The merchant"), PointsQuery),
    responses(
        (status = 200, body = PointsPage),
    ),
)]
#[get("/v1/merchants/{m}/points")]
pub(super) async fn points(app: Data<App>, who: Customer, query: Query<PointsQuery>) -> Result<HttpResponse, Error> {
    let limit = page::limit(query.limit)?;
    let kind = query.kind.as_ref().map(|kind| one_of("kind", kind, AccountKind::ALL)).transpose()?;
    let kind = kind.unwrap_or(AccountKind::Points);
    let before = query.cursor.as_deref().map(page::from_cursor).transpose()?;
    let (accounts, mut entries) = read(&app, who.merchant, move |conn| {
        let accounts = ledger::of_customer(conn, who.merchant, who.id)?;
        let before = before.as_ref().map(|(time, cause)| (*time, cause.as_str()));
        let entries = match accounts.iter().find(|account| account.kind == kind) {
            Some(account) => ledger::page(conn, who.merchant, account.id, before, page::one_more(limit))?,
            None => Vec::new(),
        };
        Ok((accounts, entries))
    })
    .await?;
    let balance = |kind| accounts.iter().find(|account| account.kind == kind).map_or(0, |account| account.balance);
    let balances = Balances {
        points: balance(AccountKind::Points),
        votes: balance(AccountKind::Votes),
        tips: balance(AccountKind::Tips),
    };
    let next_cursor = page::cut(&mut entries, limit, |last| page::cursor(last.made_at, &last.cause));
    let items = entries.into_iter().map(PointsEntry::from).collect();
    Ok(HttpResponse::Ok().json(PointsPage { balances, items, next_cursor }))
}
