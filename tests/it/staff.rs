//! The staff: what ends their logins, and who looks after whom.

use chrono::TimeDelta;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::clients::{Answer, Staff};
use crate::harness::{PASSWORD, TestApp, words};

pub(crate) async fn log_in(app: &TestApp, merchant: i64, login: &str, password: &str) -> Answer {
    let path = format!("/v1/admin/merchants/{merchant}/sessions");
    Answer::of(app.request(Method::POST, &path).json(&json!({ "login": login, "password": password }))).await
}

async fn get(app: &TestApp, token: &str, path: &str) -> Answer {
    Answer::of(app.request(Method::GET, &format!("/v1/admin/merchants/1{path}")).bearer_auth(token)).await
}

async fn id_of(owner: &Staff<'_>, login: &str) -> String {
    let staff = owner.get("/staff").await.json();
    let member = staff["items"].as_array().unwrap().iter().find(|member| member["login"] == login).unwrap();
    member["id"].as_str().unwrap().to_owned()
}

fn token(session: &Answer) -> String {
    session.json()["token"].as_str().unwrap_or_else(|| panic!("{}", session.text)).to_owned()
}

/// The clock stands still: what was issued before and after a change is of the same moment.
#[actix_web::test]
async fn another_password_ends_what_was_issued_before() {
    let app = TestApp::start();
    let (first, second) = (app.staff("manager").await, app.staff("manager").await);
    let put = |body: Value| first.request(Method::PUT, "/me/password").json(&body);
    for (old, new, field) in
        [("wrong", "another password", "old"), (PASSWORD, "2short!", "new"), (PASSWORD, &*"x".repeat(201), "new")]
    {
        let answer = Answer::of(put(json!({ "old": old, "new": new }))).await;
        assert_eq!(answer.refusal(), (422, "invalid_field".into()));
        assert_eq!(answer.json()["field"], field);
    }
    let changed = Answer::of(put(json!({ "old": PASSWORD, "new": "another password" }))).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    for old in [&first, &second] {
        assert_eq!(old.get("/me").await.refusal(), (401, "unauthenticated".into()));
    }
    assert_eq!(get(&app, &token(&changed), "/me").await.status, 200, "of the same second, and good");
    assert_eq!(log_in(&app, 1, "manager", PASSWORD).await.status, 401);
    let again = token(&log_in(&app, 1, "manager", "another password").await);
    assert_eq!(get(&app, &again, "/me").await.status, 200);

    // The owner's doing has the same effect, be the clock behind.
    let owner = app.staff("owner").await;
    let path = format!("/staff/{}", id_of(&owner, "manager").await);
    app.clock.advance(TimeDelta::hours(-1));
    assert_eq!(owner.patch(&path, &json!({ "password": "a third password" })).await.status, 200);
    assert_eq!(get(&app, &again, "/me").await.refusal(), (401, "unauthenticated".into()));
    let third = token(&log_in(&app, 1, "manager", "a third password").await);
    assert_eq!(get(&app, &third, "/me").await.status, 200);
}

#[actix_web::test]
async fn of_two_who_change_a_password_at_once_one_does() {
    let app = TestApp::start();
    let kitchen = app.staff("kitchen").await;
    let bodies: Vec<Value> =
        (0..8).map(|number| json!({ "old": PASSWORD, "new": format!("password {number}") })).collect();
    let answers = join_all(bodies.iter().map(|body| kitchen.put("/me/password", body))).await;
    let done: Vec<usize> = (0..8).filter(|number| answers[*number].status == 200).collect();
    assert_eq!(done.len(), 1, "{answers:#?}");
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        assert!([401, 422].contains(&answer.status.as_u16()), "{}", answer.text);
    }
    assert_eq!(log_in(&app, 1, "kitchen", &format!("password {}", done[0])).await.status, 201);
    assert_eq!(app.count("staff_actions"), 1);
}

#[actix_web::test]
async fn who_is_closed_out_or_demoted_feels_it_at_once() {
    let app = TestApp::start();
    let (owner, manager) = (app.staff("owner").await, app.staff("manager").await);
    let path = format!("/staff/{}", id_of(&owner, "manager").await);
    assert_eq!(manager.get("/settings").await.status, 200);
    let demoted = owner.patch(&path, &json!({ "role": "kitchen" })).await;
    assert_eq!((demoted.status.as_u16(), &demoted.json()["role"]), (200, &json!("kitchen")));
    assert_eq!(manager.get("/settings").await.refusal(), (403, "forbidden".into()));
    let me = manager.get("/me").await.json();
    assert_eq!(me["role"], "kitchen");
    assert_eq!(me["permissions"], json!(["read_orders", "cook_orders", "read_menu", "mark_sold_out"]));
    assert_eq!(owner.patch(&path, &json!({ "is_active": false })).await.json()["is_active"], false);
    assert_eq!(manager.get("/me").await.refusal(), (401, "unauthenticated".into()));
    assert_eq!(log_in(&app, 1, "manager", PASSWORD).await.refusal(), (401, "login_refused".into()));
    assert_eq!(owner.patch(&path, &json!({ "is_active": true })).await.status, 200);
    assert_eq!(manager.get("/me").await.refusal(), (401, "unauthenticated".into()), "what was ended stays so");
    assert_eq!(app.staff("manager").await.get("/me").await.status, 200);
}

