//! Two shops in which everything has happened once, so that every id of the API names a row; and whether anything changes in them.

use std::collections::BTreeMap;

use diesel::connection::SimpleConnection;
use reqwest::Method;
use rowlock::domain::MerchantId;
use rowlock::domain::staff::Role;
use rowlock::service::payments::confirm;
use serde_json::{Value, json};

use crate::clients::{Answer, Customer, Staff};
use crate::harness::{TestApp, confirmation, words};
use crate::routes::Row;

/// Ids by what they name: `unpaid` an order, `payment` an attempt to pay it, `goods` a dish, and so on.
pub(crate) type Ids = BTreeMap<&'static str, String>;

pub(crate) fn id(answer: &Answer) -> String {
    let body = answer.json();
    let id = body["id"].as_str().map(str::to_owned).or_else(|| body["id"].as_i64().map(|id| id.to_string()));
    id.unwrap_or_else(|| panic!("no id: {}", answer.text))
}

/// Has everything happen once to a customer, at a shop with those goods, and returns the ids of it all.
pub(crate) async fn live(app: &TestApp, who: &Customer<'_>, name: &str, owner: &Staff<'_>, goods: i64) -> Ids {
    let mut ids = Ids::from([("goods", goods.to_string())]);
    let hook = json!({ "webhook_url": "https://example.org/hook" });
    assert_eq!(owner.patch("/settings", &hook).await.status, 200);
    let address = json!({ "contact": name, "phone": "13800138000", "place": "Home" });
    ids.insert("address", id(&who.post("/addresses", &address).await));
    assert_eq!(who.put(&format!("/cart/lines/{goods}"), &json!({ "count": 1 })).await.status, 200);

    let place = async |key: &str, pay_method: &str, fulfilment: Value| {
        let lines = json!([{ "goods_id": goods, "count": 2 }]);
        let order = json!({ "lines": lines, "fulfilment": fulfilment, "pay_method": pay_method });
        id(&who.place(key, &order).await)
    };
    let (pickup, delivery) = (json!({ "kind": "pickup" }), json!({ "kind": "delivery", "address_id": ids["address"] }));
    for (order, pay_method, fulfilment, moves) in [
        ("unpaid", "sandbox", &pickup, &[][..]),
        ("waiting", "cash", &pickup, &[]),
        ("accepted", "cash", &pickup, &["accept"]),
        ("preparing", "cash", &pickup, &["accept", "prepare"]),
        ("ready", "cash", &pickup, &["accept", "prepare", "ready", "collect"]),
        ("packed", "cash", &delivery, &["accept", "prepare", "ready"]),
        ("mismatched", "sandbox", &pickup, &[]),
    ] {
        let id = place(order, pay_method, fulfilment.clone()).await;
        for made in moves {
            let moved = owner.post(&format!("/orders/{id}/{made}"), &json!({})).await;
            assert_eq!(moved.status, 200, "{order}: {made}: {}", moved.text);
        }
        ids.insert(order, id);
    }
    let started = who.post(&format!("/orders/{}/payments", ids["unpaid"]), &json!({})).await.json();
    ids.insert("payment", started["payment"]["id"].as_str().unwrap().to_owned());
    // Money that does not fit is owed back, and somebody is told.
    let (order, now) = (ids["mismatched"].clone(), app.clock.now());
    let wrong = confirmation(app, &order, "0.01", &format!("{name}-1"));
    app.app.store.write(MerchantId(who.merchant), |tx| confirm(tx, &wrong, now)).unwrap();
    for (name, table) in [("refund", "refunds"), ("alert", "alerts")] {
        let sql = format!("SELECT id::text AS value FROM {table} WHERE order_id = '{order}'");
        ids.insert(name, words(&mut app.conn(), &sql).pop().unwrap());
    }

    let both = |text: &str| json!({ "zh": text, "en": text });
    for part in ["category", "empty_category"] {
        ids.insert(part, id(&owner.post("/categories", &json!({ "name": both(&format!("{name} {part}")) })).await));
    }
    for part in ["product", "empty_product"] {
        let body = json!({ "category_id": ids["category"].parse::<i64>().unwrap(), "name": both(part) });
        ids.insert(part, id(&owner.post("/products", &body).await));
    }
    let body =
        json!({ "product_id": ids["product"].parse::<i64>().unwrap(), "spec": both("x"), "price": "1.00", "stock": 5 });
    ids.insert("spare_goods", id(&owner.post("/goods", &body).await));
    ids.insert("account", id(&owner.post("/accounts", &json!({ "kind": "votes", "name": name })).await));
    let member = json!({ "login": name, "name": name, "role": "kitchen", "password": "no password" });
    ids.insert("member", id(&owner.post("/staff", &member).await));
    let sql = format!("SELECT id::text AS value FROM customers WHERE subject = '{name}'");
    ids.insert("customer", words(&mut app.conn(), &sql).pop().unwrap());

    // Whoever asks for events has them numbered, and their deliveries made.
    assert_eq!(owner.get("/events/page?after=0").await.status, 200);
    let sql = format!("SELECT max(seq)::text AS value FROM webhook_deliveries WHERE merchant_id = {}", who.merchant);
    ids.insert("delivery", words(&mut app.conn(), &sql).pop().unwrap());
    ids
}

fn tables(app: &TestApp) -> Vec<String> {
    let sql = "SELECT tablename::text AS value FROM pg_tables
               WHERE schemaname = 'public' AND tablename NOT LIKE '\\_\\_%' ORDER BY tablename";
    let tables = words(&mut app.conn(), sql);
    assert!(tables.len() > 20, "{tables:?}");
    tables
}

