//! Bulk inserts: whatever the number of rows, one statement that is prepared once a connection.
//!
//! Columns travel as arrays, so that the statement's text does not depend on how many rows there are. They come from the
//! merchant's own row crossed with `unnest`: a bare `unnest` would cost a two-phase commit on a database sharded by merchant. (Arrays of
//! rows whose ids the database draws, as the outbox's, cost it one all the same.) A few rows are written by plain `VALUES`, one text for
//! each number: a lone order would spend as much time on the arrays as on its rows.
//!
//! diesel caches neither multi-row `VALUES` nor `sql_query`; these are nodes of their own, which it knows by their text.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};

use super::{Conn, QueryResult};

/// How rows travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// `VALUES`, a bind for each field.
    Values,
    /// An array for each column.
    Arrays,
}

impl Shape {
    /// What is faster for so many rows.
    pub(super) const fn of(rows: usize) -> Self {
        if rows <= 4 { Self::Values } else { Self::Arrays }
    }
}

/// Rows of one table.
pub(super) trait Rows {
    /// How many.
    fn count(&self) -> usize;
    /// Writes the `INSERT` of all of them.
    fn walk<'b>(&'b self, shape: Shape, out: AstPass<'_, 'b, Pg>) -> QueryResult<()>;
}

/// Writes `rows` and returns how many there are now.
pub(super) fn insert(rows: &impl Rows, conn: &mut Conn) -> QueryResult<usize> {
    Insert(rows).execute(conn)
}

struct Insert<'r, R>(&'r R);

impl<R> QueryId for Insert<'_, R> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<R: Rows> QueryFragment<Pg> for Insert<'_, R> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.walk(Shape::of(self.0.count()), out)
    }
}

impl<R> RunQueryDsl<Conn> for Insert<'_, R> {}

/// Declares a struct with one `Vec` a column: [`Rows`] of a table.
macro_rules! bulk_insert {
    ($(#[$doc:meta])* $name:ident into $table:literal { $($column:ident: $sql:ty = $rust:ty),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Default)]
        struct $name<'a> {
            merchant_id: i64,
            $($column: Vec<$rust>,)+
            _rows: std::marker::PhantomData<&'a ()>,
        }

        impl crate::store::bulk::Rows for $name<'_> {
            fn count(&self) -> usize {
                let [rows, ..] = [$(self.$column.len()),+];
                rows
            }

            fn walk<'b>(
                &'b self,
                shape: crate::store::bulk::Shape,
                mut out: diesel::query_builder::AstPass<'_, 'b, diesel::pg::Pg>,
            ) -> diesel::QueryResult<()> {
                use diesel::sql_types::{Array, BigInt};

                out.push_sql(concat!("INSERT INTO ", $table, " (merchant_id", $(", ", stringify!($column),)+ ") "));
                match shape {
                    crate::store::bulk::Shape::Values => {
                        for row in 0..self.count() {
                            out.push_sql(if row == 0 { "VALUES (" } else { ", (" });
                            out.push_bind_param::<BigInt, _>(&self.merchant_id)?;
                            $(
                                out.push_sql(", ");
                                out.push_bind_param::<$sql, _>(&self.$column[row])?;
                            )+
                            out.push_sql(")");
                        }
                        Ok(())
                    }
                    crate::store::bulk::Shape::Arrays => {
                        out.push_sql("SELECT m.id, u.* FROM merchants m CROSS JOIN unnest(");
                        let mut separator = "";
                        $(
                            out.push_sql(std::mem::replace(&mut separator, ", "));
                            out.push_bind_param::<Array<$sql>, _>(&self.$column)?;
                        )+
                        out.push_sql(") AS u WHERE m.id = ");
                        out.push_bind_param::<BigInt, _>(&self.merchant_id)
                    }
                }
            }
        }
    };
}

pub(super) use bulk_insert;
