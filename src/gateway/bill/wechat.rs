//! WeChat Pay's trade bill (交易账单) of the type ALL.
//!
//! UTF-8 with a byte order mark; a head, a line for each payment and refund, the head of the totals, the totals. Values are
//! parted by commas, and each begins with a backtick so that spreadsheets leave it alone; heads have none. Amounts are yuan.
//! A refund's line has the time it was taken on, and zero for the amount of the order.
//!
//! The format: <https://pay.weixin.qq.com/docs/merchant/products/bill-download/format-trade.html>

use rust_decimal::Decimal;

use super::{Bill, BillKind, BillRow, BillState, Columns, amount, check_total, number, sum, time};
use crate::domain::money::Money;

/// A column of amounts, and the totals it may have. Old accounts get the last two columns under these names instead of the others.
const TOTALS: &[(&str, &[&str])] = &[
    ("订单金额", &["订单总金额"]),
    ("申请退款金额", &["申请退款总金额"]),
    ("应结订单金额", &["应结订单总金额"]),
    ("退款金额", &["退款总金额", "总退款金额"]),
    ("总金额", &["总交易额"]),
];

/// What begins the head of the totals.
const TOTALS_HEAD: &str = "总交易单数";

pub(super) fn read(bytes: &[u8]) -> Result<Bill, String> {
    let text =
        std::str::from_utf8(bytes).map_err(|error| format!("it is not UTF-8 after byte {}", error.valid_up_to()))?;
    let text = text.trim_start_matches('\u{feff}');
    let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let (_, head) = lines.next().ok_or("it is empty")?;
    let sheet = Sheet::of(Columns(names(head)))?;
    let mut rows = Vec::new();
    let mut values = Vec::new();
    for (line, text) in lines.by_ref() {
        if names(text).first().is_some_and(|first| first == TOTALS_HEAD) {
            let told = lines.next().map(|(line, told)| (line, fields(told)));
            let (line, told) = told.ok_or("it ends before its totals: it was not downloaded whole")?;
            if lines.next().is_some() {
                return Err(format!("line {line}: something follows the totals"));
            }
            sheet.check(&Columns(names(text)), &told, &values).map_err(|error| format!("line {line}: {error}"))?;
            return Ok(Bill { rows, days: None });
        }
        let found = fields(text);
        rows.push(sheet.row(line, &found).map_err(|error| format!("line {line}: {error}"))?);
        values.push(found);
    }
    Err("it ends before its totals: it was not downloaded whole".to_owned())
}

/// The names in a head. Some old files have backticks there, too.
fn names(line: &str) -> Vec<String> {
    line.split(',').map(|name| name.trim().trim_start_matches('`').to_owned()).collect()
}

/// The values of a line. What does not begin with a backtick is the rest of the value before it, which has a comma in it.
fn fields(line: &str) -> Vec<String> {
    let mut fields: Vec<String> = Vec::new();
    for piece in line.trim_end().split(',') {
        let value = piece.strip_prefix('`').or_else(|| piece.strip_prefix("\"`"));
        match (value, fields.last_mut()) {
            (Some(value), _) => fields.push(value.to_owned()),
            (None, Some(before)) => {
                before.push(',');
                before.push_str(piece);
            }
            (None, None) => fields.push(piece.to_owned()),
        }
    }
    fields
}

/// Where the columns are that matter here.
struct Sheet {
    columns: Columns,
    at: usize,
    transaction: usize,
    payment: usize,
    state: usize,
    amount: usize,
    refund: usize,
    refund_transaction: usize,
    refund_amount: usize,
    refund_state: usize,
    currency: Option<usize>,
}

