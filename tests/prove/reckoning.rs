//! Holds what was answered, and what the provider has, against the database.

use std::collections::{BTreeMap, HashMap};

use diesel::PgConnection;
use rowlock::domain::moves::Move;
use rowlock::domain::order::OrderState;
use rowlock::store::audit;
use serde::Deserialize;
use uuid::Uuid;

use crate::model::{Deed, Kind, Model, Told};
use crate::provider::Money;
use crate::stage::{GOODS, POINTS, STOCK, Stage, VOTES, rows};

#[derive(Deserialize)]
struct OrderRow {
    id: Uuid,
    customer_id: Uuid,
    idempotency_key: Option<String>,
    state: String,
    pay_method: String,
    total: i64,
}

#[derive(Deserialize)]
struct LineRow {
    order_id: Uuid,
    goods_id: i64,
    count: i64,
}

#[derive(Deserialize)]
struct EventRow {
    order_id: Uuid,
    made: String,
    from_state: String,
    to_state: String,
    actor: String,
    note: Option<String>,
}

#[derive(Deserialize)]
struct MoneyRow {
    order_id: Uuid,
    number: String,
    transaction: Option<String>,
    amount: i64,
    is_attempt: bool,
}

#[derive(Deserialize)]
struct RefundRow {
    order_id: Uuid,
    number: String,
    amount: i64,
    has_succeeded: bool,
    is_cash: bool,
}

#[derive(Deserialize)]
struct Sum {
    of: i64,
}

/// The rows of an order.
#[derive(Default)]
struct Books {
    order: Option<OrderRow>,
    lines: BTreeMap<i64, i64>,
    events: Vec<EventRow>,
    payments: Vec<MoneyRow>,
    refunds: Vec<RefundRow>,
}

impl Books {
    fn read(conn: &mut PgConnection) -> HashMap<Uuid, Self> {
        let mut books: HashMap<Uuid, Self> = HashMap::new();
        let orders =
            "SELECT id, customer_id, idempotency_key, state, pay_method, (total * 100)::bigint AS total FROM orders";
        for order in rows::<OrderRow>(conn, orders) {
            let of = books.entry(order.id).or_default();
            of.order = Some(order);
        }
        for line in rows::<LineRow>(conn, "SELECT order_id, goods_id, count FROM order_lines") {
            books.entry(line.order_id).or_default().lines.insert(line.goods_id, line.count);
        }
        let events = "SELECT order_id, move AS made, from_state, to_state, split_part(actor, ' ', 1) AS actor, note
                      FROM order_events ORDER BY order_id, seq";
        for event in rows::<EventRow>(conn, events) {
            books.entry(event.order_id).or_default().events.push(event);
        }
        let payments =
            "SELECT order_id, replace(id::text, '-', '') AS number, transaction, (amount * 100)::bigint AS amount,
                            attempt_id IS NULL AS is_attempt FROM payments WHERE gateway <> 'cash'";
        for payment in rows::<MoneyRow>(conn, payments) {
            books.entry(payment.order_id).or_default().payments.push(payment);
        }
        let refunds = "SELECT r.order_id, (r.amount * 100)::bigint AS amount, r.state = 'succeeded' AS has_succeeded,
                           replace(r.id::text, '-', '') || CASE WHEN r.round > 1 THEN '-' || r.round ELSE '' END AS number,
                           p.gateway = 'cash' AS is_cash
                       FROM refunds r JOIN payments p ON p.merchant_id = r.merchant_id AND p.id = r.payment_id";
        for refund in rows::<RefundRow>(conn, refunds) {
            books.entry(refund.order_id).or_default().refunds.push(refund);
        }
        books
    }

    /// What our books say that the provider has.
    fn money(&self) -> Money {
        let came_in = self.payments.iter().filter_map(|row| Some((row.transaction.clone()?, row.amount)));
        let went_back = self.refunds.iter().filter(|row| row.has_succeeded && !row.is_cash);
        Money { came_in: came_in.collect(), went_back: went_back.map(|row| (row.number.clone(), row.amount)).collect() }
    }

