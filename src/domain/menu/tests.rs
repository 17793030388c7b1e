//! Decision tables of sheets.

mod properties;

use super::plan::plan;
use super::sheet::{FAULTS_MAX, Fault, Row};
use super::{Category, Goods, Menu, Offer, Product, STOCK_MAX};
use crate::domain::money::Money;
use crate::domain::{GoodsId, Language, LocalText};

fn text(zh: &str) -> LocalText {
    LocalText::new(zh, zh.to_lowercase())
}

fn goods(id: i64, product_id: i64, spec: &str) -> Goods {
    let offer = Offer {
        spec: text(spec),
        price: Money::from_fen(1_000),
        on_sale: true,
        daily_stock: None,
        grant: None,
        position: 1,
    };
    Goods { id: GoodsId(id), product_id, offer, stock: 20, sold_out_units: None, sales: 0 }
}

/// Cold: Cucumber (small, large), Tofu (plain). Hot: Duck (whole). Empty: nothing; Drinks: Tea, of which there are no goods.
fn menu() -> Menu {
    let category = |id, name| Category { id, name: text(name), position: 1 };
    let product =
        |id, category_id, name: &str| Product { id, category_id, name: text(name), image_url: None, position: 1 };
    Menu {
        categories: vec![category(1, "Cold"), category(2, "Hot"), category(3, "Empty"), category(4, "Drinks")],
        products: vec![
            product(10, 1, "Cucumber"),
            product(11, 1, "Tofu"),
            product(12, 2, "Duck"),
            product(13, 4, "Tea"),
        ],
        goods: vec![goods(100, 10, "Small"), goods(101, 10, "Large"), goods(102, 11, "Plain"), goods(103, 12, "Whole")],
    }
}

/// A row that adds goods.
fn added(category: &str, product: &str, spec: &str) -> Row {
    Row {
        number: 9,
        goods_id: None,
        category: text(category),
        product: text(product),
        image_url: None,
        spec: text(spec),
        price: Money::from_fen(500),
        on_sale: true,
        daily_stock: None,
        stock: 3,
        stock_change: 0,
    }
}

/// What a sheet would do, a line each; or what is wrong with it.
fn outcome(menu: &Menu, rows: &[Row]) -> Vec<String> {
    let plan = match plan(menu, rows) {
        Ok(plan) => plan,
        Err(faults) => {
            let line = |fault: Fault| format!("{} {}: {}", fault.row, fault.field, fault.detail(Language::En));
            return faults.into_iter().map(line).collect();
        }
    };
    let id = |id: Option<i64>| id.map_or("new".to_owned(), |id| id.to_string());
    let mut lines = Vec::new();
    for draft in plan.categories.iter().filter(|draft| draft.before.as_ref() != Some(&draft.name)) {
        lines.push(format!("category {} is {}/{}", id(draft.id), draft.name.zh, draft.name.en));
    }
    for draft in &plan.products {
        let category = plan.categories[draft.category].id;
        let before = draft.before.as_ref();
        if before.map(|before| (Some(before.category_id), &before.name, &before.image_url))
            != Some((category, &draft.name, &draft.image_url))
        {
            let (name, url) = (&draft.name, draft.image_url.as_deref().unwrap_or("-"));
            lines.push(format!(
                "product {} is {}/{} in {}, {url}",
                id(before.map(|b| b.id)),
                name.zh,
                name.en,
                id(category)
            ));
        }
    }
    for draft in plan.goods.iter().filter(|draft| draft.before.is_none() || draft.changes_goods()) {
        let product = plan.products[draft.product].before.as_ref().map(|product| product.id);
        let changes = draft.changes.iter().map(|change| format!("{} {}>{}", change.field, change.from, change.to));
        let changes: Vec<String> = match draft.before {
            Some(_) => changes.collect(),
            None => vec![format!("{} {} x{}", draft.row.spec.zh, draft.row.price, draft.row.stock)],
        };
        lines.push(format!(
            "goods {} of {}: {}",
            id(draft.before.map(|goods| goods.id.0)),
            id(product),
            changes.join(", ")
        ));
    }
    lines
}

type Edit = fn(&mut Vec<Row>);

