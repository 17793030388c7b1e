//! Bills, whole and broken.

use chrono::NaiveDate;
use encoding_rs::GBK;
use proptest::prelude::*;

use super::{Bill, BillKind, BillState, read};
use crate::domain::order::PayMethod::{self, Alipay, Cash, Wechat};

const WECHAT: &[u8] = include_bytes!("../../../tests/vectors/bills/wechat.csv");
const ALIPAY: &[u8] = include_bytes!("../../../tests/vectors/bills/alipay.csv");

fn utf8(method: PayMethod) -> String {
    match method {
        Wechat => String::from_utf8(WECHAT.to_vec()).expect("UTF-8"),
        _ => GBK.decode(ALIPAY).0.into_owned(),
    }
}

/// A line a row: which way, numbers, amount, time, state.
fn shown(bill: &Bill) -> Vec<String> {
    let line = |row: &super::BillRow| {
        let (refund, theirs) = (row.refund.as_deref().unwrap_or("-"), row.refund_transaction.as_deref().unwrap_or("-"));
        let ends = |text: &str| text[text.len().saturating_sub(4)..].to_owned();
        format!(
            "{} {:?} {} {} {} {} {} {} {:?}",
            row.line,
            row.kind,
            ends(&row.transaction),
            ends(&row.payment),
            ends(refund),
            ends(theirs),
            row.amount,
            row.at.format("%dT%H:%M:%SZ"),
            row.state,
        )
    };
    bill.rows.iter().map(line).collect()
}

/// What becomes of a bill in which `from` stands as `to`.
fn changed(method: PayMethod, from: &str, to: &str) -> Result<Bill, String> {
    let text = utf8(method);
    assert!(text.contains(from), "{from}");
    let bytes = text.replacen(from, to, 1);
    let read_as_is = read(method, bytes.as_bytes());
    if method == Alipay {
        assert_eq!(read(method, &GBK.encode(&bytes).0), read_as_is, "in GBK as in UTF-8");
    }
    read_as_is
}

#[test]
fn wechat_is_read() {
    let bill = read(Wechat, WECHAT).expect("a bill");
    assert_eq!(
        shown(&bill),
        [
            "2 Payment 0001 0001 - - 10.00 20T04:00:00Z Done",
            "3 Payment 0002 0002 - - 20.00 20T15:59:59Z Done",
            "4 Refund 0001 0001 0003 0001 2.50 20T05:00:00Z Done",
            "5 Refund 0009 OS-7 - - 3.00 20T06:00:00Z Done",
        ]
    );
    assert_eq!(bill.days, None);
    assert_eq!(changed(Wechat, "\u{feff}", "").as_ref(), Ok(&bill), "without a byte order mark");
    assert_eq!(changed(Wechat, "饺子,大份 \"辣\"", "a,\"b").as_ref(), Ok(&bill), "whatever a name has in it");
    let quoted = changed(Wechat, "`饺子,大份 \"辣\"", "\"`饺子,大份\"");
    assert_eq!(quoted.as_ref(), Ok(&bill), "or around it");
    assert_eq!(changed(Wechat, "2026-11-20 12:00:00", "2026-11-20  12:00:00").as_ref(), Ok(&bill));
    for (printed, state) in
        [("PROCESSING", BillState::Processing), ("FAIL", BillState::Failed), ("CHANGE", BillState::Abnormal)]
    {
        let bill = changed(Wechat, "ORIGINAL,`SUCCESS", &format!("ORIGINAL,`{printed}")).expect("a bill");
        assert_eq!(bill.rows[2].state, state);
    }
}

#[test]
fn alipay_is_read() {
    let bill = read(Alipay, ALIPAY).expect("a bill");
    assert_eq!(
        shown(&bill),
        [
            "6 Payment 0001 0001 - - 10.00 20T04:00:00Z Done",
            "7 Payment 0002 0002 - - 20.00 20T15:59:59Z Done",
            "8 Refund 0001 0001 0003 - 2.50 20T05:00:00Z Done",
        ]
    );
    let day = |day| NaiveDate::from_ymd_opt(2026, 11, day).expect("a date");
    assert_eq!(bill.days, Some((day(20), day(21))));
    assert_eq!(read(Alipay, utf8(Alipay).as_bytes()).as_ref(), Ok(&bill), "in UTF-8");
    assert_eq!(changed(Alipay, "（元）", "(元)").as_ref(), Ok(&bill));
}