    /// What the provider has of it, under all numbers that it was ever to be paid under.
    fn at_provider(&self, provider: &HashMap<String, Money>) -> Money {
        let mut all = Money::default();
        for money in self.payments.iter().filter(|row| row.is_attempt).filter_map(|row| provider.get(&row.number)) {
            all.came_in.extend(money.came_in.clone());
            all.went_back.extend(money.went_back.clone());
        }
        all
    }
}

/// How an order ended.
#[derive(Default)]
struct End {
    returned: BTreeMap<i64, i64>,
    /// What its buyer has of what it granted.
    votes: i64,
    is_called_off: bool,
    /// What of its money is still at the provider, in fen.
    kept: i64,
}

/// Holds what must be against what is, when everything has come to rest.
pub(crate) fn reckon(model: &mut Model, stage: &Stage<'_>) {
    let mut conn = stage.connect();
    let provider = stage.provider.money();
    let mut books = Books::read(&mut conn);
    for (id, found) in &books {
        model.expect(model.orders.contains_key(id), Kind::Doubled, &[id], || {
            let key = found.order.as_ref().and_then(|order| order.idempotency_key.as_deref());
            format!("order {id} (key {key:?}) is there, and nobody was told of it")
        });
    }
    let mut taken: BTreeMap<i64, i64> = BTreeMap::new();
    let (mut spent, mut votes, mut kept) = (0, 0, 0);
    for (id, told) in std::mem::take(&mut model.orders) {
        let Some(found) = books.remove(&id).filter(|found| found.order.is_some()) else {
            model.wrong(Kind::Lost, format!("order {id} was placed and is gone"), vec![id.to_string(), told.key]);
            continue;
        };
        let end = settle(model, id, &told, &found, &provider);
        kept += end.kept;
        for (goods, units) in &told.lines {
            *taken.entry(*goods).or_default() += units - end.returned.get(goods).copied().unwrap_or_default();
        }
        if !end.is_called_off {
            spent += told.points;
            votes += end.votes;
        }
    }
    let left: i64 = provider.values().map(Money::left).sum();
    model.expect(left == kept, Kind::Lost, &[], || format!("the provider has {left} fen, must have {kept}"));
    reckon_stock(model, &mut conn, &taken);
    reckon_accounts(model, &mut conn, spent, votes);
    let raised = sum(&mut conn, "SELECT count(*) AS of FROM alerts");
    let heard = model.alerts;
    model.expect(heard == raised, Kind::Lost, &[], || format!("{heard} alerts were heard, {raised} raised"));
    for (check, found) in audit::run(&mut conn).unwrap() {
        for one in found {
            let (name, item, finding) = (check.name, one.item, one.finding);
            let about = item.split(' ').filter(|word| word.parse::<Uuid>().is_ok()).map(ToOwned::to_owned).collect();
            let kind = if name == "stock_not_negative" { Kind::Oversold } else { Kind::Other };
            model.wrong(kind, format!("audit: {name}: {item}: {finding}"), about);
        }
    }
}

