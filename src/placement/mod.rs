//! The engine: takes requests to place an order and answers when their transaction is committed.
//!
//! Contract: what is answered is committed. Every queued request gets an answer; if that is lost, repeating the same key finds the order.
//! A panic ends its group and its connection, and nothing else.
//!
//! A transaction places a *group*: whatever waits for one merchant when a lane becomes free. There is no timer: when little is
//! to be done, groups are of one and nobody waits; under load they grow by themselves. `queue` says who leaves together,
//! [`commit`] what a group's transaction does.
//!
//! A lane is a thread with a connection of its own. `placement.lanes` of them work at the same time; the others step in
//! when those have not moved for `placement.patience_ms`, because somebody else keeps rows locked that they wait for.
//!
//! `bench/README.md` says where an order's time goes, and what was left out because of what it cost.

pub mod commit;

mod queue;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::oneshot;

use self::commit::Keys;
pub use self::commit::{Outcome, Point};
use self::queue::{Bounds, Group, Queue, Wants};
use crate::clock::Clock;
use crate::config;
use crate::config::Locking;
use crate::domain::placement::Placement;
use crate::domain::{GoodsId, MerchantId};
use crate::error::{Error, refusal_code};
use crate::metrics::{CodeLabels, Metrics};
use crate::store::{Begin, Cause, OwnConnection, Retryable, Store};

/// Called at the named points of a group's transaction. Tests freeze or break a group there.
pub type Probe = Arc<dyn Fn(Point) + Send + Sync>;

/// Places orders.
pub struct Engine {
    shared: Arc<Shared>,
    lanes: Mutex<Vec<JoinHandle<()>>>,
}

/// A request that waits for its lane.
struct Job {
    placement: Placement,
    arrived: Instant,
    answer: oneshot::Sender<Result<Outcome, Error>>,
}

impl Wants for Job {
    fn goods(&self) -> impl Iterator<Item = GoodsId> {
        self.placement.lines.iter().map(|(id, _)| id)
    }
}

/// What requests and lanes share.
struct Shared {
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    clock: Clock,
    probe: Option<Probe>,
    locking: Locking,
    /// Lanes that work at the same time while they move.
    lanes: usize,
    patience: Duration,
    answer_timeout: Duration,
    /// The last group had a key that was known: the next one looks its keys up at once.
    expects_repeats: AtomicBool,
    state: Mutex<State>,
    /// One for each lane.
    wakers: Vec<Condvar>,
}

struct State {
    queue: Queue<Job>,
    /// Lanes that wait to be woken.
    idle: BTreeSet<usize>,
    /// One of them looks, every now and then, whether those at work still move.
    is_watched: bool,
    /// When each lane at work began.
    begun: Vec<Option<Instant>>,
    is_open: bool,
}

impl Engine {
    /// Starts the lanes.
    ///
    /// # Panics
    /// When the system gives no thread.
    pub fn start(
        config: &config::Placement,
        store: Arc<Store>,
        metrics: Arc<Metrics>,
        clock: Clock,
        probe: Option<Probe>,
    ) -> Self {
        let bounds = Bounds {
            orders_max: config.queue_orders_max,
            merchant_orders_max: config.queue_merchant_orders_max,
            group_orders_max: config.group_orders_max,
            merchant_groups_max: config.merchant_lanes,
            apart: config.locking == Locking::Pessimistic,
        };
        let state = State {
            queue: Queue::new(bounds),
            idle: BTreeSet::new(),
            is_watched: false,
            begun: vec![None; config.lanes_max],
            is_open: true,
        };
        let shared = Arc::new(Shared {
            store,
            metrics,
            clock,
            probe,
            locking: config.locking,
            lanes: config.lanes,
            patience: Duration::from_millis(config.patience_ms),
            answer_timeout: Duration::from_millis(config.answer_timeout_ms),
            expects_repeats: AtomicBool::new(false),
            state: Mutex::new(state),
            wakers: (0..config.lanes_max).map(|_| Condvar::new()).collect(),
        });
        let lane = |number| {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name(format!("lane-{number}"));
            thread.spawn(move || shared.run_lane(number)).expect("the system gives a thread for each lane")
        };
        let lanes = Mutex::new((0..config.lanes_max).map(lane).collect());
        Self { shared, lanes }
    }

