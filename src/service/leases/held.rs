//! The leases this process holds, and the watchdog that renews them.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::keeper::Keeper;
use super::{Attempt, Fence, Lease, LeaseName, Owner, Released};
use crate::hex;
use crate::metrics::{CodeLabels, Metrics};

/// Leases to be freed that are remembered while what keeps them is away; the others end by themselves.
const LEFTOVERS_MAX: usize = 1_000;

/// What the leases, each lease, and the watchdog share.
pub(super) struct Shared {
    keeper: Keeper,
    ttl: Duration,
    state: Mutex<State>,
    changed: Condvar,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct State {
    holdings: HashMap<(LeaseName, Owner), Holding>,
    leftovers: Vec<Leftover>,
    is_closed: bool,
}

/// A lease that is held, or was and is lost, and not dropped yet.
struct Holding {
    held: Arc<Held>,
    /// How often its holder has taken it and not dropped it.
    count: usize,
    /// None once it is lost.
    renew_at: Option<Instant>,
}

pub(super) struct Held {
    pub(super) name: LeaseName,
    owner: Owner,
    token: String,
    pub(super) fence: Fence,
    /// When it ends unless it is renewed. None once it is lost or released.
    until: Mutex<Option<Instant>>,
}

impl Held {
    fn until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_held(&self) -> bool {
        self.until().is_some_and(|until| Instant::now() < until)
    }

    fn key(&self) -> (LeaseName, Owner) {
        (self.name.clone(), self.owner)
    }
}

/// A lease that nobody here wants, and that its keeper may have.
struct Leftover {
    name: LeaseName,
    token: String,
    retry_at: Instant,
    /// By when it has ended by itself.
    until: Instant,
}

impl Shared {
    pub(super) fn new(keeper: Keeper, ttl: Duration, metrics: Arc<Metrics>) -> Self {
        Self { keeper, ttl, state: Mutex::default(), changed: Condvar::new(), metrics }
    }

    pub(super) const fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Ends the watchdog.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an outcome.
    pub(super) fn count(&self, outcome: &'static str) {
        self.metrics.leases.get_or_create(&CodeLabels { code: outcome }).inc();
    }

    /// A lease that its owner has already.
    pub(super) fn again(self: &Arc<Self>, name: &LeaseName, owner: Owner) -> Option<Lease> {
        let mut state = self.state();
        let holding = state.holdings.get_mut(&(name.clone(), owner)).filter(|holding| holding.held.is_held())?;
        holding.count += 1;
        Some(Lease(Some((Arc::clone(self), Arc::clone(&holding.held)))))
    }

    /// Asks the keeper.
    pub(super) fn acquire(self: &Arc<Self>, name: &LeaseName, owner: Owner) -> Attempt {
        let Some(token) = random_token() else { return Attempt::Unavailable };
        // Before it is asked for: the keeper counts from when it is asked.
        let sent = Instant::now();
        let fence = match self.keeper.acquire(name, &token, self.ttl) {
            Ok(Some(fence)) => Fence(fence),
            Ok(None) => return Attempt::Held,
            Err(error) => {
                log::warn!("The lease {name} cannot be had, and its work goes on without: {error}");
                self.leave(name.clone(), token);
                return Attempt::Unavailable;
            }
        };
        let until = Mutex::new(Some(sent + self.ttl));
        let held = Arc::new(Held { name: name.clone(), owner, token, fence, until });
        let holding = Holding { held: Arc::clone(&held), count: 1, renew_at: Some(sent + self.ttl / 3) };
        // One that was there is lost: its leases know that by themselves.
        self.state().holdings.insert(held.key(), holding);
        self.changed.notify_all();
        Attempt::Acquired(Lease(Some((Arc::clone(self), held))))
    }

