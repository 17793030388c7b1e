//! The promises of Rowlock as queries: what each finds is a broken promise, named by row.
//!
//! Contract: reads only, all in one repeatable-read snapshot, so that it can run over a database under load.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::{Conn, QueryResult};

/// A promise and the query that finds where it is broken.
pub struct Check {
    /// The name it is reported under.
    pub name: &'static str,
    /// What must hold.
    pub promise: &'static str,
    /// Yields `merchant_id`, `item` (which row) and `finding` (what is wrong with it).
    sql: &'static str,
}

/// A row that breaks a promise.
#[derive(Debug, QueryableByName)]
pub struct Violation {
    /// The merchant.
    #[diesel(sql_type = BigInt)]
    pub merchant_id: i64,
    /// Which row.
    #[diesel(sql_type = Text)]
    pub item: String,
    /// What is wrong with it.
    #[diesel(sql_type = Text)]
    pub finding: String,
}

/// Every check, in the order of the promises.
pub const CHECKS: &[Check] = &[
    Check {
        name: "stock_not_negative",
        promise: "stock never goes below zero",
        sql: "SELECT merchant_id, 'goods ' || id AS item, 'stock is ' || stock AS finding FROM goods WHERE stock < 0",
    },
    Check {
        name: "stock_conserved",
        promise: "a goods row's stock is the sum of its moves less what its order lines took and did not return",
        sql: "SELECT g.merchant_id, 'goods ' || g.id AS item,
                  format('stock is %s, moves %s less %s taken make %s',
                      g.stock, coalesce(m.units, 0), coalesce(l.units, 0), coalesce(m.units, 0) - coalesce(l.units, 0)) AS finding
              FROM goods g
              LEFT JOIN (SELECT merchant_id, goods_id, sum(delta) AS units FROM stock_moves GROUP BY merchant_id, goods_id) m
                  ON m.merchant_id = g.merchant_id AND m.goods_id = g.id
              LEFT JOIN (SELECT merchant_id, goods_id, sum(count - returned_count) AS units
                         FROM order_lines GROUP BY merchant_id, goods_id) l
                  ON l.merchant_id = g.merchant_id AND l.goods_id = g.id
              WHERE g.stock <> coalesce(m.units, 0) - coalesce(l.units, 0)",
    },
    Check {
        name: "sales_counted",
        promise: "a goods row's sales are what its order lines took and did not return",
        sql: "SELECT g.merchant_id, 'goods ' || g.id AS item,
                  format('sales are %s, lines sold %s', g.sales, coalesce(l.units, 0)) AS finding
              FROM goods g
              LEFT JOIN (SELECT merchant_id, goods_id, sum(count - returned_count) AS units
                         FROM order_lines GROUP BY merchant_id, goods_id) l
                  ON l.merchant_id = g.merchant_id AND l.goods_id = g.id
              WHERE g.sales <> coalesce(l.units, 0)",
    },
    Check {
        name: "one_order_per_key",
        promise: "one idempotency key, one order",
        sql: "SELECT merchant_id, format('customer %s key %s', customer_id, idempotency_key) AS item,
                  count(*) || ' orders: ' || string_agg(id::text, ', ' ORDER BY id) AS finding
              FROM orders GROUP BY merchant_id, customer_id, idempotency_key HAVING count(*) > 1",
    },
    Check {
        name: "order_adds_up",
        promise: "an order has lines, their amounts sum to its goods amount, and with freight to its total",
        sql: "SELECT o.merchant_id, 'order ' || o.id AS item,
                  format('goods amount %s, lines %s, freight %s, total %s', o.goods_amount, l.amount, o.freight, o.total) AS finding
              FROM orders o
              LEFT JOIN (SELECT merchant_id, order_id, sum(price * count) AS amount
                         FROM order_lines GROUP BY merchant_id, order_id) l
                  ON l.merchant_id = o.merchant_id AND l.order_id = o.id
              WHERE l.amount IS NULL OR l.amount <> o.goods_amount OR o.total <> o.goods_amount + o.freight",
    },
    Check {
        name: "history_is_a_chain",
        promise: "every change of state after the placing is one row, numbered without gaps, whose from is the previous row's to",
        sql: "SELECT merchant_id, format('order %s event %s', order_id, seq) AS item,
                  format('number %s, from %s after %s', number, from_state, coalesce(previous, 'the placing')) AS finding
              FROM (SELECT merchant_id, order_id, seq, from_state,
                        lag(to_state) OVER history AS previous, row_number() OVER history AS number
                    FROM order_events WINDOW history AS (PARTITION BY merchant_id, order_id ORDER BY seq)) e
              WHERE number <> seq OR from_state <> previous
                  OR previous IS NULL AND from_state NOT IN ('pending_payment', 'pending_accept')",
    },
    Check {
        name: "history_ends_in_the_state",
        promise: "an order stands where the last row of its history says, or, without one, where it was placed",
        sql: "SELECT o.merchant_id, 'order ' || o.id AS item,
                  format('state is %s, history ends in %s', o.state, coalesce(e.to_state, 'the placing')) AS finding
              FROM orders o
              LEFT JOIN (SELECT DISTINCT ON (merchant_id, order_id) merchant_id, order_id, to_state
                         FROM order_events ORDER BY merchant_id, order_id, seq DESC) e
                  ON e.merchant_id = o.merchant_id AND e.order_id = o.id
              WHERE o.state <> e.to_state
                  OR e.to_state IS NULL AND o.state NOT IN ('pending_payment', 'pending_accept')",
    },
    Check {
        name: "terminal_states_stay",
        promise: "an order that is completed, cancelled or rejected stays so",
        sql: "SELECT merchant_id, format('order %s event %s', order_id, seq) AS item,
                  format('from %s to %s', from_state, to_state) AS finding
              FROM order_events WHERE from_state IN ('completed', 'cancelled', 'rejected')",
    },
    Check {
        name: "nothing_belongs_to_a_stranger",
        promise: "orders, lines, history, outbox and stock moves belong to a customer, an order, goods of the same merchant",
        sql: "SELECT o.merchant_id, 'order ' || o.id AS item, 'no customer ' || o.customer_id AS finding
              FROM orders o WHERE NOT EXISTS
                  (SELECT FROM customers c WHERE c.merchant_id = o.merchant_id AND c.id = o.customer_id)
              UNION ALL
              SELECT l.merchant_id, format('line %s of order %s', l.goods_id, l.order_id), 'no such goods or no such order'
              FROM order_lines l
              WHERE NOT EXISTS (SELECT FROM orders o WHERE o.merchant_id = l.merchant_id AND o.id = l.order_id)
                  OR NOT EXISTS (SELECT FROM goods g WHERE g.merchant_id = l.merchant_id AND g.id = l.goods_id)
              UNION ALL
              SELECT e.merchant_id, format('event %s of order %s', e.seq, e.order_id), 'no such order'
              FROM order_events e
              WHERE NOT EXISTS (SELECT FROM orders o WHERE o.merchant_id = e.merchant_id AND o.id = e.order_id)
              UNION ALL
              SELECT b.merchant_id, 'outbox row ' || b.id, 'no such order or goods'
              FROM outbox b
              WHERE NOT EXISTS (SELECT FROM orders o WHERE o.merchant_id = b.merchant_id AND o.id = b.order_id)
                  AND NOT EXISTS (SELECT FROM goods g WHERE g.merchant_id = b.merchant_id AND g.id = b.goods_id)
              UNION ALL
              SELECT m.merchant_id, format('stock move %s of goods %s', m.id, m.goods_id), 'no such goods'
              FROM stock_moves m
              WHERE NOT EXISTS (SELECT FROM goods g WHERE g.merchant_id = m.merchant_id AND g.id = m.goods_id)",
    },
];

/// Findings that are named of one check; a broken database may have millions.
pub const NAMED_MAX: usize = 100;

/// Runs every check over the whole database and returns what each found, at most [`NAMED_MAX`] and one more.
pub fn run(conn: &mut Conn) -> QueryResult<Vec<(&'static Check, Vec<Violation>)>> {
    conn.build_transaction().repeatable_read().read_only().run(|conn| {
        // A large database takes its time, and nobody waits for the audit.
        conn.batch_execute("SET LOCAL statement_timeout = 0")?;
        let found = |check: &'static Check| {
            let first = format!("SELECT * FROM ({}) found LIMIT {}", check.sql, NAMED_MAX + 1);
            Ok((check, diesel::sql_query(first).load(conn)?))
        };
        CHECKS.iter().map(found).collect()
    })
}
