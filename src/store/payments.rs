//! Payments, refunds, and what a payment credits.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::rows::{Corrupt, corrupt, money};
use super::schema::{order_grants, payments, refunds};
use super::{Conn, LockRank, QueryResult, Tx};
use crate::domain::ledger::AccountKind;
use crate::domain::money::Money;
use crate::domain::placement::GrantTo;
use crate::domain::{AccountId, MerchantId, OrderId, PaymentId, RefundId};

/// One attempt to pay an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Its id.
    pub id: PaymentId,
    /// The order it is for.
    pub order: OrderId,
    /// Through which gateway.
    pub gateway: String,
    /// How it stands: see the constraint `payments_state_check`.
    pub state: String,
    /// Yuan.
    pub amount: Money,
    /// The gateway's own number for it.
    pub transaction: Option<String>,
    /// When the money came in.
    pub settled_at: Option<DateTime<Utc>>,
}

/// Money that goes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refund {
    /// Its id, which is its number at the gateway.
    pub id: RefundId,
    /// The payment it is of.
    pub payment: PaymentId,
    /// How it stands: see the constraint `refunds_state_check`.
    pub state: String,
    /// Yuan.
    pub amount: Money,
    /// Why, as a code.
    pub reason: String,
    /// Why, in words.
    pub note: Option<String>,
    /// When it was decided.
    pub created_at: DateTime<Utc>,
}

type PaymentRow = (Uuid, Uuid, String, String, Decimal, Option<String>, Option<DateTime<Utc>>);

fn payment((id, order, gateway, state, amount, transaction, settled_at): PaymentRow) -> QueryResult<Payment> {
    Ok(Payment {
        id: PaymentId(id),
        order: OrderId(order),
        gateway,
        state,
        amount: money(amount).map_err(corrupt)?,
        transaction,
        settled_at,
    })
}

type PaymentColumns = (
    payments::id,
    payments::order_id,
    payments::gateway,
    payments::state,
    payments::amount,
    payments::transaction,
    payments::settled_at,
);
const PAYMENT_COLUMNS: PaymentColumns = (
    payments::id,
    payments::order_id,
    payments::gateway,
    payments::state,
    payments::amount,
    payments::transaction,
    payments::settled_at,
);

/// Locks the payments of an order until the transaction ends, the oldest first.
pub fn lock(tx: &mut Tx<'_>, order: OrderId) -> QueryResult<Vec<Payment>> {
    tx.enter(LockRank::Payment);
    let rows: Vec<PaymentRow> = payments::table
        .filter(payments::merchant_id.eq(tx.merchant.0))
        .filter(payments::order_id.eq(order.0))
        .order(payments::id)
        .select(PAYMENT_COLUMNS)
        .for_update()
        .load(tx.conn)?;
    rows.into_iter().map(payment).collect()
}

/// The payments of an order, the oldest first.
pub fn of_order(conn: &mut Conn, merchant: MerchantId, order: OrderId) -> QueryResult<Vec<Payment>> {
    let rows: Vec<PaymentRow> = payments::table
        .filter(payments::merchant_id.eq(merchant.0))
        .filter(payments::order_id.eq(order.0))
        .order(payments::id)
        .select(PAYMENT_COLUMNS)
        .load(conn)?;
    rows.into_iter().map(payment).collect()
}

/// The payment that a gateway knows by its number.
pub fn find_transaction(tx: &mut Tx<'_>, gateway: &str, transaction: &str) -> QueryResult<Option<Payment>> {
    let row: Option<PaymentRow> = payments::table
        .filter(payments::merchant_id.eq(tx.merchant.0))
        .filter(payments::gateway.eq(gateway))
        .filter(payments::transaction.eq(transaction))
        .select(PAYMENT_COLUMNS)
        .first(tx.conn)
        .optional()?;
    row.map(payment).transpose()
}

