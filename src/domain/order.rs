//! An order as it stands, and the states of its life.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ledger::{share, split};
use super::money::Money;
use super::names::names;
use super::{CustomerId, GoodsId, LocalText, OrderId};

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OrderState {
    /// Placed; its stock is held until it is paid or its deadline passes.
    PendingPayment,
    /// Paid, or to be paid in cash; the restaurant has not answered yet.
    PendingAccept,
    /// The restaurant will make it.
    Accepted,
    /// In the kitchen.
    Preparing,
    /// Ready to be served, fetched or sent out.
    Ready,
    /// On its way.
    Delivering,
    /// Done. Terminal.
    Completed,
    /// Called off before or after acceptance. Terminal.
    Cancelled,
    /// Declined by the restaurant. Terminal.
    Rejected,
}

names!(OrderState {
    PendingPayment = "pending_payment",
    PendingAccept = "pending_accept",
    Accepted = "accepted",
    Preparing = "preparing",
    Ready = "ready",
    Delivering = "delivering",
    Completed = "completed",
    Cancelled = "cancelled",
    Rejected = "rejected",
});

impl OrderState {
    /// The state an order is placed in: cash is collected later and a zero total has nothing to pay, so neither waits for a payment.
    pub fn placed(pay_method: PayMethod, total: Money) -> Self {
        if pay_method == PayMethod::Cash || total == Money::ZERO { Self::PendingAccept } else { Self::PendingPayment }
    }
}

/// How an order is to be paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayMethod {
    /// To the staff, before the order is completed.
    Cash,
    /// Through the gateway that comes with Rowlock.
    Sandbox,
    /// WeChat Pay.
    Wechat,
    /// Alipay.
    Alipay,
}

names!(PayMethod { Cash = "cash", Sandbox = "sandbox", Wechat = "wechat", Alipay = "alipay" });

/// A person and place to deliver to, copied into the order so that later changes of the book leave it alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AddressSnapshot {
    /// Who receives the order.
    pub contact: String,
    /// How to reach them.
    pub phone: String,
    /// Where to bring it.
    pub place: String,
}

/// How an order reaches the customer. `A` is what stands for the address: the book's id in a request, a snapshot in an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fulfilment<A> {
    /// Served at a table of the restaurant.
    DineIn {
        /// The table's name.
        table: String,
    },
    /// Fetched at the counter.
    Pickup,
    /// Brought to an address; the only one that costs freight.
    Delivery(A),
}

impl<A> Fulfilment<A> {
    /// Which of the ways it is.
    pub const fn kind(&self) -> FulfilmentKind {
        match self {
            Self::DineIn { .. } => FulfilmentKind::DineIn,
            Self::Pickup => FulfilmentKind::Pickup,
            Self::Delivery(_) => FulfilmentKind::Delivery,
        }
    }

    /// The name it is stored and shown under.
    pub const fn name(&self) -> &'static str {
        self.kind().name()
    }
}

/// The ways an order can reach the customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FulfilmentKind {
    /// [`Fulfilment::DineIn`].
    DineIn,
    /// [`Fulfilment::Pickup`].
    Pickup,
    /// [`Fulfilment::Delivery`].
    Delivery,
}

names!(FulfilmentKind { DineIn = "dine_in", Pickup = "pickup", Delivery = "delivery" });

/// What a merchant lets its customers choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offered {
    /// To be served at a table.
    pub dine_in: bool,
    /// To fetch it.
    pub pickup: bool,
    /// To have it brought.
    pub delivery: bool,
    /// To pay in cash. The other ways to pay are offered where there is a gateway for them.
    pub cash: bool,
}

impl Offered {
    /// Whether orders may reach the customer that way.
    pub const fn has(self, kind: FulfilmentKind) -> bool {
        match kind {
            FulfilmentKind::DineIn => self.dine_in,
            FulfilmentKind::Pickup => self.pickup,
            FulfilmentKind::Delivery => self.delivery,
        }
    }

    /// Whether the merchant wants to be paid that way, be there a gateway for it or not.
    pub fn takes(self, method: PayMethod) -> bool {
        self.cash || method != PayMethod::Cash
    }

