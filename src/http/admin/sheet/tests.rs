//! Sheets as spreadsheets save them, and as they should not be.

use encoding_rs::GBK;
use proptest::prelude::*;

use super::*;
use crate::domain::Language;

const HEAD: &str = "goods_id,category_zh,category_en,product_zh,product_en,image_url,spec_zh,spec_en,price,on_sale,daily_stock,stock,stock_change";
const ROW: &str = "5,凉菜,Cold,拍黄瓜,Cucumber,https://x/1.jpg,例,Regular,12.00,true,30,20,";

/// What is wrong with a sheet, a line each.
fn faults(sheet: &[u8]) -> Vec<String> {
    let line = |fault: Fault| format!("{} {}: {}", fault.row, fault.field, fault.detail(Language::En));
    read(sheet).expect_err("it is wrong").into_iter().map(line).collect()
}

fn one(sheet: &str) -> Row {
    let mut rows = read(sheet.as_bytes()).unwrap_or_else(|faults| panic!("{sheet}: {faults:?}"));
    assert_eq!(rows.len(), 1, "{sheet}");
    rows.remove(0)
}

#[test]
fn a_row_is_read_by_its_columns() {
    let row = one(&format!("{HEAD}\r\n{ROW}\r\n"));
    let expected = Row {
        number: 2,
        goods_id: Some(GoodsId(5)),
        category: LocalText::new("凉菜", "Cold"),
        product: LocalText::new("拍黄瓜", "Cucumber"),
        image_url: Some("https://x/1.jpg".to_owned()),
        spec: LocalText::new("例", "Regular"),
        price: "12".parse().expect("an amount"),
        on_sale: true,
        daily_stock: Some(30),
        stock: 0,
        stock_change: 0,
    };
    assert_eq!(row, expected);
    // As Excel saves it again, or leaves cells out; with columns in another order, and one that nobody sees.
    for sheet in [
        format!("\u{feff}{HEAD}\n{}", ROW.replace("12.00", "12").replace("true", "TRUE")),
        format!("{},,\n{ROW},,\n,,,,\n", HEAD.to_uppercase()),
        format!("{HEAD}\n{}", ROW.trim_end_matches(',')),
        format!("{HEAD}\n{}", ROW.replace("5,", " 5 ,").replace("true", "是")),
        format!("stock_change,{}\n,{}", &HEAD[..HEAD.len() - 13], &ROW[..ROW.len() - 1]),
        format!("{HEAD}\n{}", ROW.replace(",20,", ",a lot,")),
    ] {
        assert_eq!(one(&sheet), expected, "{sheet}");
    }
    let added = one(&format!("{HEAD}\n,凉菜,Cold,'=豆腐,'-Tofu,,例,Regular,0,,,,"));
    assert_eq!((added.goods_id, added.stock, added.daily_stock, added.on_sale), (None, 0, None, true));
    assert_eq!(added.product, LocalText::new("=豆腐", "-Tofu"));
    assert_eq!(one(&format!("{HEAD}\n{}", ROW.replace("20,", "20,'-5"))).stock_change, -5);
    assert_eq!(one(&format!("{HEAD}\n{}", ROW.replace("20,", "20,+5"))).stock_change, 5);
}

#[test]
fn chinese_is_read_as_excel_saves_it() {
    let sheet = format!("{HEAD}\r\n{ROW}\r\n");
    let (gbk, _, _) = GBK.encode(&sheet);
    assert!(std::str::from_utf8(&gbk).is_err());
    assert_eq!(read(&gbk), read(sheet.as_bytes()));
    // Two letters that some programs take for UTF-8.
    let (gbk, _, _) = GBK.encode("联通");
    assert_eq!(decoded(&gbk).as_deref(), Some("联通"));
}

#[test]
fn what_cannot_be_a_sheet_is_told_so() {
    let (utf_16, text) = (b"\xff\xfeg\0o\0o\0d\0s\0".as_slice(), "1 : The file is no text in UTF-8 or GBK.");
    assert_eq!(faults(utf_16), [text]);
    assert_eq!(faults(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), [text]);
    assert_eq!(faults(HEAD.replace("price", "pri\0ce").as_bytes()), [text]);
    let head = "1 : The first row must name the columns, such as goods_id; begin with an exported file.";
    assert_eq!(faults(b""), [head]);
    assert_eq!(faults(b"\n\n"), [head]);
    assert_eq!(faults("菜名,价格\n拍黄瓜,12".as_bytes()), [head]);
    assert_eq!(faults(&[b'x'; 1_000_000]), [head]);
    assert_eq!(
        faults(format!("{},price,colour\n{ROW}", HEAD.replace("spec_en,", "")).as_bytes()),
        [
            "1 price: This column is there twice.",
            "1 colour: There is no such column.",
            "1 spec_en: This column is missing.",
        ]
    );
}

