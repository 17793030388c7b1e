//! What holds for every route: limits, ids, languages, problems, the document.

use std::collections::BTreeSet;

use diesel::connection::SimpleConnection;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::clients::Answer;
use crate::harness::{Setup, TestApp, cluster, connect, order};

#[actix_web::test]
async fn a_customer_is_the_same_at_every_login() {
    let app = TestApp::start();
    let log_in = |code: Value| Answer::of(app.request(Method::POST, "/v1/merchants/1/sessions").json(&code));
    let first = log_in(json!({ "code": "alice" })).await.json();
    let second = log_in(json!({ "code": "alice" })).await.json();
    assert_eq!(first["customer_id"], second["customer_id"]);
    assert_eq!(first["expires_at"], "2026-11-28T04:00:00Z");
    assert_eq!(log_in(json!({ "code": "invalid-code" })).await.refusal(), (401, "login_refused".into()));
    assert_eq!(log_in(json!({ "code": "" })).await.refusal(), (422, "invalid_field".into()));
    assert_eq!(log_in(json!({ "code": "a\u{0}" })).await.refusal(), (422, "invalid_field".into()));
    for merchant in ["3", "0", "-1", "+1", "x", "9223372036854775808"] {
        let request = app.request(Method::POST, &format!("/v1/merchants/{merchant}/sessions"));
        assert_eq!(Answer::of(request.json(&json!({ "code": "alice" }))).await.refusal(), (404, "not_found".into()));
    }
    assert_eq!(app.count("customers"), 1);
}

#[actix_web::test]
async fn fifty_first_logins_at_once_make_one_customer() {
    let app = TestApp::start();
    let logins = (0..50).map(|_| app.customer("alice"));
    futures_util::future::join_all(logins).await;
    assert_eq!(app.count("customers"), 1);
}

#[actix_web::test]
async fn a_customer_has_a_budget_of_requests() {
    let variables = vec![
        ("ROWLOCK_HTTP_CUSTOMER_REQUESTS_PER_SECOND", "1"),
        ("ROWLOCK_HTTP_CUSTOMER_REQUESTS_BURST", "3"),
        ("ROWLOCK_HTTP_LOGINS_PER_MINUTE", "2"),
    ];
    let app = TestApp::with(Setup { variables, ..Setup::default() });
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    let mut answers = Vec::new();
    // One comes back each second: a slow machine gets a few more through.
    while answers.len() < 20 && answers.last().is_none_or(|answer: &Answer| answer.status == 200) {
        answers.push(alice.get("/orders").await);
    }
    assert!(answers.len() > 3, "the burst goes through");
    let refused = answers.pop().unwrap();
    assert_eq!(refused.refusal(), (429, "too_many_requests".into()));
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(bob.get("/orders").await.status, 200);
    let login = app.request(Method::POST, "/v1/merchants/1/sessions").json(&json!({ "code": "carol" }));
    assert_eq!(Answer::of(login).await.refusal(), (429, "too_many_requests".into()));
}

#[actix_web::test]
async fn bodies_are_bounded_and_must_be_json() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let post = || alice.request(Method::POST, "/orders").header("Idempotency-Key", "k");
    let mut large = order(&[(1, 1)]);
    large["remark"] = json!("x".repeat(1_000_000));
    assert_eq!(Answer::of(post().json(&large)).await.refusal(), (413, "body_too_large".into()));
    let chunks = futures_util::stream::iter((0..100).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1000])));
    let chunked = post().header("content-type", "application/json").body(reqwest::Body::wrap_stream(chunks));
    assert_eq!(Answer::of(chunked).await.refusal(), (413, "body_too_large".into()));
    let text = order(&[(1, 1)]).to_string();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"] {
        let request = post().header("content-type", kind).body(text.clone());
        assert_eq!(Answer::of(request).await.refusal(), (415, "not_json".into()), "{kind}");
    }
    let charset = post().header("content-type", "Application/JSON; charset=utf-8").body(text);
    assert_eq!(Answer::of(charset).await.status, 201);
    let packed = post().header("content-encoding", "gzip").json(&order(&[(1, 1)]));
    assert_eq!(Answer::of(packed).await.refusal(), (415, "not_json".into()));
    assert_eq!(app.count("orders"), 1);
}

