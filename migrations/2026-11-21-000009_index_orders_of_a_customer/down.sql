DROP INDEX orders_customer_index;
