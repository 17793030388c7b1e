//! One group, one transaction.
//!
//! 1. The caller has begun a transaction for the merchant all requests belong to.
//! 2. Lock the goods rows of the whole group: one statement, ascending, `FOR UPDATE`. All locks come before the first write.
//! 3. Find the keys that are known. It must come after the locks: a twin that was faster (a retry that reached another
//!    instance) wanted the same goods, so it has committed by now, and this statement's snapshot sees it. Looked up before, the
//!    twin of an order that took the last unit would be refused as out of stock. A key that stands twice in a group
//!    counts the second time as a repeat of the first.
//! 4. Read the merchant's settings and the addresses, and plan: pure, in arrival order.
//! 5. Under a savepoint, write all placed orders in bulk and take their units from stock. Should that fail, roll back to
//!    the savepoint and write order by order, each under a savepoint of its own: one that the database refuses does not take
//!    its neighbours down.
//! 6. The caller commits, and only then answers.
//!
//! Failures that pass (deadlock, serialization, lock time-out, a lost connection, a twin that committed between steps 3
//! and 5) end the transaction, and the caller runs the whole again.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use crate::domain::order::{Fulfilment, Order};
use crate::domain::placement::{Facts, IdempotencyKey, Placement, RequestHash, Verdict, plan, taken};
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
    /// Its key is new in the database and in the group.
    New,
    /// Its key stands for this order.
    Stands(OrderId),
    /// Its key is that of an earlier request of the group.
    SameAs(usize),
    /// Its key stands for other contents.
    Mismatched,
}

/// Steps 2 to 5 of the module's list.
///
/// # Errors
/// What ends the transaction. An order that cannot be written although its neighbours can is an error in its own outcome.
pub fn place_group(
    tx: &mut Tx<'_>,
    group: &[&Placement],
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
    let fresh: Vec<usize> = (0..group.len()).filter(|&index| matches!(fates[index], Fate::New)).collect();
    let requests: Vec<&Placement> = fresh.iter().map(|&index| group[index]).collect();
    let verdicts = if requests.is_empty() {
        Vec::new()
    } else {
        let merchant_id = tx.merchant();
        let merchant = merchants::find(tx.conn(), merchant_id)?.ok_or(Error::NotFound)?;
        let addresses = people::address_snapshots(tx.conn(), merchant_id, &addresses_wanted(&requests))?;
        plan(&Facts { shop: merchant.shop_at(now), goods, addresses, now }, &requests)
    };
    reach(Point::Planned);

    // 5.
    let (written, fell_back) = write(tx, &requests, verdicts)?;
    reach(Point::Written);

    let outcomes = assemble(tx, fates, fresh, written)?;
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
    let mut first: HashMap<(CustomerId, &IdempotencyKey), usize> = HashMap::new();
    let mut fates = Vec::with_capacity(group.len());
    for (index, placement) in group.iter().enumerate() {
        let earlier = *first.entry((placement.customer_id, &placement.key)).or_insert(index);
        let key = (placement.customer_id, placement.key.as_str().to_owned());
        fates.push(match known.get(&key) {
            Some((id, hash)) if *hash == placement.request_hash => Fate::Stands(*id),
            Some(_) => Fate::Mismatched,
            None if earlier == index => Fate::New,
            None if group[earlier].request_hash == placement.request_hash => Fate::SameAs(earlier),
            None => Fate::Mismatched,
        });
    }
    Ok(fates)
}

fn addresses_wanted(requests: &[&Placement]) -> SortedIds<(CustomerId, AddressId)> {
    let address = |placement: &&Placement| match placement.fulfilment {
        Fulfilment::Delivery(address) => Some((placement.customer_id, address)),
        Fulfilment::DineIn { .. } | Fulfilment::Pickup => None,
    };
    requests.iter().filter_map(address).collect()
}