/// Holds one order against what was answered of it, and against what the provider has.
fn settle(model: &mut Model, id: Uuid, told: &Told, found: &Books, provider: &HashMap<String, Money>) -> End {
    let row = found.order.as_ref().unwrap();
    let is_same = (row.customer_id, row.total, &found.lines) == (told.customer, told.total, &told.lines);
    model.expect(is_same, Kind::Other, &[&id], || format!("order {id} is another than was answered: {told:?}"));
    let (theirs, ours) = (found.at_provider(provider), found.money());
    let kind = if theirs.came_in.len() > ours.came_in.len() { Kind::Lost } else { Kind::Doubled };
    model.expect(theirs == ours, kind, &[&id], || {
        format!("order {id}: the provider has {theirs:?}, the books {ours:?}")
    });
    // Of each order its placing, each row of its history and each refund that was made is heard, once.
    let (heard, happened) =
        (model.heard.get(&id).copied().unwrap_or_default(), found.events.len() + 1 + ours.went_back.len());
    let kind = if heard < happened { Kind::Lost } else { Kind::Doubled };
    model.expect(heard == happened, kind, &[&id], || {
        format!("order {id}: {heard} events were heard, {happened} happened")
    });

    let is_free = row.pay_method == "cash" || told.total == 0;
    let mut at = if is_free { OrderState::PendingAccept } else { OrderState::PendingPayment };
    let mut end = End::default();
    let granted = told.lines.get(&4).copied().unwrap_or_default() * VOTES;
    let (mut paid, mut back) = (0, 0);
    let mut deeds = model.deeds.remove(&id).unwrap_or_default();
    for event in &found.events {
        let (made, from, to): (Move, OrderState, OrderState) =
            (event.made.parse().unwrap(), event.from_state.parse().unwrap(), event.to_state.parse().unwrap());
        model.expect(from == at && at.next(made) == Some(to), Kind::Other, &[&id], || {
            format!("order {id}: {made} from {from} to {to} after {at}")
        });
        model.did(made.name());
        // Whoever is a person asked for it; a person's move that nobody asked for would be nobody's.
        let by_person = ["customer", "staff"].contains(&event.actor.as_str());
        let deed = if by_person { take(&mut deeds, made, event.note.as_deref()) } else { None };
        model.expect(deed.is_some() || !by_person, Kind::Doubled, &[&id], || {
            format!("order {id}: nobody asked for {made} from {from}, or it was made again")
        });
        let all = || told.lines.clone();
        match (made, deed) {
            (Move::Pay | Move::Collect, _) => {
                paid = told.total;
                end.votes = granted;
            }
            (Move::Accept, _) if told.total == 0 => end.votes = granted,
            (Move::Reject, _) => (end.returned, back) = (all(), paid),
            (Move::Cancel, Some(Deed { returned, refund, .. })) => {
                let is_begun =
                    !matches!(at, OrderState::PendingPayment | OrderState::PendingAccept | OrderState::Accepted);
                end.returned = returned.unwrap_or_else(|| if is_begun { BTreeMap::new() } else { all() });
                back += refund.unwrap_or(paid - back);
            }
            (Move::Cancel, None) => (end.returned, back) = (all(), paid),
            (Move::Refund, Some(Deed { refund, .. })) => {
                // What was granted goes with the money, rounded in the buyer's favour.
                let (before, refunded) = (paid - back, refund.unwrap_or(paid - back));
                end.votes = (end.votes * (before - refunded) + before - 1) / before.max(1);
                back += refunded;
            }
            _ => {}
        }
        at = to;
    }
    deeds.retain(|deed| deed.is_certain);
    model.expect(deeds.is_empty(), Kind::Lost, &[&id], || {
        format!("order {id}: {deeds:?} was answered with success and is not in its history")
    });
    let state = &row.state;
    model
        .expect(at.name() == state, Kind::Other, &[&id], || format!("order {id} is {state}, its history ends in {at}"));
    end.is_called_off = matches!(at, OrderState::Cancelled | OrderState::Rejected);

    let pays = found.events.iter().filter(|event| event.made == Move::Pay.name()).count();
    model.expect(pays <= 1, Kind::Doubled, &[&id], || format!("order {id} was paid {pays} times"));
    // What came to the provider and did not pay the order goes back, be it late, another amount, or too much.
    let came_in: i64 = theirs.came_in.values().sum();
    end.kept = if pays == 1 { paid - back } else { 0 };
    let unwanted = came_in - if pays == 1 { paid } else { 0 };
    model.expect(unwanted >= 0, Kind::Doubled, &[&id], || format!("order {id} is paid, and {came_in} fen came in"));
    let left = theirs.left();
    let kind = if left < end.kept { Kind::Doubled } else { Kind::Lost };
    model.expect(left == end.kept, kind, &[&id], || {
        format!("order {id}: the provider has {left} fen of it, must have {}", end.kept)
    });
    let owed: i64 = found.refunds.iter().map(|refund| refund.amount).sum();
    let kind = if owed > back + unwanted { Kind::Doubled } else { Kind::Lost };
    model.expect(owed == back + unwanted, kind, &[&id], || {
        format!("order {id}: {owed} fen go back, must be {back} of {paid} and {unwanted} that were not wanted")
    });
    end
}

