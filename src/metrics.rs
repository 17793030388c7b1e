//! Every counter, gauge and histogram of the service, in the form Prometheus scrapes.
//!
//! Names follow Prometheus: `rowlock_` first, the unit last, `_total` behind what only grows. Times are seconds, sizes bytes. What
//! stands in the database is not known here: [`crate::jobs`] measures it, every ten seconds at most, each instance for itself, so that one that is
//! cut off shows by [`Metrics::measured`] growing old.

mod process;

use std::fmt::Write as _;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use chrono::{DateTime, Utc};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// One answered HTTP request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The HTTP method.
    pub method: &'static str,
    /// The route's pattern, so that ids do not become labels.
    pub route: String,
    /// The status answered.
    pub status: u16,
}

/// A named reason: a refusal's code, a retry's cause.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CodeLabels {
    /// The reason.
    pub code: &'static str,
}

/// A kind of work that is done in its time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct WorkLabels {
    /// The work.
    pub work: &'static str,
}

/// Which build of the service it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BuildLabels {
    /// Its version.
    pub version: &'static str,
}

/// One call to a provider of payments or logins.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct GatewayLabels {
    /// The provider.
    pub gateway: &'static str,
    /// What became of it: `ok`, `refused`, `failed`, `unsent`, `busy`, `unclear`; of a notice, what was done with it.
    pub outcome: &'static str,
}

/// What is counted from the start, not from the first time on: a counter that appears with its first event has not grown, for
/// Prometheus, and nobody is told of it.
const PROBLEMS_FROM_ZERO: [&str; 7] = [
    "internal",
    "unavailable",
    "outcome_unknown",
    "queue_full",
    "gateway_unavailable",
    "login_unavailable",
    "login_refused",
];
const RETRIES_FROM_ZERO: [&str; 5] = ["deadlock", "serialization", "lock_timeout", "connection_lost", "stale_plan"];

/// The metrics, each under its field's name.
pub struct Metrics {
    registry: Registry,
    /// Requests answered, by method, route and status.
    pub http_requests: Family<RequestLabels, Counter>,
    /// Seconds from a request's head to its answer.
    pub http_seconds: Histogram,
    /// Requests answered with a problem, by its code.
    pub http_problems: Family<CodeLabels, Counter>,
    /// Orders placed.
    pub orders_placed: Counter,
    /// Placements answered with an order that stood already.
    pub orders_repeated: Counter,
    /// Placements refused, by code.
    pub orders_refused: Family<CodeLabels, Counter>,
    /// Orders that wait for a lane.
    pub queue_orders: Gauge,
    /// Seconds from an order's arrival until a lane takes it.
    pub queue_wait_seconds: Histogram,
    /// Requests in one committed group, refused and repeated ones included.
    pub group_orders: Histogram,
    /// Groups whose bulk write failed, so that their orders were written one by one.
    pub group_fallbacks: Counter,
    /// Seconds from the begin of a group's transaction to its commit, retries included.
    pub group_seconds: Histogram,
    /// Seconds the commits of groups took. One that placed nothing has none.
    pub commit_seconds: Histogram,
    /// Groups that ended in a panic.
    pub lane_panics: Counter,
    /// Orders that a deadline has moved.
    pub orders_timed_out: Counter,
    /// What a timer could not do, by job.
    pub job_failures: Family<CodeLabels, Counter>,
    /// Transactions run again from the start, by cause.
    pub transaction_retries: Family<CodeLabels, Counter>,
    /// Events that were given their number.
    pub events_published: Counter,
    /// Streams of events that are open.
    pub event_streams: Gauge,
    /// Streams of events that were ended because nobody read them.
    pub event_streams_dropped: Counter,
    /// Attempts at a webhook, by what became of them: `delivered`, `failed`, `parked`.
    pub webhook_attempts: Family<CodeLabels, Counter>,
    /// Calls to gateways, by what became of them.
    pub gateway_requests: Family<GatewayLabels, Counter>,
    /// Seconds until a gateway answered, or was given up.
    pub gateway_seconds: Histogram,
    /// Notices that came in from gateways, by what became of them.
    pub notices: Family<GatewayLabels, Counter>,
    /// Attempts at leases, by what became of them: `acquired`, `held`, `unavailable`; and those `lost` before their work was done.
    pub leases: Family<CodeLabels, Counter>,
    /// Commands that Redis did not answer, or not well.
    pub redis_failures: Counter,
    /// Seconds somebody waited for a connection of the pool.
    pub pool_wait_seconds: Histogram,
    /// Waits for a connection that were in vain: all were in use, or the database did not answer.
    pub pool_timeouts: Counter,
    /// Notices of money for payments that nobody knows, as last measured.
    pub notices_kept: Gauge,
    /// Alerts that nobody has resolved, by kind, as last measured.
    pub alerts_open: Family<CodeLabels, Gauge>,
    /// Seconds for which the oldest thing that is due has waited, by the work it is due for, as last measured.
    pub lag_seconds: Family<WorkLabels, Seconds>,
    /// Seconds by which the database's clock is ahead of this machine's, as last measured.
    pub clock_skew_seconds: Seconds,
    /// When the database was last measured, in seconds since 1970; 0 before the first time.
    pub measured_timestamp_seconds: Seconds,
}

