//! What a sheet would do to a menu.
//!
//! Contract: what a sheet does not name stays as it is.
//! * Goods are known by their id. A row without one adds goods to the product of its name.
//! * A category is known by its Chinese name, and a product, where goods are added, by its Chinese name within the category. All rows that
//!   name one must agree on everything else of it, which it then has. What nobody knows by that name is new.
//! * A row that names another category than its dish stands in moves the dish. A category all of whose dishes would move to a name nobody
//!   knew has not been left empty: it has been renamed.
//! * Stock changes by deltas alone, so that what customers take meanwhile is no obstacle.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::sheet::{Column, FAULTS_MAX, Fault, Row, Why};
use super::{Category, Goods, Menu, Product, STOCK_MAX};
use crate::domain::{GoodsId, LocalText};

/// One cell of a row that is not what the menu says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The name of the column.
    pub field: &'static str,
    /// What the menu says; nothing where goods are added.
    pub from: String,
    /// What the row says.
    pub to: String,
}

/// A category that rows name.
#[derive(Clone, Debug)]
pub struct CategoryDraft {
    /// Its id; none where it is to be added.
    pub id: Option<i64>,
    /// What it is called until now.
    pub before: Option<LocalText>,
    /// What it is to be called.
    pub name: LocalText,
    row: usize,
}

/// A product that rows name.
#[derive(Clone, Debug)]
pub struct ProductDraft {
    /// The product as it is; none where it is to be added.
    pub before: Option<Product>,
    /// Its category, among the plan's.
    pub category: usize,
    /// What it is to be called.
    pub name: LocalText,
    /// Where there is to be a picture of it.
    pub image_url: Option<String>,
    row: usize,
}

/// Goods that a row names.
#[derive(Clone, Debug)]
pub struct GoodsDraft<'a> {
    /// The goods as they are; none where they are to be added.
    pub before: Option<&'a Goods>,
    /// Their product, among the plan's.
    pub product: usize,
    /// What is to be.
    pub row: &'a Row,
    /// In what the row differs from the menu.
    pub changes: Vec<Change>,
}

impl GoodsDraft<'_> {
    /// Whether something changes that is kept with the goods themselves.
    pub fn changes_goods(&self) -> bool {
        self.changes_offer() || self.row.stock_change != 0
    }

    /// Whether what is offered changes.
    pub fn changes_offer(&self) -> bool {
        self.before.is_some_and(|goods| {
            let (offer, row) = (&goods.offer, self.row);
            (&offer.spec, offer.price, offer.on_sale, offer.daily_stock)
                != (&row.spec, row.price, row.on_sale, row.daily_stock)
        })
    }
}

/// What a sheet would do to a menu.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The categories that rows name.
    pub categories: Vec<CategoryDraft>,
    /// The products that rows name.
    pub products: Vec<ProductDraft>,
    /// The goods of each row, in the order of the rows.
    pub goods: Vec<GoodsDraft<'a>>,
}

/// Notes a fault unless a row says the same of a category or product as row `first`, which named it first.
fn agree(faults: &mut Vec<Fault>, row: &Row, first: usize, column: Column, is_same: bool) {
    if !is_same {
        faults.push(Fault::of(row.number, column, Why::UnlikeRow { row: first }));
    }
}

/// Plans what a sheet would do to a menu.
///
/// # Errors
/// What is wrong with the rows, at most [`FAULTS_MAX`] of it.
pub fn plan<'a>(menu: &'a Menu, rows: &'a [Row]) -> Result<Plan<'a>, Vec<Fault>> {
    let mut planner = Planner::new(menu);
    // 1. Which goods the rows are about.
    let found = planner.find(rows);
    // 2. Their categories.
    let categories: Vec<usize> = found.iter().map(|(row, goods)| planner.category(row, *goods)).collect();
    planner.see_renamed(&found, &categories);
    // 3. The products of goods there are, then those that others are added to: what is renamed is known by its new name.
    let mut products = vec![0; found.len()];
    for (at, (row, goods)) in found.iter().enumerate() {
        if let Some(goods) = goods {
            products[at] = planner.product_of(row, goods, categories[at]);
        }
    }
    planner.learn_products();
    for (at, (row, goods)) in found.iter().enumerate() {
        if goods.is_none() {
            products[at] = planner.product_named(row, categories[at]);
        }
    }
    // 4. The goods themselves.
    planner.learn_specs(&found, &products);
    let goods = found.into_iter().zip(products).map(|((row, goods), product)| planner.goods(row, goods, product));
    let goods: Vec<GoodsDraft<'_>> = goods.collect();
    let Planner { mut faults, categories, products, .. } = planner;
    if faults.is_empty() {
        return Ok(Plan { categories, products, goods });
    }
    faults.sort_by_key(|fault| fault.row);
    faults.truncate(FAULTS_MAX);
    Err(faults)
}

/// What a category is known by: its id, or a name that is new.
#[derive(PartialEq, Eq, Hash)]
enum CategoryKey {
    Known(i64),
    New(String),
}

