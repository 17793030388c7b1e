//! What handlers take as arguments: who asks, whom they ask, and what they send.

use std::fmt::Display;
use std::future::{Ready, ready};
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header::{self, HeaderMap};
use actix_web::rt::time::timeout;
use actix_web::web::{self, Bytes, Data};
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use aws_lc_rs::digest::{SHA256, digest};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use tokio::sync::watch;
use uuid::Uuid;

use super::auth::Audience;
use crate::App;
use crate::domain::menu::PRICE_FEN_MAX;
use crate::domain::money::Money;
use crate::domain::placement::{IdempotencyKey, RequestHash};
use crate::domain::{CustomerId, MerchantId, Named, typed};
use crate::error::Error;

/// The merchant in the path: `/v1/merchants/{m}/…`. Whether it exists is for the database to say.
pub(super) struct Merchant(pub(super) MerchantId);

impl FromRequest for Merchant {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(merchant_of(req).map(Self))
    }
}

pub(super) fn merchant_of(req: &HttpRequest) -> Result<MerchantId, Error> {
    let digits = req.match_info().get("m").filter(|m| m.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|m| m.parse().ok()).map(MerchantId).ok_or(Error::NotFound)
}

/// A customer of the merchant in the path, by their bearer token.
pub(super) struct Customer {
    pub(super) merchant: MerchantId,
    pub(super) id: CustomerId,
}

impl FromRequest for Customer {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(customer_of(req))
    }
}

/// The one bearer token of a request.
pub(super) fn bearer(req: &HttpRequest) -> Result<&str, Error> {
    let mut headers = req.headers().get_all(header::AUTHORIZATION);
    let header = headers.next().filter(|_| headers.next().is_none()).and_then(|value| value.to_str().ok());
    let (scheme, token) = header.and_then(|value| value.split_once(' ')).ok_or(Error::Unauthenticated)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Error::Unauthenticated);
    }
    Ok(token.trim())
}

fn customer_of(req: &HttpRequest) -> Result<Customer, Error> {
    let app = req.app_data::<Data<App>>().expect("the server is built with its App");
    let asked = merchant_of(req)?;
    let token = app.tokens.verify(Audience::Customers, bearer(req)?, app.clock.now())?;
    if token.merchant != asked {
        return Err(Error::WrongMerchant);
    }
    let id = CustomerId(token.subject);
    app.limits.customer(asked, id)?;
    Ok(Customer { merchant: asked, id })
}

/// The `Idempotency-Key` header.
pub(super) struct Key(pub(super) IdempotencyKey);

impl FromRequest for Key {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(key_of(req).map(Self))
    }
}

/// What a request asks for, as it is kept with the key.
pub(super) fn request_hash(request: &impl Serialize) -> RequestHash {
    let canonical = serde_json::to_vec(request).expect("a request is plain data");
    digest(&SHA256, &canonical).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

fn key_of(req: &HttpRequest) -> Result<IdempotencyKey, Error> {
    let mut keys = req.headers().get_all("Idempotency-Key");
    match (keys.next(), keys.next()) {
        (None, _) => Err(Error::KeyMissing),
        (Some(value), None) => value.to_str().ok().and_then(IdempotencyKey::new).ok_or(Error::KeyMalformed),
        // Whichever of two were taken, a repeat with the other would be another request.
        (Some(_), Some(_)) => Err(Error::KeyMalformed),
    }
}

/// Whether a member of the staff is let in. A body waits for it, so that whoever may not do a thing at all is told so, and not what is
/// wrong with what they sent.
pub(super) struct Admission(watch::Receiver<bool>);

impl Admission {
    /// Makes the body of this request wait until the returned sender says that whoever sent it may do this.
    pub(super) fn await_in(req: &HttpRequest) -> watch::Sender<bool> {
        let (admit, admission) = watch::channel(false);
        req.extensions_mut().insert(Self(admission));
        admit
    }

    async fn granted(mut self) -> Result<(), Error> {
        // Where the sender is gone, its own error is the answer.
        self.0.wait_for(|admitted| *admitted).await.map(|_| ()).map_err(|_| Error::Unauthenticated)
    }
}

/// The `Idempotency-Key` header where one is sent.
pub(super) struct OptionalKey(pub(super) Option<IdempotencyKey>);

impl FromRequest for OptionalKey {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(match key_of(req) {
            Err(Error::KeyMissing) => Ok(Self(None)),
            key => key.map(|key| Self(Some(key))),
        })
    }
}

