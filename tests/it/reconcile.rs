//! `rowlock reconcile`: bills that differ from the books in one thing each, and bills that do not.

use std::fs;
use std::process::Output;

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::command::{Folder, SECRET, run};
use crate::harness::{TestApp, order};
use crate::moves::id;
use crate::payments::{attempt, let_refunds_end, press, state, until};

const WECHAT_HEAD: &str = "交易时间,微信订单号,商户订单号,交易状态,货币种类,微信退款单号,商户退款单号,退款状态,商品名称,订单金额,申请退款金额";
const ALIPAY_HEAD: &str = "支付宝交易号,商户订单号,业务类型,完成时间,订单金额（元）,商家实收（元）,退款批次号/请求号";

/// The number of the payment, or the refund, that [`uuid`] gives an id.
fn no(number: u32) -> String {
    uuid(number).replace('-', "")
}

fn uuid(number: u32) -> String {
    format!("0193476f-4c00-7000-8000-{number:012}")
}

/// Some yuan that came in (`number`, yuan) or went back (`number`, yuan, the refund's), at a time of 21 November.
struct Row(&'static str, String, String, u32, Option<(String, &'static str)>);

fn paid(time: &'static str, transaction: &str, number: String, yuan: u32) -> Row {
    Row(time, transaction.to_owned(), number, yuan, None)
}

fn back(time: &'static str, transaction: &str, number: String, yuan: u32, refund: String, state: &'static str) -> Row {
    Row(time, transaction.to_owned(), number, yuan, Some((refund, state)))
}

fn totals(rows: &[Row]) -> (u32, u32) {
    let of = |is_refund| rows.iter().filter(move |row| row.4.is_some() == is_refund).map(|row| row.3).sum();
    (of(false), of(true))
}

fn wechat(rows: &[Row]) -> Vec<u8> {
    let line = |Row(time, transaction, number, yuan, refund): &Row| match refund {
        None => format!("`2026-11-21 {time},`{transaction},`{number},`SUCCESS,`CNY,`0,`0,`,`饺子,`{yuan}.00,`0.00\r\n"),
        Some((refund, state)) => {
            format!(
                "`2026-11-21 {time},`{transaction},`{number},`REFUND,`CNY,`503{yuan},`{refund},`{state},`饺子,`0.00,`{yuan}.00\r\n"
            )
        }
    };
    let ((paid, back), count) = (totals(rows), rows.len());
    let lines: String = rows.iter().map(line).collect();
    format!(
        "\u{feff}{WECHAT_HEAD}\r\n{lines}总交易单数,订单总金额,申请退款总金额\r\n`{count},`{paid}.00,`{back}.00\r\n"
    )
    .into_bytes()
}

fn alipay(rows: &[Row]) -> Vec<u8> {
    let line = |Row(time, transaction, number, yuan, refund): &Row| match refund {
        None => format!("{transaction}\t,{number}\t,交易\t,2026-11-21 {time},{yuan}.00,{yuan}.00,\t\n"),
        Some((refund, _)) => {
            format!("{transaction}\t,{number}\t,退款\t,2026-11-21 {time},-{yuan}.00,-{yuan}.00,{refund}\t\n")
        }
    };
    let (paid, back) = totals(rows);
    let refunds = rows.iter().filter(|row| row.4.is_some()).count();
    let lines: String = rows.iter().map(line).collect();
    format!(
        "#支付宝业务明细查询\n#起始日期：[2026年11月21日 00:00:00]   终止日期：[2026年11月22日 00:00:00]\n{ALIPAY_HEAD}\n{lines}\
         #交易合计：{}笔，商家实收共{paid}.00元，商家优惠共0.00元\n#退款合计：{refunds}笔，商家实收退款共-{back}.00元，商家优惠退款共0.00元\n",
        rows.len() - refunds
    )
    .into_bytes()
}

/// Books of two shops, written by hand: some of it nobody would book.
struct Books {
    app: TestApp,
    order: String,
    folder: Folder,
}

impl Books {
    async fn open() -> Self {
        let mut app = TestApp::start();
        app.audit_at_end = false;
        let order = id(&app.customer("alice").await.place("k", &order(&[(1, 1)])).await.json());
        // The other shop has the same order of the same customer.
        for table in ["customers", "orders"] {
            app.execute(&format!(
                "INSERT INTO {table} SELECT (jsonb_populate_record(t, '{{\"merchant_id\": 2}}')).* FROM {table} t"
            ));
        }
        Self { app, order, folder: Folder::new() }
    }

