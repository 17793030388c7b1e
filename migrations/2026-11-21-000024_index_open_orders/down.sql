DROP INDEX orders_open_index;
