//! Points, votes and tips that follow an order: spent and earned with it, granted when it is paid, taken back when it is called off.
//!
//! Contract: each happens once an order, by the cause of its entry. What is taken back is never more than the account holds.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::payments::PaidBack;
use crate::clock::uuid_at;
use crate::domain::AccountId;
use crate::domain::ledger::{AccountKind, EarnedOn, EntryCause, points_earned};
use crate::domain::money::Money;
use crate::domain::moves::Actor;
use crate::domain::order::Order;
use crate::domain::placement::GrantTo;
use crate::error::Error;
use crate::store::ledger::{Appended, NewEntry};
use crate::store::merchants::Merchant;
use crate::store::{SortedIds, Tx, ledger, payments};

/// Credits what the goods of a paid order grant, and the points it earns where they come with the payment.
pub(super) fn credit_payment(
    tx: &mut Tx<'_>,
    order: &Order,
    merchant: &Merchant,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let mut entries = Vec::new();
    for (account, amount) in granted(tx, order, now)? {
        entries.push((account, EntryCause::Granted(order.id), amount));
    }
    if merchant.points_earned_on == EarnedOn::Paid {
        entries.extend(earned(tx, order, order.total, merchant, now)?);
    }
    credit(tx, order, entries, now)
}

/// Credits the points a completed order earns, where they were not with its payment: for what was paid and not paid back.
pub(super) fn credit_completion(
    tx: &mut Tx<'_>,
    order: &Order,
    merchant: &Merchant,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    if merchant.points_earned_on != EarnedOn::Completed {
        return Ok(());
    }
    let id = tx.merchant();
    let refunded: Money = payments::refunds(tx.conn(), id, order.id)?.iter().map(|refund| refund.amount).sum();
    let kept = order.total.minus(refunded).unwrap_or_default();
    let entries = earned(tx, order, kept, merchant, now)?;
    credit(tx, order, entries.into_iter().collect(), now)
}

type Credit = (AccountId, EntryCause, u64);

fn earned(
    tx: &mut Tx<'_>,
    order: &Order,
    paid: Money,
    merchant: &Merchant,
    now: DateTime<Utc>,
) -> Result<Option<Credit>, Error> {
    let points = points_earned(paid, merchant.points_earned_per_yuan);
    if points == 0 {
        return Ok(None);
    }
    let account = ledger::ensure(tx, AccountId(uuid_at(now)), order.customer_id, AccountKind::Points, now)?;
    Ok(Some((account, EntryCause::Earned(order.id), points)))
}

/// What the goods of an order grant, by account.
fn granted(tx: &mut Tx<'_>, order: &Order, now: DateTime<Utc>) -> Result<BTreeMap<AccountId, u64>, Error> {
    let merchant = tx.merchant();
    let mut granted: BTreeMap<AccountId, u64> = BTreeMap::new();
    let mut grants = payments::grants(tx.conn(), merchant, order.id)?;
    // Accounts are made in one order, so that two transactions that make the same ones do not wait for each other in a ring.
    grants.sort_by_key(|(to, _)| match to {
        GrantTo::Account(_) => None,
        GrantTo::Buyer(kind) => Some(*kind),
    });
    for (to, amount) in grants {
        let account = match to {
            GrantTo::Account(account) => account,
            GrantTo::Buyer(kind) => ledger::ensure(tx, AccountId(uuid_at(now)), order.customer_id, kind, now)?,
        };
        *granted.entry(account).or_default() += amount;
    }
    Ok(granted)
}

fn credit(tx: &mut Tx<'_>, order: &Order, entries: Vec<Credit>, now: DateTime<Utc>) -> Result<(), Error> {
    if entries.is_empty() {
        return Ok(());
    }
    let accounts: SortedIds<AccountId> = entries.iter().map(|(account, ..)| *account).collect();
    ledger::lock(tx, &accounts)?;
    for (account, cause, units) in entries {
        let delta = i64::try_from(units).map_err(|_| Error::Internal(format!("order {} grants too much", order.id)))?;
        let entry = NewEntry { account, cause, delta, order: Some(order.id), actor: "order", reason: None };
        ledger::append(tx, &entry, now)?;
    }
    Ok(())
}

