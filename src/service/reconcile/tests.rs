//! Bills and books that differ in one thing each.

use chrono::TimeDelta;
use uuid::Uuid;

use super::*;
use crate::domain::OrderId;
use crate::domain::payment::PaymentState;

fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(0x0193_476f_4c00_7000_8000_0000_0000_0000 | number)
}

fn day() -> ProviderDay {
    ProviderDay::of("2026-11-20".parse().expect("a date")).expect("a day")
}

/// So many seconds after the day begins.
fn at(seconds: i64) -> DateTime<Utc> {
    day().from + TimeDelta::seconds(seconds)
}

fn yuan(amount: u64) -> Money {
    Money::from_fen(amount * 100)
}

fn paid(number: u128, amount: u64) -> BillRow {
    BillRow {
        line: 2,
        kind: BillKind::Payment,
        transaction: format!("t{number}"),
        payment: PaymentNumber(PaymentId(uuid(number))).to_string(),
        refund: None,
        refund_transaction: None,
        amount: yuan(amount),
        at: at(100),
        state: BillState::Done,
    }
}

/// A refund of payment 1.
fn sent_back(number: u128, amount: u64, state: BillState) -> BillRow {
    let refund = RefundNumber { refund: RefundId(uuid(number)), round: 1 };
    BillRow { kind: BillKind::Refund, refund: Some(refund.to_string()), state, ..paid(1, amount) }
}

fn payment(number: u128, amount: u64) -> BookedPayment {
    BookedPayment {
        id: PaymentId(uuid(number)),
        order: OrderId(uuid(0)),
        state: PaymentState::Paid,
        amount: yuan(amount),
        transaction: Some(format!("t{number}")),
        begun_at: at(50),
        settled_at: Some(at(101)),
    }
}

/// A refund of payment 1.
fn refund(number: u128, amount: u64, state: RefundState) -> BookedRefund {
    BookedRefund {
        id: RefundId(uuid(number)),
        round: 1,
        payment: PaymentId(uuid(1)),
        transaction: Some("t1".to_owned()),
        state,
        amount: yuan(amount),
        begun_at: at(150),
        settled_at: (state == RefundState::Succeeded).then(|| at(151)),
    }
}

fn bill(rows: &[BillRow]) -> Bill {
    Bill { rows: rows.to_vec(), days: None }
}

fn found(rows: &[BillRow], before: Option<&Bill>, payments: &[BookedPayment], refunds: &[BookedRefund]) -> Vec<Kind> {
    let booked = Booked { payments: payments.to_vec(), refunds: refunds.to_vec() };
    let report = compare(day(), &bill(rows), before, &booked);
    report.findings.iter().map(|finding| finding.kind).collect()
}

#[test]
fn payments_differ_in_these_ways() {
    use Kind::{
        AmountDiffers, NotOurs, OtherDay, OwnerDiffers, PaidTwice, PaymentOnlyHere, PaymentOnlyThere, SecondPayment,
    };
    let closed = BookedPayment { state: PaymentState::Closed, transaction: None, settled_at: None, ..payment(1, 10) };
    let duplicate =
        BookedPayment { state: PaymentState::PaidDuplicate, transaction: Some("t9".into()), ..payment(2, 10) };
    let second = BillRow { transaction: "t9".to_owned(), ..paid(1, 10) };
    let strange = |number: &str| BillRow { payment: number.to_owned(), ..paid(7, 10) };
    let others = BookedPayment { order: OrderId(uuid(5)), transaction: Some("t1".into()), ..payment(3, 10) };
    let unpaid = BookedPayment { transaction: None, ..closed.clone() };
    let tomorrow = BookedPayment { settled_at: Some(at(86_401)), ..payment(1, 10) };
    let cases: &[(&[BillRow], &[BookedPayment], &[Kind])] = &[
        (&[], &[], &[]),
        (&[paid(1, 10)], &[payment(1, 10)], &[]),
        (&[paid(1, 10)], &[], &[PaymentOnlyThere]),
        (&[paid(1, 10)], &[closed], &[PaymentOnlyThere]),
        (&[], &[payment(1, 10)], &[PaymentOnlyHere]),
        (&[paid(1, 10)], &[payment(1, 11)], &[AmountDiffers]),
        (&[paid(1, 10), paid(1, 10)], &[payment(1, 10)], &[PaidTwice]),
        (&[paid(1, 10), second.clone()], &[payment(1, 10)], &[PaidTwice]),
        (std::slice::from_ref(&second), &[payment(1, 10)], &[PaidTwice, PaymentOnlyHere]),
        (&[paid(1, 10), second.clone()], &[payment(1, 10), duplicate], &[SecondPayment]),
        (&[strange("POS-7")], &[], &[NotOurs]),
        // Of the length of ours, and of another version: somebody else's.
        (&[strange("f47ac10b58cc4372a5670e02b2c3d479")], &[], &[NotOurs]),
        (&[strange("0193476F4C0070008000000000000001")], &[], &[NotOurs]),
        (&[paid(1, 10)], &[others, unpaid], &[OwnerDiffers]),
        (&[paid(1, 10)], std::slice::from_ref(&tomorrow), &[OtherDay]),
        (&[], std::slice::from_ref(&tomorrow), &[]),
    ];
    for (number, (rows, payments, kinds)) in cases.iter().enumerate() {
        assert_eq!(found(rows, None, payments, &[]), *kinds, "case {number}");
    }
}

