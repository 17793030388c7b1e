//! What an unsuccessful answer of WeChat Pay means.
//!
//! Contract: pure. An error code counts only in an answer whose signature is good, and only if it is known; everything else is unclear.
//! What the provider writes with and without underscores is one code.

use serde::Deserialize;

use super::verify::PROBE;
use crate::gateway::GatewayError;

/// A call that failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) error: GatewayError,
    /// Whether the provider says that the same call, newly signed, may be made again.
    pub(super) may_repeat: bool,
}

impl Failure {
    /// Of a call that got no answer.
    pub(super) fn of_delivery(error: GatewayError) -> Self {
        Self { may_repeat: matches!(error, GatewayError::Unsent(_)), error }
    }
}

/// Codes by which the provider refuses, as its pages on the calls we make list them. Nothing has happened.
const REFUSALS: &[&str] = &[
    "ACCOUNTERROR",
    "APPIDMCHIDNOTMATCH",
    "INVALIDREQUEST",
    "INVALIDTRANSACTIONID",
    "MCHNOTEXISTS",
    "NOAUTH",
    "NOTENOUGH",
    "OPENIDMISMATCH",
    "ORDERCLOSED",
    "ORDERNOTEXIST",
    "ORDERPAID",
    "OUTTRADENOUSED",
    "PARAMERROR",
    "REFUNDNOTEXISTS",
    "RESOURCENOTEXISTS",
    "RULELIMIT",
    "SIGNERROR",
    "TRADEERROR",
    "USERACCOUNTABNORMAL",
    "USERPAYING",
];

/// Codes that say to slow down, where the status does not.
const LIMITS: &[&str] = &["FREQUENCYLIMITED", "RATELIMITEXCEED", "RATELIMITEXCEEDED"];

#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorBody {
    code: String,
    message: String,
}

/// Whether a code is the given one, which is written without underscores.
pub(super) fn is(code: &str, name: &str) -> bool {
    code.bytes().filter(|byte| *byte != b'_').eq(name.bytes())
}

/// Why an answer is no success; `None` if it is one.
pub(super) fn judge(status: u16, body: &[u8], verified: Result<(), &'static str>) -> Option<Failure> {
    let ErrorBody { code, message } = serde_json::from_slice(body).unwrap_or_default();
    let is_one_of = |names: &[&str]| names.iter().any(|name| is(&code, name));
    let unclear = |why: String, may_repeat| Some(Failure { error: GatewayError::Unclear(why), may_repeat });
    let refused = || {
        let message = message.chars().filter(|char| !char.is_control()).take(200).collect();
        Some(Failure { error: GatewayError::Refused { code: code.clone(), message }, may_repeat: false })
    };
    match (status, verified) {
        (200 | 204, Ok(())) => None,
        // These are not signed: they come from a layer in front of the one that signs.
        (429, _) => Some(Failure { error: GatewayError::Busy, may_repeat: true }),
        (401, Err(_)) if is(&code, "SIGNERROR") => refused(),
        (500..=599, _) => unclear(format!("it failed with {status}"), true),
        (_, Err(why)) => unclear(format!("it answered {status}, and {why}"), why == PROBE || status == 202),
        (202, Ok(())) if is(&code, "USERPAYING") => refused(),
        (202, Ok(())) => unclear("it has taken the request, and not acted upon it".to_owned(), true),
        (400..=499, Ok(())) if is_one_of(LIMITS) => Some(Failure { error: GatewayError::Busy, may_repeat: true }),
        (400..=499, Ok(())) if is_one_of(REFUSALS) => refused(),
        (_, Ok(())) => unclear(format!("it answered {status} with a code that is not known"), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_judged_by_status_signature_and_code() {
        let unsigned = Err("it has no signature");
        let (refused, busy, again, unclear) = ("refused", "busy, again", "unclear, again", "unclear");
        for (status, code, verified, expected) in [
            (200, "", Ok(()), "good"),
            (204, "", Ok(()), "good"),
            (200, "", unsigned, unclear),
            (204, "", unsigned, unclear),
            (200, "", Err(PROBE), again),
            (202, "USERPAYING", Ok(()), refused),
            (202, "USER_PAYING", Ok(()), refused),
            (202, "USERPAYING", unsigned, again),
            (202, "", Ok(()), again),
            (429, "RATELIMIT_EXCEEDED", Ok(()), busy),
            (429, "", unsigned, busy),
            (403, "FREQUENCY_LIMITED", Ok(()), busy),
            (403, "FREQUENCY_LIMITED", unsigned, unclear),
            (401, "SIGN_ERROR", unsigned, refused),
            (401, "SIGN_ERROR", Ok(()), refused),
            (401, "ORDER_NOT_EXIST", unsigned, unclear),
            (400, "ORDERCLOSED", Ok(()), refused),
            (400, "ORDER_CLOSED", Ok(()), refused),
            (400, "ORDERPAID", Ok(()), refused),
            (400, "ORDER_PAID", Ok(()), refused),
            (400, "PARAM_ERROR", Ok(()), refused),
            (400, "PARAM_ERROR", unsigned, unclear),
            (404, "ORDERNOTEXIST", Ok(()), refused),
            (404, "ORDER_NOT_EXIST", Ok(()), refused),
            (404, "ORDER_NOT_EXIST", unsigned, unclear),
            (404, "ORDER_NOT_EXIST", Err("its signature is false"), unclear),
            (403, "TRADE_ERROR", Ok(()), refused),
            (403, "RULELIMIT", Ok(()), refused),
            (403, "NOAUTH", Ok(()), refused),
            (403, "NO_AUTH", Ok(()), refused),
            (403, "NOT_ENOUGH", Ok(()), refused),
            (403, "SOMETHING_NEW", Ok(()), unclear),
            (400, "", Ok(()), unclear),
            (500, "SYSTEM_ERROR", Ok(()), again),
            (500, "BANKERROR", unsigned, again),
            (502, "", unsigned, again),
            (301, "", Ok(()), unclear),
            (201, "", Ok(()), unclear),
        ] {
            let body = format!(r#"{{"code":"{code}","message":"words"}}"#);
            let judged = match judge(status, body.as_bytes(), verified) {
                None => "good",
                Some(Failure { error: GatewayError::Refused { code: said, message }, may_repeat: false }) => {
                    assert_eq!((said.as_str(), message.as_str()), (code, "words"));
                    refused
                }
                Some(Failure { error: GatewayError::Busy, may_repeat: true }) => busy,
                Some(Failure { error: GatewayError::Unclear(_), may_repeat: true }) => again,
                Some(Failure { error: GatewayError::Unclear(_), may_repeat: false }) => unclear,
                Some(other) => panic!("{other:?}"),
            };
            assert_eq!(judged, expected, "{status} {code} {verified:?}");
        }
        assert_eq!(judge(200, b"", Ok(())), None);
        assert!(judge(404, b"<html>", Ok(())).is_some());
    }
}
