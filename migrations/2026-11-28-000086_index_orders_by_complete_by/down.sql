DROP INDEX orders_complete_by_index;
