//! One group, one transaction.
//!
//! 1. The caller has begun a transaction for the merchant all requests belong to.
//! 2. Lock the goods rows of the whole group: one statement, ascending, `FOR UPDATE`. All locks come before the first write.
//! 3. Find the keys that are known. It must come after the locks: a twin that was faster (a retry that reached another
//!    instance) wanted the same goods, so it has committed by now, and this statement's snapshot sees it. Looked up before, the
//!    twin of an order that took the last unit would be refused as out of stock.
//! 4. Read the merchant's settings and the addresses, and plan: pure, in arrival order. A key that stands twice in the group
//!    counts the second time as a repeat of the first, if that is placed.
//! 5. Under a savepoint, write all placed orders in bulk and take their units from stock. Should that fail, roll back to
//!    the savepoint, then plan and write order by order, each under a savepoint of its own: one that the database refuses does
//!    not take its neighbours down, nor anything from them.
//! 6. The caller commits, and only then answers.
//!
//! Failures that pass (deadlock, serialization, lock time-out, a lost connection, a twin that committed between steps 3
//! and 5) end the transaction, and the caller runs the whole again.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use crate::domain::order::{Fulfilment, Order};
use crate::domain::placement::{Facts, Placement, RequestHash, Verdict, plan, taken};
use crate::domain::{AddressId, CustomerId, OrderId, Refusal};
use crate::error::Error;
use crate::store::{self, DbError, QueryResult, SortedIds, Tx, catalog, merchants, orders, people};

/// The named points of a group's transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    /// The transaction has begun.
    Begun,
    /// All goods rows are locked.
    Locked,
    /// Every request has its verdict.
    Planned,
    /// All rows are written; the commit is next.
    Written,
    /// The commit has taken effect; the answers are next.
    Committed,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The order is placed.
    Placed(Order),
    /// The key stood for this order already.
    Repeated(Order),
    /// The key stands for an order with other contents.
    Mismatched,
    /// The order is refused.
    Refused(Refusal),
}

/// The outcomes of a group, in the order of its requests.
pub struct Group {
    /// One a request; an error is an order that the database would not write.
    pub outcomes: Vec<Result<Outcome, Error>>,
    /// The bulk write failed and the orders were written one by one.
    pub fell_back: bool,
}

/// What is known of a request before it is planned.
enum Fate {
    /// Its key is new: it is planned.
    New,
    /// Its key stands for this order.
    Stands(OrderId),
    /// Its key stands for an order with other contents.
    Mismatched,
}

