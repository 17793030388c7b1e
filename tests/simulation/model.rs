//! What must have come out, worked out from what everybody was answered, from what the provider says of the money, and from nothing the
//! service keeps for itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rowlock::domain::moves::Move;
use rowlock::domain::order::OrderState;
use rowlock::domain::payment::PaymentState;
use serde_json::Value;

use crate::harness::{TestApp, number, words};
use crate::two_tills::{Money, Tills};

/// Units of each goods to begin with.
pub(crate) const STOCK: i64 = 60;
/// Points of each customer to begin with.
pub(crate) const POINTS: i64 = 2_000;
/// Votes that a unit of goods 4 grants its buyer.
const VOTES: i64 = 3;

/// The shop of a simulation: little stock, points, votes; its settings differ by the seed.
pub(crate) fn furnish(app: &TestApp, seed: u64) {
    let (auto, timeout) = (seed.is_multiple_of(3), if seed.is_multiple_of(2) { "accept" } else { "reject" });
    app.execute(&format!(
        "UPDATE goods SET stock = {STOCK} WHERE merchant_id = 1;
         UPDATE stock_moves SET delta = {STOCK} WHERE merchant_id = 1;
         UPDATE goods SET grant_kind = 'votes', grant_per_unit = {VOTES} WHERE id = 4;
         UPDATE merchants SET points_per_yuan = 100, auto_accept = {auto}, accept_timeout = '{timeout}' WHERE id = 1"
    ));
}

/// An order that somebody was told of.
#[derive(Debug)]
struct Told {
    customer: usize,
    lines: BTreeMap<i64, i64>,
    total: i64,
    points: i64,
}

/// A move that was answered with success, known by the note or the number that it carries into history.
#[derive(Clone, Debug)]
pub(crate) enum Done {
    /// A move without more to know of it.
    Plain(Move),
    /// A cancellation with what it asked for: units that return, fen that go back.
    Cancel { returned: Option<BTreeMap<i64, i64>>, refund: Option<i64> },
    /// A refund of so many fen; none means all that is left.
    Refund(Option<i64>),
}

impl Done {
    fn made(&self) -> Move {
        match self {
            Self::Plain(made) => *made,
            Self::Cancel { .. } => Move::Cancel,
            Self::Refund(_) => Move::Refund,
        }
    }
}

/// Everything that was answered.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) operations: usize,
    pub(crate) violations: Vec<String>,
    /// How often each move was made.
    pub(crate) moves: BTreeMap<&'static str, usize>,
    orders: BTreeMap<String, Told>,
    /// Those that were answered as new, which happens once.
    created: BTreeSet<String>,
    keys: HashMap<(usize, String), String>,
    done: HashMap<String, Vec<Done>>,
    /// The numbers under which somebody was told to pay.
    numbers: BTreeSet<String>,
    stock_moves: BTreeMap<i64, i64>,
    corrections: BTreeMap<String, i64>,
    /// What was heard, in order: the order it was about, if it was about one.
    heard: Vec<Option<String>>,
    /// How many of them were alerts.
    alerts: i64,
}

pub(crate) fn fen(amount: &Value) -> i64 {
    amount.as_str().unwrap().replace('.', "").parse().unwrap()
}

impl Model {
    fn wrong(&mut self, what: String) {
        self.violations.push(what);
    }

