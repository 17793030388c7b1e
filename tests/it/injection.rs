//! Every text that the document says can be sent, with what does harm elsewhere in it: no such text is an error of ours, what is taken comes
//! back as it was sent, and no table that leaves the house makes a spreadsheet compute.
//!
//! The fields are the document's own: a new one is tried without being named here.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::clients::Answer;
use crate::harness::{TestApp, words};
use crate::routes::{Row, TABLE};
use crate::texts::{Field, HERE, Place, fields, texts};
use crate::world::{Kept, World, digest};

impl World {
    async fn send(&self, field: &Field, literal: &str) -> Answer {
        let row = field.row;
        let plain = || serde_json::from_str::<String>(literal).unwrap_or_else(|_| literal.to_owned());
        let encoded = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
        let (mut names, mut query, mut body) = (Self::names(row, &self.alices), String::new(), self.body(row));
        match &field.place {
            Place::Body(marked) => body = marked.to_string().replace(&json!(HERE).to_string(), literal),
            Place::Raw => body = plain(),
            // A longer line would not be sent.
            Place::Query(name) => {
                query = format!("?{name}={}", encoded(&plain().chars().take(5000).collect::<String>()))
            }
            Place::Path(number) => names[*number] = encoded(&plain().chars().take(5000).collect::<String>()),
        }
        let request = self
            .request(row, &names, &query)
            .header("content-type", if row.0.ends_with("/import") { "text/csv" } else { "application/json" });
        let caller = if row.0.contains("/admin/") { &self.owner().token } else { &self.callers[1].token };
        let request = request.bearer_auth(caller.as_ref().unwrap());
        let response = if body.is_empty() { request } else { request.body(body) }.send().await.unwrap();
        assert!(response.headers().get("x-forged").is_none());
        match response.headers().get("content-type").is_some_and(|kind| kind == "text/event-stream") {
            true => Answer { status: response.status(), headers: response.headers().clone(), text: String::new() },
            false => Answer::read(response).await,
        }
    }

    /// Every text that anybody is shown in JSON, and every cell of a table.
    async fn shown(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let (mut texts, mut cells) = (BTreeSet::new(), BTreeSet::new());
        for row in TABLE.iter().filter(|row| row.0.starts_with("GET /v1/")) {
            let caller = if row.0.contains("/admin/") { self.owner() } else { &self.callers[1] };
            for names in self.every(row) {
                let answer = self.ask(row, &names, caller).await;
                if answer.headers["content-type"].to_str().unwrap().starts_with("text/csv") {
                    let mut table = csv::ReaderBuilder::new()
                        .has_headers(false)
                        .flexible(true)
                        .from_reader(answer.text.trim_start_matches('\u{feff}').as_bytes());
                    cells.extend(
                        table.records().flat_map(|row| row.unwrap().iter().map(str::to_owned).collect::<Vec<_>>()),
                    );
                } else if answer.status == 200 && !answer.text.is_empty() {
                    gather(&answer.json(), &mut texts);
                }
            }
        }
        (texts, cells)
    }

    /// What a path may name: all orders of Alice's, and all accounts of her shop.
    fn every(&self, row: &Row) -> Vec<Vec<String>> {
        let ids = |sql: &str| words(&mut self.app.conn(), sql).into_iter().map(|id| vec![id]).collect();
        match row.0 {
            route if route.ends_with("/orders/{id}") => {
                let alice = &self.alices["customer"];
                ids(&format!("SELECT id::text AS value FROM orders WHERE customer_id = '{alice}'"))
            }
            route if route.ends_with("/accounts/{id}") => {
                ids("SELECT id::text AS value FROM accounts WHERE merchant_id = 1")
            }
            _ => vec![Self::names(row, &self.alices)],
        }
    }
}

fn gather(value: &Value, texts: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => drop(texts.insert(text.clone())),
        Value::Array(items) => items.iter().for_each(|item| gather(item, texts)),
        Value::Object(members) => members.values().for_each(|member| gather(member, texts)),
        _ => {}
    }
}

/// Not shown to anybody: passwords, and the code of a login.
fn is_hidden(name: &str) -> bool {
    [".password", ".old", ".new", ".code"].contains(&name)
}

/// Whether what is sent with it is a password that is hashed.
fn is_hashed(field: &Field) -> bool {
    let with_password = ["/admin/merchants/{m}/sessions", "/me/password", "POST /v1/admin/merchants/{m}/staff"];
    field.name == ".password" || with_password.iter().any(|route| field.row.0.ends_with(route))
}