impl Sheet {
    fn of(columns: Columns) -> Result<Self, String> {
        Ok(Self {
            at: columns.need(&["交易时间"])?,
            transaction: columns.need(&["微信订单号"])?,
            payment: columns.need(&["商户订单号"])?,
            state: columns.need(&["交易状态"])?,
            // What the API calls `amount.total` and `amount.refund`: before coupons are taken off.
            amount: columns.need(&["订单金额", "总金额"])?,
            refund: columns.need(&["商户退款单号"])?,
            refund_transaction: columns.need(&["微信退款单号"])?,
            refund_amount: columns.need(&["申请退款金额", "退款金额"])?,
            refund_state: columns.need(&["退款状态"])?,
            currency: columns.find("货币种类"),
            columns,
        })
    }

    fn row(&self, line: u64, values: &[String]) -> Result<BillRow, String> {
        if values.len() != self.columns.0.len() {
            return Err(format!("it has {} values, and the head {}", values.len(), self.columns.0.len()));
        }
        let value = |column: usize| values[column].trim();
        if let Some(currency) = self.currency.map(value).filter(|currency| *currency != "CNY") {
            return Err(format!("{currency:?} is another currency than CNY"));
        }
        // A payment's numbers of a refund are 0; so are those of what was revoked.
        let optional = |column| Some(value(column)).filter(|text| !["", "0"].contains(text)).map(number).transpose();
        let (kind, printed, state) = match value(self.state) {
            "SUCCESS" => (BillKind::Payment, self.amount, BillState::Done),
            "REFUND" => (BillKind::Refund, self.refund_amount, refund_state(value(self.refund_state))?),
            "REVOKED" => (BillKind::Refund, self.refund_amount, BillState::Done),
            other => return Err(format!("{other:?} is no state of a line")),
        };
        let refund = optional(self.refund)?;
        if value(self.state) == "REFUND" && refund.is_none() {
            return Err("a refund without a number".to_owned());
        }
        Ok(BillRow {
            line,
            kind,
            transaction: number(value(self.transaction))?,
            payment: number(value(self.payment))?,
            refund: refund.filter(|_| kind == BillKind::Refund),
            refund_transaction: optional(self.refund_transaction)?.filter(|_| kind == BillKind::Refund),
            amount: Money::new(amount(value(printed))?).map_err(|error| error.to_string())?,
            at: time(&value(self.at).split_whitespace().collect::<Vec<_>>().join(" "))?,
            state,
        })
    }

    /// Holds the totals against the lines.
    fn check(&self, heads: &Columns, told: &[String], lines: &[Vec<String>]) -> Result<(), String> {
        if heads.0.len() != told.len() {
            return Err(format!("it has {} totals, and their head {}", told.len(), heads.0.len()));
        }
        let count = told.first().map_or("", |count| count.trim());
        if count.parse() != Ok(lines.len()) {
            return Err(format!("{TOTALS_HEAD} is {count}, and there are {} lines", lines.len()));
        }
        let mut checked = Vec::new();
        for (column, totals) in TOTALS {
            let (Some(column), Some(total)) =
                (self.columns.find(column), totals.iter().find_map(|name| heads.find(name)))
            else {
                continue;
            };
            let found: Vec<Decimal> = lines.iter().map(|line| amount(line[column].trim())).collect::<Result<_, _>>()?;
            check_total(&heads.0[total], amount(told[total].trim())?, sum(found.into_iter()))?;
            checked.push(column);
        }
        if checked.contains(&self.amount) && checked.contains(&self.refund_amount) {
            return Ok(());
        }
        Err("there is no total of the payments or none of the refunds".to_owned())
    }
}

/// 退款状态: success, being done, closed by WeChat, and refused by the customer's bank so that the merchant has to see to it.
fn refund_state(text: &str) -> Result<BillState, String> {
    match text {
        "SUCCESS" => Ok(BillState::Done),
        "PROCESSING" => Ok(BillState::Processing),
        "FAIL" | "CLOSED" => Ok(BillState::Failed),
        "CHANGE" | "ABNORMAL" => Ok(BillState::Abnormal),
        other => Err(format!("{other:?} is no state of a refund")),
    }
}
