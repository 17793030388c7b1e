//! Calls to WeChat Pay: signed anew each time, their answers verified, repeated where the provider says that it is safe.
//!
//! Contract: an answer is returned only when its signature is good. A call takes no longer than the configured time, all its repetitions,
//! the other host and the download of certificates included.

use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use reqwest::Method;

use super::credentials::Account;
use super::failure::{Failure, judge};
use super::sign;
use super::verify::Signed;
use crate::clock::Clock;
use crate::gateway::GatewayError;
use crate::gateway::client::{Client, Request, Response};

/// Repetitions of a call, at most.
const REPETITIONS_MAX: u32 = 2;

/// Before the first repetition; three times as long before the second.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// What is asked.
pub(super) struct Ask {
    method: Method,
    /// With the query.
    path: String,
    body: Vec<u8>,
    /// Whether it may be asked again at once, although the provider has seen it.
    is_repeatable: bool,
}

impl Ask {
    pub(super) fn get(path: String) -> Self {
        Self { method: Method::GET, path, body: Vec::new(), is_repeatable: true }
    }

    pub(super) fn post(path: String, body: &serde_json::Value) -> Self {
        Self { method: Method::POST, path, body: body.to_string().into_bytes(), is_repeatable: true }
    }

    /// Again at once only when it was not delivered: the provider wants a minute between repetitions.
    pub(super) fn once(self) -> Self {
        Self { is_repeatable: false, ..self }
    }
}

/// Calls the provider for one account.
pub(super) struct Caller {
    pub(super) account: Account,
    pub(super) client: Client,
    pub(super) clock: Clock,
}

impl Caller {
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Asks, and returns the verified answer of a success (200 or 204).
    ///
    /// # Errors
    /// [`GatewayError`].
    pub(super) fn ask(&self, ask: &Ask) -> Result<Response, GatewayError> {
        let deadline = self.client.deadline();
        self.account.keys.prepare(self, deadline)?;
        let mut earlier = None;
        let mut wait = FIRST_WAIT;
        let mut repetitions = 0;
        loop {
            let failure = match self.ask_once(ask, deadline) {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            let has_time = Instant::now() + wait < deadline;
            let is_safe = ask.is_repeatable || matches!(failure.error, GatewayError::Unsent(_));
            let may_repeat = is_safe && failure.may_repeat && repetitions < REPETITIONS_MAX && has_time;
            if !may_repeat {
                return Err(match (failure.error, earlier) {
                    // That the provider was not reached this time does not undo what an earlier sending may have done.
                    (GatewayError::Unsent(_) | GatewayError::Busy, Some(earlier)) => earlier,
                    (error, _) => error,
                });
            }
            if matches!(failure.error, GatewayError::Unclear(_)) {
                earlier = Some(failure.error);
            }
            thread::sleep(wait);
            (repetitions, wait) = (repetitions + 1, wait * 3);
        }
    }

    fn ask_once(&self, ask: &Ask, deadline: Instant) -> Result<Response, Failure> {
        let response = self.exchange(ask, deadline).map_err(Failure::of_delivery)?;
        let verified = self.verify(|name| response.header(name), &response.body, deadline);
        match judge(response.status, &response.body, verified) {
            None => Ok(response),
            Some(failure) => Err(failure),
        }
    }

    /// Verifies a message by its headers and its body as it came.
    ///
    /// # Errors
    /// Why it is not to be believed, in words.
    pub(super) fn verify<'a>(
        &self,
        header: impl Fn(&str) -> Option<&'a str>,
        body: &[u8],
        deadline: Instant,
    ) -> Result<(), &'static str> {
        let signed = Signed::read(header, self.now())?;
        let key = self.account.keys.find(signed.serial, self, deadline)?;
        signed.check(&key, body)
    }

    /// Sends to the first host that is reached, signed for each. The answer is not verified.
    pub(super) fn exchange(&self, ask: &Ask, deadline: Instant) -> Result<Response, GatewayError> {
        let mut result = Err(GatewayError::Unsent("there is no host".to_owned()));
        for host in &self.account.hosts {
            result = self.client.send_by(deadline, self.request(host, ask));
            if !matches!(result, Err(GatewayError::Unsent(_))) {
                break;
            }
        }
        result
    }

    fn request(&self, host: &str, ask: &Ask) -> Request {
        let (timestamp, nonce) = (self.now().timestamp(), sign::nonce());
        let signer = &self.account.signer;
        let authorization = signer.authorization(ask.method.as_str(), &ask.path, timestamp, &nonce, &ask.body);
        let mut headers = vec![("accept", "application/json".to_owned()), ("authorization", authorization)];
        if !ask.body.is_empty() {
            headers.push(("content-type", "application/json".to_owned()));
        }
        if let Some(id) = self.account.keys.own_id() {
            headers.push(("wechatpay-serial", id.to_owned()));
        }
        Request { method: ask.method.clone(), url: format!("{host}{}", ask.path), headers, body: ask.body.clone() }
    }
}
