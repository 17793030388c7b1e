//! Decision tables: each reads like the story it tells.

use std::collections::{BTreeMap, HashMap};

use chrono::{NaiveTime, TimeDelta, TimeZone, Utc};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

const LIMITS: Limits = Limits { lines_max: 5, count_max: 99 };

fn money(text: &str) -> Money {
    text.parse().expect("an amount")
}

fn time(text: &str) -> NaiveTime {
    NaiveTime::parse_from_str(text, "%H:%M").expect("a time")
}

/// Goods are letters in a table: A is 1, B is 2.
fn goods_id(letter: &str) -> GoodsId {
    GoodsId(i64::from(letter.as_bytes()[0] - b'A') + 1)
}

fn letter(id: GoodsId) -> char {
    char::from(b'A' + u8::try_from(id.0 - 1).expect("a letter"))
}

fn facts() -> Facts {
    Facts {
        shop: Shop {
            paused: false,
            hours: None,
            local_time: time("12:00"),
            offered: Offered { dine_in: true, pickup: true, delivery: true, cash: true },
            minimum_amount: Money::ZERO,
            freight: money("5"),
            free_freight_from: None,
            points_per_yuan: 0,
            unpaid: TimeDelta::minutes(15),
            accept: TimeDelta::minutes(10),
        },
        goods: BTreeMap::new(),
        addresses: HashMap::from([(
            (CustomerId(Uuid::nil()), AddressId(Uuid::nil())),
            AddressSnapshot { contact: "Li".into(), phone: "1380000".into(), place: "Road 1".into() },
        )]),
        points: HashMap::new(),
        placed_carts: HashMap::new(),
        now: Utc.with_ymd_and_hms(2026, 11, 21, 4, 0, 0).single().expect("a time"),
    }
}

fn request(lines: &[(GoodsId, i64)]) -> Placement {
    Placement {
        id: OrderId(Uuid::nil()),
        customer_id: CustomerId(Uuid::nil()),
        key: IdempotencyKey::new("key").expect("a key"),
        request_hash: [0; 32],
        lines: WantedLines::new(lines, LIMITS).expect("lines within the limits"),
        fulfilment: Fulfilment::Pickup,
        pay_method: PayMethod::Sandbox,
        points: 0,
        cart: None,
        expected_total: None,
        remark: String::new(),
    }
}

/// Carts are digits in a table.
fn cart(digit: &str) -> CartId {
    CartId(Uuid::from_u128(digit.parse().expect("a digit")))
}

fn show(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Placed(order) => format!("placed {} {}", order.total, order.state),
        Verdict::RepeatOf(first) => format!("repeat of {first}"),
        Verdict::Mismatched => "mismatched".into(),
        Verdict::Refused(refusal) => show_refusal(refusal),
    }
}

fn show_refusal(refusal: &Refusal) -> String {
    let letters = |ids: &[GoodsId]| ids.iter().map(|id| letter(*id).to_string()).collect::<Vec<_>>().join(" ");
    match refusal {
        Refusal::ShopPaused => "paused".into(),
        Refusal::ShopClosed { opens_at, closes_at } => {
            format!("closed {}-{}", opens_at.format("%H:%M"), closes_at.format("%H:%M"))
        }
        Refusal::FulfilmentNotOffered(kind) => format!("no {kind}"),
        Refusal::PayMethodNotOffered(method) => format!("no {method}"),
        Refusal::UnknownAddress => "unknown address".into(),
        Refusal::UnknownGoods(ids) => format!("unknown {}", letters(ids)),
        Refusal::NotOnSale(ids) => format!("not on sale {}", letters(ids)),
        Refusal::OutOfStock(short) => {
            let left = short.iter().map(|s| format!("{} {}/{}", letter(s.goods_id), s.left, s.wanted));
            format!("out of stock {}", left.collect::<Vec<_>>().join(", "))
        }
        Refusal::BelowMinimum { minimum, goods_amount } => format!("below minimum {goods_amount}/{minimum}"),
        Refusal::PriceChanged { expected, total } => format!("price changed {expected} to {total}"),
        Refusal::CartPlaced { .. } => "cart placed".into(),
        Refusal::PointsNotTaken => "no points taken".into(),
        Refusal::TooFewPoints { points, balance } => format!("too few points {balance}/{points}"),
        Refusal::TooManyPoints { points, points_max } => format!("too many points {points}/{points_max}"),
    }
}

