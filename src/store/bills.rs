//! What the database says of a provider's day: the payments and refunds to hold against the provider's bill.
//!
//! Contract: reads only, all in one repeatable-read snapshot. Nothing here finds rows of another merchant or gateway, so that a
//! number that is another's is unknown here.

use chrono::{DateTime, Utc};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::rows::{corrupt, money};
use super::schema::{orders, payments, refunds};
use super::{Conn, QueryResult};
use crate::domain::money::Money;
use crate::domain::order::PayMethod;
use crate::domain::payment::{PaymentState, RefundState};
use crate::domain::{MerchantId, OrderId, PaymentId, RefundId};

/// A payment, as far as a bill can tell of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookedPayment {
    /// Its id; its number at the gateway is made of it.
    pub id: PaymentId,
    /// The order it is for.
    pub order: OrderId,
    /// Where it stands.
    pub state: PaymentState,
    /// Yuan.
    pub amount: Money,
    /// The gateway's own number for it, once its money has come in.
    pub transaction: Option<String>,
    /// When its order was placed: its money cannot have come sooner.
    pub begun_at: DateTime<Utc>,
    /// When its money was booked.
    pub settled_at: Option<DateTime<Utc>>,
}

/// A refund, as far as a bill can tell of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookedRefund {
    /// Its id; its number at the gateway is made of it,
    pub id: RefundId,
    /// and of the round in which it was asked for last.
    pub round: u32,
    /// The payment it is of.
    pub payment: PaymentId,
    /// The gateway's own number of that payment.
    pub transaction: Option<String>,
    /// Where it stands at the gateway: one that was paid by hand has failed there.
    pub state: RefundState,
    /// Yuan.
    pub amount: Money,
    /// When it was decided: the gateway cannot have been asked sooner.
    pub begun_at: DateTime<Utc>,
    /// When it was booked as done.
    pub settled_at: Option<DateTime<Utc>>,
}

/// What to look for.
#[derive(Clone, Debug, Default)]
pub struct Named {
    /// Payments whose numbers the bill has.
    pub payments: Vec<PaymentId>,
    /// The gateway's own numbers of payments.
    pub transactions: Vec<String>,
    /// Refunds whose numbers the bill has.
    pub refunds: Vec<RefundId>,
}

/// What was found, by ascending id.
#[derive(Clone, Debug, Default)]
pub struct Booked {
    /// Payments whose money was booked in the time, whichever state it put them in, and those that were named.
    pub payments: Vec<BookedPayment>,
    /// Refunds that were done in the time, those that were decided in it and are not done, and those that were named.
    pub refunds: Vec<BookedRefund>,
}

/// The payments and refunds of a merchant at a gateway from `from` until just before `until`, and those that are named.
///
/// # Errors
/// What the database says.
pub fn read(
    conn: &mut Conn,
    merchant: MerchantId,
    gateway: PayMethod,
    (from, until): (DateTime<Utc>, DateTime<Utc>),
    named: &Named,
) -> QueryResult<Booked> {
    conn.build_transaction().repeatable_read().read_only().run(|conn| {
        // A large bill takes its time, and nobody waits for it.
        conn.batch_execute("SET LOCAL statement_timeout = 0")?;
        let mut found = Booked {
            payments: payments_in(conn, merchant, gateway, from, until)?,
            refunds: refunds_in(conn, merchant, gateway, from, until)?,
        };
        found.payments.extend(payments_named(conn, merchant, gateway, named)?);
        found.payments.sort_by_key(|payment| payment.id);
        found.payments.dedup_by_key(|payment| payment.id);
        found.refunds.extend(refunds_named(conn, merchant, gateway, named)?);
        found.refunds.sort_by_key(|refund| refund.id);
        found.refunds.dedup_by_key(|refund| refund.id);
        Ok(found)
    })
}

type PaymentColumns = (
    payments::id,
    payments::order_id,
    payments::state,
    payments::amount,
    payments::transaction,
    orders::placed_at,
    payments::settled_at,
);
const PAYMENT_COLUMNS: PaymentColumns = (
    payments::id,
    payments::order_id,
    payments::state,
    payments::amount,
    payments::transaction,
    orders::placed_at,
    payments::settled_at,
);
type PaymentRow = (Uuid, Uuid, String, Decimal, Option<String>, DateTime<Utc>, Option<DateTime<Utc>>);

fn payment(row: PaymentRow) -> QueryResult<BookedPayment> {
    let (id, order, state, amount, transaction, begun_at, settled_at) = row;
    Ok(BookedPayment {
        id: PaymentId(id),
        order: OrderId(order),
        state: state.parse().map_err(|error| corrupt(Box::new(error)))?,
        amount: money(amount).map_err(corrupt)?,
        transaction,
        begun_at,
        settled_at,
    })
}

