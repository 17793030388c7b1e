//! What subscribers are told of.

use super::moves::Move;
use super::names::names;

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// An order was placed.
    OrderPlaced,
    /// An order came into another state.
    OrderMoved,
    /// The restaurant said that an order takes longer.
    OrderDelayed,
    /// A customer asked where their order is.
    OrderNudged,
    /// The cash for an order was collected.
    OrderCollected,
    /// Money of an order was given back.
    OrderRefunded,
    /// A refund came to its end.
    RefundSettled,
    /// Goods changed otherwise than by an order: price, stock, on or off the menu, sold out.
    GoodsChanged,
    /// Something needs a human.
    AlertRaised,
}

names!(EventKind {
    OrderPlaced = "order_placed",
    OrderMoved = "order_moved",
    OrderDelayed = "order_delayed",
    OrderNudged = "order_nudged",
    OrderCollected = "order_collected",
    OrderRefunded = "order_refunded",
    RefundSettled = "refund_settled",
    GoodsChanged = "goods_changed",
    AlertRaised = "alert_raised",
});

impl From<Move> for EventKind {
    fn from(made: Move) -> Self {
        match made {
            Move::Delay => Self::OrderDelayed,
            Move::Nudge => Self::OrderNudged,
            Move::Collect => Self::OrderCollected,
            Move::Refund => Self::OrderRefunded,
            Move::Pay
            | Move::Accept
            | Move::Reject
            | Move::Prepare
            | Move::Ready
            | Move::Deliver
            | Move::Complete
            | Move::Cancel
            | Move::Recall => Self::OrderMoved,
        }
    }
}
