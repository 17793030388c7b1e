//! Settings: `config/default.toml`, a file of the operator's, the environment; each replaces single keys of the one before.
//!
//! Contract: a [`Config`] exists only when every key is known and every value within its bounds, and no secret is shown
//! by its `Debug`.

mod sections;

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use toml::{Table, Value};

pub use self::sections::*;

const DEFAULT: &str = include_str!("../../config/default.toml");
const PREFIX: &str = "ROWLOCK_";

/// Why the settings cannot be used: one sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

/// A value that is never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

/// By hand, because serde's own error would quote the secret.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self).map_err(|_| D::Error::custom("it must be a text, in quotes"))
    }
}

impl Secret {
    /// The value, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is a value.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(value)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "\"\"" } else { "\"(hidden)\"" })
    }
}

/// All settings. Units and bounds stand in `config/default.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The listener and its limits.
    pub http: Http,
    /// Where files are kept.
    pub data: Data,
    /// The connection to PostgreSQL.
    pub database: Database,
    /// The private cluster.
    pub embedded_pg: EmbeddedPg,
    /// The connection to Redis, where there is one.
    pub redis: Redis,
    /// Tokens.
    pub auth: Auth,
    /// Who vouches for customers.
    pub login: Login,
    /// Where and how payments are made.
    pub gateways: Gateways,
    /// Limits of what customers send.
    pub orders: Orders,
    /// The engine.
    pub placement: Placement,
    /// How events reach those who listen.
    pub events: Events,
    /// Merchants' webhooks.
    pub webhooks: Webhooks,
    /// Timers.
    pub jobs: Jobs,
    /// Logging.
    pub log: Log,
}