/// What is booked after midnight may be of the day before, unless its order was placed after midnight, too.
#[test]
fn midnight_makes_no_differences() {
    let late = BookedPayment { begun_at: at(-300), settled_at: Some(at(1)), ..payment(1, 10) };
    let early = BookedPayment { begun_at: at(0), ..late.clone() };
    let before = bill(&[BillRow { at: at(-1), ..paid(1, 10) }]);
    let kinds = |before, payment: &BookedPayment| found(&[], before, std::slice::from_ref(payment), &[]);
    assert_eq!(kinds(None, &late), [Kind::MaybeDayBefore]);
    assert_eq!(kinds(None, &early), [Kind::PaymentOnlyHere]);
    assert_eq!(kinds(Some(&before), &late), [Kind::OtherDay]);
    let empty = bill(&[]);
    assert_eq!(kinds(Some(&empty), &late), [Kind::PaymentOnlyHere], "it is in neither");
    let another = bill(&[paid(9, 10)]);
    assert_eq!(kinds(Some(&another), &late), [Kind::PaymentOnlyHere], "another one is no witness");

    let late = BookedRefund { begun_at: at(-300), ..refund(2, 5, RefundState::Succeeded) };
    let kinds = |before| found(&[paid(1, 10)], before, &[payment(1, 10)], std::slice::from_ref(&late));
    let row = |state| bill(&[BillRow { at: at(-1), ..sent_back(2, 5, state) }]);
    assert_eq!(kinds(None), [Kind::MaybeDayBefore]);
    let (processing, failed) = (row(BillState::Processing), row(BillState::Failed));
    assert_eq!(kinds(Some(&processing)), [Kind::OtherDay]);
    assert_eq!(kinds(Some(&failed)), [Kind::RefundOnlyHere]);
}

