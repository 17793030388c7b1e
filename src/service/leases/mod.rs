//! Leases: of those that would do the same work at the same time, one does it.
//!
//! A lease only saves work. What is right is decided by row locks, so:
//! * who cannot reach what keeps the leases goes on without one ([`Attempt::unless_held`]);
//! * `gateways.lease_ms = 0` switches leases off: everybody gets one that holds nothing.
//!
//! Leases are kept in Redis where one is configured, otherwise in PostgreSQL. There, each is one thing that is compared and changed in one
//! step: the name of the work, a random token that its holder alone knows, and when it ends by itself.
//!
//! 1. [`Leases::try_acquire`] takes the lease if nobody has it. The holder counts its time from before it asked, by a clock that nobody can
//!    set, so that it knows of the end no later than the keeper does. (A machine that sleeps with all that is on it knows it late.)
//! 2. One thread, the watchdog, renews every lease of the process when a third of its time is over, for as long as its holder works. At
//!    the first refusal, or when the time is over, the lease is lost for good, and [`Lease::is_lost`] tells. Nobody here asks: what is right is decided by row locks.
//! 3. Dropping the lease frees it, if it is still this holder's.
//!
//! A holder that was stopped in the middle of its work (by a debugger, by the system) learns that its lease is lost only when it looks. What
//! it writes late is kept out by who compares [`Lease::fence`]: it grows from holder to holder.
//!
//! Contract: everything here blocks, and is called without a database connection in hand. Who holds a lease may take it again: an [`Owner`]
//! stands for one worker, which does one thing at a time. The leases of a value that was dropped are not renewed any more.

mod held;
mod keeper;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use self::held::{Held, Shared};
use self::keeper::Keeper;
use crate::domain::MerchantId;
use crate::metrics::Metrics;
use crate::redis_store;
use crate::store::Store;

/// How long to wait on average before a lease is tried again that somebody has.
const RETRY: Duration = Duration::from_millis(50);

/// What a lease is for: the merchant, and the work.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LeaseName {
    merchant: MerchantId,
    work: String,
}

impl LeaseName {
    /// The name of some work of one merchant's: `close:` and a payment's id.
    pub fn new(merchant: MerchantId, work: impl Into<String>) -> Self {
        Self { merchant, work: work.into() }
    }
}

impl fmt::Display for LeaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.merchant, self.work)
    }
}

/// A worker of this process. It gets a lease again that it has already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner(u64);

impl Owner {
    /// One that nobody was before.
    #[expect(clippy::new_without_default, reason = "no owner stands for another")]
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A number that is greater than that of every earlier holder of the same lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(pub i64);

/// What an attempt at a lease came to.
#[derive(Debug)]
#[must_use]
pub enum Attempt {
    /// It is the caller's, until it is dropped or lost.
    Acquired(Lease),
    /// Somebody else has it.
    Held,
    /// What keeps the leases could not be reached, or not in time.
    Unavailable,
}

impl Attempt {
    /// None where somebody else does the work. Otherwise the work is to be done: under the lease, or, where none could be had, under one
    /// that holds nothing.
    pub fn unless_held(self) -> Option<Lease> {
        match self {
            Self::Acquired(lease) => Some(lease),
            Self::Held => None,
            Self::Unavailable => Some(Lease::none()),
        }
    }
}

/// How a lease ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// It was the holder's, and is free.
    Freed,
    /// It was not the holder's any more; whoever has it now, keeps it.
    NotMine,
    /// There was nothing to free: the holder has taken it more than once, or it holds nothing.
    Nothing,
    /// What keeps the leases could not be reached. The watchdog tries again; at the latest it ends by itself.
    Unknown,
}

/// The leases.
pub struct Leases {
    shared: Arc<Shared>,
    watchdog: Option<JoinHandle<()>>,
}

