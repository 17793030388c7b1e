//! What the staff of a merchant call: `/v1/admin/merchants/{m}/…`.
//!
//! Contract: a handler's argument says what its caller must be permitted (`Staff<AcceptOrders>`), and whatever changes anything
//! goes through [`act`](super::staff::act), which leaves it in the trail.

pub(super) mod accounts;
pub(super) mod actions;
pub(super) mod alerts;
pub(super) mod categories;
pub(super) mod events;
pub(super) mod export;
pub(super) mod goods;
pub(super) mod import;
pub(super) mod members;
pub(super) mod menu;
pub(super) mod moves;
pub(super) mod orders;
pub(super) mod payments;
pub(super) mod sessions;
pub(super) mod settings;
pub(super) mod statistics;
pub(super) mod stock;
pub(super) mod tickets;
pub(super) mod webhooks;

mod days;
mod sheet;
mod table;
