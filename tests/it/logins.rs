//! Logins: who is let in, what a refusal tells, and how often anybody may try.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::clients::Answer;
use crate::harness::{PASSWORD, Setup, TestApp};
use crate::staff::log_in;

#[actix_web::test]
async fn a_login_that_is_wrong_in_any_way_is_refused_in_one_way() {
    let app = TestApp::start();
    let session = log_in(&app, 1, "cashier", PASSWORD).await;
    assert_eq!(session.status, 201);
    assert_eq!((&session.json()["role"], &session.json()["name"]), (&json!("cashier"), &json!("The cashier")));
    app.execute("UPDATE staff SET is_active = false WHERE merchant_id = 1 AND role = 'kitchen'");
    app.execute("UPDATE staff SET login = 'only here' WHERE merchant_id = 2 AND role = 'owner'");
    let mut details = Vec::new();
    for (name, merchant, login, password) in [
        ("wrong password", 1, "cashier", "correct horsf"),
        ("unknown login", 1, "nobody", PASSWORD),
        ("closed account", 1, "kitchen", PASSWORD),
        ("another merchant's login", 1, "only here", PASSWORD),
        ("no such merchant", 3, "cashier", PASSWORD),
        ("another case", 1, "Cashier", PASSWORD),
    ] {
        let answer = log_in(&app, merchant, login, password).await;
        assert_eq!(answer.refusal(), (401, "login_refused".into()), "{name}");
        details.push(answer.json()["detail"].clone());
    }
    details.dedup();
    assert_eq!(details.len(), 1, "{details:?}");
    for body in [
        json!({ "login": "", "password": "x" }),
        json!({ "login": "x", "password": "" }),
        json!({ "login": "a\u{0}", "password": "x" }),
    ] {
        let answer = Answer::of(app.request(Method::POST, "/v1/admin/merchants/1/sessions").json(&body)).await;
        assert_eq!(answer.refusal(), (422, "invalid_field".into()), "{body}");
    }
}

/// The password of nobody is checked as carefully as anybody's: time tells no logins.
#[actix_web::test]
async fn an_unknown_login_takes_as_long_as_a_wrong_password() {
    let app = TestApp::start();
    let mut fastest = [Duration::MAX; 2];
    for _ in 0..5 {
        for (fastest, login) in fastest.iter_mut().zip(["owner", "nobody"]) {
            let begun = Instant::now();
            log_in(&app, 1, login, "wrong password").await;
            *fastest = begun.elapsed().min(*fastest);
        }
    }
    let [known, unknown] = fastest;
    assert!(unknown > known / 4 && known > unknown / 4, "{known:?} and {unknown:?}");
}

#[actix_web::test]
async fn tries_at_a_password_are_few() {
    let variables = vec![("ROWLOCK_HTTP_STAFF_LOGINS_PER_MINUTE", "3")];
    let app = TestApp::with(Setup { variables, ..Setup::default() });
    let cashier = app.staff("cashier").await;
    for _ in 0..2 {
        assert_eq!(log_in(&app, 1, "cashier", "wrong").await.status, 401);
    }
    let refused = log_in(&app, 1, "cashier", PASSWORD).await;
    assert_eq!(refused.refusal(), (429, "too_many_requests".into()), "the right one too");
    assert!(refused.headers["retry-after"].to_str().unwrap().parse::<u32>().unwrap() <= 20);
    let old = json!({ "old": "wrong", "new": "another password" });
    assert_eq!(cashier.put("/me/password", &old).await.refusal(), (429, "too_many_requests".into()));
    assert_eq!(log_in(&app, 1, "owner", PASSWORD).await.status, 201, "others are not held up");
    assert_eq!(log_in(&app, 2, "cashier", PASSWORD).await.status, 201);
}

/// Nor do the limits: whoever guesses at nobody's password is held up as everybody is.
#[actix_web::test]
async fn the_limits_tell_no_logins() {
    let variables = vec![("ROWLOCK_HTTP_STAFF_LOGINS_PER_MINUTE", "2")];
    let app = TestApp::with(Setup { variables, ..Setup::default() });
    let mut told = Vec::new();
    for (merchant, login) in [(1, "cashier"), (1, "nobody"), (3, "cashier")] {
        let mut answers = Vec::new();
        for _ in 0..3 {
            let answer = log_in(&app, merchant, login, "wrong password").await;
            let mut names: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
            names.sort();
            let mut body = answer.json();
            body["request_id"] = json!(null);
            answers.push((answer.status, names, body));
        }
        assert_eq!(answers.iter().map(|(status, ..)| status.as_u16()).collect::<Vec<_>>(), [401, 401, 429], "{login}");
        told.push(answers);
    }
    told.dedup();
    assert_eq!(told.len(), 1, "{told:#?}");
}