#[test]
fn refunds_differ_in_these_ways() {
    use BillState::{Abnormal, Done, Failed, Processing};
    use Kind::{
        AmountDiffers, NotOurs, OtherDay, OwnerDiffers, RefundOnlyHere, RefundOnlyThere, RefundOpen, RefundedTwice,
        StateDiffers,
    };
    let again = BillRow {
        refund: Some(RefundNumber { refund: RefundId(uuid(2)), round: 2 }.to_string()),
        ..sent_back(2, 5, Done)
    };
    let by_hand = BillRow { refund: None, ..sent_back(2, 5, Done) };
    let other_payment = BillRow { transaction: "t3".to_owned(), ..sent_back(2, 5, Done) };
    let strange = BillRow {
        payment: "POS-7".into(),
        transaction: "t7".into(),
        refund: Some("R-7".into()),
        ..sent_back(2, 5, Done)
    };
    let tomorrow = BookedRefund { settled_at: Some(at(86_401)), ..refund(2, 5, RefundState::Succeeded) };
    let old = BookedRefund { begun_at: at(-90_000), ..refund(2, 5, RefundState::Due) };
    let ours = |state| vec![refund(2, 5, state)];
    let done = || ours(RefundState::Succeeded);
    let cases: &[(&[BillRow], Vec<BookedRefund>, &[Kind])] = &[
        (&[sent_back(2, 5, Done)], done(), &[]),
        (&[sent_back(2, 5, Processing)], done(), &[]),
        (&[sent_back(2, 5, Processing)], ours(RefundState::Submitted), &[]),
        (&[sent_back(2, 5, Processing)], ours(RefundState::Due), &[StateDiffers]),
        (&[sent_back(2, 5, Done)], ours(RefundState::Submitted), &[StateDiffers]),
        (&[sent_back(2, 5, Done)], ours(RefundState::Due), &[StateDiffers]),
        (&[sent_back(2, 5, Abnormal)], ours(RefundState::Abnormal), &[]),
        (&[sent_back(2, 5, Abnormal)], ours(RefundState::Submitted), &[StateDiffers]),
        (&[sent_back(2, 5, Abnormal)], ours(RefundState::Failed), &[]),
        (&[sent_back(2, 5, Failed)], ours(RefundState::Failed), &[]),
        (&[sent_back(2, 5, Failed)], done(), &[RefundOnlyHere]),
        (&[sent_back(2, 5, Failed), again.clone()], done(), &[]),
        (&[sent_back(2, 5, Done), again], done(), &[RefundedTwice]),
        (&[sent_back(2, 6, Done)], done(), &[AmountDiffers]),
        (&[other_payment], done(), &[OwnerDiffers]),
        (std::slice::from_ref(&by_hand), vec![], &[RefundOnlyThere]),
        (std::slice::from_ref(&by_hand), done(), &[RefundOnlyThere, RefundOnlyHere]),
        (&[sent_back(2, 5, Failed)], vec![], &[RefundOnlyThere]),
        // Its payment, its number or its transaction says that it is ours.
        (&[BillRow { payment: paid(1, 10).payment, ..strange.clone() }], vec![], &[RefundOnlyThere]),
        (&[BillRow { refund: sent_back(2, 5, Done).refund, ..strange.clone() }], vec![], &[RefundOnlyThere]),
        (&[BillRow { transaction: "t1".to_owned(), ..strange.clone() }], vec![], &[RefundOnlyThere]),
        (&[strange], vec![], &[NotOurs]),
        (&[], done(), &[RefundOnlyHere]),
        (&[], ours(RefundState::Submitted), &[RefundOpen]),
        (&[], vec![old], &[]),
        (&[sent_back(2, 5, Done)], vec![tomorrow], &[OtherDay]),
    ];
    for (number, (rows, refunds, kinds)) in cases.iter().enumerate() {
        let rows = [&[paid(1, 10)], *rows].concat();
        assert_eq!(found(&rows, None, &[payment(1, 10)], refunds), *kinds, "case {number}");
    }
}

#[test]
fn totals_are_of_the_day() {
    let tomorrow = BookedPayment { settled_at: Some(at(86_400)), ..payment(3, 7) };
    let booked = Booked {
        payments: vec![payment(1, 10), payment(2, 20), tomorrow],
        refunds: vec![refund(4, 5, RefundState::Succeeded), refund(5, 1, RefundState::Due)],
    };
    let rows = [paid(1, 10), paid(3, 7), sent_back(4, 5, BillState::Done), sent_back(6, 1, BillState::Failed)];
    let report = compare(day(), &bill(&rows), None, &booked);
    let shown = |total: Total| format!("{} {}", total.count, total.amount);
    assert_eq!([report.payments_there, report.payments_here].map(shown), ["2 17.00", "2 30.00"]);
    assert_eq!([report.refunds_there, report.refunds_here].map(shown), ["1 5.00", "1 5.00"]);
    assert_eq!(report.differences(), 2, "payment 2 and refund 6");
}

#[test]
fn another_days_bill_is_none() {
    assert_eq!(
        (day().from.to_rfc3339(), day().until - day().from),
        ("2026-11-19T16:00:00+00:00".to_owned(), TimeDelta::days(1))
    );
    let of = |seconds| bill(&[BillRow { at: at(seconds), ..paid(1, 10) }]);
    assert!(day().check(&of(0)).is_ok() && day().check(&of(86_399)).is_ok() && day().check(&bill(&[])).is_ok());
    for seconds in [-1, 86_400] {
        assert!(day().check(&of(seconds)).is_err(), "{seconds}");
    }
    let date = |text: &str| text.parse::<NaiveDate>().expect("a date");
    let says = |first, last| day().check(&Bill { days: Some((date(first), date(last))), rows: vec![] }).is_ok();
    assert!(says("2026-11-20", "2026-11-21") && !says("2026-11-01", "2026-12-01") && !says("2026-11-19", "2026-11-20"));
    assert!(ProviderDay::of(NaiveDate::MAX).is_none() && ProviderDay::of(NaiveDate::MIN).is_none());
}
