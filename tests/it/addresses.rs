//! The address book.

use reqwest::Method;
use serde_json::json;

use crate::clients::Answer;
use crate::harness::{Setup, TestApp};

#[actix_web::test]
async fn a_book_is_kept_and_private() {
    let app = TestApp::start();
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    let home = json!({ "contact": " Alice ", "phone": "1380000", "place": "Home" });
    let saved = alice.post("/addresses", &home).await;
    assert_eq!(saved.status, 201);
    assert_eq!(saved.json()["contact"], "Alice");
    app.clock.advance(chrono::TimeDelta::seconds(1));
    alice.post("/addresses", &json!({ "contact": "A", "phone": "1380000", "place": "Work" })).await;
    let list = alice.get("/addresses").await.json();
    let places: Vec<_> = list["items"].as_array().unwrap().iter().map(|address| &address["place"]).collect();
    assert_eq!(places, ["Work", "Home"]);

    let path = format!("/addresses/{}", saved.json()["id"].as_str().unwrap());
    assert_eq!(bob.get("/addresses").await.json(), json!({ "items": [] }));
    assert_eq!(Answer::of(bob.request(Method::PUT, &path).json(&home)).await.refusal(), (404, "not_found".into()));
    assert_eq!(Answer::of(bob.request(Method::DELETE, &path)).await.refusal(), (404, "not_found".into()));
    let elsewhere = json!({ "contact": "Alice", "phone": "1380000", "place": "Elsewhere" });
    let changed = Answer::of(alice.request(Method::PUT, &path).json(&elsewhere)).await;
    assert_eq!((changed.status.as_u16(), changed.json()["place"].clone()), (200, json!("Elsewhere")));
    assert_eq!(Answer::of(alice.request(Method::DELETE, &path)).await.status, 204);
    assert_eq!(Answer::of(alice.request(Method::DELETE, &path)).await.refusal(), (404, "not_found".into()));
}

#[actix_web::test]
async fn what_is_no_address_is_refused_by_field() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    for (field, value) in [
        ("contact", ""),
        ("contact", "\u{7}"),
        ("phone", "12"),
        ("phone", "+--()"),
        ("phone", "call me"),
        ("place", " \n "),
        ("place", "a\u{0}"),
        ("place", &"x".repeat(201)),
    ] {
        let mut address = json!({ "contact": "A", "phone": "1380000", "place": "Home" });
        address[field] = json!(value);
        let answer = alice.post("/addresses", &address).await;
        assert_eq!((answer.refusal(), &answer.json()["field"]), ((422, "invalid_field".into()), &json!(field)));
    }
    assert_eq!(app.count("addresses"), 0);
}

#[actix_web::test]
async fn a_book_has_a_last_page() {
    let app = TestApp::with(Setup { variables: vec![("ROWLOCK_ORDERS_ADDRESSES_MAX", "2")], ..Setup::default() });
    let alice = app.customer("alice").await;
    let address = json!({ "contact": "A", "phone": "1380000", "place": "Home" });
    assert_eq!(alice.post("/addresses", &address).await.status, 201);
    assert_eq!(alice.post("/addresses", &address).await.status, 201);
    assert_eq!(alice.post("/addresses", &address).await.refusal(), (409, "address_book_full".into()));
}
