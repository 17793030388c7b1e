//! The sections of the settings, a struct each.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::Secret;

/// `[http]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents each key with its unit and bounds")]
pub struct Http {
    pub bind: IpAddr,
    pub port: u16,
    pub workers: usize,
    pub body_bytes_max: usize,
    pub shutdown_seconds: u64,
    pub silence_seconds: u64,
    pub connections_max: usize,
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    pub customer_requests_per_second: u32,
    pub customer_requests_burst: u32,
    pub logins_per_minute: u32,
    pub staff_requests_per_second: u32,
    pub staff_logins_per_minute: u32,
}

/// Networks, or single addresses.
fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let network = |text: String| {
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map_err(|_| D::Error::custom(format!("{text} is neither an address nor a network such as 10.0.0.0/8")))
    };
    Vec::<String>::deserialize(deserializer)?.into_iter().map(network).collect()
}

/// `[data]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents each key with its unit and bounds")]
pub struct Data {
    pub dir: PathBuf,
}

/// `[database]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents each key with its unit and bounds")]
pub struct Database {
    pub url: Secret,
    pub pool_size: u32,
    pub connect_timeout_ms: u64,
    pub lock_timeout_ms: u64,
    pub statement_timeout_ms: u64,
    pub attempts_max: u32,
    pub migrate_at_start: bool,
}

/// `[embedded_pg]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents each key with its unit and bounds")]
pub struct EmbeddedPg {
    pub bin_dir: PathBuf,
    pub user: String,
}

/// `[redis]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents each key with its unit and bounds")]
pub struct Redis {
    pub url: Secret,
    pub pool_size: u32,
    pub connect_timeout_ms: u64,
    pub command_timeout_ms: u64,
    pub cart_days: u32,
}

/// `[auth]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents each key with its unit and bounds")]
pub struct Auth {
    pub token_secret: Secret,
    pub token_hours: u32,
}

/// `[login]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents each key with its unit and bounds")]
pub struct Login {
    pub provider: LoginProvider,
}

/// Who vouches for customers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginProvider {
    /// Takes every code for a customer of that name.
    Sandbox,
    /// WeChat, with the merchants' mini-programs in `gateways.file`.
    Wechat,
}

/// `[gateways]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents each key with its unit and bounds")]
pub struct Gateways {
    pub file: PathBuf,
    pub public_url: String,
    pub sandbox: bool,
    pub timeout_ms: u64,
    pub in_flight_max: usize,
    pub check_after_ms: u64,
    pub check_max_ms: u64,
    pub refund_attempts_max: u32,
    pub lease_ms: u64,
    pub notice_days: u32,
}

/// `[orders]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents each key with its unit and bounds")]
pub struct Orders {
    pub lines_max: usize,
    pub count_max: u32,
    pub remark_chars_max: usize,
    pub addresses_max: u32,
}

/// `[placement]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents each key with its unit and bounds")]
pub struct Placement {
    pub locking: Locking,
    pub lanes: usize,
    pub merchant_lanes: usize,
    pub lanes_max: usize,
    pub patience_ms: u64,
    pub group_orders_max: usize,
    pub queue_orders_max: usize,
    pub queue_merchant_orders_max: usize,
    pub answer_timeout_ms: u64,
}

/// How a placement keeps others from its goods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Locking {
    /// By `SELECT … FOR UPDATE`, until the commit.
    Pessimistic,
    /// Not at all: it takes only from rows that are as they were read, and starts again when they are not.
    Optimistic,
}

/// `[events]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents each key with its unit and bounds")]
pub struct Events {
    pub notify_ms: u64,
    pub poll_ms: u64,
    pub keep_alive_ms: u64,
    pub patience_ms: u64,
    pub streams_max: usize,
    pub merchant_streams_max: usize,
}

/// `[webhooks]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents each key with its unit and bounds")]
pub struct Webhooks {
    pub interval_ms: u64,
    pub allow_private: bool,
    pub timeout_ms: u64,
    pub attempts_max: u32,
    pub first_wait_ms: u64,
    pub wait_max_ms: u64,
}

/// `[jobs]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents each key with its unit and bounds")]
pub struct Jobs {
    pub interval_ms: u64,
    pub key_days: u32,
    pub event_days: u32,
}

/// `[log]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents each key with its unit and bounds")]
pub struct Log {
    pub filter: String,
}
