//! The integration tests: the real server over HTTP, a real PostgreSQL, a database per test, the audit after each.

#![expect(clippy::unwrap_used, reason = "a test that unwraps nothing has failed")]

mod clients;
mod harness;

mod accounts;
mod addresses;
mod audit;
mod command;
mod concurrency;
mod crashes;
mod faults;
mod http;
mod lanes;
mod menu;
mod optimistic;
mod orders;
mod permissions;
mod schema;
mod settings;
mod sharding;
mod staff;
mod staff_command;
mod stock;
mod twins;
