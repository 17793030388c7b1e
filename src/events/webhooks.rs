//! Delivers events to merchants' webhooks.
//!
//! Claim (a short transaction, for a while), send (outside any), settle (if it is still ours). Whoever stops in between leaves a
//! delivery that is due again when its claim has run out: so each is tried until it is taken, more than once if need be, or parked. A
//! delivery that fails, or takes its time, holds up its merchant's later ones, and nobody else's.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::{JoinError, JoinSet, spawn_blocking};
use tokio::time::timeout;

use super::publish;
use crate::clock::Clock;
use crate::config;
use crate::domain::MerchantId;
use crate::error::Error;
use crate::gateway::webhook::{Message, Sender, Undelivered};
use crate::metrics::{CodeLabels, Metrics};
use crate::store::Store;
use crate::store::webhooks::{self, Attempt, Claim};

/// Merchants that are delivered to side by side.
const MERCHANTS_MAX: usize = 64;
/// Deliveries that use the database at the same time.
const TURNS: usize = 2;
/// Merchants whose outbox one look publishes.
const PUBLISHED_MAX: i64 = 10_000;
/// What a claim lasts beyond the time a webhook has to answer.
const MARGIN: TimeDelta = TimeDelta::seconds(30);

/// Delivers to webhooks: on a thread of its own, because others are slow to answer, until the value is dropped.
pub struct Webhooks {
    deliveries: Arc<Deliveries>,
    thread: Mutex<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
}

impl Webhooks {
    /// Starts the thread, unless `webhooks.interval_ms` is 0.
    ///
    /// # Panics
    /// When the system gives no thread, or no runtime to it.
    pub fn start(config: &config::Webhooks, store: Arc<Store>, metrics: Arc<Metrics>, clock: Clock) -> Self {
        let (sender, is_stopping, turns) = (OnceLock::new(), AtomicBool::new(false), Semaphore::new(TURNS));
        let deliveries = Deliveries { config: config.clone(), store, metrics, clock, sender, is_stopping, turns };
        let deliveries = Arc::new(deliveries);
        let interval = Duration::from_millis(config.interval_ms);
        let thread = (!interval.is_zero()).then(|| {
            let (stop, mut stopped) = oneshot::channel();
            let deliveries = Arc::clone(&deliveries);
            let runtime = Deliveries::runtime().expect("the system gives a runtime for webhooks");
            let run = move || {
                let mut deliver = || runtime.block_on(deliveries.keep_delivering(interval, &mut stopped));
                while catch_unwind(AssertUnwindSafe(&mut deliver)).is_err()
                    && !deliveries.is_stopping.load(Ordering::Relaxed)
                {
                    log::error!("What delivers to webhooks had panicked, and begins again");
                    std::thread::sleep(interval);
                }
                // A name that is still being looked up is not waited for.
                runtime.shutdown_background();
            };
            let thread = std::thread::Builder::new().name("webhooks".to_owned()).spawn(run);
            (stop, thread.expect("the system gives a thread for webhooks"))
        });
        Self { deliveries, thread: Mutex::new(thread) }
    }

    /// Publishes for merchants with a webhook, and makes the deliveries that are due, of some merchants side by side, and of each as many as
    /// it takes within the time of one. Returns how many attempts it made. Blocks for as long as webhooks take to answer, twice
    /// `webhooks.timeout_ms` and a little; not to be called inside a runtime.
    ///
    /// # Errors
    /// When the database does not do its part.
    pub fn deliver_due(&self) -> Result<usize, Error> {
        self.deliveries.deliver_due()
    }

    /// Ends the thread. What is being sent is waited for, so that it need not be sent again.
    pub fn stop(&self) {
        let thread = self.thread.lock().expect("nobody panics while holding the thread").take();
        if let Some((stop, thread)) = thread {
            self.deliveries.is_stopping.store(true, Ordering::Relaxed);
            drop(stop);
            if thread.join().is_err() {
                log::error!("The thread of the webhooks had panicked");
            }
        }
    }
}

