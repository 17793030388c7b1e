//! Accounts and their entries: points, votes, tips.
//!
//! Contract: a balance changes only together with an entry, under the lock of its account, and never below zero. An entry's cause is
//! unique in its account; whoever holds the lock sees whether it was made before.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use diesel::dsl::exists;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

use super::bulk::{self, Rows as _, bulk_insert};
use super::placing::in_ledger;
use super::rows::corrupt;
use super::schema::{accounts, entries};
use super::{Conn, LockRank, QueryResult, SortedIds, Tx};
use crate::domain::ledger::{AccountKind, EntryCause};
use crate::domain::order::Order;
use crate::domain::placement::Points;
use crate::domain::{AccountId, CustomerId, MerchantId, OrderId};

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// What it counts.
    pub kind: AccountKind,
    /// Whose it is, if a customer's.
    pub customer_id: Option<CustomerId>,
    /// What it is called, if it is nobody's.
    pub name: Option<String>,
    /// How much is in it.
    pub balance: u64,
}

type AccountRow = (Uuid, String, Option<Uuid>, Option<String>, i64);

fn account((id, kind, customer_id, name, balance): AccountRow) -> QueryResult<Account> {
    Ok(Account {
        id: AccountId(id),
        kind: kind.parse().map_err(|error: crate::domain::UnknownName| corrupt(error.into()))?,
        customer_id: customer_id.map(CustomerId),
        name,
        balance: units(balance)?,
    })
}

fn units(balance: i64) -> QueryResult<u64> {
    u64::try_from(balance).map_err(|error| corrupt(error.into()))
}

const COLUMNS: (accounts::id, accounts::kind, accounts::customer_id, accounts::name, accounts::balance) =
    (accounts::id, accounts::kind, accounts::customer_id, accounts::name, accounts::balance);

/// One account of a merchant.
pub fn find(conn: &mut Conn, merchant: MerchantId, id: AccountId) -> QueryResult<Option<Account>> {
    let row = accounts::table.find((merchant.0, id.0)).select(COLUMNS).first(conn).optional()?;
    row.map(account).transpose()
}

/// A customer's accounts, by kind.
pub fn of_customer(conn: &mut Conn, merchant: MerchantId, customer: CustomerId) -> QueryResult<Vec<Account>> {
    let rows: Vec<AccountRow> = accounts::table
        .filter(accounts::merchant_id.eq(merchant.0))
        .filter(accounts::customer_id.eq(customer.0))
        .order(accounts::kind)
        .select(COLUMNS)
        .load(conn)?;
    rows.into_iter().map(account).collect()
}

/// As [`of_customer`], inside a transaction: nothing is locked.
pub fn of_customer_in(tx: &mut Tx<'_>, customer: CustomerId) -> QueryResult<Vec<Account>> {
    let merchant = tx.merchant;
    of_customer(tx.conn, merchant, customer)
}

/// The accounts of a merchant that are nobody's: candidates, waiters.
pub fn named(conn: &mut Conn, merchant: MerchantId) -> QueryResult<Vec<Account>> {
    let rows: Vec<AccountRow> = accounts::table
        .filter(accounts::merchant_id.eq(merchant.0))
        .filter(accounts::name.is_not_null())
        .order((accounts::kind, accounts::name))
        .select(COLUMNS)
        .load(conn)?;
    rows.into_iter().map(account).collect()
}

/// Adds an account that is nobody's; tells whether there was none of that kind and name.
pub fn insert_named(
    tx: &mut Tx<'_>,
    id: AccountId,
    kind: AccountKind,
    name: &str,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let rows = diesel::insert_into(accounts::table)
        .values((
            accounts::merchant_id.eq(tx.merchant.0),
            accounts::id.eq(id.0),
            accounts::kind.eq(kind.name()),
            accounts::name.eq(name),
            accounts::created_at.eq(now),
        ))
        .on_conflict((accounts::merchant_id, accounts::kind, accounts::name))
        .do_nothing()
        .execute(tx.conn)?;
    Ok(rows == 1)
}

