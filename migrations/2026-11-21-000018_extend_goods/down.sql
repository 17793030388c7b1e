ALTER TABLE goods
    DROP COLUMN daily_stock,
    DROP COLUMN sold_out_units,
    DROP COLUMN grant_account_id,
    DROP COLUMN grant_kind,
    DROP COLUMN grant_per_unit;
