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
    /// Each staff token repeats this value; a token with another value is no longer valid.
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

/// A merchant's staff, whether they may log in or not, by login.
pub fn all(conn: &mut Conn, merchant: MerchantId) -> QueryResult<Vec<Member>> {
    let rows: Vec<Row> =
        staff::table.filter(staff::merchant_id.eq(merchant.0)).order(staff::login).select(COLUMNS).load(conn)?;
    rows.into_iter().map(member).collect()
}

/// Locks a member, and every owner with them, in ascending order until the transaction ends: who takes an owner away has seen who is
/// left. The member is absent if the merchant has none of that id.
pub fn lock_with_owners(tx: &mut Tx<'_>, id: StaffId) -> QueryResult<Vec<Member>> {
    let rows: Vec<Row> = staff::table
        .filter(staff::merchant_id.eq(tx.merchant.0))
        .filter(staff::role.eq(Role::Owner.name()).or(staff::id.eq(id.0)))
        .order(staff::id)
        .select(COLUMNS)
        // Not `FOR UPDATE`: a row of the trail locks the key of the member it names, and need not wait for this.
        .for_no_key_update()
        .load(tx.conn)?;
    rows.into_iter().map(member).collect()
}

/// Rewrites a member who is locked; a password only where there is a new one.
pub fn update(tx: &mut Tx<'_>, member: &Member, password_hash: Option<&str>) -> QueryResult<()> {
    let row = staff::table.find((tx.merchant.0, member.id.0));
    diesel::update(row)
        .set((
            staff::name.eq(&member.name),
            staff::role.eq(member.role.name()),
            staff::is_active.eq(member.is_active),
            staff::tokens_from.eq(member.tokens_from),
        ))
        .execute(tx.conn)?;
    if let Some(hash) = password_hash {
        diesel::update(row).set(staff::password_hash.eq(hash)).execute(tx.conn)?;
    }
    Ok(())
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

/// Something a member did.
#[derive(Debug, Queryable)]
pub struct ActionRow {
    /// Its id.
    pub id: Uuid,
    /// Who did it.
    pub staff_id: Uuid,
    /// What they are called now.
    pub staff_name: String,
    /// What they did.
    pub action: String,
    /// To what.
    pub subject: String,
    /// With what.
    pub detail: Value,
    /// When.
    pub done_at: DateTime<Utc>,
}

/// Which part of the trail is wanted.
#[derive(Clone, Debug, Default)]
pub struct Trail {
    /// What this member did.
    pub who: Option<StaffId>,
    /// Only actions of this name.
    pub action: Option<String>,
    /// What was done before.
    pub before: Option<Uuid>,
}

/// At most `limit` of what a merchant's staff did, the latest first.
pub fn actions(conn: &mut Conn, merchant: MerchantId, wanted: &Trail, limit: i64) -> QueryResult<Vec<ActionRow>> {
    let of_member = staff::merchant_id.eq(staff_actions::merchant_id).and(staff::id.eq(staff_actions::staff_id));
    let mut query = staff_actions::table
        .inner_join(staff::table.on(of_member))
        .filter(staff_actions::merchant_id.eq(merchant.0))
        .filter(staff::merchant_id.eq(merchant.0))
        .order(staff_actions::id.desc())
        .limit(limit)
        .select((
            staff_actions::id,
            staff_actions::staff_id,
            staff::name,
            staff_actions::action,
            staff_actions::subject,
            staff_actions::detail,
            staff_actions::done_at,
        ))
        .into_boxed();
    if let Some(who) = wanted.who {
        query = query.filter(staff_actions::staff_id.eq(who.0));
    }
    if let Some(action) = &wanted.action {
        query = query.filter(staff_actions::action.eq(action));
    }
    if let Some(before) = wanted.before {
        query = query.filter(staff_actions::id.lt(before));
    }
    query.load(conn)
}
