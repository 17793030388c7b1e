//! The staff look after accounts: points, votes and tips.

use std::iter::once;

use chrono::{DateTime, Utc};

use crate::clock::uuid_at;
use crate::domain::ledger::{AccountKind, EntryCause};
use crate::domain::moves::Actor;
use crate::domain::placement::IdempotencyKey;
use crate::domain::{AccountId, CustomerId};
use crate::error::Error;
use crate::service::once::Once;
use crate::store::ledger::{self, Account, Appended, EntryRow, NewEntry};
use crate::store::{Tx, people};

/// Adds an account that is nobody's.
///
/// # Errors
/// [`Error::NameTaken`] when there is one of that kind and name.
pub fn add_named(tx: &mut Tx<'_>, kind: AccountKind, name: &str, now: DateTime<Utc>) -> Result<Account, Error> {
    let id = AccountId(uuid_at(now));
    if !ledger::insert_named(tx, id, kind, name, now)? {
        return Err(Error::NameTaken);
    }
    Ok(Account { id, kind, customer_id: None, name: Some(name.to_owned()), balance: 0 })
}

/// A correction that one of the staff asks for.
#[derive(Clone, Debug)]
pub struct Correction {
    /// What makes it happen once.
    pub key: IdempotencyKey,
    /// By how much, not zero.
    pub delta: i64,
    /// Why.
    pub reason: String,
}

/// Corrects the balance of an account, once for each key.
///
/// # Errors
/// [`Error::NotFound`] when the merchant has no such account, [`Error::BalanceTooLow`] when it does not hold as much,
/// [`Error::KeyReused`] when the key stands for another correction.
pub fn correct(
    tx: &mut Tx<'_>,
    account: AccountId,
    wanted: &Correction,
    by: Actor,
    now: DateTime<Utc>,
) -> Result<Once<EntryRow>, Error> {
    let merchant = tx.merchant();
    let balance = *ledger::lock(tx, &once(account).collect())?.get(&account).ok_or(Error::NotFound)?;
    let cause = EntryCause::Correction(wanted.key.as_str().to_owned());
    let new = NewEntry {
        account,
        cause: cause.clone(),
        delta: wanted.delta,
        order: None,
        actor: &by.to_string(),
        reason: Some(&wanted.reason),
    };
    let appended = ledger::append(tx, &new, now)?;
    if appended == Appended::TooLow {
        return Err(Error::BalanceTooLow { balance });
    }
    let entry = ledger::entry(tx.conn(), merchant, account, &cause.to_string())?
        .ok_or_else(|| Error::Internal("an entry is not there".to_owned()))?;
    match appended {
        Appended::MadeBefore if entry.delta != wanted.delta => Err(Error::KeyReused),
        Appended::MadeBefore => {
            // Nothing is done, so nothing is to stand in the trail.
            tx.discard();
            Ok(Once::DoneBefore(entry))
        }
        Appended::Made { .. } | Appended::TooLow => Ok(Once::Done(entry)),
    }
}

/// As [`correct`], for a customer's account, which is made if they have none of that kind.
///
/// # Errors
/// As [`correct`]; [`Error::NotFound`] when the merchant has no such customer.
pub fn correct_customer(
    tx: &mut Tx<'_>,
    customer: CustomerId,
    kind: AccountKind,
    wanted: &Correction,
    by: Actor,
    now: DateTime<Utc>,
) -> Result<Once<EntryRow>, Error> {
    let merchant = tx.merchant();
    if !people::is_customer(tx.conn(), merchant, customer)? {
        return Err(Error::NotFound);
    }
    let account = ledger::ensure(tx, AccountId(uuid_at(now)), customer, kind, now)?;
    correct(tx, account, wanted, by, now)
}
