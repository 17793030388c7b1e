//! Tables that a spreadsheet opens, and what comes back of them.
//!
//! UTF-8 with the mark that Excel knows Chinese by, lines that end with CR and LF. What people typed is data: a cell that a spreadsheet
//! would take for a formula begins with an apostrophe, and comes back without it.

use actix_web::HttpResponse;
use actix_web::http::header;

use crate::error::Error;

/// A table that is written.
pub(super) struct Table(csv::Writer<Vec<u8>>);

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Internal(format!("cannot write a table: {error}"))
}

impl Table {
    pub(super) fn new<const COLUMNS: usize>(head: [&str; COLUMNS]) -> Result<Self, Error> {
        let mark = "\u{feff}".as_bytes().to_vec();
        let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(mark);
        writer.write_record(head).map_err(failed)?;
        Ok(Self(writer))
    }

    pub(super) fn push<const COLUMNS: usize>(&mut self, row: [String; COLUMNS]) -> Result<(), Error> {
        self.0.write_record(row).map_err(failed)
    }

    pub(super) fn finish(self) -> Result<Vec<u8>, Error> {
        self.0.into_inner().map_err(failed)
    }
}

/// Answers with a table, to be kept under a name.
pub(super) fn attached(table: Vec<u8>, name: &str) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/csv; charset=utf-8")
        .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(table)
}

/// Whether a spreadsheet would take a cell for a formula, or has been kept from it.
fn is_like_a_formula(text: &str) -> bool {
    text.trim_start_matches('\'').starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠', '\t', '\r'])
}

/// A text as a cell that stays a text.
pub(super) fn cell(text: &str) -> String {
    if is_like_a_formula(text) { format!("'{text}") } else { text.to_owned() }
}

/// The text of a cell.
pub(super) fn text(cell: &str) -> &str {
    if is_like_a_formula(cell) { cell.strip_prefix('\'').unwrap_or(cell) } else { cell }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        for text in ["=1+1", "+86 138", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1+1", "＠SUM", "'=1", "''-1"] {
            assert_eq!(cell(text), format!("'{text}"));
        }
        for text in ["", "饺子", "138", "a=1", "'", "'a", " =1"] {
            assert_eq!(cell(text), text);
        }
        // What staff type into a cell themselves is what they mean.
        assert_eq!((text("-5"), text("'-5")), ("-5", "-5"));
    }

    proptest! {
        #[test]
        fn a_text_comes_back(text in "['=+@＝\\-\t a饺]{0,6}") {
            let cell = cell(&text);
            prop_assert_eq!(super::text(&cell), &text);
        }
    }
}