/// Puts back the points an order was paid with, and takes back what it earned and granted, as far as it is still there.
pub(super) fn take_back_all(tx: &mut Tx<'_>, order: &Order, by: Actor, now: DateTime<Utc>) -> Result<(), Error> {
    let customer = (order.points_used > 0 || order.paid_at.is_some() || order.total == Money::ZERO)
        .then(|| ledger::of_customer_in(tx, order.customer_id))
        .transpose()?
        .unwrap_or_default();
    let points = customer.iter().find(|account| account.kind == AccountKind::Points).map(|account| account.id);
    let merchant = tx.merchant();
    let mut granted: Vec<AccountId> = Vec::new();
    for (to, _) in payments::grants(tx.conn(), merchant, order.id)? {
        granted.extend(match to {
            GrantTo::Account(account) => Some(account),
            GrantTo::Buyer(kind) => customer.iter().find(|own| own.kind == kind).map(|own| own.id),
        });
    }
    let accounts: SortedIds<AccountId> = granted.iter().copied().chain(points).collect();
    if accounts.as_slice().is_empty() {
        return Ok(());
    }
    let mut balances = ledger::lock(tx, &accounts)?;
    let actor = by.to_string();
    let mut back = |tx: &mut Tx<'_>, account: AccountId, cause: EntryCause, delta: i64| -> Result<(), Error> {
        let balance = balances.get_mut(&account).expect("accounts stay");
        // Never below zero: what the customer has spent is spent.
        let delta = delta.max(-i64::try_from(*balance).unwrap_or(i64::MAX));
        if delta == 0 {
            return Ok(());
        }
        let entry = NewEntry { account, cause, delta, order: Some(order.id), actor: &actor, reason: None };
        if let Appended::Made { balance: left } = ledger::append(tx, &entry, now)? {
            *balance = left;
        }
        Ok(())
    };
    if let Some(account) = points.filter(|_| order.points_used > 0) {
        let units = i64::try_from(order.points_used).map_err(|_| Error::Internal("points overflow".to_owned()))?;
        back(tx, account, EntryCause::SpentBack(order.id), units)?;
    }
    for account in accounts.as_slice().iter().filter(|account| granted.contains(account)) {
        if let Some((delta, _)) = ledger::find_entry(tx, *account, &EntryCause::Granted(order.id))? {
            back(tx, *account, EntryCause::GrantedBack(order.id), -delta)?;
        }
    }
    if let Some(account) = points
        && let Some((delta, _)) = ledger::find_entry(tx, account, &EntryCause::Earned(order.id))?
    {
        let before = ledger::taken_back(tx, account, order.id)?;
        back(tx, account, EntryCause::EarnedBack(order.id), before - delta)?;
    }
    Ok(())
}

/// Takes back the part of the earned points that a refund's part of the money had earned.
pub(super) fn take_back_part(
    tx: &mut Tx<'_>,
    order: &Order,
    back: &PaidBack,
    by: Actor,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let Some(refund) = back.refund else { return Ok(()) };
    let own = ledger::of_customer_in(tx, order.customer_id)?;
    let Some(account) = own.iter().find(|account| account.kind == AccountKind::Points) else { return Ok(()) };
    let balances = ledger::lock(tx, &std::iter::once(account.id).collect())?;
    let Some((earned, _)) = ledger::find_entry(tx, account.id, &EntryCause::Earned(order.id))? else { return Ok(()) };
    let due = points_of_refund(u64::try_from(earned).unwrap_or_default(), back);
    let delta = due.min(balances[&account.id]);
    if delta == 0 {
        return Ok(());
    }
    let entry = NewEntry {
        account: account.id,
        cause: EntryCause::RefundBack(refund),
        delta: -i64::try_from(delta).map_err(|_| Error::Internal("points overflow".to_owned()))?,
        order: Some(order.id),
        actor: &by.to_string(),
        reason: None,
    };
    ledger::append(tx, &entry, now)?;
    Ok(())
}

/// The points of `earned` that belong to this refund: refunds that together are the whole take back all of them.
fn points_of_refund(earned: u64, back: &PaidBack) -> u64 {
    let upto = |amount: Money| {
        let (part, of) = (u128::from(amount.fen()), u128::from(back.paid.fen()));
        u64::try_from(u128::from(earned) * part / of).expect("a part is no more than the whole")
    };
    upto(back.before + back.refunded) - upto(back.before)
}