#[test]
fn columns_are_found_by_their_names() {
    for (method, first, second) in [(Wechat, 5, 6), (Alipay, 0, 1)] {
        let swap = |line: &str| {
            let mut values: Vec<&str> = line.split(',').collect();
            if values.len() > 20 {
                values.swap(first, second);
            }
            values.join(",")
        };
        let text = utf8(method);
        let (mark, text) = text.split_at(text.find(['交', '#']).expect("a beginning"));
        let swapped = format!("{mark}{}", text.lines().map(swap).collect::<Vec<_>>().join("\n"));
        assert_ne!(swapped, text);
        assert_eq!(
            read(method, swapped.as_bytes()).map(|bill| shown(&bill)),
            read(method, utf8(method).as_bytes()).map(|bill| shown(&bill))
        );
    }
}

#[test]
fn a_day_without_payments_has_a_bill_too() {
    let text = utf8(Wechat);
    let lines: Vec<&str> = text.lines().collect();
    let none = format!("{}\n{}\n`0,`0.00,`0.00,`0.00,`0.00000,`0.00,`0.00\n", lines[0], lines[5]);
    assert_eq!(read(Wechat, none.as_bytes()).expect("a bill").rows, []);
    let text = utf8(Alipay);
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("2026")).collect();
    let none = lines.join("\n").replace("2笔，商家实收共28.50", "0笔，商家实收共0.00");
    let none = none.replace("1笔，商家实收退款共-2.50", "0笔，商家实收退款共0.00");
    assert_eq!(read(Alipay, none.as_bytes()).expect("a bill").rows, []);
}

#[test]
fn old_wechat_bills_have_fewer_columns() {
    let old = "交易时间,公众账号ID,商户号,子商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,总金额,\
               代金券或立减优惠金额,微信退款单号,商户退款单号,退款金额,代金券或立减优惠退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率\n\
               `2026-11-20 16:33:45,`wx2421b1c4370ec43b,`10000100,`0,`1000,`1001690740201411100005734289,`1415640626,`085e,`MICROPAY,\
               `SUCCESS,`OTHERS,`CNY,`0.01,`0.0,`0,`0,`0,`0,`,`,`被扫支付测试,`订单额外描述,`0,`0.60%\n\
               总交易单数,总交易额,总退款金额,总代金券或立减优惠退款金额,手续费总金额\n`1,`0.01,`0.0,`0.0,`0";
    let bill = read(Wechat, old.as_bytes()).expect("a bill");
    assert_eq!(shown(&bill), ["2 Payment 4289 0626 - - 0.01 20T08:33:45Z Done"]);
    assert_eq!(bill.rows[0].kind, BillKind::Payment);
}