impl Leases {
    /// Leases of `ttl` (zero: they hold nothing), in Redis, or where there is none, in PostgreSQL.
    pub fn new(
        store: Arc<Store>,
        redis: Option<redis_store::leases::Leases>,
        ttl: Duration,
        metrics: Arc<Metrics>,
    ) -> Self {
        let keeper = redis.map_or(Keeper::Postgres(store), Keeper::Redis);
        let shared = Arc::new(Shared::new(keeper, ttl, metrics));
        let watchdog = (!ttl.is_zero()).then(|| {
            let watched = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name("leases".to_owned()).spawn(move || watched.watch());
            thread.expect("the system has a thread left at the start")
        });
        Self { shared, watchdog }
    }

    /// Takes a lease if it can be had now.
    pub fn try_acquire(&self, name: &LeaseName, owner: Owner) -> Attempt {
        let shared = &self.shared;
        if shared.ttl().is_zero() {
            return Attempt::Acquired(Lease::none());
        }
        let attempt = match shared.again(name, owner) {
            Some(lease) => Attempt::Acquired(lease),
            None => shared.acquire(name, owner),
        };
        shared.count(match attempt {
            Attempt::Acquired(_) => "acquired",
            Attempt::Held => "held",
            Attempt::Unavailable => "unavailable",
        });
        attempt
    }

    /// Takes a lease, and waits for it, but no longer than `patience`.
    pub fn acquire(&self, name: &LeaseName, owner: Owner, patience: Duration) -> Attempt {
        let begun = Instant::now();
        loop {
            let attempt = self.try_acquire(name, owner);
            let left = patience.saturating_sub(begun.elapsed());
            if left.is_zero() || !matches!(attempt, Attempt::Held) {
                return attempt;
            }
            std::thread::sleep(jittered(RETRY).min(left));
        }
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        self.shared.close();
        if let Some(watchdog) = self.watchdog.take() {
            // One that panicked has said so.
            let _ = watchdog.join();
        }
    }
}

/// A lease that somebody holds, until it is dropped.
#[must_use]
pub struct Lease(Option<(Arc<Shared>, Arc<Held>)>);

impl Lease {
    /// A lease that holds nothing, and is never lost.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Whether nobody else can have it at this moment.
    pub fn is_held(&self) -> bool {
        self.0.as_ref().is_some_and(|(_, held)| held.is_held())
    }

    /// Whether it was held and is not any more: somebody else may be at the same work.
    pub fn is_lost(&self) -> bool {
        self.0.as_ref().is_some_and(|(_, held)| !held.is_held())
    }

    /// Greater than that of every holder before. None where nothing is held.
    pub fn fence(&self) -> Option<Fence> {
        self.0.as_ref().map(|(_, held)| held.fence)
    }

    /// Frees it, and tells what came of that. Dropping it does the same.
    pub fn release(mut self) -> Released {
        self.end()
    }

    fn end(&mut self) -> Released {
        self.0.take().map_or(Released::Nothing, |(shared, held)| shared.end(&held))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some((_, held)) => write!(f, "Lease({}, {:?})", held.name, held.fence),
            None => f.write_str("Lease(none)"),
        }
    }
}

/// Between half and one and a half times `time`, so that those that met do not meet again.
fn jittered(time: Duration) -> Duration {
    let mut byte = [0];
    // Without randomness they meet again.
    let _ = aws_lc_rs::rand::fill(&mut byte);
    time / 2 + time * u32::from(byte[0]) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_met_wait_for_different_times_around_the_one_that_is_meant() {
        let times: Vec<Duration> = (0..200).map(|_| jittered(Duration::from_millis(100))).collect();
        assert!(times.iter().all(|time| (50..=150).contains(&time.as_millis())), "{times:?}");
        assert!(times.iter().any(|time| time.as_millis() < 75) && times.iter().any(|time| time.as_millis() > 125));
    }

    #[test]
    fn logs_name_the_merchant_and_the_work() {
        let name = LeaseName::new(MerchantId(7), "close:x");
        assert_eq!(
            (name.to_string(), format!("{:?}", Lease::none())),
            ("7:close:x".to_owned(), "Lease(none)".to_owned())
        );
    }
}
