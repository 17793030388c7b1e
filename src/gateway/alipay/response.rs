//! What Alipay answers to a call: which part of it is signed, whether the signature is good, and what its code means.
//!
//! Contract: pure. The signed text is that part of the body that is the value of `<method>_response` (or of `error_response`), as it came;
//! it is verified before it is read, and what was verified is what is read. What cannot be verified, or has two meanings, is
//! [`GatewayError::Unclear`], and so is every code that is not listed here: it may have happened.
//! <https://opendocs.alipay.com/common/02mse7> (verification), <https://opendocs.alipay.com/common/02km9f> (codes)

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, DeserializeOwned, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::credentials::Account;
use super::request::Api;
use crate::domain::money::Money;
use crate::domain::payment::PaymentNumber;
use crate::gateway::GatewayError;

/// The trade is not known, which for some ways to pay is so until the customer has opened the page.
pub(super) const TRADE_NOT_EXIST: &str = "ACQ.TRADE_NOT_EXIST";

/// Refusals: nothing has happened, and asking again in the same way will not change that. Anything else is not clear.
const REFUSALS: &[&str] = &[
    TRADE_NOT_EXIST,
    "ACQ.TRADE_HAS_SUCCESS",
    "ACQ.TRADE_HAS_CLOSE",
    "ACQ.TRADE_HAS_FINISHED",
    "ACQ.TRADE_STATUS_ERROR",
    "ACQ.REASON_TRADE_STATUS_INVALID",
    "ACQ.REASON_ILLEGAL_STATUS",
    "ACQ.REASON_TRADE_BEEN_FREEZEN",
    "ACQ.REASON_TRADE_REFUND_FEE_ERR",
    "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL",
    "ACQ.REFUND_FEE_ERROR",
    "ACQ.NOT_ALLOW_PARTIAL_REFUND",
    "ACQ.TRADE_NOT_ALLOW_REFUND",
    "ACQ.SELLER_BALANCE_NOT_ENOUGH",
    "ACQ.CONTEXT_INCONSISTENT",
    "ACQ.INVALID_PARAMETER",
    "ACQ.ACCESS_FORBIDDEN",
    "ACQ.EXIST_FORBIDDEN_WORD",
    "ACQ.PARTNER_ERROR",
    "ACQ.TOTAL_FEE_EXCEED",
    "ACQ.BUYER_SELLER_EQUAL",
    "ACQ.TRADE_BUYER_NOT_MATCH",
    "ACQ.BUYER_ENABLE_STATUS_FORBID",
    "ACQ.SELLER_BEEN_BLOCKED",
];

/// The members of the outermost object, in order, with their values as they came.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;

        impl<'de> Visitor<'de> for Each {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Each)
    }
}

/// An answer, split: what is signed, and by what.
#[derive(Debug, PartialEq, Eq)]
struct Split<'a> {
    signed: &'a str,
    signature: String,
    certificate: Option<String>,
}

/// Takes an answer apart without writing any of it anew.
fn split(api: Api, body: &[u8]) -> Result<Split<'_>, &'static str> {
    let body = std::str::from_utf8(body).map_err(|_| "the answer is not UTF-8")?;
    let Members(members) = serde_json::from_str(body).map_err(|_| "the answer is no JSON object")?;
    let expected = format!("{}_response", api.name().replace('.', "_"));
    let (mut signed, mut signature, mut certificate) = (None, None, None);
    for (name, value) in members {
        let place = match name.as_ref() {
            name if name == expected || name == "error_response" => &mut signed,
            "sign" => &mut signature,
            "alipay_cert_sn" => &mut certificate,
            _ => continue,
        };
        if place.replace(value.get()).is_some() {
            return Err("a part of the answer stands there twice");
        }
    }
    let text = |raw: &str| serde_json::from_str::<String>(raw).map_err(|_| "a part of the answer is no text");
    Ok(Split {
        signed: signed.ok_or("the answer is to something else")?,
        signature: text(signature.ok_or("the answer is not signed")?)?,
        certificate: certificate.map(text).transpose()?,
    })
}

