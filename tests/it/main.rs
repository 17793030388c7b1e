//! The integration tests: the real server over HTTP, a real PostgreSQL, a database per test, the audit after each.

#![expect(clippy::unwrap_used, reason = "a test that unwraps nothing has failed")]

mod clients;
mod harness;
mod redis_server;

mod addresses;
mod audit;
mod board;
mod cart;
mod command;
mod concurrency;
mod crashes;
mod faults;
mod http;
mod lanes;
mod optimistic;
mod orders;
mod redis_faults;
mod schema;
mod sharding;
mod twins;
