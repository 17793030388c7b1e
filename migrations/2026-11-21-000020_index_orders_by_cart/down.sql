DROP INDEX orders_cart_key;