/// The part of an answer that Alipay has signed.
///
/// # Errors
/// [`GatewayError::Unclear`] where that cannot be said for certain.
pub(super) fn verified<'a>(account: &Account, api: Api, body: &'a [u8]) -> Result<Cow<'a, str>, GatewayError> {
    let unclear = |why: &str| GatewayError::Unclear(why.to_owned());
    let split = split(api, body).map_err(unclear)?;
    if let (Some(ours), Some(theirs)) = (&account.certificates, &split.certificate)
        && ours.alipay != *theirs
    {
        return Err(unclear("the answer is signed with another certificate than alipay_cert"));
    }
    let verifies = |text: &str| account.alipay_key.verifies(text.as_bytes(), split.signature.as_bytes());
    if verifies(split.signed) {
        return Ok(Cow::Borrowed(split.signed));
    }
    // Some answers escape slashes after they were signed: Alipay's own library for Java tries that, too.
    let unescaped = split.signed.replace("\\/", "/");
    match unescaped != split.signed && verifies(&unescaped) {
        true => Ok(Cow::Owned(unescaped)),
        false => Err(unclear("the answer's signature is wrong")),
    }
}

/// What every answer says of itself. Numbers are compared where they come.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    code: Cow<'a, str>,
    #[serde(borrow, default)]
    msg: Cow<'a, str>,
    #[serde(borrow, default)]
    sub_code: Cow<'a, str>,
    #[serde(borrow, default)]
    sub_msg: Cow<'a, str>,
    #[serde(borrow, default)]
    app_id: Cow<'a, str>,
    #[serde(borrow, default)]
    seller_id: Cow<'a, str>,
    #[serde(borrow, default)]
    out_trade_no: Cow<'a, str>,
}

/// What an answer about a payment says, by its code; `text` has been verified.
///
/// # Errors
/// [`GatewayError::Refused`] for the refusals that are known, [`GatewayError::Unclear`] for everything else that is no success.
pub(super) fn read<T: DeserializeOwned>(
    account: &Account,
    number: PaymentNumber,
    text: &str,
) -> Result<T, GatewayError> {
    let strange = |error: serde_json::Error| GatewayError::Unclear(format!("the answer is not understood: {error}"));
    let head: Head<'_> = serde_json::from_str(text).map_err(strange)?;
    // Refusals leave out some of them, or leave them empty.
    let is_ours = |theirs: &str, ours: &str| theirs.is_empty() || theirs == ours;
    if !is_ours(&head.app_id, &account.app_id) || !is_ours(&head.seller_id, &account.seller_id) {
        return Err(GatewayError::Unclear("the answer is to another application or seller".to_owned()));
    }
    if !is_ours(&head.out_trade_no, &number.to_string()) {
        return Err(GatewayError::Unclear("the answer is about another payment".to_owned()));
    }
    match head.code.as_ref() {
        "10000" => serde_json::from_str(text).map_err(strange),
        "40004" if REFUSALS.contains(&head.sub_code.as_ref()) => {
            Err(GatewayError::Refused { code: head.sub_code.into_owned(), message: head.sub_msg.into_owned() })
        }
        code => Err(GatewayError::Unclear(format!("{code} {} {} {}", head.msg, head.sub_code, head.sub_msg))),
    }
}

/// An amount in yuan: text, as Alipay sends it, or a number, as some of its examples show it. The number's digits are read; no float is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Yuan(pub(super) Money);

impl<'de> Deserialize<'de> for Yuan {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = raw.get().trim_matches('"');
        text.parse().map(Self).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use serde_json::Value;
    use uuid::Uuid;

    use super::super::vectors::Vectors;
    use super::*;
    use crate::domain::PaymentId;

    static ACCOUNT: LazyLock<Account> = LazyLock::new(|| Vectors::read().account(true));

    fn number() -> PaymentNumber {
        Vectors::read().number.parse().expect("a number")
    }

    fn refused(code: &str) -> String {
        format!(
            r#"{{"code":"40004","msg":"Business Failed","sub_code":"{code}","sub_msg":"why","out_trade_no":"","refund_fee":"0.00"}}"#
        )
    }

    #[test]
    fn what_is_signed_is_taken_as_it_came_and_nothing_else() {
        let vectors = Vectors::read();
        for account in [vectors.account(false), vectors.account(true)] {
            for response in &vectors.responses {
                let verified = verified(&account, Api::Query, response.body.as_bytes());
                match &response.signed {
                    Some(text) => assert_eq!(verified.as_deref(), Ok(text.as_str()), "{}", response.name),
                    None => assert!(matches!(verified, Err(GatewayError::Unclear(_))), "{}", response.name),
                }
            }
        }
        assert!(vectors.responses.iter().filter(|response| response.signed.is_some()).count() > 15);
    }

