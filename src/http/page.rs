//! Lists that are read a page at a time: how much of them, and from where on.
//!
//! Contract: a page is asked for with one item more than it shows, which tells whether there is another one. A cursor is made here and
//! opaque to whoever sends it back; any other is refused.

use chrono::{DateTime, Utc};

use crate::error::Error;
use crate::hex;

const ITEMS_MAX: u8 = 100;

/// How many items a page is to show.
pub(super) fn limit(asked: Option<u8>) -> Result<usize, Error> {
    match asked.unwrap_or(20) {
        limit @ 1..=ITEMS_MAX => Ok(limit.into()),
        _ => Err(Error::MalformedQuery(format!("limit must be from 1 to {ITEMS_MAX}"))),
    }
}

/// As many rows as the store is to be asked for.
pub(super) fn one_more(limit: usize) -> i64 {
    i64::try_from(limit + 1).expect("a page is small")
}

/// Cuts a page down to its limit and returns the cursor of the next one, if there is one.
pub(super) fn cut<T, C>(items: &mut Vec<T>, limit: usize, cursor: impl Fn(&T) -> C) -> Option<C> {
    let has_next = items.len() > limit;
    items.truncate(limit);
    items.last().filter(|_| has_next).map(cursor)
}

/// A cursor for lists ordered by time and a text that is unique at that time, made of what a URL takes as it is.
pub(super) fn cursor(time: DateTime<Utc>, unique: &str) -> String {
    format!("{}-{}", time.timestamp_micros(), hex::encode(unique.as_bytes()))
}

/// What such a cursor stands for.
pub(super) fn from_cursor(cursor: &str) -> Result<(DateTime<Utc>, String), Error> {
    let parsed = cursor.split_once('-').and_then(|(micros, hex)| {
        let time = DateTime::from_timestamp_micros(micros.parse().ok().filter(|micros| *micros >= 0)?)?;
        let pairs = hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        let unique = String::from_utf8(pairs.collect::<Option<Vec<u8>>>()?).ok()?;
        Some((time, unique)).filter(|(_, unique)| !unique.contains(char::is_control))
    });
    parsed.ok_or_else(no_cursor)
}

/// The answer to a cursor that nobody gave out.
pub(super) fn no_cursor() -> Error {
    Error::MalformedQuery("the cursor is none of ours".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_went() {
        let time = "2026-11-21T04:00:00.000001Z".parse().expect("a moment");
        let there = cursor(time, "correction a&b=%");
        assert!(there.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{there}");
        assert_eq!(from_cursor(&there).expect("ours"), (time, "correction a&b=%".to_owned()));
        for other in ["", "x", "1-xy", "1-f", "99999999999999999999-00", "1-ff", "1-00", "-1-66", "-"] {
            assert!(from_cursor(other).is_err(), "{other}");
        }
    }
}
