//! Points, votes and tips that follow an order: spent and earned with it, granted when it is paid, taken back when it is called off.
//!
//! Contract: each happens once an order, by the cause of its entry. What is taken back is never more than the account holds: what was spent
//! is spent, where the restaurant calls off. A customer who has spent what an order brought cannot call it off.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::payments::counted;
use super::refunds::{PaidBack, gone_back};
use crate::clock::uuid_at;
use crate::domain::AccountId;
use crate::domain::ledger::{AccountKind, EarnedOn, EntryCause, kept, points_earned};
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
    // First, for accounts are made in the order of their kinds: see `granted`.
    if merchant.points_earned_on == EarnedOn::Paid {
        entries.extend(earned(tx, order, order.total, merchant, now)?);
    }
    for (account, amount) in granted(tx, order, now)? {
        entries.push((account, EntryCause::Granted(order.id), amount));
    }
    credit(tx, order, entries, now)
}

/// Credits the points a completed order earns, where they were not with its payment: for what was paid and not paid back. They come
/// once, whatever the merchant's settings were when it was paid.
pub(super) fn credit_completion(
    tx: &mut Tx<'_>,
    order: &Order,
    merchant: &Merchant,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let merchant_id = tx.merchant();
    let of_order = payments::of_order(tx.conn(), merchant_id, order.id)?;
    let refunded = gone_back(tx, order.id, counted(&of_order))?;
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
///
/// # Errors
/// [`Error::PointsSpent`] where a customer calls off who does not have all of it any more.
pub(super) fn take_back_all(tx: &mut Tx<'_>, order: &Order, by: Actor, now: DateTime<Utc>) -> Result<(), Error> {
    take_back(tx, order, None, by, now)
}

/// Takes back the part of what an order earned and granted that belongs to a refund's part of its money.
pub(super) fn take_back_part(
    tx: &mut Tx<'_>,
    order: &Order,
    back: &PaidBack,
    by: Actor,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    take_back(tx, order, Some(back), by, now)
}

fn take_back(
    tx: &mut Tx<'_>,
    order: &Order,
    part: Option<&PaidBack>,
    by: Actor,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let own = ledger::of_customer_in(tx, order.customer_id)?;
    let merchant = tx.merchant();
    let grants = payments::grants(tx.conn(), merchant, order.id)?;
    let named = grants.iter().filter_map(|(to, _)| match to {
        GrantTo::Account(account) => Some(*account),
        GrantTo::Buyer(_) => None,
    });
    let accounts: SortedIds<AccountId> = own.iter().map(|account| account.id).chain(named).collect();
    if accounts.as_slice().is_empty() {
        return Ok(());
    }
    let mut balances = ledger::lock(tx, &accounts)?;
    let actor = by.to_string();
    let mut change = |tx: &mut Tx<'_>, account: AccountId, cause: EntryCause, delta: i64| -> Result<(), Error> {
        let balance = balances.get_mut(&account).expect("accounts stay");
        let least = -i64::try_from(*balance).unwrap_or(i64::MAX);
        // Or they would spend the points, cancel for all of the money, and do it again.
        if delta < least && matches!(by, Actor::Customer(_)) && own.iter().any(|own| own.id == account) {
            return Err(Error::PointsSpent);
        }
        // Never below zero: what was spent is spent.
        let delta = delta.max(least);
        if delta == 0 {
            return Ok(());
        }
        let entry = NewEntry { account, cause, delta, order: Some(order.id), actor: &actor, reason: None };
        if let Appended::Made { balance: left } = ledger::append(tx, &entry, now)? {
            *balance = left;
        }
        Ok(())
    };
    let points = own.iter().find(|account| account.kind == AccountKind::Points).map(|account| account.id);
    if let Some(account) = points.filter(|_| part.is_none() && order.points_used > 0) {
        let units = i64::try_from(order.points_used).map_err(|_| Error::Internal("points overflow".to_owned()))?;
        change(tx, account, EntryCause::SpentBack(order.id), units)?;
    }
    for account in accounts.as_slice() {
        let net = ledger::net_of_order(tx, *account, order.id)?;
        let (granted_back, earned_back) = match part.and_then(|back| back.refund) {
            Some(refund) => (EntryCause::RefundGrantedBack(refund), EntryCause::RefundEarnedBack(refund)),
            None => (EntryCause::GrantedBack(order.id), EntryCause::EarnedBack(order.id)),
        };
        let kept = |units| part.map_or(0, |back| kept(units, back.left(), back.refunded));
        change(tx, *account, granted_back, kept(net.granted) - net.granted)?;
        change(tx, *account, earned_back, kept(net.earned) - net.earned)?;
    }
    Ok(())
}
