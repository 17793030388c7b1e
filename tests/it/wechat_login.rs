//! Customers of a mini-program log in by WeChat, against a server that plays it.

use std::sync::Arc;

use reqwest::Method;
use rowlock::clock::Clock;
use rowlock::config::Config;
use rowlock::gateway::Gateways;
use rowlock::metrics::Metrics;
use serde_json::json;

use crate::clients::Answer;
use crate::harness::{Setup, TestApp, noon, words};
use crate::wechat::{OWN_KEY, credentials};
use crate::wechat_mock::{Provider, Reply, vector};

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