/// The customer's account of a kind; made, with the id `fresh`, if there is none.
pub fn ensure(
    tx: &mut Tx<'_>,
    fresh: AccountId,
    customer: CustomerId,
    kind: AccountKind,
    now: DateTime<Utc>,
) -> QueryResult<AccountId> {
    diesel::insert_into(accounts::table)
        .values((
            accounts::merchant_id.eq(tx.merchant.0),
            accounts::id.eq(fresh.0),
            accounts::kind.eq(kind.name()),
            accounts::customer_id.eq(customer.0),
            accounts::created_at.eq(now),
        ))
        .on_conflict((accounts::merchant_id, accounts::customer_id, accounts::kind))
        .do_nothing()
        .execute(tx.conn)?;
    accounts::table
        .filter(accounts::merchant_id.eq(tx.merchant.0))
        .filter(accounts::customer_id.eq(customer.0))
        .filter(accounts::kind.eq(kind.name()))
        .select(accounts::id)
        .first(tx.conn)
        .map(AccountId)
}

/// Locks accounts in ascending order until the transaction ends, and returns their balances. Those that do not exist are absent. Who
/// writes a row that names an account, such as a grant, does not wait for this lock: its key is not what is locked.
pub fn lock(tx: &mut Tx<'_>, ids: &SortedIds<AccountId>) -> QueryResult<BTreeMap<AccountId, u64>> {
    tx.enter(LockRank::Account);
    let ids: Vec<Uuid> = ids.as_slice().iter().map(|id| id.0).collect();
    let rows: Vec<(Uuid, i64)> = accounts::table
        .filter(accounts::merchant_id.eq(tx.merchant.0))
        .filter(accounts::id.eq_any(ids))
        .order(accounts::id)
        .select((accounts::id, accounts::balance))
        .for_no_key_update()
        .load(tx.conn)?;
    rows.into_iter().map(|(id, balance)| Ok((AccountId(id), units(balance)?))).collect()
}

/// Locks the points accounts of customers, in ascending order of accounts, and returns what is in them. Customers who have none are
/// absent; where nobody is asked for, no statement is sent.
pub fn lock_points(tx: &mut Tx<'_>, customers: &SortedIds<CustomerId>) -> QueryResult<HashMap<CustomerId, Points>> {
    if customers.as_slice().is_empty() {
        return Ok(HashMap::new());
    }
    tx.enter(LockRank::Account);
    let rows = points_of(tx.merchant, customers).for_no_key_update().load(tx.conn)?;
    points(rows)
}

/// As [`lock_points`], without the lock: what is read may have changed when it is used.
pub fn read_points(tx: &mut Tx<'_>, customers: &SortedIds<CustomerId>) -> QueryResult<HashMap<CustomerId, Points>> {
    if customers.as_slice().is_empty() {
        return Ok(HashMap::new());
    }
    let rows = points_of(tx.merchant, customers).load(tx.conn)?;
    points(rows)
}

#[diesel::dsl::auto_type]
fn points_of<'a>(merchant: MerchantId, customers: &'a SortedIds<CustomerId>) -> _ {
    let merchant: i64 = merchant.0;
    let customers: Vec<Uuid> = customers.as_slice().iter().map(|id| id.0).collect::<Vec<Uuid>>();
    accounts::table
        .filter(accounts::merchant_id.eq(merchant))
        .filter(accounts::kind.eq("points"))
        .filter(accounts::customer_id.eq_any(customers))
        .order(accounts::id)
        .select((accounts::customer_id, accounts::id, accounts::balance))
}

fn points(rows: Vec<(Option<Uuid>, Uuid, i64)>) -> QueryResult<HashMap<CustomerId, Points>> {
    rows.into_iter()
        .filter_map(|(customer, account, balance)| Some((customer?, account, balance)))
        .map(|(customer, account, balance)| {
            Ok((CustomerId(customer), Points { account: AccountId(account), balance: units(balance)? }))
        })
        .collect()
}

