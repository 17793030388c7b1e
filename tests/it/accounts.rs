//! Accounts: points, votes and tips, as the staff correct them and customers see them.

use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::clients::all_at_once;
use crate::harness::{TestApp, number};

fn by(delta: i64) -> Value {
    json!({ "delta": delta, "reason": "goodwill" })
}

#[actix_web::test]
async fn accounts_with_names_are_added_and_corrected() {
    let app = TestApp::start();
    let (manager, cashier) = (app.staff("manager").await, app.staff("cashier").await);
    let added = manager.post("/accounts", &json!({ "kind": "votes", "name": " 阿强 " })).await;
    assert_eq!(added.status, 201, "{}", added.text);
    let id = added.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(added.json(), json!({ "id": id, "kind": "votes", "customer_id": null, "name": "阿强", "balance": 0 }));
    assert_eq!(
        manager.post("/accounts", &json!({ "kind": "votes", "name": "阿强" })).await.refusal(),
        (409, "name_taken".into())
    );
    assert_eq!(manager.post("/accounts", &json!({ "kind": "tips", "name": "阿强" })).await.status, 201);
    assert_eq!(
        app.staff_of(2, "owner").await.post("/accounts", &json!({ "kind": "votes", "name": "阿强" })).await.status,
        201
    );
    for (kind, name, field) in
        [("points", "x", "kind"), ("gold", "x", "kind"), ("votes", "", "name"), ("votes", "a\u{0}", "name")]
    {
        let answer = manager.post("/accounts", &json!({ "kind": kind, "name": name })).await;
        assert_eq!(
            (answer.refusal(), &answer.json()["field"]),
            ((422, "invalid_field".into()), &json!(field)),
            "{kind} {name}"
        );
    }
    assert_eq!(cashier.get("/accounts").await.json()["items"].as_array().unwrap().len(), 2);
    let votes = cashier.get("/accounts?kind=votes").await.json();
    assert_eq!(votes["items"], json!([added.json()]));
    assert_eq!(cashier.get("/accounts?kind=gold").await.refusal(), (422, "invalid_field".into()));

    let path = format!("/accounts/{id}/entries");
    let entry = manager.post_once("k", &path, &by(12)).await;
    assert_eq!(entry.status, 201, "{}", entry.text);
    assert_eq!((&entry.json()["balance"], &entry.json()["cause"]), (&json!(12), &json!("correction k")));
    app.clock.advance(TimeDelta::seconds(1));
    manager.post_once("k2", &path, &by(-2)).await;
    let again = manager.post_once("k", &path, &by(12)).await;
    assert_eq!((again.status.as_u16(), again.json()), (200, entry.json()), "the same answer, whatever came later");
    assert_eq!(manager.post_once("k", &path, &by(13)).await.refusal(), (422, "idempotency_key_reused".into()));
    let low = manager.post_once("k3", &path, &by(-11)).await;
    assert_eq!((low.refusal(), &low.json()["balance"]), ((409, "balance_too_low".into()), &json!(10)));
    assert_eq!(manager.post_once("k3", &path, &by(-10)).await.status, 201, "what was refused took no key");
    assert_eq!(manager.post(&path, &by(1)).await.refusal(), (400, "idempotency_key_missing".into()));
    for (body, field) in [
        (by(0), "delta"),
        (by(1_000_000_001), "delta"),
        (json!({ "delta": 1, "reason": "" }), "reason"),
        (json!({ "delta": 1, "reason": "x".repeat(201) }), "reason"),
    ] {
        let answer = manager.post_once("k4", &path, &body).await;
        assert_eq!(
            (answer.refusal(), &answer.json()["field"]),
            ((422, "invalid_field".into()), &json!(field)),
            "{body}"
        );
    }
    let neighbour = app.staff_of(2, "owner").await;
    assert_eq!(neighbour.post_once("k", &path, &by(1)).await.refusal(), (404, "not_found".into()));
    assert_eq!(neighbour.get(&format!("/accounts/{id}")).await.refusal(), (404, "not_found".into()));
    let shown = cashier.get(&format!("/accounts/{id}")).await.json();
    assert_eq!(shown["account"]["balance"], 0);
    assert_eq!(shown["items"].as_array().unwrap().len(), 3);
    assert_eq!(app.count("staff_actions"), 6, "three entries, two accounts, and one next door");
}