    /// Whether an order of the merchant would be taken at this moment. Whoever asks before they read the order refuses the surplus for
    /// less than it takes to read it.
    ///
    /// # Errors
    /// [`Error::QueueFull`].
    pub fn has_room(&self, merchant: MerchantId) -> Result<(), Error> {
        if self.shared.state().queue.has_room(merchant) { Ok(()) } else { Err(Error::QueueFull) }
    }

    /// Places one order, or says why not, when that is committed.
    ///
    /// # Errors
    /// [`Error::QueueFull`] at once; [`Error::Unavailable`] when the database is away or the engine stops;
    /// [`Error::OutcomeUnknown`] when the commit's answer was lost or did not come in time; whatever else ended the group.
    pub async fn place(&self, merchant: MerchantId, placement: Placement) -> Result<Outcome, Error> {
        let (answer, answered) = oneshot::channel();
        self.shared.enqueue(merchant, Job { placement, arrived: Instant::now(), answer })?;
        match tokio::time::timeout(self.shared.answer_timeout, answered).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Err(Error::OutcomeUnknown),
        }
    }

    /// Places a group in one transaction on a connection of its own, past the queue: one outcome a request, in their order.
    ///
    /// # Errors
    /// When the group as a whole failed; then nothing of it was placed (unless [`Error::OutcomeUnknown`]).
    pub fn place_group(
        &self,
        merchant: MerchantId,
        group: &[&Placement],
        now: DateTime<Utc>,
    ) -> Result<Vec<Result<Outcome, Error>>, Error> {
        self.shared.place_group(&mut OwnConnection::default(), merchant, group, Instant::now(), now)
    }

    /// Takes no more orders, places those that wait, and ends the lanes.
    pub fn stop(&self) {
        self.shared.state().is_open = false;
        self.shared.wakers.iter().for_each(Condvar::notify_one);
        let lanes = std::mem::take(&mut *self.lanes.lock().expect("nobody panics while holding the lanes"));
        for lane in lanes {
            if lane.join().is_err() {
                log::error!("A lane had panicked outside its group");
            }
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
    }
}

impl State {
    /// Whether one more lane may begin: fewer than `lanes` are at work, not counting those that do not move.
    fn may_begin(&self, lanes: usize, patience: Duration) -> bool {
        let moving = self.begun.iter().flatten().filter(|begun| begun.elapsed() < patience).count();
        moving < lanes
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding the queue")
    }

    fn enqueue(&self, merchant: MerchantId, job: Job) -> Result<(), Error> {
        let mut state = self.state();
        if !state.is_open {
            return Err(Error::Unavailable("the service stops".to_owned()));
        }
        state.queue.push(merchant, job).map_err(|_| Error::QueueFull)?;
        self.metrics.queue_orders.inc();
        self.wake_one(&state);
        Ok(())
    }

    /// Wakes the idle lane of the lowest number, whose connection is the warmest, if there is something for it to do, be it to watch.
    fn wake_one(&self, state: &State) {
        let Some(&lane) = state.idle.first().filter(|_| state.queue.is_ready()) else { return };
        if !state.is_watched || state.may_begin(self.lanes, self.patience) {
            self.wakers[lane].notify_one();
        }
    }

    fn run_lane(&self, number: usize) {
        let mut own = OwnConnection::default();
        while let Some(group) = self.next_group(number) {
            self.serve(&mut own, number, group);
        }
    }

    /// Waits for a group; none when the engine has stopped and nothing waits any more.
    fn next_group(&self, number: usize) -> Option<Group<Job>> {
        let mut state = self.state();
        loop {
            if state.may_begin(self.lanes, self.patience)
                && let Some(group) = state.queue.take()
            {
                state.begun[number] = Some(Instant::now());
                self.metrics.queue_orders.set(state.queue.len() as i64);
                self.wake_one(&state);
                return Some(group);
            }
            if !state.is_open && state.queue.len() == 0 {
                self.wakers.iter().for_each(Condvar::notify_one);
                return None;
            }
            state.idle.insert(number);
            let watches = state.queue.is_ready() && !state.is_watched;
            if watches {
                state.is_watched = true;
                let waited = self.wakers[number].wait_timeout(state, self.patience);
                state = waited.expect("nobody panics while holding the queue").0;
                state.is_watched = false;
            } else {
                state = self.wakers[number].wait(state).expect("nobody panics while holding the queue");
            }
            state.idle.remove(&number);
        }
    }

