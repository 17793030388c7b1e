//! One group, one transaction.
//!
//! 1. The caller has begun a transaction for the merchant all requests belong to, and, for more than one, a savepoint with it.
//! 2. Lock the goods rows of the whole group: one statement, ascending, `FOR UPDATE`; the merchant's settings come with them. Then,
//!    where points are to be spent, the accounts they are in. All locks come before the first write.
//! 3. Find the keys that are known. It must come after the locks: a twin that was faster (a retry that reached another instance)
//!    wanted the same goods, so it has committed by now, and this statement's snapshot sees it. Looked up before, the twin of an order
//!    that took the last unit would be refused as out of stock. (Only a cart that was changed between two requests of one key can make
//!    them want different goods. Then the second does not wait here, but at the key's index, if it is not refused before.) Most keys are new, and their unique index finds the others when they
//!    are written; so this step is left out ([`Keys::Presumed`]) until the index did, or somebody is about to be refused.
//! 4. Plan: pure, in arrival order. A key that stands twice in the group counts the second time as a repeat of the first, if
//!    that is placed.
//! 5. Write all placed orders in bulk and take their units from stock, in one statement; points that are spent take two more. Should the database refuse, go back to the
//!    savepoint, which gives the locks back, too; so lock and read again, then plan and write order by order, each under a
//!    savepoint of its own: one that the database refuses does not take its neighbours down, nor anything from them.
//!    A lone order has no neighbours and needs no savepoint.
//! 6. The caller commits, and only then answers. Where nothing was placed, it rolls back, which need not wait for the disk.
//!
//! In the optimistic way step 2 reads without locking, and step 5 takes from a goods row only if its stock and price are what
//! was read and it is on sale; if not, the whole is run again. Order by order it is written under locks in either way.
//!
//! Failures that pass (deadlock, serialization, lock time-out, a lost connection, goods that changed, a twin that committed
//! before step 5 and was not looked up) end the transaction, and the caller runs the whole again.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use crate::config::Locking;
use crate::domain::order::{Fulfilment, Order};
use crate::domain::placement::{Facts, Placement, Points, Verdict, plan, spent};
use crate::domain::{AddressId, CartId, CustomerId, OrderId, Refusal};
use crate::error::Error;
use crate::store::{Retryable, SortedIds, Tx, ledger, merchants, orders, people, placing};

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

impl Group {
    /// Whether a key was known before the group, or stood in it twice.
    pub fn has_known_keys(&self) -> bool {
        self.outcomes.iter().any(|outcome| matches!(outcome, Ok(Outcome::Repeated(_) | Outcome::Mismatched)))
    }
}

/// How a group deals with keys that may be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// They are taken for new until something speaks against it.
    Presumed,
    /// They are looked up at once.
    LookedUp,
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

/// What steps 2 and 3 find: each request's fate, and what the new ones are planned from.
struct Read {
    fates: Vec<Fate>,
    facts: Facts,
}

