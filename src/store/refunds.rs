//! Money that goes back. A refund is claimed for a while, asked for outside any transaction, and settled by whoever made the latest
//! attempt: its number tells.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::rows::{Corrupt, corrupt, money};
use super::schema::refunds;
use super::{Conn, LockRank, QueryResult, Tx};
use crate::domain::money::Money;
use crate::domain::payment::{RefundNumber, RefundState};
use crate::domain::placement::RequestHash;
use crate::domain::{MerchantId, OrderId, PaymentId, RefundId};

/// Money that goes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refund {
    /// Its id.
    pub id: RefundId,
    /// The order it is of.
    pub order: OrderId,
    /// The payment it is of.
    pub payment: PaymentId,
    /// How it stands.
    pub state: RefundState,
    /// Yuan.
    pub amount: Money,
    /// Why, as a code.
    pub reason: String,
    /// Why, in words.
    pub note: Option<String>,
    /// Under which of its numbers it is asked for, from one.
    pub round: u32,
    /// How often the gateway was asked, since a human last put it in.
    pub attempts: i32,
    /// How often it was asked to no avail, since it last said that the refund goes on.
    pub failures: i32,
    /// What went wrong the last time, in the gateway's words.
    pub trouble: Option<String>,
    /// What its key stands for, where it was asked for under one; unknown of old ones.
    pub request_hash: Option<RequestHash>,
    /// Whether it was paid by hand, since the gateway could not go on.
    pub by_hand: bool,
    /// When it was decided.
    pub created_at: DateTime<Utc>,
    /// When the customer had it.
    pub settled_at: Option<DateTime<Utc>>,
}

impl Refund {
    /// Its number at the gateway.
    pub fn number(&self) -> RefundNumber {
        RefundNumber { refund: self.id, round: self.round }
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = refunds)]
struct RefundRow {
    id: Uuid,
    order_id: Uuid,
    payment_id: Uuid,
    state: String,
    amount: Decimal,
    reason: String,
    note: Option<String>,
    round: i32,
    attempts: i32,
    failures: i32,
    trouble: Option<String>,
    request_hash: Option<Vec<u8>>,
    by_hand: bool,
    created_at: DateTime<Utc>,
    settled_at: Option<DateTime<Utc>>,
}

impl RefundRow {
    fn refund(self) -> Result<Refund, Corrupt> {
        let request_hash = self.request_hash.map(RequestHash::try_from).transpose();
        Ok(Refund {
            id: RefundId(self.id),
            order: OrderId(self.order_id),
            payment: PaymentId(self.payment_id),
            state: self.state.parse()?,
            amount: money(self.amount)?,
            reason: self.reason,
            note: self.note,
            round: u32::try_from(self.round)?,
            attempts: self.attempts,
            failures: self.failures,
            trouble: self.trouble,
            request_hash: request_hash.map_err(|_| "request_hash is not 32 bytes")?,
            by_hand: self.by_hand,
            created_at: self.created_at,
            settled_at: self.settled_at,
        })
    }
}

fn all(rows: Vec<RefundRow>) -> QueryResult<Vec<Refund>> {
    rows.into_iter().map(|row| row.refund().map_err(corrupt)).collect()
}

/// The refunds of an order, the oldest first.
pub fn of_order(conn: &mut Conn, merchant: MerchantId, order: OrderId) -> QueryResult<Vec<Refund>> {
    all(refunds::table
        .filter(refunds::merchant_id.eq(merchant.0))
        .filter(refunds::order_id.eq(order.0))
        .order((refunds::created_at, refunds::id))
        .select(RefundRow::as_select())
        .load(conn)?)
}

/// A refund by its id.
pub fn find(conn: &mut Conn, merchant: MerchantId, id: RefundId) -> QueryResult<Option<Refund>> {
    let rows: Vec<RefundRow> = refunds::table.find((merchant.0, id.0)).select(RefundRow::as_select()).load(conn)?;
    Ok(all(rows)?.pop())
}

/// Locks a refund until the transaction ends.
pub fn lock(tx: &mut Tx<'_>, id: RefundId) -> QueryResult<Option<Refund>> {
    tx.enter(LockRank::Payment);
    let rows: Vec<RefundRow> =
        refunds::table.find((tx.merchant.0, id.0)).select(RefundRow::as_select()).for_update().load(tx.conn)?;
    Ok(all(rows)?.pop())
}

/// Writes a refund. It is due at once.
pub fn insert(tx: &mut Tx<'_>, refund: &Refund, actor: &str) -> QueryResult<()> {
    diesel::insert_into(refunds::table)
        .values((
            refunds::merchant_id.eq(tx.merchant.0),
            refunds::id.eq(refund.id.0),
            refunds::payment_id.eq(refund.payment.0),
            refunds::order_id.eq(refund.order.0),
            refunds::state.eq(refund.state.name()),
            refunds::amount.eq(refund.amount.decimal()),
            refunds::reason.eq(&refund.reason),
            refunds::note.eq(&refund.note),
            refunds::actor.eq(actor),
            refunds::request_hash.eq(refund.request_hash.as_ref().map(RequestHash::as_slice)),
            refunds::created_at.eq(refund.created_at),
            refunds::check_at.eq(refund.created_at),
            refunds::settled_at.eq(refund.settled_at),
        ))
        .execute(tx.conn)?;
    Ok(())
}

