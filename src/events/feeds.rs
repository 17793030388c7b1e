//! The merchants somebody at this instance listens to, and who does.
//!
//! Contract: a feed is pumped by one thread at a time, and again when it is woken meanwhile. It is there as long as somebody listens.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::config;
use crate::domain::MerchantId;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::store::events::Event;

/// News that wait for a subscriber; one that lags behind further reads what it lacks.
const NEWS_KEPT: usize = 16;

/// What a subscriber is told.
#[derive(Clone, Debug)]
pub enum News {
    /// These were published, one after the other.
    Events(Arc<[Event]>),
    /// Events go up to this number. A subscriber who has fewer reads them; one who has more has read some that the database no longer has.
    UpTo(i64),
    /// More was published than waited for this subscriber: it reads.
    Behind,
}

/// All feeds.
pub(super) struct Feeds {
    state: Mutex<State>,
    work: Condvar,
    streams_max: usize,
    merchant_streams_max: usize,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct State {
    feeds: HashMap<MerchantId, Feed>,
    /// Those to be pumped, the longest waiting first.
    woken: VecDeque<MerchantId>,
    streams: usize,
    is_closed: bool,
}

struct Feed {
    sender: broadcast::Sender<News>,
    streams: usize,
    /// The last number that was told of; none before it was pumped.
    position: Option<i64>,
    is_woken: bool,
    is_pumped: bool,
}

/// A feed to be pumped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    pub(super) merchant: MerchantId,
    pub(super) position: Option<i64>,
}

/// What a turn came to.
pub(super) struct Pumped {
    pub(super) position: Option<i64>,
    pub(super) news: Option<News>,
}

impl Feeds {
    pub(super) fn new(config: &config::Events, metrics: Arc<Metrics>) -> Self {
        Self {
            state: Mutex::default(),
            work: Condvar::new(),
            streams_max: config.streams_max,
            merchant_streams_max: config.merchant_streams_max,
            metrics,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding the feeds")
    }

    pub(super) fn subscribe(feeds: &Arc<Self>, merchant: MerchantId) -> Result<Subscription, Error> {
        let mut state = feeds.state();
        if state.is_closed {
            return Err(Error::Unavailable("the service stops".to_owned()));
        }
        let of_merchant = state.feeds.get(&merchant).map_or(0, |feed| feed.streams);
        if state.streams >= feeds.streams_max || of_merchant >= feeds.merchant_streams_max {
            return Err(Error::TooManyStreams);
        }
        state.streams += 1;
        let feed = state.feeds.entry(merchant).or_insert_with(|| Feed {
            sender: broadcast::Sender::new(NEWS_KEPT),
            streams: 0,
            position: None,
            is_woken: false,
            is_pumped: false,
        });
        feed.streams += 1;
        let news = feed.sender.subscribe();
        feeds.wake_one(&mut state, merchant);
        feeds.metrics.event_streams.inc();
        Ok(Subscription { merchant, news, feeds: Arc::clone(feeds) })
    }

    fn leave(&self, merchant: MerchantId) {
        let mut state = self.state();
        state.streams -= 1;
        self.metrics.event_streams.dec();
        if let Some(feed) = state.feeds.get_mut(&merchant) {
            feed.streams -= 1;
            if feed.streams == 0 {
                state.feeds.remove(&merchant);
            }
        }
    }

    fn wake_one(&self, state: &mut State, merchant: MerchantId) {
        let Some(feed) = state.feeds.get_mut(&merchant).filter(|feed| !feed.is_woken) else { return };
        feed.is_woken = true;
        if !feed.is_pumped {
            state.woken.push_back(merchant);
            self.work.notify_one();
        }
    }

    /// The merchant's outbox may have something new.
    pub(super) fn wake(&self, merchant: MerchantId) {
        self.wake_one(&mut self.state(), merchant);
    }

    /// The merchant's events go up to `last`.
    pub(super) fn wake_for(&self, merchant: MerchantId, last: i64) {
        let mut state = self.state();
        let position = state.feeds.get(&merchant).and_then(|feed| feed.position);
        if position.is_none_or(|position| position < last) {
            self.wake_one(&mut state, merchant);
        }
    }

    /// Anything may be new.
    pub(super) fn wake_all(&self) {
        let mut state = self.state();
        let merchants: Vec<MerchantId> = state.feeds.keys().copied().collect();
        for merchant in merchants {
            self.wake_one(&mut state, merchant);
        }
    }

    /// Waits for a feed that is to be pumped; none once they are closed.
    pub(super) fn next(&self) -> Option<Turn> {
        let mut state = self.state();
        loop {
            if state.is_closed {
                return None;
            }
            while let Some(merchant) = state.woken.pop_front() {
                // Everybody may have left since, or somebody come back.
                if let Some(feed) = state.feeds.get_mut(&merchant).filter(|feed| feed.is_woken && !feed.is_pumped) {
                    (feed.is_woken, feed.is_pumped) = (false, true);
                    return Some(Turn { merchant, position: feed.position });
                }
            }
            state = self.work.wait(state).expect("nobody panics while holding the feeds");
        }
    }

    /// Passes on what a turn came to.
    pub(super) fn done(&self, merchant: MerchantId, pumped: Pumped) {
        let mut state = self.state();
        let Some(feed) = state.feeds.get_mut(&merchant) else { return };
        feed.is_pumped = false;
        feed.position = pumped.position;
        if let Some(news) = pumped.news {
            // Nobody listens: then nobody lacks it.
            let _ = feed.sender.send(news);
        }
        if feed.is_woken {
            state.woken.push_back(merchant);
            self.work.notify_one();
        }
    }

    /// Ends all subscriptions.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        state.feeds.clear();
        self.work.notify_all();
    }
}

/// Somebody who listens, until it is dropped.
pub struct Subscription {
    merchant: MerchantId,
    news: broadcast::Receiver<News>,
    feeds: Arc<Feeds>,
}

impl Subscription {
    /// The next news; none when the service stops.
    pub async fn next(&mut self) -> Option<News> {
        match self.news.recv().await {
            Ok(news) => Some(news),
            Err(RecvError::Lagged(_)) => Some(News::Behind),
            Err(RecvError::Closed) => None,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.feeds.leave(self.merchant);
    }
}
