-- How a merchant's orders can be had, and whether they can be paid in cash. Whatever it is paid by else, there are credentials for or not.
ALTER TABLE merchants
    ADD COLUMN offers_dine_in boolean NOT NULL DEFAULT true,
    ADD COLUMN offers_pickup boolean NOT NULL DEFAULT true,
    ADD COLUMN offers_delivery boolean NOT NULL DEFAULT true,
    ADD COLUMN takes_cash boolean NOT NULL DEFAULT true;
