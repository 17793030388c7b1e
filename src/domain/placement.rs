//! The decision at the heart of Rowlock: which orders of a group are placed, and what they take from stock.
//!
//! Contract: [`plan`] is pure and total. It sees the goods as they were locked and the requests in the order they
//! arrived, and answers with one verdict a request. An earlier request takes before a later one; a refused request
//! takes nothing, not even its key.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};

use super::ledger::{AccountKind, points_amount, points_for};
use super::money::Money;
use super::order::{AddressSnapshot, Fulfilment, Offered, Order, OrderLine, OrderState, PayMethod};
use super::{AccountId, AddressId, CartId, CustomerId, GoodsId, LocalText, OrderId, Refusal, Short};

/// How large one order may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Lines in one order.
    pub lines_max: usize,
    /// Units of one goods in one order, over all its lines.
    pub count_max: u32,
}

/// Why a list of lines cannot be ordered, whatever is in stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadLines {
    /// An order of nothing.
    Empty,
    /// More lines than the limit.
    TooMany {
        /// The limit.
        lines_max: usize,
    },
    /// A count below one, or more units of one goods than the limit.
    Count {
        /// The first line at fault, from zero.
        line: usize,
        /// The limit.
        count_max: u32,
    },
}

/// The goods an order asks for: never empty, each goods once, every count from one to the limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedLines(Vec<(GoodsId, u32)>);

impl WantedLines {
    /// Sums lines that name the same goods, keeping the order in which goods are first named.
    ///
    /// # Errors
    /// [`BadLines`] for a list outside the limits.
    pub fn new(lines: &[(GoodsId, i64)], limits: Limits) -> Result<Self, BadLines> {
        if lines.is_empty() {
            return Err(BadLines::Empty);
        }
        if lines.len() > limits.lines_max {
            return Err(BadLines::TooMany { lines_max: limits.lines_max });
        }
        let mut summed: Vec<(GoodsId, u32)> = Vec::with_capacity(lines.len());
        for (line, &(goods_id, count)) in lines.iter().enumerate() {
            let bad = BadLines::Count { line, count_max: limits.count_max };
            let count = u32::try_from(count).ok().filter(|count| *count >= 1).ok_or(bad)?;
            let place = match summed.iter().position(|(id, _)| *id == goods_id) {
                Some(place) => place,
                None => {
                    summed.push((goods_id, 0));
                    summed.len() - 1
                }
            };
            let total = summed[place].1.checked_add(count).filter(|total| *total <= limits.count_max).ok_or(bad)?;
            summed[place].1 = total;
        }
        Ok(Self(summed))
    }

    /// Goods and units, in the order of the request.
    pub fn iter(&self) -> impl Iterator<Item = (GoodsId, u32)> {
        self.0.iter().copied()
    }
}

/// The client's name for one intention to order, unique per customer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Longest key, in characters.
    pub const CHARS_MAX: usize = 128;

    /// A key of 1 to [`Self::CHARS_MAX`] visible ASCII characters, or nothing.
    pub fn new(key: &str) -> Option<Self> {
        let fits = (1..=Self::CHARS_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(key.to_owned()))
    }

    /// The key as the client sent it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// SHA-256 of what a request asks for; equal keys with unequal hashes are a client's mistake.
pub type RequestHash = [u8; 32];

/// A request to place an order, well-formed as far as that can be seen without the database.
#[derive(Clone, Debug)]
pub struct Placement {
    /// The id the order will have.
    pub id: OrderId,
    /// Who orders.
    pub customer_id: CustomerId,
    /// The client's name for this order.
    pub key: IdempotencyKey,
    /// What the key stands for.
    pub request_hash: RequestHash,
    /// What is ordered.
    pub lines: WantedLines,
    /// How it shall reach the customer.
    pub fulfilment: Fulfilment<AddressId>,
    /// How it will be paid.
    pub pay_method: PayMethod,
    /// Points to spend on it.
    pub points: u64,
    /// The cart it is placed from, which is placed once.
    pub cart: Option<CartId>,
    /// What the customer was shown; another total is refused.
    pub expected_total: Option<Money>,
    /// The customer's words to the restaurant.
    pub remark: String,
}

