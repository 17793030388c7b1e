//! The menu as a sheet: a row for each goods, a cell for each thing the staff decide of it.

use std::collections::HashMap;

use super::{Category, Goods, Menu, Product};
use crate::domain::money::Money;
use crate::domain::names::names;
use crate::domain::{GoodsId, Language, LocalText};

/// A column of a sheet, under the name that stands in its first row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Column {
    /// Which goods; none where they are to be added.
    GoodsId,
    /// The category, in Chinese: what it is known by.
    CategoryZh,
    /// The category, in English.
    CategoryEn,
    /// The product, in Chinese: what it is known by within its category.
    ProductZh,
    /// The product, in English.
    ProductEn,
    /// Where there is a picture of the product.
    ImageUrl,
    /// The spec, in Chinese.
    SpecZh,
    /// The spec, in English.
    SpecEn,
    /// Yuan a unit.
    Price,
    /// Whether the menu shows it.
    OnSale,
    /// What every day begins with, where stock is set by the day.
    DailyStock,
    /// Units counted: to be read, or what added goods begin with.
    Stock,
    /// Units that come in, or, below zero, go out.
    StockChange,
}

names!(Column {
    GoodsId = "goods_id",
    CategoryZh = "category_zh",
    CategoryEn = "category_en",
    ProductZh = "product_zh",
    ProductEn = "product_en",
    ImageUrl = "image_url",
    SpecZh = "spec_zh",
    SpecEn = "spec_en",
    Price = "price",
    OnSale = "on_sale",
    DailyStock = "daily_stock",
    Stock = "stock",
    StockChange = "stock_change",
});

/// A row of a sheet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Where it stands in the sheet; the names of the columns stand in row 1.
    pub number: usize,
    /// The goods it is about; none where they are to be added.
    pub goods_id: Option<GoodsId>,
    /// The category's name.
    pub category: LocalText,
    /// The product's name.
    pub product: LocalText,
    /// Where there is a picture of the product.
    pub image_url: Option<String>,
    /// The spec of the dish.
    pub spec: LocalText,
    /// Yuan a unit.
    pub price: Money,
    /// Whether the menu shows it.
    pub on_sale: bool,
    /// What every day begins with, where stock is set by the day.
    pub daily_stock: Option<i32>,
    /// Units counted, or what added goods begin with.
    pub stock: i32,
    /// Units that come in or go out.
    pub stock_change: i32,
}

impl Row {
    /// What a sheet that changes nothing says of goods.
    pub fn of(number: usize, category: &Category, product: &Product, goods: &Goods) -> Self {
        Self {
            number,
            goods_id: Some(goods.id),
            category: category.name.clone(),
            product: product.name.clone(),
            image_url: product.image_url.clone(),
            spec: goods.offer.spec.clone(),
            price: goods.offer.price,
            on_sale: goods.offer.on_sale,
            daily_stock: goods.offer.daily_stock,
            stock: goods.stock,
            stock_change: 0,
        }
    }

    /// What stands in a column.
    pub fn cell(&self, column: Column) -> String {
        match column {
            Column::GoodsId => self.goods_id.map(|id| id.to_string()).unwrap_or_default(),
            Column::CategoryZh => self.category.zh.clone(),
            Column::CategoryEn => self.category.en.clone(),
            Column::ProductZh => self.product.zh.clone(),
            Column::ProductEn => self.product.en.clone(),
            Column::ImageUrl => self.image_url.clone().unwrap_or_default(),
            Column::SpecZh => self.spec.zh.clone(),
            Column::SpecEn => self.spec.en.clone(),
            Column::Price => self.price.to_string(),
            Column::OnSale => self.on_sale.to_string(),
            Column::DailyStock => self.daily_stock.map(|units| units.to_string()).unwrap_or_default(),
            Column::Stock => self.stock.to_string(),
            Column::StockChange if self.stock_change == 0 => String::new(),
            Column::StockChange => format!("{:+}", self.stock_change),
        }
    }

    /// What the goods are called: the dish and its spec.
    pub fn name(&self) -> LocalText {
        let name = |product: &str, spec: &str| format!("{product} · {spec}");
        LocalText::new(name(&self.product.zh, &self.spec.zh), name(&self.product.en, &self.spec.en))
    }
}

impl Menu {
    /// The sheet that changes nothing: a row for each goods, in the order of the menu.
    pub fn rows(&self) -> Vec<Row> {
        let mut products: HashMap<i64, Vec<&Product>> = HashMap::new();
        for product in &self.products {
            products.entry(product.category_id).or_default().push(product);
        }
        let mut goods: HashMap<i64, Vec<&Goods>> = HashMap::new();
        for one in &self.goods {
            goods.entry(one.product_id).or_default().push(one);
        }
        let mut rows = Vec::new();
        for category in &self.categories {
            for product in products.remove(&category.id).unwrap_or_default() {
                for goods in goods.remove(&product.id).unwrap_or_default() {
                    rows.push(Row::of(rows.len() + 2, category, product, goods));
                }
            }
        }
        rows
    }
}

/// The most faults of a sheet that are told: who sees so many looks for one cause.
pub const FAULTS_MAX: usize = 100;