/// A change of an account's balance.
#[derive(Clone, Debug)]
pub struct NewEntry<'a> {
    /// Which account; it must be locked.
    pub account: AccountId,
    /// What makes it happen once.
    pub cause: EntryCause,
    /// By how much, not zero.
    pub delta: i64,
    /// The order it comes from.
    pub order: Option<OrderId>,
    /// Who makes it.
    pub actor: &'a str,
    /// Words that go with it.
    pub reason: Option<&'a str>,
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is made, and the balance is this.
    Made {
        /// What is in the account now.
        balance: u64,
    },
    /// It was made before.
    MadeBefore,
    /// The account does not hold as much; nothing was done.
    TooLow,
}

/// Makes an entry and changes the balance with it, once for each cause.
pub fn append(tx: &mut Tx<'_>, new: &NewEntry<'_>, now: DateTime<Utc>) -> QueryResult<Appended> {
    if is_made(tx, new.account, &new.cause)? {
        return Ok(Appended::MadeBefore);
    }
    let balance: Option<i64> = diesel::update(accounts::table.find((tx.merchant.0, new.account.0)))
        .filter((accounts::balance + new.delta).ge(0))
        .set(accounts::balance.eq(accounts::balance + new.delta))
        .returning(accounts::balance)
        .get_result(tx.conn)
        .optional()?;
    let Some(balance) = balance else { return Ok(Appended::TooLow) };
    diesel::insert_into(entries::table)
        .values((
            entries::merchant_id.eq(tx.merchant.0),
            entries::account_id.eq(new.account.0),
            entries::cause.eq(new.cause.to_string()),
            entries::delta.eq(new.delta),
            entries::balance.eq(balance),
            entries::order_id.eq(new.order.map(|id| id.0)),
            entries::actor.eq(new.actor),
            entries::reason.eq(new.reason),
            entries::made_at.eq(now),
        ))
        .execute(tx.conn)?;
    Ok(Appended::Made { balance: units(balance)? })
}

fn is_made(tx: &mut Tx<'_>, account: AccountId, cause: &EntryCause) -> QueryResult<bool> {
    let entry = entries::table.find((tx.merchant.0, account.0, cause.to_string()));
    diesel::select(exists(entry)).get_result(tx.conn)
}

/// What an account has of an order, less what was taken back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OfOrder {
    /// Points it earned.
    pub earned: i64,
    /// What its goods granted.
    pub granted: i64,
}

/// What a locked account has of an order.
pub fn net_of_order(tx: &mut Tx<'_>, account: AccountId, order: OrderId) -> QueryResult<OfOrder> {
    let rows: Vec<(String, i64)> = entries::table
        .filter(entries::merchant_id.eq(tx.merchant.0))
        .filter(entries::account_id.eq(account.0))
        .filter(entries::order_id.eq(order.0))
        .select((entries::cause, entries::delta))
        .load(tx.conn)?;
    let sum = |what: &str| {
        let is_of_it = |cause: &str| cause.trim_end_matches(" back").ends_with(what);
        rows.iter().filter(|(cause, _)| is_of_it(cause)).map(|(_, delta)| delta).sum()
    };
    Ok(OfOrder { earned: sum(" earned"), granted: sum(" granted") })
}

/// An entry as it is shown.
#[derive(Clone, Debug, Queryable)]
pub struct EntryRow {
    /// What made it happen once.
    pub cause: String,
    /// By how much it changed the balance.
    pub delta: i64,
    /// The balance after it.
    pub balance: i64,
    /// The order it comes from.
    pub order_id: Option<Uuid>,
    /// Who made it.
    pub actor: String,
    /// Words that go with it.
    pub reason: Option<String>,
    /// When.
    pub made_at: DateTime<Utc>,
}

type EntryColumns = (
    entries::cause,
    entries::delta,
    entries::balance,
    entries::order_id,
    entries::actor,
    entries::reason,
    entries::made_at,
);
const ENTRY_COLUMNS: EntryColumns = (
    entries::cause,
    entries::delta,
    entries::balance,
    entries::order_id,
    entries::actor,
    entries::reason,
    entries::made_at,
);

/// The entry of a cause, if it was made.
pub fn entry(conn: &mut Conn, merchant: MerchantId, account: AccountId, cause: &str) -> QueryResult<Option<EntryRow>> {
    entries::table.find((merchant.0, account.0, cause)).select(ENTRY_COLUMNS).first(conn).optional()
}