    /// Places a group and answers each of its requests.
    fn serve(&self, own: &mut OwnConnection, number: usize, group: Group<Job>) {
        // Whoever has left does not want the order any more; had they left a moment later, their key would find it. Nor does whoever
        // would have left had this process not been stopped meanwhile: they may have asked another instance, and been refused.
        let is_wanted = |job: &Job| !job.answer.is_closed() && job.arrived.elapsed() < self.answer_timeout;
        let jobs: Vec<Job> = group.orders.into_iter().filter(is_wanted).collect();
        for job in &jobs {
            self.metrics.queue_wait_seconds.observe(job.arrived.elapsed().as_secs_f64());
        }
        let placements: Vec<&Placement> = jobs.iter().map(|job| &job.placement).collect();
        let first_arrived = jobs.iter().map(|job| job.arrived).min().unwrap_or_else(Instant::now);
        let now = self.clock.now();
        let placed =
            catch_unwind(AssertUnwindSafe(|| self.place_group(own, group.merchant, &placements, first_arrived, now)));
        let placed = placed.unwrap_or_else(|_| {
            log::error!(merchant_id:% = group.merchant, orders = jobs.len(); "A group panicked");
            self.metrics.lane_panics.inc();
            *own = OwnConnection::default();
            Err(Error::OutcomeUnknown)
        });

        let mut state = self.state();
        state.begun[number] = None;
        state.queue.done(group.ticket);
        // Nobody is woken: this lane asks for the next group itself, in a moment.
        drop(state);

        match placed {
            Ok(outcomes) => {
                for (job, outcome) in jobs.into_iter().zip(outcomes) {
                    // Whoever has left finds the order by its key.
                    let _ = job.answer.send(outcome);
                }
            }
            Err(error) => {
                for job in jobs {
                    let _ = job.answer.send(Err(error.for_another()));
                }
            }
        }
    }

    fn place_group(
        &self,
        own: &mut OwnConnection,
        merchant: MerchantId,
        group: &[&Placement],
        first_arrived: Instant,
        now: DateTime<Utc>,
    ) -> Result<Vec<Result<Outcome, Error>>, Error> {
        if group.is_empty() {
            return Ok(Vec::new());
        }
        let begun = Instant::now();
        let reach = |point| {
            if let Some(probe) = &self.probe {
                probe(point);
            }
        };
        let begin = if group.len() == 1 { Begin::Plain } else { Begin::WithSavepoint };
        let mut keys = if self.expects_repeats.load(Ordering::Relaxed) { Keys::LookedUp } else { Keys::Presumed };
        let (committed, written) = self.store.write_on(own, merchant, begin, |tx| {
            // Whoever asked first has been answered by now, and may have asked another instance and been refused there.
            if first_arrived.elapsed() >= self.answer_timeout {
                return Err(Error::OutcomeUnknown);
            }
            let placed = commit::place_group(tx, group, now, self.locking, keys, &reach);
            if placed.as_ref().err().and_then(Error::cause) == Some(Cause::Twin) {
                keys = Keys::LookedUp;
            }
            Ok((placed?, Instant::now()))
        })?;
        self.expects_repeats.store(committed.has_known_keys(), Ordering::Relaxed);
        // Where nothing was placed, nothing was waited for: it was rolled back.
        if committed.outcomes.iter().any(|outcome| matches!(outcome, Ok(Outcome::Placed(_)))) {
            self.metrics.commit_seconds.observe(written.elapsed().as_secs_f64());
        }
        self.metrics.group_seconds.observe(begun.elapsed().as_secs_f64());
        reach(Point::Committed);
        self.count(&committed);
        Ok(committed.outcomes)
    }

    fn count(&self, committed: &commit::Group) {
        let size = u32::try_from(committed.outcomes.len()).unwrap_or(u32::MAX);
        self.metrics.group_orders.observe(f64::from(size));
        if committed.fell_back {
            self.metrics.group_fallbacks.inc();
        }
        for outcome in &committed.outcomes {
            match outcome {
                Ok(Outcome::Placed(_)) => {
                    self.metrics.orders_placed.inc();
                }
                Ok(Outcome::Repeated(_)) => {
                    self.metrics.orders_repeated.inc();
                }
                Ok(Outcome::Mismatched) | Err(_) => {}
                Ok(Outcome::Refused(refusal)) => {
                    self.metrics.orders_refused.get_or_create(&CodeLabels { code: refusal_code(refusal) }).inc();
                }
            }
        }
    }
}
