//! Sheets of the menu as they travel: CSV, whose first row names the columns, in any order.
//!
//! Contract: pure. What is read is what was written; whatever else comes is taken or refused by the cell, and never panics.

use std::borrow::Cow;
use std::collections::HashMap;

use csv::StringRecord;
use encoding_rs::GBK;

use super::table::{Table, cell, text};
use crate::domain::menu::sheet::{Column, FAULTS_MAX, Fault, Row, Why};
use crate::domain::menu::{PRICE_FEN_MAX, STOCK_MAX};
use crate::domain::money::Money;
use crate::domain::typed::NAME_CHARS_MAX;
use crate::domain::{GoodsId, LocalText};
use crate::error::Error;
use crate::http::extract::{line, web_address};

/// Rows in one sheet.
const ROWS_MAX: usize = 10_000;

/// Writes a sheet.
pub(super) fn write(rows: &[Row]) -> Result<Vec<u8>, Error> {
    const COLUMNS: usize = Column::ALL.len();
    let columns: [Column; COLUMNS] = std::array::from_fn(|at| Column::ALL[at]);
    let mut table = Table::new(columns.map(Column::name))?;
    for row in rows {
        table.push(columns.map(|column| cell(&row.cell(column))))?;
    }
    table.finish()
}

/// Reads a sheet. Rows that are empty are none.
///
/// # Errors
/// What is wrong with it, at most [`FAULTS_MAX`] of it.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Row>, Vec<Fault>> {
    let whole = |why| vec![Fault { row: 1, field: String::new(), why }];
    let sheet = decoded(bytes).ok_or_else(|| whole(Why::NoText))?;
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(sheet.as_bytes());
    // Text in memory, rows of any length: nothing is left that could fail.
    let mut records = reader.records().map_while(Result::ok);
    let columns = columns(&records.next().ok_or_else(|| whole(Why::NoHead))?)?;
    let (mut rows, mut faults) = (Vec::new(), Vec::new());
    for record in records.filter(|record| record.iter().any(|cell| !cell.trim().is_empty())) {
        let number = row_number(&record, &sheet);
        if rows.len() == ROWS_MAX {
            faults.push(Fault { row: number, field: String::new(), why: Why::TooManyRows { rows_max: ROWS_MAX } });
        }
        if faults.len() >= FAULTS_MAX || rows.len() == ROWS_MAX {
            break;
        }
        let mut cells = Cells { number, record: &record, columns: &columns, faults: &mut faults };
        rows.push(cells.row());
    }
    faults.truncate(FAULTS_MAX);
    if faults.is_empty() { Ok(rows) } else { Err(faults) }
}

/// UTF-8, or what Excel saves in China. GBK is hardly ever UTF-8 by chance, and what is neither has no columns by our names.
fn decoded(bytes: &[u8]) -> Option<Cow<'_, str>> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => GBK.decode_without_bom_handling_and_without_replacement(bytes)?,
    };
    (!text.contains('\0')).then_some(text)
}

/// The row of a record, as a spreadsheet counts it: lines that are empty are none to the reader, and rows to whoever looks at them.
fn row_number(record: &StringRecord, sheet: &str) -> usize {
    let position = record.position().expect("a record that was read has a position");
    let (line, byte) = (position.line() as usize, position.byte() as usize);
    let rest = sheet.get(byte..).unwrap_or_default();
    line + rest.chars().take_while(|c| ['\r', '\n'].contains(c)).filter(|c| *c == '\n').count()
}

/// Where each column stands.
fn columns(head: &StringRecord) -> Result<HashMap<Column, usize>, Vec<Fault>> {
    let mut columns = HashMap::new();
    let mut faults = Vec::new();
    for (at, name) in head.iter().enumerate() {
        let name = name.trim().to_ascii_lowercase();
        match name.parse::<Column>() {
            Ok(column) if columns.contains_key(&column) => faults.push(Fault::of(1, column, Why::ColumnTwice)),
            Ok(column) => {
                columns.insert(column, at);
            }
            // A spreadsheet may save columns that nobody sees.
            Err(_) if name.is_empty() => {}
            Err(_) => {
                let field = name.chars().take(NAME_CHARS_MAX).collect();
                faults.push(Fault { row: 1, field, why: Why::ColumnUnknown });
            }
        }
    }
    if columns.is_empty() {
        return Err(vec![Fault { row: 1, field: String::new(), why: Why::NoHead }]);
    }
    let missing = Column::ALL.iter().filter(|column| !columns.contains_key(column));
    faults.extend(missing.map(|column| Fault::of(1, *column, Why::ColumnMissing)));
    faults.truncate(FAULTS_MAX);
    if faults.is_empty() { Ok(columns) } else { Err(faults) }
}

