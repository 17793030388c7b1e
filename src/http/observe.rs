//! What every request passes through: it gets an id, a language, a line in the log, a place in the metrics; and every
//! error, ours or actix's, becomes a problem.

use std::convert::Infallible;
use std::time::Instant;

use actix_web::HttpMessage;
use actix_web::body::{BoxBody, MessageBody, SizedStream};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{AcceptLanguage, Header, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::Data;
use futures_util::stream;
use uuid::Uuid;

use super::{AllowedMethods, problem};
use crate::App;
use crate::domain::Language;
use crate::error::Error;
use crate::metrics::CodeLabels;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The order a request was about, for its line in the log.
#[derive(Clone)]
pub(super) struct AboutOrder(pub(super) crate::domain::OrderId);

/// Marks an answer that is meant as it is, whatever its status: in the form of whoever asked, not in ours.
pub(super) struct InTheirForm;

pub(super) async fn observe(
    req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let has_sandbox = req.app_data::<Data<App>>().is_some_and(|app| app.sandbox.is_some());
    if has_sandbox && (req.path() == "/sandbox" || req.path().starts_with("/sandbox/")) {
        // Somebody else's answers, which are signed.
        return Ok(next.call(req).await?.map_into_boxed_body());
    }
    let begun = Instant::now();
    let request_id = request_id(&req);
    let language = language(&req);
    // Routing wants the request for itself, so it is not held on to here.
    let mut response = next.call(req).await?.map_into_boxed_body();
    let status = response.status();
    let is_theirs = response.response().extensions().contains::<InTheirForm>();
    if !is_theirs && (status.is_client_error() || status.is_server_error()) {
        let actix_error;
        let error = match response.response().error().and_then(|error| error.as_error::<Error>()) {
            Some(error) => error,
            None => {
                actix_error = of_actix(&response);
                &actix_error
            }
        };
        report(error, &request_id);
        if let Some(app) = response.request().app_data::<Data<App>>() {
            app.metrics.http_problems.get_or_create(&CodeLabels { code: error.status_and_code().1 }).inc();
        }
        let answer = problem::respond(error, language, &request_id);
        response = response.into_response(answer);
    }
    let mut response = response.map_body(|_, body| in_slices(body));
    let echoed = HeaderValue::from_str(&request_id).expect("a request id is visible ASCII");
    response.headers_mut().insert(REQUEST_ID, echoed);

    let request = response.request();
    let route = request.match_pattern().unwrap_or_else(|| "unknown".to_owned());
    let (method, status, took) = (request.method(), response.status().as_u16(), begun.elapsed());
    if let Some(app) = request.app_data::<Data<App>>() {
        app.metrics.request(label(method), &route, status, took);
    }
    let order_id = request.extensions().get::<AboutOrder>().map(|about| about.0.to_string());
    log::info!(
        request_id:% = request_id,
        order_id:% = order_id.as_deref().unwrap_or("-"),
        took_us = took.as_micros() as u64;
        "{method} {} {status}", request.path()
    );
    Ok(response)
}

/// The most of a larger body that actix is handed at a time. It copies what it is handed before it looks whether any of it can be sent, and
/// does so for each of the requests that came in one go: a few clients who ask and do not read would have it hold all of that.
const SLICE_BYTES: usize = 32 * 1024;

fn in_slices(body: BoxBody) -> BoxBody {
    let bytes = match body.try_into_bytes() {
        Ok(bytes) if bytes.len() > SLICE_BYTES => bytes,
        Ok(bytes) => return BoxBody::new(bytes),
        Err(stream) => return stream,
    };
    let length = bytes.len();
    let slices = (0..length).step_by(SLICE_BYTES).map(move |at| bytes.slice(at..length.min(at + SLICE_BYTES)));
    BoxBody::new(SizedStream::new(length as u64, stream::iter(slices.map(Ok::<_, Infallible>))))
}

/// The client's own id where it is fit to be repeated in a header and a log, a fresh one otherwise.
fn request_id(req: &ServiceRequest) -> String {
    let theirs = req.headers().get(&REQUEST_ID).and_then(|value| value.to_str().ok());
    let fit = |id: &&str| {
        (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    theirs.filter(fit).map_or_else(|| Uuid::new_v4().to_string(), ToOwned::to_owned)
}

/// The method as a metric's label. Clients may make up methods, and every new label would stay in memory.
fn label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// Chinese or English, whichever the client ranks first.
pub(super) fn language(req: &impl HttpMessage) -> Language {
    let ranked = AcceptLanguage::parse(req).map(|accept| accept.ranked()).unwrap_or_default();
    let known = ranked.iter().filter_map(|tag| tag.item()).find_map(|tag| match tag.primary_language() {
        "zh" => Some(Language::Zh),
        "en" => Some(Language::En),
        _ => None,
    });
    known.unwrap_or_default()
}

/// The error where actix answered by itself. It knows no route for a path with a method that the path does not take.
fn of_actix(response: &ServiceResponse) -> Error {
    let request = response.request();
    let allowed = request.app_data::<Data<AllowedMethods>>().zip(request.match_pattern());
    match response.status() {
        StatusCode::NOT_FOUND => match allowed.and_then(|(allowed, pattern)| allowed.0.get(&pattern)) {
            Some(methods) => Error::MethodNotAllowed { allow: methods.clone() },
            None => Error::NotFound,
        },
        status if status.is_server_error() => Error::Internal(format!("actix answered {status}")),
        status => Error::Http(status.as_u16()),
    }
}

/// Errors that are ours go to the log, and only those: a refusal is an answer.
fn report(error: &Error, request_id: &str) {
    match error.status_and_code().0 {
        500 => log::error!(request_id:%; "{error}"),
        // Thousands of times a second where it is true: a line each would cost more than the refusal, and the metrics count them.
        503 if matches!(error, Error::QueueFull) => {}
        503 => log::warn!(request_id:%; "{error}"),
        _ => {}
    }
}