#[actix_web::test]
async fn no_text_is_an_error_of_ours() {
    let world = World::create().await;
    let document = serde_json::to_value(rowlock::http::openapi()).unwrap();
    let fields = fields(&document, &world);
    let bodies = fields.iter().filter(|field| matches!(field.place, Place::Body(_))).count();
    assert!(bodies > 50 && fields.len() > 100, "{bodies} of {} fields", fields.len());
    let (texts, before, kept) = (texts(), digest(&world.app), Kept::of(&world.app));
    let mut taken = BTreeSet::new();
    for field in &fields {
        // Hashing takes its time, and all that is hashed is alike.
        let step = if is_hashed(field) { 6 } else { 1 };
        for literal in texts.iter().step_by(step) {
            let answer = world.send(field, literal).await;
            let start: String = literal.chars().take(40).collect();
            let what = format!("{} {} {start}: {} {}", field.row.0, field.name, answer.status, answer.text);
            assert!(answer.status.as_u16() < 500, "{what}");
            if answer.status.is_success() {
                taken.insert(&field.name);
                let is_body = matches!(field.place, Place::Body(_)) && !is_hidden(&field.name);
                let unfit = ["\\u0000", "\u{202e}", "\u{200b}", "\u{feff}", "\\u001b", "\\ud800", "\u{85}"];
                assert!(!is_body || !unfit.iter().any(|unfit| literal.contains(unfit)), "{what}");
                let has_lines = [".note", ".remark"].contains(&field.name.as_str());
                assert!(
                    !is_body || has_lines || !["\\n", "\\r", "\u{2028}"].iter().any(|end| literal.contains(end)),
                    "{what}"
                );
            } else if !field.row.0.contains("/callbacks/") {
                answer.code();
            }
        }
        // What was changed on the way must not be in the way of the next.
        kept.restore(&world.app);
    }
    assert!(taken.len() > 10, "{taken:?}");
    assert_eq!(digest(&world.app), before);
}

/// In twenty characters, which the shortest field takes, all that somebody's escaping might touch; and a formula.
#[actix_web::test]
async fn what_is_taken_comes_back_as_it_was_sent() {
    let world = World::create().await;
    let document = serde_json::to_value(rowlock::http::openapi()).unwrap();
    let kept = Kept::of(&world.app);
    let mut came_back = BTreeSet::new();
    for field in fields(&document, &world)
        .iter()
        .filter(|field| matches!(field.place, Place::Body(_)) && !is_hidden(&field.name))
    {
        for text in ["<b>'\"&amp;\\n%20😀é$1", "=1+1;'\"&"] {
            let answer = world.send(field, &json!(text).to_string()).await;
            let what = format!("{} {} {text}: {}", field.row.0, field.name, answer.text);
            if !answer.status.is_success() {
                assert!(answer.status.is_client_error(), "{what}");
                continue;
            }
            let (texts, cells) = world.shown().await;
            assert!(texts.contains(text), "it is nowhere: {what}");
            let computed = cells.iter().find(|cell| cell.starts_with(['=', '+', '-', '@', '\t', '\r']));
            assert_eq!(computed, None, "a spreadsheet computes it: {what}");
            came_back.insert(format!("{} {}", field.row.0, field.name));
            kept.restore(&world.app);
        }
    }
    for known in [
        "POST /v1/merchants/{m}/orders .remark",
        "POST /v1/merchants/{m}/orders .fulfilment.table",
        "POST /v1/merchants/{m}/addresses .contact",
        "PUT /v1/merchants/{m}/addresses/{id} .place",
        "PATCH /v1/admin/merchants/{m}/products/{id} .name.zh",
        "PATCH /v1/admin/merchants/{m}/goods/{id} .spec.en",
        "PATCH /v1/admin/merchants/{m}/settings .name.en",
        "POST /v1/admin/merchants/{m}/staff .login",
        "POST /v1/admin/merchants/{m}/orders/{id}/reject .note",
        "POST /v1/admin/merchants/{m}/accounts/{id}/entries .reason",
    ] {
        assert!(came_back.contains(known), "{known} is not among {came_back:#?}");
    }
    assert!(came_back.len() > 25, "{came_back:#?}");
}

/// What a header says is answered in none.
#[actix_web::test]
async fn headers_are_not_believed() {
    let app = TestApp::start();
    let long = "x".repeat(3000);
    for (name, value) in [
        ("X-Request-Id", "a\tb"),
        ("X-Request-Id", "<script>"),
        ("Accept-Language", "zh\"><script>"),
        ("Accept-Language", long.as_str()),
        ("Host", "evil.example"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("Origin", "https://evil.example"),
        ("Last-Event-ID", "1 OR 1"),
        ("Idempotency-Key", "a b"),
        ("Cookie", "a=b"),
        ("Forwarded", "for=127.0.0.1"),
    ] {
        for path in ["/v1/merchants/1/menu", "/nowhere", "/v1/merchants/1/orders"] {
            let answer = Answer::of(app.request(Method::GET, path).header(name, value)).await;
            assert!([200, 401, 404].contains(&answer.status.as_u16()), "{path} {name}: {}", answer.text);
            for (told, said) in &answer.headers {
                let said = said.to_str().unwrap();
                assert!(
                    !["evil", "script", "\t"].iter().any(|harm| said.contains(harm)),
                    "{path} {name}: {told}: {said}"
                );
                assert!(told != "access-control-allow-origin", "{path}: nobody else's page may read it");
            }
            assert!(!answer.text.contains("evil.example") && !answer.text.contains("<script>"), "{}", answer.text);
        }
    }
}
