//! What keeps leases, and instances that take them.

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use diesel::connection::SimpleConnection;
use rowlock::config::Config;
use rowlock::domain::MerchantId;
use rowlock::error::Error;
use rowlock::metrics::{CodeLabels, Metrics};
use rowlock::redis_store::{self, Redis};
use rowlock::service::leases::{Attempt, Lease, LeaseName, Leases, Owner};
use rowlock::store::{self, Store};

use crate::harness::{TestDatabase, words};
use crate::redis_server::TestRedis;

pub(crate) const SHOP: MerchantId = MerchantId(1);
/// Longer than any test.
pub(crate) const LONG: Duration = Duration::from_secs(60);
/// Longer than a busy machine keeps a thread waiting, so that a watchdog renews in time.
pub(crate) const SHORT: Duration = Duration::from_millis(1_200);

/// Where leases are kept.
#[derive(Clone, Copy)]
pub(crate) enum Kept {
    InPostgres,
    InRedis,
}

impl Kept {
    pub(crate) fn start(self) -> Keeper {
        let redis = match self {
            Self::InPostgres => None,
            Self::InRedis => Some(TestRedis::start()),
        };
        Keeper { database: TestDatabase::clone_of("template"), redis }
    }
}

/// What keeps the leases of a test.
pub(crate) struct Keeper {
    pub(crate) database: TestDatabase,
    pub(crate) redis: Option<TestRedis>,
}

/// What one instance of the service has, without the watchdog.
pub(crate) struct Instance {
    pub(crate) store: Arc<Store>,
    pub(crate) redis: Option<redis_store::leases::Leases>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Instance {
    pub(crate) fn new(database: &str, redis: Option<&str>, command_timeout_ms: u32) -> Self {
        let timeout = command_timeout_ms.to_string();
        let variables = [("REDIS_URL", redis.unwrap_or_default()), ("ROWLOCK_REDIS_COMMAND_TIMEOUT_MS", &timeout)];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = Config::from_parts("", variables).unwrap();
        let metrics = Arc::new(Metrics::default());
        let open = || Arc::new(Redis::new(&config.redis, Arc::clone(&metrics)).unwrap());
        Self {
            store: Arc::new(Store::connect(database, &config.database, Arc::clone(&metrics)).unwrap()),
            redis: redis.map(|_| redis_store::leases::Leases::new(open())),
            metrics,
        }
    }

    pub(crate) fn leases(self, ttl: Duration) -> Leases {
        Leases::new(self.store, self.redis, ttl, self.metrics)
    }

    pub(crate) fn acquire(&self, work: &str, token: &str, ttl: Duration) -> Option<i64> {
        let delta = TimeDelta::from_std(ttl).unwrap();
        match &self.redis {
            Some(redis) => redis.acquire(SHOP, work, token, ttl).unwrap(),
            None => {
                self.store.write(SHOP, |tx| Ok::<_, Error>(store::leases::acquire(tx, work, token, delta)?)).unwrap()
            }
        }
    }

    pub(crate) fn renew(&self, work: &str, token: &str) -> bool {
        let delta = TimeDelta::from_std(LONG).unwrap();
        match &self.redis {
            Some(redis) => redis.renew(SHOP, work, token, LONG).unwrap(),
            None => self.store.write(SHOP, |tx| Ok::<_, Error>(store::leases::renew(tx, work, token, delta)?)).unwrap(),
        }
    }

    pub(crate) fn release(&self, work: &str, token: &str) -> bool {
        match &self.redis {
            Some(redis) => redis.release(SHOP, work, token).unwrap(),
            None => self.store.write(SHOP, |tx| Ok::<_, Error>(store::leases::release(tx, work, token)?)).unwrap(),
        }
    }
}

impl Keeper {
    /// One that waits for its keeper longer than a busy machine takes.
    pub(crate) fn instance(&self) -> Instance {
        self.patient(5_000)
    }

    pub(crate) fn patient(&self, command_timeout_ms: u32) -> Instance {
        let redis = self.redis.as_ref().map(TestRedis::url);
        Instance::new(&self.database.url, redis.as_deref(), command_timeout_ms)
    }

    pub(crate) fn leases(&self, ttl: Duration) -> Leases {
        self.instance().leases(ttl)
    }

    /// A lease that nobody renews.
    pub(crate) fn unwatched(&self, work: &str, ttl: Duration) -> Lease {
        acquired(self.leases(ttl).try_acquire(&of(work), Owner::new()))
    }

    pub(crate) fn redis(&self) -> &TestRedis {
        self.redis.as_ref().unwrap()
    }

    /// The present holder's token.
    pub(crate) fn token(&self, work: &str) -> Option<String> {
        match &self.redis {
            Some(redis) => redis::cmd("GET").arg(format!("rowlock:lease:1:{work}")).query(&mut redis.conn()).unwrap(),
            None => {
                let sql = format!(
                    "SELECT token AS value FROM leases WHERE name = '{work}' AND expires_at > clock_timestamp()"
                );
                words(&mut self.database.conn(), &sql).pop()
            }
        }
    }

    /// Forgets everything.
    pub(crate) fn wipe(&self) {
        match &self.redis {
            Some(redis) => redis::cmd("FLUSHALL").exec(&mut redis.conn()).unwrap(),
            None => self.database.conn().batch_execute("DELETE FROM leases").unwrap(),
        }
    }
}

pub(crate) fn of(work: &str) -> LeaseName {
    LeaseName::new(SHOP, work)
}

#[track_caller]
pub(crate) fn acquired(attempt: Attempt) -> Lease {
    match attempt {
        Attempt::Acquired(lease) => lease,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn is_held_by_another(leases: &Leases, work: &str) -> bool {
    matches!(leases.try_acquire(&of(work), Owner::new()), Attempt::Held)
}

pub(crate) fn counted(metrics: &Metrics, code: &'static str) -> u64 {
    metrics.leases.get_or_create(&CodeLabels { code }).get()
}

pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
        sleep(Duration::from_millis(2));
    }
}