#[test]
fn what_is_wrong_with_a_cell_is_told_by_row_and_column() {
    let name = "It must have 1 to 50 characters, and no control characters.";
    let whole = |min| format!("It must be a whole number from {min} to 10000000.");
    let price = "It must be an amount from 0 to 1000000 with at most two places, such as 28.00.";
    let goods = "There are no such goods; leave it empty to add some.";
    let address = "It must be an http or https address of at most 500 characters, without a user.";
    for (was, is, field, why) in [
        ("5,凉", "x,凉", "goods_id", goods),
        ("5,凉", "5.0,凉", "goods_id", goods),
        ("5,凉", "99999999999999999999,凉", "goods_id", goods),
        ("凉菜", "", "category_zh", name),
        ("Cold", "  ", "category_en", name),
        ("拍黄瓜", "\"拍\n黄瓜\"", "product_zh", name),
        ("Cucumber", &"x".repeat(51), "product_en", name),
        ("Cucumber", &"x".repeat(1_000_000), "product_en", name),
        ("https://x/1.jpg", "x.jpg", "image_url", address),
        ("https://x/1.jpg", "javascript:alert(1)", "image_url", address),
        ("例", "\u{202e}例", "spec_zh", name),
        ("Regular", "", "spec_en", name),
        ("12.00", "", "price", price),
        ("12.00", "-1", "price", price),
        ("12.00", "1.005", "price", price),
        ("12.00", "1000000.01", "price", price),
        ("12.00", "¥12", "price", price),
        ("true", "", "on_sale", "It must be true or false."),
        ("true", "maybe", "on_sale", "It must be true or false."),
        ("30", "-1", "daily_stock", &whole(0)),
        ("30", "10000001", "daily_stock", &whole(0)),
        ("20,", "20,1.5", "stock_change", &whole(-10_000_000)),
        ("20,", "20,-10000001", "stock_change", &whole(-10_000_000)),
        ("20,", "20,,,x", "", "There are more cells than columns; what has a comma must stand in quotes."),
    ] {
        let sheet = format!("{HEAD}\r\n{}\r\n", ROW.replace(was, is));
        assert_eq!(faults(sheet.as_bytes()), [format!("2 {field}: {why}")], "{was} is {is:.20}");
    }
    let added = ROW.replace("5,凉", ",凉").replace(",20,", ",-1,");
    assert_eq!(faults(format!("{HEAD}\n{added}").as_bytes()), [format!("2 stock: {}", whole(0))]);
    // Rows are counted as a spreadsheet counts them.
    let wrong = ROW.replace("12.00", "free");
    let sheet = format!("{HEAD}\r\n{ROW}\r\n\r\n,,,,\r\n\r\n{wrong}\r\n\r\n{wrong}");
    assert_eq!(faults(sheet.as_bytes()), [format!("6 price: {price}"), format!("8 price: {price}")]);
    let many = format!("{wrong}\n").repeat(500);
    assert_eq!(faults(format!("{HEAD}\n{many}").as_bytes()).len(), FAULTS_MAX);
    let many = format!("{HEAD}\n{}", format!("{ROW}\n").repeat(ROWS_MAX));
    assert_eq!(read(many.as_bytes()).map(|rows| rows.len()), Ok(ROWS_MAX));
    assert_eq!(faults(format!("{many}{ROW}").as_bytes()), ["10002 : There may be at most 10000 rows."]);
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        names in prop::collection::vec("['=+@＝\\-\"a饺]([ ',;\"=\\-a饺]{0,9}[=\"'a饺])?", 6),
        (fen, on_sale, goods_id) in (0..=PRICE_FEN_MAX, any::<bool>(), 1..i64::MAX),
        (daily_stock, stock_change) in (prop::option::of(0..=STOCK_MAX), -STOCK_MAX..=STOCK_MAX),
        image_url in prop::option::of("https://x/[a-z,\"']{0,9}"),
    ) {
        let text = |at: usize| LocalText::new(names[at].clone(), names[at + 1].clone());
        let row = Row {
            number: 2, goods_id: Some(GoodsId(goods_id)), category: text(0), product: text(2), image_url, spec: text(4),
            price: Money::from_fen(fen), on_sale, daily_stock, stock: 0, stock_change,
        };
        let written = write(std::slice::from_ref(&row)).expect("it is written");
        prop_assert_eq!(read(&written), Ok(vec![row]));
    }

    #[test]
    fn no_bytes_make_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&bytes);
    }

    #[test]
    fn nor_do_bytes_in_a_sheet(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut sheet = format!("{HEAD}\r\n{ROW}\r\n{ROW}\r\n").into_bytes();
        for (at, byte) in changes {
            let at = at.index(sheet.len());
            sheet[at] = byte;
        }
        let _ = read(&sheet);
    }
}
