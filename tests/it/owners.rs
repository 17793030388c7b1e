//! What is another's: keys, orders, payments, addresses. Handlers have looked before; here it is what they call.

use rowlock::domain::moves::{Actor, Reason};
use rowlock::domain::order::Fulfilment;
use rowlock::domain::placement::Placement;
use rowlock::domain::{AddressId, MerchantId, Refusal};
use rowlock::error::Error;
use rowlock::placement::Outcome;
use rowlock::service;
use rowlock::service::orders::Cancelling;
use rowlock::store::Tx;
use serde_json::json;
use uuid::Uuid;

use crate::harness::{TestApp, order, placement};
use crate::moves::id;
use crate::promises::order_id;

/// Two customers may hit upon one key, one after the other or in one group.
#[actix_web::test]
async fn keys_are_each_customers_own() {
    let app = TestApp::start();
    let customers = [app.customer("alice").await, app.customer("bob").await];
    let mut placed = Vec::new();
    for customer in &customers {
        let answer = customer.place("k", &order(&[(1, 1)])).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        placed.push(id(&answer.json()));
    }
    for (customer, placed) in customers.iter().zip(&placed) {
        let again = customer.place("k", &order(&[(1, 1)])).await;
        assert_eq!((again.status.as_u16(), id(&again.json())), (200, placed.clone()));
    }
    let (alice, bob) = (app.customer_id("alice").await, app.customer_id("bob").await);
    let group = [placement(alice, "g", &[(1, 1)]), placement(bob, "g", &[(1, 1)])];
    let outcomes = app.app.engine.place_group(MerchantId(1), &group.each_ref(), app.clock.now()).unwrap();
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(Outcome::Placed(_)))), "{outcomes:?}");
}

/// Ids are unique beyond a merchant, but nothing sees to it, so nothing may rest on it.
#[actix_web::test]
async fn a_customer_sees_orders_of_their_merchant_only() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let placed = id(&alice.place("k", &order(&[(1, 1)])).await.json());
    let copy = |table: &str| {
        format!(
            "CREATE TEMP TABLE copy_of AS SELECT * FROM {table}; UPDATE copy_of SET merchant_id = 2;
             INSERT INTO {table} SELECT * FROM copy_of; DROP TABLE copy_of;"
        )
    };
    app.execute(&format!("{} {}", copy("customers"), copy("orders")));
    let listed = alice.get("/orders").await.json();
    app.execute("DELETE FROM orders WHERE merchant_id = 2");
    assert_eq!(listed["items"].as_array().unwrap().iter().map(id).collect::<Vec<_>>(), [placed]);
}

/// Whom an operator closes out in the database, past everything that would end their tokens too.
#[actix_web::test]
async fn who_is_not_active_is_refused() {
    let app = TestApp::start();
    let owner = app.staff("owner").await;
    assert_eq!(owner.get("/orders").await.status, 200);
    app.execute("UPDATE staff SET is_active = false WHERE login = 'owner'");
    assert_eq!(owner.get("/orders").await.refusal(), (401, "unauthenticated".into()));
}

#[actix_web::test]
async fn a_payment_is_looked_at_under_its_own_order() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let orders = [
        id(&alice.place("one", &order(&[(1, 1)])).await.json()),
        id(&alice.place("two", &order(&[(1, 1)])).await.json()),
    ];
    let started = alice.post(&format!("/orders/{}/payments", orders[0]), &json!({})).await.json();
    let payment = started["payment"]["id"].as_str().unwrap();
    let check = async |order: &str| alice.post(&format!("/orders/{order}/payments/{payment}/check"), &json!({})).await;
    assert_eq!(check(&orders[0]).await.status, 200);
    assert_eq!(check(&orders[1]).await.refusal(), (404, "not_found".into()));
}

/// Two of one group, each with an address of the other's: both addresses are read, and neither is theirs.
#[actix_web::test]
async fn a_delivery_goes_to_an_address_of_ones_own() {
    let app = TestApp::start();
    let customers = [app.customer_id("alice").await, app.customer_id("bob").await];
    let addresses = [AddressId(Uuid::from_u128(1)), AddressId(Uuid::from_u128(2))];
    for (customer, address) in customers.iter().zip(addresses) {
        app.execute(&format!(
            "INSERT INTO addresses (merchant_id, id, customer_id, contact, phone, place, created_at)
                 VALUES (1, '{address}', '{customer}', 'Contact', '13800000000', 'Place', '2026-01-01Z')"
        ));
    }
    let deliver = |customer, address| Placement {
        fulfilment: Fulfilment::Delivery(address),
        ..placement(customer, "k", &[(1, 1)])
    };
    let place =
        |group: [Placement; 2]| app.app.engine.place_group(MerchantId(1), &group.each_ref(), app.clock.now()).unwrap();
    let crossed = place([deliver(customers[0], addresses[1]), deliver(customers[1], addresses[0])]);
    let refused = |outcome: &Result<Outcome, Error>| matches!(outcome, Ok(Outcome::Refused(Refusal::UnknownAddress)));
    assert!(crossed.iter().all(refused), "{crossed:?}");
    let own = place([deliver(customers[0], addresses[0]), deliver(customers[1], addresses[1])]);
    assert!(own.iter().all(|outcome| matches!(outcome, Ok(Outcome::Placed(_)))), "{own:?}");
}

/// A handler may have looked whose it is; a move looks for itself.
#[actix_web::test]
async fn a_customer_moves_their_own_orders_only() {
    let app = TestApp::start();
    let placed = id(&app.customer("alice").await.place("k", &order(&[(1, 1)])).await.json());
    let (by, why, how) =
        (Actor::Customer(app.customer_id("bob").await), Reason::ChangedMind.into(), Cancelling::default());
    let now = app.clock.now();
    let cancel = |tx: &mut Tx<'_>| service::orders::cancel(tx, order_id(&placed), by, &why, &how, now);
    assert!(matches!(app.app.store.write(MerchantId(1), cancel), Err(Error::NotFound)));
}