    /// Notes what must never be: an answer that says something broke.
    pub(crate) fn expect(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.wrong(what());
        }
    }

    /// A placement was answered with an order.
    pub(crate) fn placed(&mut self, customer: usize, key: &str, status: u16, order: &Value) {
        let id = order["id"].as_str().unwrap().to_owned();
        let lines = order["lines"].as_array().unwrap();
        let told = Told {
            customer,
            lines: lines
                .iter()
                .map(|line| (line["goods_id"].as_i64().unwrap(), line["count"].as_i64().unwrap()))
                .collect(),
            total: fen(&order["total"]),
            points: order["points_used"].as_i64().unwrap(),
        };
        let before = self.keys.insert((customer, key.to_owned()), id.clone());
        if before.as_ref().is_some_and(|before| *before != id) {
            self.wrong(format!("key {key} of customer {customer} placed {before:?} and {id}"));
        }
        self.orders.insert(id.clone(), told);
        if status == 201 && !self.created.insert(id.clone()) {
            self.wrong(format!("order {id} was placed twice"));
        }
    }

    /// A move was answered with success.
    pub(crate) fn moved(&mut self, order: &str, done: Done) {
        self.done.entry(order.to_owned()).or_default().push(done);
    }

    /// Somebody was told to pay under a number.
    pub(crate) fn payable(&mut self, number: &str) {
        self.numbers.insert(number.to_owned());
    }

    /// All of these.
    pub(crate) fn numbers(&self) -> Vec<String> {
        self.numbers.iter().cloned().collect()
    }

    /// Stock was changed by hand.
    pub(crate) fn stocked(&mut self, goods: i64, delta: i64) {
        *self.stock_moves.entry(goods).or_default() += delta;
        self.did("stock");
    }

    /// Points were given or taken by hand, once a key.
    pub(crate) fn corrected(&mut self, key: &str, delta: i64) {
        let before = self.corrections.insert(key.to_owned(), delta);
        if before.is_some_and(|before| before != delta) {
            self.wrong(format!("correction {key} was made as {before:?} and {delta}"));
        }
        self.did("correct");
    }

    /// Somebody who listens has heard of this.
    pub(crate) fn heard(&mut self, seq: i64, kind: &str, order: Option<&str>) {
        let last = i64::try_from(self.heard.len()).unwrap();
        self.expect(seq == last + 1, || format!("event {seq} was heard after {last}"));
        let is_alert = kind == "alert_raised";
        self.alerts += i64::from(is_alert);
        self.heard.push(order.filter(|_| !is_alert).map(ToOwned::to_owned));
    }

    /// Counts what is no move of an order.
    pub(crate) fn did(&mut self, what: &'static str) {
        *self.moves.entry(what).or_default() += 1;
    }

    /// Holds what must be against what is.
    pub(crate) async fn reckon(mut self, tills: &Tills) -> Self {
        let app = &tills.one;
        let mut conn = app.conn();
        let known = i64::try_from(self.orders.len()).unwrap();
        let kept = number(&mut conn, "SELECT count(*) AS value FROM orders");
        self.expect(kept == known, || format!("{kept} orders, {known} of which somebody was told"));

        let (heard, raised) = (self.alerts, number(&mut conn, "SELECT count(*) AS value FROM alerts"));
        self.expect(heard == raised, || format!("{heard} alerts were heard, {raised} raised"));
        let mut taken: BTreeMap<i64, i64> = BTreeMap::new();
        let mut points: BTreeMap<usize, i64> = BTreeMap::new();
        let (mut votes, mut kept) = (0, 0);
        for (id, told) in std::mem::take(&mut self.orders) {
            let (theirs, ours) = (tills.at_provider_for(&mut conn, &id).await, Tills::in_books(&mut conn, &id));
            self.expect(theirs == ours, || format!("order {id}: the provider has {theirs:?}, our books {ours:?}"));
            // Of each order its placing, each row of its history and each refund that was made is heard, once.
            let heard = self.heard.iter().filter(|order| order.as_ref() == Some(&id)).count();
            let rows = format!("SELECT count(*) AS value FROM order_events WHERE order_id = '{id}'");
            let rows = number(&mut conn, &rows);
            let happened = usize::try_from(rows).unwrap() + 1 + theirs.went_back.len();
            self.expect(heard == happened, || format!("order {id}: {heard} events were heard, {happened} happened"));
            let end = self.replay(app, &id, &told, &theirs);
            kept += end.kept;
            for (goods, units) in &told.lines {
                *taken.entry(*goods).or_default() += units - end.returned.get(goods).copied().unwrap_or_default();
            }
            if !end.is_called_off {
                *points.entry(told.customer).or_default() += told.points;
                votes += end.votes;
            }
        }
        for goods in 1..=5 {
            let expected = STOCK + self.stock_moves.get(&goods).copied().unwrap_or_default()
                - taken.get(&goods).copied().unwrap_or_default();
            let stock = app.stock(goods);
            self.expect(stock == expected, || format!("goods {goods}: stock is {stock}, must be {expected}"));
        }
        // In sum, by all that customers were told to pay, whatever order it was for.
        let mut left = 0;
        for number in &self.numbers {
            left += tills.at_provider(number).await.left();
        }
        self.expect(left == kept, || format!("the provider has {left} fen, must have {kept}"));
        // How often it went wrong, so that it shows when it never does.
        for state in PaymentState::ALL {
            let count = format!("SELECT count(*) AS value FROM payments WHERE gateway <> 'cash' AND state = '{state}'");
            *self.moves.entry(state.name()).or_default() += usize::try_from(number(&mut conn, &count)).unwrap();
        }
        let spent: i64 = points.values().sum();
        let customers = number(&mut conn, "SELECT count(*) AS value FROM accounts WHERE kind = 'points'");
        let left = number(&mut conn, "SELECT sum(balance)::bigint AS value FROM accounts WHERE kind = 'points'");
        let given = customers * POINTS + self.corrections.values().sum::<i64>();
        self.expect(left == given - spent, || format!("{left} points left of {given}, {spent} spent"));
        let granted = "SELECT coalesce(sum(balance), 0)::bigint AS value FROM accounts WHERE kind = 'votes'";
        let granted = number(&mut conn, granted);
        self.expect(granted == votes, || format!("{granted} votes, must be {votes}"));
        self.violations.extend(app.audit());
        self
    }

    /// Goes through an order's history, and holds each row against the machine and against what was answered.
    fn replay(&mut self, app: &TestApp, id: &str, told: &Told, money: &Money) -> End {
        let mut conn = app.conn();
        let rows = words(
            &mut conn,
            &format!(
                "SELECT concat_ws('|', move, from_state, to_state, split_part(actor, ' ', 1)) AS value FROM order_events
                 WHERE order_id = '{id}' ORDER BY seq"
            ),
        );
        let now =
            words(&mut conn, &format!("SELECT state || '|' || pay_method AS value FROM orders WHERE id = '{id}'"));
        let Some((state, method)) = now.first().and_then(|row| row.split_once('|')) else {
            self.wrong(format!("order {id} was placed and is gone"));
            return End::default();
        };
        let is_free = method == "cash" || told.total == 0;
        let mut at = if is_free { OrderState::PendingAccept } else { OrderState::PendingPayment };
        let mut end = End::default();
        let granted = told.lines.get(&4).copied().unwrap_or_default() * VOTES;
        let (mut paid, mut back) = (0, 0);
        let mut done = self.done.remove(id).unwrap_or_default();
        for row in &rows {
            let parts: Vec<&str> = row.split('|').collect();
            let (made, from, to): (Move, OrderState, OrderState) =
                (parts[0].parse().unwrap(), parts[1].parse().unwrap(), parts[2].parse().unwrap());
            self.expect(from == at && at.next(made) == Some(to), || format!("order {id}: {row} after {at}"));
            *self.moves.entry(made.name()).or_default() += 1;
            // Whoever is a person was answered; a person's move that nobody was answered would be nobody's.
            let by_person = ["customer", "staff"].contains(&parts[3]);
            let place = done.iter().position(|done| by_person && done.made() == made);
            self.expect(place.is_some() || !by_person, || format!("order {id}: nobody was told of {row}"));
            let told_of = place.map(|place| done.remove(place));
            let all = || told.lines.clone();
            match (made, &told_of) {
                (Move::Pay | Move::Collect, _) => {
                    paid = told.total;
                    end.votes = granted;
                }
                (Move::Accept, _) if told.total == 0 => end.votes = granted,
                (Move::Reject, _) => (end.returned, back) = (all(), paid),
                (Move::Cancel, Some(Done::Cancel { returned, refund })) => {
                    let is_begun =
                        !matches!(at, OrderState::PendingPayment | OrderState::PendingAccept | OrderState::Accepted);
                    end.returned = returned.clone().unwrap_or_else(|| if is_begun { BTreeMap::new() } else { all() });
                    back += refund.unwrap_or(paid - back);
                }
                (Move::Cancel, _) => (end.returned, back) = (all(), paid),
                (Move::Refund, Some(Done::Refund(amount))) => {
                    // What was granted goes with the money, rounded in the buyer's favour.
                    let (before, refunded) = (paid - back, amount.unwrap_or(paid - back));
                    end.votes = (end.votes * (before - refunded) + before - 1) / before;
                    back += refunded;
                }
                _ => {}
            }
            at = to;
        }
        self.expect(done.is_empty(), || {
            format!("order {id}: {done:?} was answered with success and is not in its history")
        });
        self.expect(at.name() == state, || format!("order {id} is {state}, its history ends in {at}"));
        end.is_called_off = matches!(at, OrderState::Cancelled | OrderState::Rejected);

        let pays = rows.iter().filter(|row| row.starts_with("pay|")).count();
        self.expect(pays <= 1, || format!("order {id} was paid {pays} times"));
        // What came to the provider and did not pay the order goes back, be it late, another amount, or too much.
        let came_in: i64 = money.came_in.values().sum();
        end.kept = if pays == 1 { paid - back } else { 0 };
        let unwanted = came_in - if pays == 1 { paid } else { 0 };
        self.expect(unwanted >= 0, || format!("order {id}: {came_in} fen came in, and it is paid"));
        self.expect(money.left() == end.kept, || {
            format!("order {id}: the provider has {} fen of it, must have {}", money.left(), end.kept)
        });
        let owed =
            format!("SELECT coalesce((sum(amount) * 100)::bigint, 0) AS value FROM refunds WHERE order_id = '{id}'");
        let owed = number(&mut conn, &owed);
        self.expect(owed == back + unwanted, || {
            format!("order {id}: {owed} fen go back, must be {back} of {paid} and {unwanted} that were not wanted")
        });
        end
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