/// What the merchant's settings say at the moment of placing.
#[derive(Clone, Debug)]
pub struct Shop {
    /// No orders are taken.
    pub paused: bool,
    /// Opening and closing time; none means always open.
    pub hours: Option<Hours>,
    /// Now, on the wall of the shop.
    pub local_time: NaiveTime,
    /// What customers may choose from.
    pub offered: Offered,
    /// The least the goods of a delivery must cost.
    pub minimum_amount: Money,
    /// What a delivery costs.
    pub freight: Money,
    /// From this goods amount on, delivery is free.
    pub free_freight_from: Option<Money>,
    /// How many points pay one yuan; none are taken where it is 0.
    pub points_per_yuan: u32,
    /// How long an order may wait for its payment.
    pub unpaid: TimeDelta,
    /// How long the restaurant may take to answer.
    pub accept: TimeDelta,
}

/// Opening hours. A shop that closes before it opens is open over midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    /// First moment open.
    pub opens_at: NaiveTime,
    /// First moment closed again.
    pub closes_at: NaiveTime,
}

impl Hours {
    fn contain(self, time: NaiveTime) -> bool {
        if self.opens_at < self.closes_at {
            self.opens_at <= time && time < self.closes_at
        } else {
            self.opens_at <= time || time < self.closes_at
        }
    }
}

/// What a placement decides from of a goods row: as it was locked, or, in the optimistic way, as it was read.
#[derive(Clone, Debug)]
pub struct GoodsFacts {
    /// The dish.
    pub name: LocalText,
    /// The spec of the dish.
    pub spec: LocalText,
    /// Yuan a unit.
    pub price: Money,
    /// Units left.
    pub stock: u32,
    /// Whether it may be ordered.
    pub on_sale: bool,
    /// What its payment credits.
    pub grant: Option<Grant>,
}

/// What a paid unit of goods credits to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Where to.
    pub to: GrantTo,
    /// How much for each unit.
    pub per_unit: u64,
}

/// Whom a grant is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantTo {
    /// This account, be it a candidate's or a waiter's.
    Account(AccountId),
    /// The buyer's own account of this kind.
    Buyer(AccountKind),
}

/// A customer's points, as they were locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Points {
    /// The account they are in.
    pub account: AccountId,
    /// How many there are.
    pub balance: u64,
}

/// Everything [`plan`] decides from, read under the locks of the group's transaction.
#[derive(Debug)]
pub struct Facts {
    /// The merchant.
    pub shop: Shop,
    /// The goods the group asks for, as far as they exist.
    pub goods: BTreeMap<GoodsId, GoodsFacts>,
    /// The addresses the group asks for, as far as they exist.
    pub addresses: HashMap<(CustomerId, AddressId), AddressSnapshot>,
    /// The points of the customers who want to spend some, as far as they have an account.
    pub points: HashMap<CustomerId, Points>,
    /// The carts of the group that an order was placed from already.
    pub placed_carts: HashMap<(CustomerId, CartId), OrderId>,
    /// The time of placing.
    pub now: DateTime<Utc>,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "most verdicts are orders, and none is kept for long")]
pub enum Verdict {
    /// The order to be written.
    Placed(Order),
    /// Why there is none.
    Refused(Refusal),
    /// The same request as an earlier one of the group, which is placed: its index.
    RepeatOf(usize),
    /// The key of an earlier request of the group, which is placed, with other contents.
    Mismatched,
}

impl Verdict {
    /// The order, if it is placed.
    pub fn order(&self) -> Option<&Order> {
        match self {
            Self::Placed(order) => Some(order),
            Self::Refused(_) | Self::RepeatOf(_) | Self::Mismatched => None,
        }
    }
}

/// Units the given orders take from stock, by goods in ascending order.
pub fn taken<'a>(orders: impl IntoIterator<Item = &'a Order>) -> BTreeMap<GoodsId, u32> {
    let mut taken = BTreeMap::new();
    for line in orders.into_iter().flat_map(|order| &order.lines) {
        *taken.entry(line.goods_id).or_insert(0) += line.count;
    }
    taken
}

