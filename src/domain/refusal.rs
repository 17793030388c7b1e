//! Why an order is not placed, although its request is well-formed.

use chrono::NaiveTime;
use serde::Serialize;

use super::money::Money;
use super::order::{FulfilmentKind, PayMethod};
use super::{GoodsId, OrderId};

/// A line that asks for more than there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Short {
    /// The goods that ran short.
    pub goods_id: GoodsId,
    /// Units asked for, over all lines of the order.
    pub wanted: u32,
    /// Units left.
    pub left: u32,
}

/// A decision against an order. Nothing was written; the same request may succeed later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The merchant takes no orders at the moment.
    ShopPaused,
    /// It is outside the merchant's hours, given in its own time zone.
    ShopClosed {
        /// When the shop opens.
        opens_at: NaiveTime,
        /// When the shop closes.
        closes_at: NaiveTime,
    },
    /// The merchant's orders do not reach customers that way.
    FulfilmentNotOffered(FulfilmentKind),
    /// The merchant's orders cannot be paid that way.
    PayMethodNotOffered(PayMethod),
    /// The customer's book has no such address.
    UnknownAddress,
    /// This merchant has no such goods. In ascending order.
    UnknownGoods(Vec<GoodsId>),
    /// Goods the merchant has taken off the menu. In ascending order.
    NotOnSale(Vec<GoodsId>),
    /// Too few left. Every short line, in ascending order of goods.
    OutOfStock(Vec<Short>),
    /// The goods of a delivery cost less than the merchant's minimum.
    BelowMinimum {
        /// The least the goods must cost.
        minimum: Money,
        /// What they cost.
        goods_amount: Money,
    },
    /// The cart it is to be placed from was placed before.
    CartPlaced {
        /// The order it has become.
        order_id: OrderId,
    },
    /// The merchant takes no points.
    PointsNotTaken,
    /// The customer has fewer points than are to be spent.
    TooFewPoints {
        /// To be spent.
        points: u64,
        /// What there is.
        balance: u64,
    },
    /// More points are to be spent than the order costs.
    TooManyPoints {
        /// To be spent.
        points: u64,
        /// The most that can be.
        points_max: u64,
    },
    /// The order costs something else than the customer was shown.
    PriceChanged {
        /// What the customer expected to pay.
        expected: Money,
        /// What the order costs.
        total: Money,
    },
}