/// Runs a table. `stock A=3@10` puts goods on the shelf (`off A=3@10`: not on sale); `shop …` changes a setting;
/// `order A:2 [cash|dine|delivery|stranger|expect=…|key=…] -> verdict` is a request of the group, with a key of its own unless it
/// names one; all are planned at once. `points 100` is what the customer has, `points=…` what an order spends, `cart=…` the cart it is
/// placed from.
fn check(table: &str) {
    let (mut facts, mut requests, mut expected) = (facts(), Vec::new(), Vec::new());
    for row in table.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let (verb, rest) = row.split_once(' ').expect("a verb and its object");
        match verb {
            "stock" | "off" => {
                for item in rest.split(' ') {
                    let (name, rest) = item.split_once('=').expect("goods=stock@price");
                    let (stock, price) = rest.split_once('@').expect("stock@price");
                    facts.goods.insert(
                        goods_id(name),
                        GoodsFacts {
                            name: LocalText::new("菜", "dish"),
                            spec: LocalText::new("份", "portion"),
                            price: money(price),
                            stock: stock.parse().expect("units"),
                            on_sale: verb == "stock",
                            grant: None,
                        },
                    );
                }
            }
            "points" => {
                let balance = rest.parse().expect("points");
                facts.points.insert(CustomerId(Uuid::nil()), Points { account: AccountId(Uuid::nil()), balance });
            }
            "placed" => {
                facts.placed_carts.insert((CustomerId(Uuid::nil()), cart(rest)), OrderId(Uuid::nil()));
            }
            "shop" => match rest.split_once('=').unwrap_or((rest, "")) {
                ("paused", _) => facts.shop.paused = true,
                ("no dine_in", _) => facts.shop.offered.dine_in = false,
                ("no pickup", _) => facts.shop.offered.pickup = false,
                ("no delivery", _) => facts.shop.offered.delivery = false,
                ("no cash", _) => facts.shop.offered.cash = false,
                ("points_per_yuan", points) => facts.shop.points_per_yuan = points.parse().expect("points"),
                ("minimum", amount) => facts.shop.minimum_amount = money(amount),
                ("free_freight_from", amount) => facts.shop.free_freight_from = Some(money(amount)),
                ("clock", now) => facts.shop.local_time = time(now),
                ("hours", hours) => {
                    let (opens_at, closes_at) = hours.split_once('-').expect("from-to");
                    facts.shop.hours = Some(Hours { opens_at: time(opens_at), closes_at: time(closes_at) });
                }
                (other, _) => panic!("unknown setting {other}"),
            },
            "order" => {
                let (wanted, verdict) = rest.split_once(" -> ").expect("lines -> verdict");
                let mut lines = Vec::new();
                let mut options = Vec::new();
                for word in wanted.split(' ') {
                    match word.split_once(':') {
                        Some((name, count)) => lines.push((goods_id(name), count.parse().expect("a count"))),
                        None => options.push(word),
                    }
                }
                let mut request = request(&lines);
                request.key = IdempotencyKey::new(&requests.len().to_string()).expect("a key");
                request.request_hash[0] = u8::try_from(wanted.len()).expect("short");
                for option in options {
                    match option.split_once('=').unwrap_or((option, "")) {
                        ("key", key) => request.key = IdempotencyKey::new(key).expect("a key"),
                        ("cash", _) => request.pay_method = PayMethod::Cash,
                        ("dine", _) => request.fulfilment = Fulfilment::DineIn { table: "A3".into() },
                        ("delivery", _) => request.fulfilment = Fulfilment::Delivery(AddressId(Uuid::nil())),
                        ("stranger", _) => request.customer_id = CustomerId(Uuid::max()),
                        ("points", points) => request.points = points.parse().expect("points"),
                        ("cart", name) => request.cart = Some(cart(name)),
                        ("expect", total) => request.expected_total = Some(money(total)),
                        (other, _) => panic!("unknown option {other}"),
                    }
                }
                requests.push(request);
                expected.push(verdict.to_owned());
            }
            other => panic!("unknown verb {other}"),
        }
    }
    let verdicts = plan(&facts, &requests.iter().collect::<Vec<_>>());
    assert_eq!(verdicts.iter().map(show).collect::<Vec<_>>(), expected);
}