/// Takes a refund in hand that is due by `now`, until `until`: nobody else will by then. Nothing where it is not due, or in hand.
pub fn claim(tx: &mut Tx<'_>, id: RefundId, now: DateTime<Utc>, until: DateTime<Utc>) -> QueryResult<Option<Refund>> {
    let rows: Vec<RefundRow> = diesel::update(refunds::table.find((tx.merchant.0, id.0)))
        .filter(refunds::state.eq_any(WAITING.map(RefundState::name)))
        .filter(refunds::check_at.le(now))
        .set((refunds::check_at.eq(until), refunds::attempts.eq(refunds::attempts + 1)))
        .returning(RefundRow::as_returning())
        .load(tx.conn)?;
    Ok(all(rows)?.pop())
}

const WAITING: [RefundState; 2] = [RefundState::Due, RefundState::Submitted];
const STOPPED: [RefundState; 2] = [RefundState::Failed, RefundState::Abnormal];

/// What has become of a refund.
#[derive(Clone, Debug)]
pub struct Became<'a> {
    /// How it stands now.
    pub state: RefundState,
    /// When the gateway is asked again, where it is to be.
    pub check_at: DateTime<Utc>,
    /// How often the gateway was asked to no avail.
    pub failures: i32,
    /// What went wrong, if anything.
    pub trouble: Option<&'a str>,
}

/// Writes down what has become of a refund in its round, unless the customer has the money already, or somebody has made a later attempt
/// than `attempt`. What the gateway says of its own accord belongs to no attempt. Tells whether anything was written.
pub fn settle(
    tx: &mut Tx<'_>,
    number: RefundNumber,
    attempt: Option<i32>,
    became: &Became<'_>,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let round = i32::try_from(number.round).unwrap_or(i32::MAX);
    let row = diesel::update(refunds::table.find((tx.merchant.0, number.refund.0)))
        .filter(refunds::state.ne(RefundState::Succeeded.name()))
        .filter(refunds::state.ne(RefundState::Failed.name()))
        .filter(refunds::round.eq(round))
        .into_boxed();
    let row = match attempt {
        Some(attempt) => row.filter(refunds::attempts.eq(attempt)),
        None => row,
    };
    let settled_at = (became.state == RefundState::Succeeded).then_some(now);
    let rows = row
        .set((
            refunds::state.eq(became.state.name()),
            refunds::check_at.eq(became.check_at),
            refunds::failures.eq(became.failures),
            refunds::trouble.eq(became.trouble),
            refunds::settled_at.eq(settled_at),
        ))
        .execute(tx.conn)?;
    Ok(rows == 1)
}

/// Has a refund asked for again, at `check_at`, that waits for a human: under another number where the gateway has given up on the one
/// before. One that was taken on waits once it has failed `failures_max` times. Tells whether it waited for that.
pub fn put_in_again(tx: &mut Tx<'_>, refund: &Refund, failures_max: i32, check_at: DateTime<Utc>) -> QueryResult<bool> {
    let more = i32::from(refund.state == RefundState::Failed);
    let is_stuck = refunds::state.eq(RefundState::Submitted.name()).and(refunds::failures.ge(failures_max));
    let rows = diesel::update(refunds::table.find((tx.merchant.0, refund.id.0)))
        .filter(refunds::state.eq(refund.state.name()))
        .filter(refunds::state.eq_any(STOPPED.map(RefundState::name)).or(is_stuck))
        .set((
            refunds::state.eq(RefundState::Due.name()),
            refunds::round.eq(refunds::round + more),
            refunds::attempts.eq(0),
            refunds::failures.eq(0),
            refunds::check_at.eq(check_at),
        ))
        .execute(tx.conn)?;
    Ok(rows == 1)
}

/// Ends a refund that waits for a human: the customer had the money by hand. Tells whether it waited for that.
pub fn pay_by_hand(tx: &mut Tx<'_>, id: RefundId, now: DateTime<Utc>) -> QueryResult<bool> {
    let rows = diesel::update(refunds::table.find((tx.merchant.0, id.0)))
        .filter(refunds::state.eq_any(STOPPED.map(RefundState::name)))
        .set((refunds::state.eq(RefundState::Succeeded.name()), refunds::by_hand.eq(true), refunds::settled_at.eq(now)))
        .execute(tx.conn)?;
    Ok(rows == 1)
}

/// Refunds that are due by `now`: at most `limit`, the longest due first. A plain read: whoever acts on one claims it.
pub fn due(conn: &mut Conn, now: DateTime<Utc>, limit: i64) -> QueryResult<Vec<(MerchantId, RefundId)>> {
    let rows: Vec<(i64, Uuid)> = refunds::table
        // The states stand in the text, so that the planner sees that the partial index applies.
        .filter(diesel::dsl::sql::<diesel::sql_types::Bool>("state IN ('due', 'submitted')"))
        .filter(refunds::check_at.le(now))
        .order((refunds::check_at, refunds::merchant_id))
        .select((refunds::merchant_id, refunds::id))
        .limit(limit)
        .load(conn)?;
    Ok(rows.into_iter().map(|(merchant, id)| (MerchantId(merchant), RefundId(id))).collect())
}