    fn pay(&self, merchant: i64, gateway: &str, number: u32, yuan: u32, state: &str, settled: Option<(&str, &str)>) {
        let quoted = |text: &str| format!("'{text}'");
        let (transaction, time) =
            settled.map_or(("NULL".to_owned(), "NULL".to_owned()), |(t, at)| (quoted(t), quoted(at)));
        self.app.execute(&format!(
            "INSERT INTO payments (merchant_id, id, order_id, gateway, state, amount, transaction, actor, created_at, settled_at)
                 VALUES ({merchant}, '{}', '{}', '{gateway}', '{state}', {yuan}, {transaction}, 'test', '2026-11-21T04:00:00Z', {time})",
            uuid(number),
            self.order
        ));
    }

    /// A refund of payment 1.
    fn refund(&self, number: u32, yuan: u32, state: &str) {
        let settled = if state == "succeeded" { "'2026-11-21T06:00:00Z'" } else { "NULL" };
        self.app.execute(&format!(
            "INSERT INTO refunds (merchant_id, id, payment_id, order_id, state, amount, reason, actor, created_at, settled_at)
                 VALUES (1, '{}', '{}', '{}', '{state}', {yuan}, 'other', 'test', '2026-11-21T05:00:00Z', {settled})",
            uuid(number),
            uuid(1),
            self.order
        ));
    }

    /// The gateway did not pay that refund; one of the staff did.
    fn by_hand(&self, number: u32) {
        self.app.execute(&format!("UPDATE refunds SET by_hand = true WHERE id = '{}'", uuid(number)));
    }

    fn reconcile(&self, gateway: &str, bill: &[u8], more: &[&str]) -> Output {
        fs::write(self.folder.0.join("bill.csv"), bill).unwrap();
        let variables = [("DATABASE_URL", self.app.database.url.as_str()), ("ROWLOCK_AUTH_TOKEN_SECRET", SECRET)];
        let arguments =
            ["reconcile", "--date", "2026-11-21", "--merchant", "1", "--gateway", gateway, "--bill", "bill.csv"];
        run(&self.folder.0, &[&arguments, more].concat(), &variables)
    }
}

fn said(output: &Output) -> String {
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap().replace("0193476f4c0070008000", "…")
}

