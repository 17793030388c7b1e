//! How events reach those who listen: the panels that are connected to this instance, and the other instances.
//!
//! 1. A transaction writes its rows of the outbox. Nothing else is done inside it: commits that NOTIFY wait for each other.
//! 2. After its commit the store calls `Pokes::poke`, which remembers the merchant and returns.
//! 3. A thread takes what was poked, at most every `events.notify_ms`, wakes the feeds of this instance and calls out to the others by
//!    NOTIFY. Every `events.poll_ms` it wakes all feeds, whatever was said: that is the safety net.
//! 4. Another thread LISTENs on a connection of its own and wakes the feeds of this instance.
//! 5. A feed, one a merchant somebody listens to, is pumped: what is in the outbox is published ([`crate::store::events::publish`]),
//!    and what was published since the last time goes to all who listen.
//!
//! Contract: a wake is a hint and may be lost; the numbers are what is right. Who has number n and is given n + 2 reads what it lacks.

pub mod webhooks;

mod feeds;
mod pokes;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use uuid::Uuid;

use self::feeds::{Feeds, Pumped, Turn};
pub use self::feeds::{News, Subscription};
use self::pokes::Pokes;
use crate::clock::Clock;
use crate::config;
use crate::domain::MerchantId;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::store::events::{self, Event, Kept};
use crate::store::listen::{self, Listener, Notice};
use crate::store::{QueryResult, Store};

/// Rows that one transaction publishes at most.
const PUBLISH_MAX: i64 = 500;
/// Events that travel to subscribers at once; who lacks more reads them.
const NEWS_MAX: i64 = 250;
/// How often the listening thread looks for notices.
const LOOK: Duration = Duration::from_millis(50);
/// Threads that pump feeds. A feed is pumped by one at a time.
const PUMPS: usize = 2;
/// The longest pause before the listening thread connects again.
const RECONNECT_MAX: Duration = Duration::from_secs(5);

/// Tells those who listen at this instance what happens.
pub struct Events {
    hub: Arc<Hub>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the threads share.
struct Hub {
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    clock: Clock,
    pokes: Arc<Pokes>,
    feeds: Arc<Feeds>,
    notify: Duration,
    poll: Duration,
    /// Tells this instance's notices from those of others.
    instance: String,
}

impl Events {
    /// Starts the threads, and has the store say what is committed.
    ///
    /// # Panics
    /// When the system gives no thread.
    pub fn start(config: &config::Events, store: Arc<Store>, metrics: Arc<Metrics>, clock: Clock) -> Self {
        let pokes = Arc::new(Pokes::default());
        let poked = Arc::clone(&pokes);
        store.on_told(Arc::new(move |merchant| poked.poke(merchant)));
        let feeds = Arc::new(Feeds::new(config, Arc::clone(&metrics)));
        let hub = Arc::new(Hub {
            store,
            metrics,
            clock,
            pokes,
            feeds,
            notify: Duration::from_millis(config.notify_ms),
            poll: Duration::from_millis(config.poll_ms),
            instance: Uuid::new_v4().simple().to_string(),
        });
        let spawn = |name: &str, work: fn(&Hub)| {
            let hub = Arc::clone(&hub);
            let thread = std::thread::Builder::new().name(name.to_owned());
            thread.spawn(move || work(&hub)).expect("the system gives a thread for events")
        };
        let mut threads = vec![spawn("events-tell", Hub::tell), spawn("events-listen", Hub::listen)];
        threads.extend((0..PUMPS).map(|_| spawn("events-pump", Hub::pump)));
        Self { hub, threads: Mutex::new(threads) }
    }

    /// Publishes what the merchant's outbox holds, and returns the numbers that can be read now. Blocks.
    ///
    /// # Errors
    /// When the database does not do its part.
    pub fn current(&self, merchant: MerchantId) -> Result<Kept, Error> {
        let hub = &self.hub;
        publish(&hub.store, &hub.metrics, &hub.clock, merchant)?;
        hub.store.read(merchant, |conn| Ok(events::kept(conn, merchant)?))
    }

    /// Listens to a merchant: what is published from now on comes as [`News`].
    ///
    /// # Errors
    /// [`Error::TooManyStreams`]; [`Error::Unavailable`] when the service stops.
    pub fn subscribe(&self, merchant: MerchantId) -> Result<Subscription, Error> {
        Feeds::subscribe(&self.hub.feeds, merchant)
    }

    /// Ends all subscriptions, and takes no new ones: before the server is stopped, which waits for its streams.
    pub fn end_streams(&self) {
        self.hub.feeds.close();
    }

