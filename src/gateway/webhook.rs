//! Merchants' webhooks: a signed POST, by the Standard Webhooks scheme, to an address that is theirs and not ours.
//!
//! Contract: nothing is called but `http` and `https`, and no address that is not public unless `webhooks.allow_private` is set. The
//! addresses of a name are looked up once, checked, and those that were checked are called, so that a name that changes in between does
//! not help. Redirects are not followed, proxies not asked, answers not read beyond their head.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;

use super::addresses::is_public;
use crate::config::{Secret, Webhooks};

/// A message about to be sent.
#[derive(Debug)]
pub struct Message<'a> {
    /// The same at each attempt, so that who gets it twice can tell.
    pub id: &'a str,
    /// Where to.
    pub url: &'a str,
    /// `whsec_` and the key in base64.
    pub secret: &'a Secret,
    /// JSON.
    pub body: Vec<u8>,
}

/// Why a message was not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undelivered {
    /// It was answered with a status that is no success.
    Status(u16),
    /// It was not sent: the URL or the secret is of no use, or the address is not public.
    Refused(&'static str),
    /// Nobody answered, or not in time.
    NoAnswer(&'static str),
}

impl Undelivered {
    /// The status, if there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status(status) => Some(*status),
            Self::Refused(_) | Self::NoAnswer(_) => None,
        }
    }
}

impl fmt::Display for Undelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "answered {status}"),
            Self::Refused(why) => write!(f, "not sent: {why}"),
            Self::NoAnswer(why) => f.write_str(why),
        }
    }
}

/// Sends messages to webhooks.
pub struct Sender {
    client: reqwest::Client,
    allow_private: bool,
}

impl Sender {
    /// A sender with the configured limits.
    ///
    /// # Errors
    /// When the TLS library cannot be set up; in words.
    pub fn new(config: &Webhooks) -> Result<Self, String> {
        let timeout = Duration::from_millis(config.timeout_ms);
        let client = reqwest::Client::builder()
            .user_agent("Rowlock-Webhooks/1")
            .redirect(Policy::none())
            .no_proxy()
            .timeout(timeout)
            .connect_timeout(timeout)
            // A connection that is kept would outlive the check of its address.
            .pool_max_idle_per_host(0)
            .dns_resolver(Checked { allow_private: config.allow_private })
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { client, allow_private: config.allow_private })
    }

    /// Sends a message, signed as of `now`; the status of success it was answered with.
    ///
    /// # Errors
    /// [`Undelivered`], for everything but a status from 200 to 299.
    pub async fn send(&self, message: Message<'_>, now: DateTime<Utc>) -> Result<u16, Undelivered> {
        let url = self.check(message.url)?;
        let timestamp = now.timestamp().to_string();
        let signature = sign(message.secret, message.id, &timestamp, &message.body)
            .ok_or(Undelivered::Refused("the secret is not whsec_ and base64"))?;
        let request = self
            .client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", message.id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(message.body);
        // The answer's body is dropped unread, and its connection with it.
        let status = request.send().await.map_err(|error| why(&error))?.status();
        if status.is_success() { Ok(status.as_u16()) } else { Err(Undelivered::Status(status.as_u16())) }
    }

    /// The URL, if its scheme and, where it names an address itself, the address may be called. (No name is looked up for those.)
    fn check(&self, url: &str) -> Result<Url, Undelivered> {
        let url = Url::parse(url).map_err(|_| Undelivered::Refused("the URL is malformed"))?;
        if !["http", "https"].contains(&url.scheme()) {
            return Err(Undelivered::Refused("the URL is neither http nor https"));
        }
        let host = url.host_str().ok_or(Undelivered::Refused("the URL has no host"))?;
        let literal: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
        if literal.is_some_and(|address| !self.allow_private && !is_public(address)) {
            return Err(Undelivered::Refused(PRIVATE));
        }
        Ok(url)
    }
}

const PRIVATE: &str = "the address is not public";

/// Looks names up, and refuses those with any address that is not public.
struct Checked {
    allow_private: bool,
}

/// A name has an address that is not public.
#[derive(Debug, thiserror::Error)]
#[error("{PRIVATE}")]
struct IsPrivate;

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let (name, allow_private) = (name.as_str().to_owned(), self.allow_private);
        async move {
            let looked_up = tokio::task::spawn_blocking(move || (name.as_str(), 0).to_socket_addrs()).await;
            let addresses: Vec<SocketAddr> = looked_up.map_err(io::Error::other)??.collect();
            if !allow_private && addresses.iter().any(|address| !is_public(address.ip())) {
                return Err(IsPrivate.into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        }
        .boxed()
    }
}

/// What went wrong, without the URL, which may hold a secret of the merchant's.
fn why(error: &reqwest::Error) -> Undelivered {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(inner) = cause {
        if inner.is::<IsPrivate>() {
            return Undelivered::Refused(PRIVATE);
        }
        cause = inner.source();
    }
    Undelivered::NoAnswer(match () {
        () if error.is_timeout() => "no answer in time",
        () if error.is_connect() => "cannot connect",
        () => "the connection broke",
    })
}

/// The `webhook-signature` header of a message; none when the secret cannot be read.
fn sign(secret: &Secret, id: &str, timestamp: &str, body: &[u8]) -> Option<String> {
    let key = STANDARD.decode(secret.expose().strip_prefix("whsec_")?).ok().filter(|key| !key.is_empty())?;
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &key));
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        context.update(part);
    }
    Some(format!("v1,{}", STANDARD.encode(context.sign().as_ref())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the scheme's own documentation.
    #[test]
    fn signatures_are_those_of_the_scheme() {
        let secret = Secret::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let signature = sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#)
            .expect("a good secret");
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        for bad in ["", "whsec_?", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            assert_eq!(sign(&Secret::from(bad.to_owned()), "id", "0", b""), None, "{bad}");
        }
    }
}