    /// Gives back what an owner has taken once.
    pub(super) fn end(&self, held: &Arc<Held>) -> Released {
        let mut state = self.state();
        if let Some(holding) = state.holdings.get_mut(&held.key()).filter(|holding| Arc::ptr_eq(&holding.held, held)) {
            holding.count -= 1;
            if holding.count > 0 {
                return Released::Nothing;
            }
            state.holdings.remove(&held.key());
        }
        drop(state);
        // A renewal that is under way and comes too late is no loss.
        *held.until() = None;
        match self.keeper.release(&held.name, &held.token) {
            Ok(true) => Released::Freed,
            Ok(false) => Released::NotMine,
            Err(_) => {
                self.leave(held.name.clone(), held.token.clone());
                Released::Unknown
            }
        }
    }

    /// Has the watchdog free what may be held.
    fn leave(&self, name: LeaseName, token: String) {
        let (now, mut state) = (Instant::now(), self.state());
        if state.leftovers.len() < LEFTOVERS_MAX {
            state.leftovers.push(Leftover { name, token, retry_at: now + self.soon(), until: now + self.ttl });
            self.changed.notify_all();
        }
    }

    /// When to try again what could not be done.
    fn soon(&self) -> Duration {
        (self.ttl / 10).max(Duration::from_millis(1))
    }

    /// Renews what is held and frees what was left, each in its time, until the leases are dropped.
    pub(super) fn watch(&self) {
        let mut state = self.state();
        while !state.is_closed {
            let wait = state.next_due().map_or(self.ttl, |next| next.saturating_duration_since(Instant::now()));
            if !wait.is_zero() {
                state = self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            let (held, leftover) = state.take_due(Instant::now(), self.soon());
            drop(state);
            held.iter().for_each(|held| self.renew(held));
            if let Some(leftover) = leftover {
                self.free(leftover);
            }
            state = self.state();
        }
    }

    fn renew(&self, held: &Arc<Held>) {
        let sent = Instant::now();
        let result = if held.is_held() { self.keeper.renew(&held.name, &held.token, self.ttl) } else { Ok(false) };
        let mut state = self.state();
        let holding = state.holdings.get_mut(&held.key()).filter(|holding| Arc::ptr_eq(&holding.held, held));
        let Some(holding) = holding else { return };
        match result {
            // An answer that came after the end finds a holder that may have given up.
            Ok(true) if held.is_held() => {
                *held.until() = Some(sent + self.ttl);
                holding.renew_at = Some(sent + self.ttl / 3);
            }
            Ok(_) => {
                *held.until() = None;
                holding.renew_at = None;
                log::warn!("The lease {} is lost while its work goes on", held.name);
                self.count("lost");
            }
            // `take_due` has said when to try again.
            Err(error) => log::debug!("The lease {} is not renewed yet: {error}", held.name),
        }
    }

    fn free(&self, leftover: Leftover) {
        if self.keeper.release(&leftover.name, &leftover.token).is_err() {
            self.state().leftovers.push(leftover);
        }
    }
}

impl State {
    /// When there is something to do next.
    fn next_due(&self) -> Option<Instant> {
        let renewals = self.holdings.values().filter_map(|holding| holding.renew_at);
        renewals.chain(self.leftovers.iter().map(|leftover| leftover.retry_at)).min()
    }

    /// What is to be renewed, and one lease to be freed; each to be tried again `soon` should that fail.
    fn take_due(&mut self, now: Instant, soon: Duration) -> (Vec<Arc<Held>>, Option<Leftover>) {
        let due = self.holdings.values_mut().filter(|holding| holding.renew_at.is_some_and(|time| time <= now));
        let held = due.map(|holding| {
            holding.renew_at = Some(now + soon);
            Arc::clone(&holding.held)
        });
        let held = held.collect();
        self.leftovers.retain(|leftover| now < leftover.until);
        let leftover = self.leftovers.iter().position(|leftover| leftover.retry_at <= now);
        let leftover = leftover.map(|index| {
            let leftover = self.leftovers.swap_remove(index);
            Leftover { retry_at: now + soon, ..leftover }
        });
        (held, leftover)
    }
}

/// 16 random bytes in hexadecimal digits. None when the system gives none.
fn random_token() -> Option<String> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(hex::encode(&bytes))
}
