DROP TABLE order_grants;
