//! The callback inbox: what gateways have said of money, each notice once.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use rust_decimal::Decimal;

use super::rows::{corrupt, money};
use super::schema::gateway_notices as table;
use super::{Conn, LockRank, QueryResult, Tx};
use crate::domain::MerchantId;
use crate::domain::money::Money;
use crate::domain::order::PayMethod;

/// A notice that money came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Who says so.
    pub gateway: PayMethod,
    /// The gateway's id of it.
    pub id: String,
    /// The payment's number, ours if all is well.
    pub number: String,
    /// The gateway's number of the transaction.
    pub transaction: String,
    /// Yuan.
    pub amount: Money,
}

/// Puts a notice into the inbox, as kept until `check_at`. False when it is there already: whoever put it there first has answered for
/// it, and if they are about to, this waits for them.
pub fn insert(
    tx: &mut Tx<'_>,
    notice: &Notice,
    body: &str,
    check_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    tx.enter(LockRank::Notice);
    let rows = diesel::insert_into(table::table)
        .values((
            table::merchant_id.eq(tx.merchant.0),
            table::gateway.eq(notice.gateway.name()),
            table::id.eq(&notice.id),
            table::number.eq(&notice.number),
            table::transaction.eq(&notice.transaction),
            table::amount.eq(notice.amount.decimal()),
            table::body.eq(body),
            table::outcome.eq("kept"),
            table::received_at.eq(now),
            table::check_at.eq(check_at),
        ))
        .on_conflict_do_nothing()
        .execute(tx.conn)?;
    Ok(rows == 1)
}

/// Locks a notice that is kept, and reads when it came in. Nothing where it is settled, or in somebody's hands.
pub fn lock_kept(tx: &mut Tx<'_>, notice: &Notice) -> QueryResult<Option<DateTime<Utc>>> {
    tx.enter(LockRank::Notice);
    table::table
        .find((tx.merchant.0, notice.gateway.name(), &notice.id))
        .filter(table::outcome.eq("kept"))
        .select(table::received_at)
        .for_update()
        .skip_locked()
        .first(tx.conn)
        .optional()
}

/// Writes down what became of a notice that was kept, or until when it is kept further.
pub fn settle(tx: &mut Tx<'_>, notice: &Notice, outcome: &str, check_at: Option<DateTime<Utc>>) -> QueryResult<()> {
    diesel::update(table::table.find((tx.merchant.0, notice.gateway.name(), &notice.id)))
        .set((table::outcome.eq(outcome), table::check_at.eq(check_at)))
        .execute(tx.conn)?;
    Ok(())
}

/// Notices that are kept and looked at again by `now`: at most `limit`, the longest due first.
pub fn kept(conn: &mut Conn, now: DateTime<Utc>, limit: i64) -> QueryResult<Vec<(MerchantId, Notice)>> {
    let rows: Vec<(i64, String, String, String, String, Decimal)> = table::table
        // The outcome stands in the text, so that the planner sees that the partial index applies.
        .filter(diesel::dsl::sql::<diesel::sql_types::Bool>("outcome = 'kept'"))
        .filter(table::check_at.le(now))
        .order((table::check_at, table::merchant_id))
        .select((table::merchant_id, table::gateway, table::id, table::number, table::transaction, table::amount))
        .limit(limit)
        .load(conn)?;
    let notice = |(merchant, gateway, id, number, transaction, amount): (i64, String, _, _, _, _)| {
        let gateway = gateway.parse().map_err(|error: crate::domain::UnknownName| corrupt(error.into()))?;
        let amount = money(amount).map_err(corrupt)?;
        Ok((MerchantId(merchant), Notice { gateway, id, number, transaction, amount }))
    };
    rows.into_iter().map(notice).collect()
}

/// Merchants with notices from before `before` that are settled.
pub fn merchants_to_purge(conn: &mut Conn, before: DateTime<Utc>, limit: i64) -> QueryResult<Vec<MerchantId>> {
    let merchants: Vec<i64> = table::table
        .filter(table::received_at.lt(before))
        .filter(table::outcome.ne("kept"))
        .select(table::merchant_id)
        .distinct()
        .limit(limit)
        .load(conn)?;
    Ok(merchants.into_iter().map(MerchantId).collect())
}

/// Drops the settled notices of this merchant from before `before`: at most `limit`. Returns how many.
pub fn purge(tx: &mut Tx<'_>, before: DateTime<Utc>, limit: i64) -> QueryResult<usize> {
    let old: Vec<String> = table::table
        .filter(table::merchant_id.eq(tx.merchant.0))
        .filter(table::received_at.lt(before))
        .filter(table::outcome.ne("kept"))
        .select(table::id)
        .limit(limit)
        .load(tx.conn)?;
    diesel::delete(table::table)
        .filter(table::merchant_id.eq(tx.merchant.0))
        .filter(table::id.eq_any(old))
        .filter(table::received_at.lt(before))
        .filter(table::outcome.ne("kept"))
        .execute(tx.conn)
}