/// A gauge with a fraction.
type Seconds = Gauge<f64, AtomicU64>;

impl Default for Metrics {
    fn default() -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.000_25, 2.0, 16));
        let metrics = Self {
            registry: Registry::default(),
            http_requests: Family::default(),
            http_seconds: seconds(),
            http_problems: Family::default(),
            orders_placed: Counter::default(),
            orders_repeated: Counter::default(),
            orders_refused: Family::default(),
            queue_orders: Gauge::default(),
            queue_wait_seconds: seconds(),
            group_orders: Histogram::new(exponential_buckets(1.0, 2.0, 9)),
            group_fallbacks: Counter::default(),
            group_seconds: seconds(),
            commit_seconds: seconds(),
            lane_panics: Counter::default(),
            orders_timed_out: Counter::default(),
            job_failures: Family::default(),
            transaction_retries: Family::default(),
            events_published: Counter::default(),
            event_streams: Gauge::default(),
            event_streams_dropped: Counter::default(),
            webhook_attempts: Family::default(),
            gateway_requests: Family::default(),
            gateway_seconds: seconds(),
            notices: Family::default(),
            leases: Family::default(),
            redis_failures: Counter::default(),
            pool_wait_seconds: seconds(),
            pool_timeouts: Counter::default(),
            notices_kept: Gauge::default(),
            alerts_open: Family::default(),
            lag_seconds: Family::default(),
            clock_skew_seconds: Seconds::default(),
            measured_timestamp_seconds: Seconds::default(),
        };
        for (family, codes) in [
            (&metrics.http_problems, &PROBLEMS_FROM_ZERO[..]),
            (&metrics.transaction_retries, &RETRIES_FROM_ZERO),
            (&metrics.webhook_attempts, &["delivered", "failed", "parked"]),
        ] {
            codes.iter().for_each(|code| drop(family.get_or_create(&CodeLabels { code })));
        }
        metrics.registered()
    }
}