#[test]
fn what_rows_do() {
    let table: &[(&str, Edit, &[&str])] = &[
        ("nothing", |_| {}, &[]),
        ("no rows", |rows| rows.clear(), &[]),
        ("what stock there is", |rows| rows[0].stock = 7, &[]),
        ("a price", |rows| rows[0].price = Money::from_fen(1_250), &["goods 100 of 10: price 10.00>12.50"]),
        (
            "all of an offer",
            |rows| {
                rows[2].spec = text("Spicy");
                rows[2].on_sale = false;
                rows[2].daily_stock = Some(30);
            },
            &["goods 102 of 11: spec_zh Plain>Spicy, spec_en plain>spicy, on_sale true>false, daily_stock >30"],
        ),
        ("stock", |rows| rows[0].stock_change = -20, &["goods 100 of 10: stock_change >-20"]),
        ("more stock", |rows| rows[0].stock_change = 5, &["goods 100 of 10: stock_change >+5"]),
        (
            "a dish of one spec",
            |rows| rows[2].product = text("Bean curd"),
            &["product 11 is Bean curd/bean curd in 1, -"],
        ),
        (
            "a dish of two specs, one of which is not there",
            |rows| {
                rows[0].product = text("Gherkin");
                rows.remove(1);
            },
            &["product 10 is Gherkin/gherkin in 1, -"],
        ),
        (
            "a picture",
            |rows| rows[3].image_url = Some("https://x/1".into()),
            &["product 12 is Duck/duck in 2, https://x/1"],
        ),
        ("a move", |rows| rows[2].category = text("Hot"), &["product 11 is Tofu/tofu in 2, -"]),
        (
            "a move to a new category",
            |rows| rows[2].category = text("Vegan"),
            &["category new is Vegan/vegan", "product 11 is Tofu/tofu in new, -"],
        ),
        (
            "a category by its English name",
            |rows| rows[..3].iter_mut().for_each(|row| row.category.en = "starters".into()),
            &["category 1 is Cold/starters"],
        ),
        (
            "a category by its Chinese name",
            |rows| rows[..3].iter_mut().for_each(|row| row.category = text("Starters")),
            &["category 1 is Starters/starters"],
        ),
        (
            "a category that keeps a dish",
            |rows| {
                rows[..2].iter_mut().for_each(|row| row.category = text("Starters"));
                rows.remove(2);
            },
            &["category new is Starters/starters", "product 10 is Cucumber/cucumber in new, -"],
        ),
        (
            "a category that others are added to",
            |rows| {
                rows[3].category = text("Roast");
                rows.push(added("Hot", "Soup", "Bowl"));
            },
            &[
                "category new is Roast/roast",
                "product 12 is Duck/duck in new, -",
                "product new is Soup/soup in 2, -",
                "goods new of new: Bowl 5.00 x3",
            ],
        ),
        (
            "two categories become one",
            |rows| rows.iter_mut().for_each(|row| row.category = text("All")),
            &["category 1 is All/all", "product 12 is Duck/duck in 1, -"],
        ),
        ("a spec more", |rows| rows.push(added("Cold", "Tofu", "Spicy")), &["goods new of 11: Spicy 5.00 x3"]),
        (
            "a spec more of a dish that is not there, and keeps its picture",
            |rows| *rows = vec![added("Drinks", "Tea", "Cup")],
            &["goods new of 13: Cup 5.00 x3"],
        ),
        (
            "a spec more of a dish that is renamed",
            |rows| {
                rows[2].product = text("Bean curd");
                rows.push(added("Cold", "Bean curd", "Spicy"));
            },
            &["product 11 is Bean curd/bean curd in 1, -", "goods new of 11: Spicy 5.00 x3"],
        ),
        (
            "a dish by a name that another one had",
            |rows| {
                rows[2].product = text("Bean curd");
                rows.push(added("Cold", "Tofu", "Plain"));
            },
            &[
                "product 11 is Bean curd/bean curd in 1, -",
                "product new is Tofu/tofu in 1, -",
                "goods new of new: Plain 5.00 x3",
            ],
        ),
        (
            "a spec more of a dish whose category is renamed",
            |rows| {
                rows[3].category = text("Roast");
                rows.push(added("Roast", "Duck", "Half"));
            },
            &["category 2 is Roast/roast", "goods new of 12: Half 5.00 x3"],
        ),
        (
            "a new dish in two specs in a new category",
            |rows| {
                rows.push(Row { image_url: Some("https://x/2".into()), ..added("Soups", "Broth", "Bowl") });
                rows.push(Row { number: 10, ..added("Soups", "Broth", "Pot") });
            },
            &[
                "category new is Soups/soups",
                "product new is Broth/broth in new, https://x/2",
                "goods new of new: Bowl 5.00 x3",
                "goods new of new: Pot 5.00 x3",
            ],
        ),
        (
            "the same dish in two categories",
            |rows| rows.push(added("Hot", "Tofu", "Plain")),
            &["product new is Tofu/tofu in 2, -", "goods new of new: Plain 5.00 x3"],
        ),
        (
            "a spec by a name that another one had",
            |rows| {
                rows[0].spec = text("Tiny");
                rows.push(added("Cold", "Cucumber", "Small"));
            },
            &["goods 100 of 10: spec_zh Small>Tiny, spec_en small>tiny", "goods new of 10: Small 5.00 x3"],
        ),
    ];
    for (name, edit, expected) in table {
        let menu = menu();
        let mut rows = menu.rows();
        edit(&mut rows);
        assert_eq!(outcome(&menu, &rows), *expected, "{name}");
    }
}

