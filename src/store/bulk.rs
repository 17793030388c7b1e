//! Bulk inserts as statements of constant text: columns travel as arrays, so one statement writes any number of rows.
//!
//! diesel caches neither multi-row `VALUES` nor `sql_query`; a node whose type is its identity is prepared once a
//! connection. The rows come from the merchant's own row crossed with `unnest`: a bare `unnest` would cost a two-phase
//! commit on a database sharded by merchant. Up to four rows are written by plain `VALUES`, one statement for each number: a lone
//! order would spend as much time on the arrays as on its rows.

/// Declares a struct with one array a column, and how its rows are inserted.
macro_rules! bulk_insert {
    ($(#[$doc:meta])* $name:ident into $table:literal { $($column:ident: $sql:ty = $rust:ty),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Default)]
        struct $name<'a> {
            merchant_id: i64,
            $($column: Vec<$rust>,)+
            _rows: std::marker::PhantomData<&'a ()>,
        }

        impl $name<'_> {
            /// Writes the rows and returns how many there are now.
            fn insert(&self, conn: &mut diesel::PgConnection) -> diesel::QueryResult<usize> {
                use diesel::query_builder::{AstPass, QueryFragment, QueryId};
                use diesel::RunQueryDsl;

                const INTO: &str = concat!("INSERT INTO ", $table, " (merchant_id", $(", ", stringify!($column),)+ ") ");

                struct Few<'r, 'a, const ROWS: usize>(&'r $name<'a>);

                impl<const ROWS: usize> QueryId for Few<'_, '_, ROWS> {
                    type QueryId = Few<'static, 'static, ROWS>;
                    const HAS_STATIC_QUERY_ID: bool = true;
                }

                impl<const ROWS: usize> QueryFragment<diesel::pg::Pg> for Few<'_, '_, ROWS> {
                    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, diesel::pg::Pg>) -> diesel::QueryResult<()> {
                        out.push_sql(INTO);
                        for row in 0..ROWS {
                            out.push_sql(if row == 0 { "VALUES (" } else { ", (" });
                            out.push_bind_param::<diesel::sql_types::BigInt, _>(&self.0.merchant_id)?;
                            $(
                                out.push_sql(", ");
                                out.push_bind_param::<$sql, _>(&self.0.$column[row])?;
                            )+
                            out.push_sql(")");
                        }
                        Ok(())
                    }
                }

                impl<const ROWS: usize> RunQueryDsl<diesel::PgConnection> for Few<'_, '_, ROWS> {}

                struct Many<'r, 'a>(&'r $name<'a>);

                impl QueryId for Many<'_, '_> {
                    type QueryId = Many<'static, 'static>;
                    const HAS_STATIC_QUERY_ID: bool = true;
                }

                impl QueryFragment<diesel::pg::Pg> for Many<'_, '_> {
                    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, diesel::pg::Pg>) -> diesel::QueryResult<()> {
                        out.push_sql(INTO);
                        out.push_sql("SELECT m.id, u.* FROM merchants m CROSS JOIN unnest(");
                        let mut separator = "";
                        $(
                            out.push_sql(std::mem::replace(&mut separator, ", "));
                            out.push_bind_param::<diesel::sql_types::Array<$sql>, _>(&self.0.$column)?;
                        )+
                        out.push_sql(") AS u WHERE m.id = ");
                        out.push_bind_param::<diesel::sql_types::BigInt, _>(&self.0.merchant_id)
                    }
                }

                impl RunQueryDsl<diesel::PgConnection> for Many<'_, '_> {}

                let [rows, ..] = [$(self.$column.len()),+];
                match rows {
                    1 => Few::<1>(self).execute(conn),
                    2 => Few::<2>(self).execute(conn),
                    3 => Few::<3>(self).execute(conn),
                    4 => Few::<4>(self).execute(conn),
                    _ => Many(self).execute(conn),
                }
            }
        }
    };
}

pub(super) use bulk_insert;
