//! The gateway to Alipay, opened from a file of credentials, against an Alipay of our own.

use chrono::TimeDelta;
use reqwest::Url;
use rowlock::domain::money::Money;
use rowlock::domain::payment::{Channel, PaymentNumber, RefundNumber};
use rowlock::gateway::{
    Answer, Charge, Checkout, Envelope, Gateway, GatewayError, Receipt, RefundStanding, Refunding, Says, Standing,
};
use rowlock::metrics::GatewayLabels;
use serde_json::{Value, json};

use crate::alipay_server::{Alipay, Opened, Reply, accept, pem, text, try_open, vectors};
use crate::harness::noon;

const TRADE: &str = "2026112122001400000000000001";

fn number() -> PaymentNumber {
    text(&vectors()["number"]).parse().unwrap()
}

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

const IDS: &str = "app_id = \"2021000000000001\"\nseller_id = \"2088000000000001\"\n";
const KEYS: &str = "private_key = \"app.pem\"\nalipay_public_key = \"alipay.pem\"\n";
const CERTIFICATES: &str = "private_key = \"app.pem\"\napp_cert = \"app.crt\"\nalipay_cert = \"alipay.crt\"\nalipay_root_cert = \"root.crt\"\n";

fn open_at(url: &str) -> Opened {
    try_open(&format!("{IDS}{KEYS}base_url = \"{url}\"")).unwrap_or_else(|error| panic!("{error}"))
}

fn charge(channel: Channel) -> Charge<'static> {
    let expires_at = noon() + TimeDelta::minutes(15);
    let payer = Some("2088000000000009");
    Charge { number: number(), amount: money("19.80"), description: "饺子 + 面", channel, payer, expires_at }
}

fn refunding() -> Refunding<'static> {
    let number_of_refund: RefundNumber = text(&vectors()["refund_number"]).parse().unwrap();
    let (amount, paid) = (money("5.00"), money("19.80"));
    Refunding { number: number_of_refund, payment: number(), transaction: TRADE, amount, paid, reason: "sold out" }
}

fn ok(extra: Value) -> Value {
    let mut all = json!({ "code": "10000", "msg": "Success", "out_trade_no": number().to_string() });
    all.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    all
}

fn failure(sub_code: &str) -> Value {
    json!({ "code": "40004", "msg": "Business Failed", "sub_code": sub_code, "sub_msg": "业务失败" })
}

/// Answers one call so, and returns what came of it.
fn with<T>(reply: Reply, ask: impl Fn(&dyn Gateway) -> Result<T, GatewayError>) -> Result<T, GatewayError> {
    let alipay = Alipay::start(&[reply]);
    let result = ask(open_at(&alipay.url).gateway.as_ref());
    assert_eq!(alipay.received.lock().unwrap().len(), 1, "what was delivered is not repeated");
    result
}

#[test]
fn pages_are_signed_without_a_call() {
    let opened = open_at("http://127.0.0.1:9/gateway.do");
    assert_eq!(opened.gateway.channels().first(), Some(&Channel::Page));
    for (channel, method, product) in [
        (Channel::Page, "alipay.trade.page.pay", "FAST_INSTANT_TRADE_PAY"),
        (Channel::Wap, "alipay.trade.wap.pay", "QUICK_WAP_WAY"),
    ] {
        let Ok(Checkout::Redirect { url }) = opened.gateway.create(&charge(channel)) else { panic!("no page") };
        let parameters = accept(Url::parse(&url).unwrap().query_pairs().into_owned());
        assert_eq!(parameters["method"], method);
        assert_eq!(parameters["timestamp"], "2026-11-21 12:00:00");
        assert_eq!(parameters["notify_url"], "https://shop.example/v1/callbacks/1/alipay");
        let content: Value = serde_json::from_str(&parameters["biz_content"]).unwrap();
        let expected = json!({
            "out_trade_no": number().to_string(), "product_code": product, "subject": "饺子 + 面",
            "time_expire": "2026-11-21 12:15:00", "total_amount": "19.80",
        });
        assert_eq!(content, expected);
    }
}

