//! Payments by WeChat, against a server that plays WeChat Pay.

use std::fmt::Debug;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use rowlock::clock::Clock;
use rowlock::config::Config;
use rowlock::domain::money::Money;
use rowlock::domain::order::PayMethod;
use rowlock::domain::payment::{Channel, PaymentNumber, RefundNumber};
use rowlock::domain::{MerchantId, PaymentId, RefundId};
use rowlock::gateway::{
    Charge, Checkout, Gateway, GatewayError, Gateways, Receipt, RefundStanding, Refunding, Standing,
};
use rowlock::metrics::Metrics;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::noon;
use crate::wechat_mock::{By, Provider, Received, Reply, error, good, vector};

const PAYMENT: &str = "019300000000700080000000000000ab";
const REFUND: &str = "019300000000700080000000000000cd";
pub(crate) const OWN_KEY: &str = "public_key_id = '@public_key_id'\npublic_key = '''@platform_public_key'''\n";

/// An account at a provider that is played.
pub(crate) struct Account {
    pub(crate) clock: Clock,
    pub(crate) provider: Provider,
    pub(crate) gateway: Arc<dyn Gateway>,
    _dir: tempfile::TempDir,
}

/// Writes the credentials of shop 1 into a folder, and returns the file.
pub(crate) fn credentials(dir: &Path, provider_url: &str, more: &str) -> String {
    let table = format!(
        "[wechat.1]\napp_id = '@app_id'\nmch_id = '@mch_id'\nserial_no = '@serial_no'\napi_v3_key = '@api_v3_key'\n\
         private_key = '''@private_key'''\nbase_url = '{provider_url}'\nlogin_url = '{provider_url}'\n{more}"
    );
    // The longer names first: some begin with others.
    let names = ["platform_public_key", "public_key_id", "private_key", "api_v3_key", "serial_no", "mch_id", "app_id"];
    let table = names.iter().fold(table, |table, name| table.replace(&format!("@{name}"), vector(name)));
    let file = dir.join("gateways.toml");
    fs::write(&file, table).unwrap();
    file.to_str().unwrap().to_owned()
}

impl Account {
    fn open() -> Self {
        Self::with(OWN_KEY)
    }

    pub(crate) fn with(more: &str) -> Self {
        let clock = Clock::at(noon());
        let provider = Provider::start(&clock);
        let url = provider.url.clone();
        Self::at(clock, provider, &url, more)
    }

    fn at(clock: Clock, provider: Provider, url: &str, more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = credentials(dir.path(), url, more);
        let variables = [("ROWLOCK_GATEWAYS_FILE", file.as_str()), ("ROWLOCK_GATEWAYS_TIMEOUT_MS", "4000")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = Config::from_parts("", variables).unwrap().gateways;
        let public_url = "http://shop.example".to_owned();
        let gateways =
            Gateways::open(&config, public_url, &[7; 32], clock.clone(), Arc::new(Metrics::default())).unwrap();
        let gateway = gateways.get(MerchantId(1), PayMethod::Wechat).unwrap();
        Self { clock, provider, gateway, _dir: dir }
    }

    /// The paths of what `call` asks when it is answered so, and what becomes of it.
    pub(crate) fn answered<T>(&self, replies: &[Reply], call: impl FnOnce(&dyn Gateway) -> T) -> (T, Vec<Received>) {
        self.provider.will(replies.to_vec());
        let result = call(&*self.gateway);
        (result, self.provider.received())
    }
}

pub(crate) fn number() -> PaymentNumber {
    PaymentNumber(PaymentId(Uuid::parse_str(PAYMENT).unwrap()))
}

pub(crate) fn charge() -> Charge<'static> {
    Charge {
        number: number(),
        amount: "19.80".parse().unwrap(),
        description: "饺子馆",
        channel: Channel::MiniProgram,
        payer: Some("oUpF8u"),
        expires_at: noon() + TimeDelta::minutes(15),
    }
}

fn refunding() -> Refunding<'static> {
    Refunding {
        number: RefundNumber { refund: RefundId(Uuid::parse_str(REFUND).unwrap()), round: 2 },
        payment: number(),
        transaction: "42000001",
        amount: "5.00".parse().unwrap(),
        paid: "19.80".parse().unwrap(),
        reason: "卖完了",
    }
}

