//! Alipay's details of business (业务明细), the bill of the type `trade`.
//!
//! A zip has two files; the one of details is read here. It is GBK: lines that begin with `#` say whose it is and of which days,
//! then come a head, a line for each payment (交易) and refund (退款), and again lines with `#` that end the list and tell the
//! totals of what the merchant received (商家实收). Values are padded with tabs; the amounts of a refund are negative. Heads say
//! the unit, 订单金额（元）. A refund's number is what it was asked for under, `out_request_no`, as 退款批次号/请求号.
//!
//! The format: <https://opendocs.alipay.com/open/204/106262>, and the bill that its download link leads to.

use std::borrow::Cow;

use chrono::NaiveDate;
use csv::{ReaderBuilder, StringRecord};
use encoding_rs::GBK;
use rust_decimal::Decimal;

use super::{Bill, BillKind, BillRow, BillState, Columns, amount, check_total, number, sum, time};
use crate::domain::money::Money;

pub(super) fn read(bytes: &[u8]) -> Result<Bill, String> {
    let text = decode(bytes)?;
    let text = text.trim_start_matches('\u{feff}');
    // What is no comment, and where it stands.
    let (places, lines): (Vec<u64>, Vec<&str>) =
        (1..).zip(text.lines()).filter(|(_, line)| !line.starts_with('#') && !line.trim().is_empty()).unzip();
    let lines = lines.join("\n");
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(lines.as_bytes());
    let mut records = reader.records().map(|record| record.map_err(|error| error.to_string()));
    let head = records.next().ok_or("it has no head: it is empty, or not a bill")??;
    let sheet = Sheet::of(Columns(head.iter().map(column_name).collect()))?;
    let (mut rows, mut received) = (Vec::new(), Vec::new());
    for record in records {
        let record = record?;
        let nth = record.position().map_or(0, csv::Position::line).saturating_sub(1);
        let line = usize::try_from(nth).ok().and_then(|nth| places.get(nth)).copied().unwrap_or_default();
        let (row, net) = sheet.row(line, &record).map_err(|error| format!("line {line}: {error}"))?;
        received.push((row.kind, net));
        rows.push(row);
    }
    check_totals(text, &received)?;
    Ok(Bill { rows, days: days(text) })
}

/// The file is GBK; whoever has opened it may have saved it as UTF-8. No head of this bill is both.
fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, String> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Cow::Borrowed(text)),
        Err(_) => GBK
            .decode_without_bom_handling_and_without_replacement(bytes)
            .ok_or_else(|| "it is neither GBK nor UTF-8".to_owned()),
    }
}

/// `订单金额（元）` → `订单金额`.
fn column_name(text: &str) -> String {
    let name = text.trim();
    name.strip_suffix("（元）").or_else(|| name.strip_suffix("(元)")).unwrap_or(name).to_owned()
}

/// Where the columns are that matter here.
struct Sheet {
    columns: Columns,
    transaction: usize,
    payment: usize,
    kind: usize,
    at: usize,
    amount: usize,
    received: usize,
    refund: usize,
}

impl Sheet {
    fn of(columns: Columns) -> Result<Self, String> {
        Ok(Self {
            transaction: columns.need(&["支付宝交易号"])?,
            payment: columns.need(&["商户订单号"])?,
            kind: columns.need(&["业务类型"])?,
            at: columns.need(&["完成时间"])?,
            // What the API calls `total_amount` and `refund_amount`: before the merchant's own discounts are taken off.
            amount: columns.need(&["订单金额"])?,
            received: columns.need(&["商家实收"])?,
            refund: columns.need(&["退款批次号/请求号", "退款批次号"])?,
            columns,
        })
    }

    /// A line, and what the merchant received by it, with its sign.
    fn row(&self, line: u64, record: &StringRecord) -> Result<(BillRow, Decimal), String> {
        if record.len() != self.columns.0.len() {
            return Err(format!("it has {} values, and the head {}", record.len(), self.columns.0.len()));
        }
        let value = |column: usize| record.get(column).unwrap_or_default().trim();
        let (printed, received) = (amount(value(self.amount))?, amount(value(self.received))?);
        let (kind, unsigned) = match value(self.kind) {
            "交易" => (BillKind::Payment, printed),
            "退款" => (BillKind::Refund, -printed),
            other => return Err(format!("{other:?} is no kind of a line")),
        };
        let refund = Some(value(self.refund)).filter(|text| kind == BillKind::Refund && !text.is_empty());
        let row = BillRow {
            line,
            kind,
            transaction: number(value(self.transaction))?,
            payment: number(value(self.payment))?,
            refund: refund.map(number).transpose()?,
            refund_transaction: None,
            amount: Money::new(unsigned)
                .map_err(|_| format!("{printed} has the wrong sign for a line of {}", value(self.kind)))?,
            at: time(value(self.at))?,
            state: BillState::Done,
        };
        Ok((row, received))
    }
}

/// Holds `#交易合计：2笔，商家实收共20.00元，…` and `#退款合计：1笔，商家实收退款共-5.00元，…` against the lines.
fn check_totals(text: &str, received: &[(BillKind, Decimal)]) -> Result<(), String> {
    for (name, label, kind) in
        [("交易合计", "商家实收共", BillKind::Payment), ("退款合计", "商家实收退款共", BillKind::Refund)]
    {
        let (line, told) = (1..)
            .zip(text.lines())
            .find_map(|(number, line)| {
                let told = line.trim_start_matches('#').trim().strip_prefix(name)?;
                line.starts_with('#').then_some((number, told.trim_start_matches(['：', ':'])))
            })
            .ok_or_else(|| format!("it ends before its {name}: it was not downloaded whole"))?;
        let of_kind = || received.iter().filter(|(of, _)| *of == kind).map(|(_, amount)| *amount);
        let checked = || {
            let count = told.split('笔').next().unwrap_or_default().trim();
            if count.parse() != Ok(of_kind().count()) {
                return Err(format!("{name} is {count} lines, and there are {}", of_kind().count()));
            }
            let amounts = told.split_once(label).and_then(|(_, rest)| rest.split_once('元'));
            let (told, _) = amounts.ok_or_else(|| format!("{name} does not say {label}"))?;
            check_total(label, amount(told.trim())?, sum(of_kind()))
        };
        checked().map_err(|error| format!("line {line}: {error}"))?;
    }
    Ok(())
}

/// The days of `#起始日期：[2026年11月20日 00:00:00]   终止日期：[2026年11月21日 00:00:00]`.
fn days(text: &str) -> Option<(NaiveDate, NaiveDate)> {
    let line = text.lines().find(|line| line.starts_with("#起始日期"))?;
    let mut days = line.split('[').skip(1).map(|part| {
        let day = part.split([' ', ']']).next()?;
        NaiveDate::parse_from_str(day, "%Y年%m月%d日").ok()
    });
    Some((days.next()??, days.next()??))
}