/// What keeps a sheet from being taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// In which row.
    pub row: usize,
    /// Under which name in the first row; empty where it is the row as a whole.
    pub field: String,
    /// What is wrong.
    pub why: Why,
}

impl Fault {
    /// Something that is wrong with a cell.
    pub fn of(row: usize, column: Column, why: Why) -> Self {
        Self { row, field: column.name().to_owned(), why }
    }

    /// What is wrong, for people.
    pub fn detail(&self, language: Language) -> String {
        self.why.words().said_in(language)
    }
}

/// What may be wrong with a sheet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is no text in UTF-8 or GBK.
    NoText,
    /// The first row names no column.
    NoHead,
    /// The first row does not name this column.
    ColumnMissing,
    /// The first row names this column again.
    ColumnTwice,
    /// There is no such column.
    ColumnUnknown,
    /// There are more rows than are taken at once.
    TooManyRows {
        /// The limit.
        rows_max: usize,
    },
    /// The row has more cells than there are columns.
    TooManyCells,
    /// A name is missing, too long, or has control characters.
    Name {
        /// The limit.
        chars_max: usize,
    },
    /// It is no address of a picture.
    Address,
    /// It is no price.
    Price,
    /// It is neither true nor false.
    YesOrNo,
    /// It is no whole number within bounds.
    Number {
        /// The least.
        min: i32,
        /// The greatest.
        max: i32,
    },
    /// The merchant has no such goods.
    UnknownGoods,
    /// An earlier row is about the same goods.
    SameAs {
        /// That row.
        row: usize,
    },
    /// An earlier row says otherwise of the same category or product.
    UnlikeRow {
        /// That row.
        row: usize,
    },
    /// Goods that are to be added are there already.
    IsThere(GoodsId),
    /// Goods that are to be added begin with their stock.
    NothingToChange,
    /// There are not as many units as are to go out.
    StockTooLow {
        /// What there is.
        stock: i32,
    },
    /// There would be more units than there may be.
    StockTooHigh {
        /// What there is.
        stock: i32,
        /// What there may be.
        max: i32,
    },
}

impl Why {
    /// The words, in Chinese and in English.
    fn words(&self) -> LocalText {
        match self {
            Self::NoText => LocalText::new("文件不是 UTF-8 或 GBK 文本。", "The file is no text in UTF-8 or GBK."),
            Self::NoHead => LocalText::new(
                "第一行须为列名，如 goods_id；请从导出的文件开始修改。",
                "The first row must name the columns, such as goods_id; begin with an exported file.",
            ),
            Self::ColumnMissing => LocalText::new("缺少此列。", "This column is missing."),
            Self::ColumnTwice => LocalText::new("此列重复。", "This column is there twice."),
            Self::ColumnUnknown => LocalText::new("没有此列。", "There is no such column."),
            Self::TooManyRows { rows_max } => {
                LocalText::new(format!("最多 {rows_max} 行。"), format!("There may be at most {rows_max} rows."))
            }
            Self::TooManyCells => LocalText::new(
                "单元格多于列数；含逗号的内容须加引号。",
                "There are more cells than columns; what has a comma must stand in quotes.",
            ),
            Self::Name { chars_max } => LocalText::new(
                format!("须为 1 到 {chars_max} 个字符，且不含控制字符。"),
                format!("It must have 1 to {chars_max} characters, and no control characters."),
            ),
            Self::Address => LocalText::new(
                "须为 http 或 https 网址，最多 500 个字符，且不含用户名。",
                "It must be an http or https address of at most 500 characters, without a user.",
            ),
            Self::Price => LocalText::new(
                "须为 0 到 1000000 的金额，最多两位小数，如 28.00。",
                "It must be an amount from 0 to 1000000 with at most two places, such as 28.00.",
            ),
            Self::YesOrNo => LocalText::new("须为 true 或 false（是或否）。", "It must be true or false."),
            Self::Number { min, max } => LocalText::new(
                format!("须为 {min} 到 {max} 的整数。"),
                format!("It must be a whole number from {min} to {max}."),
            ),
            Self::UnknownGoods => LocalText::new(
                "没有该商品；新增商品请将此格留空。",
                "There are no such goods; leave it empty to add some.",
            ),
            Self::SameAs { row } => {
                LocalText::new(format!("与第 {row} 行相同。"), format!("It is the same as in row {row}."))
            }
            Self::UnlikeRow { row } => LocalText::new(
                format!("与第 {row} 行不一致，而两行属于同一分类或菜品。"),
                format!("It is unlike row {row}, which is of the same category or dish."),
            ),
            Self::IsThere(goods) => LocalText::new(
                format!("该菜品已有此规格，即商品 {goods}；要修改请填写其 goods_id。"),
                format!("The dish has that spec already: to change it, give its goods_id, {goods}."),
            ),
            Self::NothingToChange => LocalText::new(
                "新增商品的库存请填写在 stock 列。",
                "What is added begins with what stands under stock.",
            ),
            Self::StockTooLow { stock } => {
                LocalText::new(format!("库存不足：当前为 {stock}。"), format!("There are {stock} units only."))
            }
            Self::StockTooHigh { stock, max } => LocalText::new(
                format!("库存过多：当前为 {stock}，上限为 {max}。"),
                format!("There are {stock} units, and there may be at most {max}."),
            ),
        }
    }
}