/// A body that does not come holds nothing but its own connection, and not for long.
#[actix_web::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    use std::io::{Read, Write};
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let mut stream = std::net::TcpStream::connect(app.address.trim_start_matches("http://")).unwrap();
    let head = "POST /v1/merchants/1/orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nIdempotency-Key: k\r\nContent-Length: 100\r\n";
    write!(stream, "{head}Authorization: Bearer {}\r\n\r\n{{", alice.token).unwrap();
    let answer = actix_web::rt::task::spawn_blocking(move || {
        stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
        let mut answer = [0; 1024];
        let length = stream.read(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..length]).into_owned()
    });
    let answer = answer.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("body_too_slow"), "{answer}");
}

#[actix_web::test]
async fn problems_speak_the_clients_language() {
    let app = TestApp::start();
    for (accept, language, detail) in [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh", "未找到。"),
        ("en-GB,zh;q=0.5", "en", "Not found."),
        ("fr, zh;q=0.2", "zh", "未找到。"),
        ("fr", "en", "Not found."),
        ("%%%", "en", "Not found."),
    ] {
        let answer = Answer::of(app.request(Method::GET, "/nowhere").header("Accept-Language", accept)).await;
        assert_eq!(
            (&answer.headers["content-language"], &answer.json()["detail"]),
            (&language.parse().unwrap(), &json!(detail))
        );
    }
}

#[actix_web::test]
async fn request_ids_are_echoed_or_made() {
    let app = TestApp::start();
    let ask = |id: &'static str| Answer::of(app.request(Method::GET, "/healthz").header("X-Request-Id", id));
    assert_eq!(ask("trace-1_2.3").await.headers["x-request-id"], "trace-1_2.3");
    for unfit in ["", "two words", "a\"b", &*"x".repeat(65).leak()] {
        let made = ask(unfit).await.headers["x-request-id"].to_str().unwrap().to_owned();
        assert_eq!(made.len(), 36, "{made}");
    }
}

#[actix_web::test]
async fn a_path_without_the_method_says_which_it_takes() {
    let app = TestApp::start();
    let answer = Answer::of(app.request(Method::DELETE, "/v1/merchants/1/orders")).await;
    assert_eq!(answer.refusal(), (405, "method_not_allowed".into()));
    assert_eq!(answer.headers["allow"], "GET, POST");
}

/// Whoever reads Chinese reads nothing else, apart from names of the API.
#[actix_web::test]
async fn what_is_wrong_with_a_field_is_said_in_either_language() {
    let app = TestApp::start();
    let (alice, owner) = (app.customer("alice").await, app.staff("owner").await);
    let address = json!({ "contact": "Alice", "phone": "12", "place": "Here" });
    let said = async |request: reqwest::RequestBuilder| {
        let answer = Answer::of(request.header("Accept-Language", "zh-CN")).await.json();
        answer["detail"].as_str().unwrap().to_owned()
    };
    let placed = alice.place("k", &order(&[(1, 1)])).await.json();
    let accept = format!("/orders/{}/accept", placed["id"].as_str().unwrap());
    let post = |path: &str, body: &Value| alice.request(Method::POST, path).json(body);
    let details = [
        said(post("/addresses", &address)).await,
        said(post("/addresses", &json!({ "contact": "", "phone": "123", "place": "Here" }))).await,
        said(owner.request(Method::PATCH, "/settings").json(&json!({ "accept_minutes": 0 }))).await,
        said(owner.request(Method::PATCH, "/settings").json(&json!({ "accept_timeout": "later" }))).await,
        said(owner.request(Method::POST, &accept).json(&json!({ "minutes": 20 }))).await,
    ];
    assert_eq!(
        details,
        [
            "phone 不正确：须含至少 3 位数字，可有 + - ( ) # 和空格。",
            "contact 不正确：须为 1 到 50 个字符。",
            "accept_minutes 不正确：须在 1 到 120 之间。",
            "accept_timeout 不正确：须为以下之一：reject, accept。",
            "订单待付款，不能进行此操作。",
        ]
    );
}