#[test]
fn mini_programs_and_codes_are_announced() {
    let alipay = Alipay::start(&[Reply::Good(ok(json!({ "trade_no": TRADE })))]);
    let checkout = open_at(&alipay.url).gateway.create(&charge(Channel::MiniProgram));
    assert_eq!(checkout, Ok(Checkout::AlipayMiniProgram { trade_no: TRADE.to_owned() }));
    let (parameters, content) = alipay.only();
    assert_eq!(parameters["method"], "alipay.trade.create");
    assert_eq!(parameters["notify_url"], "https://shop.example/v1/callbacks/1/alipay");
    assert_eq!(
        (&content["buyer_id"], &content["time_expire"]),
        (&json!("2088000000000009"), &json!("2026-11-21 12:15:00"))
    );

    let alipay = Alipay::start(&[Reply::Good(ok(json!({ "qr_code": "https://qr.alipay.com/bax" })))]);
    let checkout = open_at(&alipay.url).gateway.create(&charge(Channel::Qr));
    assert_eq!(checkout, Ok(Checkout::Qr { code: "https://qr.alipay.com/bax".to_owned() }));
    assert_eq!(alipay.only().0["method"], "alipay.trade.precreate");

    let refused = with(Reply::Good(failure("ACQ.TRADE_HAS_SUCCESS")), |gateway| gateway.create(&charge(Channel::Qr)));
    assert!(matches!(refused, Err(GatewayError::Refused { code, .. }) if code == "ACQ.TRADE_HAS_SUCCESS"));
    let nobody = open_at("http://127.0.0.1:9/").gateway.create(&Charge { payer: None, ..charge(Channel::MiniProgram) });
    assert!(matches!(nobody, Err(GatewayError::Refused { .. })));
}

#[test]
fn queries_tell_where_a_payment_stands() {
    let state = |status: &str| ok(json!({ "trade_no": TRADE, "trade_status": status, "total_amount": "19.80" }));
    let paid = Standing::Paid(Receipt { transaction: TRADE.to_owned(), amount: money("19.80") });
    for (reply, expected) in [
        (state("WAIT_BUYER_PAY"), Some(Standing::Open)),
        (state("TRADE_SUCCESS"), Some(paid.clone())),
        (state("TRADE_FINISHED"), Some(paid)),
        (state("TRADE_CLOSED"), Some(Standing::Closed)),
        (failure("ACQ.TRADE_NOT_EXIST"), Some(Standing::Unknown)),
        (state("TRADE_NEW"), None),
        (failure("ACQ.SYSTEM_ERROR"), None),
        (json!({ "code": "20000", "msg": "Service Currently Unavailable", "sub_code": "isp.unknow-error" }), None),
    ] {
        let standing = with(Reply::Good(reply.clone()), |gateway| gateway.query(number()));
        match expected {
            Some(expected) => assert_eq!(standing, Ok(expected)),
            None => assert!(matches!(standing, Err(GatewayError::Unclear(_))), "{reply} {standing:?}"),
        }
    }
    let alipay = Alipay::start(&[Reply::Good(state("TRADE_SUCCESS"))]);
    open_at(&alipay.url).gateway.query(number()).unwrap();
    let (parameters, content) = alipay.only();
    assert_eq!((parameters["method"].as_str(), parameters.contains_key("notify_url")), ("alipay.trade.query", false));
    assert_eq!(content, json!({ "out_trade_no": number().to_string() }));
}

#[test]
fn closes_are_done_or_refused() {
    let close = |gateway: &dyn Gateway| gateway.close(number());
    assert_eq!(with(Reply::Good(ok(json!({ "trade_no": TRADE }))), close), Ok(()));
    for code in [
        "ACQ.TRADE_NOT_EXIST",
        "ACQ.TRADE_STATUS_ERROR",
        "ACQ.REASON_TRADE_STATUS_INVALID",
        "ACQ.REASON_ILLEGAL_STATUS",
    ] {
        let refused = with(Reply::Good(failure(code)), close);
        assert_eq!(refused, Err(GatewayError::Refused { code: code.to_owned(), message: "业务失败".to_owned() }));
    }
    let other = with(Reply::Good(json!({ "code": "10000", "out_trade_no": "another" })), close);
    assert!(matches!(other, Err(GatewayError::Unclear(_))));
}

