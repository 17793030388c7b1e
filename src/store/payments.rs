//! Payments, and what the payment of an order credits.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::rows::{Corrupt, corrupt, grant, money};
use super::schema::{order_grants, payments};
use super::{Conn, LockRank, QueryResult, Tx};
use crate::domain::money::Money;
use crate::domain::order::PayMethod;
use crate::domain::payment::{Channel, PaymentNumber, PaymentState};
use crate::domain::placement::GrantTo;
use crate::domain::{MerchantId, OrderId, PaymentId};

/// One attempt to pay an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Its id.
    pub id: PaymentId,
    /// The attempt under whose number its money came: this one, unless it was made of a second transaction under that number.
    pub attempt: PaymentId,
    /// The order it is for.
    pub order: OrderId,
    /// Through which gateway.
    pub gateway: PayMethod,
    /// How it stands.
    pub state: PaymentState,
    /// Where the customer pays; none for cash, and for money that came without our asking.
    pub channel: Option<Channel>,
    /// Yuan.
    pub amount: Money,
    /// The gateway's own number for it.
    pub transaction: Option<String>,
    /// When it was begun.
    pub created_at: DateTime<Utc>,
    /// Until when the gateway takes money for it.
    pub expires_at: Option<DateTime<Utc>>,
    /// When the gateway is asked about it, should it say nothing.
    pub check_at: Option<DateTime<Utc>>,
    /// How often it was asked.
    pub checks: i32,
    /// When the money came in.
    pub settled_at: Option<DateTime<Utc>>,
}

impl Payment {
    /// Its number at the gateway.
    pub fn number(&self) -> PaymentNumber {
        PaymentNumber(self.attempt)
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = payments)]
struct PaymentRow {
    id: Uuid,
    attempt_id: Option<Uuid>,
    order_id: Uuid,
    gateway: String,
    state: String,
    channel: Option<String>,
    amount: Decimal,
    transaction: Option<String>,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    check_at: Option<DateTime<Utc>>,
    checks: i32,
    settled_at: Option<DateTime<Utc>>,
}

impl PaymentRow {
    fn payment(self) -> Result<Payment, Corrupt> {
        Ok(Payment {
            id: PaymentId(self.id),
            attempt: PaymentId(self.attempt_id.unwrap_or(self.id)),
            order: OrderId(self.order_id),
            gateway: self.gateway.parse()?,
            state: self.state.parse()?,
            channel: self.channel.map(|channel| channel.parse()).transpose()?,
            amount: money(self.amount)?,
            transaction: self.transaction,
            created_at: self.created_at,
            expires_at: self.expires_at,
            check_at: self.check_at,
            checks: self.checks,
            settled_at: self.settled_at,
        })
    }
}

fn all(rows: Vec<PaymentRow>) -> QueryResult<Vec<Payment>> {
    rows.into_iter().map(|row| row.payment().map_err(corrupt)).collect()
}

/// Locks the payments of an order until the transaction ends, the oldest first.
pub fn lock(tx: &mut Tx<'_>, order: OrderId) -> QueryResult<Vec<Payment>> {
    tx.enter(LockRank::Payment);
    all(payments::table
        .filter(payments::merchant_id.eq(tx.merchant.0))
        .filter(payments::order_id.eq(order.0))
        .order(payments::id)
        .select(PaymentRow::as_select())
        .for_update()
        .load(tx.conn)?)
}

/// The payments of an order, the oldest first.
pub fn of_order(conn: &mut Conn, merchant: MerchantId, order: OrderId) -> QueryResult<Vec<Payment>> {
    all(payments::table
        .filter(payments::merchant_id.eq(merchant.0))
        .filter(payments::order_id.eq(order.0))
        .order(payments::id)
        .select(PaymentRow::as_select())
        .load(conn)?)
}

/// A payment by its id.
pub fn find(conn: &mut Conn, merchant: MerchantId, id: PaymentId) -> QueryResult<Option<Payment>> {
    let row: Vec<PaymentRow> = payments::table.find((merchant.0, id.0)).select(PaymentRow::as_select()).load(conn)?;
    Ok(all(row)?.pop())
}

/// The payment that a gateway knows by its number.
pub fn find_transaction(tx: &mut Tx<'_>, gateway: PayMethod, transaction: &str) -> QueryResult<Option<Payment>> {
    let row: Vec<PaymentRow> = payments::table
        .filter(payments::merchant_id.eq(tx.merchant.0))
        .filter(payments::gateway.eq(gateway.name()))
        .filter(payments::transaction.eq(transaction))
        .select(PaymentRow::as_select())
        .load(tx.conn)?;
    Ok(all(row)?.pop())
}