impl Config {
    /// Reads the defaults, then `file` where one is given, then the environment.
    ///
    /// # Errors
    /// One sentence that names the key at fault.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let text = match file {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|error| ConfigError(format!("cannot read {}: {error}", path.display())))?,
            None => String::new(),
        };
        let mut environment = Vec::new();
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else { continue };
            if name.starts_with(PREFIX) || ["DATABASE_URL", "REDIS_URL"].contains(&name.as_str()) {
                let value = value.into_string().map_err(|_| ConfigError(format!("{name} is not UTF-8")))?;
                environment.push((name, value));
            }
        }
        // So that ROWLOCK_DATABASE_URL comes after DATABASE_URL, and wins where both are set; likewise for Redis.
        environment.sort();
        Self::from_parts(&text, environment)
    }

    /// As [`Config::load`], from a file's text and given variables.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_parts(
        file: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut table: Table = DEFAULT.parse().expect("the built-in defaults are valid TOML");
        let file: Table = file.parse().map_err(|error: toml::de::Error| {
            ConfigError(format!("the configuration file is not valid TOML: {}", error.message()))
        })?;
        for (section, keys) in file {
            let Value::Table(keys) = keys else {
                return Err(ConfigError(format!("unknown key {section}: keys stand in sections")));
            };
            for (key, value) in keys {
                set(&mut table, &section, &key, value)?;
            }
        }
        for (name, text) in environment {
            let (section, key) = key_of(&table, &name)?;
            let value = parse(&table[&section][&key], &text)
                .ok_or_else(|| ConfigError(format!("{name} is no {}", table[&section][&key].type_str())))?;
            set(&mut table, &section, &key, value)?;
        }
        let config: Self = serde_path_to_error::deserialize(Value::Table(table)).map_err(|error| {
            let (path, message) = (error.path().to_string(), error.into_inner().message().to_owned());
            ConfigError(format!("{path} is not valid: {message}"))
        })?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let bounds: [(&str, u64, u64, u64); 54] = [
            ("http.port", self.http.port.into(), 1, 65_535),
            ("http.workers", self.http.workers as u64, 0, 64),
            ("http.body_bytes_max", self.http.body_bytes_max as u64, 1_024, 1_048_576),
            ("http.shutdown_seconds", self.http.shutdown_seconds, 1, 300),
            ("http.silence_seconds", self.http.silence_seconds, 1, 3_600),
            ("http.connections_max", self.http.connections_max as u64, 16, 1_000_000),
            ("http.customer_requests_per_second", self.http.customer_requests_per_second.into(), 1, 100_000),
            ("http.customer_requests_burst", self.http.customer_requests_burst.into(), 1, 100_000),
            ("jobs.interval_ms", self.jobs.interval_ms, 0, 30_000),
            ("jobs.key_days", self.jobs.key_days.into(), 1, 3_650),
            ("jobs.event_days", self.jobs.event_days.into(), 1, 3_650),
            ("http.logins_per_minute", self.http.logins_per_minute.into(), 1, 1_000_000),
            ("http.staff_requests_per_second", self.http.staff_requests_per_second.into(), 1, 100_000),
            ("http.staff_logins_per_minute", self.http.staff_logins_per_minute.into(), 1, 100_000),
            ("database.pool_size", self.database.pool_size.into(), 1, 200),
            ("database.connect_timeout_ms", self.database.connect_timeout_ms, 100, 60_000),
            ("database.lock_timeout_ms", self.database.lock_timeout_ms, 10, 60_000),
            ("database.statement_timeout_ms", self.database.statement_timeout_ms, 100, 600_000),
            ("database.attempts_max", self.database.attempts_max.into(), 2, 100),
            ("redis.pool_size", self.redis.pool_size.into(), 1, 200),
            ("redis.connect_timeout_ms", self.redis.connect_timeout_ms, 10, 10_000),
            ("redis.command_timeout_ms", self.redis.command_timeout_ms, 10, 10_000),
            ("redis.cart_days", self.redis.cart_days.into(), 1, 365),
            ("auth.token_hours", self.auth.token_hours.into(), 1, 8_760),
            ("gateways.timeout_ms", self.gateways.timeout_ms, 100, 30_000),
            ("gateways.in_flight_max", self.gateways.in_flight_max as u64, 1, 1_000),
            ("gateways.check_after_ms", self.gateways.check_after_ms, 100, 3_600_000),
            ("gateways.check_max_ms", self.gateways.check_max_ms, self.gateways.check_after_ms, 86_400_000),
            ("gateways.refund_attempts_max", self.gateways.refund_attempts_max.into(), 1, 1_000),
            ("gateways.lease_ms", self.gateways.lease_ms, 0, 600_000),
            ("gateways.notice_days", self.gateways.notice_days.into(), 2, 3_650),
            ("orders.lines_max", self.orders.lines_max as u64, 1, 500),
            ("orders.count_max", self.orders.count_max.into(), 1, 9_999),
            ("orders.remark_chars_max", self.orders.remark_chars_max as u64, 0, 2_000),
            ("orders.addresses_max", self.orders.addresses_max.into(), 1, 200),
            ("placement.lanes", self.placement.lanes as u64, 1, 64),
            ("placement.merchant_lanes", self.placement.merchant_lanes as u64, 1, 64),
            ("placement.lanes_max", self.placement.lanes_max as u64, self.placement.lanes as u64, 64),
            ("placement.patience_ms", self.placement.patience_ms, 1, 10_000),
            ("placement.group_orders_max", self.placement.group_orders_max as u64, 1, 256),
            ("placement.queue_orders_max", self.placement.queue_orders_max as u64, 1, 100_000),
            ("placement.queue_merchant_orders_max", self.placement.queue_merchant_orders_max as u64, 1, 100_000),
            ("placement.answer_timeout_ms", self.placement.answer_timeout_ms, 100, 600_000),
            ("events.notify_ms", self.events.notify_ms, 1, 10_000),
            ("events.poll_ms", self.events.poll_ms, 100, 60_000),
            ("events.keep_alive_ms", self.events.keep_alive_ms, 50, 60_000),
            ("events.patience_ms", self.events.patience_ms, 100, 60_000),
            ("events.streams_max", self.events.streams_max as u64, 1, 100_000),
            ("events.merchant_streams_max", self.events.merchant_streams_max as u64, 1, 10_000),
            ("webhooks.interval_ms", self.webhooks.interval_ms, 0, 60_000),
            ("webhooks.timeout_ms", self.webhooks.timeout_ms, 100, 30_000),
            ("webhooks.attempts_max", self.webhooks.attempts_max.into(), 1, 100),
            ("webhooks.first_wait_ms", self.webhooks.first_wait_ms, 100, 3_600_000),
            ("webhooks.wait_max_ms", self.webhooks.wait_max_ms, self.webhooks.first_wait_ms, 86_400_000),
        ];
        for (key, value, least, most) in bounds {
            if !(least..=most).contains(&value) {
                return Err(ConfigError(format!("{key} is {value}; it must be from {least} to {most}")));
            }
        }
        if self.data.dir.as_os_str().is_empty() {
            return Err(ConfigError("data.dir is empty".to_owned()));
        }
        if env_filter::Builder::new().try_parse(&self.log.filter).is_err() {
            return Err(ConfigError("log.filter is not a list of levels such as \"info,rowlock=debug\"".to_owned()));
        }
        let secret = &self.auth.token_secret;
        if !secret.is_empty() && secret.expose().len() < 32 {
            return Err(ConfigError("auth.token_secret has fewer than 32 bytes".to_owned()));
        }
        let url = self.database.url.expose();
        if !url.is_empty() && !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(ConfigError("database.url does not start with postgres://".to_owned()));
        }
        let url = self.redis.url.expose();
        if !url.is_empty() && !["redis://", "redis+unix://"].into_iter().any(|scheme| url.starts_with(scheme)) {
            return Err(ConfigError("redis.url does not start with redis:// or redis+unix://".to_owned()));
        }
        let url = &self.gateways.public_url;
        if !url.is_empty() && (!["http://", "https://"].into_iter().any(|it| url.starts_with(it)) || url.ends_with('/'))
        {
            let sentence = "gateways.public_url is not http:// or https://, a name, and no slash at the end";
            return Err(ConfigError(sentence.to_owned()));
        }
        let answers_ms = [self.placement.answer_timeout_ms, self.events.keep_alive_ms];
        if answers_ms.into_iter().any(|answer_ms| answer_ms >= self.http.silence_seconds * 500) {
            let sentence =
                "http.silence_seconds must be more than twice placement.answer_timeout_ms and events.keep_alive_ms";
            return Err(ConfigError(sentence.to_owned()));
        }
        if self.database.lock_timeout_ms >= self.database.statement_timeout_ms {
            return Err(ConfigError("database.lock_timeout_ms must be below database.statement_timeout_ms".to_owned()));
        }
        // With prices up to 1,000,000 yuan, no order may come near the largest amount there is.
        if self.orders.lines_max * self.orders.count_max as usize > 900_000 {
            return Err(ConfigError("orders.lines_max times orders.count_max is above 900000".to_owned()));
        }
        Ok(())
    }

    /// Where customers and gateways reach this service.
    pub fn public_url(&self) -> String {
        match self.gateways.public_url.as_str() {
            "" => format!("http://{}", SocketAddr::new(self.http.bind, self.http.port)),
            url => url.to_owned(),
        }
    }

    /// The secret that tokens are signed with, where the operator gives one: with a database of their own they must.
    ///
    /// # Errors
    /// What to set.
    pub fn token_secret(&self) -> Result<Option<&[u8]>, ConfigError> {
        match self.auth.token_secret.expose() {
            "" if self.database.url.is_empty() => Ok(None),
            "" => Err(ConfigError(
                "with a database.url, auth.token_secret is required: \
                 set ROWLOCK_AUTH_TOKEN_SECRET to at least 32 random bytes (openssl rand -hex 32)"
                    .to_owned(),
            )),
            secret => Ok(Some(secret.as_bytes())),
        }
    }
}

