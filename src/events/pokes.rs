//! Merchants whose outbox has something new, until they are taken.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::domain::MerchantId;

/// A set that can be waited for, and closed.
#[derive(Default)]
pub(super) struct Pokes {
    state: Mutex<State>,
    poked: Condvar,
    closed: Condvar,
}

#[derive(Default)]
struct State {
    merchants: BTreeSet<MerchantId>,
    is_closed: bool,
}

impl Pokes {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding the pokes")
    }

    /// Remembers a merchant. A lane calls this after its commit, so it does nothing else.
    pub(super) fn poke(&self, merchant: MerchantId) {
        let mut state = self.state();
        if state.merchants.insert(merchant) && state.merchants.len() == 1 {
            self.poked.notify_one();
        }
    }

    /// Takes what was poked; waits for it, but no longer than `wait`. None once it is closed.
    pub(super) fn take(&self, wait: Duration) -> Option<Vec<MerchantId>> {
        let waits = |state: &mut State| state.merchants.is_empty() && !state.is_closed;
        let waited = self.poked.wait_timeout_while(self.state(), wait, waits);
        let mut state = waited.expect("nobody panics while holding the pokes").0;
        if state.is_closed { None } else { Some(std::mem::take(&mut state.merchants).into_iter().collect()) }
    }

    /// Waits, unless it is closed; tells whether it is.
    pub(super) fn pause(&self, wait: Duration) -> bool {
        let waited = self.closed.wait_timeout_while(self.state(), wait, |state| !state.is_closed);
        waited.expect("nobody panics while holding the pokes").0.is_closed
    }

    /// Ends all waiting.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.poked.notify_all();
        self.closed.notify_all();
    }
}
