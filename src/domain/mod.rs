//! What Rowlock decides, as plain values and pure functions.
//!
//! Invariant: nothing here reads a clock, draws a random number, or knows of SQL or HTTP. Whatever a decision needs
//! is an argument, so every rule can be tested from a table.

pub mod money;
pub mod order;
pub mod placement;

mod ids;
mod local;
mod refusal;

pub use ids::{AddressId, CustomerId, GoodsId, MerchantId, OrderId};
pub use local::{Language, LocalText};
pub use refusal::{Refusal, Short};