struct Planner<'a> {
    menu: &'a Menu,
    known_categories: HashMap<i64, &'a Category>,
    known_products: HashMap<i64, &'a Product>,
    known_goods: HashMap<GoodsId, &'a Goods>,
    faults: Vec<Fault>,
    categories: Vec<CategoryDraft>,
    category_of: HashMap<CategoryKey, usize>,
    products: Vec<ProductDraft>,
    product_of: HashMap<i64, usize>,
    /// Products by category and Chinese name, as they will be.
    product_named: HashMap<(usize, String), usize>,
    /// Goods by product and Chinese spec, as they will be; and the row that adds them.
    spec_taken: HashMap<(usize, String), Result<GoodsId, usize>>,
}

impl<'a> Planner<'a> {
    fn new(menu: &'a Menu) -> Self {
        let known_categories: HashMap<i64, &Category> =
            menu.categories.iter().map(|category| (category.id, category)).collect();
        // A menu that was read while it changed may lack the category of a dish that was being moved.
        let products = menu.products.iter().filter(|product| known_categories.contains_key(&product.category_id));
        let known_products: HashMap<i64, &Product> = products.map(|product| (product.id, product)).collect();
        let goods = menu.goods.iter().filter(|goods| known_products.contains_key(&goods.product_id));
        Self {
            menu,
            known_goods: goods.map(|goods| (goods.id, goods)).collect(),
            known_categories,
            known_products,
            faults: Vec::new(),
            categories: Vec::new(),
            category_of: HashMap::new(),
            products: Vec::new(),
            product_of: HashMap::new(),
            product_named: HashMap::new(),
            spec_taken: HashMap::new(),
        }
    }

    /// The rows that make sense so far, with the goods they are about.
    fn find(&mut self, rows: &'a [Row]) -> Vec<(&'a Row, Option<&'a Goods>)> {
        let mut named: HashMap<GoodsId, usize> = HashMap::new();
        let mut found = Vec::new();
        for row in rows {
            let Some(id) = row.goods_id else {
                found.push((row, None));
                continue;
            };
            let why = match (self.known_goods.get(&id), named.insert(id, row.number)) {
                (None, _) => Why::UnknownGoods,
                (Some(_), Some(earlier)) => Why::SameAs { row: earlier },
                (Some(goods), None) => {
                    found.push((row, Some(*goods)));
                    continue;
                }
            };
            self.faults.push(Fault::of(row.number, Column::GoodsId, why));
        }
        found
    }

    /// The category that a row names. Of several by its name, the one that is called the same in English too, then the one that the
    /// dish stands in, then the first of the menu.
    fn category(&mut self, row: &Row, goods: Option<&Goods>) -> usize {
        let current = goods.map(|goods| self.known_products[&goods.product_id].category_id);
        let by_name = self.menu.categories.iter().filter(|category| category.name.zh == row.category.zh);
        let known = by_name.min_by_key(|category| (category.name.en != row.category.en, Some(category.id) != current));
        let key = known.map_or_else(|| CategoryKey::New(row.category.zh.clone()), |known| CategoryKey::Known(known.id));
        if let Some(at) = self.category_of.get(&key) {
            let draft = &self.categories[*at];
            agree(&mut self.faults, row, draft.row, Column::CategoryEn, draft.name.en == row.category.en);
            return *at;
        }
        self.categories.push(CategoryDraft {
            id: known.map(|known| known.id),
            before: known.map(|known| known.name.clone()),
            name: row.category.clone(),
            row: row.number,
        });
        self.category_of.insert(key, self.categories.len() - 1);
        self.categories.len() - 1
    }

    /// Finds out which new names are those of categories whose dishes all move there.
    fn see_renamed(&mut self, found: &[(&Row, Option<&Goods>)], categories: &[usize]) {
        let mut moved_to: HashMap<i64, usize> = HashMap::new();
        for ((_, goods), category) in found.iter().zip(categories) {
            if let Some(goods) = goods {
                moved_to.insert(goods.product_id, *category);
            }
        }
        let mut dishes: HashMap<i64, Vec<i64>> = HashMap::new();
        for product in &self.menu.products {
            dishes.entry(product.category_id).or_default().push(product.id);
        }
        for category in &self.menu.categories {
            if self.category_of.contains_key(&CategoryKey::Known(category.id)) {
                continue;
            }
            let dishes = dishes.get(&category.id).map_or(&[][..], Vec::as_slice);
            let targets: HashSet<Option<&usize>> = dishes.iter().map(|dish| moved_to.get(dish)).collect();
            let Some(Some(target)) = targets.iter().next().filter(|_| targets.len() == 1) else { continue };
            let draft = &mut self.categories[**target];
            if draft.id.is_none() {
                draft.id = Some(category.id);
                draft.before = Some(category.name.clone());
            }
        }
    }

