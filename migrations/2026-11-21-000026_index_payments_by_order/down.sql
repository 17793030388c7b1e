DROP INDEX payments_order_index;
