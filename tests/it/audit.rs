//! The audit finds what it is there to find: for every check, a row is corrupted and must be reported by name.

use std::collections::BTreeSet;

use rowlock::store::audit::CHECKS;
use serde_json::json;

use crate::harness::{TestApp, order};

/// A corruption per check, and the row it must be reported at. Constraints that would prevent it are dropped first.
const CORRUPTIONS: &[(&str, &str, &str)] = &[
    (
        "stock_not_negative",
        "ALTER TABLE goods DROP CONSTRAINT goods_stock_check; UPDATE goods SET stock = -1 WHERE id = 4",
        "goods 4: stock is -1",
    ),
    (
        "stock_conserved",
        "UPDATE goods SET stock = stock + 1 WHERE id = 1",
        "goods 1: stock is 99, moves 100 less 2 taken make 98",
    ),
    ("sales_counted", "UPDATE goods SET sales = 1 WHERE id = 1", "goods 1: sales are 1, lines sold 2"),
    (
        "one_order_per_key",
        "ALTER TABLE orders DROP CONSTRAINT orders_idempotency_key; UPDATE orders SET idempotency_key = 'same'",
        "key same: 2 orders: ",
    ),
    (
        "order_adds_up",
        "UPDATE order_lines SET price = price + 0.01 WHERE goods_id = 1",
        "goods amount 20.00, lines 20.02",
    ),
    (
        "history_is_a_chain",
        "INSERT INTO order_events (merchant_id, order_id, seq, move, from_state, to_state, actor, happened_at)
             SELECT merchant_id, id, 2, 'pay', 'ready', state, 'staff', placed_at FROM orders",
        "event 2: number 1, from ready after the placing",
    ),
    ("history_ends_in_the_state", "UPDATE orders SET state = 'ready'", "state is ready, history ends in the placing"),
    (
        "terminal_states_stay",
        "INSERT INTO order_events (merchant_id, order_id, seq, move, from_state, to_state, actor, happened_at)
             SELECT merchant_id, id, 2, 'pay', 'cancelled', 'ready', 'staff', placed_at FROM orders",
        "event 2: from cancelled to ready",
    ),
    ("called_off_orders_hold_nothing", "UPDATE orders SET state = 'rejected'", "0 of 2 returned"),
    (
        "live_orders_return_nothing",
        "UPDATE order_lines SET returned_count = 1 WHERE goods_id = 1",
        "1 returned, pending_payment",
    ),
    ("pickup_numbers_are_dense", "INSERT INTO pickup_counters VALUES (1, '2026-11-21', 3)", "counter at 3"),
    ("accepted_orders_have_numbers", "UPDATE orders SET state = 'accepted'", "accepted with number"),
    ("paid_once", "UPDATE orders SET paid_at = placed_at", "0 payments"),
    (
        "no_more_goes_back_than_came_in",
        "INSERT INTO payments (merchant_id, id, order_id, gateway, state, amount, transaction, actor, created_at, settled_at)
             SELECT merchant_id, id, id, 'sandbox', 'paid', total, id, 'gateway', placed_at, placed_at FROM orders;
         INSERT INTO refunds (merchant_id, id, payment_id, order_id, state, amount, reason, actor, created_at)
             SELECT merchant_id, id, id, id, 'due', total + 1, 'other', 'timer', placed_at FROM orders",
        "paid of 20.00, refunds 21.00",
    ),
    (
        "called_off_orders_are_paid_back",
        "INSERT INTO payments (merchant_id, id, order_id, gateway, state, amount, transaction, actor, created_at, settled_at)
             SELECT merchant_id, id, id, 'sandbox', 'paid', total, id, 'gateway', placed_at, placed_at FROM orders;
         UPDATE orders SET state = 'rejected'",
        "20.00 paid, 0 back",
    ),
    (
        "called_off_orders_take_no_money",
        "INSERT INTO payments (merchant_id, id, order_id, gateway, state, channel, amount, actor, created_at, expires_at, check_at)
             SELECT merchant_id, id, id, 'sandbox', 'pending', 'page', total, 'customer', placed_at, placed_at, placed_at FROM orders;
         UPDATE orders SET state = 'cancelled'",
        "pending, its order cancelled",
    ),
    (
        "notices_have_taken_effect",
        "INSERT INTO gateway_notices (merchant_id, gateway, id, number, transaction, amount, body, outcome, received_at)
             VALUES (1, 'sandbox', 'n1', '7', 't1', 10, '', 'paid', '2026-01-01Z')",
        "notice n1 of sandbox: paid, 10.00 yuan; payment  of ",
    ),
    (
        "trouble_is_told_of",
        "INSERT INTO payments (merchant_id, id, order_id, gateway, state, amount, transaction, actor, created_at, settled_at)
             SELECT merchant_id, id, id, 'sandbox', 'paid_late', total, id, 'gateway', placed_at, placed_at FROM orders",
        "paid_late without an alert",
    ),
    (
        "balances_add_up",
        "INSERT INTO accounts (merchant_id, id, kind, name, balance, created_at)
             VALUES (1, gen_random_uuid(), 'votes', 'Seven', 5, '2026-01-01Z')",
        "balance 5, entries 0",
    ),
    ("points_follow_their_order", "UPDATE orders SET points_used = 3", "3 points, entries"),
    (
        "grants_follow_their_payment",
        "INSERT INTO order_grants (merchant_id, order_id, goods_id, kind, amount) SELECT 1, id, 1, 'votes', 5 FROM orders;
         UPDATE orders SET paid_at = placed_at",
        "grants 5, entries 0",
    ),
    (
        "nothing_belongs_to_a_stranger",
        "ALTER TABLE orders DROP CONSTRAINT orders_customer_fkey; UPDATE orders SET customer_id = gen_random_uuid()",
        "no customer ",
    ),
    (
        "events_are_dense",
        "INSERT INTO events SELECT merchant_id, id + 1, kind, order_id, goods_id, state, happened_at FROM outbox;
         INSERT INTO event_counters SELECT 1, max(seq) + 1 FROM events",
        "events 2 to 3: 2 of them, the last number given is 4",
    ),
    (
        "orders_events_in_order",
        "INSERT INTO events SELECT merchant_id, 1, 'order_moved', order_id, NULL, 'accepted', happened_at FROM outbox WHERE id = 1;
         INSERT INTO event_counters VALUES (1, 1)",
        "outbox row 1: the placing of order ",
    ),
    (
        "deliveries_have_events",
        "ALTER TABLE webhook_deliveries DROP CONSTRAINT webhook_deliveries_event_fkey;
         INSERT INTO webhook_deliveries VALUES (1, 7, 'pending', 0, now())",
        "delivery 7: no such event",
    ),
];