    /// The product of goods there are, as a row says it is to be.
    fn product_of(&mut self, row: &Row, goods: &Goods, category: usize) -> usize {
        if let Some(at) = self.product_of.get(&goods.product_id) {
            let (draft, faults) = (&self.products[*at], &mut self.faults);
            agree(faults, row, draft.row, Column::CategoryZh, draft.category == category);
            agree(faults, row, draft.row, Column::ProductZh, draft.name.zh == row.product.zh);
            agree(faults, row, draft.row, Column::ProductEn, draft.name.en == row.product.en);
            agree(faults, row, draft.row, Column::ImageUrl, draft.image_url == row.image_url);
            return *at;
        }
        let before = self.known_products[&goods.product_id];
        self.products.push(ProductDraft {
            before: Some(before.clone()),
            category,
            name: row.product.clone(),
            image_url: row.image_url.clone(),
            row: row.number,
        });
        self.product_of.insert(before.id, self.products.len() - 1);
        self.products.len() - 1
    }

    /// Learns by which names products will be known.
    fn learn_products(&mut self) {
        for (at, draft) in self.products.iter().enumerate() {
            self.product_named.entry((draft.category, draft.name.zh.clone())).or_insert(at);
        }
    }

    /// The product that goods are added to. A row that names no picture takes none away.
    fn product_named(&mut self, row: &Row, category: usize) -> usize {
        let key = (category, row.product.zh.clone());
        if let Some(at) = self.product_named.get(&key) {
            let (draft, faults) = (&self.products[*at], &mut self.faults);
            let is_same = row.image_url.is_none() || draft.image_url == row.image_url;
            agree(faults, row, draft.row, Column::ProductEn, draft.name.en == row.product.en);
            agree(faults, row, draft.row, Column::ImageUrl, is_same);
            return *at;
        }
        let category_id = self.categories[category].id;
        let is_it = |product: &&Product| {
            Some(product.category_id) == category_id
                && product.name.zh == row.product.zh
                && !self.product_of.contains_key(&product.id)
        };
        let before = self.menu.products.iter().find(is_it);
        let kept = || before.and_then(|before| before.image_url.clone());
        self.products.push(ProductDraft {
            before: before.cloned(),
            category,
            name: row.product.clone(),
            image_url: row.image_url.clone().or_else(kept),
            row: row.number,
        });
        let at = self.products.len() - 1;
        if let Some(before) = before {
            self.product_of.insert(before.id, at);
        }
        self.product_named.insert(key, at);
        at
    }

    /// Learns in which specs there will be products, apart from those that are added.
    fn learn_specs(&mut self, found: &[(&Row, Option<&Goods>)], products: &[usize]) {
        let mut said: HashSet<GoodsId> = HashSet::new();
        for ((row, goods), product) in found.iter().zip(products) {
            if let Some(goods) = goods {
                said.insert(goods.id);
                self.spec_taken.insert((*product, row.spec.zh.clone()), Ok(goods.id));
            }
        }
        for goods in self.menu.goods.iter().filter(|goods| !said.contains(&goods.id)) {
            if let Some(product) = self.product_of.get(&goods.product_id) {
                self.spec_taken.entry((*product, goods.offer.spec.zh.clone())).or_insert(Ok(goods.id));
            }
        }
    }

    fn goods(&mut self, row: &'a Row, before: Option<&'a Goods>, product: usize) -> GoodsDraft<'a> {
        let mut changes = Vec::new();
        let is_compared = |column: &Column| match before {
            // The stock of goods that exist already is for information only.
            Some(_) => *column != Column::Stock,
            None => true,
        };
        let said = before.map(|goods| {
            let product = self.known_products[&goods.product_id];
            Row::of(row.number, self.known_categories[&product.category_id], product, goods)
        });
        for column in Column::ALL.iter().copied().filter(is_compared) {
            let from = said.as_ref().map(|said| said.cell(column)).unwrap_or_default();
            let to = row.cell(column);
            if from != to {
                changes.push(Change { field: column.name(), from, to });
            }
        }
        let fault = match before {
            Some(goods) => stock_fault(goods, row.stock_change).map(|why| (Column::StockChange, why)),
            None if row.stock_change != 0 => Some((Column::StockChange, Why::NothingToChange)),
            None => {
                let taken = self.spec_taken.entry((product, row.spec.zh.clone())).or_insert(Err(row.number));
                match *taken {
                    Ok(goods) => Some((Column::SpecZh, Why::IsThere(goods))),
                    Err(earlier) if earlier != row.number => Some((Column::SpecZh, Why::SameAs { row: earlier })),
                    Err(_) => None,
                }
            }
        };
        self.faults.extend(fault.map(|(column, why)| Fault::of(row.number, column, why)));
        GoodsDraft { before, product, row, changes }
    }
}

/// What is set aside while goods are sold out may come back, and counts towards the most there may be.
fn stock_fault(goods: &Goods, delta: i32) -> Option<Why> {
    let stock = goods.stock;
    let all = stock.saturating_add(goods.sold_out_units.unwrap_or_default());
    if delta < 0 && stock.saturating_add(delta) < 0 {
        return Some(Why::StockTooLow { stock });
    }
    if delta > 0 && all.saturating_add(delta) > STOCK_MAX {
        return Some(Why::StockTooHigh { stock: all, max: STOCK_MAX });
    }
    None
}
