//! What holds for all sheets.

use proptest::prelude::*;

use super::{goods, outcome};
use crate::domain::LocalText;
use crate::domain::menu::plan::plan;
use crate::domain::menu::sheet::{Column, Row};
use crate::domain::menu::{Category, Goods, Menu, Offer, Product};

/// Menus with few names, so that many are the same.
fn menus() -> impl Strategy<Value = Menu> {
    let name = || (0..3_u8, 0..2_u8).prop_map(|(zh, en)| LocalText::new(zh.to_string(), en.to_string()));
    let categories = prop::collection::vec(name(), 1..5);
    let products =
        prop::collection::vec((any::<prop::sample::Index>(), name(), prop::option::of("https://x/[ab]")), 1..6);
    let goods = prop::collection::vec((any::<prop::sample::Index>(), name(), prop::option::of(0..3_i32)), 0..8);
    (categories, products, goods).prop_map(|(categories, products, goods)| {
        let categories: Vec<Category> =
            (1..).zip(categories).map(|(id, name)| Category { id, name, position: 1 }).collect();
        let product = |(id, (category, name, image_url)): (i64, (prop::sample::Index, LocalText, Option<String>))| {
            Product { id, category_id: category.get(&categories).id, name, image_url, position: 1 }
        };
        let products: Vec<Product> = (10..).zip(products).map(product).collect();
        let one = |(id, (product, spec, daily_stock)): (i64, (prop::sample::Index, LocalText, Option<i32>))| {
            let mut goods = goods_of(id, product.get(&products).id, spec);
            goods.offer.daily_stock = daily_stock;
            goods
        };
        let goods = (100..).zip(goods).map(one).collect();
        Menu { categories, products, goods }
    })
}

fn goods_of(id: i64, product_id: i64, spec: LocalText) -> Goods {
    let mut goods = goods(id, product_id, "");
    goods.offer.spec = spec;
    goods
}

/// The menu as a plan leaves it: what is added gets ids from 1000 on.
fn carried_out(menu: &Menu, rows: &[Row]) -> Option<Menu> {
    let plan = plan(menu, rows).ok()?;
    let mut after = menu.clone();
    let mut next = 1_000;
    let mut new_id = || {
        next += 1;
        next
    };
    let mut categories = Vec::new();
    for draft in &plan.categories {
        let id = draft.id.unwrap_or_else(&mut new_id);
        after.categories.retain(|category| category.id != id);
        after.categories.push(Category { id, name: draft.name.clone(), position: 1 });
        categories.push(id);
    }
    let mut products = Vec::new();
    for draft in &plan.products {
        let id = draft.before.as_ref().map_or_else(&mut new_id, |before| before.id);
        after.products.retain(|product| product.id != id);
        let (name, image_url) = (draft.name.clone(), draft.image_url.clone());
        after.products.push(Product { id, category_id: categories[draft.category], name, image_url, position: 1 });
        products.push(id);
    }
    for draft in &plan.goods {
        let (row, id) = (draft.row, draft.before.map_or_else(&mut new_id, |before| before.id.0));
        after.goods.retain(|goods| goods.id.0 != id);
        let mut goods = goods_of(id, products[draft.product], row.spec.clone());
        goods.offer = Offer { price: row.price, on_sale: row.on_sale, daily_stock: row.daily_stock, ..goods.offer };
        after.goods.push(goods);
    }
    Some(after)
}

proptest! {
    #[test]
    fn a_sheet_that_is_not_changed_changes_nothing(menu in menus()) {
        let rows = menu.rows();
        prop_assert_eq!(rows.len(), menu.goods.len());
        let plan = plan(&menu, &rows).expect("it comes from the menu");
        prop_assert!(plan.goods.iter().all(|goods| goods.changes.is_empty() && !goods.changes_goods()));
        prop_assert!(plan.categories.iter().all(|draft| draft.before.as_ref() == Some(&draft.name)));
        prop_assert_eq!(outcome(&menu, &rows), Vec::<String>::new());
    }

    /// What a sheet says of goods is so afterwards, and what it does not say of others has stayed: whatever is edited, moved or left out.
    #[test]
    fn a_sheet_does_what_it_says(
        menu in menus(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..8_usize, "[0-4]"), 0..6),
        left_out in prop::collection::vec(any::<bool>(), 8),
    ) {
        let mut rows = menu.rows();
        for (row, field, value) in &edits {
            let Some(row) = (!rows.is_empty()).then(|| row.index(rows.len())) else { break };
            let product = rows[row].product.clone();
            for other in rows.iter_mut().filter(|other| other.product == product) {
                match field {
                    0 | 1 => other.category.zh.clone_from(value),
                    2 => other.category.en.clone_from(value),
                    3 => other.product.zh.clone_from(value),
                    4 => other.product.en.clone_from(value),
                    _ => {}
                }
            }
            match field {
                5 => rows[row].spec.zh.clone_from(value),
                6 => rows[row].on_sale = false,
                7 => {
                    let added = Row { goods_id: None, stock_change: 0, ..rows[row].clone() };
                    rows.push(Row { number: rows.len() + 2, spec: LocalText::new(value.clone(), "new"), ..added });
                }
                _ => {}
            }
        }
        let mut kept = left_out.into_iter();
        rows.retain(|_| kept.next() != Some(true));
        if let Some(after) = carried_out(&menu, &rows) {
            let said = after.rows();
            for row in rows.iter().filter(|row| row.goods_id.is_some()) {
                let now = said.iter().find(|now| now.goods_id == row.goods_id).expect("no goods are lost");
                for column in Column::ALL.iter().filter(|column| **column != Column::Stock) {
                    prop_assert_eq!(now.cell(*column), row.cell(*column));
                }
            }
            let is_added = |row: &&Row| row.goods_id.is_none();
            prop_assert_eq!(said.len(), menu.goods.len() + rows.iter().filter(is_added).count());
            for goods in menu.goods.iter().filter(|goods| rows.iter().all(|row| row.goods_id != Some(goods.id))) {
                prop_assert!(after.goods.contains(goods));
            }
        }
    }
}