#[actix_web::test]
async fn every_check_sees_its_corruption() {
    let corrupted: BTreeSet<&str> = CORRUPTIONS.iter().map(|(check, ..)| *check).collect();
    assert_eq!(corrupted, CHECKS.iter().map(|check| check.name).collect(), "every check has a corruption");
    for (check, corruption, finding) in CORRUPTIONS {
        let mut app = TestApp::start();
        let alice = app.customer("alice").await;
        alice.place("one", &order(&[(1, 2)])).await;
        alice.place("two", &order(&[(2, 1)])).await;
        assert_eq!(app.audit(), Vec::<String>::new());
        app.audit_at_end = false;
        app.execute(corruption);
        let found = app.audit();
        let named =
            found.iter().any(|line| line.starts_with(&format!("{check}: merchant 1 ")) && line.contains(finding));
        assert!(named, "{check} reports {finding:?}: {found:#?}");
    }
}

#[actix_web::test]
async fn the_database_itself_refuses_negative_stock() {
    let app = TestApp::start();
    let refused = diesel::connection::SimpleConnection::batch_execute(
        &mut app.conn(),
        "UPDATE goods SET stock = stock - 101 WHERE id = 1",
    );
    assert!(refused.unwrap_err().to_string().contains("goods_stock_check"));
    assert_eq!(
        app.get("/v1/merchants/1/menu").await.json()["categories"][0]["products"][0]["goods"][0]["stock"],
        json!(100)
    );
}
