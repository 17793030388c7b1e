//! Tickets: what the panel prints of an order, for the kitchen and for the bag.

use chrono::{DateTime, Utc};

use crate::domain::order::OrderState;
use crate::domain::{OrderId, StaffId};
use crate::error::Error;
use crate::store::tickets::{self, Ticket};
use crate::store::{Tx, moves};

/// Numbers a ticket of an order that is about to be printed, under the order's lock: whoever prints at the same time gets another
/// number, so that there is one original.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::IllegalMove`] when the order is not paid, for then nobody is to cook it.
pub fn print(tx: &mut Tx<'_>, id: OrderId, by: StaffId, now: DateTime<Utc>) -> Result<Ticket, Error> {
    let order = moves::lock(tx, id)?.ok_or(Error::NotFound)?;
    if order.state == OrderState::PendingPayment {
        return Err(Error::IllegalMove { made: "print_ticket", state: order.state });
    }
    let merchant = tx.merchant();
    let last = tickets::of_order(tx.conn(), merchant, id)?.pop().map_or(0, |ticket| ticket.copy);
    tickets::insert(tx, id, last + 1, by, now)?;
    let printed = tickets::of_order(tx.conn(), merchant, id)?.pop();
    printed.ok_or_else(|| Error::Internal("a ticket is not there".to_owned()))
}