/// What stands in the database: a line for each table, with a digest of all its rows.
pub(crate) fn digest(app: &TestApp) -> Vec<String> {
    let table = |table: &String| {
        format!(
            "SELECT '{table} ' || count(*) || ' ' || md5(coalesce(string_agg(t::text, chr(10) ORDER BY t::text), '')) AS value FROM {table} t"
        )
    };
    let mut lines = words(&mut app.conn(), &tables(app).iter().map(table).collect::<Vec<_>>().join(" UNION ALL "));
    lines.sort();
    lines
}

/// The database as it is now, to come back to.
pub(crate) struct Kept(String);

impl Kept {
    pub(crate) fn of(app: &TestApp) -> Self {
        let tables = tables(app);
        let copies: String =
            tables.iter().map(|table| format!("CREATE TABLE kept.{table} AS TABLE {table};")).collect();
        app.execute(&format!("CREATE SCHEMA kept; {copies}"));
        let back = |table: &String| format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM kept.{table};");
        let back: String = tables.iter().map(back).collect();
        // A replica checks no foreign keys, whatever the order of the tables.
        Self(format!("BEGIN; SET LOCAL session_replication_role = replica; {back} COMMIT"))
    }

    pub(crate) fn restore(&self, app: &TestApp) {
        app.conn().batch_execute(&self.0).unwrap();
    }
}

/// Somebody with a token, if they have one.
pub(crate) struct Caller {
    pub(crate) name: String,
    pub(crate) merchant: i64,
    /// Of the staff.
    pub(crate) role: Option<Role>,
    pub(crate) token: Option<String>,
}

pub(crate) struct World {
    pub(crate) app: TestApp,
    pub(crate) callers: Vec<Caller>,
    pub(crate) alices: Ids,
    pub(crate) bobs: Ids,
    /// Of a customer of shop 2.
    pub(crate) foreign: Ids,
}

impl World {
    pub(crate) async fn create() -> Self {
        let app = TestApp::start();
        let mut callers = vec![Caller { name: "nobody".to_owned(), merchant: 0, role: None, token: None }];
        let mut lives = Vec::new();
        // Shop 2 has seen more, so that the numbers of its events are not shop 1's.
        for (merchant, name, goods) in
            [(1, "alice", 1), (1, "bob", 1), (2, "carol", 101), (2, "dan", 101), (2, "erin", 101)]
        {
            let (who, owner) = (app.customer_of(merchant, name).await, app.staff_of(merchant, "owner").await);
            lives.push(live(&app, &who, name, &owner, goods).await);
            callers.push(Caller { name: name.to_owned(), merchant, role: None, token: Some(who.token) });
        }
        for (merchant, role) in [1, 2].iter().flat_map(|merchant| Role::ALL.iter().map(move |role| (*merchant, *role)))
        {
            let token = app.staff_of(merchant, role.name()).await.token;
            let name = format!("the {role} of shop {merchant}");
            callers.push(Caller { name, merchant, role: Some(role), token: Some(token) });
        }
        let foreign = lives.pop().unwrap();
        let [mut alices, bobs] = [0, 1].map(|one| lives[one].clone());
        let categories =
            "SELECT string_agg(id::text, ',' ORDER BY id DESC) AS value FROM categories WHERE merchant_id = 1";
        alices.insert("categories", words(&mut app.conn(), categories).remove(0));
        Self { app, callers, alices, bobs, foreign }
    }

    /// The body of a row, with Alice's ids in it.
    pub(crate) fn body(&self, row: &Row) -> String {
        let fill = |text: String, (name, id): (&&str, &String)| text.replace(&format!("<{name}>"), id);
        self.alices.iter().fold(row.3.to_owned(), fill)
    }

    /// A request of a row without its body, with what its path names.
    pub(crate) fn request(&self, row: &Row, names: &[String], query: &str) -> reqwest::RequestBuilder {
        let (method, template) = row.0.split_once(' ').unwrap();
        let (template, mut names) = (template.replace("{m}", "1"), names.iter());
        let parts = template.split('/').map(|part| if part.starts_with('{') { names.next().unwrap() } else { part });
        let path = parts.collect::<Vec<_>>().join("/");
        let request = self.app.request(Method::from_bytes(method.as_bytes()).unwrap(), &format!("{path}{query}"));
        request.header("Idempotency-Key", uuid::Uuid::new_v4().to_string())
    }

    /// Sends it as a caller.
    pub(crate) async fn ask(&self, row: &Row, names: &[String], caller: &Caller) -> Answer {
        let is_sheet = row.0.ends_with("/import");
        let mut request = self.request(row, names, if is_sheet { "?dry_run=true" } else { "" });
        if let Some(token) = &caller.token {
            request = request.bearer_auth(token);
        }
        if !row.3.is_empty() {
            let kind = if is_sheet { "text/csv" } else { "application/json" };
            request = request.header("content-type", kind).body(self.body(row));
        }
        let response = request.send().await.unwrap();
        // A stream goes on for ever, and has let in whom it answers so.
        if response.headers().get("content-type").is_some_and(|kind| kind == "text/event-stream") {
            let (status, headers) = (response.status(), response.headers().clone());
            return Answer { status, headers, text: String::new() };
        }
        Answer::read(response).await
    }

    pub(crate) fn owner(&self) -> &Caller {
        self.callers.iter().find(|caller| caller.merchant == 1 && caller.role == Some(Role::Owner)).unwrap()
    }

    pub(crate) fn names(row: &Row, ids: &Ids) -> Vec<String> {
        let name = |word: &str| word.strip_prefix('=').map_or_else(|| ids[word].clone(), str::to_owned);
        row.2.split_whitespace().map(name).collect()
    }
}
