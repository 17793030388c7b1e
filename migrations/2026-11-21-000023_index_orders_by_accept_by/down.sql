DROP INDEX orders_accept_by_index;
