//! Rowlock places orders: under row locks, exactly once, never more than there is.
//!
//! The modules, in the order a newcomer may want to read them.

pub mod domain;
pub mod redis_store;
pub mod store;

pub mod placement;
pub mod service;

pub mod events;
pub mod gateway;
pub mod http;
pub mod jobs;
pub mod sandbox;

pub mod clock;
pub mod config;
pub mod embedded_pg;
pub mod error;
pub mod hex;
pub mod metrics;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::Config;
use crate::events::Events;
use crate::events::webhooks::Webhooks;
use crate::gateway::{Gateways, Login};
use crate::http::auth::Tokens;
use crate::http::limits::RateLimits;
use crate::jobs::Jobs;
use crate::metrics::Metrics;
use crate::placement::{Engine, Probe};
use crate::redis_store::Redis;
use crate::sandbox::Sandbox;
use crate::service::carts::Carts;
use crate::service::leases::Leases;
use crate::service::till::Till;
use crate::store::{Store, Unavailable};

/// Everything a request needs; made once, shared by all threads.
pub struct App {
    /// The settings it was started with.
    pub config: Config,
    /// The database.
    pub store: Arc<Store>,
    /// Places orders.
    pub engine: Engine,
    /// Tells those who listen.
    pub events: Events,
    /// Tells merchants' own machines.
    pub webhooks: Webhooks,
    /// Does what has become due.
    pub jobs: Jobs,
    /// The customers' carts.
    pub carts: Carts,
    /// Keeps instances from doing the same work at the same time.
    pub leases: Arc<Leases>,
    /// Where payments are made.
    pub gateways: Arc<Gateways>,
    /// Asks gateways, and takes what they say.
    pub till: Arc<Till>,
    /// The provider of payments that comes with the service, where `gateways.sandbox` says so.
    pub sandbox: Option<Sandbox>,
    /// Vouches for customers.
    pub login: Box<dyn Login>,
    /// Signs and verifies bearer tokens.
    pub tokens: Tokens,
    /// How many requests each customer and address has left.
    pub limits: RateLimits,
    /// What time it is.
    pub clock: Clock,
    /// Counters, gauges and histograms.
    pub metrics: Arc<Metrics>,
}

/// What is told apart from the configuration, mostly by tests.
#[derive(Default)]
pub struct Parts {
    /// The clock.
    pub clock: Clock,
    /// Called at the named points of a placement.
    pub probe: Option<Probe>,
    /// Where the sandbox keeps its payments; none: in memory.
    pub sandbox_file: Option<PathBuf>,
}

impl App {
    /// Connects to the database at `url`. `secret` signs the tokens. A Redis is not needed yet.
    ///
    /// # Errors
    /// [`Unavailable`] when the database does not answer, or `redis.url` cannot be read.
    pub fn new(config: Config, url: &str, secret: &[u8], parts: Parts) -> Result<Self, Unavailable> {
        let metrics = Arc::new(Metrics::default());
        let store = Arc::new(Store::connect(url, &config.database, Arc::clone(&metrics))?);
        let clock = parts.clock.clone();
        let gateways =
            Gateways::open(&config.gateways, config.public_url(), secret, clock.clone(), Arc::clone(&metrics));
        let gateways = Arc::new(gateways.map_err(Unavailable)?);
        let start = || {
            let (file, clock) = (parts.sandbox_file.as_deref(), parts.clock.clone());
            Sandbox::start(config.public_url(), secret, config.gateways.timeout_ms, file, clock)
        };
        let sandbox = config.gateways.sandbox.then(start).transpose().map_err(Unavailable)?;
        let login = gateway::login(config.login.provider, &config.gateways, &gateways).map_err(Unavailable)?;
        let redis = match config.redis.url.is_empty() {
            true => None,
            false => Some(Arc::new(Redis::new(&config.redis, Arc::clone(&metrics))?)),
        };
        let redis_carts = redis.clone().map(|redis| redis_store::carts::Carts::new(redis, config.redis.cart_days));
        let redis_leases = redis.map(redis_store::leases::Leases::new);
        let lease = Duration::from_millis(config.gateways.lease_ms);
        let leases = Arc::new(Leases::new(Arc::clone(&store), redis_leases, lease, Arc::clone(&metrics)));
        let till = Arc::new(Till::new(
            Arc::clone(&store),
            Arc::clone(&gateways),
            Arc::clone(&leases),
            config.gateways.clone(),
            clock,
            Arc::clone(&metrics),
        ));
        Ok(Self {
            carts: Carts::new(Arc::clone(&store), redis_carts),
            engine: Engine::start(
                &config.placement,
                Arc::clone(&store),
                Arc::clone(&metrics),
                parts.clock.clone(),
                parts.probe,
            ),
            events: Events::start(&config.events, Arc::clone(&store), Arc::clone(&metrics), parts.clock.clone()),
            webhooks: Webhooks::start(&config.webhooks, Arc::clone(&store), Arc::clone(&metrics), parts.clock.clone()),
            jobs: Jobs::start(
                &config,
                Arc::clone(&store),
                Arc::clone(&till),
                Arc::clone(&leases),
                Arc::clone(&metrics),
                parts.clock.clone(),
            ),
            leases,
            till,
            gateways,
            sandbox,
            login,
            tokens: Tokens::new(secret, config.auth.token_hours),
            limits: RateLimits::new(&config.http),
            clock: parts.clock,
            config,
            store,
            metrics,
        })
    }
}
