//! The integration tests: the real server over HTTP, a real PostgreSQL, a database per test, the audit after each.

#![expect(clippy::unwrap_used, reason = "a test that unwraps nothing has failed")]

mod clients;
mod harness;
mod redis_server;
mod streams;

mod accounts;
mod addresses;
mod audit;
mod board;
mod cart;
mod command;
mod concurrency;
mod crashes;
mod events;
mod faults;
mod http;
mod lanes;
mod menu;
mod money;
mod moves;
mod optimistic;
mod orders;
mod permissions;
mod reconcile;
mod redis_faults;
mod schema;
mod settings;
mod sharding;
mod staff;
mod staff_command;
mod stock;
mod timers;
mod twins;
mod webhooks;