/// Each role learns what it needs of the restaurant: the kitchen may not see its settings.
#[actix_web::test]
async fn everybody_is_told_whom_they_work_for() {
    let app = TestApp::start();
    app.execute(
        "UPDATE merchants SET name_en = 'Noodles', time_zone = 'Europe/Paris', day_starts_at = '05:30', accept_minutes = 7
             WHERE id = 2",
    );
    let kitchen = app.staff("kitchen").await.get("/me").await.json();
    assert_eq!(kitchen["login"], "kitchen");
    assert_eq!(kitchen["name"], "The kitchen");
    let merchant = json!({
        "id": 1, "name": { "zh": "店", "en": "Shop" }, "time_zone": "Asia/Shanghai", "day_starts_at": "04:00", "accept_minutes": 10,
    });
    assert_eq!(kitchen["merchant"], merchant);
    let merchant = json!({
        "id": 2, "name": { "zh": "店", "en": "Noodles" }, "time_zone": "Europe/Paris", "day_starts_at": "05:30", "accept_minutes": 7,
    });
    assert_eq!(app.staff_of(2, "owner").await.get("/me").await.json()["merchant"], merchant);
}

#[actix_web::test]
async fn the_owner_adds_and_changes_members() {
    let app = TestApp::start();
    let owner = app.staff("owner").await;
    let new = json!({ "login": " li ", "name": "小李", "role": "cashier", "password": "li's password" });
    let added = owner.post("/staff", &new).await;
    assert_eq!(added.status, 201, "{}", added.text);
    assert_eq!(added.json()["login"], "li");
    assert!(!added.text.contains("password") && !added.text.contains("argon2"), "{}", added.text);
    assert_eq!(log_in(&app, 1, "li", "li's password").await.json()["role"], "cashier");
    assert_eq!(owner.post("/staff", &new).await.refusal(), (409, "login_taken".into()));
    let neighbour = app.staff_of(2, "owner").await;
    assert_eq!(neighbour.post("/staff", &new).await.status, 201, "logins are a merchant's own");
    for (field, value) in [
        ("login", json!("")),
        ("login", json!("x".repeat(51))),
        ("name", json!("\n")),
        ("role", json!("king")),
        ("password", json!("7 chars")),
        ("password", json!("x".repeat(201))),
    ] {
        let mut body = new.clone();
        body[field] = value;
        let answer = owner.post("/staff", &body).await;
        assert_eq!(answer.refusal(), (422, "invalid_field".into()), "{body}");
        assert_eq!(answer.json()["field"], field);
    }
    let path = format!("/staff/{}", added.json()["id"].as_str().unwrap());
    assert_eq!(owner.patch(&path, &json!({ "name": "李雷" })).await.json()["name"], "李雷");
    assert_eq!(owner.patch(&path, &json!({})).await.json()["role"], "cashier", "what is not sent stays");
    assert_eq!(owner.patch(&path, &json!({ "login": "x" })).await.refusal(), (400, "malformed_body".into()));
    assert_eq!(neighbour.patch(&path, &json!({ "name": "x" })).await.refusal(), (404, "not_found".into()));
    let logins: Vec<Value> = owner.get("/staff").await.json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| member["login"].clone())
        .collect();
    assert_eq!(logins, ["cashier", "kitchen", "li", "manager", "owner"]);
}

#[actix_web::test]
async fn whoever_reads_a_history_learns_whose_it_is() {
    let app = TestApp::start();
    let (owner, kitchen) = (app.staff("owner").await, app.staff("kitchen").await);
    let cashier = id_of(&owner, "cashier").await;
    owner.patch(&format!("/staff/{cashier}"), &json!({ "is_active": false })).await;
    let names = kitchen.get("/staff/names").await.json();
    let of = |id: &str| names["items"].as_array().unwrap().iter().find(|name| name["id"] == id).cloned();
    assert_eq!(of(&cashier), Some(json!({ "id": cashier, "name": "The cashier" })));
    assert_eq!(names["items"].as_array().unwrap().len(), 4);
}

#[actix_web::test]
async fn one_owner_stays() {
    let app = TestApp::start();
    let owner = app.staff("owner").await;
    let path = format!("/staff/{}", id_of(&owner, "owner").await);
    for change in [json!({ "role": "manager" }), json!({ "is_active": false })] {
        assert_eq!(owner.patch(&path, &change).await.refusal(), (409, "last_owner".into()), "{change}");
    }
    assert_eq!(owner.patch(&path, &json!({ "name": "Boss", "role": "owner", "is_active": true })).await.status, 200);
    // One who may not log in is none.
    let manager = format!("/staff/{}", id_of(&owner, "manager").await);
    assert_eq!(owner.patch(&manager, &json!({ "role": "owner", "is_active": false })).await.status, 200);
    assert_eq!(owner.patch(&path, &json!({ "role": "manager" })).await.refusal(), (409, "last_owner".into()));
    assert_eq!(owner.patch(&manager, &json!({ "is_active": true })).await.status, 200);
    assert_eq!(owner.patch(&path, &json!({ "role": "manager" })).await.status, 200, "there is another one now");
    assert_eq!(owner.get("/staff").await.refusal(), (403, "forbidden".into()));
}