    #[test]
    fn the_answer_of_another_certificate_is_not_clear() {
        let vectors = Vectors::read();
        let mut account = vectors.account(true);
        let named = vectors
            .responses
            .iter()
            .find(|response| response.name == "the number of the certificate")
            .expect("it is there");
        account.certificates.as_mut().expect("certificates").alipay = "other".to_owned();
        let error = verified(&account, Api::Query, named.body.as_bytes()).expect_err("another certificate");
        assert!(error.to_string().contains("alipay_cert"), "{error}");
    }

    #[test]
    fn codes_mean_what_they_are_listed_for() {
        let account = Vectors::read().account(false);
        for code in REFUSALS {
            let expected = GatewayError::Refused { code: (*code).to_owned(), message: "why".to_owned() };
            assert_eq!(read::<Value>(&account, number(), &refused(code)), Err(expected));
        }
        for unclear in [
            &refused("ACQ.SYSTEM_ERROR"),
            &refused("aop.ACQ.SYSTEM_ERROR"),
            &refused("ACQ.DISCORDANT_REPEAT_REQUEST"),
            &refused(""),
            r#"{"code":"40004"}"#,
            r#"{"code":"20000","sub_code":"ACQ.TRADE_NOT_EXIST"}"#,
            r#"{"code":"10003","msg":"order success pay inprocess"}"#,
            r#"{"code":"40002","sub_code":"isv.invalid-signature"}"#,
            r#"{"code":10000}"#,
            r#"{"code":"10000","code":"10000"}"#,
            r#"{"msg":"Success"}"#,
            r#""10000""#,
            "[]",
            r#"{"code":"10000","app_id":"2021000000000002"}"#,
            r#"{"code":"10000","seller_id":"2088000000000002"}"#,
            r#"{"code":"40004","sub_code":"ACQ.TRADE_NOT_EXIST","seller_id":"2088000000000002"}"#,
            r#"{"code":"40004","sub_code":"ACQ.TRADE_NOT_EXIST","out_trade_no":"019300000000700080000000000000ac"}"#,
            r#"{"code":"10000","out_trade_no":"019300000000700080000000000000ac"}"#,
        ] {
            let answer = read::<Value>(&account, number(), unclear);
            assert!(matches!(answer, Err(GatewayError::Unclear(_))), "{unclear} {answer:?}");
        }
        assert!(
            read::<Value>(
                &account,
                number(),
                r#"{"code":"10000","app_id":"2021000000000001","seller_id":"2088000000000001"}"#
            )
            .is_ok()
        );
    }

    #[test]
    fn amounts_are_read_digit_by_digit() {
        for (json, expected) in [(r#""19.80""#, "19.80"), ("19.8", "19.80"), ("0.29", "0.29"), ("100", "100.00")] {
            assert_eq!(serde_json::from_str::<Yuan>(json).expect("an amount").0.to_string(), expected);
        }
        for json in [r#""19.805""#, "1e2", "-1", r#""""#, "null", "[]", "19.805"] {
            assert!(serde_json::from_str::<Yuan>(json).is_err(), "{json}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(verified(&ACCOUNT, Api::Query, &bytes).is_err());
        }

        #[test]
        fn no_text_makes_it_panic(text in r#"[{}\[\]",:\\ a-c/u0-9]{0,60}"#) {
            let body = format!(r#"{{"alipay_trade_query_response":{text},"sign":"AAAA"}}"#);
            prop_assert!(verified(&ACCOUNT, Api::Query, body.as_bytes()).is_err());
            prop_assert!(read::<Value>(&ACCOUNT, PaymentNumber(PaymentId(Uuid::nil())), &text).is_err());
        }

        /// Whatever object is signed comes out as it went in, by its bytes.
        #[test]
        fn values_come_out_as_they_went_in(value in "[^\\p{C}]{0,40}", blank in "[ \n\t]{0,3}") {
            let text = format!("{{{blank}\"a\"{blank}:{blank}{}{blank}}}", Value::from(value));
            let body = format!("{{{blank}\"alipay_trade_query_response\"{blank}:{blank}{text}{blank},\"sign\":\"AAAA\"}}");
            let split = split(Api::Query, body.as_bytes());
            prop_assert_eq!(split.map(|split| split.signed), Ok(text.as_str()));
        }
    }
}