/// At most `limit` of an account's entries, the newest first, made before the one `before` (its time and cause).
pub fn page(
    conn: &mut Conn,
    merchant: MerchantId,
    account: AccountId,
    before: Option<(DateTime<Utc>, &str)>,
    limit: i64,
) -> QueryResult<Vec<EntryRow>> {
    let mut query = entries::table
        .filter(entries::merchant_id.eq(merchant.0))
        .filter(entries::account_id.eq(account.0))
        .order((entries::made_at.desc(), entries::cause.desc()))
        .limit(limit)
        .select(ENTRY_COLUMNS)
        .into_boxed();
    if let Some((time, cause)) = before {
        let same_time = entries::made_at.eq(time).and(entries::cause.lt(cause.to_owned()));
        query = query.filter(entries::made_at.lt(time).or(same_time));
    }
    query.load(conn)
}

bulk_insert! {
    InsertEntries into "entries" {
        account_id: SqlUuid = Uuid,
        cause: Text = String,
        delta: BigInt = i64,
        balance: BigInt = i64,
        order_id: Nullable<SqlUuid> = Option<Uuid>,
        actor: Text = &'static str,
        made_at: Timestamptz = DateTime<Utc>,
    }
}

/// `UPDATE accounts`, each row by a binary search among the ids, as for goods; only where the balance is what was read.
struct Spend {
    merchant_id: i64,
    accounts: Vec<Uuid>,
    read: Vec<i64>,
    left: Vec<i64>,
}

impl QueryId for Spend {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl QueryFragment<Pg> for Spend {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("UPDATE accounts SET balance = (");
        out.push_bind_param::<Array<BigInt>, _>(&self.left)?;
        out.push_sql(")[width_bucket(id, ");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.accounts)?;
        out.push_sql(")] WHERE merchant_id = ");
        out.push_bind_param::<BigInt, _>(&self.merchant_id)?;
        out.push_sql(" AND id = ANY($2) AND balance = (");
        out.push_bind_param::<Array<BigInt>, _>(&self.read)?;
        out.push_sql(")[width_bucket(id, $2)]");
        Ok(())
    }
}

impl RunQueryDsl<Conn> for Spend {}

/// Takes the points that `orders` spend from the balances that were `read`: an entry an order, and one update. Tells whether
/// every account still held what was read; if not, what was written must be undone.
///
/// # Panics
/// When points are spent that were not read.
pub fn spend(tx: &mut Tx<'_>, orders: &[&Order], read: &HashMap<CustomerId, Points>) -> QueryResult<bool> {
    let mut entries = InsertEntries { merchant_id: tx.merchant.0, ..Default::default() };
    let mut left: BTreeMap<CustomerId, u64> = BTreeMap::new();
    for order in orders.iter().filter(|order| order.points_used > 0) {
        let points = &read[&order.customer_id];
        let left = left.entry(order.customer_id).or_insert(points.balance);
        *left = left.checked_sub(order.points_used).expect("no more is spent than was read");
        entries.account_id.push(points.account.0);
        entries.cause.push(EntryCause::Spent(order.id).to_string());
        entries.delta.push(-in_ledger(order.points_used));
        entries.balance.push(in_ledger(*left));
        entries.order_id.push(Some(order.id.0));
        entries.actor.push("customer");
        entries.made_at.push(order.placed_at);
    }
    // By account, ascending: see [`Spend`].
    let spent: BTreeMap<Uuid, (i64, i64)> = left
        .into_iter()
        .map(|(customer, left)| (read[&customer].account.0, (in_ledger(read[&customer].balance), in_ledger(left))))
        .collect();
    let (read, left) = spent.values().copied().unzip();
    let spend = Spend { merchant_id: tx.merchant.0, accounts: spent.keys().copied().collect(), read, left };
    if spend.execute(tx.conn)? != spent.len() {
        return Ok(false);
    }
    assert_eq!(bulk::insert(&entries, tx.conn)?, entries.count(), "every entry is written");
    Ok(true)
}