/// Writes a payment whose money has come in.
pub fn insert(tx: &mut Tx<'_>, payment: &Payment, actor: &str, now: DateTime<Utc>) -> QueryResult<()> {
    diesel::insert_into(payments::table)
        .values((
            payments::merchant_id.eq(tx.merchant.0),
            payments::id.eq(payment.id.0),
            payments::order_id.eq(payment.order.0),
            payments::gateway.eq(&payment.gateway),
            payments::state.eq(&payment.state),
            payments::amount.eq(payment.amount.decimal()),
            payments::transaction.eq(&payment.transaction),
            payments::actor.eq(actor),
            payments::created_at.eq(now),
            payments::settled_at.eq(payment.settled_at),
        ))
        .execute(tx.conn)?;
    Ok(())
}

type RefundRow = (Uuid, Uuid, String, Decimal, String, Option<String>, DateTime<Utc>);

/// The refunds of an order, the oldest first.
pub fn refunds(conn: &mut Conn, merchant: MerchantId, order: OrderId) -> QueryResult<Vec<Refund>> {
    let rows: Vec<RefundRow> = refunds::table
        .filter(refunds::merchant_id.eq(merchant.0))
        .filter(refunds::order_id.eq(order.0))
        .order(refunds::id)
        .select((
            refunds::id,
            refunds::payment_id,
            refunds::state,
            refunds::amount,
            refunds::reason,
            refunds::note,
            refunds::created_at,
        ))
        .load(conn)?;
    let refund = |(id, payment, state, amount, reason, note, created_at): RefundRow| {
        Ok(Refund {
            id: RefundId(id),
            payment: PaymentId(payment),
            state,
            amount: money(amount)?,
            reason,
            note,
            created_at,
        })
    };
    rows.into_iter().map(|row| refund(row).map_err(|error: Corrupt| corrupt(error))).collect()
}

/// Writes a refund. `settled` tells whether the money is back already, as cash is.
pub fn insert_refund(
    tx: &mut Tx<'_>,
    order: OrderId,
    refund: &Refund,
    actor: &str,
    settled_at: Option<DateTime<Utc>>,
) -> QueryResult<()> {
    diesel::insert_into(refunds::table)
        .values((
            refunds::merchant_id.eq(tx.merchant.0),
            refunds::id.eq(refund.id.0),
            refunds::payment_id.eq(refund.payment.0),
            refunds::order_id.eq(order.0),
            refunds::state.eq(&refund.state),
            refunds::amount.eq(refund.amount.decimal()),
            refunds::reason.eq(&refund.reason),
            refunds::note.eq(&refund.note),
            refunds::actor.eq(actor),
            refunds::created_at.eq(refund.created_at),
            refunds::settled_at.eq(settled_at),
        ))
        .execute(tx.conn)?;
    Ok(())
}

/// What the payment of an order credits: to whom, and how much.
pub fn grants(conn: &mut Conn, merchant: MerchantId, order: OrderId) -> QueryResult<Vec<(GrantTo, u64)>> {
    let rows: Vec<(Option<Uuid>, Option<String>, i64)> = order_grants::table
        .filter(order_grants::merchant_id.eq(merchant.0))
        .filter(order_grants::order_id.eq(order.0))
        .order(order_grants::goods_id)
        .select((order_grants::account_id, order_grants::kind, order_grants::amount))
        .load(conn)?;
    let grant = |(account, kind, amount): (Option<Uuid>, Option<String>, i64)| {
        let to = match (account, kind) {
            (Some(account), _) => GrantTo::Account(AccountId(account)),
            (None, Some(kind)) => GrantTo::Buyer(kind.parse::<AccountKind>()?),
            (None, None) => return Err(Corrupt::from(format!("order {order}: a grant to nobody"))),
        };
        Ok((to, u64::try_from(amount)?))
    };
    rows.into_iter().map(|row| grant(row).map_err(corrupt)).collect()
}
