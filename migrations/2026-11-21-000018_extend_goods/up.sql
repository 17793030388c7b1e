-- sold_out_units: not null while the kitchen says there is none, whatever was counted: the units set aside then. A payment for goods
-- with a grant credits grant_per_unit to grant_account_id for each unit, or to the buyer's own account of grant_kind.
DO $$
BEGIN
    ALTER TABLE goods
        ADD COLUMN daily_stock integer,
        ADD COLUMN sold_out_units integer,
        ADD COLUMN grant_account_id uuid,
        ADD COLUMN grant_kind text,
        ADD COLUMN grant_per_unit bigint;
    ALTER TABLE goods ADD CONSTRAINT goods_daily_stock_check CHECK (daily_stock >= 0);
    ALTER TABLE goods ADD CONSTRAINT goods_sold_out_check CHECK (sold_out_units >= 0);
    ALTER TABLE goods ADD CONSTRAINT goods_grant_check CHECK (
        num_nonnulls(grant_account_id, grant_kind) = num_nonnulls(grant_per_unit)
        AND grant_per_unit BETWEEN 1 AND 1000000 AND grant_kind IN ('points', 'votes', 'tips'));
    ALTER TABLE goods ADD CONSTRAINT goods_grant_account_fkey
        FOREIGN KEY (merchant_id, grant_account_id) REFERENCES accounts (merchant_id, id);
END
$$;