fn payments_in(
    conn: &mut Conn,
    merchant: MerchantId,
    gateway: PayMethod,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> QueryResult<Vec<BookedPayment>> {
    let with_money = PaymentState::ALL.iter().filter(|state| state.has_money()).map(|state| state.name());
    let rows: Vec<PaymentRow> = payments::table
        .inner_join(orders::table.on(orders::merchant_id.eq(merchant.0).and(orders::id.eq(payments::order_id))))
        .filter(payments::merchant_id.eq(merchant.0))
        .filter(payments::gateway.eq(gateway.name()))
        .filter(payments::state.eq_any(with_money))
        .filter(payments::settled_at.ge(from))
        .filter(payments::settled_at.lt(until))
        .select(PAYMENT_COLUMNS)
        .load(conn)?;
    rows.into_iter().map(payment).collect()
}

fn payments_named(
    conn: &mut Conn,
    merchant: MerchantId,
    gateway: PayMethod,
    named: &Named,
) -> QueryResult<Vec<BookedPayment>> {
    let ids: Vec<Uuid> = named.payments.iter().map(|id| id.0).collect();
    let rows: Vec<PaymentRow> = payments::table
        .inner_join(orders::table.on(orders::merchant_id.eq(merchant.0).and(orders::id.eq(payments::order_id))))
        .filter(payments::merchant_id.eq(merchant.0))
        .filter(payments::gateway.eq(gateway.name()))
        .filter(payments::id.eq_any(ids).or(payments::transaction.eq_any(&named.transactions)))
        .select(PAYMENT_COLUMNS)
        .load(conn)?;
    rows.into_iter().map(payment).collect()
}

type RefundColumns = (
    refunds::id,
    refunds::round,
    refunds::payment_id,
    payments::transaction,
    refunds::state,
    refunds::amount,
    refunds::by_hand,
    refunds::created_at,
    refunds::settled_at,
);
const REFUND_COLUMNS: RefundColumns = (
    refunds::id,
    refunds::round,
    refunds::payment_id,
    payments::transaction,
    refunds::state,
    refunds::amount,
    refunds::by_hand,
    refunds::created_at,
    refunds::settled_at,
);
type RefundRow = (Uuid, i32, Uuid, Option<String>, String, Decimal, bool, DateTime<Utc>, Option<DateTime<Utc>>);

fn refund(row: RefundRow) -> QueryResult<BookedRefund> {
    let (id, round, payment, transaction, state, amount, by_hand, begun_at, settled_at) = row;
    let state = state.parse().map_err(|error| corrupt(Box::new(error)))?;
    Ok(BookedRefund {
        id: RefundId(id),
        round: u32::try_from(round).map_err(|error| corrupt(error.into()))?,
        payment: PaymentId(payment),
        transaction,
        state: if by_hand { RefundState::Failed } else { state },
        amount: money(amount).map_err(corrupt)?,
        begun_at,
        settled_at,
    })
}

fn refunds_in(
    conn: &mut Conn,
    merchant: MerchantId,
    gateway: PayMethod,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> QueryResult<Vec<BookedRefund>> {
    let done = RefundState::Succeeded.name();
    let was_done = refunds::state.eq(done).and(refunds::settled_at.ge(from)).and(refunds::settled_at.lt(until));
    let is_not = refunds::state.ne(done).and(refunds::created_at.ge(from)).and(refunds::created_at.lt(until));
    let rows: Vec<RefundRow> = refunds::table
        .inner_join(payments::table.on(payments::merchant_id.eq(merchant.0).and(payments::id.eq(refunds::payment_id))))
        .filter(refunds::merchant_id.eq(merchant.0))
        .filter(payments::gateway.eq(gateway.name()))
        .filter(was_done.or(is_not))
        .select(REFUND_COLUMNS)
        .load(conn)?;
    rows.into_iter().map(refund).collect()
}

fn refunds_named(
    conn: &mut Conn,
    merchant: MerchantId,
    gateway: PayMethod,
    named: &Named,
) -> QueryResult<Vec<BookedRefund>> {
    let ids: Vec<Uuid> = named.refunds.iter().map(|id| id.0).collect();
    let rows: Vec<RefundRow> = refunds::table
        .inner_join(payments::table.on(payments::merchant_id.eq(merchant.0).and(payments::id.eq(refunds::payment_id))))
        .filter(refunds::merchant_id.eq(merchant.0))
        .filter(payments::gateway.eq(gateway.name()))
        .filter(refunds::id.eq_any(ids))
        .select(REFUND_COLUMNS)
        .load(conn)?;
    rows.into_iter().map(refund).collect()
}