#[test]
fn earlier_orders_take_before_later_ones() {
    check(
        "stock A=3@10
         order A:2 -> placed 20.00 pending_payment
         order A:2 -> out of stock A 1/2
         order A:1 -> placed 10.00 pending_payment
         order A:1 -> out of stock A 0/1",
    );
}

#[test]
fn a_refused_order_takes_nothing() {
    check(
        "stock A=3@10 B=1@1
         order A:3 B:2 -> out of stock B 1/2
         order A:3 B:1 -> placed 31.00 pending_payment",
    );
}

#[test]
fn a_key_stands_for_the_first_order_that_is_placed() {
    check(
        "stock A=5@10
         order A:9 key=k -> out of stock A 5/9
         order A:3 cash key=k -> placed 30.00 pending_accept
         order A:3 cash key=k -> repeat of 1
         order A:1 key=k -> mismatched
         order A:3 cash key=k stranger -> out of stock A 2/3
         order A:2 -> placed 20.00 pending_payment",
    );
}

#[test]
fn every_short_line_is_named_in_order() {
    check(
        "stock A=1@10 B=5@1 C=0@1
         order C:1 B:5 A:2 -> out of stock A 1/2, C 0/1",
    );
}

#[test]
fn same_goods_on_two_lines_are_summed() {
    check(
        "stock A=3@10
         order A:2 A:2 -> out of stock A 3/4
         order A:2 A:1 -> placed 30.00 pending_payment",
    );
}

#[test]
fn goods_must_exist_and_be_on_sale() {
    check(
        "stock A=3@10
         off B=3@10 C=0@10
         order A:1 Z:1 Y:1 B:1 -> unknown Y Z
         order C:1 B:1 A:9 -> not on sale B C",
    );
}

#[test]
fn totals_are_the_servers() {
    check(
        "stock A=30@9.90
         shop free_freight_from=50
         order A:2 expect=19.80 -> placed 19.80 pending_payment
         order A:2 expect=19.79 -> price changed 19.79 to 19.80
         order A:2 delivery expect=24.80 -> placed 24.80 pending_payment
         order A:6 delivery -> placed 59.40 pending_payment
         order A:2 dine cash -> placed 19.80 pending_accept",
    );
}

#[test]
fn nothing_to_pay_waits_for_no_payment() {
    check(
        "stock A=1@0
         order A:1 -> placed 0.00 pending_accept",
    );
}

#[test]
fn the_shop_sets_the_terms() {
    check(
        "stock A=9@10
         shop minimum=20
         order A:1 delivery -> below minimum 10.00/20.00
         order A:2 delivery -> placed 25.00 pending_payment
         order A:1 -> placed 10.00 pending_payment
         order A:1 dine -> placed 10.00 pending_payment
         order A:2 delivery stranger -> unknown address",
    );
    check("shop paused\norder A:1 -> paused");
}