impl Drop for Webhooks {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Deliveries {
    config: config::Webhooks,
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    clock: Clock,
    sender: OnceLock<Sender>,
    is_stopping: AtomicBool,
    /// Who may use the database: deliveries are not to keep requests from its connections.
    turns: Semaphore,
}

/// What was delivered to a merchant in one go.
struct Delivered {
    attempts: usize,
    /// More may be due at once.
    may_be_more: bool,
}

impl Deliveries {
    /// Delivers what is due until it is told to stop. Looks for it every interval, and does not wait for those who are slow to answer.
    ///
    /// Whatever waits for the database has a thread of its own: a runtime that waited with it would see answers that came in time too late.
    async fn keep_delivering(self: &Arc<Self>, interval: Duration, stopped: &mut oneshot::Receiver<()>) {
        let (mut in_hand, hurry) = (JoinSet::new(), Notify::new());
        let look = || async {
            let _ = timeout(interval, hurry.notified()).await;
            let looking = Arc::clone(self);
            spawn_blocking(move || looking.due()).await.unwrap_or_else(panicked)
        };
        let mut looking = pin!(look());
        let mut are_all_in_hand = true;
        hurry.notify_one();
        loop {
            tokio::select! {
                _ = &mut *stopped => break,
                due = &mut looking => {
                    let due = due.unwrap_or_else(|error| {
                        log::warn!("Cannot look what is due to webhooks, and will try again: {error}");
                        Vec::new()
                    });
                    let room = MERCHANTS_MAX - in_hand.len();
                    are_all_in_hand = due.len() < room;
                    for merchant in due.into_iter().take(room) {
                        self.spawn(&mut in_hand, merchant);
                    }
                    looking.set(look());
                }
                Some(done) = in_hand.join_next() => {
                    let done = reported(done.unwrap_or_else(panicked));
                    if done.is_some_and(|done| done.may_be_more || !are_all_in_hand && done.attempts > 0) {
                        hurry.notify_one();
                    }
                }
            }
        }
        while let Some(done) = in_hand.join_next().await {
            reported(done.unwrap_or_else(panicked));
        }
    }

    fn deliver_due(self: &Arc<Self>) -> Result<usize, Error> {
        let (due, runtime) = (self.due()?, Self::runtime()?);
        let done = runtime.block_on(async {
            let mut in_hand = JoinSet::new();
            due.into_iter().for_each(|merchant| self.spawn(&mut in_hand, merchant));
            in_hand.join_all().await
        });
        runtime.shutdown_background();
        done.into_iter().map(|done| Ok(done?.attempts)).sum()
    }

    fn spawn(self: &Arc<Self>, in_hand: &mut JoinSet<Result<Delivered, Error>>, merchant: MerchantId) {
        let (deliveries, runtime) = (Arc::clone(self), Handle::current());
        in_hand.spawn_blocking(move || runtime.block_on(deliveries.deliver(merchant)));
    }