#[test]
fn what_is_broken_is_named() {
    let cases: &[(PayMethod, &str, &str, &str)] = &[
        (Wechat, "`28.50", "`28.49", "line 7: 应结订单总金额 is 28.49, and its lines add up to 28.50"),
        (Wechat, "`30.00,", "`30.01,", "line 7: 订单总金额 is 30.01, and its lines add up to 30.00"),
        (Wechat, "`4,`", "`5,`", "line 7: 总交易单数 is 5, and there are 4 lines"),
        (Wechat, "`20.00", "`20.001", "line 3: \"20.001\" is not an amount in yuan"),
        (Wechat, "`20.00", "`-20.00", "line 3: an amount is a decimal string"),
        (Wechat, "23:59:59", "24:59:59", "line 3: \"2026-11-20 24:59:59\" is not a time"),
        (Wechat, "REVOKED", "LOST", "line 5: \"LOST\" is no state of a line"),
        (Wechat, "ORIGINAL,`SUCCESS", "ORIGINAL,`", "line 4: \"\" is no state of a refund"),
        (Wechat, "CNY", "USD", "line 2: \"USD\" is another currency than CNY"),
        (Wechat, "`0193476f4c0070008000000000000003", "`0", "line 4: a refund without a number"),
        (
            Wechat,
            "`4200002120202611200000000002",
            "`4.20000212020261E+27",
            "line 3: \"4.20000212020261E+27\" was a number before",
        ),
        (Wechat, "`OTHERS", "OTHERS", "line 2: it has 26 values, and the head 27"),
        (Wechat, "微信退款单号,商户退款单号,", "", "it has no column 商户退款单号"),
        (Wechat, "`5.50\r\n", "`5.50\r\nmore", "line 7: something follows the totals"),
        (Wechat, ",订单总金额,申请退款总金额", "", "line 7: it has 7 totals, and their head 5"),
        (Alipay, "共28.50", "共28.51", "line 10: 商家实收共 is 28.51, and its lines add up to 28.50"),
        (Alipay, "共-2.50", "共2.50", "line 11: 商家实收退款共 is 2.50, and its lines add up to -2.50"),
        (Alipay, "2笔", "3笔", "line 10: 交易合计 is 3 lines, and there are 2"),
        (Alipay, "20.00,18.50", "20.00,", "line 7: \"\" is not an amount in yuan"),
        (Alipay, "20.00,18.50", "20.00", "line 7: it has 24 values, and the head 25"),
        (Alipay, "20.00,18.50", "-20.00,18.50", "line 7: -20.00 has the wrong sign for a line of 交易"),
        (Alipay, "-2.50,-2.50", "2.50,-2.50", "line 8: 2.50 has the wrong sign for a line of 退款"),
        (Alipay, "退款\t", "转账\t", "line 8: \"转账\" is no kind of a line"),
        (Alipay, "2026-11-20 13:00:00", "yesterday", "line 8: \"yesterday\" is not a time"),
        (Alipay, ",饺子,", ",\"饺子,", "line 7: it has "),
        (Alipay, "支付宝交易号", "账务流水号", "it has no column 支付宝交易号"),
        (Alipay, "#交易合计", "#", "it ends before its 交易合计: it was not downloaded whole"),
    ];
    for (method, from, to, expected) in cases {
        let error = changed(*method, from, to).expect_err(to);
        assert!(error.starts_with(expected), "{from} as {to}: {error}");
    }
    for (bytes, expected) in [
        (&b"PK\x03\x04..."[..], "it is a zip archive: unzip it"),
        (&b"\x1f\x8b..."[..], "it is compressed"),
        (&b""[..], "it"),
        (&b"\xff\xff\xff"[..], "it is "),
        (&br#"{"code":"NO_STATEMENT_EXIST","message":"..."}"#[..], "it has no column "),
    ] {
        for method in [Wechat, Alipay] {
            let error = read(method, bytes).expect_err("no bill");
            assert!(error.starts_with(expected), "{method}: {error}");
        }
    }
    assert_eq!(read(Cash, WECHAT), Err("cash has no bills".to_owned()));
}

/// A file that was cut off is no bill, wherever it was cut; only the last line's end and what tells no money may be missing.
#[test]
fn a_truncated_file_is_no_bill() {
    for (method, whole) in [(Wechat, WECHAT), (Alipay, ALIPAY)] {
        let bill = read(method, whole);
        for length in 0..whole.len() {
            let cut = read(method, &whole[..length]);
            assert!(cut.is_err() || cut == bill, "{method} cut after {length} bytes");
        }
        assert!(read(method, &whole[..whole.len() * 9 / 10 - 60]).is_err());
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = (read(Wechat, &bytes), read(Alipay, &bytes));
    }

    /// Bills with bytes changed: other lines, other columns, other characters, and mostly still a bill's shape.
    #[test]
    fn nor_do_bytes_in_a_bill(is_wechat in any::<bool>(), changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8)) {
        let (method, whole) = if is_wechat { (Wechat, WECHAT) } else { (Alipay, ALIPAY) };
        let mut bytes = whole.to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = read(method, &bytes);
    }
}
