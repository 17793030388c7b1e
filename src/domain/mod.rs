//! What Rowlock decides, as plain values and pure functions.
//!
//! Invariant: nothing here reads a clock, draws a random number, or knows of SQL or HTTP. Whatever a decision needs
//! is an argument, so every rule can be tested from a table.

pub mod cart;
pub mod event;
pub mod ledger;
pub mod menu;
pub mod money;
pub mod moves;
pub mod order;
pub mod payment;
pub mod placement;
pub mod staff;
pub mod typed;

mod business_day;
mod ids;
mod local;
mod names;
mod refusal;

pub use business_day::BusinessDays;
pub use ids::{
    AccountId, AddressId, AlertId, CartId, CustomerId, GoodsId, MerchantId, OrderId, PaymentId, RefundId, StaffId,
};
pub use local::{Language, LocalText};
pub use names::{Named, UnknownName};
pub use refusal::{Refusal, Short};
