//! What instances call out to each other: PostgreSQL's NOTIFY and LISTEN.
//!
//! Contract: a notice is a hint that it is worth looking, never the news itself. It may be lost, late, or come twice.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::Text;

use super::{Conn, QueryResult, Store, Unavailable, connect};
use crate::domain::MerchantId;

/// The channel on which an instance names merchants whose outbox has something new: `<instance> 1,2,3`.
pub const OUTBOX: &str = "rowlock_outbox";
/// The channel on which a merchant is named whose events have something new, with the last number: `1 42`.
pub const EVENTS: &str = "rowlock_events";

/// PostgreSQL takes fewer than 8000 bytes.
const PAYLOAD_BYTES_MAX: usize = 7_900;

/// Calls out, when the transaction around it, or without one this statement, is committed.
pub(super) fn notify(conn: &mut Conn, channel: &str, payload: &str) -> QueryResult<()> {
    define_sql_function! {
        /// Sends a notice.
        fn pg_notify(channel: Text, payload: Text)
    }
    diesel::select(pg_notify(channel, payload)).execute(conn)?;
    Ok(())
}

/// Names merchants whose outbox has something new. Not inside a placement: commits that notify wait for each other.
pub fn notify_told(conn: &mut Conn, by: &str, merchants: &[MerchantId]) -> QueryResult<()> {
    payloads(by, merchants).iter().try_for_each(|payload| notify(conn, OUTBOX, payload))
}

fn payloads(by: &str, merchants: &[MerchantId]) -> Vec<String> {
    let mut payloads: Vec<String> = Vec::new();
    for id in merchants.iter().map(ToString::to_string) {
        match payloads.last_mut() {
            Some(last) if last.len() + 1 + id.len() <= PAYLOAD_BYTES_MAX => {
                last.push(',');
                last.push_str(&id);
            }
            _ => payloads.push(format!("{by} {id}")),
        }
    }
    payloads
}

/// What was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// These merchants' outboxes have something new.
    Told {
        /// The instance that says so.
        by: String,
        /// Whose.
        merchants: Vec<MerchantId>,
    },
    /// This merchant's events go up to this number.
    Published(MerchantId, i64),
}

/// A connection that listens.
pub struct Listener(Conn);

impl Listener {
    /// What has come in since the last time; does not wait.
    ///
    /// # Errors
    /// When the connection is lost.
    pub fn heard(&mut self) -> QueryResult<Vec<Notice>> {
        self.0
            .notifications_iter()
            .filter_map(|notice| notice.map(|n| parse(&n.channel, &n.payload)).transpose())
            .collect()
    }

    /// Whether the server still answers: a connection whose other end has vanished says nothing by itself.
    ///
    /// # Errors
    /// When it does not.
    pub fn check(&mut self) -> QueryResult<()> {
        self.0.batch_execute("SELECT")
    }
}

/// What others may have sent on our channels is no notice.
fn parse(channel: &str, payload: &str) -> Option<Notice> {
    match channel {
        OUTBOX => {
            let (by, ids) = payload.split_once(' ')?;
            let ids: Result<Vec<i64>, _> = ids.split(',').map(str::parse).collect();
            Some(Notice::Told { by: by.to_owned(), merchants: ids.ok()?.into_iter().map(MerchantId).collect() })
        }
        EVENTS => {
            let (merchant, last) = payload.split_once(' ')?;
            Some(Notice::Published(MerchantId(merchant.parse().ok()?), last.parse().ok()?))
        }
        _ => None,
    }
}

impl Store {
    /// A connection of its own that listens on both channels.
    ///
    /// # Errors
    /// [`Unavailable`] when none is to be had.
    pub fn listen(&self) -> Result<Listener, Unavailable> {
        let mut conn = connect(self.url.expose())?;
        let listen = format!(
            "SET application_name = 'rowlock-listener'; SET statement_timeout = {}; LISTEN {OUTBOX}; LISTEN {EVENTS}",
            self.session.statement_timeout_ms
        );
        conn.batch_execute(&listen).map_err(|error| Unavailable(error.to_string()))?;
        Ok(Listener(conn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_split_and_read_back() {
        let merchants: Vec<MerchantId> = (1_000_000_000_000..1_000_000_002_000).map(MerchantId).collect();
        let payloads = payloads("me", &merchants);
        assert_eq!(payloads.len(), 4);
        assert!(payloads.iter().all(|payload| payload.len() < 8_000));
        let read: Vec<MerchantId> = payloads
            .iter()
            .flat_map(|payload| match parse(OUTBOX, payload) {
                Some(Notice::Told { by, merchants }) if by == "me" => merchants,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(read, merchants);
    }

    #[test]
    fn what_is_none_of_ours_is_not_heard() {
        assert_eq!(parse(EVENTS, "1 42"), Some(Notice::Published(MerchantId(1), 42)));
        for (channel, payload) in
            [(OUTBOX, ""), (OUTBOX, "1"), (OUTBOX, "me 1,x"), (EVENTS, "1"), (EVENTS, "x 1"), ("other", "1")]
        {
            assert_eq!(parse(channel, payload), None, "{channel} {payload}");
        }
    }
}
