//! Every route against every caller, and every id in a path against those of others.
//!
//! The table has a row for each route of the document, or the test fails. Whoever is not let in leaves the whole database as it was; whoever
//! is gets exactly the answer of the row, from the same rows each time.

use std::collections::BTreeSet;

use reqwest::Method;
use rowlock::domain::staff::{Permission, Role};
use serde_json::{Value, json};

use crate::clients::Answer;
use crate::harness::TestApp;
use crate::providers::{Machine, Signer, press};
use crate::routes::Who::{Anybody, Customers, Gateway, Staff};
use crate::routes::{Row, TABLE};
use crate::world::{Caller, Kept, World, digest};

/// What is answered to who may, of an id that is another's.
fn of_anothers(route: &str) -> u16 {
    match route {
        // Goods are put into a cart from the menu, where those of others do not stand.
        "PUT /v1/merchants/{m}/cart/lines/{goods_id}" => 422,
        _ => 404,
    }
}

/// How a caller is refused who asks for what is Alice's; nothing where they may.
fn refusal(row: &Row, caller: &Caller) -> Option<(u16, &'static str)> {
    let Row(route, who, names, ..) = row;
    // Dishes are everybody's, and a cart is whoever's it is who asks.
    let is_alices = !names.is_empty() && !route.contains("/cart/");
    let is_staff = caller.role.is_some();
    match (who, caller.role) {
        (Anybody, _) => None,
        (Gateway, _) => Some((401, "")),
        (_, None) if caller.token.is_none() => Some((401, "unauthenticated")),
        (Customers, _) if is_staff => Some((401, "unauthenticated")),
        (Staff(_), None) => Some((401, "unauthenticated")),
        _ if caller.merchant != 1 => Some((403, "wrong_merchant")),
        (Customers, _) => Some((404, "not_found")).filter(|_| is_alices && caller.name != "alice"),
        (Staff(roles), Some(role)) => Some((403, "forbidden")).filter(|_| !roles.contains(&role)),
    }
}

#[actix_web::test]
async fn every_route_lets_in_whom_it_should_and_nobody_else() {
    let world = World::create().await;
    let before = digest(&world.app);
    for row in TABLE {
        let names = World::names(row, &world.alices);
        for caller in &world.callers {
            let Some((status, code)) = refusal(row, caller) else { continue };
            let answer = world.ask(row, &names, caller).await;
            assert_eq!(answer.status.as_u16(), status, "{}: {}: {}", row.0, caller.name, answer.text);
            assert!(code.is_empty() || answer.code() == code, "{}: {}: {}", row.0, caller.name, answer.text);
        }
    }
    assert_eq!(digest(&world.app), before, "somebody who was refused has changed something");

    // Each finds things as they were, so that the one before has not done it for them.
    let kept = Kept::of(&world.app);
    for row in TABLE {
        let names = World::names(row, &world.alices);
        for caller in world.callers.iter().filter(|caller| refusal(row, caller).is_none()) {
            let answer = world.ask(row, &names, caller).await;
            assert_eq!(answer.status.as_u16(), row.4, "{}: {}: {}", row.0, caller.name, answer.text);
            kept.restore(&world.app);
        }
    }
    assert_eq!(digest(&world.app), before);
}

#[actix_web::test]
async fn what_is_anothers_is_not_there() {
    let world = World::create().await;
    let before = digest(&world.app);
    let mut tried = 0;
    for row in TABLE.iter().filter(|row| !row.2.is_empty() && !matches!(row.1, Gateway)) {
        let own = World::names(row, &world.alices);
        let others = match row.1 {
            Customers if !row.0.contains("/cart/") => vec![&world.bobs, &world.foreign],
            _ => vec![&world.foreign],
        };
        let may =
            |caller: &&Caller| refusal(row, caller).is_none() && (caller.role.is_some() || caller.name == "alice");
        for (caller, ids) in
            world.callers.iter().filter(may).flat_map(|caller| others.iter().map(move |ids| (caller, ids)))
        {
            // One of the names at a time: one's own payment of another's order, and another's payment of one's own.
            for (at, other) in World::names(row, ids).into_iter().enumerate().filter(|(at, other)| own[*at] != *other) {
                let mut names = own.clone();
                names[at] = other;
                let answer = world.ask(row, &names, caller).await;
                let what = format!("{}: {}: {names:?}: {}", row.0, caller.name, answer.text);
                assert_eq!(answer.status.as_u16(), of_anothers(row.0), "{what}");
                assert!(answer.status != 404 || answer.code() == "not_found", "{what}");
                tried += 1;
            }
        }
    }
    assert!(tried > 100, "{tried} were tried");
    assert_eq!(digest(&world.app), before);
}

/// The document has a row for each route, and says of it what the row says.
#[actix_web::test]
async fn the_table_is_the_document() {
    let document = serde_json::to_value(rowlock::http::openapi()).unwrap();
    let mut routes = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let route = format!("{} {path}", method.to_uppercase());
            let row = TABLE.iter().find(|row| row.0 == route).unwrap_or_else(|| panic!("no row for {route}"));
            let (security, roles): (Value, &[Role]) = match row.1 {
                Anybody | Gateway => (Value::Null, &[]),
                Customers => (json!([{ "customer": [] }]), &[]),
                Staff(roles) => (json!([{ "staff": [] }]), roles),
            };
            assert_eq!(operation["security"], security, "{route}");
            if let Some(required) = operation.get("x-permission") {
                let required: Option<Permission> = required.as_str().map(|name| name.parse().unwrap());
                let may = |role: &&Role| required.is_none_or(|permission| role.has(permission));
                assert_eq!(
                    Role::ALL.iter().filter(may).collect::<Vec<_>>(),
                    roles.iter().collect::<Vec<_>>(),
                    "{route}"
                );
            } else {
                assert!(roles.is_empty(), "{route} has no x-permission");
            }
            routes.insert(route);
        }
    }
    assert_eq!(routes.len(), TABLE.len(), "there are rows without a route");
}

/// The route of a permission that a query asks for besides the route's own.
#[actix_web::test]
async fn who_may_not_move_stock_lifts_no_more_than_was_set_aside() {
    let app = TestApp::start();
    for (role, status) in [("kitchen", 403), ("cashier", 403), ("manager", 200)] {
        let member = app.staff(role).await;
        assert_eq!(member.put("/goods/1/sold-out", &json!({})).await.status, 200);
        assert_eq!(member.delete("/goods/1/sold-out?stock=500").await.status.as_u16(), status, "{role}");
        assert_eq!(app.stock(1), if status == 200 { 500 } else { 0 }, "{role}");
    }
}

/// What the provider has signed for one merchant says nothing to another.
#[actix_web::test]
async fn a_notice_counts_for_its_own_merchant_only() {
    let app = TestApp::start();
    let (signer, machine) = (Signer::new(), Machine::start(&[]));
    let number = signer.announce(&app, &machine, "5.00").await;
    press(&app, &number, "pay").await;
    let notice = machine.first(1).await.remove(0);
    let send = |merchant: i64| {
        let request = app.request(Method::POST, &format!("/v1/callbacks/{merchant}/sandbox"));
        let named = notice.headers.iter().filter(|(name, _)| name.starts_with("sandbox-"));
        Answer::of(named.fold(request, |request, (name, value)| request.header(name, value)).body(notice.body.clone()))
    };
    let before = digest(&app);
    assert_eq!(send(2).await.status, 401);
    assert_eq!(digest(&app), before);
    assert_eq!(send(1).await.status, 200);
    assert_ne!(digest(&app), before, "it is a notice that its own merchant takes");
}