    /// The names of the ways that orders may reach the customer.
    pub fn fulfilments(self) -> Vec<&'static str> {
        FulfilmentKind::ALL.iter().filter(|kind| self.has(**kind)).map(|kind| kind.name()).collect()
    }
}

/// One kind of goods in an order, as it was when the order was placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderLine {
    /// What was ordered.
    pub goods_id: GoodsId,
    /// The dish.
    pub name: LocalText,
    /// The spec of the dish.
    pub spec: LocalText,
    /// Yuan a unit.
    pub price: Money,
    /// Units.
    pub count: u32,
    /// Units of them that went back into stock.
    pub returned_count: u32,
    /// Units of them that were paid back.
    pub refunded_count: u32,
}

impl OrderLine {
    /// Yuan for the whole line.
    pub fn amount(&self) -> Money {
        self.price.times(self.count)
    }
}

/// An order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// Whose it is.
    pub customer_id: CustomerId,
    /// Where it stands.
    pub state: OrderState,
    /// How it reaches the customer.
    pub fulfilment: Fulfilment<AddressSnapshot>,
    /// How it is paid.
    pub pay_method: PayMethod,
    /// What was ordered, in the customer's order; goods stand once.
    pub lines: Vec<OrderLine>,
    /// The sum of the lines.
    pub goods_amount: Money,
    /// What bringing it costs.
    pub freight: Money,
    /// Points spent on it.
    pub points_used: u64,
    /// What they take off the price.
    pub points_amount: Money,
    /// What the customer pays: goods and freight less points.
    pub total: Money,
    /// The customer's words to the restaurant. Data, never markup.
    pub remark: String,
    /// Until when it must be paid, while it waits for that.
    pub pay_by: Option<DateTime<Utc>>,
    /// Until when the restaurant must answer, while it waits for that.
    pub accept_by: Option<DateTime<Utc>>,
    /// When its money came in: at a gateway, or into the till.
    pub paid_at: Option<DateTime<Utc>>,
    /// The number it is called by, unique in its business day; given when it is accepted.
    pub pickup_no: Option<u32>,
    /// When the restaurant means to have it ready.
    pub promised_at: Option<DateTime<Utc>>,
    /// When the customer last asked where it is.
    pub nudged_at: Option<DateTime<Utc>>,
    /// When it was placed.
    pub placed_at: DateTime<Utc>,
}

impl Order {
    /// Whether there is cash to collect for it.
    pub fn owes_cash(&self) -> bool {
        self.pay_method == PayMethod::Cash && self.total > Money::ZERO && self.paid_at.is_none()
    }

    /// What is left to pay of each line, in their order, and of the freight, after points have taken off their part of each in
    /// proportion: together, the total.
    pub fn shares(&self) -> (Vec<Money>, Money) {
        let mut weights: Vec<Money> = self.lines.iter().map(OrderLine::amount).collect();
        weights.push(self.freight);
        let mut shares = split(self.total, &weights);
        let freight = shares.pop().unwrap_or_default();
        (shares, freight)
    }