/// Steps 2 to 5 of the module's list.
///
/// # Panics
/// When the database has fewer rows than it has locked.
///
/// # Errors
/// What ends the transaction. An order that cannot be written although its neighbours can is an error in its own outcome.
pub fn place_group(
    tx: &mut Tx<'_>,
    group: &[&Placement],
    now: DateTime<Utc>,
    locking: Locking,
    keys: Keys,
    reach: &dyn Fn(Point),
) -> Result<Group, Error> {
    reach(Point::Begun);
    let mut read = read(tx, group, now, locking, keys, reach)?;

    // 4.
    let mut requests = new_requests(&read.fates, group);
    let mut verdicts = plan(&read.facts, &requests);
    if keys == Keys::Presumed && verdicts.iter().any(|verdict| matches!(verdict, Verdict::Refused(_))) {
        read.fates = look_up(tx, group)?;
        read.facts.placed_carts = placing::placed_carts(tx, &carts_wanted(group))?;
        requests = new_requests(&read.fates, group);
        verdicts = plan(&read.facts, &requests);
    }
    reach(Point::Planned);

    // 5.
    let (written, fell_back) = match write(tx, &read.facts, &read.facts.points, locking, &requests, &verdicts) {
        Ok(()) => (verdicts.into_iter().map(Ok).collect(), false),
        Err(error) if error.cause().is_some() => return Err(error),
        Err(error) if group.len() == 1 => {
            tx.discard();
            return Ok(Group { outcomes: vec![Err(error)], fell_back: false });
        }
        Err(error) => {
            log::warn!(merchant_id:% = tx.merchant(), orders = requests.len(); "Writes a group order by order: {error}");
            tx.undo_all()?;
            read = self::read(tx, group, now, Locking::Pessimistic, Keys::LookedUp, &|_| {})?;
            (write_one_by_one(tx, &read.facts, &new_requests(&read.fates, group))?, true)
        }
    };
    reach(Point::Written);
    if !written.iter().any(|verdict| matches!(verdict, Ok(Verdict::Placed(_)))) {
        tx.discard();
    }

    let outcomes = outcomes(tx, &read.fates, written)?;
    assert_eq!(outcomes.len(), group.len(), "every request has an outcome");
    Ok(Group { outcomes, fell_back })
}

fn read(
    tx: &mut Tx<'_>,
    group: &[&Placement],
    now: DateTime<Utc>,
    locking: Locking,
    keys: Keys,
    reach: &dyn Fn(Point),
) -> Result<Read, Error> {
    // 2.
    let wanted = group.iter().flat_map(|placement| placement.lines.iter().map(|(id, _)| id)).collect();
    let (goods, merchant) = match locking {
        Locking::Pessimistic => placing::lock_goods(tx, &wanted)?,
        Locking::Optimistic => placing::read_goods(tx, &wanted)?,
    };
    let spenders =
        group.iter().filter(|placement| placement.points > 0).map(|placement| placement.customer_id).collect();
    let points = match locking {
        Locking::Pessimistic => ledger::lock_points(tx, &spenders)?,
        Locking::Optimistic => ledger::read_points(tx, &spenders)?,
    };
    reach(Point::Locked);
    let merchant_id = tx.merchant();
    let merchant = match merchant {
        Some(merchant) => merchant,
        None => merchants::find(tx.conn(), merchant_id)?.ok_or(Error::NotFound)?,
    };

    // 3.
    let fates = match keys {
        Keys::Presumed => group.iter().map(|_| Fate::New).collect(),
        Keys::LookedUp => look_up(tx, group)?,
    };
    let placed_carts = match keys {
        Keys::Presumed => HashMap::new(),
        Keys::LookedUp => placing::placed_carts(tx, &carts_wanted(group))?,
    };
    let wanted = addresses_wanted(&new_requests(&fates, group));
    let addresses = people::address_snapshots(tx.conn(), merchant_id, &wanted)?;
    Ok(Read { fates, facts: Facts { shop: merchant.shop_at(now), goods, addresses, points, placed_carts, now } })
}

fn look_up(tx: &mut Tx<'_>, group: &[&Placement]) -> Result<Vec<Fate>, Error> {
    let asked = group.iter().map(|placement| (placement.customer_id, &placement.key));
    let mut fates: Vec<Fate> = group.iter().map(|_| Fate::New).collect();
    for known in placing::known(tx, asked)? {
        let is_same = known.request_hash == group[known.index].request_hash;
        fates[known.index] = if is_same { Fate::Stands(known.id) } else { Fate::Mismatched };
    }
    Ok(fates)
}

fn new_requests<'p>(fates: &[Fate], group: &[&'p Placement]) -> Vec<&'p Placement> {
    let new = |(fate, request): (&Fate, &&'p Placement)| matches!(fate, Fate::New).then_some(*request);
    fates.iter().zip(group).filter_map(new).collect()
}

