//! The integration tests: the real server over HTTP, a real PostgreSQL, a database per test, the audit after each.

#![expect(clippy::unwrap_used, reason = "a test that unwraps nothing has failed")]

mod alipay_server;
mod clients;
mod harness;
mod lease_keepers;
mod providers;
mod redis_server;
mod streams;
mod two_tills;
mod wechat_mock;

mod accounts;
mod addresses;
mod alipay;
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
mod lease_faults;
mod leases;
mod menu;
mod money;
mod moves;
mod notices;
mod optimistic;
mod orders;
mod panel;
mod payments;
mod permissions;
mod promises;
mod races;
mod reconcile;
mod redis_faults;
mod sandbox;
mod sandbox_notices;
mod schema;
mod settings;
mod sharding;
mod sheets;
mod staff;
mod staff_command;
mod stock;
mod tickets;
mod timers;
mod twins;
mod webhooks;
mod wechat;
mod wechat_keys;
mod wechat_login;
