//! Ids as types, so that a customer's cannot be passed where an order's is wanted.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// A restaurant: the tenant. Every key and every statement starts with it.
    MerchantId(i64)
}
id! {
    /// What is sold and stocked: a product in one spec (SKU).
    GoodsId(i64)
}
id! {
    /// A customer of one merchant.
    CustomerId(Uuid)
}
id! {
    /// An address in a customer's book.
    AddressId(Uuid)
}
id! {
    /// An order. Version 7, so that ids follow the time of placing.
    OrderId(Uuid)
}
id! {
    /// One attempt to pay an order at a gateway. Version 7.
    PaymentId(Uuid)
}
id! {
    /// Money that goes back; its number at the gateway. Version 7, or 8 where it is made of the key it was asked for under.
    RefundId(Uuid)
}
id! {
    /// A ledger account: points, votes or tips.
    AccountId(Uuid)
}
id! {
    /// A member of a merchant's staff.
    StaffId(Uuid)
}
id! {
    /// One filling of a customer's cart, from its first line to the order it becomes.
    CartId(Uuid)
}
id! {
    /// Something a human must know of, or do. Version 7.
    AlertId(Uuid)
}