#[test]
fn an_order_is_for_what_is_offered() {
    check(
        "stock A=9@10
         shop no dine_in
         order A:1 dine -> no dine_in
         order A:1 -> placed 10.00 pending_payment
         order A:1 delivery -> placed 15.00 pending_payment",
    );
    check(
        "stock A=9@10
         shop no pickup
         shop no delivery
         order A:1 -> no pickup
         order A:1 delivery stranger -> no delivery
         order Z:1 dine cash -> unknown Z
         order A:1 dine cash -> placed 10.00 pending_accept",
    );
    check(
        "stock A=9@10
         shop no cash
         order A:1 cash -> no cash
         order A:1 -> placed 10.00 pending_payment",
    );
    check("shop no cash\nshop no pickup\nshop paused\norder A:1 cash -> paused");
    check("shop no cash\nshop no pickup\norder A:1 cash -> no pickup");
}

#[test]
fn a_shop_may_be_open_over_midnight() {
    for (hours, clock, verdict) in [
        ("09:00-21:00", "09:00", "placed 1.00 pending_payment"),
        ("09:00-21:00", "21:00", "closed 09:00-21:00"),
        ("18:00-02:00", "01:59", "placed 1.00 pending_payment"),
        ("18:00-02:00", "02:00", "closed 18:00-02:00"),
        ("18:00-02:00", "18:00", "placed 1.00 pending_payment"),
    ] {
        check(&format!("stock A=1@1\nshop hours={hours}\nshop clock={clock}\norder A:1 -> {verdict}"));
    }
}

#[test]
fn deadlines_follow_the_state() {
    let mut facts = facts();
    let goods = GoodsFacts {
        name: LocalText::new("菜", "dish"),
        spec: LocalText::new("份", "portion"),
        price: money("1"),
        stock: 2,
        on_sale: true,
        grant: None,
    };
    facts.goods.insert(GoodsId(1), goods);
    let unpaid = request(&[(GoodsId(1), 1)]);
    let key = IdempotencyKey::new("another").expect("a key");
    let cash = Placement { pay_method: PayMethod::Cash, key, ..unpaid.clone() };
    let verdicts = plan(&facts, &[&unpaid, &cash]);
    let deadlines = verdicts.iter().map(|verdict| {
        let order = verdict.order().expect("placed");
        (order.pay_by, order.accept_by)
    });
    assert_eq!(
        deadlines.collect::<Vec<_>>(),
        [(Some(facts.now + TimeDelta::minutes(15)), None), (None, Some(facts.now + TimeDelta::minutes(10)))]
    );
}

#[test]
fn points_pay_for_earlier_orders_first() {
    check(
        "stock A=9@10
         points 1500
         order A:1 points=1 -> no points taken",
    );
    check(
        "stock A=9@10
         shop points_per_yuan=100
         points 1500
         order A:1 points=1001 -> too many points 1001/1000
         order A:1 points=1000 -> placed 0.00 pending_accept
         order A:1 points=501 -> too few points 500/501
         order A:1 points=499 expect=5.01 -> placed 5.01 pending_payment
         order A:1 points=2 -> too few points 1/2
         order A:1 points=1 stranger -> too few points 0/1
         order A:1 points=1 delivery -> placed 14.99 pending_payment",
    );
}

#[test]
fn points_are_worth_whole_fen_and_never_more_than_the_order() {
    check(
        "stock A=9@0.50
         shop points_per_yuan=1
         points 9
         order A:1 points=1 -> placed 0.00 pending_accept
         order A:1 points=2 -> too many points 2/1",
    );
    check(
        "stock A=9@1
         shop points_per_yuan=300
         points 999
         order A:1 points=2 -> placed 1.00 pending_payment
         order A:1 points=3 -> placed 0.99 pending_payment",
    );
}

#[test]
fn a_refused_order_spends_nothing() {
    check(
        "stock A=1@10
         shop points_per_yuan=100
         points 500
         order A:2 points=500 -> out of stock A 1/2
         order A:1 points=500 expect=4 -> price changed 4.00 to 5.00
         order A:1 points=500 -> placed 5.00 pending_payment",
    );
}

