ALTER TABLE merchants
    DROP COLUMN offers_dine_in,
    DROP COLUMN offers_pickup,
    DROP COLUMN offers_delivery,
    DROP COLUMN takes_cash;