/// Points the given orders spend, by customer.
pub fn spent<'a>(orders: impl IntoIterator<Item = &'a Order>) -> BTreeMap<CustomerId, u64> {
    let mut spent = BTreeMap::new();
    for order in orders.into_iter().filter(|order| order.points_used > 0) {
        *spent.entry(order.customer_id).or_insert(0) += order.points_used;
    }
    spent
}

/// What earlier requests of a group have left over for later ones.
struct Left {
    stock: BTreeMap<GoodsId, u32>,
    points: HashMap<CustomerId, u64>,
    placed_carts: HashMap<(CustomerId, CartId), OrderId>,
}

/// Decides about every request of a group, in arrival order: one verdict a request.
///
/// # Panics
/// When it would break its own promise and take more than there was.
pub fn plan(facts: &Facts, requests: &[&Placement]) -> Vec<Verdict> {
    let mut left = Left {
        stock: facts.goods.iter().map(|(id, goods)| (*id, goods.stock)).collect(),
        points: facts.points.iter().map(|(customer, points)| (*customer, points.balance)).collect(),
        placed_carts: facts.placed_carts.clone(),
    };
    let mut placed: HashMap<(CustomerId, &IdempotencyKey), usize> = HashMap::new();
    let mut verdicts = Vec::with_capacity(requests.len());
    for (index, request) in requests.iter().enumerate() {
        let key = (request.customer_id, &request.key);
        verdicts.push(match placed.get(&key) {
            Some(&first) if requests[first].request_hash == request.request_hash => Verdict::RepeatOf(first),
            Some(_) => Verdict::Mismatched,
            None => match decide(facts, &left, request) {
                Err(refusal) => Verdict::Refused(refusal),
                Ok(order) => {
                    for line in &order.lines {
                        let stock = left.stock.get_mut(&line.goods_id).expect("only goods that exist are placed");
                        *stock = stock.checked_sub(line.count).expect("no more is placed than is left");
                    }
                    if order.points_used > 0 {
                        let points = left.points.get_mut(&order.customer_id).expect("only points that exist are spent");
                        *points = points.checked_sub(order.points_used).expect("no more is spent than is left");
                    }
                    if let Some(cart) = request.cart {
                        left.placed_carts.insert((request.customer_id, cart), order.id);
                    }
                    placed.insert(key, index);
                    Verdict::Placed(order)
                }
            },
        });
    }
    assert_eq!(verdicts.len(), requests.len(), "every request has a verdict");
    verdicts
}

