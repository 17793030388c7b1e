//! Use cases: one function each, all of it inside the transaction of its caller, where the function does not say otherwise.

pub mod accounts;
pub mod carts;
pub mod demo;
pub mod leases;
pub mod menu;
pub mod merchants;
pub mod once;
pub mod orders;
pub mod payments;
pub mod people;
pub mod reconcile;
pub mod refunds;
pub mod settings;
pub mod sheets;
pub mod staff;
pub mod stock;
pub mod tickets;
pub mod till;

mod credits;