#[actix_web::test]
async fn the_menu_shows_what_is_on_sale_and_left() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    alice.place("k", &order(&[(1, 3)])).await;
    let menu = app.get("/v1/merchants/1/menu").await.json();
    let goods = menu["categories"][0]["products"][0]["goods"].as_array().unwrap();
    assert_eq!(goods.iter().map(|goods| goods["id"].as_i64().unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(
        goods[0],
        json!({ "id": 1, "spec": { "zh": "小", "en": "small" }, "price": "10.00", "stock": 97, "sales": 3 })
    );
    assert_eq!((&menu["freight"], &menu["free_freight_from"]), (&json!("5.00"), &json!("100.00")));
    assert_eq!(menu["points_per_yuan"], 0);
    app.execute("UPDATE merchants SET points_per_yuan = 100");
    assert_eq!(app.get("/v1/merchants/1/menu").await.json()["points_per_yuan"], 100);
    assert_eq!(app.get("/v1/merchants/3/menu").await.refusal(), (404, "not_found".into()));
}

#[actix_web::test]
async fn operators_see_health_readiness_and_metrics() {
    let app = TestApp::start();
    assert_eq!(app.get("/healthz").await.json(), json!({ "status": "ok" }));
    assert_eq!(app.get("/readyz").await.json(), json!({ "status": "ready" }));
    let alice = app.customer("alice").await;
    alice.place("a", &order(&[(1, 1)])).await;
    alice.place("a", &order(&[(1, 1)])).await;
    alice.place("b", &order(&[(1, 101)])).await;
    let metrics = app.get("/metrics").await.text;
    for line in [
        "rowlock_orders_placed_total 1",
        "rowlock_orders_repeated_total 1",
        "rowlock_orders_refused_total{code=\"out_of_stock\"} 1",
        "rowlock_http_requests_total{method=\"POST\",route=\"/v1/merchants/{m}/orders\",status=\"201\"} 1",
        "rowlock_group_orders_count 3",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in\n{metrics}");
    }
    app.execute(
        "DELETE FROM __diesel_schema_migrations WHERE version = (SELECT max(version) FROM __diesel_schema_migrations)",
    );
    let unready = app.get("/readyz").await;
    assert_eq!(unready.refusal(), (503, "unavailable".into()));
    assert_eq!(unready.headers["retry-after"], "1");
}

#[actix_web::test]
async fn without_a_database_everything_says_try_again() {
    let variables = vec![("ROWLOCK_DATABASE_CONNECT_TIMEOUT_MS", "300"), ("ROWLOCK_DATABASE_ATTEMPTS_MAX", "2")];
    let app = TestApp::with(Setup { variables, ..Setup::default() });
    let alice = app.customer("alice").await;
    let name = &app.database.name;
    let mut admin = connect(&cluster().cluster.url_of("postgres"));
    let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    admin.batch_execute(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false; {end}")).unwrap();
    let (placed, ready) = (alice.place("k", &order(&[(1, 1)])).await, app.get("/readyz").await);
    let (menu, alive) = (app.get("/v1/merchants/1/menu").await, app.get("/healthz").await);
    admin.batch_execute(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true")).unwrap();
    for answer in [&placed, &ready, &menu] {
        assert_eq!(answer.refusal(), (503, "unavailable".into()));
        assert_eq!(answer.headers["retry-after"], "1");
        assert!(!answer.text.contains(name), "{}", answer.text);
    }
    assert_eq!(alive.status, 200);
    assert_eq!(alice.place("k", &order(&[(1, 1)])).await.status, 201, "it comes back by itself");
}

#[actix_web::test]
async fn an_error_of_ours_says_nothing_of_its_cause() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    app.execute("ALTER TABLE outbox RENAME COLUMN kind TO what");
    let answer = alice.place("k", &order(&[(1, 1)])).await;
    assert_eq!(answer.refusal(), (500, "internal".into()));
    assert!(!answer.text.contains("actor") && !answer.text.contains("column"), "{}", answer.text);
    app.execute("ALTER TABLE outbox RENAME COLUMN what TO kind");
    assert_eq!((app.count("orders"), app.stock(1)), (0, 100));
    assert_eq!(alice.place("k", &order(&[(1, 1)])).await.status, 201);
}

/// A database restored from an older backup knows nothing of customers who came later; their tokens still verify.
#[actix_web::test]
async fn a_token_whose_customer_is_gone_must_log_in_again() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    app.execute("DELETE FROM customers");
    assert_eq!(alice.place("k", &order(&[(1, 1)])).await.refusal(), (401, "unauthenticated".into()));
    let address = json!({ "contact": "A", "phone": "1380000", "place": "Home" });
    assert_eq!(alice.post("/addresses", &address).await.refusal(), (401, "unauthenticated".into()));
    assert_eq!(app.customer("alice").await.place("k", &order(&[(1, 1)])).await.status, 201);
}

#[actix_web::test]
async fn made_up_methods_make_no_series() {
    let app = TestApp::start();
    for number in 0..5 {
        let method = Method::from_bytes(format!("MADEUP{number}").as_bytes()).unwrap();
        assert_eq!(Answer::of(app.request(method, "/healthz")).await.refusal(), (405, "method_not_allowed".into()));
    }
    let metrics = app.get("/metrics").await.text;
    assert!(!metrics.contains("MADEUP"), "{metrics}");
    assert!(
        metrics.contains("rowlock_http_requests_total{method=\"other\",route=\"/healthz\",status=\"405\"} 5"),
        "{metrics}"
    );
}

/// Whatever an order can be refused with stands where it is placed; and what a gateway has a say in, where it is asked.
#[test]
fn the_document_names_the_codes_that_are_peculiar_to_an_operation() {
    let document = serde_json::to_value(rowlock::http::openapi()).unwrap();
    let names = |path: &str, status: &str, code: &str| {
        let told = document["paths"][path]["post"]["responses"][status]["description"].as_str().unwrap_or_default();
        assert!(told.contains(&format!("`{code}`")), "{path} does not name {code}, but: {told}");
    };
    let orders = "/v1/merchants/{m}/orders";
    let table = include_str!("../../src/error/mod.rs").split("pub const fn refusal_code").nth(1).unwrap();
    let refusals = table.split("\n}").next().unwrap().split('"').skip(1).step_by(2);
    for code in refusals {
        let is_ours = ["unknown_goods", "unknown_address", "fulfilment_not_offered", "pay_method_not_offered"];
        names(orders, if is_ours.contains(&code) { "422" } else { "409" }, code);
    }
    for cancel in [&format!("{orders}/{{id}}/cancel"), "/v1/admin/merchants/{m}/orders/{id}/cancel"] {
        names(cancel, "409", "payment_in_progress");
        names(cancel, "503", "gateway_unavailable");
    }
}

/// Every operation of the document is served, and every route that is served is in the document.
#[actix_web::test]
async fn the_document_is_the_route_table() {
    let app = TestApp::start();
    let document = app.get("/openapi.json").await.json();
    assert_eq!(document, serde_json::to_value(rowlock::http::openapi()).unwrap());
    let mut operations = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            // Generators of clients name functions and types by it.
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} stands for two operations");
            operations.insert(format!("{} {path}", method.to_uppercase()));
            let concrete = path
                .replace("{m}", "1")
                .replace("{goods_id}", "1")
                .replace("{gateway}", "cash")
                .replace("{payment}", "00000000-0000-0000-0000-000000000000")
                .replace("{id}", "00000000-0000-0000-0000-000000000000");
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let status = Answer::of(app.request(method, &concrete)).await.status;
            assert!(
                status != StatusCode::NOT_FOUND && status != StatusCode::METHOD_NOT_ALLOWED,
                "{concrete}: {status}"
            );
        }
    }
    let folders = ["src/http", "src/http/admin"].map(|folder| format!("{}/{folder}", env!("CARGO_MANIFEST_DIR")));
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    let sources: Vec<String> =
        files.filter(|path| path.is_file()).map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let declared: BTreeSet<String> = sources
        .iter()
        .flat_map(|source| source.lines())
        .filter_map(|line| {
            // Declared above its handler, or handed to a macro that declares it.
            let (method, rest) = match line.trim_start().split_once(", \"/v1/") {
                Some((name, rest)) if name.chars().all(|c| c.is_alphanumeric() || c == '_') => {
                    ("post", format!("/v1/{rest}"))
                }
                _ => line.strip_prefix("#[")?.split_once("(\"").map(|(method, rest)| (method, rest.to_owned()))?,
            };
            Some(format!("{} {}", method.to_uppercase(), rest.split_once('"')?.0))
        })
        .collect();
    assert_eq!(operations, declared);
    assert_eq!(app.get("/docs/").await.status, 200);
    assert_eq!(app.get("/docs").await.status, 200);
}