/// An id in the path.
#[derive(Deserialize)]
pub(super) struct IdPath {
    pub(super) id: Uuid,
}

/// How long a body may take to arrive. Who sends it more slowly only holds a connection open.
const BODY_TIME: Duration = Duration::from_secs(10);

/// A body's bytes, as they came. They are not decompressed: a body is small, and a bomb is not.
pub(super) struct RawBody(pub(super) Bytes);

impl FromRequest for RawBody {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Error>>>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let app = req.app_data::<Data<App>>().expect("the server is built with its App");
        let bytes_max = app.config.http.body_bytes_max;
        let is_plain = !req.headers().contains_key(header::CONTENT_ENCODING);
        let bytes = Bytes::from_request(req, payload);
        Box::pin(async move {
            if !is_plain {
                return Err(Error::NotJson);
            }
            let bytes = timeout(BODY_TIME, bytes).await.map_err(|_| Error::BodyTooSlow)?;
            let bytes = bytes.map_err(|error| match error.as_error::<PayloadError>() {
                Some(PayloadError::Overflow) => Error::BodyTooLarge(bytes_max),
                // The only other limit actix checks before it reads: the announced length.
                _ if error.as_response_error().status_code() == 413 => Error::BodyTooLarge(bytes_max),
                _ => Error::Http(400),
            })?;
            Ok(Self(bytes))
        })
    }
}

/// A JSON body. Stricter than actix's own: it names the field that is wrong, and refuses fields it does not know.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned + 'static> FromRequest for Body<T> {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Error>>>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_json = is_declared(req.headers(), "application/json");
        let admission = req.extensions_mut().remove::<Admission>();
        let body = RawBody::from_request(req, payload);
        Box::pin(async move {
            if let Some(admission) = admission {
                admission.granted().await?;
            }
            if !is_json {
                return Err(Error::NotJson);
            }
            parse(&body.await?.0).map(Self)
        })
    }
}

/// What a request to place an order says, unless the merchant's queue is full: then it is refused unread, for whoever is refused takes
/// time from whoever is served.
pub(super) struct IfRoom<T>(pub(super) T);

impl<T> FromRequest for IfRoom<T>
where
    T: FromRequest + 'static,
    T::Error: 'static,
{
    type Error = actix_web::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Self::Error>>>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let app = req.app_data::<Data<App>>().expect("the server is built with its App");
        if let Some(full) = merchant_of(req).ok().and_then(|merchant| app.engine.has_room(merchant).err()) {
            // Its bytes are taken nevertheless: actix closes a connection on which some are left, and to connect again costs more.
            let body = RawBody::from_request(req, payload);
            return Box::pin(async move {
                body.await?;
                Err(full.into())
            });
        }
        let said = T::from_request(req, payload);
        Box::pin(async move { said.await.map(Self).map_err(Into::into) })
    }
}

fn is_declared(headers: &HeaderMap, kind: &str) -> bool {
    let declared = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    declared.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(kind)
}

/// The most bytes of a table, which is more than any other body may be given: a menu of some thousand dishes.
const TABLE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// How long a table may take to arrive over a restaurant's line.
const TABLE_TIME: Duration = Duration::from_secs(60);

/// A body of CSV, as it came.
pub(super) struct CsvBody(pub(super) Bytes);