#[test]
fn refunds_are_made_when_alipay_says_so() {
    let refund = |gateway: &dyn Gateway| gateway.refund(&refunding());
    let refunded = |change: &str| ok(json!({ "trade_no": TRADE, "fund_change": change, "refund_fee": "5.00" }));
    assert_eq!(with(Reply::Good(refunded("Y")), refund), Ok(RefundStanding::Succeeded));
    assert_eq!(with(Reply::Good(refunded("N")), refund), Ok(RefundStanding::Processing));
    for code in ["ACQ.TRADE_HAS_FINISHED", "ACQ.SELLER_BALANCE_NOT_ENOUGH"] {
        let refused = with(Reply::Good(failure(code)), refund);
        assert!(matches!(refused, Err(GatewayError::Refused { code: said, .. }) if said == code));
    }
    for reply in [Reply::Hang, Reply::Half, Reply::Good(failure("ACQ.SYSTEM_ERROR")), Reply::Forged(refunded("Y"))] {
        assert!(matches!(with(reply, refund), Err(GatewayError::Unclear(_))));
    }

    let query = |gateway: &dyn Gateway| gateway.query_refund(&refunding());
    let found = json!({
        "trade_no": TRADE, "out_request_no": refunding().number.to_string(), "refund_status": "REFUND_SUCCESS",
        "refund_amount": "5.00", "total_amount": "19.80",
    });
    assert_eq!(with(Reply::Good(ok(found)), query), Ok(RefundStanding::Succeeded));
    assert_eq!(with(Reply::Good(json!({ "code": "10000", "msg": "Success" })), query), Ok(RefundStanding::Unknown));
    assert!(matches!(with(Reply::Good(failure("ACQ.TRADE_NOT_EXIST")), query), Err(GatewayError::Refused { .. })));

    let alipay = Alipay::start(&[Reply::Good(refunded("Y"))]);
    open_at(&alipay.url).gateway.refund(&refunding()).unwrap();
    let expected = json!({
        "out_trade_no": number().to_string(), "trade_no": TRADE, "out_request_no": refunding().number.to_string(),
        "refund_amount": "5.00", "refund_reason": "sold out",
    });
    assert_eq!(alipay.only().1, expected);
}

#[test]
fn what_alipay_has_not_signed_is_not_believed() {
    let paid = ok(json!({ "trade_no": TRADE, "trade_status": "TRADE_SUCCESS", "total_amount": "19.80" }));
    let mut other_seller = paid.clone();
    other_seller["seller_id"] = json!("2088000000000002");
    for reply in [
        Reply::Forged(paid.clone()),
        Reply::Unsigned(paid.clone()),
        Reply::Forged(failure("ACQ.TRADE_NOT_EXIST")),
        Reply::Unsigned(failure("ACQ.TRADE_NOT_EXIST")),
        Reply::Error(json!({ "code": "40002", "msg": "Invalid Arguments", "sub_code": "isv.invalid-app-id" })),
        Reply::Good(other_seller),
        Reply::Raw(200, "<html>busy</html>"),
        Reply::Raw(502, "{}"),
        Reply::Raw(302, ""),
        Reply::Half,
        Reply::Hang,
    ] {
        let standing = with(reply.clone(), |gateway| gateway.query(number()));
        assert!(matches!(standing, Err(GatewayError::Unclear(_))), "{reply:?} {standing:?}");
    }
}

#[test]
fn what_was_not_delivered_is_sent_again_but_for_refunds() {
    // Nobody listens at port 1, and no other test is given it.
    let url = "http://127.0.0.1:1/gateway.do";
    let unsent = |ask: &dyn Fn(&dyn Gateway) -> bool| {
        let opened = open_at(url);
        assert!(ask(opened.gateway.as_ref()));
        let labels = GatewayLabels { gateway: "alipay", outcome: "unsent" };
        opened.metrics.gateway_requests.get_or_create(&labels).get()
    };
    assert_eq!(unsent(&|gateway| matches!(gateway.query(number()), Err(GatewayError::Unsent(_)))), 3);
    assert_eq!(unsent(&|gateway| matches!(gateway.close(number()), Err(GatewayError::Unsent(_)))), 3);
    assert_eq!(unsent(&|gateway| matches!(gateway.create(&charge(Channel::Qr)), Err(GatewayError::Unsent(_)))), 3);
    assert_eq!(unsent(&|gateway| matches!(gateway.query_refund(&refunding()), Err(GatewayError::Unsent(_)))), 3);
    assert_eq!(unsent(&|gateway| matches!(gateway.refund(&refunding()), Err(GatewayError::Unsent(_)))), 1);
}

#[test]
fn certificates_are_named_in_requests() {
    let state = ok(json!({ "trade_no": TRADE, "trade_status": "WAIT_BUYER_PAY", "total_amount": "19.80" }));
    let alipay = Alipay::start(&[Reply::Good(state)]);
    let opened = try_open(&format!("{IDS}{CERTIFICATES}base_url = \"{}\"", alipay.url))
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(opened.gateway.query(number()), Ok(Standing::Open));
    let (parameters, vectors) = (alipay.only().0, vectors());
    assert_eq!(parameters["app_cert_sn"], text(&vectors["certificates"]["app"]["sn"]));
    assert_eq!(parameters["alipay_root_cert_sn"], text(&vectors["certificates"]["root"]["sn"]));
}

