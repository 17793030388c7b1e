//! What the provider serves: its API for merchants, the buttons, the switches, and the pages.
//!
//! Contract: whatever touches the book runs on the pool for what blocks.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::rt::task::spawn_blocking;
use actix_web::rt::time::{sleep, timeout};
use actix_web::web::{self, Bytes, Data, Form, Json, Path, Query, ServiceConfig};
use actix_web::{FromRequest, HttpRequest, HttpResponse, Responder};
use serde::Deserialize;
use serde_json::{Value, json};

use super::keys::{MERCHANT, NONCE, SIGNATURE, TIMESTAMP};
use super::page;
use super::provider::{Asked, Press, Provider};
use super::refusal::Refusal;
use super::switches::{Call, Switches};

/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);
/// Nothing is loaded, nothing runs, and forms come back here.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// How long an answer takes that is to come too late.
pub(super) struct Hang(pub(super) Duration);

pub(super) fn mount(config: &mut ServiceConfig) {
    let call = |call: Call| move |asked: Raw, provider, hang| answer(call, asked, provider, hang);
    let press = |press: Press| move |provider, number| press_button(press, provider, number);
    let settle = |succeeds: bool| move |provider, number| settle_refund(succeeds, provider, number);
    config
        .route("/sandbox/v1/payments", web::post().to(call(Call::Create)))
        .route("/sandbox/v1/payments/{number}", web::get().to(call(Call::Query)))
        .route("/sandbox/v1/payments/{number}/close", web::post().to(call(Call::Close)))
        .route("/sandbox/v1/refunds", web::post().to(call(Call::Refund)))
        .route("/sandbox/v1/refunds/{number}", web::get().to(call(Call::QueryRefund)))
        .route("/sandbox/v1/payments/{number}/pay", web::post().to(press(Press::Pay)))
        .route("/sandbox/v1/payments/{number}/type", web::post().to(press(Press::Type)))
        .route("/sandbox/v1/payments/{number}/cancel", web::post().to(press(Press::Cancel)))
        .route("/sandbox/v1/refunds/{number}/succeed", web::post().to(settle(true)))
        .route("/sandbox/v1/refunds/{number}/fail", web::post().to(settle(false)))
        .route("/sandbox/v1/switches", web::get().to(show_switches))
        .route("/sandbox/v1/switches", web::put().to(set_switches))
        .route("/sandbox/pay/{number}", web::get().to(show_payment))
        .route("/sandbox/pay/{number}", web::post().to(press_on_page))
        .route("/sandbox", web::get().to(show_all))
        .route("/sandbox", web::post().to(set_on_page));
}

/// A request with its body's bytes as they came.
struct Raw {
    request: HttpRequest,
    body: Bytes,
}

impl FromRequest for Raw {
    type Error = actix_web::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Self::Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, body) = (request.clone(), Bytes::from_request(request, payload));
        Box::pin(async move {
            let slow = |_| actix_web::error::ErrorRequestTimeout("the body is too slow");
            Ok(Self { request, body: timeout(BODY_TIME, body).await.map_err(slow)?? })
        })
    }
}

/// Does what blocks where that is meant to be done.
async fn on_pool<T: Send + 'static>(
    provider: &Data<Provider>,
    work: impl FnOnce(&Provider) -> T + Send + 'static,
) -> Result<T, actix_web::Error> {
    let provider = Data::clone(provider);
    spawn_blocking(move || work(&provider)).await.map_err(actix_web::error::ErrorInternalServerError)
}

