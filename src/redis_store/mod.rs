//! Redis, where one is configured: the only place that names its crate.
//!
//! Contract:
//! * Nothing here is needed to start, and nothing is tried in vain for long: connecting and every command have a time-out, and after a
//!   failure all are turned away at once until one, a second later, has tried again. So a Redis that hangs holds few threads.
//! * Everything blocks: it is called where blocking is allowed, never inside a transaction, and never with a database connection in
//!   hand, which others may need while Redis is waited for.
//! * Whatever is wrong with Redis is [`Unavailable`]. A command that timed out may have taken effect.

pub mod carts;
pub mod leases;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use r2d2::{ManageConnection, NopErrorHandler, Pool};
use redis::{Client, Connection, RedisError, RedisResult};

use crate::config;
use crate::metrics::Metrics;
use crate::store::Unavailable;

/// How long nobody tries after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// The way to Redis.
pub struct Redis {
    pool: Pool<Manager>,
    /// Set after a failure: when the next one may try.
    try_after: Mutex<Option<Instant>>,
    metrics: Arc<Metrics>,
}

impl Redis {
    /// Prepares a pool. Nothing is connected yet.
    ///
    /// # Errors
    /// [`Unavailable`] when `redis.url` cannot be read.
    pub fn new(config: &config::Redis, metrics: Arc<Metrics>) -> Result<Self, Unavailable> {
        // The crate's words could repeat the password.
        let client = Client::open(config.url.expose()).map_err(|_| Unavailable("redis.url is malformed".to_owned()))?;
        let manager = Manager {
            client,
            connect_timeout: Duration::from_millis(config.connect_timeout_ms),
            command_timeout: Duration::from_millis(config.command_timeout_ms),
        };
        let pool = Pool::builder()
            .max_size(config.pool_size)
            .min_idle(Some(0))
            // Whoever waits in vain reports the reason.
            .error_handler(Box::new(NopErrorHandler))
            .connection_timeout(manager.connect_timeout)
            .build_unchecked(manager);
        Ok(Self { pool, try_after: Mutex::new(None), metrics })
    }

    /// Runs commands on a connection.
    fn run<T>(&self, work: impl FnOnce(&mut Connection) -> RedisResult<T>) -> Result<T, Unavailable> {
        self.admit()?;
        let failed = |error: String| {
            *self.try_after() = Some(Instant::now() + PAUSE);
            self.metrics.redis_failures.inc();
            Unavailable(format!("Redis: {error}"))
        };
        let mut pooled = self.pool.get().map_err(|error| failed(error.to_string()))?;
        match work(&mut pooled.conn) {
            Ok(done) => {
                *self.try_after() = None;
                Ok(done)
            }
            Err(error) => {
                // An answer that comes late must not be taken for another's.
                pooled.is_spoilt = true;
                Err(failed(error.to_string()))
            }
        }
    }

    fn try_after(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.try_after.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets everybody through while all is well; after a failure one, every now and then.
    fn admit(&self) -> Result<(), Unavailable> {
        let mut try_after = self.try_after();
        let now = Instant::now();
        match *try_after {
            Some(time) if now < time => Err(Unavailable("Redis failed a moment ago".to_owned())),
            Some(_) => {
                *try_after = Some(now + PAUSE);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// Makes connections that wait for nothing forever.
struct Manager {
    client: Client,
    connect_timeout: Duration,
    command_timeout: Duration,
}

struct Pooled {
    conn: Connection,
    is_spoilt: bool,
}

impl ManageConnection for Manager {
    type Connection = Pooled;
    type Error = RedisError;

    fn connect(&self) -> Result<Pooled, RedisError> {
        let conn = self.client.get_connection_with_timeout(self.connect_timeout)?;
        conn.set_read_timeout(Some(self.command_timeout))?;
        conn.set_write_timeout(Some(self.command_timeout))?;
        Ok(Pooled { conn, is_spoilt: false })
    }

    fn is_valid(&self, pooled: &mut Pooled) -> Result<(), RedisError> {
        let answer = redis::cmd("PING").query::<()>(&mut pooled.conn);
        pooled.is_spoilt |= answer.is_err();
        answer
    }

    fn has_broken(&self, pooled: &mut Pooled) -> bool {
        pooled.is_spoilt || !redis::ConnectionLike::is_open(&pooled.conn)
    }
}
