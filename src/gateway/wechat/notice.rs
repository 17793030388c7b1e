//! Notices of payments and refunds: <https://pay.weixin.qq.com/doc/v3/merchant/4012791861>.
//!
//! Contract: verified over the bytes as they came, then opened, then read; whatever the bytes are, nothing panics. A kind of notice that
//! is not known is an error, so that the provider sends it again and somebody looks.

use serde::Deserialize;

use super::api::Caller;
use super::seal::Sealed;
use super::wire::{self, Misfit, RefundNotice, Transaction};
use crate::gateway::{Answer, Envelope, Notice, NoticeError, Says, Standing};

/// The outside of a notice.
#[derive(Deserialize)]
struct Outside {
    id: String,
    event_type: String,
    resource: Sealed,
}

/// Verifies and reads a notice.
///
/// # Errors
/// [`NoticeError`].
pub(super) fn read(caller: &Caller, envelope: &Envelope<'_>) -> Result<Notice, NoticeError> {
    caller.verify(envelope.header, envelope.body, caller.client.deadline()).map_err(NoticeError::Unverified)?;
    let Outside { id, event_type, resource } = wire::parse(envelope.body)?;
    if !(1..=64).contains(&id.len()) {
        return Err(NoticeError::Strange("id is empty or too long".to_owned()));
    }
    let inside = || caller.account.seal_key.open(&resource).map_err(|why| Misfit::Strange(why.to_owned()));
    let says = match event_type.as_str() {
        "TRANSACTION.SUCCESS" => {
            let transaction = Transaction::read(&inside()?, &caller.account)?;
            match transaction.standing()? {
                Standing::Paid(receipt) => Says::Paid { number: transaction.out_trade_no, receipt },
                Standing::Unknown | Standing::Open | Standing::Paying | Standing::Closed => {
                    return Err(NoticeError::Strange("it tells of a payment that is not paid".to_owned()));
                }
            }
        }
        "REFUND.SUCCESS" | "REFUND.ABNORMAL" | "REFUND.CLOSED" => {
            let refund: RefundNotice = wire::parse(&inside()?)?;
            let standing = refund.standing(&caller.account, &event_type)?;
            Says::Refund { number: refund.out_refund_no, standing }
        }
        other => return Err(NoticeError::Strange(format!("event_type {} is not known", wire::shown(other)))),
    };
    Ok(Notice { id, says })
}

