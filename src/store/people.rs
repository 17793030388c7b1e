//! Customers and their address books.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use super::schema::{addresses, customers};
use super::{Conn, QueryResult, SortedIds, Tx};
use crate::domain::order::AddressSnapshot;
use crate::domain::{AddressId, CustomerId, MerchantId};

/// The customer whom `provider` knows as `subject`, if they were here before.
pub fn find_customer(
    conn: &mut Conn,
    merchant: MerchantId,
    provider: &str,
    subject: &str,
) -> QueryResult<Option<CustomerId>> {
    customers::table
        .filter(customers::merchant_id.eq(merchant.0))
        .filter(customers::provider.eq(provider))
        .filter(customers::subject.eq(subject))
        .select(customers::id)
        .first(conn)
        .optional()
        .map(|id| id.map(CustomerId))
}

/// Adds a customer unless the subject is known already; tells whether it was added.
pub fn insert_customer(
    tx: &mut Tx<'_>,
    id: CustomerId,
    provider: &str,
    subject: &str,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let rows = diesel::insert_into(customers::table)
        .values((
            customers::merchant_id.eq(tx.merchant.0),
            customers::id.eq(id.0),
            customers::provider.eq(provider),
            customers::subject.eq(subject),
            customers::created_at.eq(now),
        ))
        .on_conflict((customers::merchant_id, customers::provider, customers::subject))
        .do_nothing()
        .execute(tx.conn)?;
    Ok(rows == 1)
}

/// Whether there is such a customer.
pub fn is_customer(conn: &mut Conn, merchant: MerchantId, id: CustomerId) -> QueryResult<bool> {
    let row: Option<Uuid> = customers::table.find((merchant.0, id.0)).select(customers::id).first(conn).optional()?;
    Ok(row.is_some())
}

/// A customer's login provider, and their id there.
pub fn subject(conn: &mut Conn, merchant: MerchantId, id: CustomerId) -> QueryResult<Option<(String, String)>> {
    customers::table.find((merchant.0, id.0)).select((customers::provider, customers::subject)).first(conn).optional()
}

/// An address in a customer's book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Its id.
    pub id: AddressId,
    /// What an order copies of it.
    pub snapshot: AddressSnapshot,
}

type AddressRow = (Uuid, String, String, String);

fn address((id, contact, phone, place): AddressRow) -> Address {
    Address { id: AddressId(id), snapshot: AddressSnapshot { contact, phone, place } }
}

/// A customer's addresses, the newest first.
pub fn addresses(conn: &mut Conn, merchant: MerchantId, customer: CustomerId) -> QueryResult<Vec<Address>> {
    let rows: Vec<AddressRow> = addresses::table
        .filter(addresses::merchant_id.eq(merchant.0))
        .filter(addresses::customer_id.eq(customer.0))
        .order(addresses::id.desc())
        .select((addresses::id, addresses::contact, addresses::phone, addresses::place))
        .load(conn)?;
    Ok(rows.into_iter().map(address).collect())
}

/// The addresses among `wanted` that exist and belong to the customer they are wanted for.
pub fn address_snapshots(
    conn: &mut Conn,
    merchant: MerchantId,
    wanted: &SortedIds<(CustomerId, AddressId)>,
) -> QueryResult<HashMap<(CustomerId, AddressId), AddressSnapshot>> {
    if wanted.as_slice().is_empty() {
        return Ok(HashMap::new());
    }
    let (customers, ids): (Vec<Uuid>, Vec<Uuid>) = wanted.as_slice().iter().map(|(who, id)| (who.0, id.0)).unzip();
    type Row = (Uuid, Uuid, String, String, String);
    let rows: Vec<Row> = addresses::table
        .filter(addresses::merchant_id.eq(merchant.0))
        .filter(addresses::customer_id.eq_any(customers))
        .filter(addresses::id.eq_any(ids))
        .select((addresses::customer_id, addresses::id, addresses::contact, addresses::phone, addresses::place))
        .load(conn)?;
    let snapshot = |(customer, id, contact, phone, place)| {
        ((CustomerId(customer), AddressId(id)), AddressSnapshot { contact, phone, place })
    };
    Ok(rows.into_iter().map(snapshot).collect())
}

/// How many addresses a customer has.
pub fn count_addresses(conn: &mut Conn, merchant: MerchantId, customer: CustomerId) -> QueryResult<i64> {
    addresses::table
        .filter(addresses::merchant_id.eq(merchant.0))
        .filter(addresses::customer_id.eq(customer.0))
        .count()
        .get_result(conn)
}

/// Adds an address to a customer's book.
pub fn insert_address(tx: &mut Tx<'_>, customer: CustomerId, address: &Address, now: DateTime<Utc>) -> QueryResult<()> {
    diesel::insert_into(addresses::table)
        .values((
            addresses::merchant_id.eq(tx.merchant.0),
            addresses::id.eq(address.id.0),
            addresses::customer_id.eq(customer.0),
            addresses::contact.eq(&address.snapshot.contact),
            addresses::phone.eq(&address.snapshot.phone),
            addresses::place.eq(&address.snapshot.place),
            addresses::created_at.eq(now),
        ))
        .execute(tx.conn)?;
    Ok(())
}

/// Rewrites an address; tells whether the customer has it.
pub fn update_address(tx: &mut Tx<'_>, customer: CustomerId, address: &Address) -> QueryResult<bool> {
    let rows = diesel::update(addresses::table.find((tx.merchant.0, customer.0, address.id.0)))
        .set((
            addresses::contact.eq(&address.snapshot.contact),
            addresses::phone.eq(&address.snapshot.phone),
            addresses::place.eq(&address.snapshot.place),
        ))
        .execute(tx.conn)?;
    Ok(rows == 1)
}

/// Removes an address; tells whether the customer had it. Orders keep their copies.
pub fn delete_address(tx: &mut Tx<'_>, customer: CustomerId, id: AddressId) -> QueryResult<bool> {
    let rows = diesel::delete(addresses::table.find((tx.merchant.0, customer.0, id.0))).execute(tx.conn)?;
    Ok(rows == 1)
}