#[actix_web::test]
async fn of_two_owners_who_demote_each_other_one_stays() {
    let app = TestApp::start();
    let owners = "UPDATE staff SET role = 'owner' WHERE merchant_id = 1 AND login IN ('owner', 'manager')";
    app.execute(owners);
    let (first, second) = (app.staff("owner").await, app.staff("manager").await);
    let (first_id, second_id) = (id_of(&first, "owner").await, id_of(&first, "manager").await);
    for round in 0..20 {
        let (to_second, to_first) = (format!("/staff/{second_id}"), format!("/staff/{first_id}"));
        let demote = json!({ "role": "cashier" });
        let (one, other) = tokio::join!(first.patch(&to_second, &demote), second.patch(&to_first, &demote));
        let mut statuses = [one.status.as_u16(), other.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses[0], 200, "round {round}: {} {}", one.text, other.text);
        // The slower one met the lock, or was no owner any more when it asked.
        assert!([403, 409].contains(&statuses[1]), "round {round}: {} {}", one.text, other.text);
        let owners_left = "SELECT login AS value FROM staff WHERE merchant_id = 1 AND role = 'owner'";
        assert_eq!(words(&mut app.conn(), owners_left).len(), 1, "round {round}");
        app.execute(owners);
    }
}

#[actix_web::test]
async fn the_trail_tells_who_did_what_and_no_secrets() {
    let app = TestApp::start();
    // The latest first: what is of one moment has no order.
    let tick = || app.clock.advance(TimeDelta::seconds(1));
    let (owner, manager) = (app.staff("owner").await, app.staff("manager").await);
    let manager_id = id_of(&owner, "manager").await;
    let new = json!({ "login": "li", "name": "Li", "role": "cashier", "password": "swordfish-1" });
    let li = owner.post("/staff", &new).await.json();
    let path = format!("/staff/{}", li["id"].as_str().unwrap());
    tick();
    owner.patch(&path, &json!({ "password": "swordfish-2" })).await;
    tick();
    let webhook = json!({ "webhook_url": "https://example.org/swordfish-3" });
    let secret = manager.patch("/settings", &webhook).await.json()["webhook_secret"].as_str().unwrap().to_owned();
    tick();
    let own = manager.put("/me/password", &json!({ "old": PASSWORD, "new": "swordfish-4" })).await;
    let manager_token = token(&own);
    for number in 0..4 {
        tick();
        let change = json!({ "price": format!("{number}.50") });
        assert_eq!(owner.patch("/goods/1", &change).await.status, 200);
    }
    assert_eq!(owner.patch("/goods/999", &json!({})).await.status, 404, "what fails leaves no trace");

    let trail = owner.get("/actions?limit=100").await;
    for secret in ["swordfish", PASSWORD, "argon2", &secret] {
        assert!(!trail.text.contains(secret), "{secret} in {}", trail.text);
    }
    let items = trail.json()["items"].as_array().unwrap().clone();
    let actions: Vec<&str> = items.iter().map(|item| item["action"].as_str().unwrap()).collect();
    let expected =
        ["change_goods"; 4].into_iter().chain(["change_password", "change_settings", "change_staff", "add_staff"]);
    assert_eq!(actions, expected.collect::<Vec<_>>());
    assert_eq!(items[0]["subject"], "goods 1");
    assert_eq!(items[0]["detail"]["price"], "3.50");
    assert_eq!(items[0]["staff_name"], "The owner");
    assert_eq!(items[6]["detail"]["password"], true);

    let mut paged = Vec::new();
    let mut path = "/actions?limit=3".to_owned();
    loop {
        let page = owner.get(&path).await.json();
        paged.extend(page["items"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/actions?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(paged, items);
    let count = |page: &Answer| page.json()["items"].as_array().unwrap().len();
    assert_eq!(count(&owner.get(&format!("/actions?staff_id={manager_id}")).await), 2);
    assert_eq!(count(&owner.get("/actions?action=change_goods").await), 4);
    assert_eq!(
        count(&get(&app, &manager_token, &format!("/actions?action=change_goods&staff_id={manager_id}")).await),
        0
    );
    for query in ["limit=0", "limit=101", "cursor=x", "staff_id=1", "what=1"] {
        assert_eq!(owner.get(&format!("/actions?{query}")).await.refusal(), (400, "malformed_query".into()), "{query}");
    }
    assert_eq!(owner.get("/actions?action=%00").await.refusal(), (422, "invalid_field".into()));
    assert_eq!(count(&app.staff_of(2, "owner").await.get("/actions").await), 0);
}