#[actix_web::test]
async fn a_customers_points_are_theirs_to_see() {
    let app = TestApp::start();
    let (manager, alice, bob) = (app.staff("manager").await, app.customer("alice").await, app.customer("bob").await);
    let id = app.customer_id("alice").await;
    let empty = alice.get("/points").await;
    assert_eq!(empty.status, 200, "{}", empty.text);
    assert_eq!(
        empty.json(),
        json!({ "balances": { "points": 0, "votes": 0, "tips": 0 }, "items": [], "next_cursor": null })
    );
    for number in 1..=5 {
        app.clock.advance(TimeDelta::seconds(number % 2));
        let path = format!("/customers/{id}/accounts/points/entries");
        let entry = manager.post_once(&format!("k&{number}"), &path, &by(number)).await;
        assert_eq!(entry.status, 201, "{}", entry.text);
    }
    let votes = manager.post_once("v", &format!("/customers/{id}/accounts/votes/entries"), &by(3)).await;
    assert_eq!(votes.status, 201);
    let mut paged = Vec::new();
    let mut path = "/points?limit=2".to_owned();
    loop {
        let page = alice.get(&path).await.json();
        assert_eq!(page["balances"], json!({ "points": 15, "votes": 3, "tips": 0 }));
        paged.extend(page["items"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/points?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(paged.len(), 5);
    let all = alice.get("/points").await;
    assert_eq!(all.json()["items"], Value::Array(paged.clone()));
    assert_eq!(paged.iter().map(|entry| entry["delta"].as_i64().unwrap()).sum::<i64>(), 15);
    assert_eq!(
        (&paged[0]["cause"], &paged[4]["delta"], &paged[4]["balance"]),
        (&json!("correction"), &json!(1), &json!(1))
    );
    for hidden in ["k&", "staff", "goodwill"] {
        assert!(!all.text.contains(hidden), "{hidden} is not for customers: {}", all.text);
    }
    assert_eq!(alice.get("/points?kind=votes").await.json()["items"][0]["delta"], 3);
    assert_eq!(bob.get("/points").await.json()["balances"]["points"], 0);
    assert_eq!(app.customer_of(2, "alice").await.get("/points").await.json()["balances"]["points"], 0);
    for query in ["limit=0", "limit=101", "cursor=x", "cursor=0-00", "who=1"] {
        assert_eq!(alice.get(&format!("/points?{query}")).await.refusal(), (400, "malformed_query".into()), "{query}");
    }
    assert_eq!(alice.get("/points?kind=gold").await.refusal(), (422, "invalid_field".into()));

    let accounts = manager.get(&format!("/accounts?customer_id={id}")).await.json();
    let kinds: Vec<&Value> = accounts["items"].as_array().unwrap().iter().map(|account| &account["kind"]).collect();
    assert_eq!(kinds, ["points", "votes"]);
    assert_eq!(manager.get(&format!("/accounts?customer_id={id}&kind=votes")).await.json()["items"][0]["balance"], 3);
    for path in [
        "/customers/00000000-0000-0000-0000-000000000000/accounts/points/entries".to_owned(),
        format!("/customers/{id}/accounts/gold/entries"),
    ] {
        assert_eq!(manager.post_once("k", &path, &by(1)).await.refusal(), (404, "not_found".into()), "{path}");
    }
    let neighbour = app.staff_of(2, "owner").await;
    let path = format!("/customers/{id}/accounts/points/entries");
    assert_eq!(neighbour.post_once("k", &path, &by(1)).await.refusal(), (404, "not_found".into()));
}

#[actix_web::test]
async fn a_balance_covers_as_many_as_it_covers() {
    let app = TestApp::start();
    let manager = app.staff("manager").await;
    let account = manager.post("/accounts", &json!({ "kind": "tips", "name": "Li" })).await.json();
    let path = format!("/accounts/{}/entries", account["id"].as_str().unwrap());
    manager.post_once("first", &path, &by(37 * 10 + 9)).await;
    let (keys, take): (Vec<String>, Value) = ((0..100).map(|key| key.to_string()).collect(), by(-10));
    let answers = join_all(keys.iter().map(|key| manager.post_once(key, &path, &take))).await;
    let taken = answers.iter().filter(|answer| answer.status == 201).count();
    let refused = answers.iter().filter(|answer| answer.status == 409 && answer.code() == "balance_too_low").count();
    assert_eq!((taken, refused), (37, 63));
    assert_eq!(app.count("entries WHERE delta = -10"), 37);
    assert_eq!(number(&mut app.conn(), "SELECT balance AS value FROM accounts"), 9);
}

#[actix_web::test]
async fn the_same_key_fifty_times_is_one_entry() {
    let app = TestApp::start();
    let (manager, id) = (app.staff("manager").await, app.customer_id("alice").await);
    // The account is made by whoever is first.
    let path = format!("/customers/{id}/accounts/points/entries");
    let body = by(7);
    let answers = join_all((0..50).map(|_| manager.post_once("k", &path, &body))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    for answer in &answers {
        assert!([200, 201].contains(&answer.status.as_u16()), "{}", answer.text);
        assert_eq!(answer.json(), answers[0].json());
    }
    assert_eq!((app.count("accounts"), app.count("entries"), app.count("staff_actions")), (1, 1, 1));
    assert_eq!(number(&mut app.conn(), "SELECT balance AS value FROM accounts"), 7);
    // And where the account is there already.
    let requests = (0..12).map(|_| manager.posting("k2", &path, &body)).collect();
    let answers = all_at_once(&app, "SELECT FROM accounts", requests).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 11, "{answers:#?}");
    assert_eq!(number(&mut app.conn(), "SELECT balance AS value FROM accounts"), 14);
}