/// One request against what earlier ones left over. The order of the checks is part of the API.
fn decide(facts: &Facts, left: &Left, request: &Placement) -> Result<Order, Refusal> {
    let shop = &facts.shop;
    if let Some(order_id) = request.cart.and_then(|cart| left.placed_carts.get(&(request.customer_id, cart))) {
        return Err(Refusal::CartPlaced { order_id: *order_id });
    }
    if shop.paused {
        return Err(Refusal::ShopPaused);
    }
    if let Some(hours) = shop.hours.filter(|hours| !hours.contain(shop.local_time)) {
        return Err(Refusal::ShopClosed { opens_at: hours.opens_at, closes_at: hours.closes_at });
    }
    let kind = request.fulfilment.kind();
    if !shop.offered.has(kind) {
        return Err(Refusal::FulfilmentNotOffered(kind));
    }
    if !shop.offered.takes(request.pay_method) {
        return Err(Refusal::PayMethodNotOffered(request.pay_method));
    }
    let fulfilment = match &request.fulfilment {
        Fulfilment::DineIn { table } => Fulfilment::DineIn { table: table.clone() },
        Fulfilment::Pickup => Fulfilment::Pickup,
        Fulfilment::Delivery(address_id) => {
            let address = facts.addresses.get(&(request.customer_id, *address_id));
            Fulfilment::Delivery(address.cloned().ok_or(Refusal::UnknownAddress)?)
        }
    };
    refuse_any(request, |id| !facts.goods.contains_key(&id), Refusal::UnknownGoods)?;
    refuse_any(request, |id| !facts.goods[&id].on_sale, Refusal::NotOnSale)?;
    let mut short: Vec<Short> = request
        .lines
        .iter()
        .filter(|(id, wanted)| *wanted > left.stock[id])
        .map(|(goods_id, wanted)| Short { goods_id, wanted, left: left.stock[&goods_id] })
        .collect();
    if !short.is_empty() {
        short.sort_by_key(|short| short.goods_id);
        return Err(Refusal::OutOfStock(short));
    }
    let lines: Vec<OrderLine> = request
        .lines
        .iter()
        .map(|(goods_id, count)| {
            let goods = &facts.goods[&goods_id];
            OrderLine {
                goods_id,
                name: goods.name.clone(),
                spec: goods.spec.clone(),
                price: goods.price,
                count,
                returned_count: 0,
                refunded_count: 0,
            }
        })
        .collect();
    let goods_amount: Money = lines.iter().map(OrderLine::amount).sum();
    if matches!(fulfilment, Fulfilment::Delivery(_)) && goods_amount < shop.minimum_amount {
        return Err(Refusal::BelowMinimum { minimum: shop.minimum_amount, goods_amount });
    }
    let freight = freight(shop, &fulfilment, goods_amount);
    let gross = goods_amount + freight;
    let points_amount = points_taken(shop, left, request, gross)?;
    let total = gross.minus(points_amount).expect("points take off no more than there is to pay");
    if let Some(expected) = request.expected_total.filter(|expected| *expected != total) {
        return Err(Refusal::PriceChanged { expected, total });
    }

    // From here on the order is placed: nothing below can fail.
    let state = OrderState::placed(request.pay_method, total);
    Ok(Order {
        id: request.id,
        customer_id: request.customer_id,
        state,
        fulfilment,
        pay_method: request.pay_method,
        lines,
        goods_amount,
        freight,
        points_used: request.points,
        points_amount,
        total,
        remark: request.remark.clone(),
        pay_by: (state == OrderState::PendingPayment).then(|| facts.now + shop.unpaid),
        accept_by: (state == OrderState::PendingAccept).then(|| facts.now + shop.accept),
        paid_at: None,
        pickup_no: None,
        promised_at: None,
        nudged_at: None,
        placed_at: facts.now,
    })
}

/// What the points of a request take off `gross`.
fn points_taken(shop: &Shop, left: &Left, request: &Placement, gross: Money) -> Result<Money, Refusal> {
    let points = request.points;
    if points == 0 {
        return Ok(Money::ZERO);
    }
    if shop.points_per_yuan == 0 {
        return Err(Refusal::PointsNotTaken);
    }
    let balance = left.points.get(&request.customer_id).copied().unwrap_or_default();
    if points > balance {
        return Err(Refusal::TooFewPoints { points, balance });
    }
    let points_max = points_for(gross, shop.points_per_yuan);
    if points > points_max {
        return Err(Refusal::TooManyPoints { points, points_max });
    }
    Ok(points_amount(points, shop.points_per_yuan).min(gross))
}

fn refuse_any(
    request: &Placement,
    is_bad: impl Fn(GoodsId) -> bool,
    refusal: fn(Vec<GoodsId>) -> Refusal,
) -> Result<(), Refusal> {
    let mut bad: Vec<GoodsId> = request.lines.iter().map(|(id, _)| id).filter(|id| is_bad(*id)).collect();
    bad.sort_unstable();
    if bad.is_empty() { Ok(()) } else { Err(refusal(bad)) }
}

fn freight(shop: &Shop, fulfilment: &Fulfilment<AddressSnapshot>, goods_amount: Money) -> Money {
    let is_free = shop.free_freight_from.is_some_and(|from| goods_amount >= from);
    match fulfilment {
        Fulfilment::Delivery(_) if !is_free => shop.freight,
        Fulfilment::Delivery(_) | Fulfilment::DineIn { .. } | Fulfilment::Pickup => Money::ZERO,
    }
}

#[cfg(test)]
mod tests;
