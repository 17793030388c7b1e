//! The sandbox: a provider of payments that comes with the service, moves no money, and otherwise is the real thing. It talks HTTP, signs
//! with a key of its own, calls back, has a page with a Pay button, and does wrong on demand.
//!
//! Contract: it shares nothing with the merchants' side but HTTP and public keys. It knows nothing of orders or of the database; merchants
//! are those who sign as such. `/sandbox` in a browser shows what it has, and the switches.

mod book;
mod journal;
mod keys;
mod notify;
mod page;
mod provider;
mod refusal;
mod routes;
mod switches;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::web::{Data, ServiceConfig};

use self::book::Book;
use self::journal::Journal;
use self::keys::Keys;
use self::notify::Notifier;
use self::provider::{Desk, Provider};
use self::switches::SwitchBoard;
use crate::clock::Clock;

/// How much longer than the merchants' side waits an answer takes that is to come too late.
const TOO_LATE: Duration = Duration::from_secs(1);

/// The provider, and the thread that calls merchants back; that ends when the value is dropped.
pub struct Sandbox {
    provider: Arc<Provider>,
    /// How long an answer takes that is to come too late.
    hang: Duration,
    _notifier: Notifier,
}

impl Sandbox {
    /// Starts it. Its payments are kept in `file`, or, without one that can be used, in memory. `timeout_ms` is how long merchants wait for an answer.
    ///
    /// # Errors
    /// In words, when no keys can be made of the secret.
    pub fn start(
        public_url: String,
        secret: &[u8],
        timeout_ms: u64,
        file: Option<&Path>,
        clock: Clock,
    ) -> Result<Self, String> {
        let keys = Arc::new(Keys::new(secret)?);
        let (journal, book) = match file {
            Some(path) => match Journal::open(path) {
                Ok((journal, book)) => (Some(journal), book),
                Err(error) => {
                    log::warn!(
                        "The sandbox keeps its payments in memory, for it cannot use {}: {error}",
                        path.display()
                    );
                    (None, Book::default())
                }
            },
            None => (None, Book::default()),
        };
        let (notifier, notices) = Notifier::start(Arc::clone(&keys), clock.clone());
        let desk = Mutex::new(Desk { book, switches: SwitchBoard::default(), journal });
        let provider = Arc::new(Provider { clock, keys, public_url, notices, desk });
        Ok(Self { provider, hang: Duration::from_millis(timeout_ms) + TOO_LATE, _notifier: notifier })
    }

    /// Serves it, under `/sandbox`.
    pub fn mount(&self, config: &mut ServiceConfig) {
        config.app_data(Data::from(Arc::clone(&self.provider))).app_data(Data::new(routes::Hang(self.hang)));
        routes::mount(config);
    }
}
