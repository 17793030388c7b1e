//! The staff's accounts, and the trail of what they did.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde_json::Value;
use uuid::Uuid;

use super::rows::corrupt;
use super::schema::{staff, staff_actions};
use super::{Conn, QueryResult, Tx};
use crate::domain::staff::Role;
use crate::domain::{MerchantId, StaffId, UnknownName};

/// A member of the staff.
#[derive(Clone, Debug)]
pub struct Member {
    /// Their id.
    pub id: StaffId,
    /// What they log in with.
    pub login: String,
    /// What they are called.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Whether they may log in at all.
    pub is_active: bool,
    /// Tokens issued before are no longer good.
    pub tokens_from: DateTime<Utc>,
    /// Since when there is the account.
    pub created_at: DateTime<Utc>,
}

type Row = (Uuid, String, String, String, bool, DateTime<Utc>, DateTime<Utc>);

fn member((id, login, name, role, is_active, tokens_from, created_at): Row) -> QueryResult<Member> {
    let role = role.parse().map_err(|error: UnknownName| corrupt(error.into()))?;
    Ok(Member { id: StaffId(id), login, name, role, is_active, tokens_from, created_at })
}

type Columns =
    (staff::id, staff::login, staff::name, staff::role, staff::is_active, staff::tokens_from, staff::created_at);
const COLUMNS: Columns =
    (staff::id, staff::login, staff::name, staff::role, staff::is_active, staff::tokens_from, staff::created_at);

/// One member of a merchant's staff.
pub fn find(conn: &mut Conn, merchant: MerchantId, id: StaffId) -> QueryResult<Option<Member>> {
    let row = staff::table.find((merchant.0, id.0)).select(COLUMNS).first(conn).optional()?;
    row.map(member).transpose()
}

/// The member who logs in as `login`, with the hash of their password.
pub fn find_login(conn: &mut Conn, merchant: MerchantId, login: &str) -> QueryResult<Option<(Member, String)>> {
    let row: Option<(Row, String)> = staff::table
        .filter(staff::merchant_id.eq(merchant.0))
        .filter(staff::login.eq(login))
        .select((COLUMNS, staff::password_hash))
        .first(conn)
        .optional()?;
    row.map(|(row, hash)| Ok((member(row)?, hash))).transpose()
}

/// A member about to be added.
pub struct NewMember<'a> {
    /// Their id.
    pub id: StaffId,
    /// What they log in with.
    pub login: &'a str,
    /// What they are called.
    pub name: &'a str,
    /// The hash of their password.
    pub password_hash: &'a str,
    /// What they may do.
    pub role: Role,
}

/// Adds a member; tells whether the login was free.
pub fn insert(tx: &mut Tx<'_>, new: &NewMember<'_>, now: DateTime<Utc>) -> QueryResult<bool> {
    let rows = diesel::insert_into(staff::table)
        .values((
            staff::merchant_id.eq(tx.merchant.0),
            staff::id.eq(new.id.0),
            staff::login.eq(new.login),
            staff::name.eq(new.name),
            staff::password_hash.eq(new.password_hash),
            staff::role.eq(new.role.name()),
            staff::tokens_from.eq(now),
            staff::created_at.eq(now),
        ))
        .on_conflict((staff::merchant_id, staff::login))
        .do_nothing()
        .execute(tx.conn)?;
    Ok(rows == 1)
}

/// Writes down what a member did: in the transaction that does it.
pub fn record(
    tx: &mut Tx<'_>,
    id: Uuid,
    who: StaffId,
    action: &str,
    subject: &str,
    detail: &Value,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    diesel::insert_into(staff_actions::table)
        .values((
            staff_actions::merchant_id.eq(tx.merchant.0),
            staff_actions::id.eq(id),
            staff_actions::staff_id.eq(who.0),
            staff_actions::action.eq(action),
            staff_actions::subject.eq(subject),
            staff_actions::detail.eq(detail),
            staff_actions::done_at.eq(now),
        ))
        .execute(tx.conn)?;
    Ok(())
}
