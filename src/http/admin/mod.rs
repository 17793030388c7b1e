//! What the staff of a merchant call: `/v1/admin/merchants/{m}/…`.
//!
//! Contract: a handler's argument says what its caller must be permitted (`Staff<AcceptOrders>`), and whatever changes anything
//! goes through [`act`](super::staff::act), which leaves it in the trail.

pub(super) mod export;
pub(super) mod orders;
pub(super) mod sessions;
pub(super) mod statistics;

mod days;
