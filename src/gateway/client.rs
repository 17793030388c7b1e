//! Calls to providers of payments and logins: over HTTP, blocking, bounded in time, size and number.
//!
//! Contract: redirects are not followed. What is not an answer is told apart by whether the request can have been acted upon.

use std::io::Read;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use reqwest::Method;
use reqwest::blocking;
use reqwest::redirect::Policy;
use tokio::sync::Semaphore;

use super::GatewayError;
use crate::config::Gateways;
use crate::metrics::{GatewayLabels, Metrics};

/// The largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 1_048_576;

/// A request to a provider.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Where to, in full.
    pub url: String,
    /// Names and values.
    pub headers: Vec<(&'static str, String)>,
    /// The body; nothing for none.
    pub body: Vec<u8>,
}

/// A provider's answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Names in lower case, and values that are text.
    pub headers: Vec<(String, String)>,
    /// The body, as it came.
    pub body: Vec<u8>,
}

impl Response {
    /// The first value of a header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// What all clients share: the connections, and the limits.
#[derive(Clone)]
pub struct Line {
    /// Made when it is first used, because the code that sets it up must not block.
    http: Arc<OnceLock<Result<blocking::Client, String>>>,
    timeout: Duration,
    in_flight_max: usize,
    metrics: Arc<Metrics>,
}

impl Line {
    /// A line with the configured limits.
    pub fn new(config: &Gateways, metrics: Arc<Metrics>) -> Self {
        let timeout = Duration::from_millis(config.timeout_ms);
        Self { http: Arc::default(), timeout, in_flight_max: config.in_flight_max, metrics }
    }

    /// A client of one merchant at one provider, which is told in the metrics by `name`.
    pub fn client(&self, name: &'static str) -> Client {
        Client { line: self.clone(), name, in_flight: Arc::new(Semaphore::new(self.in_flight_max)) }
    }
}

/// Calls one provider for one merchant, so many at once and no more: one that hangs holds few threads.
#[derive(Clone)]
pub struct Client {
    line: Line,
    name: &'static str,
    in_flight: Arc<Semaphore>,
}

impl Client {
    /// Sends a request, once, and reads the answer.
    ///
    /// # Errors
    /// [`GatewayError::Unsent`] when nothing was sent, [`GatewayError::Busy`] when too many requests are out already,
    /// [`GatewayError::Unclear`] for everything that went wrong later.
    pub fn send(&self, request: Request) -> Result<Response, GatewayError> {
        self.send_by(self.deadline(), request)
    }

    /// When what begins now must be over, be it one request or several.
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.line.timeout
    }

    /// As [`Client::send`], with what is left of the time.
    ///
    /// # Errors
    /// As [`Client::send`]; [`GatewayError::Unsent`] when no time is left.
    pub fn send_by(&self, deadline: Instant, request: Request) -> Result<Response, GatewayError> {
        let begun = Instant::now();
        let result = match self.in_flight.try_acquire() {
            Ok(_permit) => self.exchange(deadline, request),
            Err(_) => Err(GatewayError::Busy),
        };
        let outcome = match &result {
            Ok(response) if response.status < 400 => "ok",
            Ok(response) if response.status < 500 => "refused",
            Ok(_) => "failed",
            Err(GatewayError::Unsent(_)) => "unsent",
            Err(GatewayError::Busy) => "busy",
            Err(_) => "unclear",
        };
        let labels = GatewayLabels { gateway: self.name, outcome };
        self.line.metrics.gateway_requests.get_or_create(&labels).inc();
        self.line.metrics.gateway_seconds.observe(begun.elapsed().as_secs_f64());
        result
    }

    fn exchange(&self, deadline: Instant, request: Request) -> Result<Response, GatewayError> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(GatewayError::Unsent("no time is left".to_owned()));
        }
        let http = self.line.http.get_or_init(|| {
            let builder = blocking::Client::builder().user_agent("Rowlock/1").redirect(Policy::none());
            // A connection that the provider is about to close would make the next call unclear.
            let builder = builder.pool_idle_timeout(Duration::from_secs(4));
            // Half of the time, so that what is not reached leaves some for another host.
            let builder = builder.timeout(self.line.timeout).connect_timeout(self.line.timeout / 2);
            builder.build().map_err(|error| error.to_string())
        });
        let http = http.as_ref().map_err(|error| GatewayError::Unsent(error.clone()))?;
        let mut call = http.request(request.method, request.url).timeout(left).body(request.body);
        for (name, value) in request.headers {
            call = call.header(name, value);
        }
        // The URL may hold a secret.
        let response = call.send().map_err(|error| match error.is_connect() || error.is_builder() {
            true => GatewayError::Unsent(error.without_url().to_string()),
            false => GatewayError::Unclear(error.without_url().to_string()),
        })?;
        let status = response.status().as_u16();
        let text = |(name, value): (&reqwest::header::HeaderName, &reqwest::header::HeaderValue)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        };
        let headers = response.headers().iter().filter_map(text).collect();
        let mut body = Vec::new();
        let read = response.take(ANSWER_BYTES_MAX + 1).read_to_end(&mut body);
        read.map_err(|error| GatewayError::Unclear(error.to_string()))?;
        if body.len() as u64 > ANSWER_BYTES_MAX {
            return Err(GatewayError::Unclear("the answer is too long".to_owned()));
        }
        Ok(Response { status, headers, body })
    }
}