pub(crate) fn prepay() -> Value {
    json!({ "prepay_id": "wx201410272009395522657a690389285100" })
}

/// A query's answer, with some fields replaced.
pub(crate) fn transaction(changes: Value) -> Value {
    let mut body = json!({
        "appid": vector("app_id"), "mchid": vector("mch_id"), "out_trade_no": PAYMENT, "trade_type": "JSAPI",
        "trade_state": "SUCCESS", "transaction_id": "42000001", "payer": { "openid": "oUpF8u" },
        "amount": { "total": 1980, "payer_total": 1980, "currency": "CNY", "payer_currency": "CNY" },
    });
    body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    body
}

/// A refund's, likewise.
fn refund(changes: Value) -> Value {
    let mut body = json!({
        "refund_id": "50000001", "out_refund_no": format!("{REFUND}-2"), "transaction_id": "42000001",
        "out_trade_no": PAYMENT, "channel": "ORIGINAL", "status": "PROCESSING",
        "amount": { "total": 1980, "refund": 500, "payer_total": 1980, "payer_refund": 500, "currency": "CNY" },
    });
    body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    body
}

pub(crate) fn paid() -> Standing {
    Standing::Paid(Receipt { transaction: "42000001".to_owned(), amount: Money::from_fen(1980) })
}

/// One word for how a call ended.
pub(crate) fn word<T: Debug>(result: &Result<T, GatewayError>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(GatewayError::Unsent(_)) => "unsent".to_owned(),
        Err(GatewayError::Unclear(_)) => "unclear".to_owned(),
        Err(GatewayError::Busy) => "busy".to_owned(),
        Err(GatewayError::Refused { code, .. }) => code.clone(),
    }
}

#[test]
fn a_payment_is_announced_and_the_mini_program_can_make_it() {
    let account = Account::open();
    let (checkout, asked) = account.answered(&[good(200, &prepay())], |gateway| gateway.create(&charge()));
    let Checkout::WechatMiniProgram { time_stamp, nonce_str, package, sign_type, pay_sign } = checkout.unwrap() else {
        panic!("it is for mini-programs");
    };
    let package_expected = "prepay_id=wx201410272009395522657a690389285100";
    assert_eq!((package.as_str(), sign_type.as_str()), (package_expected, "RSA"));
    assert_eq!(time_stamp, noon().timestamp().to_string());
    let pem: String = vector("merchant_public_key").lines().filter(|line| !line.starts_with('-')).collect();
    let text = format!("{}\n{time_stamp}\n{nonce_str}\n{package}\n", vector("app_id"));
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, STANDARD.decode(pem).unwrap())
        .verify(text.as_bytes(), &STANDARD.decode(pay_sign).unwrap())
        .unwrap();
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].method.as_str(), asked[0].path.as_str()), ("POST", "/v3/pay/transactions/jsapi"));
    assert_eq!(asked[0].header("wechatpay-serial"), vector("public_key_id"), "what it is to sign with");
    assert_eq!((asked[0].header("accept"), asked[0].header("content-type")), ("application/json", "application/json"));
    assert_eq!(
        asked[0].json(),
        json!({
            "appid": vector("app_id"), "mchid": vector("mch_id"), "description": "饺子馆", "out_trade_no": PAYMENT,
            "time_expire": "2026-11-21T12:15:00+08:00",
            "notify_url": "http://shop.example/v1/callbacks/1/wechat",
            "amount": { "total": 1980, "currency": "CNY" }, "payer": { "openid": "oUpF8u" },
        })
    );
    for (charge, code) in [
        (Charge { payer: None, ..charge() }, "PAYER_MISSING"),
        (Charge { payer: Some(""), ..charge() }, "PAYER_MISSING"),
        (Charge { channel: Channel::Qr, ..charge() }, "CHANNEL_NOT_OFFERED"),
        (Charge { amount: Money::ZERO, ..charge() }, "AMOUNT_ZERO"),
    ] {
        let (result, asked) = account.answered(&[], |gateway| gateway.create(&charge));
        assert_eq!((word(&result).as_str(), asked.len()), (code, 0));
    }
    for body in [json!({}), json!({ "prepay_id": "" }), json!({ "prepay_id": "a\nb" }), json!({ "prepay_id": 1 })] {
        let (result, _) = account.answered(&[good(200, &body)], |gateway| gateway.create(&charge()));
        assert_eq!(word(&result), "unclear", "{body}");
    }
    let (result, _) = account.answered(&[good(204, &Value::Null)], |gateway| gateway.create(&charge()));
    assert_eq!(word(&result), "unclear", "success, with nothing");
}