#[test]
fn notices_are_read_and_answered() {
    let (opened, vectors) = (open_at("http://127.0.0.1:9/"), vectors());
    let read = |body: &str| {
        let header = |_: &str| None;
        opened.gateway.read_notice(&Envelope { header: &header, body: body.as_bytes() })
    };
    let notices = vectors["notices"].as_array().unwrap();
    let notice = read(text(&notices[0]["body"])).unwrap();
    let receipt = Receipt { transaction: TRADE.to_owned(), amount: money("19.80") };
    assert_eq!(notice.says, Says::Paid { number: number().to_string(), receipt });
    assert!(notices.iter().filter(|notice| read(text(&notice["body"])).is_err()).count() > 10);
    let answer = |body: &str| Answer { status: 200, content_type: "text/plain", body: body.to_owned() };
    assert_eq!(opened.gateway.answer(true), answer("success"));
    assert_ne!(opened.gateway.answer(false).body, "success");
}

#[test]
fn credentials_may_stand_in_many_forms() {
    let vectors = vectors();
    let (own, theirs) = (text(&vectors["app"]["pkcs1"]), text(&vectors["alipay"]["public"]));
    let long = format!("'''{}'''", pem("PRIVATE KEY", text(&vectors["app"]["pkcs8"])));
    for keys in [
        KEYS.to_owned(),
        CERTIFICATES.to_owned(),
        format!("private_key = \"{own}\"\nalipay_public_key = \"{theirs}\""),
        format!("private_key = \"app-1.pem\"\nalipay_public_key = \"{theirs}\""),
        KEYS.replace("app.pem", "app.txt"),
        format!("private_key = {long}\nalipay_public_key = \"alipay.pem\""),
    ] {
        if let Err(error) = try_open(&format!("{IDS}{keys}")) {
            panic!("{error}: {keys}");
        }
    }
}

#[test]
fn credentials_that_are_wrong_are_named_when_they_are_read() {
    let vectors = vectors();
    let own = text(&vectors["app"]["public"]);
    let with = |old: &str, new: &str| {
        let all = if CERTIFICATES.contains(old) && !KEYS.contains(old) {
            format!("{IDS}{CERTIFICATES}")
        } else {
            format!("{IDS}{KEYS}")
        };
        assert!(all.contains(old), "{old}");
        all.replace(old, new)
    };
    for (credentials, key) in [
        (with("2021000000000001", "wx1"), "app_id"),
        (with("2021000000000001", ""), "app_id"),
        (with("app_id", "appid"), "appid"),
        (with("2088000000000001", "shop@example.com"), "seller_id"),
        (with("seller_id = \"2088000000000001\"\n", ""), "seller_id"),
        (with("app.pem", "absent.pem"), "private_key"),
        (with("app.pem", "weak.pem"), "private_key"),
        (with("app.pem", "own.pem"), "private_key"),
        (with("app.pem", "gateways.toml"), "private_key"),
        (with("app.pem", "root.crt"), "private_key"),
        (with("alipay.pem", "own.pem"), "alipay_public_key"),
        (with("alipay.pem", own), "alipay_public_key"),
        (with("alipay.pem", "app.pem"), "alipay_public_key"),
        (with("alipay.pem", ""), "alipay_public_key"),
        (with("alipay_public_key = \"alipay.pem\"", ""), "alipay_public_key"),
        (with("alipay_cert = \"alipay.crt\"", ""), "alipay_public_key"),
        (format!("{IDS}{CERTIFICATES}alipay_public_key = \"alipay.pem\""), "alipay_public_key"),
        (with("app.crt", "alipay.crt"), "app_cert"),
        (with("app.crt", "alipay.pem"), "app_cert"),
        (with("alipay.crt", "app.crt"), "alipay_cert"),
        (with("root.crt", "alipay.pem"), "alipay_root_cert"),
        (with("root.crt", "absent.crt"), "alipay_root_cert"),
        (format!("{IDS}{KEYS}base_url = \"openapi.alipay.com\""), "base_url"),
        (format!("{IDS}{KEYS}base_url = \"https://a/?x=1\""), "base_url"),
        (format!("{IDS}{KEYS}base_url = \"ftp://a/\""), "base_url"),
        (format!("{IDS}{KEYS}sandbox = true"), "sandbox"),
    ] {
        let Err(error) = try_open(&credentials) else { panic!("taken: {credentials}") };
        let (before, sentence) = error.split_once("alipay.1: ").unwrap();
        assert!(before.ends_with("gateways.toml: "), "{error}");
        assert!(sentence.contains(key) && !sentence.contains('\n') && !sentence.contains("MII"), "{key}: {error}");
    }
}