/// Anything but 200 and 204 makes the provider send it again.
pub(super) fn answer(is_taken: bool) -> Answer {
    let (status, body) = match is_taken {
        true => (204, ""),
        false => (401, r#"{"code":"FAIL","message":"not verified"}"#),
    };
    Answer { status, content_type: "application/json", body: body.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::{Arc, OnceLock};

    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::KeyPair;
    use aws_lc_rs::signature::RSA_PKCS1_SHA256;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use chrono::DateTime;
    use proptest::prelude::*;
    use rustls_pki_types::PrivatePkcs8KeyDer;
    use rustls_pki_types::pem::PemObject;
    use serde_json::{Value, json};

    use super::super::credentials::Account;
    use super::super::keys::Keys;
    use super::super::seal::SealKey;
    use super::super::sign::Signer;
    use super::super::vectors::vectors;
    use super::super::verify::PublicKey;
    use super::*;
    use crate::clock::Clock;
    use crate::config::Config;
    use crate::domain::money::Money;
    use crate::gateway::client::Line;
    use crate::gateway::{Receipt, RefundStanding};
    use crate::metrics::Metrics;

    /// An account that only reads.
    fn caller() -> Caller {
        let v = vectors();
        let key = PublicKey::of_pem(v.text("platform_public_key")).expect("a key");
        let account = Account {
            app_id: v.text("app_id").to_owned(),
            mch_id: v.text("mch_id").to_owned(),
            notify_url: String::new(),
            hosts: Vec::new(),
            signer: Signer::new(v.text("mch_id"), v.text("serial_no"), v.text("private_key")).expect("a key"),
            seal_key: SealKey::new(v.text("api_v3_key").as_bytes()).expect("a key"),
            keys: Keys::new(Some((v.text("public_key_id").to_owned(), key)), false),
        };
        let now = DateTime::from_timestamp(v.object("notice").number("timestamp"), 0).expect("a time");
        let config = Config::from_parts("", []).expect("the defaults").gateways;
        let client = Line::new(&config, Arc::new(Metrics::default())).client("wechat");
        Caller { account, client, clock: Clock::at(now) }
    }

    fn read_with(headers: &HashMap<String, String>, body: &[u8]) -> Result<Notice, NoticeError> {
        static CALLER: OnceLock<Caller> = OnceLock::new();
        let header = |name: &str| headers.get(name).map(String::as_str);
        read(CALLER.get_or_init(caller), &Envelope { header: &header, body })
    }

    /// Signed as the provider would.
    fn signed(body: &[u8]) -> HashMap<String, String> {
        static KEY: OnceLock<KeyPair> = OnceLock::new();
        let v = vectors();
        let key = KEY.get_or_init(|| {
            let der = PrivatePkcs8KeyDer::from_pem_slice(v.text("platform_private_key").as_bytes()).expect("a key");
            KeyPair::from_pkcs8(der.secret_pkcs8_der()).expect("a key")
        });
        let timestamp = v.object("notice").number("timestamp");
        let text = [format!("{timestamp}\nnonce\n").as_bytes(), body, b"\n"].concat();
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &text, &mut signature).expect("signs");
        let headers = [
            ("wechatpay-timestamp", timestamp.to_string()),
            ("wechatpay-nonce", "nonce".to_owned()),
            ("wechatpay-signature", STANDARD.encode(signature)),
            ("wechatpay-serial", v.text("public_key_id").to_owned()),
        ];
        headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn sealed(plaintext: &Value) -> Value {
        let key = UnboundKey::new(&AES_256_GCM, vectors().text("api_v3_key").as_bytes()).expect("a key");
        let nonce = Nonce::assume_unique_for_key(*b"012345678901");
        let mut bytes = plaintext.to_string().into_bytes();
        LessSafeKey::new(key).seal_in_place_append_tag(nonce, Aad::from("x"), &mut bytes).expect("seals");
        let ciphertext = STANDARD.encode(bytes);
        json!({
            "algorithm": "AEAD_AES_256_GCM", "nonce": "012345678901", "associated_data": "x", "ciphertext": ciphertext,
        })
    }

    /// What is read of a good notice with such an inside.
    fn told(event: &str, inside: &Value) -> Result<Says, NoticeError> {
        let body = json!({ "id": "EV-1", "event_type": event, "resource": sealed(inside) }).to_string();
        read_with(&signed(body.as_bytes()), body.as_bytes()).map(|notice| notice.says)
    }

    fn transaction() -> Value {
        let seal = vectors().list("seals")[0];
        serde_json::from_str(seal.text("plaintext")).expect("JSON")
    }

    #[test]
    fn a_notice_that_others_have_made_is_read() {
        let notice = vectors().object("notice");
        let header = |name: &str| notice.header(name);
        let read = read(&caller(), &Envelope { header: &header, body: notice.text("body").as_bytes() });
        let receipt = Receipt { transaction: "4200000000202611210000000001".to_owned(), amount: Money::from_fen(1980) };
        let number = "019300000000700080000000000000ab".to_owned();
        assert_eq!(read, Ok(Notice { id: "EV-2026112112000000001".to_owned(), says: Says::Paid { number, receipt } }));
    }

    #[test]
    fn a_changed_byte_or_another_key_is_not_read() {
        let notice = vectors().object("notice");
        let body = notice.text("body").as_bytes();
        let headers = notice.value()["headers"].as_object().expect("an object").iter();
        let headers = headers.map(|(name, value)| (name.clone(), value.as_str().expect("a text").to_owned())).collect();
        for position in (0..body.len()).step_by(17) {
            let mut changed = body.to_vec();
            changed[position] ^= 1;
            let result = read_with(&headers, &changed);
            assert_eq!(result, Err(NoticeError::Unverified("its signature is false")), "{position}");
        }
        let other = vectors().object("notice_of_certificate");
        let header = |name: &str| other.header(name);
        let result = read(&caller(), &Envelope { header: &header, body: other.text("body").as_bytes() });
        assert_eq!(result, Err(NoticeError::Unverified("it was signed with a key that is not known")));
    }

    #[test]
    fn what_is_for_others_is_not_ours() {
        for (field, value, what) in [
            ("mchid", json!("1900000002"), "mchid"),
            ("appid", json!("wxother"), "appid"),
            ("amount", json!({ "total": 1, "currency": "USD" }), "currency"),
        ] {
            let mut inside = transaction();
            inside[field] = value;
            assert_eq!(told("TRANSACTION.SUCCESS", &inside), Err(NoticeError::NotOurs(what)));
        }
        let refund = json!({ "mchid": "2", "out_refund_no": "r", "refund_status": "CLOSED", "amount": { "refund": 1, "total": 2 } });
        assert_eq!(told("REFUND.CLOSED", &refund), Err(NoticeError::NotOurs("mchid")));
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        let strange = |result: Result<Says, NoticeError>| matches!(result, Err(NoticeError::Strange(_)));
        for state in ["NOTPAY", "CLOSED", "USERPAYING", "SOMETHING"] {
            let mut inside = transaction();
            inside["trade_state"] = json!(state);
            assert!(strange(told("TRANSACTION.SUCCESS", &inside)), "{state}");
        }
        for event in ["TRANSACTION.CLOSED", "transaction.success", "", "REFUND.SOMETHING"] {
            assert!(strange(told(event, &transaction())), "{event}");
        }
        assert!(strange(told("TRANSACTION.SUCCESS", &json!([]))));
        assert!(strange(told("REFUND.SUCCESS", &transaction())));
        let body =
            json!({ "id": "", "event_type": "TRANSACTION.SUCCESS", "resource": sealed(&transaction()) }).to_string();
        assert!(matches!(read_with(&signed(body.as_bytes()), body.as_bytes()), Err(NoticeError::Strange(_))));
        for body in ["", "{}", "null", "[1]", "\u{0}"] {
            assert!(
                matches!(read_with(&signed(body.as_bytes()), body.as_bytes()), Err(NoticeError::Strange(_))),
                "{body}"
            );
        }
    }

    #[test]
    fn refunds_are_told_by_their_status_and_their_event() {
        let refund = |status: &str, amount: u64| {
            json!({
                "mchid": vectors().text("mch_id"), "out_trade_no": "t", "transaction_id": "42", "out_refund_no": "r",
                "refund_id": "50", "refund_status": status, "user_received_account": "零钱",
                "amount": { "total": 1980, "refund": amount, "payer_total": 1980, "payer_refund": 500 },
            })
        };
        for (event, status, standing) in [
            ("REFUND.SUCCESS", "SUCCESS", RefundStanding::Succeeded),
            ("REFUND.ABNORMAL", "ABNORMAL", RefundStanding::Abnormal),
            ("REFUND.CLOSED", "CLOSED", RefundStanding::Failed),
        ] {
            let number = "r".to_owned();
            assert_eq!(told(event, &refund(status, 500)), Ok(Says::Refund { number, standing }));
        }
        for (event, status, amount) in [
            ("REFUND.SUCCESS", "CLOSED", 500),
            ("REFUND.CLOSED", "SUCCESS", 500),
            ("REFUND.SUCCESS", "SUCCESS", 0),
            ("REFUND.SUCCESS", "SUCCESS", 1981),
        ] {
            assert!(
                matches!(told(event, &refund(status, amount)), Err(NoticeError::Strange(_))),
                "{event} {status} {amount}"
            );
        }
    }

    #[test]
    fn answers_say_taken_or_fail() {
        assert_eq!((answer(true).status, answer(true).body.as_str()), (204, ""));
        let refused: Value = serde_json::from_str(&answer(false).body).expect("JSON");
        assert_eq!((answer(false).status, &refused["code"]), (401, &json!("FAIL")));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// Whatever comes, whoever sends it.
        #[test]
        fn nothing_panics(
            headers in prop::collection::hash_map("wechatpay-(timestamp|nonce|signature|serial|signature-type)", "\\PC{0,40}", 0..6),
            body in prop::collection::vec(any::<u8>(), 0..400),
        ) {
            prop_assert!(read_with(&headers, &body).is_err());
        }

        /// With headers that pass, so that the body is reached.
        #[test]
        fn no_signed_body_panics(body in prop::collection::vec(any::<u8>(), 0..400), text in "\\PC{0,80}", fen in any::<u64>()) {
            prop_assert!(read_with(&signed(&body), &body).is_err());
            let outside = json!({ "id": text, "event_type": text, "resource": { "algorithm": text, "ciphertext": text, "nonce": text } });
            let outside = outside.to_string();
            prop_assert!(read_with(&signed(outside.as_bytes()), outside.as_bytes()).is_err());
            let mut inside = transaction();
            inside["amount"]["total"] = json!(fen);
            inside["out_trade_no"] = json!(text);
            let is_amount = (1..=Money::MAX.fen()).contains(&fen);
            prop_assert_eq!(told("TRANSACTION.SUCCESS", &inside).is_ok(), is_amount);
        }
    }
}