impl FromRequest for CsvBody {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Error>>>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_plain = !req.headers().contains_key(header::CONTENT_ENCODING);
        let is_csv = is_plain && is_declared(req.headers(), "text/csv");
        let admission = req.extensions_mut().remove::<Admission>();
        let body = web::Payload::from_request(req, payload);
        Box::pin(async move {
            if let Some(admission) = admission {
                admission.granted().await?;
            }
            if !is_csv {
                return Err(Error::NotCsv);
            }
            let body = body.await.map_err(|_| Error::Http(400))?.to_bytes_limited(TABLE_BYTES_MAX);
            let bytes = timeout(TABLE_TIME, body).await.map_err(|_| Error::BodyTooSlow)?;
            let bytes = bytes.map_err(|_| Error::BodyTooLarge(TABLE_BYTES_MAX))?;
            bytes.map(Self).map_err(|_| Error::Http(400))
        })
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let (path, reason) = (error.path().to_string(), error.into_inner().to_string());
        Error::MalformedBody { field: field_at(&path, &reason), reason }
    })?;
    let trailing = |error: serde_json::Error| Error::MalformedBody { field: String::new(), reason: error.to_string() };
    deserializer.end().map_err(trailing)?;
    Ok(value)
}

/// The field at fault: where the parser stood, and, when it missed a field there, that field.
fn field_at(path: &str, reason: &str) -> String {
    // The parser's path is `.` at the top, and ends in `?` within a name that was not read to its end.
    let path = path.trim_end_matches(['.', '?']);
    let missing = reason.strip_prefix("missing field `").and_then(|rest| rest.split_once('`'));
    match missing {
        Some((name, _)) if path.is_empty() => name.to_owned(),
        Some((name, _)) => format!("{path}.{name}"),
        None => path.to_owned(),
    }
}

/// An id in the path that does not parse names nothing.
pub(super) fn path_config() -> web::PathConfig {
    web::PathConfig::default().error_handler(|_, _| Error::NotFound.into())
}

/// A query string that does not parse is answered like a body that does not.
pub(super) fn query_config() -> web::QueryConfig {
    web::QueryConfig::default().error_handler(|error, _| Error::MalformedQuery(error.to_string()).into())
}

/// A line that a customer typed: trimmed, from one to `chars_max` characters, none of them a control character.
pub(super) fn line(field: &'static str, value: &str, chars_max: usize) -> Result<String, Error> {
    typed::line(value, chars_max).map_err(|reason| Error::InvalidField { field, reason })
}

/// The address of something on the web, of at most 500 characters. It names no user: whoever is shown it would learn the password.
pub(super) fn web_address(field: &'static str, value: &str) -> Result<String, Error> {
    let value = line(field, value, 500)?;
    // The parser also takes what others would not, such as `https:example.com`.
    let scheme = value.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    let is_fit = |url: &reqwest::Url| url.has_host() && url.username().is_empty() && url.password().is_none();
    if scheme.is_some_and(|scheme| ["http", "https"].contains(&&*scheme))
        && reqwest::Url::parse(&value).is_ok_and(|url| is_fit(&url))
    {
        return Ok(value);
    }
    let en = "it must be an http or https address, without a user";
    Err(Error::invalid(field, "须为 http 或 https 地址，且不含用户名", en))
}

/// A text that a customer typed: as [`line()`], but it may be empty and have line breaks and tabs.
pub(super) fn text(field: &'static str, value: &str, chars_max: usize) -> Result<String, Error> {
    typed::text(value, chars_max).map_err(|reason| Error::InvalidField { field, reason })
}

/// A whole number within bounds.
pub(super) fn number<N>(field: &'static str, value: N, bounds: RangeInclusive<N>) -> Result<N, Error>
where
    N: PartialOrd + Display,
{
    if bounds.contains(&value) {
        return Ok(value);
    }
    Err(Error::out_of_bounds(field, bounds.start(), bounds.end()))
}

/// A price, or an amount that prices are held against.
pub(super) fn price(field: &'static str, amount: Money) -> Result<Money, Error> {
    if amount.fen() <= PRICE_FEN_MAX {
        return Ok(amount);
    }
    Err(Error::invalid(field, "不能超过 1000000", "it must be at most 1000000"))
}

/// The one of `values` that has this name.
pub(super) fn one_of<T: Named>(field: &'static str, name: &str, values: &[T]) -> Result<T, Error> {
    let names = || values.iter().map(|value| value.name()).collect::<Vec<_>>().join(", ");
    let found = values.iter().copied().find(|value| value.name() == name);
    found.ok_or_else(|| Error::none_of(field, &names()))
}

/// A field of a change that may be null: absent, it stays; null, it is cleared.
pub(super) fn nullable<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}