fn set(table: &mut Table, section: &str, key: &str, value: Value) -> Result<(), ConfigError> {
    let slot = table.get_mut(section).and_then(|keys| keys.get_mut(key));
    match slot {
        Some(slot) => {
            *slot = value;
            Ok(())
        }
        None => Err(ConfigError(format!("unknown key {section}.{key}"))),
    }
}

/// Section and key that a variable stands for.
fn key_of(table: &Table, name: &str) -> Result<(String, String), ConfigError> {
    if name == "DATABASE_URL" {
        return Ok(("database".to_owned(), "url".to_owned()));
    }
    if name == "REDIS_URL" {
        return Ok(("redis".to_owned(), "url".to_owned()));
    }
    for (section, keys) in table {
        for key in keys.as_table().into_iter().flat_map(Table::keys) {
            if name == format!("{PREFIX}{section}_{key}").to_uppercase() {
                return Ok((section.clone(), key.clone()));
            }
        }
    }
    Err(ConfigError(format!("unknown variable {name}: variables are named ROWLOCK_<SECTION>_<KEY>")))
}

/// Reads a variable's text as the kind of value that the default has.
fn parse(default: &Value, text: &str) -> Option<Value> {
    match default {
        Value::Integer(_) => text.parse().ok().map(Value::Integer),
        Value::Boolean(_) => text.parse().ok().map(Value::Boolean),
        Value::Array(_) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Some(Value::Array(items.map(|item| Value::String(item.to_owned())).collect()))
        }
        _ => Some(Value::String(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::from_parts(file, environment).map_err(|error| error.to_string())
    }

    #[test]
    fn the_shipped_files_are_valid() {
        let config = load("", &[]).expect("the defaults");
        assert_eq!(config.http.port, 8080);
        let file = include_str!("../../config/production.toml");
        let secret = ("ROWLOCK_AUTH_TOKEN_SECRET", "0123456789abcdef0123456789abcdef");
        let config = load(file, &[("DATABASE_URL", "postgres://db/rowlock"), secret]).expect("production");
        assert!(!config.database.migrate_at_start);
        assert!(config.login.provider != LoginProvider::Sandbox && !config.gateways.sandbox, "nobody is anybody");
    }

    #[test]
    fn the_environment_overrides_the_file_overrides_the_defaults() {
        let config = load("[http]\nport = 1\nworkers = 3", &[("ROWLOCK_HTTP_PORT", "9000")]).expect("valid");
        assert_eq!((config.http.port, config.http.workers), (9000, 3));
        let config = load("", &[("ROWLOCK_DATABASE_MIGRATE_AT_START", "false")]).expect("valid");
        assert!(!config.database.migrate_at_start);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (file, environment, sentence) in [
            ("[http]\nprot = 1", None, "unknown key http.prot"),
            ("[htpp]\nport = 1", None, "unknown key htpp.port"),
            ("port = 1", None, "unknown key port: keys stand in sections"),
            ("[http]\nport = 0", None, "http.port is 0; it must be from 1 to 65535"),
            ("[http]\nworkers = 65", None, "http.workers is 65; it must be from 0 to 64"),
            ("[http]\nport = \"x\"", None, "http.port is not valid: invalid type: string \"x\", expected u16"),
            (
                "[login]\nprovider = \"none\"",
                None,
                "login.provider is not valid: unknown variant `none`, expected `sandbox` or `wechat`",
            ),
            (
                "",
                Some(("ROWLOCK_HTTP_PROT", "1")),
                "unknown variable ROWLOCK_HTTP_PROT: variables are named ROWLOCK_<SECTION>_<KEY>",
            ),
            ("", Some(("ROWLOCK_HTTP_PORT", "many")), "ROWLOCK_HTTP_PORT is no integer"),
            ("", Some(("DATABASE_URL", "nonsense")), "database.url does not start with postgres://"),
            ("", Some(("REDIS_URL", "rediss://cache")), "redis.url does not start with redis:// or redis+unix://"),
            (
                "[database]\nlock_timeout_ms = 10000",
                None,
                "database.lock_timeout_ms must be below database.statement_timeout_ms",
            ),
            (
                "[orders]\nlines_max = 500\ncount_max = 9999",
                None,
                "orders.lines_max times orders.count_max is above 900000",
            ),
            ("[auth]\ntoken_secret = 1234567890", None, "auth.token_secret is not valid: it must be a text, in quotes"),
            ("", Some(("ROWLOCK_AUTH_TOKEN_SECRET", "short")), "auth.token_secret has fewer than 32 bytes"),
            (
                "[log]\nfilter = \"rowlock=loud\"",
                None,
                "log.filter is not a list of levels such as \"info,rowlock=debug\"",
            ),
        ] {
            assert_eq!(load(file, environment.as_slice()).expect_err(sentence), sentence);
        }
        let config = load("", &[("DATABASE_URL", "postgres://db/x")]).expect("valid for other commands");
        let sentence = config.token_secret().expect_err("no secret").to_string();
        assert!(sentence.starts_with("with a database.url, auth.token_secret is required"), "{sentence}");
    }

    #[test]
    fn secrets_are_not_shown() {
        let secret = "0123456789abcdef0123456789abcdef";
        let url = "postgres://rowlock:hunter2@db/rowlock";
        let redis = ("REDIS_URL", "redis://:hunter3@cache");
        let config = load("", &[("DATABASE_URL", url), ("ROWLOCK_AUTH_TOKEN_SECRET", secret), redis]).expect("valid");
        let shown = format!("{config:#?}");
        assert!(!["hunter2", "hunter3", secret].into_iter().any(|word| shown.contains(word)), "{shown}");
    }
}