async fn answer(
    call: Call,
    raw: Raw,
    provider: Data<Provider>,
    hang: Data<Hang>,
) -> Result<HttpResponse, actix_web::Error> {
    let header = |name: &str| {
        let value = raw.request.headers().get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let asked = Asked {
        call,
        number: raw.request.match_info().get("number").unwrap_or_default().to_owned(),
        method: raw.request.method().to_string(),
        path: raw.request.uri().path_and_query().map(ToString::to_string).unwrap_or_default(),
        merchant: header(MERCHANT),
        timestamp: header(TIMESTAMP),
        nonce: header(NONCE),
        signature: header(SIGNATURE),
        body: raw.body.to_vec(),
    };
    let reply = on_pool(&provider, move |provider| provider.answer(&asked)).await?;
    if reply.hangs {
        sleep(hang.0).await;
    }
    let mut response = HttpResponse::build(status(reply.status));
    response.insert_header((TIMESTAMP, reply.timestamp)).insert_header((SIGNATURE, reply.signature));
    Ok(response.content_type("application/json").body(reply.body))
}

fn status(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// An answer to somebody who does not sign, and gets no signature.
fn plain(result: Result<Value, Refusal>) -> HttpResponse {
    match result {
        Ok(body) => HttpResponse::Ok().json(body),
        Err(Refusal { status: number, code, message }) => {
            HttpResponse::build(status(number)).json(json!({ "code": code, "message": message }))
        }
    }
}

async fn press_button(
    press: Press,
    provider: Data<Provider>,
    number: Path<String>,
) -> Result<HttpResponse, actix_web::Error> {
    on_pool(&provider, move |provider| provider.press(&number, press)).await.map(plain)
}

async fn settle_refund(
    succeeds: bool,
    provider: Data<Provider>,
    number: Path<String>,
) -> Result<HttpResponse, actix_web::Error> {
    on_pool(&provider, move |provider| provider.settle(&number, succeeds)).await.map(plain)
}

/// Which payment's switches; of all that have none of their own, where none is named.
#[derive(Deserialize)]
struct Whose {
    number: Option<String>,
}

async fn show_switches(provider: Data<Provider>, whose: Query<Whose>) -> impl Responder {
    let whose = whose.into_inner().number;
    on_pool(&provider, move |provider| Json(provider.desk().switches.of(whose.as_deref()).clone())).await
}

async fn set_switches(
    provider: Data<Provider>,
    whose: Query<Whose>,
    switches: Json<Switches>,
) -> Result<Json<Switches>, actix_web::Error> {
    let (number, switches) = (whose.into_inner().number, switches.into_inner());
    on_pool(&provider, move |provider| {
        provider.desk().switches.set(number, switches.clone());
        Json(switches)
    })
    .await
}

fn html(page: String) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CONTENT_SECURITY_POLICY, POLICY));
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    response.insert_header((header::REFERRER_POLICY, "no-referrer"));
    response.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    response.content_type("text/html; charset=utf-8").body(page)
}

/// To a page, after a button was pressed: loading that again presses nothing.
fn see(place: &str) -> HttpResponse {
    match HeaderValue::from_str(place) {
        Ok(place) => HttpResponse::SeeOther().insert_header((header::LOCATION, place)).finish(),
        Err(_) => HttpResponse::BadRequest().finish(),
    }
}

async fn show_payment(
    provider: Data<Provider>,
    number: Path<String>,
    way: Query<page::Way>,
) -> Result<HttpResponse, actix_web::Error> {
    let page = on_pool(&provider, move |provider| page::payment(provider, &number, &way)).await?;
    Ok(page.map_or_else(|refusal| plain(Err(refusal)), html))
}

#[derive(Deserialize)]
struct PressForm {
    press: Press,
}

/// What cannot be done is not; the page shows how things stand.
async fn press_on_page(
    provider: Data<Provider>,
    request: HttpRequest,
    number: Path<String>,
    form: Form<PressForm>,
) -> Result<HttpResponse, actix_web::Error> {
    let (number, press) = (number.into_inner(), form.into_inner().press);
    let place = match request.query_string() {
        "" => format!("/sandbox/pay/{number}"),
        query => format!("/sandbox/pay/{number}?{query}"),
    };
    let pressed = on_pool(&provider, move |provider| provider.press(&number, press)).await?;
    Ok(match pressed {
        Err(refusal) if refusal == Refusal::ORDER_NOT_EXIST => plain(Err(refusal)),
        Ok(_) | Err(_) => see(&place),
    })
}

async fn show_all(provider: Data<Provider>, whose: Query<Whose>) -> Result<HttpResponse, actix_web::Error> {
    let whose = whose.into_inner().number;
    on_pool(&provider, move |provider| page::all(provider, whose.as_deref())).await.map(html)
}

async fn set_on_page(
    provider: Data<Provider>,
    fields: Form<Vec<(String, String)>>,
) -> Result<HttpResponse, actix_web::Error> {
    let fields = fields.into_inner();
    let number = fields.iter().find(|(name, number)| name == "number" && !number.is_empty());
    let number = number.map(|(_, number)| number.clone());
    let switches = match Switches::of_form(&fields) {
        Ok(switches) => switches,
        Err(why) => return Ok(plain(Err(Refusal::bad(why)))),
    };
    let place = if number.is_some() { "/sandbox#payments" } else { "/sandbox" };
    on_pool(&provider, move |provider| provider.desk().switches.set(number, switches)).await?;
    Ok(see(place))
}