impl Metrics {
    fn registered(mut self) -> Self {
        process::register(&mut self.registry);
        let r = self.registry.sub_registry_with_prefix("rowlock");
        let build = Family::<BuildLabels, Gauge>::default();
        build.get_or_create(&BuildLabels { version: env!("CARGO_PKG_VERSION") }).set(1);
        r.register("build_info", "1, for the version that runs", build);
        r.register("http_requests", "Requests answered", self.http_requests.clone());
        r.register_with_unit("http", "Time to answer a request", Unit::Seconds, self.http_seconds.clone());
        r.register("http_problems", "Requests answered with a problem, by code", self.http_problems.clone());
        r.register("orders_placed", "Orders placed", self.orders_placed.clone());
        r.register("orders_repeated", "Placements answered with a standing order", self.orders_repeated.clone());
        r.register("orders_refused", "Placements refused, by code", self.orders_refused.clone());
        r.register("queue_orders", "Orders that wait for a lane", self.queue_orders.clone());
        r.register_with_unit(
            "queue_wait",
            "Time until a lane takes an order",
            Unit::Seconds,
            self.queue_wait_seconds.clone(),
        );
        r.register("group_orders", "Requests in one group", self.group_orders.clone());
        r.register("group_fallbacks", "Groups written order by order", self.group_fallbacks.clone());
        r.register_with_unit("group", "Time to commit a group", Unit::Seconds, self.group_seconds.clone());
        r.register_with_unit("commit", "Time of a group's commit alone", Unit::Seconds, self.commit_seconds.clone());
        r.register("lane_panics", "Groups that ended in a panic", self.lane_panics.clone());
        r.register("orders_timed_out", "Orders that a deadline has moved", self.orders_timed_out.clone());
        r.register("job_failures", "What a timer could not do, by job", self.job_failures.clone());
        r.register("transaction_retries", "Transactions run again, by cause", self.transaction_retries.clone());
        r.register("events_published", "Events given their number", self.events_published.clone());
        r.register("event_streams", "Open streams of events", self.event_streams.clone());
        r.register("event_streams_dropped", "Streams nobody read", self.event_streams_dropped.clone());
        r.register("webhook_attempts", "Attempts at a webhook, by outcome", self.webhook_attempts.clone());
        r.register("gateway_requests", "Calls to gateways, by outcome", self.gateway_requests.clone());
        r.register_with_unit("gateway", "Time of a call to a gateway", Unit::Seconds, self.gateway_seconds.clone());
        r.register("notices", "Notices of gateways, by outcome", self.notices.clone());
        r.register("leases", "Attempts at leases, by outcome, and leases lost", self.leases.clone());
        r.register("redis_failures", "Commands that Redis failed", self.redis_failures.clone());
        let unit = || Unit::Seconds;
        r.register_with_unit("pool_wait", "Time to get a connection", unit(), self.pool_wait_seconds.clone());
        r.register("pool_timeouts", "Waits for a connection that were in vain", self.pool_timeouts.clone());
        r.register("notices_kept", "Money for payments nobody knows", self.notices_kept.clone());
        r.register("alerts_open", "Alerts that nobody has resolved, by kind", self.alerts_open.clone());
        r.register_with_unit("lag", "How long the oldest that is due has waited", unit(), self.lag_seconds.clone());
        let ahead = "How far the database's clock is ahead";
        r.register_with_unit("clock_skew", ahead, unit(), self.clock_skew_seconds.clone());
        let last = "When the database was last measured";
        r.register_with_unit("measured_timestamp", last, unit(), self.measured_timestamp_seconds.clone());
        self
    }

    /// The text a scrape is answered with (OpenMetrics 1.0).
    pub fn render(&self) -> String {
        let mut text = String::new();
        if let Err(error) = encode(&mut text, &self.registry) {
            // Only the writer can fail, and a String does not.
            let _ = write!(text, "# {error}");
        }
        text
    }

    /// Notes how long somebody waited for a connection of the pool.
    pub fn waited_for_connection(&self, took: Duration) {
        self.pool_wait_seconds.observe(took.as_secs_f64());
    }

    /// Notes for how long the oldest thing that is due for `work` has waited.
    pub fn lags(&self, work: &'static str, millis: i64) {
        self.lag_seconds.get_or_create(&WorkLabels { work }).set(millis as f64 / 1e3);
    }

    /// Notes that the database has been measured, and by how much its clock is ahead of this machine's.
    pub fn measured(&self, now: DateTime<Utc>, skew_us: i64) {
        self.clock_skew_seconds.set(skew_us as f64 / 1e6);
        self.measured_timestamp_seconds.set(now.timestamp_millis() as f64 / 1e3);
    }

    /// Counts one answered request.
    pub fn request(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        let labels = RequestLabels { method, route: route.to_owned(), status };
        self.http_requests.get_or_create(&labels).inc();
        self.http_seconds.observe(took.as_secs_f64());
    }
}
