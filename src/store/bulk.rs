//! Bulk inserts as statements of constant text: columns travel as arrays, so one statement writes any number of rows.
//!
//! diesel caches neither multi-row `VALUES` nor `sql_query`; a node whose type is its identity is prepared once a
//! connection. The rows come from the merchant's own row crossed with `unnest`: a bare `unnest` would cost a two-phase
//! commit on a database sharded by merchant.

/// Declares a struct with one array a column, and its insert: `INSERT INTO t (merchant_id, …) SELECT m.id, … FROM merchants m CROSS JOIN unnest(…)`.
macro_rules! bulk_insert {
    ($(#[$doc:meta])* $name:ident into $table:literal { $($column:ident: $sql:ty = $rust:ty),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Default)]
        struct $name<'a> {
            merchant_id: i64,
            $($column: Vec<$rust>,)+
            _rows: std::marker::PhantomData<&'a ()>,
        }

        impl diesel::query_builder::QueryId for $name<'_> {
            type QueryId = $name<'static>;
            const HAS_STATIC_QUERY_ID: bool = true;
        }

        impl diesel::query_builder::QueryFragment<diesel::pg::Pg> for $name<'_> {
            fn walk_ast<'b>(
                &'b self,
                mut out: diesel::query_builder::AstPass<'_, 'b, diesel::pg::Pg>,
            ) -> diesel::QueryResult<()> {
                let columns: &[&str] = &[$(stringify!($column)),+];
                out.push_sql(concat!("INSERT INTO ", $table, " (merchant_id"));
                for column in columns {
                    out.push_sql(", ");
                    out.push_sql(column);
                }
                out.push_sql(") SELECT m.id, u.* FROM merchants m CROSS JOIN unnest(");
                let mut separator = "";
                $(
                    out.push_sql(std::mem::replace(&mut separator, ", "));
                    out.push_bind_param::<diesel::sql_types::Array<$sql>, _>(&self.$column)?;
                )+
                out.push_sql(") AS u WHERE m.id = ");
                out.push_bind_param::<diesel::sql_types::BigInt, _>(&self.merchant_id)
            }
        }

        impl diesel::query_dsl::RunQueryDsl<diesel::PgConnection> for $name<'_> {}
    };
}

pub(super) use bulk_insert;