/// Steps 2 to 5 of the module's list.
///
/// # Errors
/// What ends the transaction. An order that cannot be written although its neighbours can is an error in its own outcome.
pub fn place_group<'p>(
    tx: &mut Tx<'_>,
    group: &[&'p Placement],
    now: DateTime<Utc>,
    reach: &dyn Fn(Point),
) -> Result<Group, Error> {
    reach(Point::Begun);

    // 2.
    let wanted = group.iter().flat_map(|placement| placement.lines.iter().map(|(id, _)| id)).collect();
    let goods = catalog::lock_goods(tx, &wanted)?;
    reach(Point::Locked);

    // 3.
    let fates = fates(tx, group)?;

    // 4.
    let new = |(fate, request): (&Fate, &&'p Placement)| matches!(fate, Fate::New).then_some(*request);
    let requests: Vec<&Placement> = fates.iter().zip(group).filter_map(new).collect();
    let merchant_id = tx.merchant();
    let merchant = merchants::find(tx.conn(), merchant_id)?.ok_or(Error::NotFound)?;
    let addresses = people::address_snapshots(tx.conn(), merchant_id, &addresses_wanted(&requests))?;
    let facts = Facts { shop: merchant.shop_at(now), goods, addresses, now };
    let verdicts = plan(&facts, &requests);
    reach(Point::Planned);

    // 5.
    let (written, fell_back) = match write(tx, &requests, &verdicts)? {
        Ok(()) => (verdicts.into_iter().map(Ok).collect(), false),
        Err(error) => {
            log::warn!(merchant_id:% = merchant_id, orders = requests.len(); "Writes a group order by order: {error}");
            (write_one_by_one(tx, &facts, &requests)?, true)
        }
    };
    reach(Point::Written);

    let outcomes = outcomes(tx, &fates, written)?;
    assert_eq!(outcomes.len(), group.len(), "every request has an outcome");
    Ok(Group { outcomes, fell_back })
}

fn fates(tx: &mut Tx<'_>, group: &[&Placement]) -> Result<Vec<Fate>, Error> {
    let merchant = tx.merchant();
    let asked = group.iter().map(|placement| (placement.customer_id, &placement.key));
    let known: HashMap<(CustomerId, String), (OrderId, RequestHash)> = orders::known(tx.conn(), merchant, asked)?
        .into_iter()
        .map(|known| ((known.customer_id, known.key), (known.id, known.request_hash)))
        .collect();
    let fate = |placement: &&Placement| match known.get(&(placement.customer_id, placement.key.as_str().to_owned())) {
        Some((id, hash)) if *hash == placement.request_hash => Fate::Stands(*id),
        Some(_) => Fate::Mismatched,
        None => Fate::New,
    };
    Ok(group.iter().map(fate).collect())
}

fn addresses_wanted(requests: &[&Placement]) -> SortedIds<(CustomerId, AddressId)> {
    let address = |placement: &&Placement| match placement.fulfilment {
        Fulfilment::Delivery(address) => Some((placement.customer_id, address)),
        Fulfilment::DineIn { .. } | Fulfilment::Pickup => None,
    };
    requests.iter().filter_map(address).collect()
}

/// Writes all that is placed, in bulk. The inner error is the database's refusal: then nothing is written.
fn write(tx: &mut Tx<'_>, requests: &[&Placement], verdicts: &[Verdict]) -> Result<Result<(), DbError>, Error> {
    let mut placed: Vec<(&Placement, &Order)> =
        requests.iter().zip(verdicts).filter_map(|(request, verdict)| Some((*request, verdict.order()?))).collect();
    if placed.is_empty() {
        return Ok(Ok(()));
    }
    // Two groups that share keys insert them in the same order, so they cannot wait for each other in a ring.
    placed.sort_by_key(|(request, _)| (request.customer_id, &request.key));
    match tx.savepoint(|tx| write_orders(tx, &placed)) {
        Err(error) if store::cause(&error).is_some() => Err(error.into()),
        result => Ok(result),
    }
}

/// Plans and writes one request after the other. One that the database refuses is left out of what follows, as if it had
/// never been in the group: it takes neither stock nor key from its neighbours.
fn write_one_by_one(
    tx: &mut Tx<'_>,
    facts: &Facts,
    requests: &[&Placement],
) -> Result<Vec<Result<Verdict, DbError>>, Error> {
    let mut kept: Vec<usize> = Vec::with_capacity(requests.len());
    let mut written = Vec::with_capacity(requests.len());
    for (index, request) in requests.iter().enumerate() {
        kept.push(index);
        let so_far: Vec<&Placement> = kept.iter().map(|&index| requests[index]).collect();
        let verdict = match plan(facts, &so_far).pop().expect("every request has a verdict") {
            Verdict::RepeatOf(first) => Verdict::RepeatOf(kept[first]),
            other => other,
        };
        written.push(match write(tx, &[*request], std::slice::from_ref(&verdict))? {
            Ok(()) => Ok(verdict),
            Err(error) => {
                kept.pop();
                Err(error)
            }
        });
    }
    Ok(written)
}

/// Writes orders, lines and history, and takes the units from stock.
fn write_orders(tx: &mut Tx<'_>, placed: &[(&Placement, &Order)]) -> QueryResult<()> {
    orders::insert(tx, placed)?;
    let taken = taken(placed.iter().map(|(_, order)| *order));
    let rows = catalog::take(tx, &taken)?;
    // The plan saw these rows locked, so the guard cannot bite; if it does, nothing of this may stand.
    if rows == taken.len() { Ok(()) } else { Err(DbError::NotFound) }
}

/// What is answered to each request of the group.
fn outcomes(
    tx: &mut Tx<'_>,
    fates: &[Fate],
    written: Vec<Result<Verdict, DbError>>,
) -> Result<Vec<Result<Outcome, Error>>, Error> {
    let stands = |fate: &Fate| if let Fate::Stands(id) = fate { Some(*id) } else { None };
    let standing: Vec<OrderId> = fates.iter().filter_map(stands).collect();
    let merchant = tx.merchant();
    let standing: HashMap<OrderId, Order> =
        orders::find_all(tx.conn(), merchant, &standing)?.into_iter().map(|order| (order.id, order)).collect();

    let mut new: Vec<Result<Outcome, Error>> = Vec::with_capacity(written.len());
    for verdict in written {
        new.push(match verdict {
            Ok(Verdict::Placed(order)) => Ok(Outcome::Placed(order)),
            Ok(Verdict::Refused(refusal)) => Ok(Outcome::Refused(refusal)),
            Ok(Verdict::RepeatOf(first)) => match &new[first] {
                Ok(Outcome::Placed(order)) => Ok(Outcome::Repeated(order.clone())),
                other => Err(Error::Internal(format!("a repeat of what was not placed: {other:?}"))),
            },
            Ok(Verdict::Mismatched) => Ok(Outcome::Mismatched),
            Err(error) => Err(error.into()),
        });
    }
    let mut new = new.into_iter();
    let outcome = |fate: &Fate| match fate {
        Fate::New => new.next().expect("every new request has a verdict"),
        Fate::Stands(id) => {
            let order = standing.get(id).cloned();
            order.map(Outcome::Repeated).ok_or_else(|| Error::Internal(format!("order {id} has vanished")))
        }
        Fate::Mismatched => Ok(Outcome::Mismatched),
    };
    Ok(fates.iter().map(outcome).collect())
}