#[test]
fn what_rows_cannot_do() {
    let table: &[(&str, Edit, &[&str])] = &[
        (
            "goods that are not there",
            |rows| rows[1].goods_id = Some(GoodsId(999)),
            &["3 goods_id: There are no such goods; leave it empty to add some."],
        ),
        ("goods twice", |rows| rows[1].goods_id = rows[0].goods_id, &["3 goods_id: It is the same as in row 2."]),
        (
            "a dish of two names",
            |rows| rows[1].product = text("Gherkin"),
            &[
                "3 product_zh: It is unlike row 2, which is of the same category or dish.",
                "3 product_en: It is unlike row 2, which is of the same category or dish.",
            ],
        ),
        (
            "a dish in two categories",
            |rows| rows[1].category = text("Hot"),
            &["3 category_zh: It is unlike row 2, which is of the same category or dish."],
        ),
        (
            "a dish of two pictures",
            |rows| rows[1].image_url = Some("https://x/1".into()),
            &["3 image_url: It is unlike row 2, which is of the same category or dish."],
        ),
        (
            "a category of two names",
            |rows| rows[2].category.en = "starters".into(),
            &["4 category_en: It is unlike row 2, which is of the same category or dish."],
        ),
        (
            "a new category of two names",
            |rows| {
                rows.push(added("Soups", "Broth", "Bowl"));
                rows.push(Row { category: LocalText::new("Soups", "broths"), ..added("Soups", "Stew", "Bowl") });
            },
            &["9 category_en: It is unlike row 9, which is of the same category or dish."],
        ),
        (
            "another name for a dish that is added to",
            |rows| rows.push(Row { product: LocalText::new("Tofu", "bean curd"), ..added("Cold", "", "Spicy") }),
            &["9 product_en: It is unlike row 4, which is of the same category or dish."],
        ),
        (
            "a spec there is",
            |rows| rows.push(added("Cold", "Tofu", "Plain")),
            &["9 spec_zh: The dish has that spec already: to change it, give its goods_id, 102."],
        ),
        (
            "a spec there is, in no row",
            |rows| *rows = vec![added("Cold", "Tofu", "Plain")],
            &["9 spec_zh: The dish has that spec already: to change it, give its goods_id, 102."],
        ),
        (
            "a spec twice",
            |rows| {
                rows.push(added("Soups", "Broth", "Bowl"));
                rows.push(Row { number: 10, ..added("Soups", "Broth", "Bowl") });
            },
            &["10 spec_zh: It is the same as in row 9."],
        ),
        ("more stock than there is", |rows| rows[0].stock_change = -21, &["2 stock_change: There are 20 units only."]),
        (
            "more stock than there may be",
            |rows| rows[0].stock_change = STOCK_MAX - 19,
            &["2 stock_change: There are 20 units, and there may be at most 10000000."],
        ),
        (
            "a change of what is not there",
            |rows| rows.push(Row { stock_change: 1, ..added("Cold", "Tofu", "Spicy") }),
            &["9 stock_change: What is added begins with what stands under stock."],
        ),
        (
            "several things, by the row",
            |rows| {
                rows[3].stock_change = -21;
                rows[1].product.en = "gherkin".into();
            },
            &[
                "3 product_en: It is unlike row 2, which is of the same category or dish.",
                "5 stock_change: There are 20 units only.",
            ],
        ),
    ];
    for (name, edit, expected) in table {
        let menu = menu();
        let mut rows = menu.rows();
        edit(&mut rows);
        assert_eq!(outcome(&menu, &rows), *expected, "{name}");
    }
    let many: Vec<Row> = (0..500).map(|_| Row { goods_id: Some(GoodsId(1)), ..added("A", "B", "C") }).collect();
    assert_eq!(outcome(&menu(), &many).len(), FAULTS_MAX);
}

/// Units set aside may come back, so they count for the most there may be; they cannot be taken.
#[test]
fn stock_that_is_set_aside_counts_for_the_most_there_may_be() {
    let mut menu = menu();
    (menu.goods[0].stock, menu.goods[0].sold_out_units) = (0, Some(STOCK_MAX));
    for (change, expected) in [(1, "10000000 units, and there may be at most"), (-1, "There are 0 units only")] {
        let mut rows = menu.rows();
        rows[0].stock_change = change;
        let found = outcome(&menu, &rows);
        assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
    }
}

/// A dish that stands nowhere, as it may be read while it is moved.
#[test]
fn goods_of_no_category_are_not_there() {
    let mut menu = menu();
    let rows = menu.rows();
    menu.categories.remove(1);
    assert_eq!(outcome(&menu, &rows), ["5 goods_id: There are no such goods; leave it empty to add some."]);
}