/// Whoever asked for a move: by its note, if it has one, and rather who was answered than who was not.
fn take(deeds: &mut Vec<Deed>, made: Move, note: Option<&str>) -> Option<Deed> {
    let fits = |deed: &Deed| deed.made == made && (deed.note.is_empty() || note == Some(deed.note.as_str()));
    let certain = deeds.iter().position(|deed| deed.is_certain && fits(deed));
    let place = certain.or_else(|| deeds.iter().position(fits))?;
    Some(deeds.remove(place))
}

fn reckon_stock(model: &mut Model, conn: &mut PgConnection, taken: &BTreeMap<i64, i64>) {
    #[derive(Deserialize)]
    struct MoveRow {
        id: Uuid,
        goods_id: i64,
        delta: i64,
    }
    #[derive(Deserialize)]
    struct GoodsRow {
        id: i64,
        stock: i64,
    }
    let by_hand = "SELECT id, goods_id, delta FROM stock_moves WHERE reason = 'count'";
    let mut moved: BTreeMap<i64, i64> = BTreeMap::new();
    let mut told = std::mem::take(&mut model.stock_moves);
    for row in rows::<MoveRow>(conn, by_hand) {
        let is_told = told.remove(&row.id) == Some((row.goods_id, row.delta));
        model.expect(is_told, Kind::Doubled, &[&row.id], || format!("nobody was told of the stock move {}", row.id));
        *moved.entry(row.goods_id).or_default() += row.delta;
    }
    for (id, (goods, delta)) in told {
        model.wrong(
            Kind::Lost,
            format!("stock of goods {goods} was moved by {delta}, and {id} is gone"),
            vec![id.to_string()],
        );
    }
    for row in rows::<GoodsRow>(conn, "SELECT id, stock FROM goods") {
        let units = |of: &BTreeMap<i64, i64>| of.get(&row.id).copied().unwrap_or_default();
        let must = STOCK + units(&moved) - units(taken);
        let kind = if row.stock > must || row.stock < 0 { Kind::Oversold } else { Kind::Lost };
        model.expect(row.stock == must, kind, &[], || {
            format!("goods {}: stock is {}, must be {must}", row.id, row.stock)
        });
    }
    let sellable = sum(conn, "SELECT count(*) AS of FROM goods");
    model.expect(sellable == GOODS, Kind::Lost, &[], || format!("{sellable} goods of {GOODS}"));
}

fn reckon_accounts(model: &mut Model, conn: &mut PgConnection, spent: i64, votes: i64) {
    let customers = sum(conn, "SELECT count(*) AS of FROM accounts WHERE kind = 'points'");
    let left = sum(conn, "SELECT sum(balance)::bigint AS of FROM accounts WHERE kind = 'points'");
    let given = customers * POINTS + model.corrections.values().sum::<i64>();
    let kind = if left > given - spent { Kind::Lost } else { Kind::Doubled };
    model.expect(left == given - spent, kind, &[], || format!("{left} points left of {given}, {spent} spent"));
    let granted = sum(conn, "SELECT coalesce(sum(balance), 0)::bigint AS of FROM accounts WHERE kind = 'votes'");
    let kind = if granted < votes { Kind::Lost } else { Kind::Doubled };
    model.expect(granted == votes, kind, &[], || format!("{granted} votes, must be {votes}"));
}

fn sum(conn: &mut PgConnection, sql: &str) -> i64 {
    rows::<Sum>(conn, sql).pop().unwrap().of
}

/// What the database has of orders, for a story.
pub(crate) fn found(stage: &Stage<'_>, about: &[String]) -> String {
    let ids: Vec<String> = about.iter().filter(|id| id.parse::<Uuid>().is_ok()).map(|id| format!("'{id}'")).collect();
    if ids.is_empty() {
        return String::new();
    }
    let (ids, mut conn) = (ids.join(", "), stage.connect());
    let tables = [
        ("orders", "id"),
        ("order_lines", "order_id"),
        ("order_events", "order_id"),
        ("payments", "order_id"),
        ("refunds", "order_id"),
    ];
    let mut text = String::new();
    for (table, column) in tables {
        let sql = format!("SELECT * FROM {table} WHERE {column} IN ({ids})");
        for row in rows::<serde_json::Value>(&mut conn, &sql) {
            text.push_str(&format!("    {table}: {row}\n"));
        }
    }
    text
}