/// Writes what is placed; in bulk, or one by one when the bulk is refused. Tells whether it came to that.
fn write(
    tx: &mut Tx<'_>,
    requests: &[&Placement],
    verdicts: Vec<Verdict>,
) -> Result<(Vec<Result<Outcome, Error>>, bool), Error> {
    let mut placed: Vec<(&Placement, &Order)> = requests
        .iter()
        .zip(&verdicts)
        .filter_map(|(request, verdict)| Some((*request, verdict.as_ref().ok()?)))
        .collect();
    // Two groups that share keys insert them in the same order, so they cannot wait for each other in a ring.
    placed.sort_by_key(|(request, _)| (request.customer_id, &request.key));

    let mut refused: HashMap<OrderId, DbError> = HashMap::new();
    let mut fell_back = false;
    if !placed.is_empty()
        && let Err(error) = tx.savepoint(|tx| write_orders(tx, &placed))
    {
        if store::cause(&error).is_some() {
            return Err(error.into());
        }
        fell_back = true;
        log::warn!(merchant_id:% = tx.merchant(), orders = placed.len(); "Writes a group order by order: {error}");
        for order in &placed {
            if let Err(error) = tx.savepoint(|tx| write_orders(tx, std::slice::from_ref(order))) {
                if store::cause(&error).is_some() {
                    return Err(error.into());
                }
                refused.insert(order.1.id, error);
            }
        }
    }
    let outcome = |verdict: Verdict| match verdict {
        Ok(order) => match refused.remove(&order.id) {
            Some(error) => Err(Error::Database(error)),
            None => Ok(Outcome::Placed(order)),
        },
        Err(refusal) => Ok(Outcome::Refused(refusal)),
    };
    Ok((verdicts.into_iter().map(outcome).collect(), fell_back))
}

/// Writes orders, lines and history, and takes the units from stock.
fn write_orders(tx: &mut Tx<'_>, placed: &[(&Placement, &Order)]) -> QueryResult<()> {
    orders::insert(tx, placed)?;
    let taken = taken(placed.iter().map(|(_, order)| *order));
    let rows = catalog::take(tx, &taken)?;
    // The plan saw these rows locked, so the guard cannot bite; if it does, nothing of this may stand.
    if rows == taken.len() { Ok(()) } else { Err(DbError::NotFound) }
}

/// Puts the outcomes of fresh requests and of repeats into the order of the group.
fn assemble(
    tx: &mut Tx<'_>,
    fates: Vec<Fate>,
    fresh: Vec<usize>,
    written: Vec<Result<Outcome, Error>>,
) -> Result<Vec<Result<Outcome, Error>>, Error> {
    let standing: Vec<OrderId> =
        fates.iter().filter_map(|fate| if let Fate::Stands(id) = fate { Some(*id) } else { None }).collect();
    let merchant = tx.merchant();
    let standing: HashMap<OrderId, Order> =
        orders::find_all(tx.conn(), merchant, &standing)?.into_iter().map(|order| (order.id, order)).collect();

    let mut written: HashMap<usize, Result<Outcome, Error>> = fresh.into_iter().zip(written).collect();
    let mut outcomes: Vec<Result<Outcome, Error>> = Vec::with_capacity(fates.len());
    for (index, fate) in fates.into_iter().enumerate() {
        let outcome = match fate {
            Fate::New => written.remove(&index).expect("every fresh request was planned"),
            Fate::Stands(id) => {
                let order = standing.get(&id).cloned();
                order.map(Outcome::Repeated).ok_or_else(|| Error::Internal(format!("order {id} has vanished")))
            }
            Fate::SameAs(first) => match &outcomes[first] {
                Ok(Outcome::Placed(order)) => Ok(Outcome::Repeated(order.clone())),
                Ok(other) => Ok(other.clone()),
                Err(error) => Err(Error::Internal(error.to_string())),
            },
            Fate::Mismatched => Ok(Outcome::Mismatched),
        };
        outcomes.push(outcome);
    }
    Ok(outcomes)
}
