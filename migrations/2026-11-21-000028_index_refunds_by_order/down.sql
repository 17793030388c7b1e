DROP INDEX refunds_order_index;