fn addresses_wanted(requests: &[&Placement]) -> SortedIds<(CustomerId, AddressId)> {
    let address = |placement: &&Placement| match placement.fulfilment {
        Fulfilment::Delivery(address) => Some((placement.customer_id, address)),
        Fulfilment::DineIn { .. } | Fulfilment::Pickup => None,
    };
    requests.iter().filter_map(address).collect()
}

fn carts_wanted(group: &[&Placement]) -> SortedIds<(CustomerId, CartId)> {
    group.iter().filter_map(|placement| Some((placement.customer_id, placement.cart?))).collect()
}

/// Writes all that is placed: orders, lines, what the outbox tells, and takes the units from stock and the points that are spent from
/// `points`.
fn write(
    tx: &mut Tx<'_>,
    facts: &Facts,
    points: &HashMap<CustomerId, Points>,
    locking: Locking,
    requests: &[&Placement],
    verdicts: &[Verdict],
) -> Result<(), Error> {
    let mut placed: Vec<(&Placement, &Order)> =
        requests.iter().zip(verdicts).filter_map(|(request, verdict)| Some((*request, verdict.order()?))).collect();
    if placed.is_empty() {
        return Ok(());
    }
    // Two groups that share keys insert them in the same order, so they cannot wait for each other in a ring.
    placed.sort_by_key(|(request, _)| (request.customer_id, &request.key));
    match locking {
        Locking::Pessimistic => {
            let has_taken = placing::write(tx, &placed, &facts.goods)?;
            assert!(has_taken, "the plan saw these rows locked, so what it takes is there");
        }
        Locking::Optimistic => {
            if !placing::write_unchanged(tx, &placed, &facts.goods)? {
                return Err(Error::StockChanged);
            }
        }
    }
    let orders: Vec<&Order> = placed.iter().map(|(_, order)| *order).collect();
    if !spent(orders.iter().copied()).is_empty() && !ledger::spend(tx, &orders, points)? {
        assert_eq!(locking, Locking::Optimistic, "the plan saw these balances locked, so what it spends is there");
        return Err(Error::StockChanged);
    }
    Ok(())
}

/// Plans and writes one request after the other. One that the database refuses is left out of what follows, as if it had
/// never been in the group: it takes neither stock nor key from its neighbours. In either way the goods are locked here. Keys are
/// inserted in arrival order: two such groups that share keys but no goods may meet in a ring, which the database breaks.
fn write_one_by_one(
    tx: &mut Tx<'_>,
    facts: &Facts,
    requests: &[&Placement],
) -> Result<Vec<Result<Verdict, Error>>, Error> {
    // `plan` begins with what was read, and itself counts what the orders before this one take; `write` is given what those have left.
    let mut points = facts.points.clone();
    let mut kept: Vec<usize> = Vec::with_capacity(requests.len());
    let mut written = Vec::with_capacity(requests.len());
    for (index, request) in requests.iter().enumerate() {
        kept.push(index);
        let so_far: Vec<&Placement> = kept.iter().map(|&index| requests[index]).collect();
        let verdict = match plan(facts, &so_far).pop().expect("every request has a verdict") {
            Verdict::RepeatOf(first) => Verdict::RepeatOf(kept[first]),
            other => other,
        };
        let verdicts = std::slice::from_ref(&verdict);
        let write_it = |tx: &mut Tx<'_>| write(tx, facts, &points, Locking::Pessimistic, &[*request], verdicts);
        written.push(match tx.savepoint(write_it) {
            Ok(()) => {
                for (customer, spent) in spent(verdict.order()) {
                    points.entry(customer).and_modify(|points| points.balance -= spent);
                }
                Ok(verdict)
            }
            Err(error) if error.cause().is_some() => return Err(error),
            Err(error) => {
                kept.pop();
                Err(error)
            }
        });
    }
    Ok(written)
}

/// What is answered to each request of the group.
fn outcomes(
    tx: &mut Tx<'_>,
    fates: &[Fate],
    written: Vec<Result<Verdict, Error>>,
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
            Err(error) => Err(error),
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
