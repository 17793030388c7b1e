DROP INDEX orders_pickup_key;