    /// What units of lines cost that were not paid back yet, to the fen: all units of all lines together are the total less freight.
    /// Nothing when the order does not have as many, or goods stand twice.
    pub fn worth_of(&self, units: &[(GoodsId, u32)]) -> Option<Money> {
        let (shares, _) = self.shares();
        let mut worth = Money::ZERO;
        for (index, (goods, units_of)) in units.iter().enumerate() {
            if units[..index].iter().any(|(before, _)| before == goods) {
                return None;
            }
            let place = self.lines.iter().position(|line| line.goods_id == *goods)?;
            let line = &self.lines[place];
            let upto = line.refunded_count.checked_add(*units_of).filter(|upto| *upto <= line.count)?;
            let before = share(shares[place], line.refunded_count, line.count);
            worth = worth + share(shares[place], upto, line.count).minus(before)?;
        }
        Some(worth)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::domain::UnknownName;

    #[test]
    fn names_lead_back_to_their_values() {
        for state in OrderState::ALL {
            assert_eq!(state.name().parse(), Ok(*state));
        }
        for method in PayMethod::ALL {
            assert_eq!(method.name().parse(), Ok(*method));
        }
        assert_eq!("paid".parse::<OrderState>(), Err(UnknownName("paid".to_owned())));
        assert_eq!(UnknownName("paid".to_owned()).to_string(), "unknown name \"paid\"");
    }

    /// An order of lines (fen a unit, units), with freight and what points take off, both in fen.
    fn order(lines: &[(u64, u32)], freight: u64, points: u64) -> Order {
        let line = |(place, (price, count)): (usize, &(u64, u32))| OrderLine {
            goods_id: GoodsId(i64::try_from(place).expect("few lines")),
            name: LocalText::new("菜", "dish"),
            spec: LocalText::new("份", "portion"),
            price: Money::from_fen(*price),
            count: *count,
            returned_count: 0,
            refunded_count: 0,
        };
        let lines: Vec<OrderLine> = lines.iter().enumerate().map(line).collect();
        let goods_amount: Money = lines.iter().map(OrderLine::amount).sum();
        let gross = goods_amount + Money::from_fen(freight);
        let points_amount = Money::from_fen(points).min(gross);
        Order {
            id: OrderId(Uuid::nil()),
            customer_id: CustomerId(Uuid::nil()),
            state: OrderState::Completed,
            fulfilment: Fulfilment::Pickup,
            pay_method: PayMethod::Cash,
            lines,
            goods_amount,
            freight: Money::from_fen(freight),
            points_used: points,
            points_amount,
            total: gross.minus(points_amount).expect("points take off no more than there is"),
            remark: String::new(),
            pay_by: None,
            accept_by: None,
            paid_at: None,
            pickup_no: None,
            promised_at: None,
            nudged_at: None,
            placed_at: DateTime::UNIX_EPOCH,
        }
    }

    proptest! {
        /// Units paid back one after the other, in whatever portions: together they are what was paid, less the freight's share.
        #[test]
        fn refunds_by_lines_neither_create_nor_lose(
            lines in prop::collection::vec((0..100_000_u64, 1..20_u32), 1..6),
            freight in 0..5_000_u64,
            points in 0..500_000_u64,
            portions in prop::collection::vec(1..5_u32, 120),
        ) {
            let mut order = order(&lines, freight, points);
            let (shares, freight_share) = order.shares();
            prop_assert_eq!(shares.iter().copied().sum::<Money>() + freight_share, order.total);
            let mut portions = portions.into_iter();
            let mut back = Money::ZERO;
            for place in 0..order.lines.len() {
                while order.lines[place].refunded_count < order.lines[place].count {
                    let line = &order.lines[place];
                    let units = portions.next().unwrap_or(1).min(line.count - line.refunded_count);
                    back = back + order.worth_of(&[(line.goods_id, units)]).expect("the line has these units");
                    order.lines[place].refunded_count += units;
                }
                let line = &order.lines[place];
                prop_assert_eq!(order.worth_of(&[(line.goods_id, 1)]), None, "nothing is left of a line paid back");
            }
            prop_assert_eq!(back + freight_share, order.total);
        }
    }

    #[test]
    fn goods_that_stand_twice_are_worth_nothing() {
        let order = order(&[(1000, 2), (500, 1)], 0, 0);
        let (first, second) = ((GoodsId(0), 1), (GoodsId(1), 1));
        assert_eq!(order.worth_of(&[first, second]), "15".parse().ok());
        assert_eq!(order.worth_of(&[first, second, first]), None);
    }

    #[test]
    fn only_what_a_gateway_collects_waits_for_payment() {
        let some: Money = "0.01".parse().expect("an amount");
        assert_eq!(OrderState::placed(PayMethod::Sandbox, some), OrderState::PendingPayment);
        assert_eq!(OrderState::placed(PayMethod::Sandbox, Money::ZERO), OrderState::PendingAccept);
        assert_eq!(OrderState::placed(PayMethod::Cash, some), OrderState::PendingAccept);
    }
}