    fn runtime() -> Result<Runtime, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|error| Error::Unavailable(format!("no runtime for webhooks: {error}")))
    }

    /// Publishes for merchants with a webhook, and tells which of them are to be delivered to. Those who are being delivered to are not due:
    /// what is in hand is claimed.
    fn due(&self) -> Result<Vec<MerchantId>, Error> {
        let mut failed = None;
        for merchant in self.store.read_any(|conn| Ok::<_, Error>(webhooks::merchants_told(conn, PUBLISHED_MAX)?))? {
            match publish(&self.store, &self.metrics, &self.clock, merchant) {
                Err(error @ Error::Unavailable(_)) => return Err(error),
                // Somebody keeps that merchant's counter: it is not for the others to wait until they give it back.
                Err(error) => failed = Some((merchant, error)),
                Ok(()) => {}
            }
        }
        if let Some((merchant, error)) = failed {
            log::warn!(merchant_id:% = merchant; "Cannot publish for a webhook, and will try again: {error}");
        }
        let now = self.clock.now();
        self.store.read_any(|conn| Ok(webhooks::merchants_due(conn, now, MERCHANTS_MAX as i64)?))
    }

    fn sender(&self) -> Result<&Sender, Error> {
        if let Some(sender) = self.sender.get() {
            return Ok(sender);
        }
        let sender = Sender::new(&self.config)
            .map_err(|error| Error::Unavailable(format!("cannot set up calls to webhooks: {error}")))?;
        Ok(self.sender.get_or_init(|| sender))
    }

    /// Delivers what is due of one merchant, one after the other, until one fails or the time is up.
    async fn deliver(&self, merchant: MerchantId) -> Result<Delivered, Error> {
        let (sender, begun) = (self.sender()?, Instant::now());
        let time = Duration::from_millis(self.config.timeout_ms);
        let lease = TimeDelta::milliseconds(i64::try_from(self.config.timeout_ms).unwrap_or(i64::MAX)) + MARGIN;
        let mut attempts = 0;
        loop {
            let Some(claim) = self.claim(merchant, lease).await? else {
                return Ok(Delivered { attempts, may_be_more: false });
            };
            let attempt = self.attempt(sender, merchant, &claim).await;
            self.settle(merchant, &claim, &attempt).await?;
            attempts += 1;
            let goes_on = matches!(attempt, Attempt::Delivered { .. }) && begun.elapsed() < time;
            if !goes_on || self.is_stopping.load(Ordering::Relaxed) {
                return Ok(Delivered { attempts, may_be_more: !matches!(attempt, Attempt::Failed { .. }) });
            }
        }
    }

    async fn claim(&self, merchant: MerchantId, lease: TimeDelta) -> Result<Option<Claim>, Error> {
        let _turn = self.turns.acquire().await;
        let now = self.clock.now();
        self.store.write(merchant, |tx| Ok(webhooks::claim(tx, now, lease)?))
    }

    async fn attempt(&self, sender: &Sender, merchant: MerchantId, claim: &Claim) -> Attempt {
        let event = &claim.event;
        let body = json!({
            "type": event.kind,
            "timestamp": event.happened_at,
            "data": {
                "merchant_id": merchant,
                "seq": event.seq,
                "order_id": event.order,
                "goods_id": event.goods,
                "state": event.state,
            },
        });
        let id = format!("evt_{merchant}_{}", event.seq);
        let body = body.to_string().into_bytes();
        let message = Message { id: &id, url: &claim.url, secret: &claim.secret, body };
        match sender.send(message, self.clock.now()).await {
            Ok(status) => Attempt::Delivered { status },
            Err(undelivered) => self.next_step(claim.attempt, &undelivered, self.clock.now()),
        }
    }

    /// Whether there is another attempt, and when.
    fn next_step(&self, attempt: i32, undelivered: &Undelivered, now: DateTime<Utc>) -> Attempt {
        let (status, error) = (undelivered.status(), undelivered.to_string());
        let made = u32::try_from(attempt).unwrap_or_default();
        // Gone: the merchant wants to hear no more.
        if status == Some(410) || made >= self.config.attempts_max {
            return Attempt::Parked { status, error };
        }
        let doubled = self.config.first_wait_ms.saturating_mul(1 << made.saturating_sub(1).min(32));
        let wait = i64::try_from(doubled.min(self.config.wait_max_ms)).expect("at most a day");
        Attempt::Failed { status, error, again_at: now + TimeDelta::milliseconds(wait) }
    }

    async fn settle(&self, merchant: MerchantId, claim: &Claim, attempt: &Attempt) -> Result<(), Error> {
        let turn = self.turns.acquire().await;
        let now = self.clock.now();
        let is_ours = self.store.write(merchant, |tx| Ok::<_, Error>(webhooks::settle(tx, claim, attempt, now)?))?;
        drop(turn);
        let seq = claim.event.seq;
        let code = match attempt {
            Attempt::Delivered { .. } => "delivered",
            Attempt::Failed { .. } => "failed",
            Attempt::Parked { error, .. } => {
                log::warn!(merchant_id:% = merchant, seq; "A delivery to a webhook is parked: {error}");
                "parked"
            }
        };
        self.metrics.webhook_attempts.get_or_create(&CodeLabels { code }).inc();
        if !is_ours {
            log::warn!(merchant_id:% = merchant, seq; "A delivery to a webhook took longer than its claim, or the webhook was taken away");
        }
        Ok(())
    }
}

fn panicked<T>(_: JoinError) -> Result<T, Error> {
    Err(Error::Internal("it panicked".to_owned()))
}

fn reported(done: Result<Delivered, Error>) -> Option<Delivered> {
    done.inspect_err(|error| log::warn!("Cannot deliver to a webhook, and will try again: {error}")).ok()
}