#[actix_web::test]
async fn each_difference_is_a_line() {
    let books = Books::open().await;
    let noon = "2026-11-21T04:30:00Z";
    books.pay(1, "wechat", 1, 100, "paid", Some(("wx1", noon)));
    books.pay(1, "wechat", 2, 20, "paid_late", Some(("wx2", noon)));
    books.pay(1, "wechat", 3, 30, "closed", None);
    books.pay(1, "wechat", 4, 40, "paid_mismatch", Some(("wx4", noon)));
    books.pay(1, "wechat", 5, 50, "paid", Some(("wx5", "2026-11-21T16:00:01Z")));
    books.pay(1, "wechat", 6, 60, "paid_duplicate", Some(("wx6", "2026-11-21T15:59:59.999Z")));
    // Another gateway's, another day's, another shop's.
    books.pay(1, "alipay", 7, 70, "paid", Some(("wx7", noon)));
    books.pay(1, "wechat", 8, 80, "paid", Some(("wx8", "2026-11-21T16:00:00Z")));
    books.pay(2, "wechat", 9, 90, "paid", Some(("wx9", noon)));
    for (number, yuan, state) in [
        (11, 1, "succeeded"),
        (12, 2, "succeeded"),
        (13, 3, "submitted"),
        (14, 4, "due"),
        (15, 5, "abnormal"),
        (16, 6, "succeeded"),
        (17, 9, "succeeded"),
    ] {
        books.refund(number, yuan, state);
    }
    books.by_hand(17);
    let rows = [
        paid("12:30:00", "wx1", no(1), 100),
        paid("12:30:00", "wx1-again", no(1), 100),
        paid("12:30:00", "wx3", no(3), 30),
        paid("12:30:00", "wx4", no(4), 41),
        paid("23:59:59", "wx5", no(5), 50),
        paid("12:30:00", "wx9", no(9), 90),
        paid("12:30:00", "wx99", "POS-7".to_owned(), 9),
        back("13:00:00", "wx1", no(1), 1, no(11), "SUCCESS"),
        back("13:00:00", "wx1", no(1), 1, no(11) + "-2", "SUCCESS"),
        back("13:00:00", "wx1", no(1), 3, no(13), "SUCCESS"),
        back("13:00:00", "wx1", no(1), 5, no(15), "CHANGE"),
        back("13:00:00", "wx1", no(1), 7, no(16), "SUCCESS"),
        back("13:00:00", "wx1", no(1), 8, "by-hand".to_owned(), "SUCCESS"),
        back("13:00:00", "wx1", no(1), 9, no(17), "SUCCESS"),
    ];
    let output = books.reconcile("wechat", &wechat(&rows), &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_snapshot!(said(&output), @"
    DIFFERS   payment_only_there payment …000000000003 transaction wx3 there 30.00 here - line 4: here it is closed
    DIFFERS   payment_only_there payment …000000000009 transaction wx9 there 90.00 here - line 7: there is no such payment here
    DIFFERS   paid_twice         payment …000000000001 transaction wx1-again there 100.00 here 100.00 line 3: booked is transaction wx1
    DIFFERS   refund_only_there  payment …000000000001 transaction wx1 refund by-hand there 8.00 here - line 14: done there, and no such refund here
    DIFFERS   refunded_twice     payment …000000000001 transaction wx1 refund …000000000011-2 there 1.00 here 1.00 line 10
    DIFFERS   amount_differs     payment …000000000004 transaction wx4 there 41.00 here 40.00 line 5
    DIFFERS   amount_differs     payment …000000000001 transaction wx1 refund …000000000016 there 7.00 here 6.00 line 13
    DIFFERS   payment_only_here  payment …000000000002 transaction wx2 there - here 20.00: booked as paid_late
    DIFFERS   payment_only_here  payment …000000000006 transaction wx6 there - here 60.00: booked as paid_duplicate
    DIFFERS   refund_only_here   payment …000000000001 transaction wx1 refund …000000000012 there - here 2.00: booked as succeeded
    DIFFERS   state_differs      payment …000000000001 transaction wx1 refund …000000000013 there 3.00 here 3.00 line 11: there it is done, here submitted
    DIFFERS   state_differs      payment …000000000001 transaction wx1 refund …000000000017 there 9.00 here 9.00 line 15: there it is done, here failed
    note      other_day          payment …000000000005 transaction wx5 there 50.00 here 50.00 line 6: booked at 2026-11-22 00:00:01
    note      refund_open        payment …000000000001 transaction wx1 refund …000000000014 there - here 4.00: booked as due
    not ours  not_ours           payment POS-7 transaction wx99 there 9.00 here - line 8
    total     payments           there 7 of 420.00, here 4 of 220.00
    total     refunds            there 7 of 34.00, here 3 of 9.00
    reconcile: 12 differences, 2 notes, 1 not ours
    ");

    let output = books.reconcile("wechat", &wechat(&rows), &["--json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let lines = said(&books.reconcile("wechat", &wechat(&rows), &[])).matches("DIFFERS").count();
    assert_eq!((&told["gateway"], told["differences"].as_u64()), (&"wechat".into(), u64::try_from(lines).ok()));
    let first = &told["report"]["findings"][0];
    assert_eq!(
        (&first["kind"], &first["there"], &first["here"]),
        (&"payment_only_there".into(), &"30.00".into(), &Value::Null)
    );
}

#[actix_web::test]
async fn what_agrees_is_told_by_its_totals() {
    let books = Books::open().await;
    books.pay(1, "alipay", 1, 100, "paid", Some(("ali1", "2026-11-21T04:30:00Z")));
    books.pay(1, "alipay", 2, 20, "paid_late", Some(("ali2", "2026-11-21T16:00:01Z")));
    books.refund(11, 1, "succeeded");
    books.refund(12, 2, "succeeded");
    books.by_hand(12);
    let rows = [
        paid("12:30:00", "ali1", no(1), 100),
        paid("23:59:59", "ali2", no(2), 20),
        back("13:00:00", "ali1", no(1), 1, no(11), ""),
    ];
    let output = books.reconcile("alipay", &alipay(&rows), &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_snapshot!(said(&output), @"
    note      other_day          payment …000000000002 transaction ali2 there 20.00 here 20.00 line 5: booked at 2026-11-22 00:00:01
    note      refund_open        payment …000000000001 transaction ali1 refund …000000000012 there - here 2.00: booked as failed
    total     payments           there 2 of 120.00, here 1 of 100.00
    total     refunds            there 1 of 1.00, here 1 of 1.00
    reconcile: 0 differences, 2 notes, 0 not ours
    ");
    let output = books.reconcile("wechat", &wechat(&[]), &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_snapshot!(said(&output), @"
    total     payments           there 0 of 0.00, here 0 of 0.00
    total     refunds            there 0 of 0.00, here 0 of 0.00
    reconcile: 0 differences, 0 notes, 0 not ours
    ");
}

/// The number of a refund that was asked for under a key is made otherwise than one that a cancellation owes.
#[actix_web::test]
async fn refunds_of_each_origin_are_known_by_their_numbers() {
    let app = TestApp::start();
    let (alice, owner) = (app.customer("alice").await, app.staff("owner").await);
    let one = attempt(&alice, "one").await;
    press(&app, &one.number, "pay").await;
    until(&app, &state(&one), "pending_accept").await;
    owner.post(&format!("/orders/{}/accept", one.order), &json!({})).await;
    let part = json!({ "reason": "bad_quality", "amount": "3.00" });
    assert_eq!(owner.post(&format!("/orders/{}/refunds", one.order), &part).await.status, 200);
    assert_eq!(owner.post(&format!("/orders/{}/cancel", one.order), &json!({ "reason": "closing" })).await.status, 200);
    let_refunds_end(&app).await;
    let shown = owner.get(&format!("/orders/{}", one.order)).await.json();
    let transaction = shown["payments"][0]["transaction"].as_str().unwrap();
    let mut rows = vec![paid("12:00:00", transaction, one.number.clone(), 20)];
    for refund in shown["refunds"].as_array().unwrap() {
        let yuan = if refund["amount"] == "3.00" { 3 } else { 17 };
        let number = refund["number"].as_str().unwrap().to_owned();
        rows.push(back("12:05:00", transaction, one.number.clone(), yuan, number, ""));
    }
    // There are no bills of the sandbox's.
    app.execute("UPDATE payments SET gateway = 'alipay'; UPDATE gateway_notices SET gateway = 'alipay'");
    let books = Books { order: one.order, folder: Folder::new(), app };
    let output = books.reconcile("alipay", &alipay(&rows), &[]);
    assert_snapshot!(said(&output), @"
    total     payments           there 1 of 20.00, here 1 of 20.00
    total     refunds            there 2 of 20.00, here 2 of 20.00
    reconcile: 0 differences, 0 notes, 0 not ours
    ");
}

#[actix_web::test]
async fn what_cannot_be_run_is_said_in_a_sentence() {
    let books = Books::open().await;
    let bill = alipay(&[paid("12:30:00", "ali1", no(1), 100)]);
    let cut = String::from_utf8(bill.clone()).unwrap().find("#交易合计").unwrap();
    let another = String::from_utf8(bill.clone())
        .unwrap()
        .replace("2026-11-21", "2026-11-20")
        .replace("2026年11月21日", "2026年11月20日");
    let cases: &[(&str, &[u8], &[&str], &str)] = &[
        ("alipay", &bill[..cut], &[], "bill.csv: it ends before its 交易合计: it was not downloaded whole"),
        ("alipay", another.as_bytes(), &[], "bill.csv: it is of the time from 2026-11-20"),
        ("alipay", b"PK\x03\x04", &[], "bill.csv: it is a zip archive: unzip it"),
        ("wechat", &bill, &[], "bill.csv: it has no column 交易时间"),
        ("cash", &bill, &[], "bill.csv: cash has no bills"),
        ("alipay", &bill, &["--bill-before", "none.csv"], "cannot read none.csv: "),
        ("alipay", &bill, &["--bill-before", "bill.csv"], "bill.csv: it is of the time from 2026-11-21"),
        ("gold", &bill, &[], "invalid value 'gold' for '--gateway <NAME>'"),
    ];
    for (gateway, bill, more, expected) in cases {
        let output = books.reconcile(gateway, bill, more);
        let text = String::from_utf8(output.stderr.clone()).unwrap();
        assert!(output.status.code() == Some(2) && text.contains(expected), "{expected}: {text}");
    }
    let variables = [("DATABASE_URL", books.app.database.url.as_str()), ("ROWLOCK_AUTH_TOKEN_SECRET", SECRET)];
    fs::write(books.folder.0.join("bill.csv"), &bill).unwrap();
    let arguments =
        ["reconcile", "--date", "2026-11-21", "--merchant", "9", "--gateway", "alipay", "--bill", "bill.csv"];
    let output = run(&books.folder.0, &arguments, &variables);
    assert!(
        output.status.code() == Some(2) && String::from_utf8_lossy(&output.stderr).contains("there is no merchant 9")
    );
}