    /// Ends all subscriptions and the threads.
    pub fn stop(&self) {
        self.end_streams();
        self.hub.pokes.close();
        let threads = std::mem::take(&mut *self.threads.lock().expect("nobody panics while holding the threads"));
        for thread in threads {
            if thread.join().is_err() {
                log::error!("A thread of the events had panicked");
            }
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Publishes all that the merchant's outbox holds.
fn publish(store: &Store, metrics: &Metrics, clock: &Clock, merchant: MerchantId) -> Result<(), Error> {
    loop {
        // Mostly there is nothing: that is found out without a lock.
        if !store.read(merchant, |conn| Ok::<_, Error>(events::has_unpublished(conn, merchant)?))? {
            return Ok(());
        }
        let now = clock.now();
        let count = store.write(merchant, |tx| Ok::<_, Error>(events::publish(tx, PUBLISH_MAX, now)?))?;
        metrics.events_published.inc_by(count as u64);
        if count < usize::try_from(PUBLISH_MAX).expect("a small number") {
            return Ok(());
        }
    }
}

impl Hub {
    /// Step 3: wakes and calls out.
    fn tell(&self) {
        let mut polled = Instant::now();
        while let Some(poked) = self.pokes.take(self.poll.saturating_sub(polled.elapsed())) {
            if polled.elapsed() >= self.poll {
                polled = Instant::now();
                self.feeds.wake_all();
            }
            if poked.is_empty() {
                continue;
            }
            for merchant in &poked {
                self.feeds.wake(*merchant);
            }
            let told = self.store.read_any(|conn| Ok::<_, Error>(listen::notify_told(conn, &self.instance, &poked)?));
            if let Err(error) = told {
                // The others find it by themselves, a little later.
                log::debug!("Cannot notify: {error}");
            }
            self.pokes.pause(self.notify);
        }
    }

    /// Step 4, and again from the start when the connection breaks.
    fn listen(&self) {
        let mut wait = LOOK;
        while !self.pokes.pause(Duration::ZERO) {
            match self.store.listen() {
                Ok(listener) => {
                    wait = LOOK;
                    // Notices that were sent meanwhile are lost.
                    self.feeds.wake_all();
                    if let Err(error) = self.hear(listener) {
                        log::warn!("The listening connection is lost: {error}");
                    }
                }
                Err(error) => log::warn!("Cannot listen: {error}"),
            }
            self.pokes.pause(wait);
            wait = (wait * 2).min(RECONNECT_MAX);
        }
    }

    fn hear(&self, mut listener: Listener) -> QueryResult<()> {
        let mut checked = Instant::now();
        while !self.pokes.pause(LOOK) {
            for notice in listener.heard()? {
                match notice {
                    Notice::Told { by, .. } if by == self.instance => {}
                    Notice::Told { merchants, .. } => merchants.into_iter().for_each(|m| self.feeds.wake(m)),
                    Notice::Published(merchant, last) => self.feeds.wake_for(merchant, last),
                }
            }
            if checked.elapsed() >= self.poll {
                checked = Instant::now();
                listener.check()?;
            }
        }
        Ok(())
    }

    /// Step 5.
    fn pump(&self) {
        while let Some(turn) = self.feeds.next() {
            let pumped = catch_unwind(AssertUnwindSafe(|| self.pumped(turn)));
            let pumped = pumped.unwrap_or_else(|_| Err(Error::Internal("a feed panicked".to_owned())));
            let pumped = pumped.unwrap_or_else(|error| {
                // It is woken again by the next poke or poll.
                log::warn!(merchant_id:% = turn.merchant; "Cannot read events: {error}");
                Pumped { position: turn.position, news: None }
            });
            self.feeds.done(turn.merchant, pumped);
        }
    }

    fn pumped(&self, turn: Turn) -> Result<Pumped, Error> {
        let merchant = turn.merchant;
        publish(&self.store, &self.metrics, &self.clock, merchant)?;
        self.store.read(merchant, |conn| {
            let last = events::last_seq(conn, merchant)?;
            let Some(position) = turn.position.filter(|position| (last - NEWS_MAX..=last).contains(position)) else {
                return Ok(Pumped { position: Some(last), news: Some(News::UpTo(last)) });
            };
            let fresh = if position < last { events::after(conn, merchant, position, NEWS_MAX)? } else { Vec::new() };
            let position = fresh.last().map_or(position, |event| event.seq);
            Ok(Pumped { position: Some(position), news: news(fresh) })
        })
    }
}

fn news(fresh: Vec<Event>) -> Option<News> {
    if fresh.is_empty() { None } else { Some(News::Events(fresh.into())) }
}