#[test]
fn a_query_tells_where_a_payment_stands() {
    let account = Account::open();
    let open = json!({ "trade_state": "NOTPAY", "transaction_id": null, "amount": null });
    for (reply, expected) in [
        (good(200, &transaction(json!({}))), paid()),
        (good(200, &transaction(open)), Standing::Open),
        (good(200, &transaction(json!({ "trade_state": "CLOSED" }))), Standing::Closed),
        (good(200, &transaction(json!({ "trade_state": "USERPAYING" }))), Standing::Paying),
        (error(404, "ORDER_NOT_EXIST"), Standing::Unknown),
        (error(404, "ORDERNOTEXIST"), Standing::Unknown),
    ] {
        let (result, asked) = account.answered(std::slice::from_ref(&reply), |gateway| gateway.query(number()));
        assert_eq!(result, Ok(expected), "{reply:?}");
        let path = format!("/v3/pay/transactions/out-trade-no/{PAYMENT}?mchid={}", vector("mch_id"));
        assert_eq!((asked.len(), &asked[0].path, asked[0].method.as_str()), (1, &path, "GET"));
    }
    let euro = json!({ "total": 1980, "currency": "EUR" });
    for changes in [
        json!({ "out_trade_no": REFUND }),
        json!({ "appid": "wxother" }),
        json!({ "mchid": "1900000002" }),
        json!({ "amount": euro }),
        json!({ "trade_state": "SOMETHING" }),
        json!({ "trade_state": "REFUND" }),
    ] {
        let reply = good(200, &transaction(changes.clone()));
        let (result, _) = account.answered(&[reply], |gateway| gateway.query(number()));
        assert_eq!(word(&result), "unclear", "{changes}");
    }
}