/// The limit of a login is one of tries, right ones among them; and it passes.
#[actix_web::test]
async fn who_waits_as_long_as_told_is_let_in() {
    let variables = vec![("ROWLOCK_HTTP_STAFF_LOGINS_PER_MINUTE", "15")];
    let app = TestApp::with(Setup { variables, ..Setup::default() });
    let mut refused = log_in(&app, 1, "owner", "wrong password").await;
    while refused.status == 401 {
        refused = log_in(&app, 1, "owner", "wrong password").await;
    }
    assert_eq!(refused.refusal(), (429, "too_many_requests".into()));
    assert_eq!(log_in(&app, 1, "owner", PASSWORD).await.status, 429);
    let wait = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=4).contains(&wait), "{wait} seconds");
    tokio::time::sleep(Duration::from_secs(wait)).await;
    assert_eq!(log_in(&app, 1, "owner", PASSWORD).await.status, 201);
}

/// Whoever takes another name each time is held up by where they come from, and so is a customer: before any password is hashed, any
/// platform asked, or any bucket made for the name.
#[actix_web::test]
async fn an_address_has_a_budget_of_logins_whatever_the_names() {
    let variables = vec![("ROWLOCK_HTTP_LOGINS_PER_MINUTE", "3")];
    let app = TestApp::with(Setup { variables, ..Setup::default() });
    let customer =
        |code: String| Answer::of(app.request(Method::POST, "/v1/merchants/1/sessions").json(&json!({ "code": code })));
    assert_eq!(customer("alice".to_owned()).await.status, 201);
    for number in 0..2 {
        assert_eq!(log_in(&app, 1, &format!("nobody{number}"), "wrong password").await.status, 401);
    }
    for number in 0..10 {
        assert_eq!(log_in(&app, number, &format!("somebody{number}"), PASSWORD).await.status, 429);
        assert_eq!(customer(format!("bob{number}")).await.refusal(), (429, "too_many_requests".into()));
    }
    assert_eq!(app.count("customers"), 1);
}

/// Hashing a password takes its time and memory: of many at once, most are told to come back, and none is let in for it.
/// Behind a proxy that is trusted, each has a budget of their own, whatever they say of themselves.
#[actix_web::test]
async fn behind_a_proxy_each_has_a_budget_of_their_own() {
    let log_in = async |app: &TestApp, forwarded: &str| {
        let request = app.request(Method::POST, "/v1/admin/merchants/1/sessions").header("x-forwarded-for", forwarded);
        Answer::of(request.json(&json!({ "login": "owner", "password": "wrong" }))).await.status.as_u16()
    };
    let limit = ("ROWLOCK_HTTP_STAFF_LOGINS_PER_MINUTE", "2");
    let variables = vec![limit, ("ROWLOCK_HTTP_TRUSTED_PROXIES", "127.0.0.1")];
    let app = TestApp::with(Setup { variables, ..Setup::default() });
    for (forwarded, status) in
        [("192.0.2.1", 401), ("192.0.2.7, 192.0.2.1", 401), ("192.0.2.8, 192.0.2.1", 429), ("192.0.2.2", 401)]
    {
        assert_eq!(log_in(&app, forwarded).await, status, "{forwarded}");
    }
    let app = TestApp::with(Setup { variables: vec![limit], ..Setup::default() });
    let statuses = [log_in(&app, "192.0.2.1").await, log_in(&app, "192.0.2.2").await, log_in(&app, "192.0.2.3").await];
    assert_eq!(statuses, [401, 401, 429], "from anybody else the header counts for nothing");
}

#[actix_web::test]
async fn many_logins_at_once_are_not_all_hashed() {
    let app = TestApp::start();
    let logins = (0..60).map(|number| {
        let body = json!({ "login": format!("nobody{number}"), "password": "not the one" });
        app.request(Method::POST, "/v1/admin/merchants/1/sessions").json(&body)
    });
    let answers = join_all(logins.map(Answer::of)).await;
    let count = |status: u16| answers.iter().filter(|answer| answer.status.as_u16() == status).count();
    assert_eq!(count(401) + count(429), 60);
    assert!(count(401) >= 8 && count(429) > 0, "{} were tried, {} turned away", count(401), count(429));
    let member = app.staff("owner").await;
    assert_eq!(member.get("/me").await.status.as_u16(), 200);
}

/// Nor are the passwords that an owner gives to members: those of all merchants wait in one line.
#[actix_web::test]
async fn many_members_at_once_are_not_all_hashed() {
    let app = TestApp::start();
    let owner = app.staff("owner").await;
    let member = json!({ "login": "cashier", "name": "Another", "role": "cashier", "password": "long enough" });
    let answers = join_all((0..40).map(|_| Answer::of(owner.request(Method::POST, "/staff").json(&member)))).await;
    let count = |status: u16| answers.iter().filter(|answer| answer.status.as_u16() == status).count();
    assert_eq!(count(409) + count(429), 40);
    assert!(count(409) >= 1 && count(429) > 0, "{} were hashed, {} turned away", count(409), count(429));
}
