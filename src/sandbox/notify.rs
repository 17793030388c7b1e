//! Calls merchants back: on a thread of its own, because they are slow to answer, again and again until they take it.
//!
//! Contract: a notice is taken by a status from 200 to 299 within five seconds. Otherwise it comes again after the waits of WeChat Pay,
//! counted by the provider's clock (<https://pay.weixin.qq.com/docs/merchant/products/notification/introduction.html>). What waits is
//! forgotten when the service stops: a merchant asks, too.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::keys::{Keys, NONCE, SIGNATURE, TIMESTAMP};
use crate::clock::Clock;

/// Seconds after each attempt but the last.
const WAITS: [i64; 15] =
    [15, 15, 30, 180, 600, 1_200, 1_800, 1_800, 1_800, 3_600, 10_800, 10_800, 10_800, 21_600, 21_600];
const ANSWER: Duration = Duration::from_secs(5);
/// How long a notice waits for one that it is to come after.
const HELD: TimeDelta = TimeDelta::seconds(60);
const AT_ONCE_MAX: usize = 64;
const WAITING_MAX: usize = 10_000;

/// A notice to be sent.
#[derive(Clone)]
pub(super) struct Outgoing {
    /// Where to.
    pub(super) url: String,
    /// What it says.
    pub(super) body: Vec<u8>,
    /// What somebody says before it who is not the provider.
    pub(super) forged: Option<Vec<u8>>,
    /// How many come at once.
    pub(super) copies: u32,
    /// How long it waits first.
    pub(super) delay: TimeDelta,
    /// Whether the next such notice overtakes it.
    pub(super) is_held: bool,
}

/// The thread; it ends when the value is dropped, whatever was still to be sent.
pub(super) struct Notifier(Option<(oneshot::Sender<()>, JoinHandle<()>)>);

impl Notifier {
    /// Starts the thread, and returns where notices are handed in.
    ///
    /// # Panics
    /// When the system gives no thread.
    pub(super) fn start(keys: Arc<Keys>, clock: Clock) -> (Self, mpsc::Sender<Outgoing>) {
        let (sender, notices) = mpsc::channel(WAITING_MAX);
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return log::error!("The sandbox cannot call anybody back: {error}"),
            };
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    () = work(keys, clock, notices) => {}
                }
            });
            // A name that is still being looked up is not waited for.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("sandbox".to_owned()).spawn(run);
        (Self(Some((stop, thread.expect("the system gives a thread for the sandbox")))), sender)
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.0.take() {
            drop(stop);
            if thread.join().is_err() {
                log::error!("The thread of the sandbox had panicked");
            }
        }
    }
}

/// A notice on its way.
struct Due {
    at: DateTime<Utc>,
    /// From zero.
    attempt: usize,
    notice: Outgoing,
    /// What comes after its first attempt.
    then: Option<Outgoing>,
}

async fn work(keys: Arc<Keys>, clock: Clock, mut notices: mpsc::Receiver<Outgoing>) {
    let builder = reqwest::Client::builder().user_agent("Sandbox/1").redirect(Policy::none()).no_proxy();
    let client = match builder.timeout(ANSWER).connect_timeout(ANSWER).build() {
        Ok(client) => client,
        Err(error) => return log::error!("The sandbox cannot call anybody back: {error}"),
    };
    let mut waiting: Vec<Due> = Vec::new();
    let mut held: Option<(DateTime<Utc>, Outgoing)> = None;
    let mut flights = JoinSet::new();
    loop {
        let now = clock.now();
        if let Some((_, notice)) = held.take_if(|(until, _)| *until <= now) {
            waiting.push(Due { at: now, attempt: 0, notice, then: None });
        }
        while flights.len() < AT_ONCE_MAX
            && let Some(place) = waiting.iter().position(|due| due.at <= now)
        {
            let due = waiting.remove(place);
            let (keys, clock, client) = (Arc::clone(&keys), clock.clone(), client.clone());
            flights.spawn(async move { (attempt(&keys, &clock, &client, &due).await, now, due) });
        }
        let next = waiting.iter().map(|due| due.at).chain(held.iter().map(|(until, _)| *until)).min();
        tokio::select! {
            notice = notices.recv() => match notice {
                None => return,
                Some(notice) if waiting.len() >= WAITING_MAX => {
                    log::warn!("The sandbox has too many notices to send, and drops one to {}", notice.url);
                }
                Some(notice) if notice.is_held && held.is_none() => held = Some((now + HELD, notice)),
                Some(notice) => {
                    let then = if notice.is_held { held.take().map(|(_, earlier)| earlier) } else { None };
                    waiting.push(Due { at: now + notice.delay, attempt: 0, notice, then });
                }
            },
            Some(flown) = flights.join_next() => {
                let Ok((is_taken, sent_at, mut due)) = flown else { continue };
                if let Some(notice) = due.then.take() {
                    waiting.push(Due { at: clock.now(), attempt: 0, notice, then: None });
                }
                if !is_taken {
                    retry(&mut waiting, due, sent_at);
                }
            },
            () = nap(&clock, next, now) => {}
        }
    }
}

fn retry(waiting: &mut Vec<Due>, due: Due, sent_at: DateTime<Utc>) {
    match WAITS.get(due.attempt) {
        Some(wait) => waiting.push(Due { at: sent_at + TimeDelta::seconds(*wait), attempt: due.attempt + 1, ..due }),
        None => log::warn!("The sandbox gives a notice up: {} does not take it", due.notice.url),
    }
}

/// Sleeps until `next`. A clock in somebody's hand does not say when it moves.
async fn nap(clock: &Clock, next: Option<DateTime<Utc>>, now: DateTime<Utc>) {
    let Some(next) = next else { return std::future::pending().await };
    let wait = match clock {
        Clock::System => (next - now).to_std().unwrap_or_default().max(Duration::from_millis(1)),
        Clock::Manual(_) | Clock::Wrong(_) => Duration::from_millis(10),
    };
    tokio::time::sleep(wait).await;
}

/// One attempt, with whatever comes along the first time. Whether the notice was taken.
async fn attempt(keys: &Keys, clock: &Clock, client: &reqwest::Client, due: &Due) -> bool {
    let notice = &due.notice;
    let timestamp = clock.now().timestamp().to_string();
    let nonce = Uuid::new_v4().simple().to_string();
    let parts = [timestamp.as_bytes(), nonce.as_bytes(), &notice.body];
    let signature = keys.sign(&parts);
    let send = |body: &[u8], signature: &str| {
        let request = client.post(&notice.url).header(CONTENT_TYPE, "application/json");
        let request = request.header(TIMESTAMP, &timestamp).header(NONCE, &nonce).header(SIGNATURE, signature);
        let request = request.body(body.to_vec()).send();
        async move { request.await.is_ok_and(|response| response.status().is_success()) }
    };
    if let Some(forged) = notice.forged.as_deref().filter(|_| due.attempt == 0) {
        // The signature of something else, and the signature of somebody else.
        send(forged, &signature).await;
        send(forged, &keys.forge(&[timestamp.as_bytes(), nonce.as_bytes(), forged])).await;
    }
    let copies = if due.attempt == 0 { notice.copies } else { 1 };
    join_all((0..copies).map(|_| send(&notice.body, &signature))).await.into_iter().all(|is_taken| is_taken)
}