#[test]
fn a_cart_is_placed_once() {
    check(
        "stock A=9@10
         placed 1
         order A:1 cart=1 -> cart placed
         order A:1 cart=1 stranger -> placed 10.00 pending_payment
         order A:99 cart=2 -> out of stock A 8/99
         order A:1 cart=2 -> placed 10.00 pending_payment
         order A:1 cart=2 -> cart placed
         order A:1 -> placed 10.00 pending_payment",
    );
}

#[test]
fn lines_outside_the_limits_are_no_lines() {
    let a = goods_id("A");
    let count = |line| Err(BadLines::Count { line, count_max: 99 });
    for (lines, verdict) in [
        (vec![], Err(BadLines::Empty)),
        (vec![(a, 1); 6], Err(BadLines::TooMany { lines_max: 5 })),
        (vec![(a, 1), (a, 0)], count(1)),
        (vec![(a, -1)], count(0)),
        (vec![(a, 100)], count(0)),
        (vec![(a, i64::MAX)], count(0)),
        (vec![(a, 98), (a, 2)], count(1)),
        (vec![(a, 98), (a, 1)], Ok(WantedLines(vec![(a, 99)]))),
    ] {
        assert_eq!(WantedLines::new(&lines, LIMITS), verdict, "{lines:?}");
    }
}

#[test]
fn keys_are_visible_ascii() {
    for key in ["", "a b", "ключ", "a\0", &"k".repeat(129)] {
        assert_eq!(IdempotencyKey::new(key), None, "{key:?}");
    }
    assert!(IdempotencyKey::new(&"k".repeat(128)).is_some());
}

proptest! {
    /// Whatever is asked for: nothing is oversold, every placed order adds up, and a refusal for stock is true.
    #[test]
    fn no_group_oversells(
        stocks in prop::collection::vec(0_u32..6, 4),
        orders in prop::collection::vec(prop::collection::vec((1_i64..=4, 1_i64..4), 1..4), 1..12),
    ) {
        let mut facts = facts();
        for (index, stock) in stocks.iter().enumerate() {
            let id = GoodsId(i64::try_from(index).expect("small") + 1);
            facts.goods.insert(id, GoodsFacts {
                name: LocalText::new("菜", "dish"),
                spec: LocalText::new("份", "portion"),
                price: money("1.10"),
                stock: *stock,
                on_sale: true,
                grant: None,
            });
        }
        let requests: Vec<Placement> = orders
            .iter()
            .enumerate()
            .map(|(number, lines)| Placement {
                key: IdempotencyKey::new(&number.to_string()).expect("a key"),
                ..request(&lines.iter().map(|(id, count)| (GoodsId(*id), *count)).collect::<Vec<_>>())
            })
            .collect();
        let verdicts = plan(&facts, &requests.iter().collect::<Vec<_>>());
        let placed: Vec<&Order> = verdicts
            .iter()
            .filter_map(Verdict::order)
            .collect();
        for (id, units) in taken(placed.iter().copied()) {
            prop_assert!(units <= facts.goods[&id].stock);
        }
        let mut left: BTreeMap<GoodsId, u32> = facts.goods.iter().map(|(id, goods)| (*id, goods.stock)).collect();
        for (request, verdict) in requests.iter().zip(&verdicts) {
            let fits = request.lines.iter().all(|(id, count)| count <= left[&id]);
            prop_assert_eq!(verdict.order().is_some(), fits);
            if let Some(order) = verdict.order() {
                prop_assert_eq!(order.lines.iter().map(OrderLine::amount).sum::<Money>() + order.freight, order.total);
                for line in &order.lines {
                    *left.get_mut(&line.goods_id).expect("known goods") -= line.count;
                }
            }
        }
    }
}
