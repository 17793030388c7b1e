//! Errors as answers: `application/problem+json` (RFC 9457).

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::domain::Language;
use crate::error::Error;

/// The media type of a problem.
pub(super) const PROBLEM: &str = "application/problem+json";

/// An error, for programs by its `code`, for people by its `detail`. Some codes add members of their own: `out_of_stock`
/// adds `short`, `unknown_goods` and `not_on_sale` add `goods_ids`, `price_changed` adds `expected_total` and `total`,
/// `below_minimum` adds `minimum_amount` and `goods_amount`, `cart_already_placed` adds `order_id`, `shop_closed` adds `opens_at` and `closes_at`,
/// `too_few_points` adds `points` and `balance`, `too_many_points` adds `points` and `points_max`, `illegal_move` adds `move` and `state`,
/// `payment_refused` adds `gateway_code`, `refund_too_large` adds `amount` and `left`, `refund_goes_on` adds `state`, `balance_too_low` adds
/// `balance`, `stock_too_low` adds `stock`, `forbidden` adds `permission`, `bad_sheet` adds `errors`.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemView {
    /// Always `about:blank`: the status says what kind, the code says which.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What to branch on.
    #[schema(example = "out_of_stock")]
    code: &'static str,
    /// What happened, in Chinese or English by `Accept-Language`.
    detail: String,
    /// The field at fault, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "lines[0].count")]
    field: Option<String>,
    /// The id of the request, as in the log.
    request_id: String,
    #[serde(flatten)]
    #[schema(ignore)]
    more: Map<String, Value>,
}

/// Answers `error`. A cause of ours is for the log, not for the client.
pub(super) fn respond(error: &Error, language: Language, request_id: &str) -> HttpResponse {
    let problem = error.problem(language);
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let view = ProblemView {
        kind: "about:blank",
        title: status.canonical_reason().unwrap_or("Error"),
        status: problem.status,
        code: problem.code,
        detail: problem.detail,
        field: problem.field,
        request_id: request_id.to_owned(),
        more: problem.more.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    };
    let mut response = HttpResponse::build(status);
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    response.insert_header((header::VARY, "Accept-Language"));
    response.insert_header((header::CONTENT_LANGUAGE, if language == Language::Zh { "zh" } else { "en" }));
    if status == StatusCode::UNAUTHORIZED {
        response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
    }
    if let Error::MethodNotAllowed { allow } = error {
        response.insert_header((header::ALLOW, allow.as_str()));
    }
    if let Some(after) = problem.retry_after {
        let seconds = after.as_millis().div_ceil(1000).max(1);
        response.insert_header((header::RETRY_AFTER, seconds.to_string()));
    }
    let body = serde_json::to_vec(&view).expect("a problem is plain data");
    response.content_type(PROBLEM).body(body)
}

/// What actix sees of an error. The answer is made by `observe`, which knows the request.
impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status_and_code().0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}