#[test]
fn closing_succeeds_by_204_alone() {
    let account = Account::open();
    let (result, asked) = account.answered(&[good(204, &Value::Null)], |gateway| gateway.close(number()));
    assert_eq!(result, Ok(()));
    assert_eq!(asked[0].path, format!("/v3/pay/transactions/out-trade-no/{PAYMENT}/close"));
    assert_eq!((asked[0].method.as_str(), asked[0].json()), ("POST", json!({ "mchid": vector("mch_id") })));
    for (reply, expected) in [
        (error(400, "ORDERPAID"), "ORDERPAID"),
        (error(400, "ORDER_PAID"), "ORDER_PAID"),
        (error(400, "ORDER_CLOSED"), "ORDER_CLOSED"),
        (error(202, "USERPAYING"), "USERPAYING"),
        (error(404, "ORDER_NOT_EXIST"), "ORDER_NOT_EXIST"),
        (error(403, "TRADE_ERROR"), "TRADE_ERROR"),
        (error(403, "SOMETHING_NEW"), "unclear"),
        (good(200, &json!({})), "unclear"),
        (Reply::Unsigned(204, String::new()), "unclear"),
        (Reply::Unsigned(404, r#"{"code":"ORDER_NOT_EXIST"}"#.to_owned()), "unclear"),
        (Reply::Unsigned(401, r#"{"code":"SIGN_ERROR"}"#.to_owned()), "SIGN_ERROR"),
    ] {
        let (result, asked) = account.answered(std::slice::from_ref(&reply), |gateway| gateway.close(number()));
        assert_eq!((word(&result).as_str(), asked.len()), (expected, 1), "{reply:?}");
    }
}

#[test]
fn money_goes_back_under_one_number() {
    let account = Account::open();
    let (result, asked) = account.answered(&[good(200, &refund(json!({})))], |gateway| gateway.refund(&refunding()));
    assert_eq!(result, Ok(RefundStanding::Processing));
    assert_eq!((asked[0].method.as_str(), asked[0].path.as_str()), ("POST", "/v3/refund/domestic/refunds"));
    assert_eq!(
        asked[0].json(),
        json!({
            "transaction_id": "42000001", "out_refund_no": format!("{REFUND}-2"), "reason": "卖完了",
            "notify_url": "http://shop.example/v1/callbacks/1/wechat",
            "amount": { "refund": 500, "total": 1980, "currency": "CNY" },
        })
    );
    for (status, expected) in [
        ("SUCCESS", RefundStanding::Succeeded),
        ("CLOSED", RefundStanding::Failed),
        ("ABNORMAL", RefundStanding::Abnormal),
    ] {
        let reply = good(200, &refund(json!({ "status": status })));
        let (result, asked) = account.answered(&[reply], |gateway| gateway.query_refund(&refunding()));
        assert_eq!(result, Ok(expected));
        let path = format!("/v3/refund/domestic/refunds/{REFUND}-2");
        assert_eq!((asked[0].method.as_str(), &asked[0].path), ("GET", &path));
    }
    let (result, _) =
        account.answered(&[error(404, "RESOURCE_NOT_EXISTS")], |gateway| gateway.query_refund(&refunding()));
    assert_eq!(result, Ok(RefundStanding::Unknown));
    for changes in [
        json!({ "out_refund_no": REFUND }),
        json!({ "out_trade_no": REFUND }),
        json!({ "transaction_id": "42000002" }),
        json!({ "status": "SOMETHING" }),
        json!({ "amount": { "total": 1980, "refund": 501, "currency": "CNY" } }),
        json!({ "amount": { "total": 1981, "refund": 500, "currency": "CNY" } }),
        json!({ "amount": { "total": 1980, "refund": 500, "currency": "USD" } }),
    ] {
        let reply = good(200, &refund(changes.clone()));
        let (result, _) = account.answered(std::slice::from_ref(&reply), |gateway| gateway.refund(&refunding()));
        assert_eq!(word(&result), "unclear", "{changes}");
        let (result, _) = account.answered(&[reply], |gateway| gateway.query_refund(&refunding()));
        assert_eq!(word(&result), "unclear", "{changes}");
    }
    // Whatever it is answered, the next attempt is a minute away.
    let system = error(500, "SYSTEM_ERROR");
    for (reply, expected) in [
        (system, "unclear"),
        (error(429, ""), "busy"),
        (error(202, ""), "unclear"),
        (error(403, "NOT_ENOUGH"), "NOT_ENOUGH"),
    ] {
        let replies = [reply, good(200, &refund(json!({})))];
        let (result, asked) = account.answered(&replies, |gateway| gateway.refund(&refunding()));
        assert_eq!((word(&result).as_str(), asked.len()), (expected, 1));
    }
}

#[test]
fn what_is_not_signed_well_is_not_believed() {
    let account = Account::open();
    let body = transaction(json!({})).to_string();
    for reply in [
        Reply::Unsigned(200, body.clone()),
        Reply::Changed(200, body.clone()),
        Reply::SignedAt(-301, 200, body.clone()),
        Reply::SignedAt(301, 200, body.clone()),
        Reply::Signed(By::Certificate(0), 200, body.clone()),
        Reply::Signed(By::Impostor, 200, body.clone()),
        Reply::Changed(404, r#"{"code":"ORDER_NOT_EXIST"}"#.to_owned()),
    ] {
        let (result, asked) = account.answered(std::slice::from_ref(&reply), |gateway| gateway.query(number()));
        assert_eq!((word(&result).as_str(), asked.len()), ("unclear", 1), "{reply:?}");
    }
    for away in [-300, 300] {
        let reply = Reply::SignedAt(away, 200, body.clone());
        let (result, _) = account.answered(&[reply], |gateway| gateway.query(number()));
        assert_eq!(result, Ok(paid()));
    }
    // The provider's own probe is refused, and the question asked again.
    let probes = [Reply::Probe(200, body.clone()), good(200, &transaction(json!({})))];
    let (result, asked) = account.answered(&probes, |gateway| gateway.query(number()));
    assert_eq!((result, asked.len()), (Ok(paid()), 2));
    let probes = [(); 3].map(|()| Reply::Probe(200, body.clone()));
    let (result, asked) = account.answered(&probes, |gateway| gateway.query(number()));
    assert_eq!((word(&result).as_str(), asked.len()), ("unclear", 3));
}

#[test]
fn what_may_be_repeated_is_repeated_twice_and_signed_anew() {
    let account = Account::open();
    for reply in [error(500, "SYSTEM_ERROR"), Reply::Unsigned(502, String::new()), error(429, ""), error(202, "")] {
        let replies = [reply.clone(), reply.clone(), good(200, &prepay())];
        let (result, asked) = account.answered(&replies, |gateway| gateway.create(&charge()));
        assert!(result.is_ok(), "{reply:?}: {result:?}");
        assert_eq!(asked.len(), 3);
        for (one, other) in [(0, 1), (0, 2), (1, 2)] {
            assert_eq!((&asked[one].body, &asked[one].path), (&asked[other].body, &asked[other].path));
            assert_ne!(asked[one].part("nonce_str"), asked[other].part("nonce_str"));
            assert_ne!(asked[one].part("signature"), asked[other].part("signature"));
        }
    }
    for (reply, expected) in [
        (error(500, "SYSTEM_ERROR"), "unclear"),
        (error(429, "FREQUENCY_LIMITED"), "busy"),
        (error(202, ""), "unclear"),
    ] {
        let replies = [(); 4].map(|()| reply.clone());
        let (result, asked) = account.answered(&replies, |gateway| gateway.close(number()));
        assert_eq!((word(&result).as_str(), asked.len()), (expected, 3), "{reply:?}");
    }
    let replies = [error(500, ""), error(429, ""), error(429, "")];
    let (result, _) = account.answered(&replies, |gateway| gateway.create(&charge()));
    assert_eq!(word(&result), "unclear", "the first may have been acted upon");
    for code in ["PARAM_ERROR", "ORDERPAID", "OUT_TRADE_NO_USED", "NO_AUTH"] {
        let replies = [error(400, code), good(200, &prepay())];
        let (result, asked) = account.answered(&replies, |gateway| gateway.create(&charge()));
        assert_eq!((word(&result).as_str(), asked.len()), (code, 1));
    }
}

#[test]
fn nobody_waits_longer_than_configured() {
    let account = Account::open();
    for reply in [Reply::Hang, Reply::Drip, Reply::Reset] {
        let begun = Instant::now();
        let replies = [reply.clone(), good(200, &prepay())];
        let (result, asked) = account.answered(&replies, |gateway| gateway.create(&charge()));
        assert_eq!((word(&result).as_str(), asked.len()), ("unclear", 1), "{reply:?}");
        assert!(begun.elapsed() < Duration::from_millis(6000), "{reply:?} held for {:?}", begun.elapsed());
    }
}

#[test]
fn another_host_is_tried_when_the_first_is_not_reached() {
    let nobody = "http://127.0.0.1:1";
    let clock = Clock::at(noon());
    let provider = Provider::start(&clock);
    let backup = format!("{OWN_KEY}backup_url = '{}'\n", provider.url);
    let account = Account::at(clock, provider, nobody, &backup);
    let (result, asked) = account.answered(&[good(200, &transaction(json!({})))], |gateway| gateway.query(number()));
    assert_eq!((result, asked.len()), (Ok(paid()), 1));
    let (result, _) = account.answered(&[good(200, &refund(json!({})))], |gateway| gateway.refund(&refunding()));
    assert_eq!(result, Ok(RefundStanding::Processing), "what was not delivered may be sent at once");
    // An answer, whatever it is, is an answer.
    let account = Account::with(&format!("{OWN_KEY}backup_url = '{nobody}'\n"));
    let (result, asked) = account.answered(&[error(403, "TRADE_ERROR")], |gateway| gateway.query(number()));
    assert_eq!((word(&result).as_str(), asked.len()), ("TRADE_ERROR", 1));
    let clock = Clock::at(noon());
    let account = Account::at(clock.clone(), Provider::start(&clock), nobody, OWN_KEY);
    assert_eq!(word(&account.gateway.create(&charge())), "unsent");
    assert_eq!(word(&account.gateway.refund(&refunding())), "unsent");
}
