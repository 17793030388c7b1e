//! Customers of a mini-program log in by WeChat, against a server that plays it.

use std::sync::Arc;

use chrono::TimeDelta;
use reqwest::Method;
use rowlock::clock::Clock;
use rowlock::config::Config;
use rowlock::gateway::Gateways;
use rowlock::metrics::Metrics;
use serde_json::{Value, json};

use crate::clients::Answer;
use crate::harness::{Setup, TestApp, noon, words};
use crate::wechat::{OWN_KEY, credentials, prepay};
use crate::wechat_mock::{Provider, Reply, error, good, vector};

fn login_variables(file: String) -> Vec<(&'static str, &'static str)> {
    vec![
        ("ROWLOCK_LOGIN_PROVIDER", "wechat"),
        ("ROWLOCK_GATEWAYS_FILE", file.leak()),
        ("ROWLOCK_GATEWAYS_TIMEOUT_MS", "2000"),
    ]
}

#[actix_web::test]
async fn customers_log_in_by_wechat() {
    let clock = Clock::at(noon());
    let provider = Provider::start(&clock);
    let dir = tempfile::tempdir().unwrap();
    let file = credentials(dir.path(), &provider.url, &format!("{OWN_KEY}app_secret = 'geheim&1'\n"));
    let app = TestApp::with(Setup { variables: login_variables(file), ..Setup::default() });
    let log_in = async |merchant: i64, code: &str, reply: &str| {
        provider.will([Reply::Unsigned(200, reply.to_owned())]);
        let path = format!("/v1/merchants/{merchant}/sessions");
        Answer::of(app.request(Method::POST, &path).json(&json!({ "code": code }))).await
    };
    let somebody =
        r#"{"openid":"oUpF8uMuAJO_M2pxb1Q9zNjWeS6o","session_key":"tiihtNczf5v6AKRyjwEUhQ==","unionid":"u"}"#;
    let session = log_in(1, "a b&c=d", somebody).await;
    assert_eq!(session.status, 201, "{}", session.text);
    assert!(!session.text.contains("tiihtNczf5v6AKRyjwEUhQ"), "{}", session.text);
    let expected = format!(
        "/sns/jscode2session?appid={}&secret=geheim%261&js_code=a+b%26c%3Dd&grant_type=authorization_code",
        vector("app_id")
    );
    assert_eq!(provider.paths(), [expected]);
    let again = log_in(1, "other", somebody).await;
    assert_eq!(again.json()["customer_id"], session.json()["customer_id"], "the same customer");
    let customers = words(&mut app.conn(), "SELECT provider || ' ' || subject AS value FROM customers");
    assert_eq!(customers, ["wechat oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"]);
    provider.received();
    for (reply, status, code) in [
        (r#"{"errcode":40029,"errmsg":"invalid code"}"#, 401, "login_refused"),
        (r#"{"errcode":40163,"errmsg":"code been used"}"#, 401, "login_refused"),
        (r#"{"errcode":-1,"errmsg":"system error"}"#, 503, "login_unavailable"),
        (r#"{"errcode":45011,"errmsg":"quota"}"#, 503, "login_unavailable"),
        (r#"{"errcode":40125,"errmsg":"invalid appsecret"}"#, 503, "login_unavailable"),
        ("{}", 503, "login_unavailable"),
        ("<html>", 503, "login_unavailable"),
    ] {
        let answer = log_in(1, "code", reply).await;
        assert_eq!(answer.refusal(), (status, code.into()), "{reply}: {}", answer.text);
        assert!(!answer.text.contains("geheim") && !answer.text.contains("errcode"), "{}", answer.text);
    }
    assert_eq!(provider.received().len(), 7, "a code is good once: nothing is asked again");
    let answer = log_in(2, "code", somebody).await;
    assert_eq!(answer.refusal(), (422, "login_not_offered".into()), "shop 2 has no mini-program");
    assert_eq!(provider.received().len(), 0);
}

/// Who has logged in by WeChat pays by it, under their `openid`; what WeChat does not accept is told, and the order waits as before.
#[actix_web::test]
async fn who_logged_in_by_wechat_pays_by_it() {
    let clock = Clock::at(noon());
    let provider = Provider::start(&clock);
    let dir = tempfile::tempdir().unwrap();
    let file = credentials(dir.path(), &provider.url, &format!("{OWN_KEY}app_secret = 'geheim'\n"));
    let app = TestApp::with(Setup { variables: login_variables(file), ..Setup::default() });
    provider.will([Reply::Unsigned(200, r#"{"openid":"oUpF8u"}"#.to_owned())]);
    let session = app.request(Method::POST, "/v1/merchants/1/sessions").json(&json!({ "code": "code" }));
    let token = Answer::of(session).await.json()["token"].as_str().unwrap().to_owned();
    let post = async |path: &str, body: &Value| {
        let request = app.request(Method::POST, &format!("/v1/merchants/1/{path}")).bearer_auth(&token);
        Answer::of(request.header("Idempotency-Key", "k").json(body)).await
    };
    let body =
        json!({ "lines": [{ "goods_id": 1, "count": 2 }], "fulfilment": { "kind": "pickup" }, "pay_method": "wechat" });
    let placed = post("orders", &body).await;
    assert_eq!(placed.status, 201, "{}", placed.text);
    let pay = format!("orders/{}/payments", placed.json()["id"].as_str().unwrap());
    provider.received();

    provider.will([error(400, "PARAM_ERROR"), error(404, "ORDER_NOT_EXIST")]);
    let refused = post(&pay, &json!({})).await;
    assert_eq!(refused.refusal(), (409, "payment_refused".into()), "{}", refused.text);
    assert_eq!(refused.json()["gateway_code"], "PARAM_ERROR");
    let asked = provider.received();
    assert_eq!((asked.len(), &asked[0].json()["payer"]), (2, &json!({ "openid": "oUpF8u" })));

    // Later, what was begun is closed, and another one is begun.
    app.clock.advance(TimeDelta::seconds(5));
    let unknown = error(404, "ORDER_NOT_EXIST");
    provider.will([error(400, "PARAM_ERROR"), unknown.clone(), unknown.clone(), unknown, good(200, &prepay())]);
    let begun = post(&pay, &json!({})).await;
    assert_eq!(begun.status, 200, "{}", begun.text);
    assert!(begun.json()["checkout"].to_string().contains("prepay_id"), "{}", begun.text);
    let attempts = "SELECT state AS value FROM payments ORDER BY id";
    assert_eq!(words(&mut app.conn(), attempts), ["closed", "pending"]);
}

#[test]
fn logins_without_credentials_are_an_error_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = credentials(dir.path(), "http://127.0.0.1:1", OWN_KEY);
    let login = |file: &str| {
        let variables = [("ROWLOCK_GATEWAYS_FILE", file), ("ROWLOCK_LOGIN_PROVIDER", "wechat")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = Config::from_parts("", variables).unwrap();
        let metrics = Arc::new(Metrics::default());
        let gateways =
            Gateways::open(&config.gateways, config.public_url(), &[7; 32], Clock::default(), metrics).unwrap();
        rowlock::gateway::login(config.login.provider, &config.gateways, &gateways).map(|_| ()).unwrap_err()
    };
    assert_eq!(login(&file), "wechat.1: app_secret is missing, which login.provider = \"wechat\" needs");
    assert_eq!(login(""), "login.provider is wechat, and gateways.file has no [wechat.<merchant>]");
}
