//! Customers come in and keep their address books.

use chrono::{DateTime, Utc};

use crate::clock::uuid_at;
use crate::domain::order::AddressSnapshot;
use crate::domain::{AddressId, CustomerId};
use crate::error::Error;
use crate::gateway::Subject;
use crate::store::people::Address;
use crate::store::{Tx, merchants, people};

/// The customer a subject stands for; a subject never seen before becomes one.
///
/// # Errors
/// [`Error::NotFound`] when there is no such merchant.
pub fn log_in(tx: &mut Tx<'_>, subject: &Subject, now: DateTime<Utc>) -> Result<CustomerId, Error> {
    let merchant = tx.merchant();
    if let Some(known) = people::find_customer(tx.conn(), merchant, subject.provider, &subject.id)? {
        return Ok(known);
    }
    merchants::find(tx.conn(), merchant)?.ok_or(Error::NotFound)?;
    let id = CustomerId(uuid_at(now));
    if people::insert_customer(tx, id, subject.provider, &subject.id, now)? {
        return Ok(id);
    }
    // Somebody logged the same subject in meanwhile.
    people::find_customer(tx.conn(), merchant, subject.provider, &subject.id)?
        .ok_or_else(|| Error::Internal("a customer is neither new nor known".to_owned()))
}

/// Adds an address to a customer's book.
///
/// # Errors
/// [`Error::AddressBookFull`] at `addresses_max`. Additions at the same moment may pass it by a few.
pub fn add_address(
    tx: &mut Tx<'_>,
    customer: CustomerId,
    snapshot: AddressSnapshot,
    addresses_max: u32,
    now: DateTime<Utc>,
) -> Result<Address, Error> {
    let merchant = tx.merchant();
    if people::count_addresses(tx.conn(), merchant, customer)? >= i64::from(addresses_max) {
        return Err(Error::AddressBookFull { addresses_max });
    }
    let address = Address { id: AddressId(uuid_at(now)), snapshot };
    people::insert_address(tx, customer, &address, now)?;
    Ok(address)
}

/// Rewrites an address of a customer. Orders keep the copy they were placed with.
///
/// # Errors
/// [`Error::NotFound`] when it is not in this customer's book.
pub fn change_address(tx: &mut Tx<'_>, customer: CustomerId, address: Address) -> Result<Address, Error> {
    if people::update_address(tx, customer, &address)? { Ok(address) } else { Err(Error::NotFound) }
}

/// Removes an address from a customer's book.
///
/// # Errors
/// [`Error::NotFound`] when it is not in this customer's book.
pub fn remove_address(tx: &mut Tx<'_>, customer: CustomerId, id: AddressId) -> Result<(), Error> {
    if people::delete_address(tx, customer, id)? { Ok(()) } else { Err(Error::NotFound) }
}
