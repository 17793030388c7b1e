//! The tickets that were printed of orders.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::schema::{staff, tickets};
use super::{Conn, QueryResult, Tx};
use crate::domain::{MerchantId, OrderId, StaffId};

/// A ticket of an order.
#[derive(Clone, Debug, Queryable)]
pub struct Ticket {
    /// One for the original; all others are duplicates.
    pub copy: i32,
    /// When it was printed.
    pub printed_at: DateTime<Utc>,
    /// Name of the member of staff who printed it, as it is now.
    pub printed_by: String,
}

/// An order's tickets, the original first.
pub fn of_order(conn: &mut Conn, merchant: MerchantId, order: OrderId) -> QueryResult<Vec<Ticket>> {
    let of_member = staff::merchant_id.eq(tickets::merchant_id).and(staff::id.eq(tickets::staff_id));
    tickets::table
        .inner_join(staff::table.on(of_member))
        .filter(tickets::merchant_id.eq(merchant.0))
        .filter(staff::merchant_id.eq(merchant.0))
        .filter(tickets::order_id.eq(order.0))
        .order(tickets::copy)
        .select((tickets::copy, tickets::printed_at, staff::name))
        .load(conn)
}

/// Adds a ticket to an order that is locked.
pub fn insert(tx: &mut Tx<'_>, order: OrderId, copy: i32, by: StaffId, now: DateTime<Utc>) -> QueryResult<()> {
    diesel::insert_into(tickets::table)
        .values((
            tickets::merchant_id.eq(tx.merchant.0),
            tickets::order_id.eq(order.0),
            tickets::copy.eq(copy),
            tickets::staff_id.eq(by.0),
            tickets::printed_at.eq(now),
        ))
        .execute(tx.conn)?;
    Ok(())
}