/// The cells of one row. What is wrong with one is noted, and something else stands for it.
struct Cells<'a> {
    number: usize,
    record: &'a StringRecord,
    columns: &'a HashMap<Column, usize>,
    faults: &'a mut Vec<Fault>,
}

impl<'a> Cells<'a> {
    fn row(&mut self) -> Row {
        let last = self.columns.values().max().copied().unwrap_or_default();
        if self.record.iter().skip(last + 1).any(|cell| !cell.trim().is_empty()) {
            self.faults.push(Fault { row: self.number, field: String::new(), why: Why::TooManyCells });
        }
        let is_added = self.at(Column::GoodsId).is_empty();
        Row {
            number: self.number,
            goods_id: if is_added { None } else { Some(self.goods_id()) },
            category: self.name(Column::CategoryZh, Column::CategoryEn),
            product: self.name(Column::ProductZh, Column::ProductEn),
            image_url: self.image_url(),
            spec: self.name(Column::SpecZh, Column::SpecEn),
            price: self.price(),
            on_sale: self.on_sale(is_added),
            daily_stock: self.number(Column::DailyStock, 0),
            // The stock of goods that exist already is for information only, so it need not even be a number.
            stock: if is_added { self.number(Column::Stock, 0).unwrap_or_default() } else { 0 },
            stock_change: self.number(Column::StockChange, -STOCK_MAX).unwrap_or_default(),
        }
    }

    /// Spreadsheets leave out cells that are empty at the end of a row.
    fn at(&self, column: Column) -> &'a str {
        text(self.record.get(self.columns[&column]).unwrap_or_default().trim()).trim()
    }

    fn fault(&mut self, column: Column, why: Why) {
        self.faults.push(Fault::of(self.number, column, why));
    }

    fn goods_id(&mut self) -> GoodsId {
        let id = self.at(Column::GoodsId).parse();
        GoodsId(id.unwrap_or_else(|_| {
            self.fault(Column::GoodsId, Why::UnknownGoods);
            0
        }))
    }

    fn name(&mut self, zh: Column, en: Column) -> LocalText {
        let [zh, en] = [zh, en].map(|column| {
            line(column.name(), self.at(column), NAME_CHARS_MAX).unwrap_or_else(|_| {
                self.fault(column, Why::Name { chars_max: NAME_CHARS_MAX });
                String::new()
            })
        });
        LocalText { zh, en }
    }

    fn image_url(&mut self) -> Option<String> {
        let column = Column::ImageUrl;
        let url = Some(self.at(column)).filter(|url| !url.is_empty())?;
        let url = web_address(column.name(), url).ok();
        if url.is_none() {
            self.fault(column, Why::Address);
        }
        url
    }

    fn price(&mut self) -> Money {
        let price = self.at(Column::Price).parse().ok().filter(|price: &Money| price.fen() <= PRICE_FEN_MAX);
        price.unwrap_or_else(|| {
            self.fault(Column::Price, Why::Price);
            Money::ZERO
        })
    }

    fn on_sale(&mut self, is_added: bool) -> bool {
        match &*self.at(Column::OnSale).to_lowercase() {
            "true" | "yes" | "1" | "是" => true,
            "false" | "no" | "0" | "否" => false,
            // As where goods are added one by one.
            "" if is_added => true,
            _ => {
                self.fault(Column::OnSale, Why::YesOrNo);
                false
            }
        }
    }

    /// A whole number from `min` to the most stock there may be, if there is one.
    fn number(&mut self, column: Column, min: i32) -> Option<i32> {
        let typed = Some(self.at(column)).filter(|typed| !typed.is_empty())?;
        let number = typed.parse().ok().filter(|number| (min..=STOCK_MAX).contains(number));
        if number.is_none() {
            self.fault(column, Why::Number { min, max: STOCK_MAX });
        }
        number
    }
}

#[cfg(test)]
mod tests;