/// Writes a payment.
pub fn insert(tx: &mut Tx<'_>, payment: &Payment, actor: &str) -> QueryResult<()> {
    diesel::insert_into(payments::table)
        .values((
            payments::merchant_id.eq(tx.merchant.0),
            payments::id.eq(payment.id.0),
            payments::attempt_id.eq(Some(payment.attempt.0).filter(|attempt| *attempt != payment.id.0)),
            payments::order_id.eq(payment.order.0),
            payments::gateway.eq(payment.gateway.name()),
            payments::state.eq(payment.state.name()),
            payments::channel.eq(payment.channel.map(Channel::name)),
            payments::amount.eq(payment.amount.decimal()),
            payments::transaction.eq(&payment.transaction),
            payments::actor.eq(actor),
            payments::created_at.eq(payment.created_at),
            payments::expires_at.eq(payment.expires_at),
            payments::check_at.eq(payment.check_at),
            payments::settled_at.eq(payment.settled_at),
        ))
        .execute(tx.conn)?;
    Ok(())
}

/// Takes money in for a locked payment that has none: what it becomes by it, under which number, how much.
///
/// # Panics
/// When it has money already: then it was not locked.
pub fn take_money(
    tx: &mut Tx<'_>,
    payment: PaymentId,
    state: PaymentState,
    transaction: &str,
    amount: Money,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    let without_money = PaymentState::ALL.iter().filter(|state| !state.has_money()).map(|state| state.name());
    let rows = diesel::update(payments::table.find((tx.merchant.0, payment.0)))
        .filter(payments::state.eq_any(without_money.collect::<Vec<_>>()))
        .set((
            payments::state.eq(state.name()),
            payments::transaction.eq(transaction),
            payments::amount.eq(amount.decimal()),
            payments::settled_at.eq(now),
            payments::check_at.eq(None::<DateTime<Utc>>),
        ))
        .execute(tx.conn)?;
    assert_eq!(rows, 1, "payment {payment} is locked without money");
    Ok(())
}

/// Moves a payment that is open, if it still is, and if nobody with a greater token has had it in hand since. Tells whether it was moved.
pub fn turn(tx: &mut Tx<'_>, payment: PaymentId, to: PaymentState, fence: Option<i64>) -> QueryResult<bool> {
    let open = PaymentState::ALL.iter().filter(|state| state.is_open()).map(|state| state.name());
    let rows = diesel::update(payments::table.find((tx.merchant.0, payment.0)))
        .filter(payments::state.eq_any(open.collect::<Vec<_>>()))
        .filter(payments::fence.le(fence.unwrap_or(i64::MAX)))
        .set((payments::state.eq(to.name()), fence.map(|fence| payments::fence.eq(fence))))
        .execute(tx.conn)?;
    Ok(rows == 1)
}

/// Says when the gateway is asked about a payment once more; never again, where that is nothing.
pub fn check_again(tx: &mut Tx<'_>, payment: PaymentId, at: Option<DateTime<Utc>>) -> QueryResult<()> {
    diesel::update(payments::table.find((tx.merchant.0, payment.0)))
        .set((payments::check_at.eq(at), payments::checks.eq(payments::checks + 1)))
        .execute(tx.conn)?;
    Ok(())
}

/// Payments that the gateway is to be asked about by `now`: at most `limit`, the longest due first. A plain read: whoever acts on one
/// locks it and looks again.
pub fn due(conn: &mut Conn, now: DateTime<Utc>, limit: i64) -> QueryResult<Vec<(MerchantId, PaymentId)>> {
    let rows: Vec<(i64, Uuid)> = payments::table
        .filter(payments::check_at.le(now))
        .order((payments::check_at, payments::merchant_id))
        .select((payments::merchant_id, payments::id))
        .limit(limit)
        .load(conn)?;
    Ok(rows.into_iter().map(|(merchant, id)| (MerchantId(merchant), PaymentId(id))).collect())
}

/// What the payment of an order credits: to whom, and how much.
pub fn grants(conn: &mut Conn, merchant: MerchantId, order: OrderId) -> QueryResult<Vec<(GrantTo, u64)>> {
    let rows: Vec<(Option<Uuid>, Option<String>, i64)> = order_grants::table
        .filter(order_grants::merchant_id.eq(merchant.0))
        .filter(order_grants::order_id.eq(order.0))
        .order(order_grants::goods_id)
        .select((order_grants::account_id, order_grants::kind, order_grants::amount))
        .load(conn)?;
    let grants = rows.into_iter().filter_map(|(account, kind, amount)| grant(account, kind, Some(amount)).transpose());
    grants.map(|grant| grant.map_err(corrupt)).collect()
}
