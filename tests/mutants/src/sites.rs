//! Where a source file can be changed while it runs: its expressions, statements, bodies of functions and arms of matches.

use std::collections::HashMap;
use std::ops::Range;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// A place of a source file, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Site {
    /// An expression, replaced by another of its type.
    Expression(Range<usize>),
    /// Statements, replaced by others.
    Statements(Range<usize>),
    /// Before the first statement of a function's body.
    Body(usize),
    /// Behind the pattern of an arm that has no guard.
    Arm(usize),
}

impl Site {
    pub(crate) fn range(&self) -> Range<usize> {
        match self {
            Self::Expression(range) | Self::Statements(range) => range.clone(),
            Self::Body(at) | Self::Arm(at) => *at..*at,
        }
    }
}

/// An expression with parts: what cargo-mutants changes.
pub(crate) struct Operation {
    pub(crate) whole: Range<usize>,
    pub(crate) parts: Vec<Range<usize>>,
}

/// The places of one file.
#[derive(Default)]
pub(crate) struct Sites {
    /// Binary expressions, by where their operator begins.
    pub(crate) binary: HashMap<usize, Operation>,
    /// Unary expressions, by where they begin.
    pub(crate) unary: HashMap<usize, Operation>,
    /// Arms that another of their match can stand in for, by where they begin: where their pattern ends.
    pub(crate) arms: HashMap<usize, usize>,
    /// Fields of struct expressions that have a base, by where they begin: the expression of the field; path and base of the struct.
    pub(crate) fields: HashMap<usize, Operation>,
    expressions: Vec<Range<usize>>,
    blocks: Vec<Range<usize>>,
    /// What an expression is the beginning of: of `a.b()?`, `a` of `a.b()`, and `a.b()` of the whole.
    goes_on: HashMap<Range<usize>, Range<usize>>,
    constants: Vec<Range<usize>>,
}

impl Sites {
    pub(crate) fn of(source: &str) -> syn::Result<Self> {
        let mut sites = Self::default();
        sites.visit_file(&syn::parse_file(source)?);
        Ok(sites)
    }

    /// The smallest thing around `found` that may be replaced without a change of type: an expression, with the calls and question
    /// marks that follow it; or `found` itself, where it is statements.
    pub(crate) fn around(&self, found: &Range<usize>) -> Option<Site> {
        let is_around = |range: &&Range<usize>| range.start <= found.start && found.end <= range.end;
        if self.constants.iter().any(|constant| is_around(&constant)) {
            return None;
        }
        let expression = self.expressions.iter().filter(is_around).min_by_key(|range| range.len());
        let block = self.blocks.iter().filter(is_around).min_by_key(|range| range.len());
        match (expression, block) {
            (Some(expression), Some(block)) if expression.len() < block.len() => {
                let mut whole = expression;
                while let Some(longer) = self.goes_on.get(whole) {
                    whole = longer;
                }
                Some(Site::Expression(whole.clone()))
            }
            (_, Some(_)) => Some(Site::Statements(found.clone())),
            _ => None,
        }
    }
}

fn bytes(node: &impl Spanned) -> Range<usize> {
    node.span().byte_range()
}

impl<'ast> Visit<'ast> for Sites {
    fn visit_expr(&mut self, node: &'ast syn::Expr) {
        let whole = bytes(node);
        let inner = match node {
            syn::Expr::MethodCall(call) => Some(&call.receiver),
            syn::Expr::Try(tried) => Some(&tried.expr),
            syn::Expr::Await(awaited) => Some(&awaited.base),
            syn::Expr::Field(field) => Some(&field.base),
            _ => None,
        };
        if let Some(inner) = inner {
            self.goes_on.insert(bytes(inner), whole.clone());
        }
        self.expressions.push(whole);
        visit::visit_expr(self, node);
    }

    fn visit_block(&mut self, node: &'ast syn::Block) {
        self.blocks.push(bytes(node));
        visit::visit_block(self, node);
    }

    fn visit_expr_binary(&mut self, node: &'ast syn::ExprBinary) {
        // `if let … && …` is no expression of its own.
        if !is_let(&node.left) && !is_let(&node.right) {
            let parts = vec![bytes(&node.left), bytes(&node.right)];
            self.binary.insert(bytes(&node.op).start, Operation { whole: bytes(node), parts });
        }
        visit::visit_expr_binary(self, node);
    }

    fn visit_expr_unary(&mut self, node: &'ast syn::ExprUnary) {
        let operation = Operation { whole: bytes(node), parts: vec![bytes(&node.expr)] };
        self.unary.insert(bytes(node).start, operation);
        visit::visit_expr_unary(self, node);
    }

    fn visit_expr_match(&mut self, node: &'ast syn::ExprMatch) {
        // An arm can go where another takes what was its: cargo-mutants counts `_ if …` among those.
        let takes_all = |arm: &syn::Arm| matches!(arm.pat, syn::Pat::Wild(_)) && arm.guard.is_none();
        if node.arms.iter().any(takes_all) {
            for arm in &node.arms {
                self.arms.insert(bytes(arm).start, bytes(&arm.pat).end);
            }
        }
        visit::visit_expr_match(self, node);
    }

    fn visit_expr_struct(&mut self, node: &'ast syn::ExprStruct) {
        if let Some(base) = &node.rest {
            for field in &node.fields {
                let parts = vec![bytes(&node.path), bytes(base)];
                self.fields.insert(bytes(field).start, Operation { whole: bytes(&field.expr), parts });
            }
        }
        visit::visit_expr_struct(self, node);
    }

    fn visit_item_const(&mut self, node: &'ast syn::ItemConst) {
        self.constants.push(bytes(node));
        visit::visit_item_const(self, node);
    }

    fn visit_item_static(&mut self, node: &'ast syn::ItemStatic) {
        self.constants.push(bytes(node));
        visit::visit_item_static(self, node);
    }
}

fn is_let(node: &syn::Expr) -> bool {
    match node {
        syn::Expr::Let(_) => true,
        syn::Expr::Binary(binary) => is_let(&binary.left) || is_let(&binary.right),
        _ => false,
    }
}
