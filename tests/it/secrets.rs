//! What is secret, or a customer's own, is told nobody: the whole output of the real binary at its most talkative, its metrics and its
//! refusals are searched for every secret that was put in.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use nix::sys::signal::Signal;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use crate::clients::Answer;
use crate::command::{Folder, Service, run};
use crate::harness::{PASSWORD, TestDatabase, until};
use crate::redis_server::TestRedis;
use crate::wechat::{OWN_KEY, credentials};
use crate::wechat_mock::vector;

const TOKEN_SECRET: &str = "tokensecret-0123456789abcdef0123456789";
const DATABASE_PASSWORD: &str = "databasepassword77";
const REDIS_PASSWORD: &str = "redispassword77";
const APP_SECRET: &str = "appsecret77";
const HOOK: &str = "https://127.0.0.1:9/hook?key=hooktoken77";
const TALKATIVE: (&str, &str) = ("ROWLOCK_LOG_FILTER", "trace");

/// What the binary is called with, and its variables.
type Run = (&'static [&'static str], Vec<(&'static str, String)>);

/// All that must not be told, and what it is.
struct Secrets(Vec<(&'static str, String)>);

impl Secrets {
    fn new() -> Self {
        let mut secrets = Self(Vec::new());
        for (what, secret) in [
            ("the secret of tokens", TOKEN_SECRET),
            ("the database's password", DATABASE_PASSWORD),
            ("Redis's password", REDIS_PASSWORD),
            ("the mini-program's secret", APP_SECRET),
            ("the gateway's key", vector("api_v3_key")),
            ("a webhook's address", "hooktoken77"),
            ("a password", PASSWORD),
        ] {
            secrets.add(what, secret);
        }
        vector("private_key")
            .lines()
            .filter(|line| !line.starts_with('-'))
            .for_each(|line| secrets.add("the private key", line));
        secrets
    }

    fn add(&mut self, what: &'static str, secret: &str) {
        assert!(secret.len() >= 8, "{what} would be found anywhere");
        self.0.push((what, secret.to_owned()));
    }

    fn are_absent_from(&self, place: &str, text: &str) {
        for (what, secret) in &self.0 {
            // Some print what they send as a list of bytes, or as a string with escapes.
            let bytes = format!("{:?}", secret.as_bytes());
            let found =
                text.lines().find(|line| line.contains(secret) || line.contains(bytes.trim_matches(['[', ']'])));
            assert!(found.is_none(), "{what} ({secret}) is told in {place}: {}", found.unwrap_or_default());
        }
    }
}

struct Caller {
    root: String,
    client: Client,
    refusals: String,
}

impl Caller {
    fn of(service: &Service) -> Self {
        let root = service.url.trim_end_matches("/v1/merchants/1").to_owned();
        Self { root, client: Client::new(), refusals: String::new() }
    }

    fn request(&self, method: Method, path: &str, token: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.root)).bearer_auth(token)
    }

    /// Keeps what is refused.
    async fn send(&mut self, request: RequestBuilder) -> Answer {
        let answer = Answer::of(request).await;
        if !answer.status.is_success() {
            self.refusals += &format!("{:?} {}\n", answer.headers, answer.text);
        }
        answer
    }

    async fn post(&mut self, path: &str, token: &str, body: &Value) -> Answer {
        let request =
            self.request(Method::POST, path, token).header("Idempotency-Key", uuid::Uuid::new_v4().to_string());
        self.send(request.json(body)).await
    }
}

#[actix_web::test]
async fn no_secret_is_told() {
    let (folder, database, mut secrets) = (Folder::new(), TestDatabase::clone_of("template"), Secrets::new());
    let server = TestRedis::start();
    // A server that knows no passwords refuses this one, and its words are told.
    let redis = format!("{}?pass={REDIS_PASSWORD}", server.url());
    let url = format!("{}&password={DATABASE_PASSWORD}", database.url);
    let file = credentials(&folder.0, "http://127.0.0.1:9", &format!("{OWN_KEY}app_secret = '{APP_SECRET}'\n"));
    let variables = [
        TALKATIVE,
        ("DATABASE_URL", url.as_str()),
        ("REDIS_URL", redis.as_str()),
        ("ROWLOCK_AUTH_TOKEN_SECRET", TOKEN_SECRET),
        ("ROWLOCK_GATEWAYS_FILE", file.as_str()),
        ("ROWLOCK_WEBHOOKS_INTERVAL_MS", "50"),
        ("ROWLOCK_JOBS_INTERVAL_MS", "100"),
        ("ROWLOCK_GATEWAYS_TIMEOUT_MS", "500"),
    ];
    let mut service = Service::start(&folder.0, &variables);
    let mut caller = Caller::of(&service);

    // A customer logs in, fails to use a cart, orders, pays, and is not paid by WeChat.
    let code = "logincode77";
    secrets.add("the code of a login", code);
    let session = caller.post("/v1/merchants/1/sessions", "", &json!({ "code": code })).await.json();
    let alice = session["token"].as_str().unwrap().to_owned();
    secrets.add("a customer's token", &alice);
    secrets.add("a token's signature", alice.rsplit('.').next().unwrap());
    let address = json!({ "contact": "Contact-Li-77", "phone": "13912345677", "place": "Secret Lane 77" });
    for (what, field) in [("a name", "contact"), ("a phone number", "phone"), ("an address", "place")] {
        secrets.add(what, address[field].as_str().unwrap());
    }
    let kept = caller.post("/v1/merchants/1/addresses", &alice, &address).await;
    assert_eq!(kept.status, 201, "{}", kept.text);
    let cart = caller.request(Method::GET, "/v1/merchants/1/cart", &alice);
    assert_eq!(caller.send(cart).await.status, 503, "Redis is not to be had");
    secrets.add("a remark", "remarkable77");
    let mut order = json!({
        "lines": [{ "goods_id": 1, "count": 1 }], "pay_method": "sandbox", "remark": "remarkable77",
        "fulfilment": { "kind": "delivery", "address_id": kept.json()["id"] },
    });
    let placed = caller.post("/v1/merchants/1/orders", &alice, &order).await.json();
    let path = format!("/v1/merchants/1/orders/{}/payments", placed["id"].as_str().unwrap());
    let payment =
        caller.post(&path, &alice, &json!({})).await.json()["payment"]["id"].as_str().unwrap().replace('-', "");
    caller.post(&format!("/sandbox/v1/payments/{payment}/pay"), "", &json!({})).await;
    order["pay_method"] = json!("wechat");
    let placed = caller.post("/v1/merchants/1/orders", &alice, &order).await.json();
    let path = format!("/v1/merchants/1/orders/{}/payments", placed["id"].as_str().unwrap());
    let unpaid = caller.post(&path, &alice, &json!({ "channel": "qr" })).await;
    assert!(unpaid.status.as_u16() >= 400, "nobody answers there: {}", unpaid.text);

    // The staff log in, rightly and wrongly, and have their restaurant's machine told.
    secrets.add("a wrong password", "wrongpassword77");
    let sessions = "/v1/admin/merchants/1/sessions";
    let wrong = json!({ "login": "owner", "password": "wrongpassword77" });
    assert_eq!(caller.post(sessions, "", &wrong).await.status, 401);
    let right = json!({ "login": "owner", "password": PASSWORD });
    let owner = caller.post(sessions, "", &right).await.json()["token"].as_str().unwrap().to_owned();
    secrets.add("a member's token", &owner);
    let hook =
        caller.request(Method::PATCH, "/v1/admin/merchants/1/settings", &owner).json(&json!({ "webhook_url": HOOK }));
    let hooked = caller.send(hook).await.json();
    secrets.add("the webhook's secret", hooked["webhook_secret"].as_str().unwrap());
    secrets.add("a new member's password", "memberpassword77");
    let li = json!({ "login": "li", "name": "Li", "role": "cashier", "password": "memberpassword77" });
    assert_eq!(caller.post("/v1/admin/merchants/1/staff", &owner, &li).await.status, 201);
    secrets.add("another password", "nextpassword77");
    let change = caller.request(Method::PUT, "/v1/admin/merchants/1/me/password", &owner);
    let change = change.json(&json!({ "old": PASSWORD, "new": "nextpassword77" }));
    let next = caller.send(change).await.json()["token"].as_str().unwrap().to_owned();
    secrets.add("a member's next token", &next);
    let changed = caller
        .post("/v1/admin/merchants/1/goods/1/stock-moves", &next, &json!({ "delta": 1, "reason": "count" }))
        .await;
    assert_eq!(changed.status, 201, "{}", changed.text);

    // Tokens that are refused are secrets, too: they may be good elsewhere. So is what is sent in the wrong place.
    for token in ["strangetoken77", "Basic-strangetoken77", &format!("{alice}x"), &owner] {
        let request = caller.request(Method::GET, "/v1/merchants/1/orders", token);
        assert_eq!(caller.send(request).await.status, 401);
    }
    secrets.add("a stranger's token", "strangetoken77");
    for path in [format!("/v1/merchants/1/orders?token={alice}"), format!("/v1/merchants/1/orders?limit={alice}")] {
        let request = caller.request(Method::GET, &path, "");
        assert_eq!(caller.send(request).await.status, 401);
    }
    let cut = caller.request(Method::POST, sessions, "").header("content-type", "application/json");
    caller.send(cut.body(r#"{"login":"owner","password":"wrongpassword77"#)).await;
    caller.post(sessions, "", &json!({ "login": "owner", "pasword": "wrongpassword77" })).await;

    // Bugs of ours: one of which the database says what the row was, and one that ends in a panic.
    let mut conn = database.conn();
    let check = "ALTER TABLE addresses ADD CHECK (place <> 'Secret Lane 77') NOT VALID";
    conn.batch_execute(check).unwrap();
    assert_eq!(caller.post("/v1/merchants/1/addresses", &alice, &address).await.status, 500);
    conn.batch_execute("CREATE RULE lose AS ON UPDATE TO goods DO INSTEAD NOTHING").unwrap();
    let lost = caller.post("/v1/merchants/1/orders", &alice, &order).await;
    assert!(lost.status.is_server_error(), "{}", lost.text);
    conn.batch_execute("DROP RULE lose ON goods").unwrap();

    // Nobody writes a line of the log but we.
    let forged = "\r\n[2026-01-01T00:00:00Z ERROR forged] forged";
    let path = "/v1/merchants/1/orders/%0d%0a[2026-01-01T00:00:00Z%20ERROR%20forged]%0aforged";
    let request = caller.request(Method::GET, path, &alice).header("X-Request-Id", "a%0d%0aforged");
    caller.send(request).await;
    order["remark"] = json!(forged);
    order["pay_method"] = json!("cash");
    assert_eq!(caller.post("/v1/merchants/1/orders", &alice, &order).await.status, 201);
    caller.post(sessions, "", &json!({ "login": forged, "password": forged })).await;
    caller.post("/v1/merchants/1/sessions", "", &json!({ "code": forged })).await;
    caller.post("/v1/callbacks/1/sandbox", "", &json!({ "event": forged })).await;

    until(|| service.said().contains("/v1/callbacks/1/sandbox")).await;
    let metrics = caller.request(Method::GET, "/metrics", "").send().await.unwrap().text().await.unwrap();
    // The webhook is tried, and its failure told.
    tokio::time::sleep(Duration::from_millis(500)).await;
    service.signal(Signal::SIGTERM);
    assert_eq!(service.wait().code(), Some(0));
    let said = service.said();
    for word in [" TRACE ", " DEBUG ", " INFO ", " WARN ", " ERROR ", "panicked"] {
        assert!(said.contains(word), "there is no {word} in what was told");
    }
    for (place, text) in [("the log", &said), ("the metrics", &metrics), ("a refusal", &caller.refusals)] {
        secrets.are_absent_from(place, text);
    }
    let forged = said.lines().find(|line| line.starts_with("[2026-01-01") || line.starts_with("forged"));
    assert_eq!(forged, None);
}

/// As an operator runs it whose WeChat does not answer.
#[actix_web::test]
async fn nor_is_a_mini_programs_secret_when_its_platform_fails() {
    let (folder, database, mut secrets) = (Folder::new(), TestDatabase::clone_of("template"), Secrets::new());
    let file = credentials(&folder.0, "http://127.0.0.1:9", &format!("{OWN_KEY}app_secret = '{APP_SECRET}'\n"));
    let variables = [
        TALKATIVE,
        ("DATABASE_URL", database.url.as_str()),
        ("ROWLOCK_AUTH_TOKEN_SECRET", TOKEN_SECRET),
        ("ROWLOCK_GATEWAYS_FILE", file.as_str()),
        ("ROWLOCK_LOGIN_PROVIDER", "wechat"),
        ("ROWLOCK_GATEWAYS_TIMEOUT_MS", "500"),
    ];
    let service = Service::start(&folder.0, &variables);
    let mut caller = Caller::of(&service);
    secrets.add("the code of a login", "logincode77");
    let refused = caller.post("/v1/merchants/1/sessions", "", &json!({ "code": "logincode77" })).await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    until(|| service.said().contains("sessions 503")).await;
    secrets.are_absent_from("the log", &service.said());
    secrets.are_absent_from("a refusal", &caller.refusals);
}

#[actix_web::test]
async fn nor_by_what_does_not_start() {
    let (folder, secrets) = (Folder::new(), Secrets::new());
    let file =
        credentials(&folder.0, "https://api.mch.weixin.qq.com", &format!("{OWN_KEY}app_secret = '{APP_SECRET}'\n"));
    let bare: String = vector("private_key").lines().filter(|line| !line.starts_with('-')).collect();
    let text = std::fs::read_to_string(&file).unwrap();
    let written = |name: &str, text: String| {
        std::fs::write(folder.0.join(name), text).unwrap();
        name.to_owned()
    };
    let bad_files = [
        written("bare.toml", text.replace(vector("private_key"), &bare)),
        written("cut.toml", text.replace(vector("private_key"), &vector("private_key")[..400])),
        written("unquoted.toml", text.replace(&format!("'{APP_SECRET}'"), APP_SECRET)),
        written("misnamed.toml", text.replace("app_secret", "appsecret")),
        written("open.toml", format!("{text}app_secret2 = '{APP_SECRET}\n")),
        written("short.toml", text.replace(vector("api_v3_key"), &vector("api_v3_key")[..31])),
    ];
    let good = format!("postgres://rowlock:{DATABASE_PASSWORD}@127.0.0.1:9/x");
    let redis = format!("redis://:{REDIS_PASSWORD}@127.0.0.1:9");
    let base = |url: &str| {
        [
            ("DATABASE_URL", url.to_owned()),
            ("REDIS_URL", redis.clone()),
            ("ROWLOCK_AUTH_TOKEN_SECRET", TOKEN_SECRET.to_owned()),
        ]
    };
    let mut runs: Vec<Run> = Vec::new();
    for url in [
        good.clone(),
        good.replace("127.0.0.1:9", "db.invalid"),
        good.replace(DATABASE_PASSWORD, &format!("a@{DATABASE_PASSWORD}")),
        good.replace(DATABASE_PASSWORD, &format!("1/{DATABASE_PASSWORD}")),
        good.replace(DATABASE_PASSWORD, &format!("{DATABASE_PASSWORD}%zz")),
        good.replace("@127.0.0.1:9", "@127.0.0.1:port"),
        format!("rowlock:{DATABASE_PASSWORD}@db"),
        format!("postgres://127.0.0.1:9/x?pasword={DATABASE_PASSWORD}"),
    ] {
        for command in [&["serve"] as &'static [&'static str], &["migrate"], &["audit"], &["seed"], &["check-config"]] {
            runs.push((command, base(&url).to_vec()));
        }
    }
    for url in [
        format!("redis://:{REDIS_PASSWORD}@:x"),
        format!("redis://a:{REDIS_PASSWORD}#@db:x/y"),
        format!("rediss://:{REDIS_PASSWORD}@db"),
    ] {
        let mut variables = base(&good).to_vec();
        variables[1].1 = url;
        runs.extend([(&["serve"] as &'static [&'static str], variables.clone()), (&["check-config"], variables)]);
    }
    let with_file = |file: &String| {
        let mut variables = base(&good).to_vec();
        variables.push(("ROWLOCK_GATEWAYS_FILE", file.clone()));
        variables.push(("ROWLOCK_LOGIN_PROVIDER", "wechat".to_owned()));
        (&["check-config"] as &'static [&'static str], variables)
    };
    runs.extend(bad_files.iter().map(with_file));
    runs.push(with_file(&file));
    written("numbers.toml", format!("[auth]\ntoken_secret = {DATABASE_PASSWORD}\n[database]\nurl = '{good}\n"));
    runs.push((&["check-config", "--config", "numbers.toml"], Vec::new()));
    let mut shown = 0;
    for (arguments, mut variables) in runs {
        variables.push((TALKATIVE.0, TALKATIVE.1.to_owned()));
        let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let output = run(&folder.0, arguments, &variables);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        secrets.are_absent_from(&format!("{arguments:?} {variables:?}"), &format!("{out}{err}"));
        assert!(output.status.success() || !err.is_empty());
        shown += usize::from(out.contains("(hidden)"));
    }
    assert!(shown > 5, "check-config has shown {shown} configurations, without their secrets");
}
